//! Which successes in a journal still count.

use pantler_graph::{QuantumGraph, QuantumIndex};

use crate::{
    JournalState,
    journal::{Finish, QuantumHistory, Standing, StoredOutput},
};

/// A quantum that has succeeded, or failed and was accepted.
#[derive(Debug, Clone, Copy)]
pub struct Success<'j>(&'j QuantumHistory);

impl<'j> Success<'j> {
    pub(crate) fn of(history: &'j QuantumHistory) -> Option<Self> {
        history.is_success().then_some(Self(history))
    }

    /// The attempt.
    pub fn finish(self) -> Option<&'j Finish> {
        self.0.last()
    }

    /// Its outputs. Of one that was accepted, some or all may be missing.
    pub fn outputs(self) -> &'j [StoredOutput] {
        match self.0.standing() {
            Standing::Succeeded { outputs, .. } | Standing::Accepted { outputs, .. } => outputs,
            Standing::Reset
            | Standing::Started
            | Standing::Failed { .. }
            | Standing::Poisoned { .. } => &[],
        }
    }

    /// Whether it counts only since it was accepted.
    pub fn is_accepted(self) -> bool {
        matches!(self.0.standing(), Standing::Accepted { .. })
    }

    /// Its runner and number; none but this attempt has both.
    pub(crate) fn attempt(self) -> Option<(u32, u32)> {
        self.finish().map(|finish| (finish.runner, finish.attempt))
    }
}

/// For each quantum, in the order of the graph, its last attempt if that succeeded (or
/// was accepted) and was made from what its inputs are now.
///
/// A quantum can run again after something downstream of it has succeeded: its outputs
/// had vanished, or it was poisoned or reset. What was made from the earlier ones does
/// not count any more, also if the runner that made the new ones was killed before it
/// came to that: every finish says which attempts made what it has read
/// ([`MadeFrom`](crate::journal::MadeFrom)). Accepting makes nothing, so it changes nothing
/// of that.
pub fn current_successes<'j>(
    graph: &QuantumGraph,
    journal: &'j JournalState,
) -> Vec<Option<Success<'j>>> {
    current_among(graph, journal, graph.quanta())
}

/// The same of these quanta, which come with all that is upstream of them, in the order of
/// the graph; nothing is said of others.
pub(crate) fn current_among<'j>(
    graph: &QuantumGraph,
    journal: &'j JournalState,
    quanta: impl Iterator<Item = QuantumIndex>,
) -> Vec<Option<Success<'j>>> {
    let mut current: Vec<Option<Success<'_>>> = vec![None; graph.len()];
    // Tasks stand after those whose outputs they read, and quanta in the order of tasks.
    for index in quanta {
        let success = journal.quantum(graph.quantum_id(index)).and_then(Success::of);
        let counts = success.filter(|success| {
            let made: Option<Vec<(u32, u32)>> =
                graph.upstream(index).iter().map(|up| current[up.get()]?.attempt()).collect();
            let read = made.zip(success.finish());
            read.is_some_and(|(made, finish)| finish.made_from.is_of(finish.runner, made))
        });
        current[index.get()] = counts;
    }
    current
}
