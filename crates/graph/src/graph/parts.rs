//! What a graph is made from: the rows and edges of its tasks and dataset types.

use std::{ops::Range, sync::Arc};

use pantler_core::{CollectionName, DatasetId};
use petgraph::{Directed, csr::Csr};

use super::{DatasetIndex, GraphMetadata};
use crate::{
    build::{Pruned, Skipped},
    dataset::InputArtifact,
    pipeline::ResolvedPipeline,
    values::{Rows, ValueTable, narrow},
};

/// What a graph is made from; indices as in the graph.
#[derive(Debug)]
pub(crate) struct GraphParts {
    pub(crate) pipeline: Arc<ResolvedPipeline>,
    pub(crate) metadata: GraphMetadata,
    pub(crate) values: ValueTable,
    /// For each task of the pipeline, its quanta (sorted) and their inputs.
    pub(crate) tasks: Vec<(Rows, Vec<InputEdges>)>,
    /// For each overall input, the data IDs of its datasets (sorted).
    pub(crate) inputs: Vec<Rows>,
    /// The same for each type that a task makes and that has existing datasets, by position
    /// in the pipeline.
    pub(crate) found: Vec<(usize, Rows)>,
    /// The datasets of all overall inputs, then the found ones.
    pub(crate) existing: Vec<ExistingDataset>,
    pub(crate) runs: Vec<CollectionName>,
    pub(crate) pruned: Vec<Pruned>,
    pub(crate) skipped: Vec<Skipped>,
}

#[derive(Debug)]
pub(crate) struct TaskNodes {
    pub(crate) first: u32,
    /// The required dimensions.
    pub(crate) columns: Vec<usize>,
    pub(crate) rows: Rows,
    pub(crate) inputs: Vec<InputEdges>,
}

/// The datasets that the quanta of a task read through one connection.
#[derive(Debug)]
pub(crate) enum InputEdges {
    /// One for each quantum.
    One(Vec<DatasetIndex>),
    /// The quantum `i` reads `datasets[offsets[i]..offsets[i + 1]]`.
    Many { offsets: Vec<u32>, datasets: Vec<DatasetIndex> },
}

#[derive(Debug)]
pub(crate) struct TypeNodes {
    /// Which of the pipeline's types.
    pub(crate) dataset_type: usize,
    pub(crate) first: u32,
    pub(crate) columns: Vec<usize>,
    pub(crate) nodes: TypeRows,
}

#[derive(Debug)]
pub(crate) enum TypeRows {
    Existing(Rows),
    /// The rows of this task.
    Made(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExistingDataset {
    pub(crate) id: DatasetId,
    /// Which of the graph's runs.
    pub(crate) run: u32,
    pub(crate) artifact: InputArtifact,
}

impl InputEdges {
    /// Those of the quanta `kept`, in that order, each put through `moved`.
    pub(crate) fn taken(
        &self,
        kept: &[u32],
        mut moved: impl FnMut(&DatasetIndex) -> DatasetIndex,
    ) -> Self {
        match self {
            Self::One(datasets) => {
                Self::One(kept.iter().map(|i| moved(&datasets[*i as usize])).collect())
            }
            Self::Many { .. } => {
                let mut offsets = Vec::with_capacity(kept.len() + 1);
                let mut datasets = Vec::new();
                offsets.push(0);
                for i in kept {
                    datasets.extend(self.of(*i as usize).iter().map(&mut moved));
                    offsets.push(narrow(datasets.len()));
                }
                Self::Many { offsets, datasets }
            }
        }
    }

    pub(crate) fn of(&self, quantum: usize) -> &[DatasetIndex] {
        match self {
            Self::One(datasets) => std::slice::from_ref(&datasets[quantum]),
            Self::Many { offsets, datasets } => {
                let Range { start, end } = offsets[quantum]..offsets[quantum + 1];
                &datasets[start as usize..end as usize]
            }
        }
    }

    pub(crate) fn datasets(&self) -> &[DatasetIndex] {
        match self {
            Self::One(datasets) | Self::Many { datasets, .. } => datasets,
        }
    }
}

impl TypeRows {
    pub(crate) fn rows<'a>(&'a self, tasks: &'a [TaskNodes]) -> &'a Rows {
        match self {
            Self::Existing(rows) => rows,
            Self::Made(task) => &tasks[*task].rows,
        }
    }

    pub(super) fn len(&self, tasks: &[TaskNodes]) -> usize {
        self.rows(tasks).len()
    }
}

/// Edges from quanta to what they make, and from datasets to their readers.
pub(super) fn flow(
    pipeline: &ResolvedPipeline,
    tasks: &[TaskNodes],
    types: &[TypeNodes],
    found: usize,
    quanta: usize,
    datasets: usize,
) -> Csr<(), (), Directed, u32> {
    // Counting sort of (dataset, reader): linear, and readers come out in order.
    let mut ends = vec![0_usize; datasets + 1];
    for dataset in tasks.iter().flat_map(|t| &t.inputs).flat_map(InputEdges::datasets) {
        ends[dataset.get() + 1] += 1;
    }
    for i in 1..ends.len() {
        ends[i] += ends[i - 1];
    }
    let mut readers = vec![0_u32; ends[datasets]];
    let mut next = ends.clone();
    for nodes in tasks {
        for local in 0..nodes.rows.len() {
            for dataset in nodes.inputs.iter().flat_map(|edges| edges.of(local)) {
                readers[next[dataset.get()]] = nodes.first + narrow(local);
                next[dataset.get()] += 1;
            }
        }
    }
    let mut edges = Vec::with_capacity(readers.len() + datasets);
    let base = narrow(quanta);
    for (task, nodes) in pipeline.tasks().iter().zip(tasks) {
        for local in 0..narrow(nodes.rows.len()) {
            for output in &task.outputs {
                let first = types[output.type_index + found].first;
                edges.push((nodes.first + local, base + first + local));
            }
        }
    }
    for dataset in 0..datasets {
        let mut last = None;
        for &reader in &readers[ends[dataset]..ends[dataset + 1]] {
            // One quantum may read a dataset through two connections.
            if last.replace(reader) != Some(reader) {
                edges.push((base + narrow(dataset), reader));
            }
        }
    }
    let mut flow = Csr::from_sorted_edges(&edges).expect("edges are made in order");
    while flow.node_count() < quanta + datasets {
        flow.add_node(());
    }
    flow
}
