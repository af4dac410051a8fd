use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    sync::Arc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, DatastoreConfig, Universe};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{RegistryError, dataset_types::TypeTable, schema, sqlite::Db};

/// Reads one snapshot of the database; given by [`crate::Registry::read`].
pub struct Reader {
    pub(crate) connection: Connection,
    path: Utf8PathBuf,
    busy_timeout: Duration,
    pub(crate) universe: Arc<Universe>,
    /// Of the current snapshot, loaded when first asked for.
    pub(crate) types: RefCell<Option<Arc<TypeTable>>>,
    /// The database's own count of what other connections changed, when `types` was kept.
    seen: Cell<Option<i64>>,
    /// Kept as long as `types`; a process that changes it forgets it.
    pub(crate) config_version: Cell<Option<u32>>,
    pub(crate) collection_names: RefCell<HashMap<i64, CollectionName>>,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) faults: Option<crate::testing::Faults>,
}

impl Reader {
    pub(crate) fn new(
        connection: Connection,
        path: &Utf8Path,
        busy_timeout: Duration,
        universe: Arc<Universe>,
    ) -> Self {
        Self {
            connection,
            path: path.to_owned(),
            busy_timeout,
            universe,
            types: RefCell::default(),
            seen: Cell::default(),
            config_version: Cell::default(),
            collection_names: RefCell::default(),
            #[cfg(any(test, feature = "testing"))]
            faults: None,
        }
    }

    /// Begins with a new snapshot: forgets what was read in an earlier one, but for the
    /// dataset types if no other connection changed anything since. Each acknowledged
    /// put is several snapshots, and types seldom change. The schema's version is looked
    /// at when somebody else has been here: a migration is a change of another connection's.
    pub(crate) fn begin_snapshot(&self) -> Result<(), RegistryError> {
        self.collection_names.take();
        let now = self.db().first("PRAGMA data_version", (), |row| row.get(0))?;
        if now != self.seen.get() {
            self.forget();
            schema::check_version(self.db())?;
            self.seen.set(now);
        }
        Ok(())
    }

    /// Forgets what may have been read of changes that were undone.
    pub(crate) fn forget(&self) {
        self.seen.take();
        self.types.take();
        self.config_version.take();
        self.collection_names.take();
    }

    pub(crate) fn db(&self) -> Db<'_> {
        Db {
            #[cfg(any(test, feature = "testing"))]
            faults: self.faults.as_ref(),
            ..Db::new(&self.connection, &self.path, self.busy_timeout)
        }
    }

    /// The dimensions of this repository.
    pub fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    /// The version of the datastore's configuration.
    pub(crate) fn datastore_config_version(&self) -> Result<u32, RegistryError> {
        if let Some(known) = self.config_version.get() {
            return Ok(known);
        }
        let version = self.datastore_config()?.version;
        self.config_version.set(Some(version));
        Ok(version)
    }

    /// The datastore's configuration.
    ///
    /// # Errors
    /// What the database says.
    pub fn datastore_config(&self) -> Result<DatastoreConfig, RegistryError> {
        schema::read_config(self.db())
    }

    /// The repository's id.
    ///
    /// # Errors
    /// What the database says.
    pub fn repository(&self) -> Result<Uuid, RegistryError> {
        schema::read_repository(self.db())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}
