//! A quantum graph in memory as one over which expressions are evaluated.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use pantler_core::{DimensionGroup, QuantumId, Universe};
use uuid::Uuid;

use super::{Constraints, DatasetState, ExecutionStatus, ExpressionGraph, NodeGroup, NodeKind};
use crate::graph::{DatasetIndex, QuantumGraph, QuantumIndex};

/// A quantum graph, and where its quanta and datasets stand.
#[derive(Debug)]
pub struct PredictedGraph<'a> {
    graph: &'a QuantumGraph,
    statuses: Vec<ExecutionStatus>,
    states: Vec<DatasetState>,
    /// Made when the first id is looked for that is not a quantum's.
    datasets: Option<HashMap<Uuid, DatasetIndex>>,
}

/// A quantum or a dataset of a [`QuantumGraph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GraphNode {
    /// A quantum.
    Quantum(QuantumIndex),
    /// A dataset.
    Dataset(DatasetIndex),
}

impl<'a> PredictedGraph<'a> {
    /// A graph of which `statuses` and `states` say where each quantum and dataset stands,
    /// by position.
    pub fn new(
        graph: &'a QuantumGraph,
        statuses: Vec<ExecutionStatus>,
        states: Vec<DatasetState>,
    ) -> Self {
        Self { graph, statuses, states, datasets: None }
    }

    /// A graph of which nothing has run.
    pub fn unrun(graph: &'a QuantumGraph) -> Self {
        let existing = graph.overall_inputs().count();
        let mut states = vec![DatasetState::Predicted; graph.dataset_count()];
        states[..existing].fill(DatasetState::Present);
        Self::new(graph, vec![ExecutionStatus::Built; graph.len()], states)
    }
}

/// The dimensions of a group of nodes with the types of their values.
pub(crate) fn dimensions(
    universe: &Universe,
    group: &Arc<DimensionGroup>,
) -> Vec<(pantler_core::ElementName, pantler_core::KeyType)> {
    let key = |name: &pantler_core::ElementName| universe.element(name.as_str()).ok()?.key;
    group.required().iter().filter_map(|name| Some((name.clone(), key(name)?))).collect()
}

impl ExpressionGraph for PredictedGraph<'_> {
    type Node = GraphNode;
    type Error = Infallible;

    fn groups(&mut self) -> Result<Vec<NodeGroup>, Infallible> {
        let pipeline = self.graph.pipeline();
        let universe = pipeline.universe();
        let tasks = pipeline.tasks().iter().map(|task| NodeGroup {
            kind: NodeKind::Quantum,
            name: task.label.to_string(),
            dimensions: dimensions(universe, &task.dimensions),
        });
        let types = self.graph.dataset_counts().map(|(dataset_type, _)| NodeGroup {
            kind: NodeKind::Dataset,
            name: dataset_type.name.to_string(),
            dimensions: dimensions(universe, &dataset_type.dimensions),
        });
        Ok(tasks.chain(types).collect())
    }

    fn members(
        &mut self,
        group: usize,
        constraints: &Constraints,
    ) -> Result<Vec<GraphNode>, Infallible> {
        let graph = self.graph;
        let tasks = graph.pipeline().tasks().len();
        let fits = |values: &[pantler_core::KeyValue]| {
            constraints.iter().all(|(at, value)| values.get(*at) == Some(value))
        };
        Ok(match group.checked_sub(tasks) {
            None => {
                let quanta = graph.tasks().nth(group).into_iter().flat_map(|(_, quanta)| quanta);
                let fits = |q: &QuantumIndex| {
                    constraints.is_empty() || fits(graph.quantum(*q).data_id.values())
                };
                quanta.filter(fits).map(GraphNode::Quantum).collect()
            }
            Some(wanted) => {
                let first: usize = graph.dataset_counts().take(wanted).map(|(_, n)| n).sum();
                let count = graph.dataset_counts().nth(wanted).map_or(0, |(_, n)| n);
                let fits = |d: &DatasetIndex| {
                    constraints.is_empty() || fits(graph.dataset(*d).data_id.values())
                };
                let datasets = graph.datasets().skip(first).take(count);
                datasets.filter(fits).map(GraphNode::Dataset).collect()
            }
        })
    }

    fn find(&mut self, id: Uuid) -> Result<Option<GraphNode>, Infallible> {
        if let Some(index) = self.graph.find(QuantumId::from_uuid(id)) {
            return Ok(Some(GraphNode::Quantum(index)));
        }
        let graph = self.graph;
        let datasets = self.datasets.get_or_insert_with(|| {
            graph.datasets().map(|index| (*graph.dataset(index).id.as_uuid(), index)).collect()
        });
        Ok(datasets.get(&id).copied().map(GraphNode::Dataset))
    }

    fn with_status(&mut self, statuses: &[ExecutionStatus]) -> Result<Vec<GraphNode>, Infallible> {
        let quanta = self.graph.quanta().zip(&self.statuses);
        let found = quanta.filter(|(_, status)| statuses.contains(status));
        Ok(found.map(|(index, _)| GraphNode::Quantum(index)).collect())
    }

    fn with_state(&mut self, state: DatasetState) -> Result<Vec<GraphNode>, Infallible> {
        let datasets = self.graph.datasets().zip(&self.states);
        let found = datasets.filter(|(_, own)| **own == state);
        Ok(found.map(|(index, _)| GraphNode::Dataset(index)).collect())
    }

    fn upstream(&mut self, node: GraphNode, found: &mut Vec<GraphNode>) -> Result<(), Infallible> {
        match node {
            GraphNode::Quantum(index) => {
                for inputs in self.graph.quantum(index).inputs {
                    found.extend(inputs.datasets.iter().copied().map(GraphNode::Dataset));
                }
            }
            GraphNode::Dataset(index) => {
                found.extend(self.graph.producer(index).map(GraphNode::Quantum));
            }
        }
        Ok(())
    }

    fn downstream(
        &mut self,
        node: GraphNode,
        found: &mut Vec<GraphNode>,
    ) -> Result<(), Infallible> {
        match node {
            GraphNode::Quantum(index) => {
                let outputs = self.graph.quantum(index).outputs;
                found.extend(outputs.into_iter().map(GraphNode::Dataset));
            }
            GraphNode::Dataset(index) => {
                found.extend(self.graph.consumers(index).map(GraphNode::Quantum));
            }
        }
        Ok(())
    }
}
