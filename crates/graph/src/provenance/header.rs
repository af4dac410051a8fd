//! The JSON members, version 1.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use camino::Utf8PathBuf;
use pantler_core::{
    Checksum, CollectionName, DatasetType, DatasetTypeName, DimensionGroup, ElementName, KeyType,
    OpeningId, StorageClass, Tai, TaskLabel, Universe, transaction::Process,
};
use serde::{Deserialize, Serialize};

use super::{edges, model::Runner, selected::Selected};
use crate::{
    dataset::DatasetOrigin,
    expression,
    format::{
        GraphFileError,
        container::{HEADER, PIPELINE},
    },
    graph::{DatasetIndex, QuantumIndex},
    values::narrow,
};

/// What a provenance file says that it is.
pub const FORMAT: &str = "pantler-provenance";
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeaderV1 {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) run: CollectionName,
    pub(super) opening: OpeningId,
    pub(super) generation: u32,
    /// When the graph was built, nanoseconds TAI.
    pub(super) created_at: Tai,
    /// The program that wrote the file.
    pub(super) producer: String,
    pub(super) quanta: u32,
    pub(super) datasets: u32,
    /// Inputs of all quanta.
    pub(super) input_edges: u64,
    /// Those, and readers of all datasets.
    pub(super) edges: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PipelineV1 {
    file: Utf8PathBuf,
    source: String,
    pipeline: serde_json::Value,
    universe: serde_json::Value,
    tasks: Vec<TaskV1>,
    dataset_types: Vec<DatasetTypeV1>,
    /// RUNs that own inputs: the own one only if other quanta of it made some.
    input_runs: Vec<CollectionName>,
}

#[derive(Serialize, Deserialize)]
struct TaskV1 {
    label: TaskLabel,
    dimensions: Vec<ElementName>,
    quanta: u32,
    inputs: Vec<ConnectionV1>,
    outputs: Vec<ConnectionV1>,
}

#[derive(Serialize, Deserialize)]
struct ConnectionV1 {
    name: String,
    dataset_type: DatasetTypeName,
}

#[derive(Serialize, Deserialize)]
struct DatasetTypeV1 {
    name: DatasetTypeName,
    dimensions: Vec<ElementName>,
    storage_class: StorageClass,
    datasets: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunnerV1 {
    number: u32,
    host: Option<String>,
    boot_id: Option<String>,
    pid: Option<u32>,
    /// Nanoseconds TAI.
    started: Option<Tai>,
    /// Fingerprints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tasks: BTreeMap<TaskLabel, Checksum>,
}

/// A task of a RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceTask {
    /// Its label.
    pub label: TaskLabel,
    /// The dimensions of its quanta.
    pub dimensions: Arc<DimensionGroup>,
    /// How many quanta it has.
    pub quanta: u32,
    /// Its inputs: name of the connection, dataset type.
    pub inputs: Vec<(String, DatasetTypeName)>,
    /// Its outputs; the last one is the log.
    pub outputs: Vec<(String, DatasetTypeName)>,
    pub(super) first: u32,
    pub(super) first_block: u64,
    pub(super) keys: Vec<KeyType>,
}

/// A dataset type of a RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceType {
    /// The type.
    pub dataset_type: Arc<DatasetType>,
    /// How many datasets there are.
    pub datasets: u32,
    pub(super) first: u32,
    pub(super) first_block: u64,
    pub(super) keys: Vec<KeyType>,
}

/// What the small members say, checked against each other.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) v1: HeaderV1,
    pub(super) universe: Universe,
    pub(super) pipeline_source: String,
    pub(super) tasks: Vec<ProvenanceTask>,
    pub(super) types: Vec<ProvenanceType>,
    pub(super) input_runs: BTreeSet<CollectionName>,
    pub(super) input_edges: u64,
    pub(super) edges: u64,
    /// How many blocks `quanta` and `metadata` have each.
    pub(super) quantum_blocks: u64,
    pub(super) dataset_blocks: u64,
}

