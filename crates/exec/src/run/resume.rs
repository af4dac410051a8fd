//! What earlier runners have done already.

use std::collections::HashMap;

use pantler_core::ArtifactKey;
use pantler_datastore::{Datastore, Entry, RunPrefix};

use super::{context::StoredTable, error::RunError};
use crate::{
    JournalState, Success, current_successes,
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
    /// How many quanta succeeded but have lost outputs.
    pub(super) vanished: usize,
}

/// Looks up all quanta in the journal, and their outputs in one listing. Notes the
/// outputs in `stored`.
pub(super) fn resume(
    plan: &Plan<'_>,
    state: &JournalState,
    datastore: &Datastore,
    prefix: &RunPrefix,
    stored: &StoredTable,
) -> Result<Resumed, RunError> {
    let mut attempts = vec![0; plan.len() as usize];
    let made = vec![None; plan.len() as usize];
    let mut resumed = Resumed { finished: Vec::new(), attempts: Vec::new(), made, vanished: 0 };
    if !state.is_empty() {
        let sizes = sizes(datastore, prefix)?;
        let current = current_successes(plan.graph(), state);
        let mut finished = vec![false; plan.len() as usize];
        for q in 0..plan.len() {
            let Some(history) = state.quantum(plan.id(q)) else { continue };
            attempts[q as usize] = history.attempts;
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

fn sizes(datastore: &Datastore, prefix: &RunPrefix) -> Result<HashMap<ArtifactKey, u64>, RunError> {
    let entries = datastore.list(prefix).map_err(|source| RunError::List { source })?;
    let artifacts = entries.into_iter().filter_map(|entry| match entry {
        Entry::Artifact { key, size } => Some((key, size)),
        Entry::Unfinished { .. } | Entry::Foreign { .. } => None,
    });
    Ok(artifacts.collect())
}
