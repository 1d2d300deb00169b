use super::*;

fn board(name: &str) -> Board {
    Board {
        name: name.into(),
        selector: format!("pty:{name}"),
        terminal: Some("/dev/pts/99".into()),
        client: None,
        chip: "emu:seed=7".into(),
        identity: "bss2-cal/0000000000000007".into(),
        pid: std::process::id(),
        started_unix_s: 1_700_000_000,
    }
}

fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path().join("spikeloop"));
    (folder, registry)
}

#[test]
fn a_board_is_listed_while_it_runs() {
    let (_folder, registry) = registry();
    assert!(registry.boards().is_empty());
    let right = registry.register(board("right")).unwrap();
    let left = registry.register(board("left")).unwrap();
    assert_eq!(registry.boards(), [board("left"), board("right")]);
    assert_eq!(registry.find("left"), Some(board("left")));
    drop(left);
    assert_eq!(registry.boards(), [board("right")]);
    assert_eq!(registry.find("left"), None);
    drop(right);
    assert!(registry.boards().is_empty());
}

#[test]
fn a_name_is_taken_once() {
    let (_folder, registry) = registry();
    let _first = registry.register(board("left")).unwrap();
    let error = registry.register(board("left")).unwrap_err();
    assert!(matches!(error, Error::NameTaken { pid, .. } if pid == std::process::id()));
}

#[test]
fn what_a_killed_board_left_is_removed() {
    let (_folder, registry) = registry();
    drop(registry.register(board("other")).unwrap());
    let path = registry.folder.join("left.board");
    fs::write(&path, toml::to_string(&board("left")).unwrap()).unwrap();
    assert_eq!(registry.find("left"), None);
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    assert!(registry.boards().is_empty());
    assert!(!path.exists());
    // And its name is free again.
    fs::write(&path, toml::to_string(&board("left")).unwrap()).unwrap();
    let _again = registry.register(board("left")).unwrap();
    assert_eq!(registry.boards(), [board("left")]);
}

#[test]
fn one_bad_entry_hides_no_good_one() {
    let (_folder, registry) = registry();
    let _good = registry.register(board("good")).unwrap();
    let garbage = registry.folder.join("garbage.board");
    fs::write(&garbage, [0xff, 0xfe]).unwrap();
    let held = File::open(&garbage).unwrap();
    held.lock().unwrap();
    fs::create_dir(registry.folder.join("folder.board")).unwrap();
    fs::write(registry.folder.join("unrelated.txt"), "x").unwrap();
    assert_eq!(registry.boards(), [board("good")]);
}

#[test]
fn the_client_is_noted_and_forgotten() {
    let (_folder, registry) = registry();
    let mut entry = registry.register(board("left")).unwrap();
    entry.set_client(Some("127.0.0.1:50000".into())).unwrap();
    assert_eq!(registry.find("left").unwrap().client.as_deref(), Some("127.0.0.1:50000"));
    entry.set_client(None).unwrap();
    assert_eq!(registry.find("left"), Some(board("left")));
}

#[test]
fn names_stay_inside_the_folder() {
    let (_folder, registry) = registry();
    assert!(matches!(registry.register(board("../left")), Err(Error::Selector(_))));
    assert_eq!(registry.find("../left"), None);
}

#[test]
fn a_folder_open_to_others_is_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = registry();
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Registry::at(&shared).check_private(), Err(Error::Registry { .. })));
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(Registry::at(&shared).check_private().is_ok());
}
