use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DatasetType, DatasetTypeName, DatastoreConfig, Universe};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    Reader, RegistryError, Writer, schema,
    sqlite::{self, Db, Mode},
};

/// How a database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// Whether writing is refused.
    pub read_only: bool,
    /// The largest number of pages that the database may have; tests make a full
    /// disk of it.
    pub max_page_count: Option<u32>,
}

impl Default for OpenOptions {
    /// 60 s, writable, unlimited.
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(60), read_only: false, max_page_count: None }
    }
}

/// The open database of a repository.
///
/// It has one connection, used by one thread at a time: a [`Self::read`] or
/// [`Self::write`] inside of another one on the same registry waits for ever.
pub struct Registry {
    writer: Mutex<Writer>,
    universe: Arc<Universe>,
    path: Utf8PathBuf,
    read_only: bool,
}

impl Registry {
    /// Makes the database `path`, or opens it if it is there already with the same
    /// universe (it then keeps its configuration and repository id). All tables
    /// are made in one database transaction, so a creation that was killed is
    /// simply run again.
    ///
    /// # Errors
    /// [`RegistryError::OtherUniverse`], [`RegistryError::NotARegistry`] and what the database says.
    pub fn create(
        path: &Utf8Path,
        universe: &Universe,
        config: &DatastoreConfig,
        repository: Uuid,
    ) -> Result<Self, RegistryError> {
        let options = OpenOptions::default();
        pantler_seam::step("registry.create.before");
        let connection = sqlite::open(path, Mode::Create, &options)?;
        let db = Db::new(&connection, path, options.busy_timeout);
        let transaction = db.begin_write()?;
        let created = schema::create(db, universe, config, repository)?;
        if created {
            pantler_seam::step("registry.create.commit");
            db.commit(transaction)?;
            pantler_seam::step("registry.create.after");
        } else {
            drop(transaction);
        }
        Ok(Self::new(connection, path, &options, Arc::new(universe.clone())))
    }

    /// Opens the database `path`.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::NotARegistry`],
    /// [`RegistryError::NewerSchema`] and what the database says.
    pub fn open(path: &Utf8Path, options: &OpenOptions) -> Result<Self, RegistryError> {
        let connection = sqlite::open(path, Mode::Existing, options)?;
        let db = Db::new(&connection, path, options.busy_timeout);
        schema::check_registry(db)?;
        let universe = Arc::new(schema::read_universe(db)?);
        Ok(Self::new(connection, path, options, universe))
    }

    fn new(
        connection: Connection,
        path: &Utf8Path,
        options: &OpenOptions,
        universe: Arc<Universe>,
    ) -> Self {
        let reader = Reader::new(connection, path, options.busy_timeout, Arc::clone(&universe));
        let writer = Mutex::new(Writer::new(reader));
        Self { writer, universe, path: path.to_owned(), read_only: options.read_only }
    }

    /// The dimensions of this repository.
    pub fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    /// Whether it was opened for writing too.
    pub fn is_writeable(&self) -> bool {
        !self.read_only
    }

    /// The database file.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The datastore's current configuration.
    ///
    /// # Errors
    /// What the database says.
    pub fn datastore_config(&self) -> Result<DatastoreConfig, RegistryError> {
        self.read(Reader::datastore_config)
    }

    /// The repository's id.
    ///
    /// # Errors
    /// What the database says.
    pub fn repository(&self) -> Result<Uuid, RegistryError> {
        self.read(Reader::repository)
    }

    /// The dataset type called `name` as it was when it was last read, if it was; another
    /// process may have removed it since. Costs nothing.
    pub fn known_dataset_type(&self, name: &DatasetTypeName) -> Option<Arc<DatasetType>> {
        let reader = self.lock();
        let types = reader.types.borrow();
        types.as_ref()?.named(name).map(|entry| Arc::clone(&entry.dataset_type))
    }

    /// Calls `f` with a reader for which the database does not change.
    ///
    /// # Errors
    /// Those of `f`, and what the database says.
    pub fn read<T, E: From<RegistryError>>(
        &self,
        f: impl FnOnce(&Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let reader = self.lock();
        let transaction = reader.db().begin_read()?;
        reader.begin_snapshot()?;
        let value = f(&reader)?;
        // Nothing was written: ending it one way or the other is the same.
        drop(transaction);
        Ok(value)
    }

    /// Calls `f` with a writer, whose changes become visible together when `f`
    /// returns, or are all undone if `f` fails. Waits for other writers.
    ///
    /// # Errors
    /// Those of `f`; [`RegistryError::Busy`], [`RegistryError::Serialization`],
    /// [`RegistryError::NewerSchema`] if
    /// the database was migrated meanwhile, [`RegistryError::CommitUnknown`], and
    /// what else the database says.
    pub fn write<T, E: From<RegistryError>>(
        &self,
        f: impl FnOnce(&Writer) -> Result<T, E>,
    ) -> Result<T, E> {
        let writer = self.lock();
        pantler_seam::step("registry.begin");
        let transaction = writer.db().begin_write()?;
        let undone = Undone(&writer);
        writer.begin_snapshot()?;
        let value = f(&writer)?;
        writer.finish()?;
        pantler_seam::step("registry.commit.before");
        writer.db().commit(transaction)?;
        undone.not();
        pantler_seam::step("registry.commit.after");
        Ok(value)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic inside of `f` rolled its transaction back while unwinding.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a writer forget what it saw, also when `f` panics.
struct Undone<'a>(&'a Writer);

impl Undone<'_> {
    /// It was committed.
    fn not(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("path", &self.path).finish_non_exhaustive()
    }
}
