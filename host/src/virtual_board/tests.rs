use super::*;
use spikeloop_hal::link::{self, BoxLink};
use spikeloop_hal::{
    ChipConfig, Observables, OpenOptions, Recording, Session, SessionOptions, SpikeEvent, Stimulus,
};
use tempfile::TempDir;

const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=16,inputs=8,seed=7";

fn chip() -> Selector {
    CHIP.parse().unwrap()
}

fn registry() -> (TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path());
    (folder, registry)
}

fn start(place: Place, registry: &Registry) -> VirtualBoard {
    VirtualBoard::start_in(&chip(), &place, 1, registry).unwrap()
}

fn open(board: &VirtualBoard) -> Result<Box<dyn Chip>, Error> {
    board.selector().open(&OpenOptions { threads: 1, ..OpenOptions::default() })
}

/// A run with something to see: every input drives every neuron, spikes and membranes come back.
fn run(chip: &mut dyn Chip) -> Observables {
    let caps = chip.capabilities().clone();
    let mut config = ChipConfig::power_up(&caps);
    config.weights.fill(30);
    config.enabled.fill(true);
    config.spiking.fill(true);
    let sample_period = caps.adc.map_or(1, |adc| adc.min_period);
    config.recording = Recording {
        spikes: true,
        traces: vec![0, 3],
        sample_period,
        samples: 20,
        reference: None,
        floor: None,
    };
    chip.configure(&config).unwrap();
    let duration = caps.ticks(40.0);
    let stimuli: Vec<Stimulus> = (0..5)
        .map(|trial| Stimulus {
            trial,
            duration,
            events: (0..64).map(|k| SpikeEvent::new(k * duration / 64, (k % 8) as u16)).collect(),
        })
        .collect();
    let ticket = chip.submit(&stimuli).unwrap();
    let mut observables = Observables::default();
    chip.collect(ticket, &mut observables).unwrap();
    observables.time = Default::default();
    observables
}

/// The same chip gives the same bits in process and through every link.
#[test]
fn every_place_gives_the_same_bits() {
    let (_folder, registry) = registry();
    let options = OpenOptions { threads: 1, ..OpenOptions::default() };
    let direct = run(&mut *chip().open(&options).unwrap());
    assert!(direct.spikes.len() > 10, "{} spikes", direct.spikes.len());
    let places = [Place::Pty(None), Place::Tcp { address: "127.0.0.1:0".into(), name: None }];
    for place in places {
        let board = start(place.clone(), &registry);
        assert_eq!(run(&mut *open(&board).unwrap()), direct, "{place:?}");
    }
    let mut board = start(Place::Memory, &registry);
    let link: BoxLink = Box::new(board.take_link().unwrap());
    let mut session = Session::open(link, SessionOptions::default()).unwrap();
    assert_eq!(run(&mut session), direct);
    assert!(board.take_link().is_none());
}

#[test]
fn clients_come_one_after_the_other() {
    let (_folder, registry) = registry();
    for place in [Place::Pty(None), Place::Tcp { address: "127.0.0.1:0".into(), name: None }] {
        let board = start(place, &registry);
        let first = run(&mut *open(&board).unwrap());
        // A client that goes away in the middle of a run disturbs nobody.
        let mut rude = patiently(|| open(&board));
        let stimulus = Stimulus { trial: 9, duration: 1000, events: vec![] };
        rude.submit(&[stimulus]).unwrap();
        drop(rude);
        assert_eq!(run(&mut *patiently(|| open(&board))), first);
        assert!(board.is_running());
    }
}

/// On TCP the board hears of a lost client when its own thread next looks.
fn patiently(open: impl Fn() -> Result<Box<dyn Chip>, Error>) -> Box<dyn Chip> {
    for _ in 0..100_000 {
        match open() {
            Ok(chip) => return chip,
            Err(error) if in_use(&error) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the board stays in use");
}

fn in_use(error: &Error) -> bool {
    crate::exit_code::ExitCode::of(error) == crate::exit_code::ExitCode::DeviceInUse
}

#[test]
fn a_second_client_is_told_that_the_board_is_in_use() {
    let (_folder, registry) = registry();
    for place in [Place::Pty(None), Place::Tcp { address: "127.0.0.1:0".into(), name: None }] {
        let board = start(place, &registry);
        let mut first = open(&board).unwrap();
        let error = open(&board).err().unwrap();
        assert!(in_use(&error), "{error}");
        // The first does not notice.
        assert!(run(&mut *first).trials() == 5);
    }
}

#[test]
fn named_boards_are_listed_and_found() {
    let (_folder, registry) = registry();
    let left = start(Place::Pty(Some("left".into())), &registry);
    let tcp = Place::Tcp { address: "127.0.0.1:0".into(), name: Some("right".into()) };
    let right = start(tcp, &registry);
    let boards = registry.boards();
    assert_eq!(boards.len(), 2);
    assert_eq!((boards[0].name.as_str(), boards[0].selector.as_str()), ("left", "pty:left"));
    assert_eq!(boards[1].selector, right.selector().to_string());
    assert_eq!(boards[0].chip, CHIP);
    assert_eq!(boards[0].identity, left.identity());
    let again = VirtualBoard::start_in(&chip(), &Place::Pty(Some("left".into())), 1, &registry);
    assert!(matches!(again, Err(Error::NameTaken { .. })));
    drop(left);
    drop(right);
    assert!(registry.boards().is_empty());
}

#[test]
fn only_emulated_chips_and_free_places() {
    let (_folder, registry) = registry();
    let start = |chip: &str, place| {
        VirtualBoard::start_in(&chip.parse().unwrap(), &place, 1, &registry).err().unwrap()
    };
    assert!(matches!(start("pty:x", Place::Memory), Error::Unsupported { .. }));
    assert!(matches!(start("emu:sede=1", Place::Memory), Error::Emulator(_)));
    let nowhere = Place::Tcp { address: "256.0.0.1:0".into(), name: None };
    assert!(matches!(start("emu:", nowhere), Error::Open { .. }));
}

#[test]
fn a_board_that_stops_ends_its_sessions() {
    let (_folder, registry) = registry();
    let board = start(Place::Pty(None), &registry);
    let selector = board.selector().clone();
    let mut session = open(&board).unwrap();
    drop(board);
    let stimulus = Stimulus { trial: 0, duration: 1000, events: vec![] };
    let result = session
        .submit(&[stimulus])
        .and_then(|ticket| session.collect(ticket, &mut Observables::default()));
    assert!(matches!(result, Err(Error::Disconnected { .. } | Error::Link { .. })), "{result:?}");
    drop(session);
    let error = selector.open(&OpenOptions::default()).err().unwrap();
    assert!(matches!(error, Error::NoDevice { .. }), "{error}");
}

#[test]
fn a_client_that_speaks_nonsense_does_no_harm() {
    let (_folder, registry) = registry();
    let board = start(Place::Pty(None), &registry);
    let Selector::Link(address) = board.selector().clone() else { panic!() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut link = link::open(&address).await.unwrap();
        let noise: Vec<u8> =
            (0..20_000u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        link.write_all(&noise).await.unwrap();
    });
    assert_eq!(run(&mut *open(&board).unwrap()).trials(), 5);
}
