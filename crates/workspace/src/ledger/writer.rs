//! Writing datasets into a workspace, beside others.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName, IdSeed,
    Universe, WriteId,
};
use pantler_datastore::{
    Datastore, RunPrefix,
    fs::sync_dir,
    key::{dataset_key, run_prefix},
};
use pantler_direct::{Clock, TransactionFile, this_process};
use pantler_exec::{JournalWriter, LockError, RunnerLock, declared_dead_by};
use pantler_seam::step;

use super::{
    LedgerError, LedgerState, LedgerWorkspace,
    segment::{EventV1, HeaderV1, VERSION, write_line},
    types::TypeV1,
};
use crate::{WorkspaceError, layout};

/// Writes datasets into a workspace that a ledger fills. Several may at once, in as many
/// processes.
///
/// While it lives no closing goes on: the process that wants to close the workspace itself
/// must [finish](Self::finish) or drop it first.
#[derive(Debug)]
#[must_use = "a writer that is not finished looks as if its process had died"]
pub struct LedgerWriter {
    root: Utf8PathBuf,
    run: CollectionName,
    universe: Arc<Universe>,
    datastore: Datastore,
    prefix: RunPrefix,
    seed: IdSeed,
    segment: Segment,
    /// Artifacts so far: each has a key of its own.
    artifacts: u32,
    types: Vec<Arc<DatasetType>>,
    others: LedgerState,
    // Last, so that it is released last: whoever gets it finds the segments closed.
    journal: JournalWriter,
    _lock: RunnerLock,
}

/// What became of a dataset that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is there, and will be committed.
    Written(DatasetId),
    /// It was there already with this content; nothing was written, or it was deleted again.
    Present {
        /// The dataset.
        dataset: DatasetId,
        /// Who wrote it.
        writer: u32,
    },
}

impl PutOutcome {
    /// The dataset.
    pub const fn dataset(self) -> DatasetId {
        match self {
            Self::Written(dataset) | Self::Present { dataset, .. } => dataset,
        }
    }
}

impl LedgerWriter {
    pub(super) fn begin(
        workspace: &LedgerWorkspace,
        clock: &dyn Clock,
    ) -> Result<Self, WorkspaceError> {
        let client = workspace.client();
        let (root, file) = (client.root(), client.file());
        let run = &client.transaction().run;
        let process = this_process();
        let lock = match RunnerLock::share(root, &process) {
            Err(LockError::Locked { .. }) if layout::closing_marker(root).exists() => {
                return Err(WorkspaceError::Closing(run.clone()));
            }
            lock => lock?,
        };
        if TransactionFile::read(root)?.is_none_or(|f| f.opening != file.opening) {
            return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
        }
        let dir = layout::journal_dir(root);
        let started = clock.now();
        let journal = JournalWriter::create(&dir, file.opening, &process, started, None)?;
        // After the header: a closer that has not seen it has set the marker.
        if layout::closing_marker(root).exists() {
            journal.seal()?;
            return Err(WorkspaceError::Closing(run.clone()));
        }
        let header = HeaderV1 {
            pantler_ledger: VERSION,
            opening: file.opening,
            writer: journal.runner(),
            process,
            started,
        };
        let segment = Segment::create(root, &header)?;
        let universe = Arc::clone(workspace.universe());
        Ok(Self {
            root: root.to_owned(),
            run: run.clone(),
            others: LedgerState::read(root, &universe)?,
            universe,
            datastore: client.datastore().clone(),
            prefix: run_prefix(&file.run, file.run_id),
            seed: IdSeed { opening: file.opening, generation: 0 },
            segment,
            artifacts: 0,
            types: Vec::new(),
            journal,
            _lock: lock,
        })
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.journal.runner()
    }

    /// The RUN that it writes for.
    pub fn run(&self) -> &CollectionName {
        &self.run
    }

