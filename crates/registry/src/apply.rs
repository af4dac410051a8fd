use pantler_core::{DatasetId, Tai, changes::Change};

use crate::{RegistryError, Writer};

impl Writer {
    /// Makes `changes`, in order; the documentation of each [`Change`] says what
    /// it means. Datasets inserted get `now` as the time of their registration.
    ///
    /// [`Change::DiscardRunIfUnused`] is decided when this writer is done, so that
    /// locks which [`Self::close_transaction`] removes afterwards do not count as
    /// those of another transaction.
    ///
    /// # Errors
    /// The first change that cannot be made; all are undone with this writer.
    pub fn apply(&self, changes: &[Change], now: Tai) -> Result<(), RegistryError> {
        let has_records = changes.iter().any(|change| matches!(change, Change::InsertRecords(_)));
        // Database ids of the datasets inserted, for their records.
        let mut inserted: Vec<(DatasetId, i64)> = Vec::new();
        for change in changes {
            match change {
                Change::InsertRun(run) => self.insert_run(run)?,
                Change::EnsureRun(run) => self.ensure_run(run)?,
                Change::DiscardRunIfUnused(run) => {
                    self.discarded_runs.borrow_mut().push(run.clone());
                }
                Change::EnsureCollection { name, collection_type } => {
                    self.ensure_collection(name, *collection_type)?;
                }
                Change::RemoveCollection(name) => self.remove_collection(name)?,
                Change::SetChain { chain, children } => self.set_chain(chain, children)?,
                Change::Associate { collection, datasets } => {
                    self.associate(collection, datasets)?;
                }
                Change::Disassociate { collection, datasets } => {
                    self.disassociate(collection, datasets)?;
                }
                Change::ExpectUntagged(datasets) => self.expect_untagged(datasets)?,
                Change::ExpectUnstored(datasets) => self.expect_unstored(datasets)?,
                Change::ExpectUnnamed(locations) => self.expect_unnamed(locations)?,
                Change::DiscardRun(run) => self.discard_run(run)?,
                Change::RemoveDatasetType(name) => self.remove_dataset_type(name)?,
                Change::EnsureDatasetType(dataset_type) => {
                    self.ensure_dataset_type(dataset_type)?;
                }
                Change::EnsureDimensionRecords(records) => {
                    self.ensure_dimension_records(records)?;
                }
                Change::InsertDatasets(refs) => {
                    if has_records {
                        inserted.reserve(refs.len());
                    }
                    self.insert_datasets(refs, now, |dataset, id| {
                        if has_records {
                            inserted.push((dataset, id));
                        }
                    })?;
                }
                Change::DiscardDatasets(ids) => {
                    self.discard_datasets(ids)?;
                    inserted.clear();
                }
                Change::InsertRecords(records) => self.insert_records(records, &inserted)?,
                Change::DiscardRecords(ids) => self.discard_records(ids)?,
                Change::ExtendChain { chain, first, last } => {
                    self.extend_chain(chain, first, last)?;
                }
            }
        }
        Ok(())
    }
}
