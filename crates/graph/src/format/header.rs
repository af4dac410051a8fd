//! The JSON members, versions 1 to 3. Version 2 is a part of a graph: its header says
//! which; all else is as in version 1. Version 3 is a graph, or a part of one, of which quanta
//! were skipped since their outputs exist: its header says where those were looked for, and how
//! many of which type are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use camino::Utf8PathBuf;
use pantler_core::{
    CollectionName, DatasetType, DatasetTypeName, ElementName, IdSeed, KeyValue, OpeningId,
    StorageClass, Tai, TaskLabel, Universe,
};
use serde::{Deserialize, Serialize};

use super::{GraphFileError, container};
use crate::{
    graph::{GraphMetadata, GraphScope, QuantumGraph},
    pipeline::{Pipeline, ResolvedPipeline},
    values::ValueTable,
};

pub(super) const FORMAT: &str = "pantler-quantum-graph";
/// The newest version. A graph that is whole is written as version 1, which every program
/// reads, and a part of which nothing was skipped as version 2.
pub(super) const VERSION: u32 = 3;

/// How much is in a graph file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphCounts {
    /// Tasks, with and without quanta.
    pub tasks: u32,
    /// Quanta.
    pub quanta: u32,
    /// Datasets, existing and predicted.
    pub datasets: u32,
    /// Existing datasets.
    pub existing: u32,
}

#[derive(Deserialize)]
pub(crate) struct FormatOnly {
    pub(crate) format: String,
    pub(crate) version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeaderV1 {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) opening: OpeningId,
    pub(super) generation: u32,
    pub(super) output_run: CollectionName,
    /// Nanoseconds TAI.
    pub(super) created_at: Tai,
    /// The program that wrote the file.
    pub(super) producer: String,
    pub(super) counts: GraphCounts,
}

/// A header of version 1, and what the graph is a part of.
#[derive(Debug, Serialize, Deserialize)]
struct HeaderV2 {
    #[serde(flatten)]
    common: HeaderV1,
    scope: ScopeV2,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScopeV2 {
    tasks: Option<BTreeSet<TaskLabel>>,
    restriction: Option<String>,
}

/// A header of version 1, what the graph is a part of, if it is one, and what exists.
#[derive(Debug, Serialize, Deserialize)]
struct HeaderV3 {
    #[serde(flatten)]
    common: HeaderV1,
    scope: Option<ScopeV3>,
    /// Types that a task makes and that have existing datasets, in the pipeline's order.
    existing_outputs: Vec<ExistingOutputsV3>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScopeV3 {
    tasks: Option<BTreeSet<TaskLabel>>,
    restriction: Option<String>,
    skip_existing_in: Vec<CollectionName>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ExistingOutputsV3 {
    dataset_type: DatasetTypeName,
    datasets: u32,
}

/// The header of any version.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) common: HeaderV1,
    scope: Option<GraphScope>,
    existing_outputs: Vec<ExistingOutputsV3>,
}

/// A type that a task makes and that has existing datasets.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundType {
    /// Its position in the pipeline.
    pub(super) dataset_type: usize,
    pub(super) datasets: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PipelineV1 {
    file: Utf8PathBuf,
    source: String,
    pipeline: serde_json::Value,
    universe: serde_json::Value,
    overall_inputs: Vec<DatasetTypeV1>,
}

#[derive(Serialize, Deserialize)]
struct DatasetTypeV1 {
    name: DatasetTypeName,
    dimensions: Vec<ElementName>,
    storage_class: StorageClass,
}

/// The values of each dimension that data IDs of the graph have, sorted.
#[derive(Serialize, Deserialize)]
pub(super) struct DimensionDataV1 {
    values: BTreeMap<ElementName, Vec<KeyValue>>,
}

impl Header {
    pub(super) fn new(graph: &QuantumGraph) -> Self {
        let GraphMetadata { seed, output_run, created_at, scope } = graph.metadata().clone();
        let count = crate::values::narrow;
        let common = HeaderV1 {
            format: FORMAT.to_owned(),
            version: match &scope {
                _ if !graph.found().is_empty() => 3,
                Some(scope) if !scope.skip_existing_in.is_empty() => 3,
                Some(_) => 2,
                None => 1,
            },
            opening: seed.opening,
            generation: seed.generation,
            output_run,
            created_at,
            producer: concat!("pantler ", env!("CARGO_PKG_VERSION")).to_owned(),
            counts: GraphCounts {
                tasks: count(graph.pipeline().tasks().len()),
                quanta: count(graph.len()),
                datasets: count(graph.dataset_count()),
                existing: count(graph.existing.len()),
            },
        };
        let existing_outputs = graph.found().iter().map(|nodes| ExistingOutputsV3 {
            dataset_type: graph.pipeline().dataset_types()[nodes.dataset_type].name.clone(),
            datasets: count(nodes.nodes.rows(&graph.tasks).len()),
        });
        Self { common, scope, existing_outputs: existing_outputs.collect() }
    }

