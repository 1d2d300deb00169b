//! Reading a recording: one pass to check every record and to find the runs, then any run by its
//! place.
//!
//! Memory is bounded by the length of the file, whatever the lengths in it say: an entry of the list
//! takes at most three times the bytes of the shortest record it can stand for, and a body is only read
//! if the file is long enough to hold it.

use super::code::{Input, Results, adopt, apply_config, is_full, read_results, read_stimuli};
use super::error::RecordingError;
use super::format::{
    CRC, Call, Head, MAX_BODY, Notes, RECORD_HEAD, RECORD_TAIL, kind, read_head, read_notes,
};
use crate::caps::Capabilities;
use crate::chip::Stimulus;
use crate::config::ChipConfig;
use crate::wire::Malformed;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What a recording can be read from.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// Why a recording ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was closed in good order.
    Closed,
    /// After a whole record, but it was not closed: the process was killed, or still runs.
    Open,
    /// In the middle of a record: cut off by a kill, a power loss or a full disk.
    CutOff,
    /// The checksum of the next record does not match.
    Checksum,
    /// The next record makes no sense.
    Nonsense,
}

/// Where a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ending {
    /// First byte after the last whole record.
    pub offset: u64,
    /// Bytes of the file from there on.
    pub left: u64,
    /// Whole records.
    pub records: u64,
    /// Why it ends there.
    pub cause: Cause,
}

impl core::fmt::Display for Ending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { offset, left, records, cause } = self;
        match cause {
            Cause::Closed => write!(f, "it was closed there, at byte {offset}"),
            Cause::Open => {
                write!(f, "it was never closed, its last whole record ends at byte {offset}")
            }
            Cause::CutOff => {
                write!(
                    f,
                    "it is cut off in the middle of record {records}, at byte {}",
                    offset + left
                )
            }
            Cause::Checksum => {
                write!(
                    f,
                    "record {records} at byte {offset} is damaged, {left} bytes are unreadable"
                )
            }
            Cause::Nonsense => {
                write!(
                    f,
                    "record {records} at byte {offset} makes no sense, {left} bytes are unreadable"
                )
            }
        }
    }
}

/// A failure of the chip that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// In which call.
    pub call: Call,
    /// Whether the call was only refused, and nothing changed.
    pub refused: bool,
    /// The run: that was collected, or that would have come next.
    pub run: u64,
    /// What the chip said.
    pub message: String,
}

/// What stands in a recording, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Configurations.
    pub configurations: u64,
    /// Runs submitted, also those that were submitted again after a resumption.
    pub submitted: u64,
    /// Runs that brought something back, also those that are void.
    pub collected: u64,
    /// Times that the recording was resumed.
    pub resumed: u64,
    /// Records that could not be written.
    pub lost: u64,
    /// Bytes of configurations, submitted runs and collected runs.
    pub bytes: [u64; 3],
}

#[derive(Clone, Copy, Debug)]
struct Span {
    offset: u64,
    length: u32,
}

#[derive(Clone, Copy, Debug)]
struct Configuration {
    body: Span,
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// Configurations before it in the file.
    configurations: u32,
    stimuli: Span,
    hash: u32,
    results: Option<Span>,
}

/// An open recording.
pub struct Tape {
    source: Box<dyn Source>,
    path: PathBuf,
    head: Head,
    sessions: Vec<(u64, Notes)>,
    entries: Vec<Entry>,
    configurations: Vec<Configuration>,
    failures: Vec<Failure>,
    totals: Totals,
    ending: Ending,
    /// State of the chip after the first `applied` configurations.
    state: ChipConfig,
    applied: usize,
    body: Vec<u8>,
}

impl core::fmt::Debug for Tape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tape").field("path", &self.path).field("ending", &self.ending).finish()
    }
}

