//! What was made outside of the repository comes here: artifacts with the datasets that
//! they hold, whose ids are known (DMTN-271: the commit of an external workspace).
//!
//! It is a transfer: killed at any moment, the same call finishes it; again, it does
//! nothing. Dataset types, dimension records, RUN, registrations and the transaction's row
//! enter in one database transaction, which is refused as a whole if anything is in the
//! way; the chain enters with the datastore records.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pantler_butler::{
    artifacts::Content,
    request::{StoreOptions, StoreProgress, StoreReport, TransferMode},
    storing::{StoringChain, TransferRole},
};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, CollectionType, DatasetId, DatasetRef, DatasetType,
    DimensionRecord, FileRecord, TransactionName,
    changes::Change,
    transaction::{ClosedRow, Closing},
};
use pantler_datastore::Datastore;
use pantler_registry::{Reader, RegistryError, Writer};

use crate::{
    ButlerError, DirectButler, StoreError,
    store::{
        Work,
        planned::{FileMode, Planned, PlannedContent, PlannedDataset, RecordMode},
    },
};

/// The bytes of a dataset in an artifact that it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Where they start.
    pub offset: u64,
    /// How many there are.
    pub size: u64,
    /// Their checksum.
    pub checksum: Checksum,
}

/// An artifact that comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedArtifact {
    /// Its key in the other storage.
    pub key: ArtifactKey,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum.
    pub checksum: Checksum,
    /// What it holds, each with its part of the artifact if that is not all of it.
    pub datasets: Vec<(DatasetRef, Option<Slice>)>,
    /// Whether it tells how the others were made: where they are already, made elsewhere in
    /// the same way, another one will do.
    pub is_account: bool,
}

/// What comes here.
#[derive(Debug)]
pub struct Receive<'a> {
    /// The transaction's name, the same whenever this is asked for.
    pub name: &'a TransactionName,
    /// The RUN of all datasets; made here.
    pub run: &'a CollectionName,
    /// Where the artifacts are.
    pub from: &'a Datastore,
    /// The artifacts.
    pub artifacts: &'a [ReceivedArtifact],
    /// Dataset types that must be here.
    pub dataset_types: &'a [Arc<DatasetType>],
    /// Dimension records that must be here.
    pub records: &'a [DimensionRecord],
    /// Datasets that must be registered here: what the others were made from.
    pub inputs: &'a [DatasetId],
    /// The chain that gets the RUN, and what it ends with.
    pub chain: Option<(CollectionName, Vec<CollectionName>)>,
    /// How the artifacts come: copy, hardlink, or move (a hard link where that can be; the
    /// caller takes the other name away).
    pub mode: TransferMode,
    /// Choices.
    pub options: StoreOptions,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// It is stored now.
    Now(StoreReport),
    /// A transaction of that name was committed before; all datasets are here, with this
    /// content.
    Before,
}

/// Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Somebody else made a collection of that name.
    #[error("collection {run} exists already, and is not of this workspace")]
    RunTaken {
        /// The name.
        run: CollectionName,
    },
    /// The name of the chain is something else's.
    #[error("{chain} is there and is no chain")]
    NoChain {
        /// The name.
        chain: CollectionName,
    },
    /// What the datasets were made from is not here any more.
    #[error("{count} of the input datasets, such as {first}, are not registered any more")]
    InputsGone {
        /// How many.
        count: usize,
        /// One of them.
        first: DatasetId,
    },
    /// The name was committed before, with other content or with less.
    #[error(
        "{name} was committed before, and {count} of its datasets, such as {first}, are not there with the same content"
    )]
    CommittedOtherwise {
        /// The transaction.
        name: TransactionName,
        /// How many differ.
        count: usize,
        /// One of them.
        first: DatasetId,
    },
    /// A mode that makes no sense here.
    #[error("a workspace cannot be committed by {0}: take copy, hardlink or move")]
    Mode(TransferMode),
    /// Storing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RegistryError> for ReceiveError {
    fn from(error: RegistryError) -> Self {
        Self::Store(error.into())
    }
}

impl From<ButlerError> for ReceiveError {
    fn from(error: ButlerError) -> Self {
        Self::Store(error.into())
    }
}

impl DirectButler {
    /// Stores what a workspace elsewhere made.
    ///
    /// # Errors
    /// [`ReceiveError`]; unless it says otherwise, no dataset was changed.
    pub fn receive(
        &self,
        request: &Receive<'_>,
        progress: &dyn StoreProgress,
    ) -> Result<Received, ReceiveError> {
        let mode = record_mode(request.mode)?;
        let name = Some(request.name);
        let work = Work { what: "the commit", name, options: request.options, progress };
        if let Some(row) = self.open_row(name)? {
            let planned = planned(request, mode);
            return Ok(Received::Now(self.go_on::<TransferRole>(&work, &row, planned)?));
        }
        let closed = self.registry().read(|reader| reader.closed_named(request.name))?;
        if closed.iter().any(|row| row.closing == Closing::Commit) {
            self.expect_stored(request)?;
            return Ok(Received::Before);
        }
        // Said again in the opening; here before datasets are compared one by one.
        self.registry().read(|reader| expect_free(reader, request, &closed))?;
        let chain = request.chain.as_ref().map(|(name, last)| StoringChain {
            name: name.clone(),
            first: request.run.clone(),
            last: last.clone(),
        });
        let before = |writer: &Writer| self.prepare(writer, request, &closed);
        let planned = planned(request, mode);
        let report = self.store_after::<TransferRole, _>(&work, planned, before, chain)?;
        Ok(Received::Now(report))
    }

