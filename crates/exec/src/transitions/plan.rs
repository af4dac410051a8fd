//! What a transition would do: from graph and journal alone.

use std::collections::BTreeSet;

use pantler_core::{ArtifactKey, QuantumId, TaskLabel};
use pantler_graph::{QuantumGraph, QuantumIndex};

use super::{NamedQuantum, TransitionError};
use crate::{
    JournalState, QuantumStatus, WorkspaceStatus,
    journal::{QuantumHistory, Standing, StoredOutput},
};

/// What is to happen to quanta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A failure counts as a success.
    Accept,
    /// A success counts as a failure, with everything downstream.
    Poison,
    /// Outputs are deleted, and the quantum is as it was built.
    Reset,
}

/// Which quanta are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These; one to which it cannot happen is an error.
    Quanta(Vec<QuantumId>),
    /// All of these to which it can happen.
    Among(Vec<QuantumId>),
    /// All to which it can happen.
    Matching {
        /// Of this task only.
        task: Option<TaskLabel>,
        /// Failed ones only.
        failed: bool,
    },
}

/// What a transition would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitionPlan {
    /// The transition.
    pub transition: Transition,
    /// What changes, in the order of the graph.
    pub changes: Vec<Change>,
    /// How many of the quanta that were meant stay as they are: it has happened to them
    /// already.
    pub unchanged: usize,
}

/// What happens to one quantum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The quantum.
    pub index: QuantumIndex,
    /// Its id.
    pub quantum: QuantumId,
    /// Where it stands before.
    pub from: QuantumStatus,
    /// Whether it changes because something upstream of it does.
    pub is_downstream: bool,
    /// The attempt that a verdict is on, or the number of a reset.
    pub attempt: u32,
    /// Accept: the outputs that are there, as [`find_outputs`](super::find_outputs) found
    /// them.
    pub outputs: Vec<StoredOutput>,
    /// Reset: what is to be deleted.
    pub keys: Vec<ArtifactKey>,
    pub(super) step: Step,
}

/// What is journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A verdict with this number.
    Verdict(u32),
    /// A reset.
    Reset,
    /// The end of a reset that was begun before.
    FinishReset,
}

impl Transition {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Poison => "poison",
            Self::Reset => "reset",
        }
    }

    /// What quanta to which it happens are then.
    pub const fn to(self) -> QuantumStatus {
        match self {
            Self::Accept => QuantumStatus::Succeeded,
            Self::Poison => QuantumStatus::Failed,
            Self::Reset => QuantumStatus::Built,
        }
    }

    /// Whether it has, or could have, an effect on a quantum.
    fn concerns(self, history: &QuantumHistory) -> bool {
        match self {
            Self::Accept => is_failed(history),
            // Of one that is poisoned already, perhaps on what is downstream.
            Self::Poison => history.is_success() || history.is_poisoned(),
            Self::Reset => {
                history.standing() != Standing::Reset || history.unfinished_reset().is_some()
            }
        }
    }
}

/// Finds the quanta that are meant, in the order of the graph.
///
/// # Errors
/// [`TransitionError::UnknownQuantum`] or [`TransitionError::UnknownTask`].
pub fn select(
    graph: &QuantumGraph,
    journal: &JournalState,
    transition: Transition,
    target: &Target,
) -> Result<Vec<QuantumIndex>, TransitionError> {
    match target {
        Target::Quanta(ids) => {
            let find = |id: &QuantumId| graph.find(*id).ok_or(TransitionError::UnknownQuantum(*id));
            let found: BTreeSet<QuantumIndex> = ids.iter().map(find).collect::<Result<_, _>>()?;
            Ok(found.into_iter().collect())
        }
        Target::Among(ids) => {
            let mut found = select(graph, journal, transition, &Target::Quanta(ids.clone()))?;
            found.retain(|index| {
                let history = journal.quantum(graph.quantum_id(*index));
                history.is_some_and(|history| transition.concerns(history))
            });
            Ok(found)
        }
        Target::Matching { task, failed } => {
            if let Some(task) = task
                && graph.tasks().all(|(known, _)| known.label != *task)
            {
                let known: Vec<_> =
                    graph.tasks().map(|(known, _)| known.label.to_string()).collect();
                let (task, known) = (task.clone(), known.join(", "));
                return Err(TransitionError::UnknownTask { task, known });
            }
            let is_meant = |index: &QuantumIndex| {
                let history = journal.quantum(graph.quantum_id(*index));
                history.is_some_and(|history| {
                    let half_reset =
                        transition == Transition::Reset && history.unfinished_reset().is_some();
                    transition.concerns(history) && (!failed || is_failed(history) || half_reset)
                })
            };
            let of_task = graph
                .tasks()
                .filter(|(known, _)| task.as_ref().is_none_or(|task| known.label == *task));
            Ok(of_task.flat_map(|(_, quanta)| quanta).filter(is_meant).collect())
        }
    }
}

