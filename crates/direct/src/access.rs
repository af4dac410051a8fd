//! A repository as the traits of `pantler-butler` see it.

use std::{borrow::Cow, io::Write, sync::Arc};

use pantler_butler::{
    AccessError, Butler, Deferred, LimitedButler,
    request::{
        IngestRequest, NewDataset, NoProgress, PutItem, PutRequest, RemoveReport, RemoveRequest,
        RestoreItem, StoreOptions, StoreProgress, StoreReport, TransferRequest,
    },
};
use pantler_core::{
    CollectionName, DatasetId, DatasetRef, FileRecord, TransactionName, Universe,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::{DeferredRead, Depth, Verdict};

use crate::{
    ButlerError, CloseError, CloseOptions, Closed, DirectButler, RemoveError, StoreError,
    TransferError,
};

/// Anything that a [`DirectButler`] can fail with.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// Storing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Removing failed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A closing did not happen, or it is not known whether it did.
    #[error(transparent)]
    Close(#[from] CloseError),
    /// Anything else.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

impl DirectButler {
    /// The record of a stored dataset.
    fn record(&self, dataset: DatasetId) -> Result<FileRecord, AccessError> {
        let row = self
            .registry()
            .read(|reader| reader.dataset(dataset))
            .map_err(|error| AccessError::failed(dataset, error))?
            .ok_or(AccessError::Unknown(dataset))?;
        row.records.into_iter().next().ok_or(AccessError::NotStored(dataset))
    }
}

impl LimitedButler for DirectButler {
    fn universe(&self) -> &Arc<Universe> {
        self.registry().universe()
    }

    fn is_writeable(&self) -> bool {
        self.registry().is_writeable()
    }

    fn get(&self, dataset: DatasetId) -> Result<Vec<u8>, AccessError> {
        let record = self.record(dataset)?;
        self.datastore().read(&record).map_err(|error| AccessError::failed(dataset, error))
    }

    fn get_deferred(&self, dataset: DatasetId) -> Result<Box<dyn Deferred + '_>, AccessError> {
        let record = self.record(dataset)?;
        Ok(Box::new(DeferredDataset::new(dataset, self.datastore().deferred(&record))))
    }

    fn get_uri(&self, dataset: DatasetId) -> Result<String, AccessError> {
        Ok(self.datastore().uri_of(&self.record(dataset)?.location))
    }

    fn stored(&self, dataset: DatasetId) -> Result<bool, AccessError> {
        match self.record(dataset) {
            Ok(record) => {
                let verdict = self.datastore().verify_record(&record, Depth::Presence);
                let verdict = verdict.map_err(|error| AccessError::failed(dataset, error))?;
                Ok(matches!(verdict, Verdict::Present { .. }))
            }
            Err(AccessError::Unknown(_) | AccessError::NotStored(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put(&self, dataset: &DatasetRef, content: &[u8]) -> Result<(), AccessError> {
        let request = PutRequest {
            name: None,
            run: dataset.run.clone(),
            items: vec![PutItem {
                dataset: NewDataset {
                    dataset_type: Arc::clone(&dataset.dataset_type),
                    data_id: dataset.data_id.clone(),
                    id: Some(dataset.id),
                },
                content: Cow::Borrowed(content),
            }],
            options: StoreOptions::default(),
        };
        let put = Self::put_many(self, &request, &NoProgress);
        put.map(drop).map_err(|error| AccessError::failed(dataset.id, error))
    }
}

/// A dataset in a datastore, read when it is asked for.
#[derive(Debug)]
pub struct DeferredDataset {
    dataset: DatasetId,
    read: DeferredRead,
}

impl DeferredDataset {
    /// Reads `dataset` through `read`.
    pub fn new(dataset: DatasetId, read: DeferredRead) -> Self {
        Self { dataset, read }
    }
}

impl Deferred for DeferredDataset {
    fn size(&self) -> u64 {
        self.read.size()
    }

    fn read(&self) -> Result<Vec<u8>, AccessError> {
        self.read.read().map_err(|error| AccessError::failed(self.dataset, error))
    }

    fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, AccessError> {
        let read = self.read.read_range(offset, length);
        read.map_err(|error| AccessError::failed(self.dataset, error))
    }

    fn copy_to(&self, out: &mut dyn Write) -> Result<u64, AccessError> {
        let written = self.read.copy_to(out);
        Ok(written.map_err(|error| AccessError::failed(self.dataset, error))?.size)
    }
}

impl Butler for DirectButler {
    type Error = DirectError;

    fn put_many(
        &self,
        request: &PutRequest<'_>,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, DirectError> {
        Ok(Self::put_many(self, request, progress)?)
    }

    fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, DirectError> {
        Ok(Self::ingest(self, request, progress)?)
    }

    fn restore(
        &self,
        name: Option<&TransactionName>,
        items: &[RestoreItem<'_>],
        options: StoreOptions,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, DirectError> {
        Ok(Self::restore(self, name, items, options, progress)?)
    }

    fn transfer_from(
        &self,
        source: &Self,
        request: &TransferRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, DirectError> {
        Ok(Self::transfer_from(self, source, request, progress)?)
    }

    fn remove_datasets(&self, request: &RemoveRequest) -> Result<RemoveReport, DirectError> {
        Ok(Self::remove_datasets(self, request)?)
    }

    fn remove_runs(
        &self,
        runs: &[CollectionName],
        force: bool,
    ) -> Result<Vec<RemoveReport>, DirectError> {
        runs.iter().map(|run| Ok(self.remove_run(None, run, force)?)).collect()
    }

    fn list_transactions(&self) -> Result<Vec<TransactionRow>, DirectError> {
        Ok(Self::list_transactions(self)?)
    }

    fn close_transaction(
        &self,
        name: &TransactionName,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, DirectError> {
        Ok(self.close(name, closing, options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_butler_can_be_shared_between_threads() {
        fn shared<B: Butler + Send + Sync>() {}
        shared::<DirectButler>();
    }
}