    /// The id that a dataset has or would have.
    pub fn predict(&self, dataset_type: &DatasetTypeName, data_id: &DataId) -> DatasetId {
        self.seed.dataset(dataset_type.as_str(), data_id)
    }

    /// Writes a dataset, flushed when this returns. The first that writes it wins: the same
    /// content again is left, and what another wrote meanwhile stays.
    ///
    /// The dataset type and the dimension records must be registered when the workspace is
    /// committed, not before.
    ///
    /// # Errors
    /// [`LedgerError::Taken`] if the ledger has it with other content. After another error
    /// it is not in the ledger, or it is, whole: the same call with another writer tells.
    pub fn put(
        &mut self,
        dataset_type: &Arc<DatasetType>,
        data_id: &DataId,
        content: &[u8],
    ) -> Result<PutOutcome, LedgerError> {
        if let Some(by) = declared_dead_by(&self.root, self.number())? {
            return Err(LedgerError::DeclaredDead { writer: self.number(), by });
        }
        self.expect_type(dataset_type)?;
        let id = self.predict(&dataset_type.name, data_id);
        self.others.read_on(&self.root, &self.universe)?;
        let checksum = Checksum::of(content);
        if let Some(present) = self.present(id, &checksum) {
            return present;
        }
        let key = self.announce(id, dataset_type, data_id)?;
        if let Err(error) = self.store(&key, content) {
            // It was not done; if this cannot be said either, a closing finds out.
            drop(self.drop_artifact(id, &key));
            return Err(error);
        }
        step("ledger.artifact.flushed");
        let lock = DoneLock::acquire(&self.root)?;
        self.others.read_on(&self.root, &self.universe)?;
        if let Some(present) = self.present(id, &checksum) {
            drop(lock);
            self.drop_artifact(id, &key)?;
            return present;
        }
        let size = content.len() as u64;
        self.segment.append("ledger.done.append", &[EventV1::Done { id, size, checksum }])?;
        self.segment.flush("ledger.done.flush")?;
        step("ledger.done");
        drop(lock);
        Ok(PutOutcome::Written(id))
    }

    /// Ends in order.
    ///
    /// # Errors
    /// [`LedgerError`]; everything that was written counts all the same.
    pub fn finish(mut self) -> Result<(), LedgerError> {
        let sealed = self
            .segment
            .append("ledger.seal", &[EventV1::Sealed])
            .and_then(|()| self.segment.flush("ledger.seal.flush"));
        // Nobody waits for it, whatever its lines are like.
        self.journal.seal()?;
        step("ledger.finished");
        sealed
    }

    fn expect_type(&self, dataset_type: &DatasetType) -> Result<(), LedgerError> {
        let known = self.types.iter().find(|known| known.name == dataset_type.name);
        let others = self.others.done().map(|(_, done)| &done.dataset_type);
        let mut others = others.filter(|known| known.name == dataset_type.name);
        match known.or_else(|| others.next()) {
            Some(known) => Ok(known.check_same(dataset_type)?),
            None => Ok(()),
        }
    }

    /// What is to be said if somebody has done it.
    fn present(
        &self,
        id: DatasetId,
        checksum: &Checksum,
    ) -> Option<Result<PutOutcome, LedgerError>> {
        let done = self.others.find(id)?;
        Some(if done.checksum == *checksum {
            Ok(PutOutcome::Present { dataset: id, writer: done.writer })
        } else {
            Err(LedgerError::Taken {
                dataset_type: done.dataset_type.name.clone(),
                data_id: done.data_id.clone(),
                writer: done.writer,
                dataset: id,
            })
        })
    }

