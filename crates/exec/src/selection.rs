use std::collections::BTreeSet;

use pantler_core::{QuantumId, TaskLabel};
use pantler_graph::{QuantumGraph, QuantumIndex};

/// Which quanta of a graph are meant: those named, and all quanta of the tasks named.
/// With nothing named, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Quanta.
    pub quanta: Vec<QuantumId>,
    /// Tasks.
    pub tasks: Vec<TaskLabel>,
}

/// Something is named that the graph does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectionError {
    /// A quantum.
    #[error("there is no quantum {0} in the graph")]
    UnknownQuantum(QuantumId),
    /// A task.
    #[error("there is no task `{task}` in the pipeline; there are: {known}")]
    UnknownTask {
        /// The label.
        task: TaskLabel,
        /// The labels that there are.
        known: String,
    },
}

impl Selection {
    /// Whether nothing is named: all quanta are meant.
    pub fn is_all(&self) -> bool {
        self.quanta.is_empty() && self.tasks.is_empty()
    }

    /// Whether single quanta are named, and nothing else.
    pub fn is_named(&self) -> bool {
        !self.quanta.is_empty() && self.tasks.is_empty()
    }

    /// Whether each quantum of `graph` is meant, by its position.
    ///
    /// # Errors
    /// [`SelectionError`] about the first that is not in the graph.
    pub fn of(&self, graph: &QuantumGraph) -> Result<Vec<bool>, SelectionError> {
        let mut meant = vec![self.is_all(); graph.len()];
        for &quantum in &self.quanta {
            let index = graph.find(quantum).ok_or(SelectionError::UnknownQuantum(quantum))?;
            meant[index.get()] = true;
        }
        for label in &self.tasks {
            let Some((_, quanta)) = graph.tasks().find(|(task, _)| task.label == *label) else {
                let known: Vec<_> =
                    graph.tasks().map(|(task, _)| format!("`{}`", task.label)).collect();
                let (task, known) = (label.clone(), known.join(", "));
                return Err(SelectionError::UnknownTask { task, known });
            };
            quanta.for_each(|index| meant[index.get()] = true);
        }
        Ok(meant)
    }

    /// If single quanta are named: the positions of those and of all that is upstream of
    /// them, in the order of the graph.
    ///
    /// # Errors
    /// [`SelectionError`] about the first that is not in the graph.
    pub(crate) fn with_upstream(
        &self,
        graph: &QuantumGraph,
    ) -> Result<Option<Vec<QuantumIndex>>, SelectionError> {
        if !self.is_named() {
            return Ok(None);
        }
        let find = |id: &QuantumId| graph.find(*id).ok_or(SelectionError::UnknownQuantum(*id));
        let mut found: BTreeSet<QuantumIndex> =
            self.quanta.iter().map(find).collect::<Result<_, _>>()?;
        let mut pending: Vec<QuantumIndex> = found.iter().copied().collect();
        while let Some(index) = pending.pop() {
            pending.extend(graph.upstream(index).into_iter().filter(|up| found.insert(*up)));
        }
        Ok(Some(found.into_iter().collect()))
    }

    /// The same as [`Self::of`], where what the graph does not have is passed over.
    pub fn known(&self, graph: &QuantumGraph) -> Vec<bool> {
        let mut meant = vec![self.is_all(); graph.len()];
        for index in self.quanta.iter().filter_map(|quantum| graph.find(*quantum)) {
            meant[index.get()] = true;
        }
        for (_, quanta) in graph.tasks().filter(|(task, _)| self.tasks.contains(&task.label)) {
            quanta.for_each(|index| meant[index.get()] = true);
        }
        meant
    }
}
