//! The outputs of quanta that are about to be accepted.

use pantler_core::{OpeningId, WriteId};
use pantler_datastore::{Datastore, DatastoreError, RunPrefix, key::dataset_key};
use pantler_graph::{QuantumGraph, QuantumView};

use super::{NamedQuantum, Transition, TransitionError, TransitionPlan};
use crate::{
    JournalState,
    journal::{Finish, Outcome, StoredOutput},
    plan::outputs,
};

/// Looks for the outputs of the quanta that would be accepted: what stands at a final key
/// is whole. Those of an attempt that had succeeded are known; of one that failed, what
/// its runner could not take away is read for its checksum.
///
/// # Errors
/// [`TransitionError::Outputs`] if storage does not answer.
pub fn find_outputs(
    plan: &mut TransitionPlan,
    graph: &QuantumGraph,
    journal: &JournalState,
    datastore: &Datastore,
    prefix: &RunPrefix,
    opening: OpeningId,
) -> Result<(), TransitionError> {
    if plan.transition != Transition::Accept {
        return Ok(());
    }
    for change in &mut plan.changes {
        let Some(finish) = journal.quantum(change.quantum).and_then(|history| history.last())
        else {
            continue;
        };
        let view = graph.quantum(change.index);
        let found = match &finish.outcome {
            Outcome::Succeeded { outputs } => still_there(outputs, datastore),
            Outcome::Failed { .. } => left_over(&view, finish, datastore, prefix, opening),
        };
        change.outputs = found.map_err(|source| TransitionError::Outputs {
            quantum: NamedQuantum::of(graph, change.index),
            source,
        })?;
    }
    Ok(())
}

fn still_there(
    outputs: &[StoredOutput],
    datastore: &Datastore,
) -> Result<Vec<StoredOutput>, DatastoreError> {
    let mut found = Vec::new();
    for output in outputs {
        if datastore.size(&output.key)? == Some(output.size) {
            found.push(output.clone());
        }
    }
    Ok(found)
}

fn left_over(
    view: &QuantumView<'_>,
    finish: &Finish,
    datastore: &Datastore,
    prefix: &RunPrefix,
    opening: OpeningId,
) -> Result<Vec<StoredOutput>, DatastoreError> {
    let write = WriteId::of_quantum(opening, finish.runner, finish.attempt);
    let mut found = Vec::new();
    for output in outputs(view.task) {
        let dataset_type = &output.dataset_type;
        let extension = dataset_type.storage_class.extension();
        let key = dataset_key(prefix, &dataset_type.name, &view.data_id, &write, extension);
        if let Some(written) = datastore.measure(&key)? {
            let name = output.name.as_str().into();
            let (size, checksum) = (written.size, written.checksum);
            found.push(StoredOutput { name, key, size, checksum });
        }
    }
    Ok(found)
}
