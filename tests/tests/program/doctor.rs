//! The doctor: what it sees in trees of files that look like a kernel's, in the command line, and what it packs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop::doctor::{Examination, Finding, Places, State, bundle, computer, ports};
use spikeloop::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::registry::Registry;
use spikeloop_tests::program::{Outcome, User};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

// ---- ports in a tree of our own -------------------------------------------------------------------

/// A computer with one adapter and one board, and a user who is member of group 20.
struct Computer {
    folder: TempDir,
    places: Places,
}

impl Computer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let places =
            Places { proc: root.join("proc"), sys: root.join("sys"), dev: root.join("dev") };
        let computer = Self { folder, places };
        // Not the superuser, so that mode bits decide; nobody whom the files belong to.
        let status = "Name:\tx\nUid:\t4000000001\t4000000001\t1\t1\nGid:\t7\t7\t7\t7\nGroups:\t\n";
        computer.write("proc/self/status", status);
        computer.write("sys/class/tty/tty0/dev", "4:0");
        computer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.places.proc.parent().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A port with mode bits, as the kernel shows one on USB.
    fn port(&self, name: &str, mode: u32, control: &str) {
        self.write(&format!("dev/{name}"), "");
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.path(&format!("dev/{name}")), permissions).unwrap();
        let device = format!("sys/devices/usb1/1-{name}");
        self.write(&format!("{device}/idVendor"), "0403");
        self.write(&format!("{device}/power/control"), control);
        self.write(&format!("{device}/1-1:1.0/interface"), "");
        fs::create_dir_all(self.path(&format!("sys/class/tty/{name}"))).unwrap();
        let link = self.path(&format!("sys/class/tty/{name}/device"));
        symlink(self.path(&format!("{device}/1-1:1.0")), link).unwrap();
    }

    fn findings(&self) -> Vec<Finding> {
        ports::examine(&self.places, None)
    }
}

#[track_caller]
fn one<'a>(findings: &'a [Finding], check: &str, port: &str) -> &'a Finding {
    let mut of = findings.iter().filter(|f| f.check == check && f.subject.ends_with(port));
    let found = of.next().unwrap_or_else(|| panic!("{check} of {port}: {findings:?}"));
    assert!(of.next().is_none(), "{check} of {port} twice: {findings:?}");
    found
}

#[test]
fn a_computer_without_ports_is_healthy() {
    let computer = Computer::new();
    let findings = computer.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].state, State::Good);
    let empty = Places { proc: "/none".into(), sys: "/none".into(), dev: "/none".into() };
    assert_eq!(ports::examine(&empty, None)[0].state, State::Good);
}

#[test]
fn a_port_as_it_should_be() {
    let computer = Computer::new();
    computer.port("ttyUSB0", 0o666, "on\n");
    computer.write("sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "1\n");
    let findings = computer.findings();
    assert_eq!(findings.len(), 3);
    assert!(findings.iter().all(|f| f.state == State::Good && f.remedy.is_none()), "{findings:?}");
    assert!(Examination::new(findings, None).healthy);
}

#[test]
fn everything_that_can_be_wrong_with_a_port_has_a_remedy() {
    let computer = Computer::new();
    computer.port("ttyUSB0", 0o600, "auto\n");
    computer.port("ttyACM1", 0o666, "on\n");
    computer.write("sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16\n");
    for (pid, name) in [("4000000", "minicom"), ("4000001", "screen")] {
        computer.write(&format!("proc/{pid}/comm"), &format!("{name}\n"));
        fs::create_dir_all(computer.path(&format!("proc/{pid}/fd"))).unwrap();
        let held = computer.path("dev/ttyACM1");
        symlink(held, computer.path(&format!("proc/{pid}/fd/3"))).unwrap();
    }
    let findings = computer.findings();
    let said = |check, port, state, found: &str, remedy: &str| {
        let finding = one(&findings, check, port);
        assert_eq!(finding.state, state, "{finding:?}");
        assert!(finding.found.contains(found), "{finding:?}");
        assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:?}");
    };
    said("permission", "ttyUSB0", State::Problem, "may not", "dialout");
    let timer = "bus/usb-serial/devices/ttyUSB0/latency_timer";
    said("latency timer", "ttyUSB0", State::Warning, "16 ms", timer);
    said("autosuspend", "ttyUSB0", State::Warning, "sleep", "1-ttyUSB0/power/control");
    let held = "minicom (process 4000000), screen (process 4000001)";
    said("in use", "ttyACM1", State::Problem, held, "kill 4000000 4000001");
    assert_eq!(one(&findings, "permission", "ttyACM1").state, State::Good);
    assert_eq!(Examination::new(findings, None).complaints().count(), 4);
}

