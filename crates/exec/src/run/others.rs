//! The other runners of a workspace: what they are to run, and what they have run.
//!
//! A quantum belongs to the live runner with the lowest number whose selection has it.
//! Numbers are given in the order in which headers appear, so a runner that has read the
//! journal after its own header appeared knows all that go before it, for good.

use std::{collections::BTreeMap, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{QuantumId, Tai, transaction::Process};
use pantler_graph::QuantumGraph;

use crate::{
    JournalError, JournalState, RunnerState,
    heartbeat::{self, SILENT},
    journal::{
        self, Event, Finish,
        segment::{self, Segment},
    },
    layout,
    runners::{Life, life},
    takeover,
};

/// The other runners.
#[derive(Debug)]
pub(super) struct Others {
    dir: Utf8PathBuf,
    /// This runner.
    me: u32,
    here: Process,
    runners: BTreeMap<u32, Other>,
}

#[derive(Debug)]
struct Other {
    segment: Segment,
    life: Life,
    /// Which quanta it is to run, by position in the graph; empty for none.
    meant: Vec<bool>,
    /// When something was last heard of it.
    heard: Instant,
    /// Its last sign of life, and when that was seen first.
    beat: (Option<Tai>, Instant),
}

/// What another runner did.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) quantum: QuantumId,
    pub(super) attempt: u32,
    /// `None` if it has begun.
    pub(super) finish: Option<Box<Finish>>,
}

impl Others {
    /// The runners of whose segments `state` was read, but for `me`.
    pub(super) fn of(
        dir: &Utf8Path,
        state: &JournalState,
        me: u32,
        here: &Process,
        graph: &QuantumGraph,
    ) -> Result<Self, JournalError> {
        let mut others =
            Self { dir: dir.to_owned(), me, here: here.clone(), runners: BTreeMap::new() };
        for segment in state.read_so_far().iter().filter(|segment| segment.runner != me) {
            let other = Other::new(dir, segment.clone(), here, graph)?;
            others.runners.insert(segment.runner, other);
        }
        Ok(others)
    }

    /// Whether another runner may be at work in the workspace of which `state` was read.
    pub(super) fn any(
        dir: &Utf8Path,
        state: &JournalState,
        here: &Process,
    ) -> Result<bool, JournalError> {
        for segment in state.read_so_far() {
            if life(dir, segment, here)?.may_go_on() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads what the others have written since, and looks who lives. Returns what was
    /// heard, and whether a runner has come or gone.
    pub(super) fn poll(
        &mut self,
        graph: &QuantumGraph,
    ) -> Result<(Vec<Heard>, bool), JournalError> {
        let mut changed = false;
        for runner in journal::runners(&self.dir)? {
            if runner != self.me && !self.runners.contains_key(&runner) {
                let path = self.dir.join(layout::segment_name(runner));
                let peeked = segment::peek(&path, runner)?;
                let mut other = Other::new(&self.dir, peeked, &self.here, graph)?;
                other.segment = Segment::new(runner);
                self.runners.insert(runner, other);
                changed = true;
            }
        }
        let mut heard = Vec::new();
        for (runner, other) in &mut self.runners {
            if !other.life.may_go_on() && other.segment.lines > 0 {
                continue;
            }
            // Before its lines: when it is gone then, no more will come. One that has just
            // been found was looked at above, and its header is not read yet.
            let now = match other.segment.lines {
                0 => other.life,
                _ => life(&self.dir, &other.segment, &self.here)?,
            };
            other.segment.limit = takeover::lines_that_count(&self.dir, *runner)?;
            let before = heard.len();
            let path = self.dir.join(layout::segment_name(*runner));
            other.segment.read_on(&path, |event| heard.extend(Heard::of(event)))?;
            if heard.len() > before {
                other.heard = Instant::now();
            }
            let beat = heartbeat::last(&self.dir, *runner);
            if beat != other.beat.0 {
                other.beat = (beat, Instant::now());
            }
            let now = if other.segment.sealed { Life::Ended } else { now };
            changed |= now.may_go_on() != other.life.may_go_on();
            other.life = now;
        }
        Ok((heard, changed))
    }

    /// The runner that is to run the quantum at this position, if that is another one:
    /// `is_meant` says whether this one is to.
    pub(super) fn owner(&self, position: usize, is_meant: bool) -> Option<u32> {
        let has = |(_, other): &(&u32, &Other)| {
            other.life.may_go_on() && other.meant.get(position) == Some(&true)
        };
        let owner = *self.runners.iter().find(has)?.0;
        (!is_meant || owner < self.me).then_some(owner)
    }

    /// Whether another runner may be at work.
    pub(super) fn are_there(&self) -> bool {
        self.runners.values().any(|other| other.life.may_go_on())
    }

    /// The process of a runner.
    pub(super) fn process(&self, runner: u32) -> Option<&Process> {
        Some(&self.runners.get(&runner)?.segment.header.as_ref()?.process)
    }

    /// When something was last heard of a runner.
    pub(super) fn heard(&self, runner: u32) -> Option<Instant> {
        self.runners.get(&runner).map(|other| other.heard)
    }

    /// Whether a runner that has not ended gives no sign of life any more.
    pub(super) fn is_silent(&self, runner: u32) -> bool {
        let silent = |other: &Other| other.life.may_go_on() && other.beat.1.elapsed() > 3 * SILENT;
        self.runners.get(&runner).is_some_and(silent)
    }

    /// Where a runner stands.
    pub(super) fn state(&self, runner: u32) -> RunnerState {
        match self.runners.get(&runner).map(|other| other.life) {
            Some(Life::Here | Life::Elsewhere) if self.is_silent(runner) => RunnerState::Silent,
            Some(Life::Here | Life::Elsewhere) => RunnerState::Live,
            Some(Life::TakenOver) => RunnerState::TakenOver,
            Some(Life::Ended) => RunnerState::Ended,
            Some(Life::Dead) | None => RunnerState::Dead,
        }
    }
}

impl Other {
    fn new(
        dir: &Utf8Path,
        segment: Segment,
        here: &Process,
        graph: &QuantumGraph,
    ) -> Result<Self, JournalError> {
        let life = life(dir, &segment, here)?;
        let selection = segment.header.as_ref().and_then(|header| header.selection.as_ref());
        let meant = match selection.filter(|_| life.may_go_on()) {
            Some(selection) => selection.known(graph),
            None => Vec::new(),
        };
        let now = Instant::now();
        let beat = (heartbeat::last(dir, segment.runner), now);
        Ok(Self { segment, life, meant, heard: now, beat })
    }
}

impl Heard {
    fn of(event: Event) -> Option<Self> {
        match event {
            Event::Start { quantum, attempt } => Some(Self { quantum, attempt, finish: None }),
            Event::Finish { quantum, finish } => {
                Some(Self { quantum, attempt: finish.attempt, finish: Some(finish) })
            }
            // Nobody judges or resets while others run.
            Event::Verdict { .. }
            | Event::Reset { .. }
            | Event::ResetDone { .. }
            | Event::Sealed => None,
        }
    }
}
