//! An opened repository.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    puts::PutSession,
    removal::{Removal, RunRemoval},
    storing::{Ingest, Put, Restore, Transfer},
    transaction::Kinds,
};
use pantler_core::{
    CollectionName, DatasetRef, OpeningId, TransactionName, Universe, transaction::TransactionRow,
};
use pantler_datastore::Datastore;
use pantler_registry::{DatasetQuery, DatasetRow, OpenOptions, Registry};

use crate::{RepositoryConfig, environment::Environment, error::ButlerError};

/// A client of a repository that speaks to its database and storage directly.
///
/// All paths are relative to the repository's root, so a moved or copied
/// repository works.
#[derive(Debug)]
pub struct DirectButler {
    root: Utf8PathBuf,
    config: RepositoryConfig,
    registry: Registry,
    datastore: Datastore,
    kinds: Kinds,
    environment: Environment,
}

impl DirectButler {
    /// Opens the repository at `root`. Kinds of transactions beyond the built-in
    /// ones are added with [`Self::with_kinds`].
    ///
    /// # Errors
    /// [`ButlerError`] if there is none, or it was made by a newer program.
    pub fn open(
        root: &Utf8Path,
        environment: Environment,
        options: &OpenOptions,
    ) -> Result<Self, ButlerError> {
        let config = RepositoryConfig::read(root)?;
        let registry = Registry::open(&root.join(&config.database), options)?;
        let datastore = Datastore::local(root, &registry.datastore_config()?)?;
        let kinds = Kinds::new()
            .with::<Put>()
            .with::<Ingest>()
            .with::<Restore>()
            .with::<Transfer>()
            .with::<PutSession>()
            .with::<Removal>()
            .with::<RunRemoval>();
        Ok(Self { root: root.to_owned(), config, registry, datastore, kinds, environment })
    }

    /// Adds kinds of transactions that this butler can close.
    #[must_use]
    pub fn with_kinds(mut self, add: impl FnOnce(Kinds) -> Kinds) -> Self {
        self.kinds = add(self.kinds);
        self
    }

    /// Uses another datastore, for tests of failing storage.
    #[must_use]
    pub fn with_datastore(mut self, datastore: Datastore) -> Self {
        self.datastore = datastore;
        self
    }

    /// The repository's root.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where its parts are.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// The universe.
    pub fn universe(&self) -> &Arc<Universe> {
        self.registry.universe()
    }

    /// The database.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The artifact storage.
    pub fn datastore(&self) -> &Datastore {
        &self.datastore
    }

    /// Owner, process and clock.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The kinds of transactions that it can close.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Finds datasets.
    ///
    /// # Errors
    /// [`ButlerError`] if a collection or dataset type is unknown.
    pub fn query_datasets(&self, query: &DatasetQuery) -> Result<Vec<DatasetRow>, ButlerError> {
        Ok(self.registry.read(|reader| reader.datasets(query))?)
    }

    /// Reads a dataset, whole and with the checksum it was stored with, or not at all.
    ///
    /// # Errors
    /// [`ButlerError`] if it is not stored, or its artifact is missing or damaged.
    pub fn get(&self, row: &DatasetRow) -> Result<Option<Vec<u8>>, ButlerError> {
        match row.records.first() {
            None => Ok(None),
            Some(record) => Ok(Some(self.datastore.read(record)?)),
        }
    }

    /// The open transactions, by name.
    ///
    /// # Errors
    /// [`ButlerError`] if the database does not answer.
    pub fn list_transactions(&self) -> Result<Vec<TransactionRow>, ButlerError> {
        Ok(self.registry.read(pantler_registry::Reader::transactions)?)
    }

    /// The open transaction of a name.
    ///
    /// # Errors
    /// [`ButlerError`] if the database does not answer.
    pub fn transaction(
        &self,
        name: &TransactionName,
    ) -> Result<Option<TransactionRow>, ButlerError> {
        Ok(self.registry.read(|reader| reader.transaction(name))?)
    }

    /// The folder that holds the roots of workspaces of this name, one for each opening.
    pub fn workspace_parent(&self, name: &CollectionName) -> Utf8PathBuf {
        self.config.workspaces_dir(&self.root).join(name.path_component())
    }

    /// The root of the workspace that `opening` opened.
    pub fn workspace_root(&self, name: &CollectionName, opening: OpeningId) -> Utf8PathBuf {
        self.workspace_parent(name).join(opening.to_string())
    }

    /// A dataset in words, for messages.
    pub(crate) fn label(dataset: &DatasetRef) -> String {
        format!("{} {}", dataset.dataset_type.name, dataset.data_id)
    }
}
