//! From a selector to an open chip.

use crate::chip::Chip;
use crate::error::Error;
use crate::link::fault::Faults;
use crate::link::tracer::{self, Sink};
use crate::link::{BoxLink, Place};
use crate::selector::Selector;
use crate::session::{Clock, Session, SessionOptions};

/// How a chip is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Threads of an emulated chip in this process. The results are the same bits for every number.
    pub threads: usize,
    /// Session over a link.
    pub session: SessionOptions,
    /// What the link is wrapped in, the first time and whenever it is opened again.
    pub around: Around,
}

/// Middlewares around the link of a session. They do not apply to a chip in this process.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Faults on purpose.
    pub faults: Option<Faults>,
    /// Where everything that passes is written.
    pub trace: Option<Sink>,
}

impl Around {
    fn wrap(&self, mut link: BoxLink, clock: &Clock) -> BoxLink {
        if let Some(faults) = &self.faults {
            link = faults.wrap(link);
        }
        // Outside, so that it shows what the session sees.
        if let Some(sink) = &self.trace {
            link = tracer::wrap(link, sink.clone(), clock.clone());
        }
        link
    }
}

impl Default for OpenOptions {
    /// As many threads as the machine runs at once, and the session's own defaults.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, session: SessionOptions::default(), around: Around::default() }
    }
}

impl Selector {
    /// Opens the chip, whatever it is: the emulator in this process, or a session over a link.
    ///
    /// # Errors
    /// [`Error::Emulator`] for options that describe no chip, everything that [`Place::open`]
    /// reports, and everything that a session reports when nobody answers as a chip should.
    pub fn open(&self, options: &OpenOptions) -> Result<Box<dyn Chip>, Error> {
        match self {
            #[cfg(feature = "emulator")]
            Selector::Emulator(settings) => {
                let chip = crate::emulator::Emulator::from_options(settings, options.threads)?;
                Ok(Box::new(chip))
            }
            #[cfg(not(feature = "emulator"))]
            Selector::Emulator(_) => Err(Error::Unsupported {
                device: self.to_string(),
                remedy: "this build has no emulator: build with the feature `emulator`",
            }),
            Selector::Replay(path) => Ok(Box::new(crate::replay::Replay::open(path)?)),
            Selector::Link(address) => {
                let mut place = Place::new(address.clone());
                let (around, clock) = (options.around.clone(), options.session.clock.clone());
                let open = move || {
                    let (link, around, clock) = (place.open(), around.clone(), clock.clone());
                    async move { Ok(around.wrap(link.await?, &clock)) }
                };
                Ok(Box::new(Session::connect(open, options.session.clone())?))
            }
        }
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use super::*;

    fn open(selector: &str) -> Result<Box<dyn Chip>, Error> {
        let options = OpenOptions { threads: 1, ..OpenOptions::default() };
        selector.parse::<Selector>()?.open(&options)
    }

    #[test]
    fn the_emulator_opens_with_its_options() {
        let chip = open("emu:preset=bss2-cal,neurons=16,inputs=8,seed=3").unwrap();
        let caps = chip.capabilities();
        assert_eq!((caps.inputs, caps.neurons), (8, 16));
        assert_eq!(caps.identity.kind.as_str(), "bss2-cal");
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        assert!(matches!(open("emu:sede=3"), Err(Error::Emulator(_))));
        assert!(matches!(open("pty:/dev/pts/none"), Err(Error::NoDevice { .. })));
        // Port 9 (discard) of the local machine: nobody listens.
        assert!(matches!(open("tcp:127.0.0.1:9"), Err(Error::NoDevice { .. })));
    }
}
