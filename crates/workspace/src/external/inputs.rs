//! Inputs that are copied into the folder, and `inputs.json`, which names them once all
//! are there. Create-only.

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, Checksum, DatasetId, DatastoreConfig, FileRecord, Location, WriteId,
};
use pantler_datastore::{Datastore, StorageError, key};
use pantler_exec::RunnerLock;
use pantler_graph::{DatasetOrigin, GraphDataset, InputArtifact};
use serde::{Deserialize, Serialize};

use super::{
    ExternalError, ExternalWorkspace, INPUTS,
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
    /// Killed at any moment, the same call goes on; again, it does nothing.
    ///
    /// # Errors
    /// [`ExternalError::ParentGone`], [`ExternalError::InputChanged`].
    pub fn transfer_inputs(&self) -> Result<TransferredInputs, WorkspaceError> {
        let lock = RunnerLock::acquire(&self.root, &pantler_direct::this_process(), false)?;
        if let Some(file) = TransferredFile::read(&self.root)? {
            return Ok(TransferredInputs { count: file.inputs.len(), ..Default::default() });
        }
        let graph = self.graph()?;
        self.expect_parent()?;
        let storage = storage(&self.root, self.client.datastore())?;
        let mut done = TransferredInputs::default();
        let mut inputs = Vec::new();
        let all: Vec<_> = graph.overall_inputs().collect();
        for some in all.chunks(AT_ONCE) {
            let batch = storage.begin_batch()?;
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
                    done.copied += 1;
                    done.bytes += artifact.size;
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
        }
        done.count = inputs.len();
        let text = to_text(&TransferredFile { version: VERSION, inputs });
        match pantler_datastore::fs::write_new(&inputs_file(&self.root), text.as_bytes()) {
            Ok(()) | Err(StorageError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        drop(lock);
        Ok(done)
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
