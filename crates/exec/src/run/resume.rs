//! What earlier runners have done already.

use std::collections::HashMap;

use pantler_core::ArtifactKey;
use pantler_datastore::{Datastore, Entry, RunPrefix};
use pantler_graph::QuantumIndex;

use super::{context::StoredTable, error::RunError};
use crate::{
    JournalState, Success,
    current::{current_among, current_successes},
    plan::{Plan, outputs},
};

/// What earlier runners have done already.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The quanta whose last attempt succeeded, was made from what its inputs are now,
    /// and has its outputs there.
    pub(super) finished: Vec<u32>,
    /// How often each quantum was attempted.
    pub(super) attempts: Vec<u32>,
    /// Of each finished quantum, runner and number of the attempt that made its outputs.
    pub(super) made: Vec<Option<(u32, u32)>>,
    /// Whether somebody has decided about a quantum since: then it is not taken over, which
    /// would bring back what was decided about.
    pub(super) decided: Vec<bool>,
    /// How many quanta succeeded but have lost outputs.
    pub(super) vanished: usize,
}

/// Looks up quanta in the journal: these with all that is upstream of them, or all, whose
/// outputs are then found in one listing. Notes the outputs in `stored`.
pub(super) fn resume(
    plan: &Plan<'_>,
    state: &JournalState,
    only: Option<&[QuantumIndex]>,
    datastore: &Datastore,
    prefix: &RunPrefix,
    stored: &StoredTable,
) -> Result<Resumed, RunError> {
    let mut attempts = vec![0; plan.len() as usize];
    let made = vec![None; plan.len() as usize];
    let decided = vec![false; plan.len() as usize];
    let mut resumed =
        Resumed { finished: Vec::new(), attempts: Vec::new(), made, decided, vanished: 0 };
    if !state.is_empty() {
        let current = match only {
            Some(only) => current_among(plan.graph(), state, only.iter().copied()),
            None => current_successes(plan.graph(), state),
        };
        let numbers: Vec<u32> = match only {
            Some(only) => only.iter().filter_map(|index| plan.number(*index)).collect(),
            None => (0..plan.len()).collect(),
        };
        let sizes = match only {
            Some(_) => {
                let successes = numbers.iter().filter_map(|q| current[*q as usize]);
                sizes_of(datastore, successes)?
            }
            None => sizes(datastore, prefix)?,
        };
        let mut finished = vec![false; plan.len() as usize];
        for q in numbers {
            let Some(history) = state.quantum(plan.id(q)) else { continue };
            attempts[q as usize] = history.attempts;
            resumed.decided[q as usize] = history.was_decided();
            let Some(success) = current[q as usize] else { continue };
            let outputs = success.outputs();
            let view = plan.quantum(q);
            if !is_there(plan, q, success, &sizes) {
                resumed.vanished += 1;
            } else if plan.graph().upstream(view.index).iter().all(|up| finished[up.get()]) {
                // Else something upstream runs again, and this was made from what it was.
                stored.set(plan, &view, outputs);
                finished[q as usize] = true;
                resumed.made[q as usize] = success.attempt();
                resumed.finished.push(q);
            }
        }
    }
    resumed.attempts = attempts;
    Ok(resumed)
}

fn is_there(
    plan: &Plan<'_>,
    q: u32,
    success: Success<'_>,
    sizes: &HashMap<ArtifactKey, u64>,
) -> bool {
    let stored = success.outputs();
    outputs(plan.task(q).task).iter().all(|wanted| {
        match stored.iter().find(|output| *output.name == *wanted.name) {
            Some(output) => sizes.get(&output.key) == Some(&output.size),
            None => success.is_accepted(),
        }
    })
}

fn sizes_of<'j>(
    datastore: &Datastore,
    successes: impl Iterator<Item = Success<'j>>,
) -> Result<HashMap<ArtifactKey, u64>, RunError> {
    let mut sizes = HashMap::new();
    for output in successes.flat_map(Success::outputs) {
        let size = datastore.size(&output.key).map_err(|source| RunError::List { source })?;
        sizes.extend(size.map(|size| (output.key.clone(), size)));
    }
    Ok(sizes)
}

fn sizes(datastore: &Datastore, prefix: &RunPrefix) -> Result<HashMap<ArtifactKey, u64>, RunError> {
    let entries = datastore.list(prefix).map_err(|source| RunError::List { source })?;
    let artifacts = entries.into_iter().filter_map(|entry| match entry {
        Entry::Artifact { key, size } => Some((key, size)),
        Entry::Unfinished { .. } | Entry::Foreign { .. } => None,
    });
    Ok(artifacts.collect())
}
