//! The quantum graph in memory.
//!
//! Quanta and datasets are numbers. Quanta are counted by task (in the order of the
//! pipeline) and then by data ID; datasets by dataset type (existing inputs first) and
//! then by data ID. The outputs of a task have its dimensions, so the n-th quantum
//! of a task makes the n-th dataset of each of its output types, and neither that
//! edge nor a predicted data ID is stored. Predicted ids are derived when asked for.
//!
//! Where quanta were skipped since their outputs exist, a type that a task makes has
//! existing datasets, too. They stand behind those of overall inputs, so that all existing
//! datasets come first; such a type is counted twice.

mod parts;

use std::{collections::BTreeSet, fmt, sync::Arc};

use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetType, IdSeed, QuantumId, Tai, TaskLabel,
};
use petgraph::{Directed, csr::Csr};

use self::parts::flow;
pub(crate) use self::parts::{
    ExistingDataset, GraphParts, InputEdges, TaskNodes, TypeNodes, TypeRows,
};
use crate::{
    build::{Pruned, Skipped},
    dataset::{DatasetOrigin, GraphDataset, InputArtifact},
    pipeline::{ResolvedInput, ResolvedPipeline, ResolvedTask},
    values::{ValueTable, columns, narrow},
};

/// What a graph is for: everything that is not in the pipeline or its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphMetadata {
    /// What its ids are derived from.
    pub seed: IdSeed,
    /// The RUN of its outputs.
    pub output_run: CollectionName,
    /// When it was built.
    pub created_at: Tai,
    /// What was asked for, if it is a part of a graph.
    pub scope: Option<GraphScope>,
}

/// The part of a pipeline that a graph was built for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphScope {
    /// The tasks; `None` for all.
    pub tasks: Option<BTreeSet<TaskLabel>>,
    /// The data IDs, as a [`pantler_core::Restriction`] prints itself; `None` for all.
    pub restriction: Option<String>,
    /// The RUNs and TAGGED collections of which outputs were not built again, in search
    /// order.
    pub skip_existing_in: Vec<CollectionName>,
}

/// A quantum of one graph, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuantumIndex(pub(crate) u32);

/// A dataset of one graph, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetIndex(pub(crate) u32);

impl QuantumIndex {
    /// The position, less than [`QuantumGraph::len`].
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl DatasetIndex {
    /// The position, less than [`QuantumGraph::dataset_count`].
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// Quanta and the datasets they read and write: a bipartite directed acyclic graph.
///
/// An index belongs to the graph that gave it; methods panic for one out of range.
pub struct QuantumGraph {
    pub(crate) pipeline: Arc<ResolvedPipeline>,
    pub(crate) metadata: GraphMetadata,
    pub(crate) values: ValueTable,
    pub(crate) tasks: Vec<TaskNodes>,
    /// Overall inputs, then existing outputs (`found` of them), then what tasks make.
    pub(crate) types: Vec<TypeNodes>,
    found: usize,
    pub(crate) existing: Vec<ExistingDataset>,
    pub(crate) runs: Vec<CollectionName>,
    ids: Vec<QuantumId>,
    by_id: Vec<u32>,
    /// Nodes are the quanta, then the datasets; edges go with the data.
    flow: Csr<(), (), Directed, u32>,
    pruned: Vec<Pruned>,
    skipped: Vec<Skipped>,
}

/// One quantum.
#[derive(Debug, Clone)]
pub struct QuantumView<'a> {
    /// Its position.
    pub index: QuantumIndex,
    /// Its id.
    pub id: QuantumId,
    /// Its task.
    pub task: &'a ResolvedTask,
    /// Its data ID.
    pub data_id: DataId,
    /// What it reads, by connection name.
    pub inputs: Vec<QuantumInputs<'a>>,
    /// What it writes, in the order of `task.outputs`; the last one is the log.
    pub outputs: Vec<DatasetIndex>,
}

/// What a quantum reads through one connection.
#[derive(Debug, Clone, Copy)]
pub struct QuantumInputs<'a> {
    /// The connection.
    pub connection: &'a ResolvedInput,
    /// The datasets in the order of their data IDs; exactly one unless the connection
    /// is multiple.
    pub datasets: &'a [DatasetIndex],
}

