//! What the kinds that store artifacts have in common.
//!
//! [`Put`], [`Ingest`], [`Restore`] and [`Transfer`] differ in where the content comes
//! from and in what they are called; steps and rules are the same:
//!
//! | step | effect | a kill after it leaves | commit | revert | abandon |
//! | --- | --- | --- | --- | --- | --- |
//! | open (one database transaction) | RUNs that were missing, registrations, manifest, locks, row | open, nothing stored | refused: lists what is missing | as before | all registered only |
//! | stage | unfinished artifacts at `<key>.tmp` | the same, with unfinished artifacts | refused | as before | all registered only |
//! | flush, rename, flush | whole artifacts at their keys | open, all or a part stored | succeeds if all are whole, else refused | as before | what is whole is stored |
//! | commit: verify | sizes (own attempt) or content (others') | the same | | | |
//! | commit: rows (one database transaction) | records in, transaction out | closed | – | – | – |
//! | sources removed (`move` only) | the user's files are gone | closed; the files are there twice | – | – | – |
//!
//! *Take-over* of what a dead process left claims the next attempt, writes what is
//! missing at keys of that attempt, and commits. The claim of a *revert* is a one-way
//! door: afterwards nothing of the transaction may become stored
//! ([`decide`](crate::transaction::decide)).
//!
//! Datasets that are new are registered when it opens, and those RUNs are locked as
//! inserted into. Datasets that are registered already, and not stored, are stored
//! again: their RUNs are locked as modified. Artifacts that it does not write (files
//! ingested in place, or left outside of the storage) are never deleted by it.

mod close;
mod format;
mod format_ingest_v1;
mod item;

use std::{
    fmt,
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, DatasetRef, OpeningId, WriteId, transaction::RunLocks,
};

pub use item::{Item, ItemDataset, Source};

use crate::transaction::{
    ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, Managed, OpenContext,
    RevertContext, TransactionKind,
};

/// What tells the kinds that store artifacts apart.
pub trait Role: fmt::Debug + Send + Sync + 'static {
    /// The stable name of the kind.
    const KIND: &'static str;
}

macro_rules! role {
    ($(#[$doc:meta])* $role:ident, $kind:literal, $(#[$alias_doc:meta])* $alias:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $role {}
        impl Role for $role {
            const KIND: &'static str = $kind;
        }
        $(#[$alias_doc])*
        pub type $alias = Storing<$role>;
    };
}

role!(
    /// Content given by the caller.
    PutRole,
    "put",
    /// The kind `put`: content that the caller has in memory becomes datasets of a RUN.
    Put
);
role!(
    /// Files of the user.
    IngestRole,
    "ingest",
    /// The kind `ingest`: files from outside become datasets of a RUN, by copy, move or
    /// link, in place, or staying where they are.
    Ingest
);
role!(
    /// Content for datasets that are registered.
    RestoreRole,
    "restore",
    /// The kind `restore`: datasets that are registered only are stored again, at new
    /// keys; nothing is registered, and the RUN is locked as modified.
    Restore
);
role!(
    /// Datasets of another repository.
    TransferRole,
    "transfer",
    /// The kind `transfer`: datasets of another repository come with their ids; what
    /// is there already is left, what is registered only is stored again.
    Transfer
);

/// A RUN that artifacts are stored for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoringRun {
    /// Its name.
    pub name: CollectionName,
    /// Whether the opening made it; a revert then drops it, if nobody else uses it.
    pub made: bool,
    /// Whether datasets that it has already are stored again.
    pub modified: bool,
}

/// A chain that gets a RUN when the artifacts are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoringChain {
    /// The chain, which is made if it is missing.
    pub name: CollectionName,
    /// The RUN that becomes its head.
    pub first: CollectionName,
    /// What it ends with.
    pub last: Vec<CollectionName>,
}

/// Stores artifacts.
#[derive(Debug)]
pub struct Storing<R> {
    runs: Vec<StoringRun>,
    chain: Option<StoringChain>,
    items: Vec<Item>,
    /// What the opening registers; empty after it, and in one that was decoded.
    datasets: Mutex<Vec<DatasetRef>>,
    role: PhantomData<R>,
}

