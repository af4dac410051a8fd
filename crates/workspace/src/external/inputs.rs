//! Inputs that are copied into the folder, and `inputs.json`, which names them once all
//! are there. It is replaced when inputs come to those: what was built since reads more.

use std::collections::HashSet;

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, Checksum, DatasetId, DatastoreConfig, FileRecord, Location, WriteId,
};
use pantler_datastore::{Datastore, key};
use pantler_exec::RunnerLock;
use pantler_graph::{DatasetIndex, DatasetOrigin, GraphDataset, InputArtifact, QuantumGraph};
use serde::{Deserialize, Serialize};

use super::{
    ExternalError, ExternalWorkspace, INPUTS, ParentUse,
    description::{read_versioned, to_text},
    inputs_file,
};
use crate::WorkspaceError;

const VERSION: u32 = 1;
/// So many inputs are flushed together: what a kill costs.
const AT_ONCE: usize = 500;

/// What transferring did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransferredInputs {
    /// How many inputs are in the folder.
    pub count: usize,
    /// How many of them were copied now.
    pub copied: usize,
    /// The bytes of those.
    pub bytes: u64,
}

/// What `inputs.json` says.
#[derive(Serialize, Deserialize)]
pub(crate) struct TransferredFile {
    version: u32,
    pub(crate) inputs: Vec<TransferredInput>,
}

/// An input that is in the folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct TransferredInput {
    pub(crate) id: DatasetId,
    pub(crate) key: ArtifactKey,
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
}

impl TransferredFile {
    /// Reads it; `None` if nothing was transferred.
    pub(crate) fn read(root: &Utf8Path) -> Result<Option<Self>, ExternalError> {
        let path = inputs_file(root);
        if path.exists() { read_versioned(&path, VERSION).map(Some) } else { Ok(None) }
    }
}

/// The storage below `inputs/`.
pub(crate) fn storage(root: &Utf8Path, own: &Datastore) -> Result<Datastore, WorkspaceError> {
    let config = DatastoreConfig { root: INPUTS.to_owned(), ..own.config().clone() };
    Ok(Datastore::local(root, &config)?)
}

impl ExternalWorkspace {
    /// Copies the inputs of its graph into the folder, so that it needs its parent no more.
    /// Killed at any moment, the same call goes on; again, it copies what the graph reads
    /// since, if anything.
    ///
    /// # Errors
    /// [`ExternalError::ParentGone`], [`ExternalError::InputChanged`],
    /// [`ExternalError::NotTransferred`]; what was copied is kept.
    pub fn transfer_inputs(&self) -> Result<TransferredInputs, WorkspaceError> {
        let lock = RunnerLock::acquire(&self.root, &pantler_direct::this_process(), false)?;
        let before = TransferredFile::read(&self.root)?;
        let is_first = before.is_none();
        let inputs = before.map_or_else(Vec::new, |file| file.inputs);
        let graph = self.graph()?;
        let there: HashSet<DatasetId> = inputs.iter().map(|input| input.id).collect();
        let mut missing: Vec<DatasetIndex> = graph.overall_inputs().collect();
        missing.retain(|index| !there.contains(&graph.dataset(*index).id));
        if missing.is_empty() && !is_first {
            return Ok(TransferredInputs { count: inputs.len(), ..Default::default() });
        }
        self.expect_parent(ParentUse::Inputs(missing.len()))?;
        // Where a conversion that did not end has moved those that are here.
        self.give_inputs_back()?;
        let before = inputs.len();
        let mut done = TransferredInputs { count: before, ..Default::default() };
        let copied = self.copy(&graph, &missing, inputs, &mut done);
        copied.map_err(|error| self.stopped(error, &graph, &missing, done.count - before))?;
        drop(lock);
        Ok(done)
    }

