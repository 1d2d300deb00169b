//! The command line as a user sees it: text, objects, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use assert_cmd::Command;
use serde_json::Value;
use spikeloop::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::registry::Registry;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use tempfile::TempDir;

const SMALL_CHIP: &str = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7";

/// A user with an empty list of boards.
struct User {
    runtime: TempDir,
}

/// What a command left behind.
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl User {
    fn new() -> Self {
        Self { runtime: tempfile::tempdir().unwrap() }
    }

    fn registry(&self) -> Registry {
        Registry::at(self.runtime.path().join("spikeloop"))
    }

    fn board(&self, place: Place) -> VirtualBoard {
        let chip = SMALL_CHIP.parse().unwrap();
        VirtualBoard::start_in(&chip, &place, 1, &self.registry()).unwrap()
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
        command
            .args(line.split_whitespace())
            .env("XDG_RUNTIME_DIR", self.runtime.path())
            .env("SPIKELOOP_CACHE", self.runtime.path().join("cache"))
            .env("COLUMNS", "100")
            .env_remove("SPIKELOOP_CHIP")
            .env_remove("RUST_LOG");
        command
    }

    fn run(&self, line: &str) -> Outcome {
        outcome(Command::from_std(self.command(line)))
    }
}

fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn help_names_every_verb_and_exit_code() {
    let help = User::new().run("--help");
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for verb in ["list", "info", "emulate", "calibrate", "calibration", "completions"] {
        assert!(help.out.contains(&format!("\n  {verb} ")), "{verb}: {}", help.out);
    }
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "5  ", "6  ", "7  ", "8  ", "130  "] {
        assert!(help.out.contains(code), "{code}: {}", help.out);
    }
    let wide = help.out.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None);
}

#[test]
fn help_of_the_verbs() {
    let user = User::new();
    for verb in ["list", "info", "emulate", "calibrate", "completions"] {
        insta::assert_snapshot!(format!("help_{verb}"), user.run(&format!("{verb} --help")).out);
    }
}

/// One message and one exit code for each way to go wrong.
#[test]
fn errors_have_their_codes_and_remedies() {
    let user = User::new();
    let _board = user.board(Place::Pty(Some("left".into())));
    let cases = [
        ("", 2),
        ("lsit", 2),
        ("list --jsno", 2),
        ("info --chip emuu:seed=1", 2),
        ("info --chip emu:sede=1", 2),
        ("info --chip emu:preset=bss2-kal", 2),
        ("info --chip emu:seed=many", 2),
        ("info --chip serial:/dev/ttyNOTHING", 3),
        ("info --chip pty:right", 3),
        ("info --chip tcp:127.0.0.1:9", 3),
        ("emulate --pty left", 8),
        ("emulate seed=1 seed=2 --pty right", 2),
        ("emulate serial:/dev/ttyACM0", 2),
        ("emulate --tcp 256.0.0.1:1", 6),
        ("completions bash --json", 2),
    ];
    for (line, code) in cases {
        let got = user.run(line);
        assert_eq!(got.code, code, "{line}: {}", got.err);
        assert!(!got.err.is_empty(), "{line}");
        assert!(!got.err.contains("panicked"), "{line}: {}", got.err);
    }
    let remedy = |line: &str, words: &str| {
        let err = user.run(line).err;
        assert!(err.contains(words), "{line}: {err}");
    };
    remedy("info --chip emuu:seed=1", "did you mean \"emu\"?");
    remedy("info --chip emu:sede=1", "did you mean \"seed\"?");
    remedy("info --chip emu:preset=bss2-kal", "did you mean \"bss2-cal\"?");
    remedy("info --chip pty:right", "spikeloop emulate --pty");
    remedy("emulate --pty left", "choose another name");
}

#[test]
fn with_json_an_error_is_an_object_as_well() {
    let got = User::new().run("info --chip pty:right --json");
    let object = got.json();
    assert_eq!((got.code, &object["exit_code"], &object["schema"]), (3, &3.into(), &1.into()));
    assert!(object["error"].as_str().unwrap().contains("pty:right"));
}

#[test]
fn list_shows_running_boards_and_drops_stale_ones() {
    let user = User::new();
    let stale = user.runtime.path().join("spikeloop/gone.board");
    let board = user.board(Place::Pty(Some("left".into())));
    std::fs::write(&stale, "name = \"gone\"\n").unwrap();
    let listing = user.run("list --json").json();
    let devices = listing["devices"].as_array().unwrap();
    let left = devices.iter().find(|device| device["selector"] == "pty:left").unwrap();
    assert_eq!(left["kind"], "virtual_board");
    assert!(left["description"].as_str().unwrap().contains(board.identity()));
    assert!(!stale.exists());
    let presets = listing["emulator_presets"].as_array().unwrap();
    assert!(presets.iter().any(|preset| preset["selector"] == "emu:preset=bss2-cal"));
    assert_eq!(listing["schema"], 1);
    let table = user.run("list").out;
    assert!(table.starts_with("DEVICE"), "{table}");
    assert!(table.contains("pty:left"), "{table}");
    drop(board);
    assert!(!user.run("list").out.contains("pty:left"));
}