/// More quanta and datasets than 32 bits count.
#[derive(Debug)]
pub(crate) struct TooManyNodes;

impl QuantumGraph {
    pub(crate) fn assemble(parts: GraphParts) -> Result<Self, TooManyNodes> {
        let GraphParts {
            pipeline,
            metadata,
            values,
            tasks,
            inputs,
            found,
            existing,
            runs,
            pruned,
            skipped,
        } = parts;
        let universe = pipeline.universe();
        let mut first = 0_usize;
        let mut task_nodes = Vec::with_capacity(tasks.len());
        for (task, (rows, inputs)) in pipeline.tasks().iter().zip(tasks) {
            let columns = columns(universe, task.dimensions.required());
            let start = u32::try_from(first).map_err(|_| TooManyNodes)?;
            first += rows.len();
            task_nodes.push(TaskNodes { first: start, columns, rows, inputs });
        }
        let quanta = first;
        let made = pipeline.overall_inputs().len();
        let makers = pipeline
            .tasks()
            .iter()
            .enumerate()
            .flat_map(|(i, task)| task.outputs.iter().map(move |_| TypeRows::Made(i)));
        let found_types = found.len();
        let groups = (0..)
            .zip(inputs)
            .chain(found)
            .map(|(of, rows)| (of, TypeRows::Existing(rows)))
            .chain((made..).zip(makers));
        let mut types = Vec::with_capacity(pipeline.dataset_types().len() + found_types);
        first = 0;
        for (of, nodes) in groups {
            let dataset_type = &pipeline.dataset_types()[of];
            let columns = columns(universe, dataset_type.dimensions.required());
            let start = u32::try_from(first).map_err(|_| TooManyNodes)?;
            first += nodes.len(&task_nodes);
            types.push(TypeNodes { dataset_type: of, first: start, columns, nodes });
        }
        u32::try_from(quanta + first).map_err(|_| TooManyNodes)?;
        let flow = flow(&pipeline, &task_nodes, &types, found_types, quanta, first);

        let mut ids = Vec::with_capacity(quanta);
        for (task, nodes) in pipeline.tasks().iter().zip(&task_nodes) {
            for row in nodes.rows.iter() {
                let data_id = values.data_id(&task.dimensions, &nodes.columns, row);
                ids.push(metadata.seed.quantum(task.label.as_str(), &data_id));
            }
        }
        let mut by_id: Vec<u32> = (0..narrow(quanta)).collect();
        by_id.sort_unstable_by_key(|i| ids[*i as usize]);
        Ok(Self {
            pipeline,
            metadata,
            values,
            tasks: task_nodes,
            types,
            found: found_types,
            existing,
            runs,
            ids,
            by_id,
            flow,
            pruned,
            skipped,
        })
    }

    /// The pipeline that it runs.
    pub fn pipeline(&self) -> &Arc<ResolvedPipeline> {
        &self.pipeline
    }

    /// What it is for.
    pub fn metadata(&self) -> &GraphMetadata {
        &self.metadata
    }

    /// What its ids are derived from.
    pub fn seed(&self) -> IdSeed {
        self.metadata.seed
    }

    /// The RUN of its outputs.
    pub fn output_run(&self) -> &CollectionName {
        &self.metadata.output_run
    }

    /// Says anew where overall inputs are, for those that `place` gives a new place; ids and
    /// data IDs stay, and so does the file that the graph was read from.
    pub fn relocate_inputs(
        &mut self,
        mut place: impl FnMut(DatasetId, &InputArtifact) -> Option<InputArtifact>,
    ) {
        for existing in &mut self.existing {
            if let Some(artifact) = place(existing.id, &existing.artifact) {
                existing.artifact = artifact;
            }
        }
    }

