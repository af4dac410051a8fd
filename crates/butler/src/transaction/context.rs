//! The four contexts: what begin, abandon, revert and commit may do.
//!
//! `OpenContext` stands alone. `CommitContext` offers all that `RevertContext`
//! does, and that all that `CloseContext` does (by `Deref`), as in DMTN-249 §3.3.5.

use std::{
    any::Any,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, CollectionName, CollectionType, DatasetId, DatasetRef, DatasetType,
    DimensionRecord, FileRecord, Location, OpeningId, WriteId,
    changes::{Change, Changes},
};

use super::KindError;
use crate::artifacts::Artifacts;

/// What [`begin`](super::ArtifactTransaction::begin) may do: rows only.
#[derive(Debug, Default)]
pub struct OpenContext {
    changes: Changes,
}

impl OpenContext {
    /// Registers a RUN that must not exist.
    pub fn insert_run(&mut self, run: CollectionName) {
        self.changes.push(Change::InsertRun(run));
    }

    /// Makes sure that a RUN exists.
    pub fn ensure_run(&mut self, run: CollectionName) {
        self.changes.push(Change::EnsureRun(run));
    }

    /// Refuses the opening unless these datasets are registered and not stored.
    pub fn expect_unstored(&mut self, datasets: Vec<DatasetId>) {
        self.changes.push(Change::ExpectUnstored(datasets));
    }

    /// Refuses the opening if a collection other than its RUN holds one of these.
    pub fn expect_untagged(&mut self, datasets: Vec<DatasetId>) {
        self.changes.push(Change::ExpectUntagged(datasets));
    }

    /// Registers datasets that must not exist; they are managed by the transaction.
    pub fn insert_datasets(&mut self, datasets: Vec<DatasetRef>) {
        self.changes.push(Change::InsertDatasets(datasets));
    }

    /// Takes the datastore records of datasets away: they are managed from now on.
    pub fn discard_records(&mut self, datasets: Vec<DatasetId>) {
        self.changes.push(Change::DiscardRecords(datasets));
    }

    /// What was collected.
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

/// How closely a commit looks at artifacts whose writer has said their size and checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// Each is there with its size.
    #[default]
    Size,
    /// Each is read, and has its checksum.
    Full,
}

/// Facts about the transaction that is being closed.
#[derive(Debug, Clone)]
pub struct ClosingFacts<'a> {
    /// Which opening.
    pub opening: OpeningId,
    /// The attempt that closes it.
    pub attempt: u32,
    /// Whether an earlier closing may have deleted artifacts: then nothing that the
    /// transaction manages may become stored any more.
    pub past_the_door: bool,
    /// Whether a commit takes what succeeded and drops the rest.
    pub partial: bool,
    /// How closely a commit looks.
    pub verify: Verify,
    /// The prefix of the keys of the RUN that it changes (empty if it has none).
    pub run_prefix: &'a str,
    /// The workspace root, for kinds that have one.
    pub root: Option<&'a Utf8Path>,
}

/// The claim that a closing works under, as the database knows it.
pub trait Claim {
    /// Confirms that this closing still holds its attempt, and returns the datastore
    /// records of its RUN at that moment.
    ///
    /// A closing that deletes by listing confirms after it has locked others out and
    /// before its first delete: a process that was paused since its claim must not
    /// delete what another closer has entered meanwhile.
    ///
    /// # Errors
    /// [`KindError::Superseded`] if another process has claimed or closed since.
    fn confirm(&self) -> Result<Vec<FileRecord>, KindError>;

    /// Confirms the same, and returns those of `keys` that no datastore record names at that
    /// moment: for the keys of one transaction in a RUN that may hold more.
    ///
    /// # Errors
    /// [`KindError::Superseded`] if another process has claimed or closed since.
    fn confirm_unnamed(&self, keys: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError>;
}

/// What [`abandon`](super::ArtifactTransaction::abandon) may do: look at and delete
/// artifacts, insert records.
pub struct CloseContext<'a> {
    facts: ClosingFacts<'a>,
    artifacts: &'a dyn Artifacts,
    claim: &'a dyn Claim,
    changes: Changes,
    guards: Vec<Box<dyn Any>>,
}

impl<'a> CloseContext<'a> {
    /// Starts with no changes.
    pub fn new(
        facts: ClosingFacts<'a>,
        artifacts: &'a dyn Artifacts,
        claim: &'a dyn Claim,
    ) -> Self {
        Self { facts, artifacts, claim, changes: Changes::new(), guards: Vec::new() }
    }

