//! Some quanta of a graph file as a graph of their own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io::{Read, Seek},
    sync::Arc,
};

use pantler_core::{CollectionName, DataId, DatasetTypeName, KeyValue, QuantumId};

use super::{
    GraphFileError, GraphReader, StoredQuantum,
    container::{INPUT_DATASETS, QUANTUM_DATASETS},
    reader::Blocks,
};
use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    graph::{DatasetIndex, ExistingDataset, GraphParts, InputEdges, QuantumGraph},
    pipeline::ResolvedPipeline,
    values::{Rows, ValueTable, columns, narrow},
};

/// So many quanta are read one by one whatever the size of the graph …
const ALWAYS: usize = 256;
/// … and beyond that at most one of so many: to read more of them takes longer than to read
/// the whole file.
const ONE_OF: usize = 16;

impl<R: Read + Seek> GraphReader<R> {
    /// Reads some quanta with all that is upstream of them, as a graph of its own: with the
    /// ids that they have, at other positions. Quanta that the file does not have are left
    /// out. `None` if these are so many that the whole file is read as fast, or if the file has
    /// existing datasets of a type that a task makes.
    ///
    /// # Errors
    /// [`GraphFileError`] if the reader fails, or if what is read is damaged.
    pub fn excerpt(&mut self, ids: &[QuantumId]) -> Result<Option<QuantumGraph>, GraphFileError> {
        if self.has_found() {
            return Ok(None);
        }
        let pipeline = Arc::clone(self.pipeline());
        let makers: HashMap<&DatasetTypeName, usize> = pipeline
            .tasks()
            .iter()
            .enumerate()
            .flat_map(|(t, task)| task.outputs.iter().map(move |o| (&o.dataset_type.name, t)))
            .collect();
        let most = ALWAYS.max(self.counts().quanta as usize / ONE_OF);
        let mut excerpt = Excerpt::new(&pipeline);
        let mut blocks = Blocks::default();
        let mut seen: HashSet<QuantumId> = ids.iter().copied().collect();
        let mut pending: Vec<(QuantumId, bool)> = ids.iter().map(|id| (*id, false)).collect();
        while let Some((id, is_upstream)) = pending.pop() {
            if seen.len() > most {
                return Ok(None);
            }
            let Some(quantum) = self.quantum_from(id, &mut blocks)? else {
                if is_upstream {
                    let reason = "a quantum that makes an input of another is not there";
                    return Err(GraphFileError::malformed(QUANTUM_DATASETS, reason));
                }
                continue;
            };
            for dataset in quantum.inputs.iter().flat_map(|inputs| &inputs.datasets) {
                if let Some(maker) = makers.get(&dataset.dataset_type.name) {
                    let label = pipeline.tasks()[*maker].label.as_str();
                    let id = self.metadata().seed.quantum(label, &dataset.data_id);
                    if seen.insert(id) {
                        pending.push((id, true));
                    }
                }
            }
            excerpt.add(quantum)?;
        }
        let (inputs, tasks) = (excerpt.inputs, excerpt.tasks);
        graph(&pipeline, self.metadata().clone(), &inputs, &tasks).map(Some)
    }
}

/// What was read.
struct Excerpt<'a> {
    pipeline: &'a ResolvedPipeline,
    /// The datasets of each overall input by data ID.
    inputs: Vec<BTreeMap<Vec<KeyValue>, GraphDataset>>,
    /// The quanta of each task by data ID.
    tasks: Vec<BTreeMap<Vec<KeyValue>, StoredQuantum>>,
}

impl<'a> Excerpt<'a> {
    fn new(pipeline: &'a ResolvedPipeline) -> Self {
        let inputs = vec![BTreeMap::new(); pipeline.overall_inputs().len()];
        let tasks = vec![BTreeMap::new(); pipeline.tasks().len()];
        Self { pipeline, inputs, tasks }
    }

    fn add(&mut self, quantum: StoredQuantum) -> Result<(), GraphFileError> {
        let of_task = |task: &crate::pipeline::ResolvedTask| task.label == quantum.task;
        let Some(t) = self.pipeline.tasks().iter().position(of_task) else {
            return Err(GraphFileError::malformed(QUANTUM_DATASETS, "a quantum is of no task"));
        };
        for (input, stored) in self.pipeline.tasks()[t].inputs.iter().zip(&quantum.inputs) {
            if let Some(own) = self.inputs.get_mut(input.type_index) {
                for dataset in &stored.datasets {
                    own.insert(dataset.data_id.values().to_vec(), dataset.clone());
                }
            }
        }
        self.tasks[t].insert(quantum.data_id.values().to_vec(), quantum);
        Ok(())
    }
}