    /// The number of quanta.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is nothing to run; [`Self::pruned`] may say why.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The number of datasets, existing and predicted.
    pub fn dataset_count(&self) -> usize {
        self.types.last().map_or(0, |last| last.first as usize + last.nodes.len(&self.tasks))
    }

    /// What was not built, and why; empty for a graph that was read from a file.
    pub fn pruned(&self) -> &[Pruned] {
        &self.pruned
    }

    /// What was not built since its outputs exist, or was built although some of them do;
    /// empty for a graph that was read from a file.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The tasks, each after those whose outputs it reads, with their quanta.
    pub fn tasks(
        &self,
    ) -> impl Iterator<Item = (&ResolvedTask, impl Iterator<Item = QuantumIndex> + use<>)> {
        self.pipeline.tasks().iter().zip(&self.tasks).map(|(task, nodes)| {
            (task, (nodes.first..nodes.first + narrow(nodes.rows.len())).map(QuantumIndex))
        })
    }

    /// The number of quanta of each task.
    pub fn counts(&self) -> impl Iterator<Item = (&ResolvedTask, usize)> {
        self.pipeline.tasks().iter().zip(self.tasks.iter().map(|nodes| nodes.rows.len()))
    }

    /// The number of datasets of each type, in the order of the datasets. A type that has
    /// existing datasets and predicted ones comes twice.
    pub fn dataset_counts(&self) -> impl Iterator<Item = (&Arc<DatasetType>, usize)> {
        self.types.iter().map(|nodes| {
            let dataset_type = &self.pipeline.dataset_types()[nodes.dataset_type];
            (dataset_type, nodes.nodes.len(&self.tasks))
        })
    }

    /// How many of [`Self::dataset_counts`], from the first, are of existing datasets.
    pub fn existing_types(&self) -> usize {
        self.pipeline.overall_inputs().len() + self.found
    }

    /// All quanta, upstream tasks first.
    pub fn quanta(&self) -> impl Iterator<Item = QuantumIndex> + use<> {
        (0..narrow(self.len())).map(QuantumIndex)
    }

    /// All datasets, existing ones first.
    pub fn datasets(&self) -> impl Iterator<Item = DatasetIndex> + use<> {
        (0..narrow(self.dataset_count())).map(DatasetIndex)
    }

    /// The existing datasets: those that no quantum makes. Of types that no task makes, but
    /// for the outputs of quanta that were skipped.
    pub fn overall_inputs(&self) -> impl Iterator<Item = DatasetIndex> + use<> {
        (0..narrow(self.existing.len())).map(DatasetIndex)
    }

