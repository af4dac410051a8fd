//! Provenance as values.

use std::{collections::BTreeMap, io, sync::Arc};

use pantler_core::{
    Checksum, CollectionName, DataId, DatasetId, DatasetType, QuantumId, Tai, TaskLabel,
    transaction::Process,
};

use crate::{
    expression::{DatasetState, ExecutionStatus},
    graph::{DatasetIndex, QuantumIndex},
};

/// A process that ran quanta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its number in the workspace.
    pub number: u32,
    /// The process; `None` if it died before it had said so.
    pub process: Option<Process>,
    /// When it started; `None` likewise.
    pub started: Option<Tai>,
    /// What each task was that it could run; see [`task_fingerprint`](crate::task_fingerprint).
    pub tasks: BTreeMap<TaskLabel, Checksum>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// All outputs were stored.
    Succeeded,
    /// It failed.
    Failed {
        /// Why.
        reason: String,
    },
}

/// An attempt at a quantum that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1; numbers that are missing were cut off, or are resets.
    pub number: u32,
    /// Who ran it.
    pub runner: u32,
    /// When it started.
    pub started: Tai,
    /// When it ended.
    pub ended: Tai,
    /// Exit status of the command, if it is one and exited.
    pub exit: Option<i32>,
    /// What came of it.
    pub end: AttemptEnd,
    /// Whether files that its task names were changed before it had ended: it may have been
    /// another task than its runner says.
    pub task_changed: bool,
}

/// Another quantum whose outputs were taken over instead of running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// The RUN of that quantum.
    pub run: CollectionName,
    /// The quantum.
    pub quantum: QuantumId,
}

/// How a quantum was executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuantumExecution {
    /// The attempts that ended, in order.
    pub attempts: Vec<Attempt>,
    /// How many attempts were begun, and resets made.
    pub begun: u32,
    /// Where its outputs were taken from, if it did not run.
    pub taken_over: Option<TakenOver>,
}

/// What happened to the quanta and predicted datasets of a graph, for
/// [`write_provenance`](crate::write_provenance).
pub trait ExecutionRecords {
    /// The processes, by number.
    fn runners(&self) -> Vec<Runner>;

    /// Where a quantum stands.
    fn status(&self, quantum: QuantumIndex) -> ExecutionStatus;

    /// How a quantum was executed.
    fn execution(&self, quantum: QuantumIndex) -> QuantumExecution;

    /// What became of a predicted dataset, and its size and checksum if it is present.
    fn output(&self, dataset: DatasetIndex) -> (DatasetState, Option<(u64, Checksum)>);

    /// Writes what a quantum said to `out`.
    ///
    /// # Errors
    /// If `out` fails, or the log cannot be read.
    fn copy_log(&mut self, quantum: QuantumIndex, out: &mut dyn io::Write) -> io::Result<()>;
}

/// A quantum as provenance has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceQuantum {
    /// Its position.
    pub index: QuantumIndex,
    /// Its id.
    pub id: QuantumId,
    /// Its task.
    pub task: TaskLabel,
    /// Its data ID.
    pub data_id: DataId,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// What it read, by connection, in the order of the task's.
    pub inputs: Vec<Vec<DatasetIndex>>,
    /// What it made, or was to make, by connection; the last one is the log.
    pub outputs: Vec<DatasetIndex>,
}

/// A dataset as provenance has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceDataset {
    /// Its position.
    pub index: DatasetIndex,
    /// Its id.
    pub id: DatasetId,
    /// Its type.
    pub dataset_type: Arc<DatasetType>,
    /// Its data ID.
    pub data_id: DataId,
    /// The RUN that owns it.
    pub run: CollectionName,
    /// What became of it.
    pub state: DatasetState,
    /// Size in bytes and checksum, of one that is present.
    pub content: Option<(u64, Checksum)>,
    /// The quantum of the same RUN that made it, or was to.
    pub producer: Option<QuantumIndex>,
}