impl ProvenanceTask {
    /// The positions of its quanta.
    pub fn indices(&self) -> impl Iterator<Item = QuantumIndex> + use<> {
        (self.first..self.first + self.quanta).map(QuantumIndex)
    }

    pub(super) fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.quanta)
    }
}

impl ProvenanceType {
    /// The positions of its datasets.
    pub fn indices(&self) -> impl Iterator<Item = DatasetIndex> + use<> {
        (self.first..self.first + self.datasets).map(DatasetIndex)
    }

    pub(super) fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.datasets)
    }
}

fn blocks(nodes: u32) -> u64 {
    u64::from(nodes).div_ceil(super::IN_BLOCK as u64)
}

impl Header {
    pub(super) fn quanta(&self) -> u32 {
        self.v1.quanta
    }

    pub(super) fn datasets(&self) -> u32 {
        self.v1.datasets
    }

    pub(super) fn edge_blocks(&self) -> u64 {
        self.edges.div_ceil(edges::IN_BLOCK)
    }

    /// All blocks that have a row in the table of offsets.
    pub(super) fn all_blocks(&self) -> Option<u64> {
        let nodes = self.quantum_blocks * 2 + self.dataset_blocks;
        nodes.checked_add(self.edge_blocks())
    }

    pub(super) fn task_of(&self, quantum: u32) -> Option<usize> {
        let at = self.tasks.partition_point(|task| task.end() <= quantum.into());
        (at < self.tasks.len()).then_some(at)
    }

    pub(super) fn type_of(&self, dataset: u32) -> Option<usize> {
        let at = self.types.partition_point(|own| own.end() <= dataset.into());
        (at < self.types.len()).then_some(at)
    }
}

impl HeaderV1 {
    pub(super) fn new(selected: &Selected<'_>, input_edges: u64, edges: u64) -> Self {
        let metadata = selected.graph.metadata();
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            run: metadata.output_run.clone(),
            opening: metadata.seed.opening,
            generation: metadata.seed.generation,
            created_at: metadata.created_at,
            producer: concat!("pantler ", env!("CARGO_PKG_VERSION")).to_owned(),
            quanta: narrow(selected.quantum_count()),
            datasets: narrow(selected.dataset_count()),
            input_edges,
            edges,
        }
    }
}

impl PipelineV1 {
    pub(super) fn new(selected: &Selected<'_>) -> Result<Self, GraphFileError> {
        let graph = selected.graph;
        let resolved = graph.pipeline();
        let pipeline = resolved.pipeline();
        let json = |text: String| {
            serde_json::from_str(&text)
                .map_err(|error| GraphFileError::malformed(PIPELINE, error.to_string()))
        };
        let mut input_runs = BTreeSet::new();
        let existing = graph.overall_inputs().count();
        for index in selected.datasets() {
            if index.get() >= existing {
                let is_there = |producer| selected.quantum(producer).is_some();
                if !graph.producer(index).is_some_and(is_there) {
                    input_runs.insert(graph.output_run().clone());
                }
            } else if let DatasetOrigin::Existing { run, .. } = graph.dataset(index).origin
                && run != *graph.output_run()
            {
                input_runs.insert(run);
            }
        }
        let tasks = selected.counts().map(|(task, quanta)| TaskV1 {
            label: task.label.clone(),
            dimensions: task.dimensions.required().to_vec(),
            quanta: narrow(quanta),
            inputs: task
                .inputs
                .iter()
                .map(|input| ConnectionV1 {
                    name: input.name.clone(),
                    dataset_type: input.dataset_type.name.clone(),
                })
                .collect(),
            outputs: task
                .outputs
                .iter()
                .map(|output| ConnectionV1 {
                    name: output.name.clone(),
                    dataset_type: output.dataset_type.name.clone(),
                })
                .collect(),
        });
        let dataset_types = selected.dataset_counts().map(|(own, datasets)| DatasetTypeV1 {
            name: own.name.clone(),
            dimensions: own.dimensions.required().to_vec(),
            storage_class: own.storage_class,
            datasets: narrow(datasets),
        });
        Ok(Self {
            file: pipeline.file().to_owned(),
            source: pipeline.source().to_owned(),
            pipeline: json(pipeline.to_json())?,
            universe: json(resolved.universe().to_json())?,
            tasks: tasks.collect(),
            dataset_types: dataset_types.collect(),
            input_runs: input_runs.into_iter().collect(),
        })
    }

