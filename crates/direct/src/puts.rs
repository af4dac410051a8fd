//! Datasets are put into a RUN one by one, each committed by itself, in a session that stays
//! open: one database transaction for each put. The protocol: [`pantler_butler::puts`].

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use pantler_butler::{
    puts::PutSession,
    request::{IdScheme, NewDataset},
    transaction::{Open, TransactionKind as _},
};
use pantler_core::{
    ArtifactKey, CollectionName, DataId, DatasetId, DatasetRef, DatasetType, DatasetTypeName,
    FileRecord, TransactionName, WriteId,
    changes::Change,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::{DatastoreError, RunPrefix, Written, key};
use pantler_registry::{LockKind, Reader, RegistryError};

use crate::{
    ButlerError, CloseError, CloseOptions, DirectButler, StoreError,
    close::{Holder, ROW_TRIES},
    environment::Liveness,
    store::{
        own_name,
        planned::{self, Planned, PlannedContent, PlannedDataset},
        standing,
    },
};

/// How often a put looks at what stood in its way, and is begun again if that is gone.
const TRIES: u32 = 3;

const WHAT: &str = "the put";

/// An open put session of this process: puts datasets into one RUN, each whole, flushed and
/// committed when [`put`](Self::put) returns. May be shared by threads.
///
/// Meanwhile nobody can modify the RUN or remove from it. Dropped without
/// [`finish`](Self::finish), the session stays open: any process can commit it, and the next
/// session on the RUN does so if this process has died.
#[derive(Debug)]
#[must_use = "a session that is not finished stays open"]
pub struct Puts<'b> {
    butler: &'b DirectButler,
    open: Open<PutSession>,
    prefix: RunPrefix,
    /// How many artifacts were begun: numbers for their keys.
    begun: AtomicU64,
    /// How many artifacts may be there that no record names: of puts that go on, and of
    /// those of which it could not be made sure, one that panicked among them.
    unsettled: AtomicUsize,
    /// Whether the last put found its dataset there: then the next one looks first.
    repeats: AtomicBool,
}

impl DirectButler {
    /// Opens a session that puts datasets into `run`, which is made if it is missing.
    /// Sessions on it that dead processes have left are ended first, and one of the same name
    /// wherever it is. A name keeps others from opening a session of that name while this
    /// process lives; with `take_over` theirs is ended.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is open then, unless it says otherwise.
    pub fn put_session(
        &self,
        run: &CollectionName,
        name: Option<&TransactionName>,
        take_over: bool,
    ) -> Result<Puts<'_>, StoreError> {
        self.end_sessions_of_the_dead(run)?;
        let opened = match self.open_session(run, name) {
            Err(StoreError::Butler(ButlerError::Registry(RegistryError::TransactionExists {
                row,
            }))) if self.may_end(&row, run, take_over) => {
                self.end_session(&row, take_over)
                    .map_err(|error| session_open(&row.name, error))?;
                self.open_session(run, name)
            }
            opened => opened,
        };
        let open = opened?;
        let Some(id) = open.run() else {
            return Err(RegistryError::UnknownCollection { name: run.clone() }.into());
        };
        let prefix = key::run_prefix(run, id);
        Ok(Puts {
            butler: self,
            open,
            prefix,
            begun: AtomicU64::new(0),
            unsettled: AtomicUsize::new(0),
            repeats: AtomicBool::new(false),
        })
    }

    fn open_session(
        &self,
        run: &CollectionName,
        name: Option<&TransactionName>,
    ) -> Result<Open<PutSession>, StoreError> {
        let opening = self.environment().new_opening();
        let own = own_name(PutSession::KIND, opening);
        let session = PutSession::new(run.clone());
        self.begin_with(name.unwrap_or(&own), opening, None, |_| Ok(session))
    }

    fn end_sessions_of_the_dead(&self, run: &CollectionName) -> Result<(), StoreError> {
        let sessions = self.registry().read(|reader| sessions_on(reader, run))?;
        for row in sessions {
            if self.is_dead(&row) {
                match self.end_session(&row, false) {
                    // Somebody else ends it, perhaps in another way, or can: it is in
                    // nobody's way.
                    Err(
                        CloseError::Superseded(_)
                        | CloseError::Door { .. }
                        | CloseError::Decode { .. },
                    ) => {}
                    ended => ended.map_err(|error| session_open(&row.name, error))?,
                }
            }
        }
        Ok(())
    }

    /// Whether the session that has the name may be ended: that of a dead process on whatever
    /// RUN it is, another's on this RUN alone.
    fn may_end(&self, row: &TransactionRow, run: &CollectionName, take_over: bool) -> bool {
        PutSession::of_row(row)
            .is_some_and(|session| self.is_dead(row) || take_over && session.run() == run)
    }

    fn is_dead(&self, row: &TransactionRow) -> bool {
        self.environment().liveness(&row.process) == Liveness::Dead
    }

    /// Ends the session of a row as it was read: by now its name may be that of another one,
    /// which lives.
    fn end_session(&self, row: &TransactionRow, take_over: bool) -> Result<(), CloseError> {
        let session = PutSession::decode(&row.data, &[])
            .map_err(|source| CloseError::Decode { name: row.name.clone(), source })?;
        let options = CloseOptions { take_over, ..CloseOptions::default() };
        // After an abandon began there is only that way, which comes to the same.
        let closing = row.closing.unwrap_or(Closing::Commit);
        let ended = self.close_row(row, &session, Holder::Somebody, closing, options);
        ended_by_whomever(ended.map(drop).map_err(|error| error.around(&row.name, closing)))
    }
}