#[test]
fn info_of_the_emulator() {
    let user = User::new();
    insta::assert_snapshot!("info", user.run(&format!("info --chip {SMALL_CHIP}")).out);
    let identity = user.run(&format!("info --identity --chip {SMALL_CHIP}")).out;
    let report = user.run(&format!("info --json --chip {SMALL_CHIP}")).json();
    assert_eq!(report["identity"].as_str().unwrap(), identity.trim());
    assert_eq!(report["capabilities"]["neurons"], 16);
    assert_eq!(report["chip"], SMALL_CHIP);
}

#[test]
fn info_of_a_board_is_that_of_the_emulator() {
    let user = User::new();
    let direct = user.run(&format!("info --json --chip {SMALL_CHIP}")).json();
    let tcp = Place::Tcp { address: "127.0.0.1:0".into(), name: Some("tcp".into()) };
    for place in [Place::Pty(Some("left".into())), tcp] {
        let board = user.board(place);
        let through = user.run(&format!("info --json --chip {}", board.selector())).json();
        assert_eq!(through["identity"], direct["identity"]);
        assert_eq!(through["capabilities"], direct["capabilities"]);
    }
}

#[test]
fn a_busy_board_is_exit_code_8() {
    let user = User::new();
    let tcp = Place::Tcp { address: "127.0.0.1:0".into(), name: Some("tcp".into()) };
    for place in [Place::Pty(Some("left".into())), tcp] {
        let board = user.board(place);
        let options = spikeloop_hal::OpenOptions::default();
        // `pty:left` is known to the user's own list only, not to that of this process.
        let selector = match user.registry().find("left").and_then(|board| board.terminal) {
            Some(path) => spikeloop_hal::selector::Address::pty_path(&path).into(),
            None => board.selector().clone(),
        };
        let _first = selector.open(&options).unwrap();
        let second = user.run(&format!("info --chip {}", board.selector()));
        assert_eq!(second.code, 8, "{}", second.err);
        assert!(second.err.contains("in use"), "{}", second.err);
        let listed = user.run("list").out;
        assert!(listed.contains("busy"), "{listed}");
    }
}

#[test]
fn the_only_board_needs_no_flag_and_two_are_ambiguous() {
    let user = User::new();
    // Whatever is plugged into the machine that runs the tests counts as well.
    let others = user.run("list --json").json()["devices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|device| device["kind"] == "usb_serial")
        .count();
    if others > 0 {
        return;
    }
    assert_eq!(user.run("info").code, 3);
    let _left = user.board(Place::Pty(Some("left".into())));
    assert_eq!(user.run("info --identity").code, 0);
    let _right = user.board(Place::Pty(Some("right".into())));
    let both = user.run("info");
    assert_eq!(both.code, 4);
    assert!(both.err.contains("--chip pty:left\n  --chip pty:right"), "{}", both.err);
    let mut named = user.command("info --identity");
    named.env("SPIKELOOP_CHIP", "pty:right");
    assert_eq!(outcome(Command::from_std(named)).code, 0);
}

/// A process that is ended whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(mut command: std::process::Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The object that says that the boards can be reached.
    fn object(&mut self) -> Value {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        let mut text = String::new();
        for line in out.lines() {
            text.push_str(&line.unwrap());
            if let Ok(object) = serde_json::from_str(&text) {
                return object;
            }
        }
        panic!("the process ended: {text}");
    }
}

#[test]
fn emulate_runs_several_boards_until_it_is_killed() {
    let user = User::new();
    let line = "emulate --json neurons=16,seed=1 neurons=16,seed=2 --pty left --tcp 127.0.0.1:0";
    let mut emulate = Running::start(user.command(line));
    let object = emulate.object();
    let boards = object["boards"].as_array().unwrap();
    assert_eq!(boards.len(), 2);
    assert_eq!(object["pid"], emulate.0.id());
    for board in boards {
        let line = format!("info --identity --chip {}", board["selector"].as_str().unwrap());
        let info = user.run(&line);
        assert_eq!(info.out.trim(), board["identity"].as_str().unwrap(), "{}", info.err);
    }
    assert_ne!(boards[0]["identity"], boards[1]["identity"]);
    // Killed, it cannot clean up; nobody is misled by what it leaves behind.
    drop(emulate);
    let left = user.run("list --json").json();
    assert!(left["devices"].as_array().unwrap().iter().all(|d| d["kind"] != "virtual_board"));
    assert_eq!(user.run("info --chip pty:left").code, 3);
}

#[test]
fn completions_are_scripts() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = user.run(&format!("completions {shell}"));
        assert_eq!(script.code, 0);
        assert!(script.out.contains("emulate"), "{shell}");
    }
}

/// With a board on the bench: `SPIKELOOP_TEST_CHIP=serial:/dev/ttyACM0`. Off by default.
#[test]
fn hardware_answers() {
    let Ok(selector) = std::env::var("SPIKELOOP_TEST_CHIP") else { return };
    let info = User::new().run(&format!("info --chip {selector}"));
    assert_eq!(info.code, 0, "{}", info.err);
}
