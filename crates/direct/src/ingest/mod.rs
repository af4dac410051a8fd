//! Files from outside become datasets of a RUN.
//!
//! 1. *Plan*: compare with what the RUN has. The same bytes for a data ID are
//!    skipped, other bytes are an error that names the file, missing dimension
//!    records of elements without required metadata are noted.
//! 2. *Prepare*, one database transaction: RUN, dataset types, dimension records.
//! 3. *Open* an [`Ingest`] transaction, or take over the one that a dead process
//!    left with the same files.
//! 4. *Write*: copies on all cores, one flush, renames, one flush.
//! 5. *Commit*. If 4 or 5 fails, revert: the repository is then as before step 3.

mod plan;

use std::sync::Arc;

use camino::Utf8PathBuf;
use pantler_butler::{
    artifacts::Content,
    ingest::{Ingest, IngestItem},
    transaction::{Open, TransactionKind as _},
};
use pantler_core::{
    CollectionName, DataId, DatasetRef, DatasetType, TransactionName, WriteId,
    changes::Change,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::{DatastoreError, WriteBatch, key};
use pantler_registry::RegistryError;
use rayon::prelude::*;

use plan::Planned;
pub use plan::{IngestPlan, record_from_key};

use crate::{Begun, ButlerError, CloseError, CloseOptions, DirectButler};

/// A file and the dataset that it is.
#[derive(Debug, Clone)]
pub struct IngestFile {
    /// The dataset's type.
    pub dataset_type: Arc<DatasetType>,
    /// The dataset's data ID.
    pub data_id: DataId,
    /// The file.
    pub source: Utf8PathBuf,
}

/// What to ingest, where to, under what name.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// The transaction's name: the same one finds what a killed call left.
    pub name: TransactionName,
    /// The RUN.
    pub run: CollectionName,
    /// The files.
    pub files: Vec<IngestFile>,
    /// Take over from a holder that is not known to be dead.
    pub take_over: bool,
}

/// Told about progress, from many threads.
pub trait IngestProgress: Sync {
    /// An open ingest of a dead process is being finished.
    fn resuming(&self, row: &TransactionRow);
    /// So many files will be copied.
    fn start(&self, files: usize);
    /// One more was copied.
    fn copied(&self, bytes: u64);
}

/// What an ingest did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IngestReport {
    /// Datasets that are new.
    pub ingested: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the RUN has already, with the same size and checksum.
    pub skipped: usize,
    /// Whether an ingest that a dead process left was finished.
    pub resumed: bool,
}