    /// What is being closed.
    pub fn facts(&self) -> &ClosingFacts<'a> {
        &self.facts
    }

    /// The storage.
    pub fn artifacts(&self) -> &'a dyn Artifacts {
        self.artifacts
    }

    /// Confirms the claim, see [`Claim::confirm`].
    ///
    /// # Errors
    /// [`KindError::Superseded`] if another process has claimed or closed since.
    pub fn confirm(&self) -> Result<Vec<FileRecord>, KindError> {
        self.claim.confirm()
    }

    /// Confirms the claim, see [`Claim::confirm_unnamed`].
    ///
    /// # Errors
    /// [`KindError::Superseded`] if another process has claimed or closed since.
    pub fn confirm_unnamed(&self, keys: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError> {
        self.claim.confirm_unnamed(keys)
    }

    /// Keeps a lock until the rows of the closing are in, or have failed.
    pub fn hold(&mut self, guard: impl Any) {
        self.guards.push(Box::new(guard));
    }

    /// The write ids that attempts at this opening may have used, newest first.
    pub fn write_ids(&self) -> Vec<WriteId> {
        (1..=self.facts.attempt)
            .rev()
            .map(|attempt| WriteId::of_opening(self.facts.opening, attempt))
            .collect()
    }

    /// The write id of one attempt at this opening.
    pub fn write_id(&self, attempt: u32) -> WriteId {
        WriteId::of_opening(self.facts.opening, attempt)
    }

    /// Refuses the closing if a datastore record names one of these already.
    pub fn expect_unnamed(&mut self, locations: Vec<Location>) {
        self.changes.push(Change::ExpectUnnamed(locations));
    }

    /// Makes datasets stored. Only for artifacts that were verified.
    pub fn insert_records(&mut self, records: Vec<FileRecord>) {
        self.changes.push(Change::InsertRecords(records));
    }

    /// Drops a RUN if it holds nothing and nobody else uses it, else leaves it.
    pub fn discard_run_if_unused(&mut self, run: CollectionName) {
        self.changes.push(Change::DiscardRunIfUnused(run));
    }

    /// What was collected, and the locks to be kept until it is applied.
    pub fn into_parts(self) -> (Changes, Vec<Box<dyn Any>>) {
        (self.changes, self.guards)
    }
}

impl std::fmt::Debug for CloseContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloseContext").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What [`revert`](super::ArtifactTransaction::revert) may do: also remove what
/// `begin` inserted.
#[derive(Debug)]
pub struct RevertContext<'a>(CloseContext<'a>);

impl<'a> RevertContext<'a> {
    /// Starts with no changes.
    pub fn new(
        facts: ClosingFacts<'a>,
        artifacts: &'a dyn Artifacts,
        claim: &'a dyn Claim,
    ) -> Self {
        Self(CloseContext::new(facts, artifacts, claim))
    }

    /// Removes registrations.
    pub fn discard_datasets(&mut self, datasets: Vec<DatasetId>) {
        self.0.changes.push(Change::DiscardDatasets(datasets));
    }

    /// What was collected, and the locks to be kept until it is applied.
    pub fn into_parts(self) -> (Changes, Vec<Box<dyn Any>>) {
        self.0.into_parts()
    }
}

impl<'a> Deref for RevertContext<'a> {
    type Target = CloseContext<'a>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for RevertContext<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// What [`commit`](super::ArtifactTransaction::commit) may do: also register what
/// could not be known at opening, edit chains, and tag datasets.
#[derive(Debug)]
pub struct CommitContext<'a>(RevertContext<'a>);

impl<'a> CommitContext<'a> {
    /// Starts with no changes.
    pub fn new(
        facts: ClosingFacts<'a>,
        artifacts: &'a dyn Artifacts,
        claim: &'a dyn Claim,
    ) -> Self {
        Self(RevertContext::new(facts, artifacts, claim))
    }

    /// Makes sure that a dataset type is registered with this definition.
    pub fn ensure_dataset_type(&mut self, dataset_type: Arc<DatasetType>) {
        self.0.0.changes.push(Change::EnsureDatasetType(dataset_type));
    }

    /// Makes sure that dimension records exist with this content.
    pub fn ensure_dimension_records(&mut self, records: Vec<DimensionRecord>) {
        self.0.0.changes.push(Change::EnsureDimensionRecords(records));
    }

    /// Removes a RUN that then holds nothing; it is an error if a chain names it.
    pub fn discard_run(&mut self, run: CollectionName) {
        self.0.0.changes.push(Change::DiscardRun(run));
    }

    /// Registers new datasets.
    pub fn insert_datasets(&mut self, datasets: Vec<DatasetRef>) {
        self.0.0.changes.push(Change::InsertDatasets(datasets));
    }

    /// Makes sure that a collection of this type exists, see [`Change::EnsureCollection`].
    pub fn ensure_collection(&mut self, name: CollectionName, collection_type: CollectionType) {
        self.0.0.changes.push(Change::EnsureCollection { name, collection_type });
    }

    /// Puts datasets into a TAGGED collection, see [`Change::Associate`].
    pub fn associate(&mut self, collection: CollectionName, datasets: Vec<DatasetId>) {
        self.0.0.changes.push(Change::Associate { collection, datasets });
    }

    /// Puts a RUN at the head of a chain, see [`Change::ExtendChain`].
    pub fn extend_chain(
        &mut self,
        chain: CollectionName,
        first: CollectionName,
        last: Vec<CollectionName>,
    ) {
        self.0.0.changes.push(Change::ExtendChain { chain, first, last });
    }

    /// What was collected, and the locks to be kept until it is applied.
    pub fn into_parts(self) -> (Changes, Vec<Box<dyn Any>>) {
        self.0.into_parts()
    }
}

impl<'a> Deref for CommitContext<'a> {
    type Target = RevertContext<'a>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for CommitContext<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