    /// One quantum with its inputs and outputs.
    pub fn quantum(&self, index: QuantumIndex) -> QuantumView<'_> {
        let (task_index, local) = self.locate(index);
        let (task, nodes) = (&self.pipeline.tasks()[task_index], &self.tasks[task_index]);
        let inputs = task
            .inputs
            .iter()
            .zip(&nodes.inputs)
            .map(|(connection, edges)| QuantumInputs { connection, datasets: edges.of(local) });
        let outputs = task
            .outputs
            .iter()
            .map(|o| DatasetIndex(self.types[o.type_index + self.found].first + narrow(local)));
        QuantumView {
            index,
            id: self.ids[index.get()],
            task,
            data_id: self.values.data_id(&task.dimensions, &nodes.columns, nodes.rows.row(local)),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        }
    }

    /// The id of a quantum.
    pub fn quantum_id(&self, index: QuantumIndex) -> QuantumId {
        self.ids[index.get()]
    }

    /// The task of a quantum.
    pub fn task_of(&self, index: QuantumIndex) -> &ResolvedTask {
        &self.pipeline.tasks()[self.locate(index).0]
    }

    /// The quantum with this id.
    pub fn find(&self, id: QuantumId) -> Option<QuantumIndex> {
        let found = self.by_id.binary_search_by_key(&id, |i| self.ids[*i as usize]).ok()?;
        Some(QuantumIndex(self.by_id[found]))
    }

    /// One dataset.
    pub fn dataset(&self, index: DatasetIndex) -> GraphDataset {
        let (type_index, local) = self.locate_dataset(index);
        let nodes = &self.types[type_index];
        let dataset_type = Arc::clone(&self.pipeline.dataset_types()[nodes.dataset_type]);
        let row = nodes.nodes.rows(&self.tasks).row(local);
        let data_id = self.values.data_id(&dataset_type.dimensions, &nodes.columns, row);
        let (id, origin) = match self.existing.get(index.get()) {
            Some(existing) => (
                existing.id,
                DatasetOrigin::Existing {
                    run: self.runs[existing.run as usize].clone(),
                    artifact: existing.artifact.clone(),
                },
            ),
            None => (
                self.metadata.seed.dataset(dataset_type.name.as_str(), &data_id),
                DatasetOrigin::Predicted,
            ),
        };
        GraphDataset { id, dataset_type, data_id, origin }
    }

    /// The quantum that makes a dataset; `None` for an existing one.
    pub fn producer(&self, index: DatasetIndex) -> Option<QuantumIndex> {
        let (type_index, local) = self.locate_dataset(index);
        match self.types[type_index].nodes {
            TypeRows::Existing(_) => None,
            TypeRows::Made(task) => Some(QuantumIndex(self.tasks[task].first + narrow(local))),
        }
    }

    /// The quanta that read a dataset, in order.
    pub fn consumers(&self, index: DatasetIndex) -> impl Iterator<Item = QuantumIndex> + '_ {
        self.flow.neighbors_slice(narrow(self.len()) + index.0).iter().map(|q| QuantumIndex(*q))
    }

    /// The quanta whose outputs a quantum reads, in order.
    pub fn upstream(&self, index: QuantumIndex) -> Vec<QuantumIndex> {
        let (task, local) = self.locate(index);
        let datasets = self.tasks[task].inputs.iter().flat_map(|edges| edges.of(local));
        let mut quanta: Vec<_> = datasets.filter_map(|d| self.producer(*d)).collect();
        quanta.sort_unstable();
        quanta.dedup();
        quanta
    }

    /// The quanta that read what a quantum makes, in order.
    pub fn downstream(&self, index: QuantumIndex) -> Vec<QuantumIndex> {
        let outputs = self.flow.neighbors_slice(index.0);
        let mut quanta: Vec<_> = outputs
            .iter()
            .flat_map(|node| self.flow.neighbors_slice(*node))
            .map(|q| QuantumIndex(*q))
            .collect();
        quanta.sort_unstable();
        quanta.dedup();
        quanta
    }

    /// The quanta sorted by id.
    pub(crate) fn by_id(&self) -> impl Iterator<Item = (QuantumId, u32)> + '_ {
        self.by_id.iter().map(|i| (self.ids[*i as usize], *i))
    }

    fn locate(&self, index: QuantumIndex) -> (usize, usize) {
        assert!(index.get() < self.len(), "{index:?} is not of this graph");
        let task = self.tasks.partition_point(|nodes| nodes.first <= index.0) - 1;
        (task, (index.0 - self.tasks[task].first) as usize)
    }

    /// Those of [`Self::types`] that a task makes and that have existing datasets.
    pub(crate) fn found(&self) -> &[TypeNodes] {
        let inputs = self.pipeline.overall_inputs().len();
        &self.types[inputs..inputs + self.found]
    }

    /// The position in [`Self::types`], and that in it.
    pub(crate) fn locate_dataset(&self, index: DatasetIndex) -> (usize, usize) {
        assert!(index.get() < self.dataset_count(), "{index:?} is not of this graph");
        let found = self.types.partition_point(|nodes| nodes.first <= index.0) - 1;
        (found, (index.0 - self.types[found].first) as usize)
    }
}

impl fmt::Debug for QuantumGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantumGraph")
            .field("metadata", &self.metadata)
            .field("quanta", &self.len())
            .field("datasets", &self.dataset_count())
            .finish_non_exhaustive()
    }
}