/// Puts quanta and existing datasets together that need each other and nothing else.
fn graph(
    pipeline: &Arc<ResolvedPipeline>,
    metadata: crate::GraphMetadata,
    inputs: &[BTreeMap<Vec<KeyValue>, GraphDataset>],
    tasks: &[BTreeMap<Vec<KeyValue>, StoredQuantum>],
) -> Result<QuantumGraph, GraphFileError> {
    let universe = pipeline.universe();
    let mut values: Vec<BTreeSet<&KeyValue>> = vec![BTreeSet::new(); universe.elements().len()];
    let data_ids = inputs.iter().flat_map(|own| own.values().map(|dataset| &dataset.data_id));
    let data_ids = data_ids.chain(tasks.iter().flatten().map(|(_, quantum)| &quantum.data_id));
    for data_id in data_ids {
        let columns = columns(universe, data_id.group().required());
        for (column, value) in columns.into_iter().zip(data_id.values()) {
            values[column].insert(value);
        }
    }
    let columns_of = |values: BTreeSet<&KeyValue>| values.into_iter().cloned().collect();
    let values = ValueTable { columns: values.into_iter().map(columns_of).collect() };
    // As values are sorted, the codes of data IDs are in the order of data IDs.
    let row = |data_id: &DataId| -> Option<Vec<u32>> {
        let columns = columns(universe, data_id.group().required());
        columns.iter().zip(data_id.values()).map(|(c, value)| values.code(*c, value)).collect()
    };
    let rows = |data_ids: &mut dyn Iterator<Item = &DataId>, width: usize| {
        let mut rows = Rows::new(width);
        for data_id in data_ids {
            rows.push(row(data_id)?);
        }
        Some(rows)
    };
    let lost = || GraphFileError::malformed(INPUT_DATASETS, "an input is not there");

    let runs: BTreeSet<&CollectionName> = inputs.iter().flatten().filter_map(run_of).collect();
    let runs: Vec<CollectionName> = runs.into_iter().cloned().collect();
    let mut existing = Vec::new();
    for (_, dataset) in inputs.iter().flatten() {
        let DatasetOrigin::Existing { run, artifact } = &dataset.origin else {
            return Err(lost());
        };
        let run = runs.binary_search(run).map_or(0, narrow);
        existing.push(ExistingDataset { id: dataset.id, run, artifact: artifact.clone() });
    }
    let mut input_rows = Vec::with_capacity(inputs.len());
    for (own, dataset_type) in inputs.iter().zip(pipeline.overall_inputs()) {
        let width = dataset_type.dimensions.required().len();
        let mut data_ids = own.values().map(|dataset| &dataset.data_id);
        input_rows.push(rows(&mut data_ids, width).ok_or_else(lost)?);
    }
    let mut task_rows = Vec::with_capacity(tasks.len());
    for (own, task) in tasks.iter().zip(pipeline.tasks()) {
        let width = task.dimensions.required().len();
        let mut data_ids = own.values().map(|quantum| &quantum.data_id);
        task_rows.push(rows(&mut data_ids, width).ok_or_else(lost)?);
    }

    // Where the datasets of each type start, and whose rows they are.
    let made = task_rows.iter().zip(pipeline.tasks());
    let made = made.flat_map(|(rows, task)| task.outputs.iter().map(move |_| rows));
    let mut types: Vec<(u32, &Rows)> = Vec::new();
    let mut next = 0;
    for rows in input_rows.iter().chain(made) {
        types.push((narrow(next), rows));
        next += rows.len();
    }
    let place = |type_index: usize, data_id: &DataId| -> Option<DatasetIndex> {
        let (first, rows) = types[type_index];
        Some(DatasetIndex(first + narrow(rows.find(&row(data_id)?)?)))
    };
    let mut all_edges = Vec::with_capacity(tasks.len());
    for (own, task) in tasks.iter().zip(pipeline.tasks()) {
        let mut edges = Vec::with_capacity(task.inputs.len());
        for (i, input) in task.inputs.iter().enumerate() {
            let (mut offsets, mut datasets) = (vec![0], Vec::new());
            for quantum in own.values() {
                for dataset in &quantum.inputs[i].datasets {
                    datasets.push(place(input.type_index, &dataset.data_id).ok_or_else(lost)?);
                }
                offsets.push(narrow(datasets.len()));
            }
            if input.varies() {
                edges.push(InputEdges::Many { offsets, datasets });
            } else if datasets.len() == own.len() {
                edges.push(InputEdges::One(datasets));
            } else {
                return Err(lost());
            }
        }
        all_edges.push(edges);
    }
    drop(types);
    QuantumGraph::assemble(GraphParts {
        pipeline: Arc::clone(pipeline),
        metadata,
        values,
        tasks: task_rows.into_iter().zip(all_edges).collect(),
        inputs: input_rows,
        existing,
        runs,
        found: Vec::new(),
        pruned: Vec::new(),
        skipped: Vec::new(),
    })
    .map_err(|_| GraphFileError::malformed(QUANTUM_DATASETS, "it has too many nodes"))
}

fn run_of<'a>((_, dataset): (&Vec<KeyValue>, &'a GraphDataset)) -> Option<&'a CollectionName> {
    match &dataset.origin {
        DatasetOrigin::Existing { run, .. } => Some(run),
        DatasetOrigin::Predicted => None,
    }
}
