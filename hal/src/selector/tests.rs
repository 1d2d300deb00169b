use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Selector {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_scheme_parses() {
    assert_eq!(parse("emu:"), Selector::Emulator(vec![]));
    assert_eq!(parse("emu"), Selector::Emulator(vec![]));
    assert_eq!(
        parse("emu:preset=bss2-cal, seed=7"),
        Selector::Emulator(vec![("preset".into(), "bss2-cal".into()), ("seed".into(), "7".into())])
    );
    assert_eq!(
        parse("serial:/dev/ttyUSB1,flow=hardware"),
        Selector::Link(Address::Serial {
            path: "/dev/ttyUSB1".into(),
            baud: DEFAULT_BAUD,
            hardware_flow: true
        })
    );
    assert_eq!(
        parse("tcp:[::1]:4000"),
        Selector::Link(Address::Tcp { address: "[::1]:4000".into() })
    );
    assert_eq!(parse("pty:left"), Selector::Link(Address::Pty { name: "left".into() }));
    assert_eq!(parse("pty:/dev/pts/5"), Selector::Link(Address::pty_path(Path::new("/dev/pts/5"))));
}

/// One message for each way to get it wrong: they are part of the interface.
#[test]
fn a_recording_is_a_path_with_anything_but_commas_in_it() {
    for path in ["run.rec", "/tmp/with blanks=and:colons/a.rec", "../ä/run"] {
        let selector = parse(&format!("replay:{path}"));
        assert_eq!(selector, Selector::Replay(path.into()));
        assert_eq!(parse(&selector.to_string()), selector);
    }
    for bad in ["replay:", "replay", "replay:a,b"] {
        let error = bad.parse::<Selector>().unwrap_err().to_string();
        assert!(error.contains("without commas"), "{error}");
    }
}

#[test]
fn messages() {
    let bad = [
        "",
        "seriall:/dev/ttyACM0",
        "usb",
        "/dev/ttyACM0",
        "emu:seed",
        "emu:seed=",
        "emu:seed=1,seed=2",
        "serial:",
        "serial:/dev/ttyACM0,buad=9600",
        "serial:/dev/ttyACM0,parity=even",
        "serial:/dev/ttyACM0,baud=fast",
        "serial:/dev/ttyACM0,baud=0",
        "serial:/dev/ttyACM0,flow=soft",
        "tcp:",
        "tcp:localhost",
        "tcp:localhost:99999",
        "tcp:::1:4000",
        "tcp:localhost:4000,nodelay=1",
        "pty:",
        "pty:.hidden",
        "pty:two words",
    ];
    let text = bad
        .map(|bad| match bad.parse::<Selector>() {
            Ok(selector) => format!("{bad}\n  PARSED AS {selector}\n"),
            Err(error) => format!("{bad}\n  {error}\n"),
        })
        .concat();
    insta::assert_snapshot!(text);
}

#[test]
fn serde_uses_the_string() {
    let selector = parse("emu:seed=3");
    let toml = toml::to_string(&std::collections::BTreeMap::from([("chip", &selector)])).unwrap();
    assert_eq!(toml, "chip = \"emu:seed=3\"\n");
    let back: std::collections::BTreeMap<String, Selector> = toml::from_str(&toml).unwrap();
    assert_eq!(back["chip"], selector);
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(
        keys in proptest::collection::btree_map("[a-z_]{1,8}", "[A-Za-z0-9./-]{1,12}", 0..5),
        baud in 1u32..,
        flow: bool,
        name in "[A-Za-z0-9_-]{1,20}",
        port in 1u16..,
    ) {
        let selectors = [
            Selector::Emulator(keys.into_iter().collect()),
            Address::Serial { path: format!("/dev/{name}"), baud, hardware_flow: flow }.into(),
            Address::Tcp { address: format!("{name}:{port}") }.into(),
            Address::Pty { name }.into(),
        ];
        for selector in selectors {
            prop_assert_eq!(parse(&selector.to_string()), selector);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = text.parse::<Selector>();
    }
}