impl Tape {
    /// Opens a recording and checks every record of it.
    ///
    /// # Errors
    /// [`RecordingError::Io`], [`RecordingError::NotARecording`], [`RecordingError::Version`],
    /// [`RecordingError::Head`]. Records that are damaged or missing are no errors: the recording
    /// [ends](Self::ending) before them.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io { action: "open", path: path.to_owned(), source };
        Self::read(File::open(path).map_err(io)?, path)
    }

    /// The same from any source; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(source: impl Source + 'static, path: &Path) -> Result<Self, RecordingError> {
        match Self::begin(source, path)? {
            Some(tape) => Ok(tape),
            None => {
                Err(RecordingError::Head { path: path.to_owned(), why: "it is cut off".into() })
            }
        }
    }

    /// The same; `None` if the file ends before its head does.
    pub(super) fn begin(
        source: impl Source + 'static,
        path: &Path,
    ) -> Result<Option<Self>, RecordingError> {
        let io = |source| RecordingError::Io { action: "read", path: path.to_owned(), source };
        let mut source = BufReader::with_capacity(1 << 16, source);
        let length = source.seek(SeekFrom::End(0)).map_err(io)?;
        source.rewind().map_err(io)?;
        let Some((head, offset)) = read_head(&mut source, path)? else { return Ok(None) };
        let state = ChipConfig::power_up(&head.capabilities);
        let ending = Ending { offset, left: length - offset, records: 0, cause: Cause::Open };
        let mut scan = Scan {
            sessions: vec![(0, head.notes.clone())],
            entries: Vec::new(),
            configurations: Vec::new(),
            failures: Vec::new(),
            totals: Totals::default(),
            ending,
            next: 0,
        };
        scan.all(&mut source, length).map_err(io)?;
        let Scan { sessions, entries, configurations, failures, totals, ending, .. } = scan;
        Ok(Some(Self {
            source: Box::new(source),
            path: path.to_owned(),
            head,
            sessions,
            entries,
            configurations,
            failures,
            totals,
            ending,
            state,
            applied: 0,
            body: Vec::new(),
        }))
    }

    /// Name of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Versions, chip and notes of the one who began it.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What the recorded chip is.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.head.capabilities
    }

    /// The processes that wrote it: the number of the first run of each, and its notes.
    #[must_use]
    pub fn sessions(&self) -> &[(u64, Notes)] {
        &self.sessions
    }

    /// Runs that count: those that were recorded again after a resumption count once. A run is named
    /// by its place among them, `0 .. runs()`.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.entries.len()
    }

    /// Number of run `k`: its place in the order of submission. Differs from `k` only after a loss.
    #[must_use]
    pub fn number(&self, k: usize) -> u64 {
        self.entries[k].number
    }

    /// Whether run `k` brought something back.
    #[must_use]
    pub fn is_complete(&self, k: usize) -> bool {
        self.entries.get(k).is_some_and(|entry| entry.results.is_some())
    }

    /// Checksum of the stimuli of run `k`, as they are packed in its record.
    pub(super) fn hash(&self, k: usize) -> u32 {
        self.entries[k].hash
    }

    /// Failures of the chip, in order.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// What stands in it, counted.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Where and why it ends.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The error of one who wants more than there is.
    #[must_use]
    pub fn ended(&self) -> RecordingError {
        let (path, runs) = (self.path.clone(), self.runs() as u64);
        RecordingError::Ended { path, runs, ending: self.ending }
    }

    /// The configuration with which run `k` was submitted; its parameters stand in the order in which
    /// the chip announced them.
    ///
    /// # Errors
    /// [`RecordingError::Io`], [`RecordingError::Malformed`].
    pub fn configuration(&mut self, k: usize) -> Result<&ChipConfig, RecordingError> {
        let wanted = self.entries[k].configurations as usize;
        if wanted < self.applied {
            self.state = ChipConfig::power_up(&self.head.capabilities);
            self.applied = 0;
        }
        // The last one that stands alone makes all before it superfluous.
        let new = &self.configurations[self.applied..wanted];
        let skipped = new.iter().rposition(|c| c.full).unwrap_or(0);
        for at in self.applied + skipped..wanted {
            let span = self.configurations[at].body;
            self.load(span)?;
            // A half applied configuration must not be built upon.
            self.applied = usize::MAX;
            apply_config(&self.body, &self.head.capabilities, &mut self.state)
                .map_err(|why| malformed(&self.path, span, why))?;
            self.applied = at + 1;
        }
        self.applied = wanted;
        Ok(&self.state)
    }

    /// The stimuli of run `k`, into a list whose memory is used again.
    ///
    /// # Errors
    /// [`RecordingError::Io`], [`RecordingError::Malformed`].
    pub fn stimuli(&mut self, k: usize, into: &mut Vec<Stimulus>) -> Result<(), RecordingError> {
        let span = self.entries[k].stimuli;
        self.load(span)?;
        read_stimuli(&self.body[8..], into).map_err(|why| malformed(&self.path, span, why))
    }

    /// What run `k` brought back; `false` if nothing was recorded.
    ///
    /// # Errors
    /// [`RecordingError::Io`], [`RecordingError::Malformed`].
    pub fn results(&mut self, k: usize, into: &mut Results) -> Result<bool, RecordingError> {
        let Some(span) = self.entries[k].results else { return Ok(false) };
        self.load(span)?;
        read_results(&self.body[8..], into).map_err(|why| malformed(&self.path, span, why))?;
        Ok(true)
    }

    /// A configuration of the recorded chip, in the order of its own lists.
    pub(crate) fn in_order(&self, config: &ChipConfig) -> ChipConfig {
        let mut ordered = ChipConfig::power_up(&self.head.capabilities);
        adopt(&mut ordered, config);
        ordered
    }

    fn load(&mut self, span: Span) -> Result<(), RecordingError> {
        let mut read = || {
            self.source.seek(SeekFrom::Start(span.offset))?;
            // As long as the body was when it was checked: not longer than the file.
            self.body.resize(span.length as usize, 0);
            self.source.read_exact(&mut self.body)
        };
        read().map_err(|source| RecordingError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })
    }
}