    /// In the opening, where nobody else writes.
    fn prepare(
        &self,
        writer: &Writer,
        request: &Receive<'_>,
        closed: &[ClosedRow],
    ) -> Result<(), ReceiveError> {
        expect_free(writer, request, closed)?;
        if let Some((chain, last)) = &request.chain {
            let there = writer.collection(chain)?;
            if there.is_some_and(|there| there.collection_type != CollectionType::Chained) {
                return Err(ReceiveError::NoChain { chain: chain.clone() });
            }
            for name in last {
                if writer.collection(name)?.is_none() {
                    return Err(RegistryError::UnknownCollection { name: name.clone() }.into());
                }
            }
        }
        let mut gone = Vec::new();
        for input in request.inputs {
            if writer.dataset(*input)?.is_none() {
                gone.push(*input);
            }
        }
        if let Some(first) = gone.first() {
            return Err(ReceiveError::InputsGone { count: gone.len(), first: *first });
        }
        let types = request.dataset_types.iter().map(|t| Change::EnsureDatasetType(Arc::clone(t)));
        let mut changes: Vec<Change> = types.collect();
        if !request.records.is_empty() {
            changes.push(Change::EnsureDimensionRecords(request.records.to_vec()));
        }
        Ok(writer.apply(&changes, self.environment().clock.now())?)
    }

    /// Refuses if not all is here with that content.
    fn expect_stored(&self, request: &Receive<'_>) -> Result<(), ReceiveError> {
        let wanted = || request.artifacts.iter().flat_map(ReceivedArtifact::parts);
        let ids: Vec<DatasetId> = wanted().map(|(id, _)| id).collect();
        let query = pantler_registry::DatasetQuery { ids: Some(ids), ..Default::default() };
        let rows = self.query_datasets(&query)?;
        let there: BTreeMap<DatasetId, Content> = rows
            .iter()
            .filter_map(|row| {
                let record = row.records.first()?;
                let content = Content { size: record.size, checksum: record.checksum };
                Some((row.dataset.id, content))
            })
            .collect();
        let accounts = request.artifacts.iter().filter(|artifact| artifact.is_account);
        let accounts: BTreeSet<DatasetId> =
            accounts.flat_map(ReceivedArtifact::parts).map(|(id, _)| id).collect();
        let same = |id: DatasetId, content: Content| match there.get(&id) {
            Some(found) => accounts.contains(&id) || *found == content,
            None => false,
        };
        let other: Vec<DatasetId> =
            wanted().filter(|(id, content)| !same(*id, *content)).map(|(id, _)| id).collect();
        match other.first() {
            None => Ok(()),
            Some(first) => Err(ReceiveError::CommittedOtherwise {
                name: request.name.clone(),
                count: other.len(),
                first: *first,
            }),
        }
    }
}

/// Refuses a RUN that is not this workspace's own.
fn expect_free(
    reader: &Reader,
    request: &Receive<'_>,
    closed: &[ClosedRow],
) -> Result<(), ReceiveError> {
    // What an abandoned commit has left is.
    let own = closed.iter().any(|row| row.closing == Closing::Abandon);
    if !own && reader.collection(request.run)?.is_some() {
        return Err(ReceiveError::RunTaken { run: request.run.clone() });
    }
    Ok(())
}

impl ReceivedArtifact {
    /// Its datasets with their own content.
    fn parts(&self) -> impl Iterator<Item = (DatasetId, Content)> {
        self.datasets.iter().map(|(dataset, slice)| {
            let content = match slice {
                Some(slice) => Content { size: slice.size, checksum: slice.checksum },
                None => Content { size: self.size, checksum: self.checksum },
            };
            (dataset.id, content)
        })
    }
}

fn record_mode(mode: TransferMode) -> Result<RecordMode, ReceiveError> {
    match mode {
        TransferMode::Auto | TransferMode::Copy => Ok(RecordMode::Copy),
        TransferMode::Hardlink => Ok(RecordMode::Link(FileMode::Hardlink)),
        TransferMode::Move => Ok(RecordMode::Link(FileMode::Move)),
        TransferMode::Symlink | TransferMode::Direct | TransferMode::InPlace => {
            Err(ReceiveError::Mode(mode))
        }
    }
}

fn planned<'a>(request: &Receive<'a>, mode: RecordMode) -> Vec<Planned<'a>> {
    let dataset = |(dataset, slice): &(DatasetRef, Option<Slice>)| {
        let mut planned = PlannedDataset::existing(dataset.clone(), false);
        planned.slice = slice.map(|slice| {
            Box::new((slice.offset, Content { size: slice.size, checksum: slice.checksum }))
        });
        planned
    };
    let artifact = |artifact: &'a ReceivedArtifact| {
        let ReceivedArtifact { key, size, checksum, datasets, .. } = artifact;
        let first = datasets.first()?;
        let storage_class = first.0.dataset_type.storage_class;
        let record = FileRecord {
            dataset: first.0.id,
            component: Box::default(),
            location: key.clone().into(),
            offset: None,
            formatter: storage_class.formatter().into(),
            storage_class,
            size: *size,
            checksum: *checksum,
        };
        Some(Planned {
            datasets: datasets.iter().map(dataset).collect(),
            content: PlannedContent::Record(request.from, Box::new(record), mode),
            expected: Some(Content { size: *size, checksum: *checksum }),
        })
    };
    request.artifacts.iter().filter_map(artifact).collect()
}
