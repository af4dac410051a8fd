use std::{cell::RefCell, fmt, ops::Deref};

use pantler_core::{CollectionName, DatastoreConfig};

use crate::{Reader, RegistryError};

/// Changes the database, in one database transaction; given by
/// [`crate::Registry::write`]. It also reads, and sees what it wrote.
pub struct Writer {
    pub(crate) reader: Reader,
    /// RUNs to be removed at the end if they are not used then.
    pub(crate) discarded_runs: RefCell<Vec<CollectionName>>,
}

impl Writer {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, discarded_runs: RefCell::default() }
    }

    /// Forgets what a database transaction that was undone left behind.
    pub(crate) fn forget(&self) {
        self.reader.forget();
        self.discarded_runs.take();
    }

    /// What is left to do before the commit.
    pub(crate) fn finish(&self) -> Result<(), RegistryError> {
        for run in self.discarded_runs.take() {
            self.discard_run_if_unused(&run)?;
        }
        Ok(())
    }

    /// Replaces the datastore's configuration by its next version.
    ///
    /// # Errors
    /// [`RegistryError::TransactionsOpen`]: open transactions hold keys of the old
    /// one; [`RegistryError::ConfigVersion`] if it is not the next version.
    pub fn set_datastore_config(&self, config: &DatastoreConfig) -> Result<(), RegistryError> {
        if let Some(transaction) = self.any_transaction()? {
            return Err(RegistryError::TransactionsOpen { transaction });
        }
        let current = self.datastore_config()?.version;
        if current.checked_add(1) != Some(config.version) {
            return Err(RegistryError::ConfigVersion { current, given: config.version });
        }
        let text = serde_json::to_string(config).expect("a plain struct serializes");
        let sql = "UPDATE attributes SET value = ?1 WHERE name = 'datastore_config'";
        self.db().execute(sql, [text])?;
        self.config_version.take();
        Ok(())
    }
}

impl Deref for Writer {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("reader", &self.reader).finish_non_exhaustive()
    }
}
