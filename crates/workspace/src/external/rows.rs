//! `rows.json`: what a repository that holds the datasets of the graph needs besides them.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use pantler_core::{
    CollectionName, CollectionType, DataId, DatasetId, DimensionRecord, ElementName, KeyValue,
    MetadataValue, Universe,
};
use pantler_direct::DirectButler;
use pantler_graph::{DatasetOrigin, QuantumGraph};
use pantler_registry::DatasetQuery;
use serde::{Deserialize, Serialize};

use super::{
    ExternalError,
    description::{Description, read_versioned, to_text},
};
use crate::WorkspaceError;

const VERSION: u32 = 1;
/// So many data IDs are looked up in one go.
const AT_ONCE: usize = 10_000;

/// Dimension records and tags.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// The records that the graph's data IDs name.
    pub(crate) records: Vec<DimensionRecord>,
    /// The inputs that each TAGGED collection has.
    pub(crate) tags: BTreeMap<CollectionName, Vec<DatasetId>>,
}

#[derive(Serialize, Deserialize)]
struct RowsV1 {
    version: u32,
    records: BTreeMap<String, Vec<BTreeMap<String, MetadataValue>>>,
    tags: BTreeMap<CollectionName, Vec<DatasetId>>,
}

impl Rows {
    /// Reads them from the parent.
    pub(crate) fn of(
        butler: &DirectButler,
        graph: &QuantumGraph,
        description: &Description,
    ) -> Result<Self, WorkspaceError> {
        let data_ids: BTreeSet<DataId> =
            graph.datasets().map(|index| graph.dataset(index).data_id).collect();
        let data_ids: Vec<DataId> = data_ids.into_iter().collect();
        let mut records: BTreeMap<(ElementName, DataId), DimensionRecord> = BTreeMap::new();
        for some in data_ids.chunks(AT_ONCE) {
            for expanded in butler.expand_data_coordinates(some)? {
                for (element, record) in expanded.records {
                    records.entry((element, record.data_id.clone())).or_insert(record);
                }
            }
        }
        let mut tags = BTreeMap::new();
        let inputs: BTreeSet<DatasetId> =
            graph.overall_inputs().map(|index| graph.dataset(index).id).collect();
        for collection in &description.collections {
            if collection.collection_type != CollectionType::Tagged {
                continue;
            }
            let query =
                DatasetQuery { runs: Some(vec![collection.name.clone()]), ..Default::default() };
            let tagged = butler.query_datasets(&query)?;
            let ids = tagged.into_iter().map(|row| row.dataset.id);
            let ids: Vec<DatasetId> = ids.filter(|id| inputs.contains(id)).collect();
            tags.insert(collection.name.clone(), ids);
        }
        Ok(Self { records: records.into_values().collect(), tags })
    }

    /// Without tags of datasets that the graph does not read: they were noted for a part of it
    /// that was then not written.
    pub(crate) fn restricted_to(mut self, graph: &QuantumGraph) -> Self {
        let inputs: BTreeSet<DatasetId> =
            graph.overall_inputs().map(|index| graph.dataset(index).id).collect();
        self.tags.values_mut().for_each(|tagged| tagged.retain(|id| inputs.contains(id)));
        self
    }

    /// Reads the file at `path`.
    pub(crate) fn read(path: &Utf8Path, universe: &Universe) -> Result<Self, ExternalError> {
        let file: RowsV1 = read_versioned(path, VERSION)?;
        let damaged = |reason: String| ExternalError::Damaged { path: path.to_owned(), reason };
        let mut records = Vec::new();
        // In the order in which each comes after those that it names.
        for element in universe.elements() {
            for fields in file.records.get(element.name.as_str()).into_iter().flatten() {
                let record = DimensionRecord::from_fields(universe, element, fields.clone());
                records.push(record.map_err(|e| damaged(format!("{}: {e}", element.name)))?);
            }
        }
        if records.len() != file.records.values().map(Vec::len).sum::<usize>() {
            return Err(damaged("it has records of an unknown element".to_owned()));
        }
        Ok(Self { records, tags: file.tags })
    }

    /// The file's text.
    pub(crate) fn to_json(&self, universe: &Universe) -> String {
        let mut records: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for element in universe.elements() {
            let of_element = self.records.iter().filter(|record| record.element == element.name);
            let fields: Vec<_> = of_element.map(fields).collect();
            if !fields.is_empty() {
                records.insert(element.name.to_string(), fields);
            }
        }
        to_text(&RowsV1 { version: VERSION, records, tags: self.tags.clone() })
    }
}

fn fields(record: &DimensionRecord) -> BTreeMap<String, MetadataValue> {
    let value = |value: &KeyValue| match value {
        KeyValue::Integer(value) => MetadataValue::Integer(*value),
        KeyValue::String(value) => MetadataValue::String(value.to_string()),
    };
    let key = record.data_id.iter().map(|(name, found)| (name.to_string(), value(found)));
    let implied = record.implied.iter().map(|(name, found)| (name.to_string(), value(found)));
    let metadata = record.metadata.iter().map(|(name, found)| (name.to_string(), found.clone()));
    key.chain(implied).chain(metadata).collect()
}

/// The RUN of an overall input.
pub(crate) fn run_of(origin: &DatasetOrigin) -> Option<&CollectionName> {
    match origin {
        DatasetOrigin::Existing { run, .. } => Some(run),
        DatasetOrigin::Predicted => None,
    }
}
