//! Dimension records and dataset types that files need.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pantler_butler::request::{IngestFile, NewDataset};
use pantler_core::{
    DataId, DimensionGroup, DimensionRecord, Element, ElementName, Universe,
    changes::{Change, Changes},
};

use super::StoreError;
use crate::DirectButler;

/// Registers, in one database transaction, the dataset types that files need and the
/// dimension records that can be made from their keys.
pub(super) fn register(butler: &DirectButler, files: &[IngestFile]) -> Result<(), StoreError> {
    let changes = changes(butler, files)?;
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&changes, now))?;
    pantler_seam::step("ingest.prepared");
    Ok(())
}

/// The same as changes.
pub(super) fn changes(butler: &DirectButler, files: &[IngestFile]) -> Result<Changes, StoreError> {
    let mut changes = Vec::new();
    let mut seen = BTreeSet::new();
    for NewDataset { dataset_type, .. } in datasets(files).map(|(_, dataset)| dataset) {
        if seen.insert(&dataset_type.name) {
            changes.push(Change::EnsureDatasetType(Arc::clone(dataset_type)));
        }
    }
    let records = missing(butler, files)?;
    if !records.is_empty() {
        changes.push(Change::EnsureDimensionRecords(records));
    }
    Ok(changes)
}

fn datasets(files: &[IngestFile]) -> impl Iterator<Item = (&IngestFile, &NewDataset)> {
    files.iter().flat_map(|file| file.datasets.iter().map(move |d| (file, &d.dataset)))
}

/// The dimension records that the files need and the database does not have, as
/// far as they can be made from their keys.
fn missing(
    butler: &DirectButler,
    files: &[IngestFile],
) -> Result<Vec<DimensionRecord>, StoreError> {
    let universe = butler.universe();
    let elements = universe.elements().iter().enumerate();
    // What identifies a record of each, found once and not for every file.
    let elements: BTreeMap<&ElementName, (usize, Arc<DimensionGroup>)> =
        elements.map(|(at, e)| (&e.name, (at, universe.group_of(e)))).collect();
    let mut needed: BTreeMap<(usize, DataId), &IngestFile> = BTreeMap::new();
    for (file, NewDataset { data_id, .. }) in datasets(files) {
        for name in data_id.group().required() {
            let Some((position, group)) = elements.get(name) else { continue };
            needed.entry((*position, identity(group, data_id))).or_insert(file);
        }
    }
    butler.registry().read(|reader| {
        let mut records = Vec::new();
        for ((position, data_id), file) in needed {
            let element = &universe.elements()[position];
            if reader.dimension_record(element, &data_id)?.is_some() {
                continue;
            }
            if !element.needs_no_metadata() {
                return Err(StoreError::MissingRecord {
                    path: file.source.clone(),
                    element: element.name.to_string(),
                    data_id: data_id.to_string(),
                });
            }
            records.push(record_from_key(universe, element, &data_id));
        }
        Ok(records)
    })
}

/// The record of `element` that a data ID names, with nothing but its key.
pub fn record_from_key(
    universe: &Universe,
    element: &Element,
    data_id: &DataId,
) -> DimensionRecord {
    DimensionRecord {
        element: element.name.clone(),
        data_id: identity(&universe.group_of(element), data_id),
        implied: BTreeMap::new(),
        metadata: BTreeMap::new(),
    }
}

/// The part of a data ID that identifies the record of one element, whose group is given.
fn identity(group: &Arc<DimensionGroup>, data_id: &DataId) -> DataId {
    let values = group.required().iter().filter_map(|n| data_id.get(n.as_str()).cloned());
    DataId::from_values(group, values.collect())
        .expect("a data ID holds what its dimensions require")
}