    /// Reads a header whose version is known to be supported.
    pub(super) fn read(version: u32, json: &serde_json::Value) -> Result<Self, serde_json::Error> {
        let (common, scope, existing_outputs) = match version {
            1 => (HeaderV1::deserialize(json)?, None, Vec::new()),
            2 => {
                let HeaderV2 { common, scope } = HeaderV2::deserialize(json)?;
                let ScopeV2 { tasks, restriction } = scope;
                let skip_existing_in = Vec::new();
                (common, Some(GraphScope { tasks, restriction, skip_existing_in }), Vec::new())
            }
            _ => {
                let HeaderV3 { common, scope, existing_outputs } = HeaderV3::deserialize(json)?;
                let scope = scope.map(|ScopeV3 { tasks, restriction, skip_existing_in }| {
                    GraphScope { tasks, restriction, skip_existing_in }
                });
                (common, scope, existing_outputs)
            }
        };
        Ok(Self { common, scope, existing_outputs })
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let json = serde_json::to_value(&self.common);
        let mut json = json.expect("names and numbers serialize");
        let Some(members) = json.as_object_mut() else { return json };
        let version = self.common.version;
        let scope = self.scope.clone();
        let scope = scope.map(|GraphScope { tasks, restriction, skip_existing_in }| {
            let scope = if version < 3 {
                serde_json::to_value(ScopeV2 { tasks, restriction })
            } else {
                serde_json::to_value(ScopeV3 { tasks, restriction, skip_existing_in })
            };
            scope.expect("names serialize")
        });
        if version > 1 {
            members.insert("scope".to_owned(), scope.unwrap_or_default());
        }
        if version > 2 {
            let existing = serde_json::to_value(&self.existing_outputs);
            members.insert("existing_outputs".to_owned(), existing.expect("names serialize"));
        }
        json
    }

    /// The types that tasks make and that have existing datasets.
    pub(super) fn found(
        &self,
        pipeline: &ResolvedPipeline,
    ) -> Result<Vec<FoundType>, GraphFileError> {
        let malformed = |reason: String| GraphFileError::malformed(container::HEADER, reason);
        let mut found: Vec<FoundType> = Vec::with_capacity(self.existing_outputs.len());
        for ExistingOutputsV3 { dataset_type, datasets } in &self.existing_outputs {
            let outputs = pipeline.outputs();
            let position = outputs.iter().position(|output| output.name == *dataset_type);
            let position = position
                .map(|position| position + pipeline.overall_inputs().len())
                .ok_or_else(|| malformed(format!("no task makes `{dataset_type}`")))?;
            if *datasets == 0 || found.last().is_some_and(|last| last.dataset_type >= position) {
                return Err(malformed("existing outputs are not in order".to_owned()));
            }
            found.push(FoundType { dataset_type: position, datasets: *datasets });
        }
        Ok(found)
    }

    pub(super) fn metadata(&self) -> GraphMetadata {
        let HeaderV1 { opening, generation, ref output_run, created_at, .. } = self.common;
        GraphMetadata {
            seed: IdSeed { opening, generation },
            output_run: output_run.clone(),
            created_at,
            scope: self.scope.clone(),
        }
    }
}

impl PipelineV1 {
    pub(super) fn new(resolved: &ResolvedPipeline) -> Self {
        let pipeline = resolved.pipeline();
        let json = |text: String| serde_json::from_str(&text).expect("it was just written");
        Self {
            file: pipeline.file().to_owned(),
            source: pipeline.source().to_owned(),
            pipeline: json(pipeline.to_json()),
            universe: json(resolved.universe().to_json()),
            overall_inputs: resolved
                .overall_inputs()
                .iter()
                .map(|dataset_type| DatasetTypeV1 {
                    name: dataset_type.name.clone(),
                    dimensions: dataset_type.dimensions.required().to_vec(),
                    storage_class: dataset_type.storage_class,
                })
                .collect(),
        }
    }

    pub(super) fn resolve(self) -> Result<ResolvedPipeline, GraphFileError> {
        let malformed = |reason: String| GraphFileError::malformed(container::PIPELINE, reason);
        let universe = Universe::from_json(&self.universe.to_string())
            .map_err(|error| malformed(error.to_string()))?;
        let mut types = BTreeMap::new();
        for dataset_type in self.overall_inputs {
            let DatasetTypeV1 { name, dimensions, storage_class } = dataset_type;
            let group =
                universe.group(&dimensions).map_err(|error| malformed(error.to_string()))?;
            if group.required() != dimensions {
                return Err(malformed(format!("dimensions of `{name}` are not in order")));
            }
            let dataset_type = DatasetType { name: name.clone(), dimensions: group, storage_class };
            types.insert(name, Arc::new(dataset_type));
        }
        let pipeline = Pipeline::from_json(&self.pipeline.to_string(), &self.source, &self.file)
            .map_err(GraphFileError::Pipeline)?;
        let resolved = pipeline
            .resolve(&universe, &|name| types.get(name).cloned())
            .map_err(GraphFileError::Pipeline)?;
        if resolved.overall_inputs().len() == types.len() {
            Ok(resolved)
        } else {
            Err(malformed("overall inputs and pipeline do not fit together".to_owned()))
        }
    }
}

impl DimensionDataV1 {
    pub(super) fn new(universe: &Universe, values: &ValueTable) -> Self {
        let elements = universe.elements().iter().zip(&values.columns);
        let values = elements
            .filter(|(_, values)| !values.is_empty())
            .map(|(element, values)| (element.name.clone(), values.clone()));
        Self { values: values.collect() }
    }

    pub(super) fn table(mut self, universe: &Universe) -> Result<ValueTable, GraphFileError> {
        let malformed =
            |reason: String| GraphFileError::malformed(container::DIMENSION_DATA, reason);
        let mut table = ValueTable::default();
        for element in universe.elements() {
            let values = self.values.remove(&element.name).unwrap_or_default();
            let mut column = Vec::with_capacity(values.len());
            for value in values {
                let key = element
                    .key
                    .ok_or_else(|| malformed(format!("`{}` is not a dimension", element.name)))?;
                column.push(value.checked(key).map_err(malformed)?);
            }
            if !column.is_sorted_by(|a, b| a < b) {
                return Err(malformed(format!("values of `{}` are not sorted", element.name)));
            }
            table.columns.push(column);
        }
        match self.values.pop_first() {
            Some((name, _)) => Err(malformed(format!("unknown dimension `{name}`"))),
            None => Ok(table),
        }
    }
}
