//! What a run did.

use std::time::Duration;

use pantler_core::{DataId, QuantumId, TaskLabel, transaction::Process};

use crate::{FailureReason, RunnerState, journal::LogSlice};

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// The number of this runner; `None` if there was nothing to run.
    pub runner: Option<u32>,
    /// Counts per task, in the order of the graph's tasks.
    pub tasks: Vec<TaskCounts>,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// How many quanta had succeeded before but ran again, because their outputs
    /// were not there any more.
    pub vanished: usize,
    /// How many of those that succeeded did not run: outputs of other RUNs were taken over.
    pub taken_over: usize,
    /// How many of the skipped ones other runners have run while this one ran.
    pub elsewhere: usize,
    /// For which runners it has waited in vain.
    pub unmade: Vec<Unmade>,
    /// Whether it ended because it was asked to stop.
    pub stopped: bool,
    /// How long it took.
    pub wall: Duration,
}

impl RunSummary {
    /// How many failures are kept in [`Self::failures`].
    pub const MAX_FAILURES: usize = 100;

    /// The counts of all tasks together.
    pub fn total(&self) -> Counts {
        self.tasks.iter().fold(Counts::default(), |sum, task| sum.plus(&task.counts))
    }

    /// Whether every quantum has succeeded, in this run or before.
    pub fn is_complete(&self) -> bool {
        let total = self.total();
        total.succeeded + total.skipped == total.total
    }

    /// Whether every quantum that was asked for has succeeded, in this run or before.
    pub fn is_done(&self) -> bool {
        let total = self.total();
        total.succeeded + total.skipped + total.excluded == total.total
    }
}

/// A runner that has not made what others have waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// Its number.
    pub runner: u32,
    /// Its process.
    pub process: Process,
    /// Where it stood in the end.
    pub state: RunnerState,
    /// How many quanta were waited for.
    pub quanta: usize,
}

/// What became of the quanta of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskCounts {
    /// The task.
    pub task: TaskLabel,
    /// Its quanta.
    pub counts: Counts,
}

/// What became of some quanta.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Succeeded in this run.
    pub succeeded: usize,
    /// Failed in this run.
    pub failed: usize,
    /// Did not run, because something upstream failed.
    pub blocked: usize,
    /// Did not run, because they had succeeded before or in another runner.
    pub skipped: usize,
    /// Did not run to their end, because the run stopped.
    pub not_run: usize,
    /// Were not asked for, and had not succeeded before.
    pub excluded: usize,
}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        Self {
            total: self.total + other.total,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            blocked: self.blocked + other.blocked,
            skipped: self.skipped + other.skipped,
            not_run: self.not_run + other.not_run,
            excluded: self.excluded + other.excluded,
        }
    }
}

/// A quantum that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its task.
    pub task: TaskLabel,
    /// Its data ID.
    pub data_id: DataId,
    /// Its id.
    pub quantum: QuantumId,
    /// Which attempt at it.
    pub attempt: u32,
    /// Why.
    pub reason: FailureReason,
    /// What it said; `None` for nothing.
    pub log: Option<LogSlice>,
}
