//! An open workspace as a [`LimitedButler`] that reads: its inputs, and the outputs of
//! quanta that have succeeded.

use std::{collections::HashMap, sync::Arc};

use pantler_butler::{AccessError, Deferred, LimitedButler};
use pantler_core::{DatasetId, DatasetRef, FileRecord, Universe};
use pantler_datastore::{Datastore, DeferredRead, Depth, Verdict};
use pantler_direct::DeferredDataset;
use pantler_exec::{JournalState, Success, current_successes};
use pantler_graph::{DatasetOrigin, QuantumGraph};

use crate::{WorkspaceClient, WorkspaceError, layout};

/// What can be read of an open workspace, as it was when this was made; the database is
/// not needed.
#[derive(Debug)]
pub struct WorkspaceReader {
    universe: Arc<Universe>,
    datastore: Datastore,
    /// Of each dataset of the graph; `None` while it is not there.
    records: HashMap<DatasetId, Option<FileRecord>>,
}

impl WorkspaceClient {
    /// Looks at what is there by now.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn reader(
        &self,
        graph: &QuantumGraph,
        universe: Arc<Universe>,
    ) -> Result<WorkspaceReader, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let mut records = HashMap::with_capacity(graph.dataset_count());
        for index in graph.datasets() {
            let dataset = graph.dataset(index);
            let record = match dataset.origin {
                DatasetOrigin::Predicted => None,
                DatasetOrigin::Existing { artifact, .. } => Some(FileRecord {
                    dataset: dataset.id,
                    component: Box::default(),
                    location: artifact.location,
                    offset: artifact.offset,
                    formatter: dataset.dataset_type.storage_class.formatter().into(),
                    storage_class: dataset.dataset_type.storage_class,
                    size: artifact.size,
                    checksum: artifact.checksum,
                }),
            };
            records.insert(dataset.id, record);
        }
        let current = current_successes(graph, &journal);
        for (index, success) in graph.quanta().zip(current) {
            let Some(outputs) = success.map(Success::outputs) else { continue };
            let view = graph.quantum(index);
            for (output, dataset) in view.task.outputs.iter().zip(&view.outputs) {
                let Some(stored) = outputs.iter().find(|stored| *stored.name == *output.name)
                else {
                    continue;
                };
                let id = graph.dataset(*dataset).id;
                let class = output.dataset_type.storage_class;
                let record = FileRecord {
                    dataset: id,
                    component: Box::default(),
                    location: stored.key.clone().into(),
                    offset: None,
                    formatter: class.formatter().into(),
                    storage_class: class,
                    size: stored.size,
                    checksum: stored.checksum,
                };
                records.insert(id, Some(record));
            }
        }
        Ok(WorkspaceReader { universe, datastore: self.datastore().clone(), records })
    }
}

impl WorkspaceReader {
    fn deferred(&self, dataset: DatasetId) -> Result<DeferredRead, AccessError> {
        match self.records.get(&dataset) {
            None => Err(AccessError::Unknown(dataset)),
            Some(None) => Err(AccessError::NotStored(dataset)),
            Some(Some(record)) => Ok(self.datastore.deferred(record)),
        }
    }
}

impl LimitedButler for WorkspaceReader {
    fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    fn is_writeable(&self) -> bool {
        false
    }

    fn get(&self, dataset: DatasetId) -> Result<Vec<u8>, AccessError> {
        self.deferred(dataset)?.read().map_err(|error| AccessError::failed(dataset, error))
    }

    fn get_deferred(&self, dataset: DatasetId) -> Result<Box<dyn Deferred + '_>, AccessError> {
        Ok(Box::new(DeferredDataset::new(dataset, self.deferred(dataset)?)))
    }

    fn get_uri(&self, dataset: DatasetId) -> Result<String, AccessError> {
        Ok(self.deferred(dataset)?.uri())
    }

    fn stored(&self, dataset: DatasetId) -> Result<bool, AccessError> {
        let Some(Some(record)) = self.records.get(&dataset) else { return Ok(false) };
        let verdict = self.datastore.verify_record(record, Depth::Presence);
        let verdict = verdict.map_err(|error| AccessError::failed(dataset, error))?;
        Ok(matches!(verdict, Verdict::Present { .. }))
    }

    fn put(&self, dataset: &DatasetRef, _: &[u8]) -> Result<(), AccessError> {
        let reason = "a workspace takes outputs from its quanta only";
        Err(AccessError::Refused { dataset: dataset.id, reason })
    }
}
