//! A chip that writes down what is asked of it and what it answers.
//!
//! Recording never stops a run: what cannot be written is counted, said once, and recording goes on
//! as soon as there is room again. Records go to the operating system after every collected run, and
//! to the disk every [`SYNC_RUNS`] runs or [`SYNC_BYTES`] bytes, so that a kill loses nothing that was
//! collected and a power loss no more than that.

use super::code::{Results, adopt, put_config, put_results, put_stimuli};
use super::error::RecordingError;
use super::format::{Call, Notes, head, kind, put_notes, record};
use super::storage::{FileStorage, Storage};
use super::tail::{Tail, sum};
use super::tape::{Cause, Tape};
use crate::caps::Capabilities;
use crate::chip::{Chip, Health, LinkUse, Observables, Stimulus, Ticket};
use crate::config::ChipConfig;
use crate::error::Error;
use crate::limits::check_run;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Collected runs after which the file is brought to the disk.
const SYNC_RUNS: u64 = 64;

/// Bytes after which the file is brought to the disk.
const SYNC_BYTES: u64 = 16 << 20;

/// Bytes of runs in flight that are held before they go to the operating system.
const MOST_PENDING: usize = 8 << 20;

/// Counters of a recording, to be read while it is made.
#[derive(Debug, Default)]
pub struct Status {
    records: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    replayed: AtomicU64,
    live: AtomicU64,
}

impl Status {
    /// Records written by this process.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes written by this process.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Runs that were answered from the recording after a resumption.
    #[must_use]
    pub fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Runs that the chip itself was given.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The file, and what has to be known to append to it.
struct Book {
    storage: Box<dyn Storage>,
    path: PathBuf,
    /// Whole records that are not yet with the operating system.
    pending: Vec<u8>,
    pending_records: u64,
    /// Bytes of the file that are whole records.
    written: u64,
    unsynced: (u64, u64),
    /// Whether the last write failed: nothing is written until [`restart`](Self::restart).
    broken: bool,
    /// Grows with every loss: a run whose beginning is lost is not recorded.
    losses: u64,
    /// Records lost since the last one that was written.
    lost: u64,
    warned: bool,
    status: Arc<Status>,
}

impl Book {
    fn new(storage: Box<dyn Storage>, path: &Path, written: u64) -> Self {
        Self {
            storage,
            path: path.to_owned(),
            pending: Vec::new(),
            pending_records: 0,
            written,
            unsynced: (0, 0),
            broken: false,
            losses: 0,
            lost: 0,
            warned: false,
            status: Arc::new(Status::default()),
        }
    }

