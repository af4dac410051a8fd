//! What earlier runners have done already.

use std::collections::HashMap;

use pantler_core::ArtifactKey;
use pantler_datastore::{Datastore, Entry, RunPrefix};

use super::{context::StoredTable, error::RunError};
use crate::{
    JournalState, current_successes,
    journal::{Outcome, StoredOutput},
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
    let mut resumed = Resumed { finished: Vec::new(), attempts: Vec::new(), vanished: 0 };
    if !state.is_empty() {
        let sizes = sizes(datastore, prefix)?;
        let current = current_successes(plan.graph(), state);
        let mut finished = vec![false; plan.len() as usize];
        for q in 0..plan.len() {
            let Some(history) = state.quantum(plan.id(q)) else { continue };
            attempts[q as usize] = history.attempts;
            let Some(Outcome::Succeeded { outputs }) = current[q as usize].map(|f| &f.outcome)
            else {
                continue;
            };
            let view = plan.quantum(q);
            if !is_there(plan, q, outputs, &sizes) {
                resumed.vanished += 1;
            } else if plan.graph().upstream(view.index).iter().all(|up| finished[up.get()]) {
                // Else something upstream runs again, and this was made from what it was.
                stored.set(plan, &view, outputs);
                finished[q as usize] = true;
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
    stored: &[StoredOutput],
    sizes: &HashMap<ArtifactKey, u64>,
) -> bool {
    outputs(plan.task(q).task).iter().all(|wanted| {
        stored
            .iter()
            .find(|output| *output.name == *wanted.name)
            .is_some_and(|output| sizes.get(&output.key) == Some(&output.size))
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