    /// Checks it against the header.
    pub(super) fn with(self, v1: HeaderV1) -> Result<Header, GraphFileError> {
        let malformed = |reason: String| GraphFileError::malformed(PIPELINE, reason);
        let universe = Universe::from_json(&self.universe.to_string())
            .map_err(|error| malformed(error.to_string()))?;
        let group = |names: &[ElementName]| {
            let group = universe.group(names).map_err(|error| malformed(error.to_string()))?;
            if group.required() != names {
                return Err(malformed("dimensions are not in order".to_owned()));
            }
            let keys: Vec<KeyType> =
                expression::dimensions(&universe, &group).into_iter().map(|(_, key)| key).collect();
            Ok((group, keys))
        };
        let (mut first, mut first_block) = (0_u32, 0);
        let mut tasks = Vec::with_capacity(self.tasks.len());
        let too_many = || malformed("its counts are not those of the header".to_owned());
        for task in self.tasks {
            let (dimensions, keys) = group(&task.dimensions)?;
            let named = |connections: Vec<ConnectionV1>| {
                connections.into_iter().map(|c| (c.name, c.dataset_type)).collect()
            };
            let quanta = task.quanta;
            tasks.push(ProvenanceTask {
                label: task.label,
                dimensions,
                quanta,
                inputs: named(task.inputs),
                outputs: named(task.outputs),
                first,
                first_block,
                keys,
            });
            first = first.checked_add(quanta).ok_or_else(too_many)?;
            first_block += blocks(quanta);
        }
        if first != v1.quanta {
            return Err(too_many());
        }
        let quantum_blocks = first_block;
        (first, first_block) = (0, 0);
        let mut types = Vec::with_capacity(self.dataset_types.len());
        for own in self.dataset_types {
            let (dimensions, keys) = group(&own.dimensions)?;
            let DatasetTypeV1 { name, storage_class, datasets, .. } = own;
            let dataset_type = Arc::new(DatasetType { name, dimensions, storage_class });
            types.push(ProvenanceType { dataset_type, datasets, first, first_block, keys });
            first = first.checked_add(datasets).ok_or_else(too_many)?;
            first_block += blocks(datasets);
        }
        let (input_edges, edges) = (v1.input_edges, v1.edges);
        if first != v1.datasets || v1.quanta.checked_add(v1.datasets).is_none() {
            return Err(too_many());
        }
        if input_edges > edges {
            return Err(GraphFileError::malformed(HEADER, "its counts do not fit together"));
        }
        Ok(Header {
            v1,
            universe,
            pipeline_source: self.source,
            tasks,
            types,
            input_runs: self.input_runs.into_iter().collect(),
            input_edges,
            edges,
            quantum_blocks,
            dataset_blocks: first_block,
        })
    }
}

impl RunnerV1 {
    pub(super) fn new(runner: Runner) -> Self {
        let Runner { number, process, started, tasks } = runner;
        let (host, boot_id, pid) = match process {
            Some(Process { host, boot_id, pid }) => (Some(host), Some(boot_id), Some(pid)),
            None => (None, None, None),
        };
        Self { number, host, boot_id, pid, started, tasks }
    }
}

/// The runners by number.
pub(super) fn runners(list: Vec<RunnerV1>) -> BTreeMap<u32, Runner> {
    let runner = |v1: RunnerV1| {
        let process = match (v1.host.clone(), v1.boot_id.clone(), v1.pid) {
            (Some(host), Some(boot_id), Some(pid)) => Some(Process { host, boot_id, pid }),
            _ => None,
        };
        let RunnerV1 { number, started, tasks, .. } = v1;
        (number, Runner { number, process, started, tasks })
    };
    list.into_iter().map(runner).collect()
}