#[test]
fn a_port_that_was_named_is_looked_at_as_well() {
    let computer = Computer::new();
    computer.write("dev/ttyS3", "");
    let port = computer.path("dev/ttyS3");
    fs::set_permissions(&port, fs::Permissions::from_mode(0o600)).unwrap();
    let findings = ports::examine(&computer.places, Some(&port));
    assert_eq!(one(&findings, "permission", "ttyS3").state, State::Problem);
    // One that is not there is the chip's business.
    let none = ports::examine(&computer.places, Some(Path::new("/dev/none")));
    assert_eq!(none[0].state, State::Good);
    // A port that the kernel lists without a device file, as in a container.
    fs::create_dir_all(computer.path("sys/class/tty/ttyUSB7")).unwrap();
    let findings = computer.findings();
    assert_eq!(one(&findings, "permission", "ttyUSB7").state, State::Warning);
    drop(computer.folder);
}

// ---- the computer itself ------------------------------------------------------------------------

#[test]
fn a_cache_that_cannot_be_written_and_a_disk_that_is_nearly_full() {
    let folder = tempfile::tempdir().unwrap();
    let good = computer::cache(&folder.path().join("new/folder"), 1);
    assert!(good.iter().all(|finding| finding.state == State::Good), "{good:?}");
    assert_eq!(fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 0);
    let full = computer::cache(folder.path(), u64::MAX);
    let disk = full.iter().find(|finding| finding.check == "disk").unwrap();
    assert_eq!(disk.state, State::Warning);
    assert!(disk.remedy.as_ref().unwrap().contains("SPIKELOOP_CACHE"));
    fs::write(folder.path().join("file"), "").unwrap();
    let bad = computer::cache(&folder.path().join("file"), 1);
    assert_eq!((bad.len(), bad[0].state), (1, State::Problem));
}

#[test]
fn what_killed_boards_left_behind_is_told_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path());
    fs::write(folder.path().join("left.board"), "name = \"left\"").unwrap();
    let finding = computer::registry(&registry);
    assert_eq!(finding.state, State::Good);
    assert!(finding.found.contains("removed") && finding.found.contains("left"), "{finding:?}");
    assert!(!computer::registry(&registry).found.contains("removed"));
}

// ---- the report -----------------------------------------------------------------------------------

fn unpacked(path: &Path) -> Vec<(String, String)> {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    (0..zip.len())
        .map(|k| {
            let mut file = zip.by_index(k).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            (file.name().to_owned(), text)
        })
        .collect()
}

