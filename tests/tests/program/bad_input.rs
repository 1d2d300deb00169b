//! Whatever is wrong with what a user gives: one message that names it, an exit code, nothing lost.

use spikeloop_tests::program::{User, bytes, outcome};
use std::fs;
use std::os::unix::fs::symlink;

/// A training of a second: software unless a chip is added.
const SMALL: &str = "--set task.train=100 --set task.test=50 --set network.hidden=[20] \
                     --set learning.batch=25 --set learning.epochs=1 \
                     --set chip.observe=membranes --threads 1";
const CHIP: &str = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=1";

fn user() -> User {
    User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"))
}

fn train(user: &User, more: &str) -> spikeloop_tests::program::Outcome {
    user.run(&format!("train digits {SMALL} {more}"))
}

#[test]
fn a_network_larger_than_the_device() {
    let user = user();
    let neurons = train(&user, "--chip emu:neurons=29 --out a");
    neurons.refused(7, &["needs 30 neurons", "it has 29", "fewer hidden units"]);
    let inputs = train(&user, "--chip emu:inputs=50 --out b");
    inputs.refused(7, &["has 64 inputs", "50 input lines"]);
    let converter = train(&user, "--chip emu:preset=dynapse-like --out c");
    converter.refused(7, &["no membrane converter", "observe = \"spikes\""]);
    let on_chip = |set: &str, words: &[&str]| {
        train(&user, &format!("--chip {CHIP} --out d {set}")).refused(7, words);
    };
    on_chip("--set network.steps=20000", &["one trial needs", "ticks", "shorten the trial"]);
    on_chip("--set network.steps=5000", &["bytes of trace memory"]);
    on_chip("--set network.dt_us=1.701", &["whole number of ticks of 4 ns"]);
    on_chip("--set network.dt_us=0.5", &["shorter than the converter's", "observe = \"spikes\""]);
    on_chip("--set network.tau_mem_us=5000", &["tau_mem = 5000", "out of the chip's range"]);
    // The folders stay free: nothing was begun.
    for out in ["a", "b", "c", "d"] {
        assert!(!user.path(out).join("config.toml").exists(), "{out}");
    }
}

#[test]
fn configurations_that_make_no_sense() {
    let user = user();
    let refused = |line: &str, words: &[&str]| {
        user.run(&format!("train {line} --software --out r")).refused(2, words);
        assert!(!user.path("r").join("config.toml").exists(), "{line}");
    };
    refused(
        "digits --set learning.epohcs=3",
        &["`epohcs`", "[learning]", "did you mean `epochs`?"],
    );
    refused("digits --set lerning.epochs=3", &["`lerning`", "did you mean `learning`?"]);
    refused("digits --set learning.epochs=many", &["learning.epochs"]);
    refused("digits --set learning.epochs", &["key=value"]);
    refused("digits --set learning.batch=0", &["learning.batch = 0", "at least 1"]);
    refused("digits --set learning.rate=-1", &["learning.rate", "positive"]);
    refused("digits --set network.steps=1", &["network.steps"]);
    refused("digits --set network.tau_mem_us=0", &["tau_mem_us", "positive"]);
    refused("digits --set network.hidden=[]", &["network.hidden"]);
    refused("digits --set network.hidden=[0]", &["units of a layer", "0"]);
    refused("digits --set task.name=digitz", &["task.name", "did you mean `digits`?"]);
    refused("digits --set task.train=100000", &["100000", "train", "choose 1 to"]);
    refused("digits --set task.copies=0", &["copies = 0"]);
    refused("digitz", &["digitz", "yinyang, digits, mnist16, fashion16"]);
    refused("digits --set learning.optimizer.kind=adom", &["optimizer", "did you mean `adam`?"]);
    let file = user.path("broken.toml");
    fs::write(&file, "name = \"x\"\n[task\n").unwrap();
    refused("broken.toml", &["broken.toml is not valid TOML", "line 2"]);
    fs::write(&file, "name = \"x\"\n").unwrap();
    refused("broken.toml", &["missing field"]);
    user.run("train digits --threads 0").refused(2, &["--threads must be at least 1"]);
    user.run("train").refused(2, &["CONFIG"]);
}

#[test]
fn expectations() {
    let user = user();
    let met = train(&user, "--software --out a --expect test_accuracy>=0 --expect epochs==1");
    assert_eq!(met.code, 0, "{}", met.err);
    let missed = train(&user, "--software --out b --json --expect test_accuracy>=1.5");
    missed.refused(5, &["test_accuracy>=1.5, found 0."]);
    assert_eq!(missed.json()["epochs"], 1, "one object, the result");
    assert!(user.path("b").join("summary.json").exists(), "the result is kept");
    let unknown = train(&user, "--software --out c --expect accuracy>=0.1");
    unknown.refused(2, &["--expect accuracy>=0.1", "test_accuracy"]);
    train(&user, "--software --out d --expect test_accuracy").refused(2, &[">= <= > < =="]);
}

