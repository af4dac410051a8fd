//! Reads one segment.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use camino::Utf8Path;

use super::{
    Event, JournalError, SegmentHeader,
    line::{self, LineError},
    v1, v2,
};

/// What a segment says, apart from its events.
#[derive(Debug)]
pub(super) struct Segment {
    /// `None` if its runner died before it had written the first line.
    pub(super) header: Option<SegmentHeader>,
    /// Whether its runner ended in order.
    pub(super) sealed: bool,
}

/// The format of a segment.
#[derive(Debug, Clone, Copy)]
enum Version {
    V1,
    V2,
}

/// Reads the segment of `runner` at `path`, and calls `visit` for each event but the last.
pub(super) fn read(
    path: &Utf8Path,
    runner: u32,
    mut visit: impl FnMut(Event),
) -> Result<Segment, JournalError> {
    let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let mut segment = Segment { header: None, sealed: false };
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut version = Version::V2;
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        number += 1;
        let refused = |error: LineError| match error {
            LineError::Version(found) => JournalError::Version { path: path.to_owned(), found },
            LineError::Damaged(reason) => {
                JournalError::Damaged { path: path.to_owned(), line: number, reason }
            }
        };
        // No newline: the end, or a line that its writer did not finish.
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(segment) };
        // A last line that does not verify is a tail too: what a power loss leaves of a
        // block may hold a newline. What it said was not acknowledged, or is done again.
        let is_last = reader.fill_buf().map_err(failed)?.is_empty();
        let is_tail = |error: &LineError| is_last && matches!(error, LineError::Damaged(_));
        if segment.sealed {
            let reason = "there is something after the line that seals the segment";
            return Err(refused(LineError::Damaged(reason.to_owned())));
        }
        if number == 1 {
            let (found, header) = match read_header(text) {
                Err(error) if is_tail(&error) => return Ok(segment),
                header => header.map_err(refused)?,
            };
            version = found;
            if header.runner != runner {
                let reason = format!("it is the segment of runner {}", header.runner);
                return Err(refused(LineError::Damaged(reason)));
            }
            segment.header = Some(header);
            continue;
        }
        match read_event(version, number - 1, runner, text) {
            Err(error) if is_tail(&error) => return Ok(segment),
            Err(error) => return Err(refused(error)),
            Ok(Event::Sealed) => segment.sealed = true,
            Ok(event) => visit(event),
        }
    }
}

fn read_header(text: &[u8]) -> Result<(Version, SegmentHeader), LineError> {
    let (version, rest) = line::read_version(text)?;
    match version {
        b"1" => Ok((Version::V1, v1::read_header(line::read_rest(0, rest)?)?)),
        b"2" => Ok((Version::V2, v2::read_header(line::read_rest(0, rest)?)?)),
        other => Err(LineError::Version(String::from_utf8_lossy(other).into_owned())),
    }
}

fn read_event(version: Version, seq: u64, runner: u32, text: &[u8]) -> Result<Event, LineError> {
    let event = line::read_event(seq, text)?;
    match version {
        Version::V1 => v1::read_event(runner, event),
        Version::V2 => v2::read_event(runner, event),
    }
}
