use super::*;
use crate::registry::Board;

fn board(name: &str, selector: &str, terminal: Option<&str>) -> Board {
    Board {
        name: name.into(),
        selector: selector.into(),
        terminal: terminal.map(Into::into),
        client: None,
        chip: "emu:seed=7".into(),
        identity: "bss2-cal/0000000000000007".into(),
        pid: 42,
        started_unix_s: 0,
    }
}

#[test]
fn boards_are_listed_with_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path());
    let mut remote = registry.register(board("a", "tcp:127.0.0.1:4000", None)).unwrap();
    let _broken = registry.register(board("b", "nonsense:", None)).unwrap();
    let _gone = registry.register(board("c", "pty:c", Some("/dev/pts/none"))).unwrap();
    let entries = virtual_boards(&registry);
    let states: Vec<_> =
        entries.iter().map(|e| (e.selector.to_string(), e.access, e.hint.clone())).collect();
    assert_eq!(
        states,
        [
            ("tcp:127.0.0.1:4000".to_string(), Access::Free, None),
            ("pty:c".to_string(), Access::Unknown, None),
        ]
    );
    assert_eq!(entries[0].description, "bss2-cal/0000000000000007, process 42");
    remote.set_client(Some("127.0.0.1:50000".into())).unwrap();
    let busy = &virtual_boards(&registry)[0];
    assert_eq!(busy.access, Access::Busy { pid: None });
    assert_eq!(busy.hint.as_deref(), Some("in use by another client"));
}

#[test]
fn looking_never_fails() {
    for entry in devices(&Registry::at("/nowhere/at/all")) {
        assert!(entry.selector.to_string().starts_with("serial:"));
    }
}

#[cfg(feature = "serial")]
#[test]
fn usb_ports_are_described_by_what_is_known() {
    let mut usb = serialport::UsbPortInfo {
        vid: 0x0403,
        pid: 0x6014,
        serial_number: Some("FT123".into()),
        manufacturer: Some("FTDI".into()),
        product: Some("UM232H".into()),
    };
    assert_eq!(usb_description(&usb), "FTDI UM232H, 0403:6014, serial number FT123");
    usb.manufacturer = None;
    usb.product = None;
    usb.serial_number = None;
    assert_eq!(usb_description(&usb), "0403:6014");
}
