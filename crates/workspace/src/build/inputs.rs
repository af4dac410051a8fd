//! What a build reads of the repository.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use pantler_core::{
    CollectionName, DatasetType, DatasetTypeName, DimensionRecord, ElementName, KeyValue,
    TaskLabel, Universe,
};
use pantler_direct::DirectButler;
use pantler_graph::{BuildSource, ExistingOutputs, InputDataset, ResolvedPipeline, ResolvedTask};
use pantler_registry::{DatasetQuery, RegistryError};

use crate::{Shard, WorkspaceError, skip, skip::Searched};

/// The inputs of a pipeline as values.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) universe: Arc<Universe>,
    pub(crate) datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>>,
    pub(crate) records: BTreeMap<ElementName, Vec<DimensionRecord>>,
    pub(crate) outputs: BTreeMap<TaskLabel, Vec<ExistingOutputs>>,
}

impl Inputs {
    /// Reads the stored datasets that `inputs` offer, find-first, the outputs that `skip`
    /// finds, and all dimension records, from one state of the database.
    pub(crate) fn read(
        butler: &DirectButler,
        pipeline: &ResolvedPipeline,
        inputs: &[CollectionName],
        skip: &Searched,
    ) -> Result<Self, WorkspaceError> {
        Self::read_for(butler, pipeline, inputs, skip, None)
    }

    /// The same, without datasets of other shards than that one.
    pub(super) fn read_for(
        butler: &DirectButler,
        pipeline: &ResolvedPipeline,
        inputs: &[CollectionName],
        skip: &Searched,
        shard: Option<&Shard>,
    ) -> Result<Self, WorkspaceError> {
        let universe = Arc::clone(butler.universe());
        let mut datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>> = BTreeMap::new();
        let (mut records, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        butler.registry().read(|reader| {
            for (data_id, types) in by_values(pipeline.overall_inputs(), shard) {
                let rows = reader.datasets(&DatasetQuery {
                    dataset_types: Some(types),
                    runs: Some(inputs.to_vec()),
                    data_id,
                    find_first: true,
                    ..DatasetQuery::default()
                })?;
                for dataset in rows.into_iter().filter_map(skip::stored) {
                    datasets.entry(dataset.dataset_type.clone()).or_default().push(dataset);
                }
            }
            outputs = skip.read(reader, pipeline)?;
            for element in universe.elements() {
                records.insert(element.name.clone(), reader.dimension_records(element)?);
            }
            Ok::<_, RegistryError>(())
        })?;
        Ok(Self { universe, datasets, records, outputs })
    }
}

/// The dataset types by the values of a shard that their datasets must have.
fn by_values(
    types: &[Arc<DatasetType>],
    shard: Option<&Shard>,
) -> BTreeMap<BTreeMap<ElementName, KeyValue>, Vec<DatasetTypeName>> {
    let mut found: BTreeMap<_, Vec<DatasetTypeName>> = BTreeMap::new();
    for dataset_type in types {
        let has = |name: &ElementName| dataset_type.dimensions.required().contains(name);
        let values = shard.into_iter().flat_map(Shard::values).filter(|(name, _)| has(name));
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        found.entry(values.collect()).or_default().push(dataset_type.name.clone());
    }
    found
}

impl BuildSource for Inputs {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.get(dataset_type).cloned().unwrap_or_default())
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(self.records.get(element).cloned().unwrap_or_default())
    }

    fn existing_outputs(&self, task: &ResolvedTask) -> Result<Vec<ExistingOutputs>, Infallible> {
        Ok(self.outputs.get(&task.label).cloned().unwrap_or_default())
    }
}
