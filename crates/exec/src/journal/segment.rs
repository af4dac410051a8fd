//! Reads one segment, at once or as it grows.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
};

use camino::Utf8Path;
use pantler_core::QuantumId;

use super::{
    Event, JournalError, SegmentHeader,
    line::{self, LineError},
    table, v1, v2, v3,
};

/// How far a segment has been read, and what it says apart from its events.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Its number.
    pub(crate) runner: u32,
    /// `None` if its runner died before it had written the first line.
    pub(crate) header: Option<SegmentHeader>,
    /// Whether its runner ended in order.
    pub(crate) sealed: bool,
    /// How many lines count if the runner was declared dead; those after them do not.
    pub(crate) limit: Option<u64>,
    /// How many lines were read.
    pub(crate) lines: u64,
    position: u64,
    version: Version,
}

/// The format of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
    V3,
}

impl Segment {
    /// The segment of `runner`, of which nothing was read.
    pub(crate) fn new(runner: u32) -> Self {
        Self {
            runner,
            header: None,
            sealed: false,
            limit: None,
            lines: 0,
            position: 0,
            version: Version::V3,
        }
    }

    /// Whether runners of its format say what they run, beat and hold a lock of their own.
    pub(crate) fn is_shared(&self) -> bool {
        self.header.is_some() && self.version == Version::V3
    }

    /// Reads what the file at `path` holds by now beyond what was read, and calls `visit`
    /// for each event but the last. A last line that is not whole is left for the next time.
    pub(crate) fn read_on(
        &mut self,
        path: &Utf8Path,
        mut visit: impl FnMut(Event),
    ) -> Result<(), JournalError> {
        if self.sealed {
            return self.nothing_follows(path);
        }
        let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        while !self.sealed && self.limit.is_none_or(|limit| self.lines < limit) {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(failed)?;
            // No newline: the end, or a line that its writer did not finish.
            let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
            // A last line that does not verify is a tail too: what a power loss leaves of a
            // block may hold a newline. What it said was not acknowledged, or is done again.
            let is_last = reader.fill_buf().map_err(failed)?.is_empty();
            match self.take(text) {
                Ok(Some(event)) => visit(event),
                Ok(None) => {}
                Err(LineError::Damaged(_)) if is_last => return Ok(()),
                Err(error) => return Err(self.refused(path, error)),
            }
            self.lines += 1;
            self.position += line.len() as u64;
        }
        self.nothing_follows(path)
    }

    /// Takes the next line.
    fn take(&mut self, text: &[u8]) -> Result<Option<Event>, LineError> {
        if self.lines == 0 {
            let (version, header) = read_header(text)?;
            self.version = version;
            if header.runner != self.runner {
                let reason = format!("it is the segment of runner {}", header.runner);
                return Err(LineError::Damaged(reason));
            }
            self.header = Some(header);
            return Ok(None);
        }
        match self.read_event(self.lines, text)? {
            Event::Sealed => {
                self.sealed = true;
                Ok(None)
            }
            event => Ok(Some(event)),
        }
    }

    /// Reads the event of the line with this sequence number.
    fn read_event(&self, seq: u64, text: &[u8]) -> Result<Event, LineError> {
        let event = line::read_event(seq, text)?;
        match self.version {
            Version::V1 => v1::read_event(self.runner, event),
            Version::V2 => v2::read_event(self.runner, event),
            Version::V3 => v3::read_event(self.runner, event),
        }
    }

