//! A program without the standard library that serves a small core: the check that none leaks in.
//!
//! Run it on its own, because a build of the whole workspace unifies features and hides the fault:
//!
//! ```text
//! cargo check --manifest-path firmware/no_std_check/Cargo.toml
//! ```
//!
//! It is built for the host's own target, so that nothing has to be installed. As soon as anything
//! below it links the standard library, the compiler finds two panic handlers and refuses with
//! "found duplicate lang item `panic_impl`" (E0152). There is nothing to run and it is not linked.
#![no_std]
#![no_main]

use spikeloop_firmware::{
    Buffers, Core, Emit, Fault, Outcome, Progress, Server, Trial, Waiting, Write,
};
use spikeloop_hal::wire::encoded_len;
use spikeloop_hal::{Capabilities, Identity, PROTOCOL_VERSION, SpikeEvent};

/// Every input line drives the neuron of the same number, one tick later.
struct Echo {
    caps: Capabilities,
    recording: bool,
    waiting: Option<SpikeEvent>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Idle,
    Open,
    Sealed,
}

impl Core for Echo {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn reset(&mut self) {
        self.recording = false;
        self.waiting = None;
        self.state = State::Idle;
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), Fault> {
        if let Write::Recording(head) = write {
            self.recording = head.spikes;
        }
        Ok(())
    }

    fn samples_per_trial(&self) -> usize {
        0
    }

    fn ready(&self) -> bool {
        self.state == State::Idle
    }

    fn begin(&mut self, _: Trial) -> Result<(), Fault> {
        self.state = State::Open;
        Ok(())
    }

    fn inject(&mut self, event: SpikeEvent) -> bool {
        let room = self.waiting.is_none();
        if room {
            self.waiting = Some(event);
        }
        room
    }

    fn seal(&mut self) {
        self.state = State::Sealed;
    }

    fn poll<E: Emit>(&mut self, _now_ns: u64, emit: &mut E) -> Result<Progress, Fault> {
        match self.waiting.take() {
            Some(event) if self.recording => {
                emit.spikes(&[SpikeEvent::new(event.tick + 1, event.id)])
            }
            Some(_) => {}
            None if self.state == State::Sealed => {
                self.state = State::Idle;
                return Ok(Progress::Done(Outcome::default()));
            }
            None => {}
        }
        Ok(Progress::Running)
    }
}

fn capabilities() -> Option<Capabilities> {
    Some(Capabilities {
        protocol: PROTOCOL_VERSION,
        identity: Identity { kind: "echo".try_into().ok()?, serial: 1, firmware: 1 << 16 },
        neurons: 16,
        inputs: 16,
        recurrent: false,
        weight_min: -7,
        weight_max: 7,
        tick_ns: 1000,
        max_duration: 1 << 20,
        adc: None,
        buffers: spikeloop_hal::Buffers {
            trials: 4,
            stimulus_events: 128,
            spikes_per_trial: 128,
            trace_bytes: 0,
            runs_in_flight: 2,
            frame_body: 256,
        },
        parameters: Default::default(),
    })
}

/// One turn of the main loop over everything that a board would do; nothing calls it.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    let Some(caps) = capabilities() else { return 1 };
    let core = Echo { caps, recording: false, waiting: None, state: State::Idle };
    let (mut input, mut early) = ([0; encoded_len(256)], [0; 2 * 256]);
    let (mut output, mut body) = ([0; 1024], [0; 256]);
    let (mut events, mut spikes) = ([SpikeEvent::default(); 128], [SpikeEvent::default(); 128]);
    let (mut trials, mut samples) = ([Waiting::default(); 4], [0; 0]);
    let buffers = Buffers {
        input: &mut input,
        early: &mut early,
        output: &mut output,
        body: &mut body,
        events: &mut events,
        trials: &mut trials,
        spikes: &mut spikes,
        samples: &mut samples,
    };
    let Ok(mut server) = Server::new(core, buffers) else { return 1 };
    server.receive(&[0, 1, 2, 0], 0);
    server.poll(0);
    let n = server.transmit(0).len();
    server.sent(n, 0);
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