#[test]
fn a_report_holds_no_secret_and_no_home() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.toml"), "data = \"/home/anna/mnist\"").unwrap();
    fs::write(run.join("checkpoint.safetensors"), "weights").unwrap();
    fs::write(folder.path().join("config.toml"), "x".repeat(3 << 20)).unwrap();
    let bad = Finding::bad(State::Problem, "cache", "/home/anna/.cache", "full", "clean up");
    let variables = ["SPIKELOOP_CHIP=emu:", "API_TOKEN=hunter2", "AWS_SECRET=x", "HOME=/home/anna"];
    let environment: Vec<_> = variables
        .map(|variable| variable.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let examination = Examination::new(vec![bad], None);
    let contents = bundle::Contents {
        examination: &examination,
        text: "all of it in /home/anna/.cache",
        devices: &[],
        environment: &environment,
        home: Some("/home/anna/"),
        more: &[run.clone(), run, folder.path().join("config.toml")],
    };
    let path = folder.path().join("bug.zip");
    let names = bundle::write(&path, &contents).unwrap();
    let files = unpacked(&path);
    assert_eq!(names, files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let file = |name: &str| &files.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(file("environment.txt"), "SPIKELOOP_CHIP=emu:\n");
    assert_eq!(file("run/run/config.toml"), "data = \"~/mnist\"");
    assert_eq!(file("files/config.toml").len(), 1 << 20);
    assert!(file("findings.json").contains("~/.cache"));
    for (name, text) in &files {
        assert!(!text.contains("hunter2") && !text.contains("anna"), "{name}");
        assert!(!name.contains("safetensors"));
    }
    let missing = bundle::Contents { more: &[folder.path().join("none")], ..contents };
    assert!(bundle::write(&path, &missing).unwrap_err().to_string().contains("none"));
}

// ---- the command line -----------------------------------------------------------------------------

fn user() -> User {
    User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"))
}

fn states(outcome: &Outcome, check: &str) -> Vec<String> {
    let json = outcome.json();
    let findings = json["findings"].as_array().unwrap();
    let of = findings.iter().filter(|finding| finding["check"] == check);
    of.map(|finding| finding["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_board_that_answers_is_tried_out() {
    let user = user();
    let chip = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7".parse().unwrap();
    let registry = Registry::at(user.path("spikeloop"));
    let place = Place::Pty(Some("left".into()));
    let board = VirtualBoard::start_in(&chip, &place, 1, &registry).unwrap();
    let outcome = user.run("doctor --json --chip pty:left");
    assert_eq!(states(&outcome, "answers"), ["good"], "{}", outcome.out);
    assert_eq!(states(&outcome, "losses"), ["good"], "{}", outcome.out);
    assert_eq!(states(&outcome, "latency").len(), 1);
    let json = outcome.json();
    assert_eq!(outcome.code, i32::from(json["healthy"] != true));
    assert!(json["chip"]["latency"]["count"].as_u64().unwrap() > 0, "{}", outcome.out);
    assert_eq!(json["chip"]["capabilities"]["neurons"], 16);
    drop(board);
}

#[test]
fn a_board_that_is_not_there_is_a_finding_with_a_remedy() {
    let user = user();
    let outcome = user.run("doctor --chip tcp:127.0.0.1:9");
    assert_eq!(outcome.code, 1, "{}", outcome.err);
    assert!(
        outcome.out.contains("problem") && outcome.out.contains("start the board"),
        "{}",
        outcome.out
    );
    let json = user.run("doctor --json --chip tcp:127.0.0.1:9");
    assert_eq!(states(&json, "answers"), ["problem"]);
    user.run("doctor --chip nonsense:").refused(2, &["nonsense"]);
    user.run("doctor --include x").refused(2, &["--report"]);
}

#[test]
fn calibrations_of_another_firmware_are_told() {
    let user = user();
    let folder = user.path("cache/calibration/some");
    fs::create_dir_all(&folder).unwrap();
    let chip = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7";
    let identity = user.run(&format!("info --identity --chip {chip}")).done().out;
    let file =
        format!("{{\"provenance\": {{\"chip\": {:?}, \"firmware\": 65536}}}}", identity.trim());
    fs::write(folder.join("a.calibration.json"), file).unwrap();
    let outcome = user.run(&format!("doctor --json --chip {chip}"));
    assert_eq!(states(&outcome, "firmware"), ["warning"], "{}", outcome.out);
    assert_eq!(outcome.code, 1);
}

#[test]
fn the_report_of_the_command_line_is_complete() {
    let user = user();
    fs::write(user.path("some.log"), "it failed").unwrap();
    let chip = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7";
    let outcome = user.run(&format!("doctor --chip {chip} --report bug.zip --include some.log"));
    assert!(outcome.err.contains("look through it"), "{}", outcome.err);
    let names: Vec<_> = unpacked(&user.path("bug.zip")).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "findings.txt",
        "findings.json",
        "devices.json",
        "environment.txt",
        "system.txt",
        "capabilities.json",
        "files/some.log",
    ];
    assert_eq!(names, expected);
    user.run("doctor --report none/bug.zip").refused(1, &["cannot write the report"]);
}