    /// Says what is about to be written.
    fn announce(
        &mut self,
        id: DatasetId,
        dataset_type: &Arc<DatasetType>,
        data_id: &DataId,
    ) -> Result<ArtifactKey, LedgerError> {
        self.artifacts += 1;
        let write = WriteId::of_quantum(self.seed.opening, self.number(), self.artifacts);
        let extension = dataset_type.storage_class.extension();
        let key = dataset_key(&self.prefix, &dataset_type.name, data_id, &write, extension);
        let mut events = Vec::with_capacity(2);
        let new = !self.types.iter().any(|known| known.name == dataset_type.name);
        if new {
            events.push(EventV1::Type(TypeV1::new(dataset_type)));
        }
        events.push(EventV1::Begin {
            id,
            dataset_type: dataset_type.name.clone(),
            values: data_id.values().to_vec(),
            key: key.clone(),
        });
        self.segment.append("ledger.begin.append", &events)?;
        if new {
            self.types.push(Arc::clone(dataset_type));
        }
        step("ledger.begun");
        Ok(key)
    }

    fn store(&self, key: &ArtifactKey, content: &[u8]) -> Result<(), LedgerError> {
        let batch = self.datastore.begin_batch()?;
        batch.write(key, &mut &*content)?;
        batch.publish()?;
        Ok(())
    }

    fn drop_artifact(&mut self, id: DatasetId, key: &ArtifactKey) -> Result<(), LedgerError> {
        step("ledger.drop");
        self.datastore.unstore([key])?;
        self.segment.append("ledger.dropped.append", &[EventV1::Dropped { id }])?;
        step("ledger.dropped");
        Ok(())
    }
}

/// The segment of one writer, to append to.
#[derive(Debug)]
struct Segment {
    file: File,
    path: Utf8PathBuf,
    seq: u64,
    broken: bool,
}

impl Segment {
    fn create(root: &Utf8Path, header: &HeaderV1) -> Result<Self, LedgerError> {
        let dir = layout::ledger_dir(root);
        let failed = |action, path: &Utf8Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { action, path, source }
        };
        // Not its parents: the root of a workspace that was closed must not come back.
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create", &dir)(error));
            }
            _ => {}
        }
        let path = layout::ledger_segment(root, header.writer);
        step("ledger.segment.create");
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(failed("create", &path))?;
        let mut line = Vec::new();
        write_line(0, header, &mut line);
        (&file).write_all(&line).map_err(failed("write", &path))?;
        file.sync_all().map_err(failed("flush", &path))?;
        sync_dir(&dir)?;
        sync_dir(root)?;
        step("ledger.segment.created");
        Ok(Self { file, path, seq: 0, broken: false })
    }

    /// Appends lines with one call. After a failure nothing is appended any more: what the
    /// file ends with is not known, and a line after a cut one would be damage.
    fn append(&mut self, name: &'static str, events: &[EventV1]) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Broken { path: self.path.clone() });
        }
        let mut lines = Vec::new();
        for event in events {
            self.seq += 1;
            write_line(self.seq, event, &mut lines);
        }
        let written = pantler_seam::around(name, || (&self.file).write_all(&lines));
        written.map_err(|source| {
            self.broken = true;
            LedgerError::Io { action: "append to", path: self.path.clone(), source }
        })
    }

    fn flush(&mut self, name: &'static str) -> Result<(), LedgerError> {
        let flushed = pantler_seam::around(name, || self.file.sync_data());
        flushed.map_err(|source| {
            // Whether its last line is there is not known either.
            self.broken = true;
            LedgerError::Io { action: "flush", path: self.path.clone(), source }
        })
    }
}

/// Held while others must not say that a dataset is done.
struct DoneLock(File);

impl DoneLock {
    fn acquire(root: &Utf8Path) -> Result<Self, LedgerError> {
        let path = layout::ledger_lock_file(root);
        let failed = |action| {
            let path = path.clone();
            move |source| LedgerError::Io { action, path, source }
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failed("open"))?;
        loop {
            match file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked.map_err(failed("lock")).map(|()| Self(file)),
            }
        }
    }
}

impl Drop for DoneLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that another thread is just starting has
        // a copy of it until it runs its program.
        let _released = self.0.unlock();
    }
}
