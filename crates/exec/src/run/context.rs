//! What all attempts of a run share.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::Sender,
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, Checksum, DataId, FileRecord, OpeningId, Tai, WriteId};
use pantler_datastore::{Datastore, RunPrefix, key::dataset_key};
use pantler_graph::{
    DatasetIndex, DatasetOrigin, QuantumInputs, QuantumView, ResolvedOutput, ReuseTable,
    inputs_digest,
};

use super::message::Message;
use crate::{
    Clock, Environment, QuantumError,
    command::{Children, Scratch},
    identity::TaskIdentity,
    journal::StoredOutput,
    layout,
    logs::LogWriter,
    plan::Plan,
};

/// What all attempts of a run share.
#[derive(Debug)]
pub(crate) struct RunContext<'a> {
    pub(super) root: Utf8PathBuf,
    pub(super) plan: Plan<'a>,
    pub(super) datastore: &'a Datastore,
    pub(super) run_prefix: &'a RunPrefix,
    pub(super) opening: OpeningId,
    pub(super) runner: u32,
    pub(super) environment: &'a Environment,
    pub(super) clock: &'a dyn Clock,
    pub(super) stored: StoredTable,
    pub(super) children: Children,
    pub(super) log: Mutex<LogWriter>,
    pub(super) scratches: AtomicU32,
    pub(super) stopping: AtomicBool,
    pub(super) messages: Sender<Message>,
    /// What each task is, by its number, where that can be said.
    pub(super) identities: Vec<Option<TaskIdentity>>,
    /// The quanta that are not taken over in any case.
    pub(super) decided: Vec<bool>,
    /// What may be taken over.
    pub(super) reuse: Option<&'a ReuseTable>,
}

/// Where the predicted datasets lie that are there by now, by position in the graph.
/// Each is set once; what reads it starts afterwards.
#[derive(Debug)]
pub(super) struct StoredTable(Vec<OnceLock<Box<StoredOutput>>>);

impl StoredTable {
    pub(super) fn new(datasets: usize) -> Self {
        let mut table = Vec::new();
        table.resize_with(datasets, OnceLock::new);
        Self(table)
    }

    /// Notes the outputs of a quantum.
    pub(super) fn set(&self, plan: &Plan<'_>, view: &QuantumView<'_>, outputs: &[StoredOutput]) {
        for (connection, dataset) in view.task.outputs.iter().zip(&view.outputs) {
            if plan.graph().consumers(*dataset).next().is_none() {
                continue;
            }
            if let Some(output) = outputs.iter().find(|o| *o.name == *connection.name) {
                // Set before only if the quantum ran twice, which the queue excludes.
                let _before = self.0[dataset.get()].set(Box::new(output.clone()));
            }
        }
    }
}

impl<'a> RunContext<'a> {
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    pub(crate) fn plan(&self) -> &Plan<'a> {
        &self.plan
    }

    /// What the task of a quantum is.
    pub(super) fn identity(&self, q: u32) -> Option<&TaskIdentity> {
        self.identities[self.plan.task_number(q)].as_ref()
    }

    /// The digest of what a quantum reads of what is made here; `None` if something is not
    /// there, since an accepted quantum left it out.
    pub(super) fn made_inputs(&self, view: &QuantumView<'_>) -> Option<Checksum> {
        let made = view
            .inputs
            .iter()
            .flat_map(|input| input.datasets)
            .filter(|dataset| self.plan.graph().producer(**dataset).is_some());
        let checksum = |dataset: &DatasetIndex| Some(self.stored.0[dataset.get()].get()?.checksum);
        let checksums: Option<Vec<Checksum>> = made.map(checksum).collect();
        checksums.map(inputs_digest)
    }

    pub(crate) fn datastore(&self) -> &'a Datastore {
        self.datastore
    }

    pub(crate) fn environment(&self) -> &'a Environment {
        self.environment
    }

    pub(crate) fn children(&self) -> &Children {
        &self.children
    }

    pub(crate) fn runner(&self) -> u32 {
        self.runner
    }

    pub(crate) fn now(&self) -> Tai {
        self.clock.now()
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, LogWriter> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn begin_to_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn send(&self, message: Message) {
        // Nobody listens any more only if the queue-owning thread panicked.
        let _unheard = self.messages.send(message);
    }

    /// A directory that no other attempt has.
    pub(crate) fn new_scratch(&self) -> io::Result<Scratch> {
        let n = self.scratches.fetch_add(1, Ordering::Relaxed) + 1;
        Scratch::create(&layout::scratch_dir(&self.root), self.runner, n)
    }

    /// Where an attempt stores an output.
    pub(crate) fn key(
        &self,
        output: &ResolvedOutput,
        data_id: &DataId,
        attempt: u32,
    ) -> ArtifactKey {
        let dataset_type = &output.dataset_type;
        let write = WriteId::of_quantum(self.opening, self.runner, attempt);
        let extension = dataset_type.storage_class.extension();
        dataset_key(self.run_prefix, &dataset_type.name, data_id, &write, extension)
    }

    /// Deletes what a failed attempt stored under its own keys.
    pub(crate) fn unstore(&self, keys: &[ArtifactKey]) {
        if !keys.is_empty() {
            // What stays is named by no finish line: closing the workspace deletes it.
            let _stays = self.datastore.unstore(keys);
        }
    }

    /// The datasets that a quantum gets of an input. An accepted quantum may have left
    /// some of a multiple or optional one out; where fewer are left than there must be,
    /// reading says what is missing.
    pub(crate) fn given<'g>(&self, input: &QuantumInputs<'g>) -> Vec<&'g DatasetIndex> {
        let there = |index: &&DatasetIndex| {
            self.plan.graph().producer(**index).is_none()
                || self.stored.0[index.get()].get().is_some()
        };
        let given: Vec<_> = input.datasets.iter().filter(there).collect();
        if given.len() < input.connection.minimum as usize {
            input.datasets.iter().collect()
        } else {
            given
        }
    }

    /// Reads an input, and verifies it.
    pub(crate) fn read(&self, name: &str, dataset: DatasetIndex) -> Result<Vec<u8>, QuantumError> {
        let failed = |source| QuantumError::Read { name: name.to_owned(), source };
        if let Some(stored) = self.stored.0[dataset.get()].get() {
            return self
                .datastore
                .read_key(&stored.key, None, stored.size, &stored.checksum)
                .map_err(failed);
        }
        let record = self.record(name, dataset)?;
        self.datastore.read(&record).map_err(failed)
    }

    /// Where an input lies.
    pub(crate) fn record(
        &self,
        name: &str,
        dataset: DatasetIndex,
    ) -> Result<FileRecord, QuantumError> {
        let found = self.plan.graph().dataset(dataset);
        let (location, offset, size, checksum) = match found.origin {
            DatasetOrigin::Existing { artifact, .. } => {
                (artifact.location, artifact.offset, artifact.size, artifact.checksum)
            }
            DatasetOrigin::Predicted => {
                let stored = self.stored.0[dataset.get()].get();
                let stored =
                    stored.ok_or_else(|| QuantumError::NotThere { name: name.to_owned() })?;
                (stored.key.clone().into(), None, stored.size, stored.checksum)
            }
        };
        let storage_class = found.dataset_type.storage_class;
        Ok(FileRecord {
            dataset: found.id,
            component: Box::default(),
            location,
            offset,
            formatter: storage_class.formatter().into(),
            storage_class,
            size,
            checksum,
        })
    }
}