    /// Reads what a sealed segment says about these quanta: nothing if its runner was to run
    /// others, else with its address table; `None` if it has none that can be used, and its
    /// lines have to be read. The number is how many bytes of the table and of lines were read.
    pub(crate) fn find(
        path: &Utf8Path,
        runner: u32,
        wanted: &HashSet<QuantumId>,
    ) -> Result<Option<(Self, Vec<Event>, u64)>, JournalError> {
        let mut segment = peek(path, runner)?;
        if !segment.sealed || !segment.is_shared() {
            return Ok(None);
        }
        let selection = segment.header.as_ref().and_then(|header| header.selection.as_ref());
        if selection.is_some_and(|one| {
            one.is_named() && !one.quanta.iter().any(|quantum| wanted.contains(quantum))
        }) {
            segment.lines = 1;
            return Ok(Some((segment, Vec::new(), 0)));
        }
        let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
        let mut file = Counted { file: File::open(path).map_err(failed)?, bytes: 0 };
        let Some(table) = table::of(&mut file) else { return Ok(None) };
        let mut events = Vec::new();
        for quantum in wanted {
            let Ok(row) = table.find(&mut file, *quantum) else { return Ok(None) };
            let Some(row) = row else { continue };
            let Some(event) = segment.event_at(&mut file, row.offset, row.index.into()) else {
                return Ok(None);
            };
            events.push(event);
        }
        segment.lines = 1;
        Ok(Some((segment, events, file.bytes)))
    }

    /// The event of the line that starts at `offset`; `None` if it is not there.
    fn event_at(&self, file: &mut Counted, offset: u64, seq: u64) -> Option<Event> {
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut line = Vec::new();
        BufReader::with_capacity(1 << 10, file).read_until(b'\n', &mut line).ok()?;
        self.read_event(seq, line.strip_suffix(b"\n")?).ok()
    }

    /// After the line that seals it, a segment of version 3 may have a table.
    fn nothing_follows(&self, path: &Utf8Path) -> Result<(), JournalError> {
        if !self.sealed || self.version == Version::V3 {
            return Ok(());
        }
        let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length <= self.position {
            return Ok(());
        }
        let reason = "there is something after the line that seals the segment";
        Err(self.refused(path, LineError::Damaged(reason.to_owned())))
    }

    fn refused(&self, path: &Utf8Path, error: LineError) -> JournalError {
        match error {
            LineError::Version(found) => JournalError::Version { path: path.to_owned(), found },
            LineError::Damaged(reason) => {
                JournalError::Damaged { path: path.to_owned(), line: self.lines + 1, reason }
            }
        }
    }
}

/// A file, and how much was read of it.
struct Counted {
    file: File,
    bytes: u64,
}

impl std::io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl std::io::Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// What can be said of a segment from its first line and its end, without reading it. What
/// is damaged counts as not there.
pub(crate) fn peek(path: &Utf8Path, runner: u32) -> Result<Segment, JournalError> {
    const TAIL: u64 = 4096;
    let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
    let mut segment = Segment::new(runner);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut first = Vec::new();
    file.read_until(b'\n', &mut first).map_err(failed)?;
    let Some(text) = first.strip_suffix(b"\n") else { return Ok(segment) };
    if segment.take(text).is_err() {
        return Ok(segment);
    }
    let length = file.get_ref().metadata().map_err(failed)?.len();
    let from = length.saturating_sub(TAIL).max(first.len() as u64);
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).map_err(failed)?;
    segment.sealed = table::ends(&tail) || tail.strip_suffix(b"\n").is_some_and(is_sealed);
    Ok(segment)
}

/// Whether the last line of `text` seals a segment.
fn is_sealed(text: &[u8]) -> bool {
    let line = text.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let digits = line.strip_prefix(b"{\"seq\":").and_then(|rest| rest.split(|b| *b == b',').next());
    let seq = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    seq.is_some_and(|seq| line::read_event(seq, line).is_ok_and(|event| event == b"\"sealed\""))
}

fn read_header(text: &[u8]) -> Result<(Version, SegmentHeader), LineError> {
    let (version, rest) = line::read_version(text)?;
    match version {
        b"1" => Ok((Version::V1, v1::read_header(line::read_rest(0, rest)?)?)),
        b"2" => Ok((Version::V2, v2::read_header(line::read_rest(0, rest)?)?)),
        b"3" => Ok((Version::V3, v3::read_header(line::read_rest(0, rest)?)?)),
        other => Err(LineError::Version(String::from_utf8_lossy(other).into_owned())),
    }
}
