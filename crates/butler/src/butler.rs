//! [`Butler`]: all that a client can do with a repository.

use pantler_core::{
    CollectionName, TransactionName,
    transaction::{Closing, TransactionRow},
};

use crate::{
    LimitedButler,
    request::{
        IngestRequest, PutRequest, RemoveReport, RemoveRequest, RestoreItem, StoreOptions,
        StoreProgress, StoreReport, TransferRequest,
    },
    transaction::Verify,
};

/// How to close a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloseOptions {
    /// Claim it even if its holder is not known to be dead.
    pub take_over: bool,
    /// Commit what succeeded and drop the rest, where the kind can.
    pub partial: bool,
    /// How closely a commit looks at what is to become stored.
    pub verify: Verify,
}

/// A closing that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// This call closed it.
    Now {
        /// How many datasets became stored by that.
        stored: usize,
    },
    /// It was closed so before; this call did nothing.
    Before,
}

/// A client of a repository (DMTN-249 §3.1). Each change is an artifact transaction:
/// all of it or nothing, or open and listed.
pub trait Butler: LimitedButler {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Stores content as datasets of a RUN.
    ///
    /// # Errors
    /// Unless the error says otherwise, the repository is as before.
    fn put_many(
        &self,
        request: &PutRequest<'_>,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, Self::Error>;

    /// Ingests files into a RUN.
    ///
    /// # Errors
    /// Unless the error says otherwise, the repository is as before.
    fn ingest(
        &self,
        request: &IngestRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, Self::Error>;

    /// Stores again what is registered only.
    ///
    /// # Errors
    /// Unless the error says otherwise, the repository is as before.
    fn restore(
        &self,
        name: Option<&TransactionName>,
        items: &[RestoreItem<'_>],
        options: StoreOptions,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, Self::Error>;

    /// Transfers datasets from another repository.
    ///
    /// # Errors
    /// Unless the error says otherwise, no dataset was changed.
    fn transfer_from(
        &self,
        source: &Self,
        request: &TransferRequest,
        progress: &dyn StoreProgress,
    ) -> Result<StoreReport, Self::Error>
    where
        Self: Sized;

    /// Removes datasets and their artifacts; the datasets stay registered, unless it is
    /// a purge.
    ///
    /// # Errors
    /// Unless the error says otherwise, nothing was changed.
    fn remove_datasets(&self, request: &RemoveRequest) -> Result<RemoveReport, Self::Error>;

    /// Removes RUNs with everything in them, one after the other.
    ///
    /// # Errors
    /// For the first that cannot be removed: those before it are gone.
    fn remove_runs(
        &self,
        runs: &[CollectionName],
        force: bool,
    ) -> Result<Vec<RemoveReport>, Self::Error>;

    /// The open transactions, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    fn list_transactions(&self) -> Result<Vec<TransactionRow>, Self::Error>;

    /// Commits, reverts or abandons a transaction, whoever opened it. Again with the
    /// same outcome: succeeds and does nothing.
    ///
    /// # Errors
    /// The error says whether the transaction is still open.
    fn close_transaction(
        &self,
        name: &TransactionName,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, Self::Error>;

    /// Commits a transaction.
    ///
    /// # Errors
    /// As [`Self::close_transaction`].
    fn commit_transaction(&self, name: &TransactionName) -> Result<Closed, Self::Error> {
        self.close_transaction(name, Closing::Commit, CloseOptions::default())
    }

    /// Reverts a transaction.
    ///
    /// # Errors
    /// As [`Self::close_transaction`].
    fn revert_transaction(&self, name: &TransactionName) -> Result<Closed, Self::Error> {
        self.close_transaction(name, Closing::Revert, CloseOptions::default())
    }

    /// Abandons a transaction.
    ///
    /// # Errors
    /// As [`Self::close_transaction`].
    fn abandon_transaction(&self, name: &TransactionName) -> Result<Closed, Self::Error> {
        self.close_transaction(name, Closing::Abandon, CloseOptions::default())
    }
}