fn malformed(path: &Path, span: Span, why: Malformed) -> RecordingError {
    RecordingError::Malformed { path: path.to_owned(), offset: span.offset, why }
}

/// The first pass.
struct Scan {
    sessions: Vec<(u64, Notes)>,
    entries: Vec<Entry>,
    configurations: Vec<Configuration>,
    failures: Vec<Failure>,
    totals: Totals,
    ending: Ending,
    /// Least number that the next run can have.
    next: u64,
}

impl Scan {
    fn all(&mut self, source: &mut impl Read, length: u64) -> io::Result<()> {
        let mut record = Vec::new();
        loop {
            self.ending.left = length - self.ending.offset;
            if self.ending.left == 0 {
                return Ok(());
            }
            match self.one(source, &mut record)? {
                Ok(closed) => {
                    self.ending.records += 1;
                    self.ending.offset += record.len() as u64;
                    // Whoever went on after a close wrote more.
                    self.ending.cause = if closed { Cause::Closed } else { Cause::Open };
                }
                Err(cause) => {
                    self.ending.cause = cause;
                    return Ok(());
                }
            }
        }
    }

    fn one(
        &mut self,
        source: &mut impl Read,
        record: &mut Vec<u8>,
    ) -> io::Result<Result<bool, Cause>> {
        record.clear();
        if (&mut *source).take(RECORD_HEAD as u64).read_to_end(record)? < RECORD_HEAD {
            return Ok(Err(Cause::CutOff));
        }
        let length = u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize;
        let all = RECORD_HEAD + length + RECORD_TAIL;
        if length > MAX_BODY {
            return Ok(Err(Cause::Checksum));
        }
        if all as u64 > self.ending.left {
            return Ok(Err(Cause::CutOff));
        }
        if (&mut *source).take((all - RECORD_HEAD) as u64).read_to_end(record)? < all - RECORD_HEAD
        {
            return Ok(Err(Cause::CutOff));
        }
        let (checked, crc) = record.split_at(all - RECORD_TAIL);
        if CRC.checksum(checked).to_le_bytes() != crc {
            return Ok(Err(Cause::Checksum));
        }
        let span = Span { offset: self.ending.offset + RECORD_HEAD as u64, length: length as u32 };
        let kind = checked[4];
        Ok(match self.note(kind, &checked[RECORD_HEAD..], span) {
            Ok(()) => Ok(kind == kind::CLOSED),
            Err(_) => Err(Cause::Nonsense),
        })
    }

    fn note(&mut self, kind: u8, body: &[u8], span: Span) -> Result<(), Malformed> {
        let mut from = Input::new(body);
        let size = u64::from(span.length);
        match kind {
            kind::CONFIGURATION => {
                self.totals.configurations += 1;
                self.totals.bytes[0] += size;
                self.configurations.push(Configuration { body: span, full: is_full(body) });
            }
            kind::SUBMITTED => {
                let number = from.u64()?;
                if number < self.next {
                    return Err(Malformed::Reserved);
                }
                self.next = number.checked_add(1).ok_or(Malformed::Reserved)?;
                self.totals.submitted += 1;
                self.totals.bytes[1] += size;
                self.entries.push(Entry {
                    number,
                    configurations: self.configurations.len() as u32,
                    stimuli: span,
                    hash: CRC.checksum(from.rest()),
                    results: None,
                });
            }
            kind::COLLECTED => {
                let number = from.u64()?;
                self.totals.collected += 1;
                self.totals.bytes[2] += size;
                if let Ok(k) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
                    self.entries[k].results = Some(span);
                }
            }
            kind::FAILURE => {
                let call = Call::from_byte(from.u8()?).ok_or(Malformed::Reserved)?;
                let refused = from.u8()? & 1 != 0;
                let run = from.u64()?;
                let message = String::from_utf8_lossy(from.rest()).into_owned();
                self.failures.push(Failure { call, refused, run, message });
            }
            kind::LOSS => self.totals.lost = self.totals.lost.saturating_add(from.u64()?),
            kind::RESUMED => {
                let first = from.u64()?;
                let notes = read_notes(&mut from)?;
                self.totals.resumed += 1;
                self.entries.truncate(self.entries.partition_point(|e| e.number < first));
                self.failures.retain(|failure| failure.refused || failure.run < first);
                self.next = first;
                self.sessions.push((first, notes));
            }
            kind::CLOSED => {}
            _ => return Err(Malformed::Kind),
        }
        Ok(())
    }
}