    /// Copies inputs, and names them with those that were there.
    fn copy(
        &self,
        graph: &QuantumGraph,
        missing: &[DatasetIndex],
        mut inputs: Vec<TransferredInput>,
        done: &mut TransferredInputs,
    ) -> Result<(), WorkspaceError> {
        let storage = storage(&self.root, self.client.datastore())?;
        for some in missing.chunks(AT_ONCE) {
            let batch = storage.begin_batch()?;
            let (mut copied, mut bytes) = (0, 0);
            for index in some {
                let dataset = graph.dataset(*index);
                let (key, artifact) = self.target(&dataset)?;
                let there = storage.measure(&key)?;
                if there.is_none_or(|w| (w.size, w.checksum) != (artifact.size, artifact.checksum))
                {
                    if there.is_some() {
                        storage.unstore([&key])?;
                    }
                    pantler_seam::step("external.input.copy");
                    let record = record(&dataset, artifact.clone());
                    let mut reader = self.client.datastore().reader(&record)?;
                    let written = batch.write(&key, &mut reader)?;
                    if (written.size, written.checksum) != (artifact.size, artifact.checksum) {
                        batch.discard()?;
                        let place = artifact.location.to_string();
                        let dataset = dataset.id;
                        return Err(ExternalError::InputChanged { dataset, place }.into());
                    }
                    copied += 1;
                    bytes += artifact.size;
                }
                let InputArtifact { size, checksum, .. } = artifact;
                inputs.push(TransferredInput { id: dataset.id, key, size, checksum });
            }
            batch.publish()?;
            // What an earlier call renamed may not have been flushed.
            let keys = &inputs[inputs.len() - some.len()..];
            let keys: Vec<ArtifactKey> = keys.iter().map(|input| input.key.clone()).collect();
            storage.flush(&keys)?;
            pantler_seam::step("external.inputs.flushed");
            done.copied += copied;
            done.bytes += bytes;
            done.count += some.len();
        }
        let text = to_text(&TransferredFile { version: VERSION, inputs });
        Ok(pantler_datastore::fs::replace(&inputs_file(&self.root), text.as_bytes())?)
    }

    /// Says how far the copying of `missing` inputs has come.
    fn stopped(
        &self,
        error: WorkspaceError,
        graph: &QuantumGraph,
        missing: &[DatasetIndex],
        copied: usize,
    ) -> WorkspaceError {
        if let WorkspaceError::External(changed) = &error
            && matches!(**changed, ExternalError::InputChanged { .. })
        {
            return error;
        }
        let left = missing.iter().skip(copied).map(|index| match graph.dataset(*index).origin {
            DatasetOrigin::Existing { artifact, .. } => artifact.size,
            DatasetOrigin::Predicted => 0,
        });
        let (root, wanted, bytes) = (self.root.clone(), missing.len(), left.sum());
        let source = Box::new(error);
        ExternalError::NotTransferred { root, copied, wanted, bytes, source }.into()
    }

    /// The key of an input in this folder, and where it is now.
    fn target(
        &self,
        dataset: &GraphDataset,
    ) -> Result<(ArtifactKey, InputArtifact), WorkspaceError> {
        let damaged = |reason: String| ExternalError::Damaged {
            path: super::description_file(&self.root),
            reason,
        };
        let DatasetOrigin::Existing { run, artifact } = &dataset.origin else {
            return Err(damaged(format!("{} is no input", dataset.id)).into());
        };
        let id = self.description.run_id(run);
        let id = id.ok_or_else(|| damaged(format!("it does not name the input RUN {run}")))?;
        let class = dataset.dataset_type.storage_class;
        let name = Utf8Path::new(artifact.location.as_str());
        let extension = match name.extension() {
            Some(extension) if artifact.offset.is_none() => extension,
            _ => class.extension(),
        };
        let key = key::dataset_key(
            &key::run_prefix(run, id),
            &dataset.dataset_type.name,
            &dataset.data_id,
            &WriteId::of_opening(self.client.file().opening, 1),
            extension,
        );
        Ok((key, artifact.clone()))
    }
}

/// An input as something to read.
pub(super) fn record(dataset: &GraphDataset, artifact: InputArtifact) -> FileRecord {
    let class = dataset.dataset_type.storage_class;
    let InputArtifact { location, offset, size, checksum } = artifact;
    FileRecord {
        dataset: dataset.id,
        component: Box::default(),
        location,
        offset,
        formatter: class.formatter().into(),
        storage_class: class,
        size,
        checksum,
    }
}

/// A transferred input as a row.
pub(super) fn stored(dataset: &GraphDataset, input: &TransferredInput) -> FileRecord {
    let location: Location = input.key.clone().into();
    let (size, checksum) = (input.size, input.checksum);
    record(dataset, InputArtifact { location, offset: None, size, checksum })
}