/// An ingest failed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Source {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Two files for one dataset.
    #[error("{first} and {second} are both {dataset}")]
    Twice {
        /// The dataset.
        dataset: String,
        /// A file.
        first: Utf8PathBuf,
        /// Another.
        second: Utf8PathBuf,
    },
    /// The RUN has other bytes for this data ID.
    #[error("{path} differs from what {run} has as {dataset}: a dataset never changes")]
    Differs {
        /// The file.
        path: Utf8PathBuf,
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
    },
    /// The RUN has the dataset, but not stored.
    #[error("{run} has {dataset} registered but not stored{}", managed(.transaction.as_ref()))]
    NotStored {
        /// The RUN.
        run: CollectionName,
        /// The dataset.
        dataset: String,
        /// The open transaction that may manage it.
        transaction: Option<TransactionName>,
    },
    /// A dimension record is missing that cannot be made from its key.
    #[error(
        "{path} needs the record {element} {data_id}, which has required metadata: insert it first, or name a record file in the project"
    )]
    MissingRecord {
        /// A file that needs it.
        path: Utf8PathBuf,
        /// The element.
        element: String,
        /// The data ID.
        data_id: String,
    },
    /// An ingest of that name is open, of other files.
    #[error("transaction {name} is open and ingests other files than these: close it first")]
    OtherWork {
        /// The open transaction.
        name: TransactionName,
    },
    /// The ingest failed and was reverted: the repository is as before.
    #[error("the ingest failed and was undone")]
    Undone(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ingest failed and could not be undone: its transaction is open.
    #[error("the ingest failed, and transaction {name} stays open: {failure}")]
    LeftOpen {
        /// The open transaction.
        name: TransactionName,
        /// Why the ingest failed.
        failure: String,
        /// Why it could not be undone.
        #[source]
        source: Box<CloseError>,
    },
    /// The files were written, and the transaction is not this process's any more, or
    /// it is not known whether it was committed. Nothing was deleted because of that.
    #[error("the files were copied, but the ingest was not closed")]
    NotClosed(#[source] Box<CloseError>),
    /// The repository could not be read, or the transaction not be opened.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

fn managed(transaction: Option<&TransactionName>) -> String {
    transaction.map_or_else(
        || "; it can be purged, and then ingested".to_owned(),
        |name| format!(": transaction {name} is open on it; close that first"),
    )
}

impl From<RegistryError> for IngestError {
    fn from(error: RegistryError) -> Self {
        Self::Butler(error.into())
    }
}

impl DirectButler {
    /// Compares files with what `run` has, and changes nothing. `name` is that of the
    /// ingest: one that a killed call left open would be gone on with.
    ///
    /// # Errors
    /// [`IngestError`] for the first file that cannot be ingested.
    pub fn plan_ingest(
        &self,
        name: &TransactionName,
        run: &CollectionName,
        files: &[IngestFile],
    ) -> Result<IngestPlan, IngestError> {
        let left = match self.transaction(name)? {
            Some(row) if row.kind == Ingest::KIND => Some(self.decode_ingest(&row)?),
            _ => None,
        };
        Ok(plan::plan(self, run, files, left.as_ref())?.summary())
    }

    fn decode_ingest(&self, row: &TransactionRow) -> Result<Ingest, IngestError> {
        let manifest = self.registry().read(|reader| reader.manifest(row.opening))?;
        let decoded = Ingest::decode(&row.data, &manifest);
        Ok(decoded.map_err(|source| ButlerError::Decode { name: row.name.clone(), source })?)
    }

    /// Ingests files into a RUN, by copy.
    ///
    /// # Errors
    /// [`IngestError`]; unless it says otherwise, the repository is as before.
    pub fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn IngestProgress,
    ) -> Result<IngestReport, IngestError> {
        match self.transaction(&request.name)? {
            None => {
                let planned = plan::plan(self, &request.run, &request.files, None)?;
                if planned.new.is_empty() {
                    self.prepare(&request.run, &planned)?;
                    return Ok(IngestReport {
                        skipped: planned.skipped,
                        ..IngestReport::default()
                    });
                }
                let open = self.open_ingest(request, &planned)?;
                self.write_and_commit(open, planned.skipped, false, progress)
            }
            Some(row) => {
                let (left, planned) = self.left_ingest(request, &row)?;
                let open = self.take_over(&row, left, request.take_over)?;
                progress.resuming(&row);
                self.write_and_commit(open, planned.skipped, true, progress)
            }
        }
    }

    /// Decodes an open ingest of the requested name and checks that it is of the
    /// same files.
    fn left_ingest(
        &self,
        request: &IngestRequest,
        row: &TransactionRow,
    ) -> Result<(Ingest, Planned), IngestError> {
        let other = || IngestError::OtherWork { name: row.name.clone() };
        if row.kind != Ingest::KIND {
            return Err(other());
        }
        let mut left = self.decode_ingest(row)?;
        let planned = plan::plan(self, &request.run, &request.files, Some(&left))?;
        let items: Vec<_> = planned.new.iter().map(plan::PlannedFile::as_item).collect();
        if left.adopt_sources(&items) { Ok((left, planned)) } else { Err(other()) }
    }

    /// One database transaction: RUN, dataset types, dimension records. Says
    /// whether it made the RUN.
    fn prepare(&self, run: &CollectionName, planned: &Planned) -> Result<bool, IngestError> {
        let mut changes = Vec::new();
        for dataset_type in &planned.types {
            changes.push(Change::EnsureDatasetType(Arc::clone(dataset_type)));
        }
        if !planned.records.is_empty() {
            changes.push(Change::EnsureDimensionRecords(planned.records.clone()));
        }
        changes.push(Change::EnsureRun(run.clone()));
        let now = self.environment().clock.now();
        let made = self.registry().write(|writer| {
            let made = writer.collection(run)?.is_none();
            writer.apply(&changes, now)?;
            Ok::<_, RegistryError>(made)
        })?;
        pantler_seam::step("ingest.prepared");
        Ok(made)
    }

    fn open_ingest(
        &self,
        request: &IngestRequest,
        planned: &Planned,
    ) -> Result<Open<Ingest>, IngestError> {
        let made_run = self.prepare(&request.run, planned)?;
        let run = &request.run;
        let collection = self.registry().read(|reader| reader.collection(run))?;
        let Some(collection) = collection else {
            return Err(RegistryError::UnknownCollection { name: run.clone() }.into());
        };
        let prefix = key::run_prefix(run, collection.id);
        let opening = self.environment().new_opening();
        let write = WriteId::of_opening(opening, 1);
        let mut items = Vec::with_capacity(planned.new.len());
        let mut datasets = Vec::with_capacity(planned.new.len());
        for file in &planned.new {
            let dataset = DatasetRef {
                id: self.environment().new_dataset(),
                dataset_type: Arc::clone(&file.dataset_type),
                data_id: file.data_id.clone(),
                run: run.clone(),
            };
            let storage_class = dataset.dataset_type.storage_class;
            items.push(IngestItem {
                dataset: dataset.id,
                key: key::dataset_key(
                    &prefix,
                    &dataset.dataset_type.name,
                    &dataset.data_id,
                    &write,
                    storage_class.extension(),
                ),
                ..file.as_item()
            });
            datasets.push(dataset);
        }
        let ingest = Ingest::new(run.clone(), made_run, items, datasets).for_run_id(collection.id);
        match self.begin(&request.name, opening, ingest)? {
            Begun::Opened(open) => Ok(open),
            Begun::Joined(row) => {
                Err(ButlerError::Held { name: row.name, process: row.process }.into())
            }
        }
    }

    fn write_and_commit(
        &self,
        mut open: Open<Ingest>,
        skipped: usize,
        resumed: bool,
        progress: &dyn IngestProgress,
    ) -> Result<IngestReport, IngestError> {
        let name = open.name().clone();
        let failure: Box<dyn std::error::Error + Send + Sync> =
            match self.write_items(&mut open, progress) {
                Err(error) => error,
                Ok(bytes) => {
                    let ingested = open.transaction().items().len();
                    match self.close_open(open, Closing::Commit, CloseOptions::default()) {
                        Ok(_) => return Ok(IngestReport { ingested, bytes, skipped, resumed }),
                        Err(failure) => match failure.open {
                            Some(still) => {
                                open = still;
                                failure.error
                            }
                            None => return Err(IngestError::NotClosed(failure.error)),
                        },
                    }
                }
            };
        match self.close_open(open, Closing::Revert, CloseOptions::default()) {
            Ok(_) => Err(IngestError::Undone(failure)),
            Err(revert) => Err(IngestError::LeftOpen {
                name,
                failure: failure.to_string(),
                source: revert.error,
            }),
        }
    }

    /// Copies every file to its key at this attempt, unless an earlier attempt left
    /// a whole artifact with the file's content. Returns the bytes of all.
    fn write_items(
        &self,
        open: &mut Open<Ingest>,
        progress: &dyn IngestProgress,
    ) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let (opening, attempt) = (open.opening(), open.attempt());
        let write = WriteId::of_opening(opening, attempt);
        let earlier: Vec<WriteId> =
            (1..attempt).rev().map(|n| WriteId::of_opening(opening, n)).collect();
        let items = open.transaction().items();
        progress.start(items.len());
        let batch = self.datastore().begin_batch()?;
        let written: Result<Vec<_>, WriteFailure> = items
            .par_iter()
            .map(|item| {
                let written = self.write_item(&batch, item, &write, &earlier)?;
                progress.copied(written.1.size);
                Ok((item.dataset, written.0, written.1))
            })
            .collect();
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                batch.discard()?;
                return Err(error.into());
            }
        };
        batch.publish()?;
        let mut bytes = 0;
        for (dataset, key, content) in written {
            bytes += content.size;
            open.transaction_mut().note_written(dataset, key, content);
        }
        Ok(bytes)
    }

    fn write_item(
        &self,
        batch: &WriteBatch<'_>,
        item: &IngestItem,
        write: &WriteId,
        earlier: &[WriteId],
    ) -> Result<(pantler_core::ArtifactKey, Content), WriteFailure> {
        let source = Utf8PathBuf::from(&item.source);
        for id in earlier {
            let key = Ingest::key_at(item, id);
            let Some(there) = self.datastore().measure(&key)? else { continue };
            let wanted = plan::checksum_of(&source)
                .map_err(|e| WriteFailure::Source { path: source.clone(), source: e })?;
            if wanted == (there.size, there.checksum) {
                return Ok((key, Content { size: there.size, checksum: there.checksum }));
            }
        }
        let key = Ingest::key_at(item, write);
        let written = batch.copy_file(&source, &key)?;
        if written.size != item.size {
            return Err(WriteFailure::Changed { path: source });
        }
        Ok((key, Content { size: written.size, checksum: written.checksum }))
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteFailure {
    #[error(transparent)]
    Datastore(#[from] DatastoreError),
    #[error("cannot read {path}")]
    Source { path: Utf8PathBuf, source: std::io::Error },
    #[error("{path} changed while it was being ingested")]
    Changed { path: Utf8PathBuf },
}
