//! JSON: documents of our own, versioned; a quantum or dataset a line. Fields are
//! added, never renamed or removed, without a new version.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName, ElementName, OpeningId,
    QuantumId, StorageClass, TaskLabel,
};
use serde::Serialize;

use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    graph::{QuantumGraph, QuantumView},
    pipeline::{ResolvedInput, ResolvedPipeline, ResolvedTask},
};

const GRAPH: &str = "pantler-graph-export";
const PIPELINE: &str = "pantler-pipeline-export";
const VERSION: u32 = 1;

#[derive(Serialize)]
struct TaskV1<'a> {
    task: &'a TaskLabel,
    /// Of an init step: the task whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    init_of: Option<&'a TaskLabel>,
    dimensions: &'a [ElementName],
    inputs: BTreeMap<&'a str, InputV1<'a>>,
    outputs: BTreeMap<&'a str, &'a DatasetTypeName>,
}

#[derive(Serialize)]
struct InputV1<'a> {
    dataset_type: &'a DatasetTypeName,
    multiple: bool,
    /// Where it is not 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prerequisite: bool,
}

#[derive(Serialize)]
struct DatasetTypeV1<'a> {
    dataset_type: &'a DatasetTypeName,
    dimensions: &'a [ElementName],
    storage_class: StorageClass,
    overall_input: bool,
}

#[derive(Serialize)]
struct QuantumV1<'a> {
    id: QuantumId,
    task: &'a TaskLabel,
    data_id: &'a DataId,
    inputs: BTreeMap<&'a str, Vec<DatasetId>>,
    outputs: BTreeMap<&'a str, DatasetId>,
}

#[derive(Serialize)]
struct DatasetV1<'a> {
    id: DatasetId,
    dataset_type: &'a DatasetTypeName,
    data_id: &'a DataId,
    run: &'a CollectionName,
    predicted: bool,
}

#[derive(Serialize)]
struct SeedV1 {
    opening_id: OpeningId,
    generation: u32,
}

pub(super) fn graph(graph: &QuantumGraph, out: &mut dyn Write) -> io::Result<()> {
    let metadata = graph.metadata();
    let seed = SeedV1 { opening_id: metadata.seed.opening, generation: metadata.seed.generation };
    writeln!(out, "{{")?;
    field(out, "format", &GRAPH)?;
    field(out, "version", &VERSION)?;
    field(out, "run", &metadata.output_run)?;
    field(out, "created_at", &metadata.created_at.utc())?;
    field(out, "seed", &seed)?;
    tasks_and_types(graph.pipeline(), out)?;
    let ids: Vec<DatasetId> = graph.datasets().map(|index| graph.dataset(index).id).collect();
    writeln!(out, ",\n\"quanta\": [")?;
    for index in graph.quanta() {
        separate(out, index.get())?;
        let QuantumView { id, task, data_id, inputs, outputs, .. } = graph.quantum(index);
        let inputs = inputs.iter().map(|input| {
            let datasets = input.datasets.iter().map(|dataset| ids[dataset.get()]).collect();
            (input.connection.name.as_str(), datasets)
        });
        let outputs = task.outputs.iter().zip(&outputs);
        let quantum = QuantumV1 {
            id,
            task: &task.label,
            data_id: &data_id,
            inputs: inputs.collect(),
            outputs: outputs.map(|(output, d)| (output.name.as_str(), ids[d.get()])).collect(),
        };
        serde_json::to_writer(&mut *out, &quantum)?;
    }
    writeln!(out, "\n],\n\"datasets\": [")?;
    for index in graph.datasets() {
        separate(out, index.get())?;
        let GraphDataset { id, dataset_type, data_id, origin } = graph.dataset(index);
        let (run, predicted) = match &origin {
            DatasetOrigin::Existing { run, .. } => (run, false),
            DatasetOrigin::Predicted => (graph.output_run(), true),
        };
        let dataset_type = &dataset_type.name;
        let dataset = DatasetV1 { id, dataset_type, data_id: &data_id, run, predicted };
        serde_json::to_writer(&mut *out, &dataset)?;
    }
    writeln!(out, "\n]\n}}")
}

pub(super) fn pipeline(pipeline: &ResolvedPipeline, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{{")?;
    field(out, "format", &PIPELINE)?;
    field(out, "version", &VERSION)?;
    tasks_and_types(pipeline, out)?;
    writeln!(out, "\n}}")
}

/// Without a comma at the end.
fn tasks_and_types(pipeline: &ResolvedPipeline, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\"tasks\": [")?;
    for (i, task) in pipeline.tasks().iter().enumerate() {
        separate(out, i)?;
        serde_json::to_writer(&mut *out, &task_document(task))?;
    }
    writeln!(out, "\n],\n\"dataset_types\": [")?;
    let inputs = pipeline.overall_inputs().len();
    for (i, dataset_type) in pipeline.dataset_types().iter().enumerate() {
        separate(out, i)?;
        let DatasetType { name, dimensions, storage_class } = &**dataset_type;
        let document = DatasetTypeV1 {
            dataset_type: name,
            dimensions: dimensions.required(),
            storage_class: *storage_class,
            overall_input: i < inputs,
        };
        serde_json::to_writer(&mut *out, &document)?;
    }
    write!(out, "\n]")
}

fn task_document<'a>(task: &'a ResolvedTask) -> TaskV1<'a> {
    let input = |input: &'a ResolvedInput| InputV1 {
        dataset_type: &input.dataset_type.name,
        multiple: input.multiple,
        minimum: (input.minimum != 1).then_some(input.minimum),
        prerequisite: input.prerequisite,
    };
    let outputs = task.outputs.iter().map(|o| (o.name.as_str(), &o.dataset_type.name));
    TaskV1 {
        task: &task.label,
        init_of: task.definition.init_of(),
        dimensions: task.dimensions.required(),
        inputs: task.inputs.iter().map(|i| (i.name.as_str(), input(i))).collect(),
        outputs: outputs.collect(),
    }
}

fn field(out: &mut dyn Write, name: &str, value: &impl Serialize) -> io::Result<()> {
    write!(out, "\"{name}\": ")?;
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out, ",")
}

/// What stands before the element at this position of a list.
fn separate(out: &mut dyn Write, position: usize) -> io::Result<()> {
    if position == 0 { Ok(()) } else { writeln!(out, ",") }
}
