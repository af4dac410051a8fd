//! Asking whether data IDs could be inserted, without inserting anything.

use std::{collections::BTreeMap, sync::Arc};

use pantler_core::{DataId, DimensionGroup, ElementName, KeyValue};

use crate::{
    Reader, RegistryError,
    record_checks::{RecordChecks, RecordPlan},
};

impl Reader {
    /// Checks that the dimension records are there that datasets with these data IDs need.
    ///
    /// # Errors
    /// [`RegistryError::MissingDimensionRecord`] with the first that is not.
    pub fn expect_records(&self, data_ids: &[DataId]) -> Result<(), RegistryError> {
        let mut groups: BTreeMap<&[ElementName], (&Arc<DimensionGroup>, Vec<&DataId>)> =
            BTreeMap::new();
        for data_id in data_ids {
            let group = data_id.group();
            groups.entry(group.required()).or_insert((group, Vec::new())).1.push(data_id);
        }
        for (group, data_ids) in groups.into_values() {
            let required = group.required();
            let plan = RecordPlan::new(self.universe(), required, required)?;
            let mut checks = RecordChecks::new(self.db(), &plan)?;
            for data_id in data_ids {
                let values: Vec<&KeyValue> = data_id.values().iter().collect();
                checks.check(&values, data_id)?;
            }
        }
        Ok(())
    }
}