/// Says what would happen to these quanta.
///
/// # Errors
/// [`TransitionError::NotFailed`] or [`TransitionError::NotSucceeded`] for a quantum that
/// cannot be accepted or poisoned.
pub fn plan(
    graph: &QuantumGraph,
    journal: &JournalState,
    transition: Transition,
    quanta: &[QuantumIndex],
) -> Result<TransitionPlan, TransitionError> {
    let status = WorkspaceStatus::of(graph, journal);
    let mut plan = TransitionPlan { transition, changes: Vec::new(), unchanged: 0 };
    for &index in quanta {
        let history = journal.quantum(graph.quantum_id(index));
        let from = status.quantum(index);
        let change = match (transition, history) {
            (Transition::Reset, None) => None,
            (Transition::Reset, Some(history)) => reset(history),
            (Transition::Accept, Some(history)) if is_failed(history) => Some(verdict(history)),
            (Transition::Accept, Some(history))
                if matches!(history.standing(), Standing::Accepted { .. }) =>
            {
                None
            }
            (Transition::Accept, _) => {
                let (quantum, status) = (NamedQuantum::of(graph, index), from.name());
                return Err(TransitionError::NotFailed { quantum, status });
            }
            (Transition::Poison, Some(history)) if history.is_success() => Some(verdict(history)),
            (Transition::Poison, Some(history)) if history.is_poisoned() => None,
            (Transition::Poison, _) => {
                let (quantum, status) = (NamedQuantum::of(graph, index), from.name());
                return Err(TransitionError::NotSucceeded { quantum, status });
            }
        };
        match change {
            Some(parts) => plan.changes.push(Change::new(graph, index, from, false, parts)),
            None => plan.unchanged += 1,
        }
    }
    if transition == Transition::Poison {
        let meant: BTreeSet<QuantumIndex> = quanta.iter().copied().collect();
        for index in downstream(graph, quanta) {
            let history = journal.quantum(graph.quantum_id(index));
            if let Some(history) = history.filter(|history| history.is_success())
                && !meant.contains(&index)
            {
                let from = status.quantum(index);
                plan.changes.push(Change::new(graph, index, from, true, verdict(history)));
            }
        }
    }
    plan.changes.sort_by_key(|change| change.index);
    Ok(plan)
}

/// Attempt, keys to delete, and what is journaled.
type Parts = (u32, Vec<ArtifactKey>, Step);

impl Change {
    fn new(
        graph: &QuantumGraph,
        index: QuantumIndex,
        from: QuantumStatus,
        is_downstream: bool,
        (attempt, keys, step): Parts,
    ) -> Self {
        let quantum = graph.quantum_id(index);
        let outputs = Vec::new();
        Self { index, quantum, from, is_downstream, attempt, outputs, keys, step }
    }
}

fn is_failed(history: &QuantumHistory) -> bool {
    matches!(history.standing(), Standing::Failed { .. } | Standing::Poisoned { .. })
}

fn verdict(history: &QuantumHistory) -> Parts {
    (history.attempts, Vec::new(), Step::Verdict(history.next_verdict()))
}

fn reset(history: &QuantumHistory) -> Option<Parts> {
    match (history.standing(), history.unfinished_reset()) {
        (Standing::Reset, None) => None,
        (Standing::Reset, Some((attempt, keys))) => {
            Some((attempt, keys.to_vec(), Step::FinishReset))
        }
        _ => Some((history.attempts.saturating_add(1), history.keys(), Step::Reset)),
    }
}

/// Everything downstream of these quanta.
fn downstream(graph: &QuantumGraph, quanta: &[QuantumIndex]) -> BTreeSet<QuantumIndex> {
    let mut found = BTreeSet::new();
    let mut pending = quanta.to_vec();
    while let Some(index) = pending.pop() {
        pending.extend(graph.downstream(index).into_iter().filter(|next| found.insert(*next)));
    }
    found
}