impl Puts<'_> {
    /// The name of its transaction.
    pub fn name(&self) -> &TransactionName {
        self.open.name()
    }

    /// The RUN.
    pub fn run(&self) -> &CollectionName {
        self.open.transaction().run()
    }

    /// Stores content as a new dataset of the RUN. The same content again does nothing and
    /// returns the dataset that is there.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says otherwise, nothing of this put is left.
    pub fn put(
        &self,
        content: &[u8],
        dataset_type: &DatasetTypeName,
        data_id: &DataId,
    ) -> Result<DatasetRef, StoreError> {
        self.butler.with_dataset_type(dataset_type, |known| self.put_as(content, known, data_id))
    }

    /// Ends the session.
    ///
    /// # Errors
    /// [`StoreError::SessionOpen`]; whatever was put is stored.
    pub fn finish(self) -> Result<(), StoreError> {
        let Self { butler, mut open, unsettled, .. } = self;
        if unsettled.into_inner() > 0 {
            open.transaction_mut().unsettle();
        }
        let name = open.name().clone();
        let ended = butler.close_open(open, Closing::Commit, CloseOptions::default());
        ended_by_whomever(ended.map(drop).map_err(|failure| *failure.error))
            .map_err(|error| session_open(&name, error))
    }

    fn put_as(
        &self,
        content: &[u8],
        dataset_type: Arc<DatasetType>,
        data_id: &DataId,
    ) -> Result<DatasetRef, StoreError> {
        let (data_id, run) = (data_id.clone(), self.run().clone());
        let id = self.butler.environment().new_dataset();
        let mut dataset = DatasetRef { id, dataset_type, data_id, run };
        // Not written in vain when lines come again that were stored.
        if self.repeats.load(Ordering::Relaxed) {
            if let Some(id) = self.existing(content, &dataset)? {
                dataset.id = id;
                return Ok(dataset);
            }
            self.repeats.store(false, Ordering::Relaxed);
        }
        for _ in 0..TRIES {
            let Err(error) = self.put_new(content, &dataset) else { return Ok(dataset) };
            let existing = match &error {
                StoreError::Butler(ButlerError::Registry(RegistryError::Conflict { .. })) => {
                    self.existing(content, &dataset)?
                }
                // There may be no room to find out in the other way.
                StoreError::Undone { .. } => match self.existing(content, &dataset) {
                    Ok(Some(id)) => Some(id),
                    _ => return Err(error),
                },
                _ => return Err(error),
            };
            if let Some(id) = existing {
                self.repeats.store(true, Ordering::Relaxed);
                dataset.id = id;
                return Ok(dataset);
            }
        }
        self.put_new(content, &dataset).map(|()| dataset)
    }

    /// Artifact, then rows; after a failure neither is there.
    fn put_new(&self, content: &[u8], dataset: &DatasetRef) -> Result<(), StoreError> {
        let (opening, attempt) = (self.open.opening(), self.open.attempt());
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let write = WriteId::of_put(opening, attempt, number);
        let DatasetType { name, storage_class, .. } = &*dataset.dataset_type;
        let extension = storage_class.extension();
        let key = key::dataset_key(&self.prefix, name, &dataset.data_id, &write, extension);
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        let written = match self.write(&key, content) {
            Ok(written) => written,
            Err(error) => {
                self.take_back(key);
                // Who ended the session may have deleted it while it was being written.
                if self.butler.is_overtaken(self.open.row(), attempt) {
                    return Err(self.ended());
                }
                return Err(StoreError::Undone { what: WHAT, source: error.into() });
            }
        };
        pantler_seam::step("puts.artifact.written");
        let record = FileRecord {
            dataset: dataset.id,
            component: Box::default(),
            location: key.clone().into(),
            offset: None,
            formatter: storage_class.formatter().into(),
            storage_class: *storage_class,
            size: written.size,
            checksum: written.checksum,
        };
        let entered = self.enter(dataset, record);
        pantler_seam::step("puts.rows.done");
        let error = match entered {
            Ok(()) => {
                self.unsettled.fetch_sub(1, Ordering::Relaxed);
                return Ok(());
            }
            // A later look might find it after all, as after a power loss. Whoever ends the
            // session changes the database first.
            Err(NotEntered::Unknown(source)) => {
                let (name, dataset) = (self.name().clone(), DirectButler::label(dataset));
                let source = Box::new(source);
                return Err(StoreError::PutUnknown { name, dataset, source });
            }
            Err(NotEntered::Refused(error)) => error,
        };
        self.take_back(key);
        Err(match error {
            RegistryError::Superseded { .. } => self.ended(),
            error => error.into(),
        })
    }

    fn ended(&self) -> StoreError {
        StoreError::SessionEnded { name: self.name().clone() }
    }

    fn write(&self, key: &ArtifactKey, content: &[u8]) -> Result<Written, DatastoreError> {
        let batch = self.butler.datastore().begin_batch()?;
        let written = batch.write(key, &mut &*content)?;
        batch.publish()?;
        Ok(written)
    }

    /// Deletes what no record will name. What cannot be deleted now is the session's until
    /// somebody ends it.
    fn take_back(&self, key: ArtifactKey) {
        if self.butler.datastore().unstore_durably(&[key]).is_ok() {
            self.unsettled.fetch_sub(1, Ordering::Relaxed);
        }
        pantler_seam::step("puts.taken.back");
    }

    /// The rows of one dataset, if the session is still this process's.
    fn enter(&self, dataset: &DatasetRef, record: FileRecord) -> Result<(), NotEntered> {
        let registry = self.butler.registry();
        let (opening, attempt) = (self.open.opening(), self.open.attempt());
        let changes =
            [Change::InsertDatasets(vec![dataset.clone()]), Change::InsertRecords(vec![record])];
        let mut tries = 0;
        let error = loop {
            let now = self.butler.environment().clock.now();
            let entered = registry.write(|writer| {
                writer.check_attempt(opening, attempt)?;
                writer.apply(&changes, now)
            });
            tries += 1;
            match entered {
                Ok(()) => return Ok(()),
                Err(RegistryError::Serialization { .. }) if tries < ROW_TRIES => {}
                Err(error) => break error,
            }
        };
        if !matches!(error, RegistryError::CommitUnknown { .. }) {
            return Err(NotEntered::Refused(error));
        }
        // If only the answer was lost, it is there: its id is nobody else's.
        match registry.read(|reader| reader.dataset(dataset.id)) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(NotEntered::Unknown(error)),
        }
    }

    /// The dataset that has the data ID, if it is the same content and whole; `None` if it is
    /// gone by now.
    fn existing(
        &self,
        content: &[u8],
        wanted: &DatasetRef,
    ) -> Result<Option<DatasetId>, StoreError> {
        let new = NewDataset::new(Arc::clone(&wanted.dataset_type), wanted.data_id.clone());
        let dataset = PlannedDataset::new(self.butler, &new, self.run(), IdScheme::Unique);
        let planned = Planned {
            datasets: vec![dataset],
            content: PlannedContent::Bytes(content),
            expected: Some(planned::of_bytes(content)),
        };
        let sorted = standing::sort(self.butler, vec![planned], &BTreeSet::new(), false)?;
        let [existing] = sorted.ids[..] else { return Ok(None) };
        if sorted.skipped > 0 {
            return Ok(Some(existing));
        }
        let registered = sorted.to_store.iter().any(Planned::is_restored);
        if !registered {
            return Ok(None);
        }
        Err(StoreError::OnlyAdds {
            name: self.name().clone(),
            run: self.run().clone(),
            dataset: DirectButler::label(wanted),
            existing,
            lost: !sorted.lost.is_empty(),
        })
    }
}

/// Why the rows of a put are not in.
enum NotEntered {
    /// They are not, because of this.
    Refused(RegistryError),
    /// Perhaps they are.
    Unknown(RegistryError),
}

/// The open sessions on a RUN.
fn sessions_on(
    reader: &Reader,
    run: &CollectionName,
) -> Result<Vec<TransactionRow>, RegistryError> {
    let mut sessions = Vec::new();
    for (name, lock) in reader.locks_of_run(run)? {
        if lock == LockKind::InsertOnly {
            let row = reader.transaction(&name)?;
            sessions.extend(row.filter(|row| row.kind == PutSession::KIND));
        }
    }
    Ok(sessions)
}

fn session_open(name: &TransactionName, source: CloseError) -> StoreError {
    StoreError::SessionOpen { name: name.clone(), source: Box::new(source) }
}

/// To end a session in one way or the other, by this process or another, is the same.
fn ended_by_whomever(ended: Result<(), CloseError>) -> Result<(), CloseError> {
    match ended {
        Err(CloseError::AlreadyClosed { .. } | CloseError::NoTransaction(_)) => Ok(()),
        ended => ended,
    }
}
