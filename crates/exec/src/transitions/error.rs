use std::fmt;

use pantler_core::{DataId, QuantumId, TaskLabel};
use pantler_datastore::DatastoreError;
use pantler_graph::{QuantumGraph, QuantumIndex};

use crate::JournalError;

/// A quantum as errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuantum {
    /// Its task.
    pub task: TaskLabel,
    /// Its data ID.
    pub data_id: DataId,
    /// Its id.
    pub quantum: QuantumId,
}

impl NamedQuantum {
    /// The quantum at a position of a graph.
    pub fn of(graph: &QuantumGraph, index: QuantumIndex) -> Box<Self> {
        let view = graph.quantum(index);
        let (task, data_id, quantum) = (view.task.label.clone(), view.data_id, view.id);
        Box::new(Self { task, data_id, quantum })
    }
}

impl fmt::Display for NamedQuantum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.task, self.data_id, self.quantum)
    }
}

/// Why quanta were not accepted, poisoned or reset.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// A quantum of another graph, or none.
    #[error("the graph has no quantum {0}")]
    UnknownQuantum(QuantumId),
    /// A task of another pipeline, or none.
    #[error("the pipeline has no task `{task}`; it has: {known}")]
    UnknownTask {
        /// The label.
        task: TaskLabel,
        /// The labels there are.
        known: String,
    },
    /// Only failures can be accepted.
    #[error("{quantum} cannot be accepted: it did not fail, it is {status}")]
    NotFailed {
        /// The quantum.
        quantum: Box<NamedQuantum>,
        /// Where it stands.
        status: &'static str,
    },
    /// Only successes can be poisoned.
    #[error("{quantum} cannot be poisoned: it did not succeed, it is {status}")]
    NotSucceeded {
        /// The quantum.
        quantum: Box<NamedQuantum>,
        /// Where it stands.
        status: &'static str,
    },
    /// Outputs could not be looked at. Nothing has changed.
    #[error("cannot look for the outputs of {quantum}")]
    Outputs {
        /// The quantum.
        quantum: Box<NamedQuantum>,
        /// Why.
        #[source]
        source: DatastoreError,
    },
    /// The journal could not be begun. Nothing has changed.
    #[error("cannot begin a segment of the journal")]
    Begin(#[source] JournalError),
    /// The journal could not be written: it is not known what of it stands there.
    #[error("cannot write the journal")]
    Write(#[source] JournalError),
    /// The quanta are reset, and some of their outputs could not be deleted.
    #[error("the quanta are reset, but not all of their outputs could be deleted")]
    Delete(#[source] DatastoreError),
}
