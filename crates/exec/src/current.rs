//! Which successes in a journal still count.

use pantler_graph::QuantumGraph;

use crate::{
    JournalState,
    journal::{Finish, Outcome},
};

/// For each quantum, in the order of the graph, its last attempt if that succeeded and
/// was made from what its inputs are now.
///
/// A quantum can run again after something downstream of it has succeeded: its outputs
/// had vanished. What was made from the earlier ones does not count any more, also if
/// the runner that made the new ones was killed before it came to that. Runners work
/// one after the other, so a success of a later runner upstream says so.
pub fn current_successes<'j>(
    graph: &QuantumGraph,
    journal: &'j JournalState,
) -> Vec<Option<&'j Finish>> {
    let mut current: Vec<Option<&Finish>> = Vec::with_capacity(graph.len());
    // Tasks stand after those whose outputs they read, and quanta in the order of tasks.
    for index in graph.quanta() {
        let last = journal.quantum(graph.quantum_id(index)).and_then(|history| history.last());
        let success = last.filter(|finish| matches!(finish.outcome, Outcome::Succeeded { .. }));
        let counts = success.filter(|finish| {
            graph
                .upstream(index)
                .iter()
                .all(|up| current[up.get()].is_some_and(|made| made.runner <= finish.runner))
        });
        current.push(counts);
    }
    current
}
