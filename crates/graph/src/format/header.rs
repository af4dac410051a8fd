//! The JSON members, versions 1 and 2. Version 2 is a part of a graph: its header says
//! which; all else is as in version 1.

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
/// reads.
pub(super) const VERSION: u32 = 2;

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

/// The header of any version.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) common: HeaderV1,
    scope: Option<GraphScope>,
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
            version: if scope.is_some() { VERSION } else { 1 },
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
        Self { common, scope }
    }

    /// Reads a header whose version is known to be supported.
    pub(super) fn read(version: u32, json: &serde_json::Value) -> Result<Self, serde_json::Error> {
        if version == 1 {
            return Ok(Self { common: HeaderV1::deserialize(json)?, scope: None });
        }
        let HeaderV2 { common, scope: ScopeV2 { tasks, restriction } } =
            HeaderV2::deserialize(json)?;
        Ok(Self { common, scope: Some(GraphScope { tasks, restriction }) })
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let json = serde_json::to_value(&self.common);
        let mut json = json.expect("names and numbers serialize");
        if let (Some(GraphScope { tasks, restriction }), Some(members)) =
            (self.scope.clone(), json.as_object_mut())
        {
            let scope = serde_json::to_value(ScopeV2 { tasks, restriction });
            members.insert("scope".to_owned(), scope.expect("names serialize"));
        }
        json
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
