//! Datasets that are registered only are stored again.

use std::collections::BTreeSet;

use pantler_butler::{
    request::{RestoreContent, RestoreItem, StoreOptions, StoreProgress, StoreReport},
    storing::RestoreRole,
};
use pantler_core::{DatasetId, TransactionName};

use super::{
    StoreError, Work,
    planned::{self, FileMode, Planned, PlannedContent, PlannedDataset},
};
use crate::DirectButler;

impl DirectButler {
    /// Stores content for datasets that are registered and not stored, at new keys. What is
    /// stored with that content already is left.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, the repository is as before.
    pub fn restore(
        &self,
        name: Option<&TransactionName>,
        items: &[RestoreItem<'_>],
        options: StoreOptions,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, StoreError> {
        let work = Work { what: "the restore", name, options, progress };
        let planned = self.planned_restore(items)?;
        if let Some(row) = self.open_row(name)? {
            return self.go_on::<RestoreRole>(&work, &row, planned);
        }
        self.store::<RestoreRole>(&work, planned)
    }

    pub(super) fn planned_restore<'r>(
        &self,
        items: &'r [RestoreItem<'_>],
    ) -> Result<Vec<Planned<'r>>, StoreError> {
        let ids: Vec<DatasetId> = items.iter().map(|item| item.dataset).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(StoreError::Twice {
                dataset: twice.to_string(),
                first: "one item".to_owned(),
                second: "another".to_owned(),
            });
        }
        let rows = self.rows_of(&ids)?;
        let mut restored = Vec::with_capacity(items.len());
        for (item, row) in items.iter().zip(rows) {
            let content = match &item.content {
                RestoreContent::Bytes(bytes) => PlannedContent::Bytes(bytes),
                RestoreContent::File(path) => {
                    let failed = |source| StoreError::Source { path: path.clone(), source };
                    let path = path.canonicalize_utf8().map_err(failed)?;
                    let source = planned::look_at(&path).map_err(failed)?;
                    PlannedContent::File(source, FileMode::Copy)
                }
            };
            let expected = match &content {
                PlannedContent::Bytes(bytes) => Some(planned::of_bytes(bytes)),
                _ => None,
            };
            let dataset = PlannedDataset::existing(row.dataset, true);
            restored.push(Planned { datasets: vec![dataset], content, expected });
        }
        Ok(restored)
    }
}
