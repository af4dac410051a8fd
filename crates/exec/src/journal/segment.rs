//! Reads one segment.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use camino::Utf8Path;

use super::{Event, JournalError, SegmentHeader, v1};

/// What a segment says, apart from its events.
#[derive(Debug)]
pub(super) struct Segment {
    /// `None` if its runner died before it had written the first line.
    pub(super) header: Option<SegmentHeader>,
    /// Whether its runner ended in order.
    pub(super) sealed: bool,
}

/// Reads the segment of `runner` at `path`, and calls `visit` for each start and finish.
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
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        number += 1;
        let refused = |error: v1::LineError| match error {
            v1::LineError::Version(found) => JournalError::Version { path: path.to_owned(), found },
            v1::LineError::Damaged(reason) => {
                JournalError::Damaged { path: path.to_owned(), line: number, reason }
            }
        };
        // No newline: the end, or a line that its writer did not finish.
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(segment) };
        // A last line that does not verify is a tail too: what a power loss leaves of a
        // block may hold a newline. What it said was not acknowledged, or is done again.
        let is_last = reader.fill_buf().map_err(failed)?.is_empty();
        let is_tail = |error: &v1::LineError| is_last && matches!(error, v1::LineError::Damaged(_));
        if segment.sealed {
            let reason = "there is something after the line that seals the segment";
            return Err(refused(v1::LineError::Damaged(reason.to_owned())));
        }
        if number == 1 {
            let header = match v1::read_header(text) {
                Err(error) if is_tail(&error) => return Ok(segment),
                header => header.map_err(refused)?,
            };
            if header.runner != runner {
                let reason = format!("it is the segment of runner {}", header.runner);
                return Err(refused(v1::LineError::Damaged(reason)));
            }
            segment.header = Some(header);
            continue;
        }
        match v1::read_event(number - 1, runner, text) {
            Err(error) if is_tail(&error) => return Ok(segment),
            Err(error) => return Err(refused(error)),
            Ok(Event::Sealed) => segment.sealed = true,
            Ok(event) => visit(event),
        }
    }
}