impl<R: Role> Storing<R> {
    /// Stores `items` for datasets of `runs`, of which `datasets` are new.
    pub fn new(runs: Vec<StoringRun>, items: Vec<Item>, datasets: Vec<DatasetRef>) -> Self {
        Self { runs, chain: None, items, datasets: Mutex::new(datasets), role: PhantomData }
    }

    /// Extends a chain in the database transaction that commits.
    #[must_use]
    pub fn with_chain(self, chain: Option<StoringChain>) -> Self {
        Self { chain, ..self }
    }

    /// The chain that a commit extends.
    pub fn chain(&self) -> Option<&StoringChain> {
        self.chain.as_ref()
    }

    /// The RUNs.
    pub fn runs(&self) -> &[StoringRun] {
        &self.runs
    }

    /// The artifacts, with the datasets that each holds.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The artifacts, to note what was written.
    pub fn items_mut(&mut self) -> &mut [Item] {
        &mut self.items
    }

    /// The write ids of the attempts at `opening` up to `attempt`, newest first.
    pub fn write_ids(opening: OpeningId, attempt: u32) -> Vec<WriteId> {
        (1..=attempt).rev().map(|attempt| WriteId::of_opening(opening, attempt)).collect()
    }

    fn dataset_ids(&self, of: impl Fn(&ItemDataset) -> bool) -> Vec<DatasetId> {
        let datasets = self.items.iter().flat_map(|item| item.datasets.iter());
        datasets.filter(|dataset| of(dataset)).map(|dataset| dataset.id).collect()
    }
}

impl<R: Role> ArtifactTransaction for Storing<R> {
    fn kind(&self) -> &'static str {
        R::KIND
    }

    fn data(&self, manifest: Option<&[u8]>) -> String {
        format::data(self, manifest.unwrap_or_default())
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        format::manifest(&self.items)
    }

    fn locks(&self) -> RunLocks {
        let runs = |modified| {
            let runs = self.runs.iter().filter(move |run| run.modified == modified);
            runs.map(|run| run.name.clone()).collect()
        };
        RunLocks { modified: runs(true), insert_only: runs(false), inputs: Vec::new() }
    }

    fn managed(&self) -> Managed {
        Managed {
            datasets: self.dataset_ids(|_| true),
            keys: self.items.iter().filter_map(|item| item.location.key().cloned()).collect(),
        }
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        for run in self.runs.iter().filter(|run| run.made) {
            context.ensure_run(run.name.clone());
        }
        // Taken, not copied: there may be millions, and it is begun once.
        let datasets =
            std::mem::take(&mut *self.datasets.lock().unwrap_or_else(PoisonError::into_inner));
        context.insert_datasets(datasets);
        let again = self.dataset_ids(|dataset| dataset.registered);
        if !again.is_empty() {
            context.expect_unstored(again);
        }
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        close::commit(self, context)?;
        if let Some(StoringChain { name, first, last }) = self.chain.clone() {
            context.extend_chain(name, first, last);
        }
        Ok(())
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        let written = close::written_keys(&self.items, &context.write_ids());
        context.artifacts().unstore(&written)?;
        for prefix in close::prefixes(&written) {
            context.artifacts().prune(prefix)?;
        }
        context.discard_datasets(self.dataset_ids(|dataset| !dataset.registered));
        for run in self.runs.iter().filter(|run| run.made) {
            context.discard_run_if_unused(run.name.clone());
        }
        Ok(())
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        close::abandon(self, context)
    }
}

impl<R: Role> TransactionKind for Storing<R> {
    const KIND: &'static str = R::KIND;

    fn decode(data: &str, manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(data, manifest)
    }
}

/// The key that an item's artifact has at one attempt, if this transaction writes it.
pub(crate) fn key_at(item: &Item, write: &WriteId) -> Option<ArtifactKey> {
    if item.is_written() { item.location.key()?.at(write) } else { None }
}

#[cfg(test)]
mod tests;
