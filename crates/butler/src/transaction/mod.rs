//! Artifact transactions: the framework (DMTN-249 §3.3).
//!
//! How one flows through:
//!
//! 1. *Open*, one database transaction: RUN locks, [`ArtifactTransaction::begin`]
//!    (through an [`OpenContext`]), manifest, transaction row.
//! 2. *Write*: artifacts go to keys that carry this opening's id and attempt.
//! 3. *Close*: where needed a *claim* (attempt + 1, what the closing does); then
//!    the kind's `commit`, `revert` or `abandon` does its storage work as it is
//!    called and collects row changes in its context; then one database
//!    transaction applies them, removes the transaction's rows and writes one line
//!    into the closed log. Storage first, rows last: a kill between leaves the
//!    transaction open, and the same closing call finishes it.
//!
//! What may be done at a stage is what the context given there offers.

mod context;
mod door;
mod kinds;

use std::fmt;

use pantler_core::{
    ArtifactKey, DatasetId, OpeningId, RunId, TransactionName,
    transaction::{Closing, RunLocks, TransactionRow},
};

pub use context::{
    Claim, CloseContext, ClosingFacts, CommitContext, OpenContext, RevertContext, Verify,
};
pub use door::{DoorError, Duty, decide};
pub use kinds::{DecodeError, Kinds, TransactionKind};

use crate::artifacts::ArtifactError;

/// A persistent manifest of changes to database and storage.
///
/// Implementations are values: all they know is in their [data](Self::data) and
/// [manifest](Self::manifest), so that another process can decode them through
/// [`Kinds`] and close what this one opened. `commit`, `revert` and `abandon` may
/// be called again after a kill at any instruction, by any process.
pub trait ArtifactTransaction: fmt::Debug + Send + Sync {
    /// The stable name of the kind.
    fn kind(&self) -> &'static str;

    /// The description as canonical JSON: equal descriptions give equal texts. `manifest`
    /// is what [`Self::manifest`] gave.
    fn data(&self, manifest: Option<&[u8]>) -> String;

    /// The long part of the description, stored in chunks of bounded size.
    fn manifest(&self) -> Option<Vec<u8>> {
        None
    }

    /// The RUNs that it locks or reads.
    fn locks(&self) -> RunLocks;

    /// Whether it has a workspace root, where it describes its datasets later.
    fn is_workspace(&self) -> bool {
        false
    }

    /// Whether `commit` may delete artifacts, and so must claim first.
    fn commit_deletes(&self) -> bool {
        false
    }

    /// Whether it writes artifacts that its description does not name. While it is open,
    /// each below the prefix of its RUN with its opening in the key is its own, if no
    /// datastore record names it.
    fn writes_unnamed(&self) -> bool {
        false
    }

    /// Whether parts of what it is for have been entered, so that datasets of its RUN have
    /// datastore records although it is open.
    fn has_entered(&self) -> bool {
        false
    }

    /// Refuses a closing that is out of the question, before anything is claimed.
    ///
    /// # Errors
    /// [`KindError`]; nothing has changed then.
    fn expect_closing(&self, _closing: Closing) -> Result<(), KindError> {
        Ok(())
    }

    /// The datasets and artifacts that belong to it while it is open, as far as its
    /// description names them. Everything below the prefix of a RUN that a workspace
    /// fills belongs to it anyway.
    fn managed(&self) -> Managed {
        Managed::default()
    }

    /// Collects the rows that enter when the transaction is opened.
    ///
    /// # Errors
    /// [`KindError`] if the description cannot be opened; nothing has happened then.
    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError>;

    /// Achieves everything the transaction is for, or says what is missing.
    ///
    /// # Errors
    /// [`KindError`]; the transaction stays open.
    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError>;

    /// Undoes everything, its opening included, or says what cannot be undone.
    ///
    /// # Errors
    /// [`KindError`]; the transaction stays open.
    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError>;

    /// Reconciles rows with what is stored; fails only if the storage does.
    ///
    /// # Errors
    /// [`KindError`]; the transaction stays open.
    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError>;
}

/// What belongs to an open transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed {
    /// Datasets that have no datastore record while it is open.
    pub datasets: Vec<DatasetId>,
    /// Artifacts. A key that carries the write id of this opening stands for the keys
    /// of all its attempts; each also for its unfinished form.
    pub keys: Vec<ArtifactKey>,
}

/// Why a kind could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KindError {
    /// The storage failed.
    #[error("the artifact storage failed")]
    Artifacts(#[from] ArtifactError),
    /// Artifacts that must be there are missing or not whole.
    #[error("{} missing or damaged: {}", artifacts(.0.len()), first(.0))]
    Incomplete(Vec<String>),
    /// Artifacts are not what their writer said that they are.
    #[error("{} changed since it was written: {}", artifacts(.0.len()), first(.0))]
    Changed(Vec<String>),
    /// Artifacts that must survive are deleted already.
    #[error(
        "{} deleted already: {}; abandon keeps what survives",
        artifacts(.0.len()),
        first(.0)
    )]
    Deleted(Vec<String>),
    /// The work is not finished, and the closing asked for needs it to be.
    #[error("{0}")]
    Unfinished(String),
    /// What was done cannot be undone in this way, now or later.
    #[error("{0}")]
    Final(String),
    /// Files of the transaction cannot be read.
    #[error("{0}")]
    Unreadable(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process has claimed or closed the transaction since; nothing was deleted.
    #[error("another process has taken over the closing")]
    Superseded,
    /// The database did not answer.
    #[error("the database does not answer")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The description contradicts itself or the repository.
    #[error("{0}")]
    Invalid(String),
}

fn artifacts(count: usize) -> String {
    if count == 1 { "1 artifact is".to_owned() } else { format!("{count} artifacts are") }
}

fn first(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, and {} more", names.len() - SHOWN) } else { shown }
}

/// An open transaction held by the process that may write its artifacts.
///
/// Dropping it leaves the transaction open in the repository, where any process
/// finds it by its name.
#[must_use = "an open transaction stays open until it is committed, reverted or abandoned"]
#[derive(Debug)]
pub struct Open<T> {
    // Errors carry a handle back: it is to be small.
    row: Box<TransactionRow>,
    run: Option<RunId>,
    transaction: T,
}

impl<T> Open<T> {
    /// Made by a butler that has just opened or taken over the transaction: its row as it
    /// is now, and the RUN that it locks, if it locks one.
    pub fn new(row: TransactionRow, run: Option<RunId>, transaction: T) -> Self {
        Self { row: Box::new(row), run, transaction }
    }

    /// Its name.
    pub fn name(&self) -> &TransactionName {
        &self.row.name
    }

    /// Which opening.
    pub fn opening(&self) -> OpeningId {
        self.row.opening
    }

    /// Which attempt this process holds.
    pub fn attempt(&self) -> u32 {
        self.row.attempt
    }

    /// Its row, as this process wrote it; another one may have claimed it since.
    pub fn row(&self) -> &TransactionRow {
        &self.row
    }

    /// The RUN that it locks first.
    pub fn run(&self) -> Option<RunId> {
        self.run
    }

    /// The same handle after its holder claimed another attempt.
    pub fn at(self, row: TransactionRow) -> Self {
        Self { row: Box::new(row), ..self }
    }

    /// What was opened.
    pub fn transaction(&self) -> &T {
        &self.transaction
    }

    /// What was opened, to note what was written.
    pub fn transaction_mut(&mut self) -> &mut T {
        &mut self.transaction
    }
}