    /// Appends a record and says in which generation of losses it stands; `None` if it is lost.
    fn put(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Option<u64> {
        if self.pending.len() > MOST_PENDING {
            self.flush();
        }
        if !self.broken && record(&mut self.pending, kind, body) {
            self.pending_records += 1;
            return Some(self.losses);
        }
        // A record longer than any can be leaves a gap as well.
        self.flush();
        self.broken = true;
        self.count_loss(1);
        None
    }

    fn count_loss(&mut self, records: u64) {
        self.lost += records;
        self.losses += 1;
        add(&self.status.lost, records);
    }

    /// A record is not written because one that belongs to it is lost.
    fn leave_out(&mut self) {
        add(&self.status.lost, 1);
        if self.broken {
            self.lost += 1;
        } else {
            self.put(kind::LOSS, |out| out.extend_from_slice(&1_u64.to_le_bytes()));
        }
    }

    /// Hands everything to the operating system.
    fn flush(&mut self) {
        if self.pending.is_empty() || self.broken {
            return;
        }
        match self.storage.append(&self.pending) {
            Ok(()) => {
                let length = self.pending.len() as u64;
                self.written += length;
                self.unsynced.1 += length;
                add(&self.status.bytes, length);
                add(&self.status.records, self.pending_records);
            }
            Err(error) => {
                self.broken = true;
                self.count_loss(self.pending_records);
                self.warn(&error);
                // A part of a record may be there; if it cannot be removed now, restart() does it.
                let _ = self.storage.truncate(self.written);
            }
        }
        self.pending.clear();
        self.pending_records = 0;
    }

    /// A run was collected: it must survive the process.
    fn close_run(&mut self) {
        self.flush();
        self.unsynced.0 += 1;
        if self.unsynced.0 >= SYNC_RUNS || self.unsynced.1 >= SYNC_BYTES {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.unsynced = (0, 0);
        if !self.broken
            && let Err(error) = self.storage.sync()
        {
            self.warn(&error);
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        tracing::warn!(
            "the recording {} cannot be written ({error}): the run goes on, but is not recorded from here on; free some space and recording begins again by itself",
            self.path.display()
        );
    }

    /// After a loss: tries to go on behind the last whole record, with a note of what is missing and
    /// with `config` as a whole. Says whether it worked.
    fn restart(&mut self, config: impl FnOnce(&mut Vec<u8>)) -> bool {
        let lost = self.lost;
        let mut bytes = Vec::new();
        record(&mut bytes, kind::LOSS, |out| out.extend_from_slice(&lost.to_le_bytes()));
        record(&mut bytes, kind::CONFIGURATION, config);
        let mut write = || {
            self.storage.truncate(self.written)?;
            self.storage.append(&bytes)
        };
        if write().is_err() {
            return false;
        }
        self.written += bytes.len() as u64;
        add(&self.status.bytes, bytes.len() as u64);
        add(&self.status.records, 2);
        (self.broken, self.lost) = (false, 0);
        true
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        if !self.broken {
            self.put(kind::CLOSED, |_| {});
        }
        self.flush();
        self.sync();
    }
}

/// Who answers a run in flight.
enum Origin {
    /// The chip, under its own ticket. `noted` is the generation in which the submission was written.
    Chip { ticket: Ticket, run: u64, noted: Option<u64> },
    /// The recording.
    Tape(usize),
}

struct Flight {
    ticket: Ticket,
    from: Origin,
}

/// A chip that is recorded. See [`recording`](super).
pub struct Recorder {
    chip: Box<dyn Chip>,
    book: Book,
    notes: Notes,
    /// What the chip has been told.
    wanted: ChipConfig,
    /// What the file says about it; `None` before the first configuration of this process.
    noted: Option<ChipConfig>,
    configured: bool,
    tail: Option<Tail>,
    /// Whether the chip answers itself.
    live: bool,
    /// The last run that was answered from the recording.
    answered: Option<usize>,
    flights: VecDeque<Flight>,
    next_ticket: u64,
    next_run: u64,
    results: Results,
    /// Counters of the runs that were answered from the recording.
    counted: Health,
}

impl Recorder {
    /// Records `chip` in a new file.
    ///
    /// # Errors
    /// [`Error::RecordingFile`] if there is one already, or it cannot be written.
    pub fn create(chip: Box<dyn Chip>, path: &Path, notes: Notes) -> Result<Self, Error> {
        Self::with_storage(chip, Box::new(FileStorage::create(path)?), path, notes)
    }

    /// Records `chip` from the beginning on in a storage of any kind; `path` is its name in messages.
    ///
    /// # Errors
    /// [`Error::RecordingFile`] if it cannot be written.
    pub fn with_storage(
        chip: Box<dyn Chip>,
        mut storage: Box<dyn Storage>,
        path: &Path,
        notes: Notes,
    ) -> Result<Self, Error> {
        let head = head(chip.capabilities(), chip.temperature_c(), &notes);
        let started = storage.append(&head).and_then(|()| storage.sync());
        started.map_err(|source| RecordingError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
        let book = Book::new(storage, path, head.len() as u64);
        Ok(Self::new(chip, book, notes, None))
    }

    /// Goes on with an earlier recording of the same chip, which may have been cut off anywhere: runs
    /// that it holds are answered from it, if they are asked for again, and all others by the chip.
    /// Makes a new one if there is none.
    ///
    /// # Errors
    /// [`Error::RecordingFile`] if it is of another chip or version, cannot be read or written.
    pub fn resume(chip: Box<dyn Chip>, path: &Path, notes: Notes) -> Result<Self, Error> {
        if !path.exists() {
            return Self::create(chip, path, notes);
        }
        let mut storage = FileStorage::open(path)?;
        let io =
            |action| move |source| RecordingError::Io { action, path: path.to_owned(), source };
        let Some(tape) = Tape::begin(storage.reader().map_err(io("read"))?, path)? else {
            // Killed before the head was whole: nothing is lost.
            storage.truncate(0).map_err(io("write"))?;
            return Self::with_storage(chip, Box::new(storage), path, notes);
        };
        let caps = chip.capabilities();
        if tape.capabilities() != caps {
            let name = |caps: &Capabilities| caps.identity.to_string();
            let (recorded, present) = (name(tape.capabilities()), name(caps));
            let path = path.to_owned();
            return Err(RecordingError::OtherChip { path, recorded, present }.into());
        }
        let ending = tape.ending();
        if ending.left > 0 {
            if ending.cause != Cause::CutOff {
                save_rest(path, ending.offset).map_err(io("write"))?;
            }
            storage.truncate(ending.offset).map_err(io("write"))?;
        }
        let book = Book::new(Box::new(storage), path, ending.offset);
        Ok(Self::new(chip, book, notes, Some(Tail::new(tape))))
    }

    fn new(chip: Box<dyn Chip>, book: Book, notes: Notes, tail: Option<Tail>) -> Self {
        let wanted = ChipConfig::power_up(chip.capabilities());
        Self {
            chip,
            book,
            notes,
            wanted,
            noted: None,
            configured: false,
            live: tail.is_none(),
            tail,
            answered: None,
            flights: VecDeque::new(),
            next_ticket: 0,
            next_run: 0,
            results: Results::default(),
            counted: Health::default(),
        }
    }

    /// Counters, to be read while the recorder is in use.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.book.status)
    }

    /// From here on the chip answers itself.
    fn go_live(&mut self) -> Result<(), Error> {
        let Some(tail) = &self.tail else { return Ok(()) };
        self.next_run = tail.kept(self.answered);
        if self.configured
            && let Err(error) = self.chip.configure(&self.wanted)
        {
            self.note_failure(Call::Configure, self.next_run, &error);
            return Err(error);
        }
        self.live = true;
        let (first, notes) = (self.next_run, &self.notes);
        self.book.put(kind::RESUMED, |out| {
            out.extend_from_slice(&first.to_le_bytes());
            put_notes(notes, out);
        });
        self.note_config();
        self.close_tail();
        Ok(())
    }

    /// Forgets the earlier recording when the chip answers itself and no answer is in flight any more
    /// that has to be read from it.
    fn close_tail(&mut self) {
        let taped = |flight: &Flight| matches!(flight.from, Origin::Tape(_));
        if self.live && !self.flights.iter().any(taped) {
            self.tail = None;
        }
    }

    /// Whether the recording is asked before the chip.
    fn answers(&self) -> bool {
        self.tail.is_some() && !self.live
    }

    /// Writes what has changed since the last configuration in the file.
    fn note_config(&mut self) {
        let wanted = &self.wanted;
        let written = match &self.noted {
            Some(noted) if noted == wanted => return,
            Some(noted) => {
                self.book.put(kind::CONFIGURATION, |out| put_config(false, noted, wanted, out))
            }
            None => {
                let start = ChipConfig::power_up(self.chip.capabilities());
                self.book.put(kind::CONFIGURATION, |out| put_config(true, &start, wanted, out))
            }
        };
        if written.is_some() {
            match &mut self.noted {
                Some(noted) => adopt(noted, wanted),
                None => self.noted = Some(wanted.clone()),
            }
        }
    }

    fn note_failure(&mut self, call: Call, run: u64, error: &Error) {
        let refused = matches!(
            error,
            Error::ConfigShape { .. }
                | Error::WeightOutOfRange { .. }
                | Error::CodeOutOfRange { .. }
                | Error::UnknownParameter { .. }
                | Error::Recording { .. }
                | Error::BeyondBuffers { .. }
                | Error::Stimulus { .. }
                | Error::TooManyRuns { .. }
                | Error::UnknownTicket { .. }
        );
        self.book.put(kind::FAILURE, |out| {
            out.extend_from_slice(&[call as u8, u8::from(refused)]);
            out.extend_from_slice(&run.to_le_bytes());
            out.extend_from_slice(error.to_string().as_bytes());
        });
        if !refused {
            self.book.flush();
        }
    }

    fn ticket(&mut self, from: Origin) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.flights.push_back(Flight { ticket, from });
        ticket
    }

    /// The answer of the recording to a run, if it has one.
    fn look_up(&mut self, stimuli: &[Stimulus]) -> Result<Option<Ticket>, Error> {
        let limit = self.chip.capabilities().buffers.runs_in_flight;
        if self.flights.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        check_run(self.chip.capabilities(), &self.wanted.recording, stimuli)?;
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let found = tail.find(&self.wanted, stimuli).unwrap_or_else(|error| {
            tracing::warn!("{error}; from here on the chip answers itself");
            None
        });
        let Some(k) = found else { return Ok(None) };
        self.answered = Some(k);
        add(&self.book.status.replayed, 1);
        Ok(Some(self.ticket(Origin::Tape(k))))
    }

    /// After a loss: tries to record again, from the present configuration on.
    fn mend(&mut self) {
        let start = ChipConfig::power_up(self.chip.capabilities());
        let wanted = &self.wanted;
        if self.book.restart(|out| put_config(true, &start, wanted, out)) {
            self.noted = Some(wanted.clone());
        }
    }
}

/// Keeps what cannot be read beside the recording, before it is cut off.
fn save_rest(path: &Path, offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut name = path.as_os_str().to_owned();
    name.push(".unreadable");
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(offset))?;
    io::copy(&mut from, &mut File::create(&name)?)?;
    tracing::warn!(
        "the end of the recording {} is damaged from byte {offset} on; what cannot be read is kept in {}",
        path.display(),
        Path::new(&name).display()
    );
    Ok(())
}

impl Chip for Recorder {
    fn capabilities(&self) -> &Capabilities {
        self.chip.capabilities()
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        if self.answers() {
            config.check(self.chip.capabilities())?;
            adopt(&mut self.wanted, config);
            self.configured = true;
            return Ok(());
        }
        if let Err(error) = self.chip.configure(config) {
            self.note_failure(Call::Configure, self.next_run, &error);
            return Err(error);
        }
        adopt(&mut self.wanted, config);
        self.note_config();
        Ok(())
    }

    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        if self.answers() {
            if let Some(ticket) = self.look_up(stimuli)? {
                return Ok(ticket);
            }
            self.go_live()?;
        }
        let limit = self.chip.capabilities().buffers.runs_in_flight;
        if self.tail.is_some() && self.flights.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        let run = self.next_run;
        let ticket = match self.chip.submit(stimuli) {
            Ok(ticket) => ticket,
            Err(error) => {
                self.note_failure(Call::Submit, run, &error);
                return Err(error);
            }
        };
        add(&self.book.status.live, 1);
        self.next_run += 1;
        let noted = self.book.put(kind::SUBMITTED, |out| {
            out.extend_from_slice(&run.to_le_bytes());
            put_stimuli(stimuli, out);
        });
        Ok(self.ticket(Origin::Chip { ticket, run, noted }))
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        let unknown = Error::UnknownTicket { ticket: ticket.0 };
        let Some(at) = self.flights.iter().position(|f| f.ticket == ticket) else {
            return Err(unknown);
        };
        match self.flights[at].from {
            Origin::Tape(k) => {
                let Some(tail) = self.tail.as_mut().filter(|_| at == 0) else {
                    return Err(unknown);
                };
                tail.results(k, &mut self.results)?;
                self.counted = tail.added(&self.results.health);
                std::mem::swap(into, &mut self.results.observables);
            }
            Origin::Chip { ticket, run, noted } => {
                if let Err(error) = self.chip.collect(ticket, into) {
                    self.note_failure(Call::Collect, run, &error);
                    return Err(error);
                }
                self.note_results(run, noted, into);
            }
        }
        self.flights.remove(at);
        self.close_tail();
        Ok(())
    }

    fn health(&self) -> Health {
        sum(&self.counted, &self.chip.health())
    }

    fn link_use(&self) -> Option<LinkUse> {
        self.chip.link_use()
    }

    fn temperature_c(&self) -> Option<f32> {
        match self.answers() {
            true => self.results.temperature_c.or_else(|| self.chip.temperature_c()),
            false => self.chip.temperature_c(),
        }
    }
}

impl Recorder {
    /// Writes what a run brought back, if its beginning is in the file.
    fn note_results(&mut self, run: u64, noted: Option<u64>, observables: &Observables) {
        if noted == Some(self.book.losses) && !self.book.broken {
            let bits = self.chip.capabilities().adc.map_or(1, |adc| adc.bits);
            let (health, temperature) = (self.chip.health(), self.chip.temperature_c());
            self.book.put(kind::COLLECTED, |out| {
                out.extend_from_slice(&run.to_le_bytes());
                put_results(observables, bits, &health, temperature, out);
            });
        } else {
            self.book.leave_out();
        }
        self.book.close_run();
        if self.book.broken {
            self.mend();
        }
    }
}