#[test]
fn data_files() {
    let user = user();
    let mnist = "train mnist16 --software --set learning.epochs=1 --out m";
    user.run(mnist).refused(9, &["train-images-idx3-ubyte", "--data DIR", "SPIKELOOP_DATA"]);
    let empty = user.path("empty");
    fs::create_dir(&empty).unwrap();
    let words = ["missing train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "empty", "https://"];
    user.run(&format!("{mnist} --data empty")).refused(9, &words);
    user.run(&format!("{mnist} --data nowhere"))
        .refused(9, &["nowhere", "train-labels-idx1-ubyte"]);
    let folder = user.path("cut/mnist");
    fs::create_dir_all(&folder).unwrap();
    // Right header, one image instead of 60 000; an archive that is none.
    let header = [0x803_u32, 60_000, 28, 28].map(u32::to_be_bytes).concat();
    let image = [header, vec![7; 784]].concat();
    fs::write(folder.join("train-images-idx3-ubyte"), image).unwrap();
    fs::write(folder.join("train-labels-idx1-ubyte.gz"), b"\x1f\x8b not gzip").unwrap();
    user.run(&format!("{mnist} --data cut")).refused(9, &["missing t10k-images-idx3-ubyte"]);
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        fs::write(folder.join(name), b"").unwrap();
    }
    let words = ["is not the published file", "truncated", "expected SHA-256", "get it again from"];
    user.run(&format!("{mnist} --data cut")).refused(9, &words);
    assert!(!user.path("m").join("config.toml").exists());
}

#[test]
fn run_folders() {
    let user = user();
    let _ = train(&user, "--software --out run").done();
    let before = bytes(&user.path("run/checkpoint.safetensors"));
    train(&user, "--software --out run").refused(2, &["run already holds a run", "--resume"]);
    assert_eq!(bytes(&user.path("run/checkpoint.safetensors")), before);
    user.run("train --resume --out nothing").refused(2, &["nothing holds no run", "config.toml"]);
    user.run("train --resume").refused(2, &["--out"]);
    user.run("eval nothing").refused(2, &["nothing holds no run"]);
    fs::write(user.path("file"), "").unwrap();
    train(&user, "--software --out file/run").refused(9, &["cannot create", "file/run"]);
    assert!(!user.path("nothing").exists(), "looking for a run leaves no folder behind");
}

#[test]
fn weights_belong_to_a_chip() {
    let user = user();
    let _ = train(&user, &format!("--chip {CHIP} --out run")).done();
    let other = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=2";
    let refused = user.run(&format!("eval run --chip {other}"));
    refused.refused(7, &["belong to chip bss2-cal/", "this is bss2-cal/", "--transfer"]);
    user.run("eval run --software").refused(7, &["this is software", "--transfer"]);
    let warned = user.run(&format!("eval run --chip {other} --transfer --json"));
    assert_eq!(warned.code, 0, "{}", warned.err);
    assert!(warned.err.contains("naive transfer"), "{}", warned.err);
    assert_eq!(warned.json()["test_samples"], 50);
    let resumed = user.run(&format!("train --resume --out run --chip {other}"));
    resumed.refused(7, &["belong to chip bss2-cal/"]);
    assert!(!resumed.err.contains("--transfer"), "train has no such flag: {}", resumed.err);
    user.run("train --resume --out run --software").refused(7, &["this is software"]);
    let _ = user.run("eval run").done();
}

#[test]
fn damaged_checkpoints() {
    let user = user();
    let _ = train(&user, "--software --out run").done();
    let path = user.path("run/checkpoint.safetensors");
    let whole = bytes(&path);
    let mut garbled = whole.clone();
    garbled[..8].fill(0xFF);
    let text = whole.windows(17).position(|w| w == b"spikeloop.counter").unwrap();
    let mut renamed = whole.clone();
    renamed[text] = b'S';
    let damages: [&[u8]; 6] = [
        b"",
        &whole[..7],
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 1],
        &garbled,
        &renamed,
    ];
    for damaged in damages {
        fs::write(&path, damaged).unwrap();
        for line in ["eval run", "train --resume --out run --set learning.epochs=2"] {
            user.run(line).refused(9, &["checkpoint in run"]);
        }
        assert_eq!(bytes(&path), damaged, "left as it was");
    }
    fs::remove_file(&path).unwrap();
    user.run("eval run").refused(9, &["checkpoint.safetensors"]);
    fs::write(&path, whole).unwrap();
    let _ = user.run("eval run").done();
}

/// A full disk is `/dev/full`, put where the next version of a file would be written.
#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    let user = user();
    let straight = train(&user, "--software --out straight --set learning.epochs=2 --json").done();
    let _ = train(&user, "--software --out run").done();
    let path = user.path("run/checkpoint.safetensors");
    let before = bytes(&path);
    let longer = "train --resume --out run --set learning.epochs=2 --threads 1 --json";
    let full = |name: &str| symlink("/dev/full", user.path("run").join(name)).unwrap();
    full(".checkpoint.safetensors.new");
    let words = ["checkpoint.safetensors", "the disk is full", "--resume"];
    user.run(longer).refused(9, &words);
    assert_eq!(bytes(&path), before, "the last checkpoint is whole");
    full(".summary.json.new");
    user.run(longer).refused(9, &["summary.json", "the disk is full"]);
    let resumed = user.run(longer).done();
    for key in ["test_accuracy", "train_accuracy", "hidden_spikes_per_sample", "epochs"] {
        assert_eq!(resumed.json()[key], straight.json()[key], "{key}");
    }
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let user = user();
    let mut command = user.command(&format!("train digits {SMALL} --software --out run --json"));
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let got = outcome(command);
    assert!(!got.err.contains("panicked at"), "{}", got.err);
    assert_ne!(got.code, 0);
    assert!(user.path("run/summary.json").exists());
}

#[test]
fn learning_that_runs_away_stops_and_says_why() {
    let user = user();
    let loss = train(&user, "--set learning.epochs=3 --set learning.rate=1e38 --out a");
    let words =
        ["epoch 1: layer ", "no numbers", "has run away", "learning.rate", "Nothing was saved"];
    loss.refused(1, &words);
    let many = "--set learning.init={kind=\"fan-in\",mean=5.0,gain=0.1}";
    train(&user, &format!("--software {many} --out b"))
        .refused(1, &["layer 0 fires in", "has run away"]);
}
