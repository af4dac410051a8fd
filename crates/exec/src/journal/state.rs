use std::{
    collections::{HashMap, HashSet},
    io,
};

use camino::Utf8Path;
use pantler_core::{OpeningId, QuantumId};

use super::{Event, JournalError, QuantumHistory, SegmentHeader, segment::Segment};
use crate::{layout, takeover};

/// What all segments of a workspace say together.
#[derive(Debug, Clone, Default)]
pub struct JournalState {
    opening: Option<OpeningId>,
    segments: Vec<SegmentInfo>,
    read: Vec<Segment>,
    quanta: HashMap<QuantumId, QuantumHistory>,
    /// Of which quanta it tells; `None` for all.
    pub(super) only: Option<HashSet<QuantumId>>,
    /// How much was read by way of address tables.
    looked_up: u64,
}

/// A segment, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number, which is the number of the runner that wrote it.
    pub runner: u32,
    /// Who it was; `None` if it died before it had said so.
    pub header: Option<SegmentHeader>,
    /// Whether it ended in order; if not, it runs or died.
    pub sealed: bool,
}

impl JournalState {
    /// Reads all segments in `dir`; a directory that does not exist has none.
    ///
    /// # Errors
    /// [`JournalError`] if one is damaged, of a newer format or of another workspace.
    pub fn read(dir: &Utf8Path) -> Result<Self, JournalError> {
        let mut state = Self::default();
        state.read_on(dir)?;
        Ok(state)
    }

    /// Reads what all segments in `dir` say about these quanta. Of one that was sealed, no
    /// more than its header is read if that names other quanta, and if it has an address table
    /// no more than that takes.
    ///
    /// # Errors
    /// Those of [`Self::read`]; what is damaged and was not needed is not noticed.
    pub fn read_only(dir: &Utf8Path, quanta: &[QuantumId]) -> Result<Self, JournalError> {
        let quanta: HashSet<QuantumId> = quanta.iter().copied().collect();
        let mut state = Self::default();
        for runner in runners(dir)? {
            let path = dir.join(layout::segment_name(runner));
            if takeover::lines_that_count(dir, runner)?.is_none()
                && let Some((segment, events, bytes)) = Segment::find(&path, runner, &quanta)?
            {
                state.looked_up += bytes;
                for event in events {
                    take(&mut state.quanta, event);
                }
                state.read.push(segment);
            }
        }
        state.only = Some(quanta);
        state.read_on(dir)?;
        Ok(state)
    }

    /// Reads what was written since.
    pub(crate) fn read_on(&mut self, dir: &Utf8Path) -> Result<(), JournalError> {
        for runner in runners(dir)? {
            let at = match self.read.binary_search_by_key(&runner, |segment| segment.runner) {
                Ok(at) => at,
                Err(at) => {
                    self.read.insert(at, Segment::new(runner));
                    at
                }
            };
            self.read_segment(dir, at)?;
        }
        let info = |segment: &Segment| SegmentInfo {
            runner: segment.runner,
            header: segment.header.clone(),
            sealed: segment.sealed,
        };
        self.segments = self.read.iter().map(info).collect();
        Ok(())
    }

    /// How far each segment has been read.
    pub(crate) fn read_so_far(&self) -> &[Segment] {
        &self.read
    }

    /// The opening that the segments name; `None` without segments.
    pub fn opening(&self) -> Option<OpeningId> {
        self.opening
    }

    /// The segments, by runner number.
    pub fn segments(&self) -> &[SegmentInfo] {
        &self.segments
    }

    /// What happened to a quantum; `None` if nothing did.
    pub fn quantum(&self, quantum: QuantumId) -> Option<&QuantumHistory> {
        self.quanta.get(&quantum)
    }

    /// All quanta of which something is known, in no order.
    pub fn quanta(&self) -> impl Iterator<Item = (QuantumId, &QuantumHistory)> {
        self.quanta.iter().map(|(id, history)| (*id, history))
    }

    /// Whether nothing has happened to any quantum.
    pub fn is_empty(&self) -> bool {
        self.quanta.is_empty()
    }

    fn read_segment(&mut self, dir: &Utf8Path, at: usize) -> Result<(), JournalError> {
        let segment = &mut self.read[at];
        let path = dir.join(layout::segment_name(segment.runner));
        segment.limit = takeover::lines_that_count(dir, segment.runner)?;
        let (quanta, only) = (&mut self.quanta, self.only.as_ref());
        segment.read_on(&path, |event| {
            if event.quantum().is_some_and(|quantum| only.is_none_or(|o| o.contains(&quantum))) {
                take(quanta, event);
            }
        })?;
        if let Some(header) = &segment.header {
            let expected = *self.opening.get_or_insert(header.opening);
            if header.opening != expected {
                return Err(JournalError::OtherOpening { path, found: header.opening, expected });
            }
        }
        Ok(())
    }
}

fn take(quanta: &mut HashMap<QuantumId, QuantumHistory>, event: Event) {
    match event {
        Event::Start { quantum, attempt } => {
            quanta.entry(quantum).or_default().started(attempt);
        }
        Event::Finish { quantum, finish } => {
            quanta.entry(quantum).or_default().finished(finish);
        }
        Event::Verdict { quantum, attempt, number, verdict } => {
            quanta.entry(quantum).or_default().judged(attempt, number, verdict);
        }
        Event::Reset { quantum, attempt, keys } => {
            quanta.entry(quantum).or_default().reset(attempt, keys);
        }
        Event::ResetDone { quantum, attempt } => {
            quanta.entry(quantum).or_default().reset_done(attempt);
        }
        Event::Sealed => {}
    }
}

/// The numbers of the segments in `dir`, in order; a directory that does not exist has none.
pub(crate) fn runners(dir: &Utf8Path) -> Result<Vec<u32>, JournalError> {
    let failed = |source| JournalError::Io { action: "list", path: dir.to_owned(), source };
    let mut runners = Vec::new();
    match dir.read_dir_utf8() {
        Ok(entries) => {
            for entry in entries {
                runners.extend(layout::segment_runner(entry.map_err(failed)?.file_name()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    runners.sort_unstable();
    Ok(runners)
}

#[cfg(test)]
mod tests;
