//! Data IDs with what follows from them: values of implied dimensions and records.

use std::{collections::BTreeMap, sync::Arc};

use pantler_core::{DataId, DatasetId, DimensionRecord, ElementName, KeyValue};
use pantler_registry::{DatasetRow, Reader, RegistryError};

use crate::{ButlerError, DirectButler};

/// A data ID with all that its dimensions say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandedDataId {
    /// The data ID.
    pub data_id: DataId,
    /// Values of the dimensions that it implies.
    pub implied: BTreeMap<ElementName, KeyValue>,
    /// The records of its dimensions and of the joins between them.
    pub records: BTreeMap<ElementName, DimensionRecord>,
}

impl DirectButler {
    /// Looks up what follows from data IDs.
    ///
    /// # Errors
    /// [`RegistryError::MissingDimensionRecord`] if a dimension of one has no record.
    pub fn expand_data_coordinates(
        &self,
        data_ids: &[DataId],
    ) -> Result<Vec<ExpandedDataId>, ButlerError> {
        let expanded = self.registry().read(|reader| {
            data_ids.iter().map(|data_id| expand(reader, data_id)).collect::<Result<_, _>>()
        });
        Ok(expanded.map_err(|error: RegistryError| error)?)
    }

    /// The registered datasets of these ids with their records, in their order.
    ///
    /// # Errors
    /// [`RegistryError::UnknownDataset`] for the first that is not registered.
    pub fn expand_existing_dataset_refs(
        &self,
        ids: &[DatasetId],
    ) -> Result<Vec<(DatasetRow, ExpandedDataId)>, ButlerError> {
        let rows = self.rows_of(ids)?;
        let data_ids: Vec<DataId> = rows.iter().map(|row| row.dataset.data_id.clone()).collect();
        let expanded = self.expand_data_coordinates(&data_ids)?;
        Ok(rows.into_iter().zip(expanded).collect())
    }
}

/// Elements come in an order in which each follows those that imply it.
pub(crate) fn expand(reader: &Reader, data_id: &DataId) -> Result<ExpandedDataId, RegistryError> {
    let universe = Arc::clone(reader.universe());
    let group = Arc::clone(data_id.group());
    let mut known: BTreeMap<ElementName, KeyValue> =
        data_id.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut records = BTreeMap::new();
    // What one record implies may be the key of another: until nothing is added.
    loop {
        let before = records.len();
        for element in universe.elements() {
            let key = universe.group_of(element);
            let inside = key.required().iter().all(|name| group.contains(name.as_str()));
            if !inside || records.contains_key(&element.name) {
                continue;
            }
            let values: Option<Vec<KeyValue>> =
                key.required().iter().map(|name| known.get(name).cloned()).collect();
            let Some(values) = values else { continue };
            let invalid = |reason: String| RegistryError::UniverseMismatch {
                subject: data_id.to_string(),
                reason,
            };
            let own = DataId::from_values(&key, values).map_err(|e| invalid(e.to_string()))?;
            match reader.dimension_record(element, &own)? {
                Some(record) => {
                    known.extend(record.implied.iter().map(|(n, v)| (n.clone(), v.clone())));
                    records.insert(element.name.clone(), record);
                }
                // A join need not have a record for all its dimensions.
                None if !element.is_dimension() => {}
                None => {
                    let element = element.name.clone();
                    return Err(RegistryError::MissingDimensionRecord { element, data_id: own });
                }
            }
        }
        if records.len() == before {
            break;
        }
    }
    for name in data_id.group().required() {
        known.remove(name);
    }
    Ok(ExpandedDataId { data_id: data_id.clone(), implied: known, records })
}
