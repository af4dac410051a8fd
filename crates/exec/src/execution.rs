//! Where quanta and datasets stand in the words of expressions and provenance, which tell
//! more apart than a table of counts does.

use pantler_graph::{DatasetState, ExecutionStatus, QuantumGraph, ResolvedTask};

use crate::{
    JournalState, QuantumStatus, Standing, WorkspaceStatus, current_successes,
    journal::StoredOutput,
};

/// Where each quantum of a workspace stands, by position.
pub fn execution_statuses(graph: &QuantumGraph, journal: &JournalState) -> Vec<ExecutionStatus> {
    let status = WorkspaceStatus::of(graph, journal);
    let quanta = graph.quanta().map(|index| {
        let history = journal.quantum(graph.quantum_id(index));
        let standing = history.map(|history| history.standing());
        match (status.quantum(index), standing) {
            (QuantumStatus::Built, _) => ExecutionStatus::Built,
            (QuantumStatus::Started, _) => ExecutionStatus::Started,
            (QuantumStatus::Succeeded, Some(Standing::Accepted { .. })) => {
                ExecutionStatus::Accepted
            }
            (QuantumStatus::Succeeded, _) => ExecutionStatus::Succeeded,
            (QuantumStatus::Failed, Some(Standing::Poisoned { .. })) => ExecutionStatus::Poisoned,
            (QuantumStatus::Failed, _) => ExecutionStatus::Failed,
            (QuantumStatus::Blocked, _) => ExecutionStatus::Blocked,
        }
    });
    quanta.collect()
}

/// What became of each dataset of a workspace, by position. Logs become datasets when the
/// workspace is committed, and are predicted until then.
pub fn dataset_states(graph: &QuantumGraph, journal: &JournalState) -> Vec<DatasetState> {
    let mut states = vec![DatasetState::Predicted; graph.dataset_count()];
    for index in graph.overall_inputs() {
        states[index.get()] = DatasetState::Present;
    }
    let current = current_successes(graph, journal);
    for index in graph.quanta() {
        let Some(history) = journal.quantum(graph.quantum_id(index)) else { continue };
        let (made, state): (&[StoredOutput], _) = match (current[index.get()], history.standing()) {
            (Some(success), _) => (success.outputs(), DatasetState::Present),
            (None, Standing::Succeeded { outputs, .. } | Standing::Accepted { outputs, .. }) => {
                (outputs, DatasetState::Invalidated)
            }
            (None, Standing::Poisoned { finish }) => match &finish.outcome {
                crate::Outcome::Succeeded { outputs } => (outputs, DatasetState::Invalidated),
                crate::Outcome::Failed { .. } => (&[], DatasetState::Invalidated),
            },
            (None, Standing::Reset | Standing::Started | Standing::Failed { .. }) => continue,
        };
        let view = graph.quantum(index);
        for (output, dataset) in view.task.outputs.iter().zip(&view.outputs) {
            if output.name != ResolvedTask::LOG && made.iter().any(|own| *own.name == *output.name)
            {
                states[dataset.get()] = state;
            }
        }
    }
    states
}
