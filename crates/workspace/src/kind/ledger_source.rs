//! A ledger as [`ManifestSource`].

use std::sync::Arc;

use camino::Utf8Path;
use pantler_butler::transaction::{CommitContext, KindError};
use pantler_core::{CollectionName, DatasetRef, DatasetType, FileRecord};

use super::{
    commit::record,
    manifest_source::{ManifestSource, Promised},
};
use crate::ledger::{LedgerError, LedgerState, LedgerTypes};

#[derive(Debug)]
pub(super) struct LedgerSource {
    run: CollectionName,
    state: LedgerState,
}

impl LedgerSource {
    /// Reads the ledger in the root of a workspace.
    pub(super) fn read(root: &Utf8Path, run: &CollectionName) -> Result<Self, LedgerError> {
        // A root without it has never been written to.
        let state = match LedgerTypes::read(root)? {
            Some(types) => LedgerState::read(root, types.universe())?,
            None => LedgerState::default(),
        };
        Ok(Self { run: run.clone(), state })
    }
}

impl ManifestSource for LedgerSource {
    /// What was begun and is not done never will be: nobody writes any more.
    fn unfinished(&self) -> Option<String> {
        None
    }

    fn promised(&self) -> Box<dyn Iterator<Item = Promised<'_>> + '_> {
        Box::new(self.state.done().map(|(_, done)| Promised {
            key: &done.key,
            size: done.size,
            checksum: done.checksum,
        }))
    }

    fn store_history(&mut self, _context: &CommitContext<'_>) -> Result<(), KindError> {
        Ok(())
    }

    /// None: a type that nobody has registered is more likely a mistake than a wish.
    fn dataset_types(&self) -> Vec<Arc<DatasetType>> {
        Vec::new()
    }

    fn datasets(self: Box<Self>) -> Box<dyn Iterator<Item = (DatasetRef, FileRecord)>> {
        let Self { run, state } = *self;
        Box::new(state.into_done().map(move |(id, done)| {
            let class = done.dataset_type.storage_class;
            let mut record = record(&done.key, class, None, done.size, done.checksum);
            record.dataset = id;
            let (dataset_type, data_id) = (done.dataset_type, done.data_id);
            (DatasetRef { id, dataset_type, data_id, run: run.clone() }, record)
        }))
    }
}
