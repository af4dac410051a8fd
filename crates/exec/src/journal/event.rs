use std::collections::BTreeMap;

use pantler_core::{
    ArtifactKey, Checksum, OpeningId, QuantumId, Tai, TaskLabel, transaction::Process,
};
use pantler_graph::TakenOver;

use super::MadeFrom;
use crate::{FailureReason, Selection};

/// Who wrote a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The opening of the workspace.
    pub opening: OpeningId,
    /// The runner's number, which is also the file's name.
    pub runner: u32,
    /// The process.
    pub process: Process,
    /// When it started.
    pub started: Tai,
    /// The quanta that it was to run; `None` if it runs none, and before version 3, when
    /// a runner was alone.
    pub selection: Option<Selection>,
    /// What each task is that it may run ([`pantler_graph::task_fingerprint`]), where that can
    /// be said; none of a process that runs none, and before this was noted.
    pub tasks: BTreeMap<TaskLabel, Checksum>,
}

/// A line of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An attempt at a quantum begins.
    Start {
        /// The quantum.
        quantum: QuantumId,
        /// The attempt, from 1, over all runners.
        attempt: u32,
    },
    /// An attempt ended.
    Finish {
        /// The quantum.
        quantum: QuantumId,
        /// How.
        finish: Box<Finish>,
    },
    /// Somebody decided what an attempt that ended counts as.
    Verdict {
        /// The quantum.
        quantum: QuantumId,
        /// The attempt that it is about.
        attempt: u32,
        /// Which verdict on that attempt, from 1: the highest counts.
        number: u32,
        /// What it counts as.
        verdict: Verdict,
    },
    /// A reset is about to delete what a quantum made.
    Reset {
        /// The quantum.
        quantum: QuantumId,
        /// A number of its own, above all attempts before: none of those counts any more.
        attempt: u32,
        /// What is to be deleted.
        keys: Vec<ArtifactKey>,
    },
    /// A reset has deleted it.
    ResetDone {
        /// The quantum.
        quantum: QuantumId,
        /// The number of the reset.
        attempt: u32,
    },
    /// The process ended in order.
    Sealed,
}

impl Event {
    /// The quantum that it is about.
    pub fn quantum(&self) -> Option<QuantumId> {
        match self {
            Self::Start { quantum, .. }
            | Self::Finish { quantum, .. }
            | Self::Verdict { quantum, .. }
            | Self::Reset { quantum, .. }
            | Self::ResetDone { quantum, .. } => Some(*quantum),
            Self::Sealed => None,
        }
    }
}

/// What an attempt that ended counts as, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As a success, with the outputs of it that are there.
    Accepted {
        /// The outputs, in the order of the task's; some may be missing.
        outputs: Vec<StoredOutput>,
    },
    /// As a failure. Its outputs are kept until the workspace is closed.
    Poisoned,
}

/// How an attempt at a quantum ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The runner.
    pub runner: u32,
    /// The attempt, from 1, over all runners.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// When it started.
    pub started: Tai,
    /// When it ended.
    pub ended: Tai,
    /// Exit status of the command, if it is one and exited.
    pub exit: Option<i32>,
    /// What it said; `None` for nothing.
    pub log: Option<LogSlice>,
    /// Which attempts made what it read.
    pub made_from: MadeFrom,
    /// Whose outputs were taken over instead of running it.
    pub taken_over: Option<Box<TakenOver>>,
    /// Whether files that its task names were changed since its runner looked at them.
    pub task_changed: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All outputs are stored.
    Succeeded {
        /// The outputs, in the order of the task's.
        outputs: Vec<StoredOutput>,
    },
    /// There are no outputs.
    Failed {
        /// Why.
        reason: FailureReason,
    },
}

/// An output that lies at its final key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutput {
    /// The output's name in the pipeline.
    pub name: Box<str>,
    /// Where it lies.
    pub key: ArtifactKey,
    /// Its size in bytes.
    pub size: u64,
    /// The checksum of its bytes.
    pub checksum: Checksum,
}

/// Bytes of `logs/<runner>.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSlice {
    /// The runner.
    pub runner: u32,
    /// Where the bytes start.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}
