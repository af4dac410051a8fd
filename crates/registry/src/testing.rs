//! For tests of other crates: the whole database as text, damage to it, and a connection
//! that fails on demand.

mod faults;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use camino::Utf8Path;
pub use faults::Faults;
pub use pantler_seam::{How, rules::Life};
use rusqlite::types::Value;

pub use crate::faults::Point;
use crate::{
    OpenOptions, Registry, RegistryError,
    sqlite::{self, Db, Mode},
};

impl Registry {
    /// Counts, by SQLite's own commit hook, what this connection commits from now on.
    ///
    /// # Errors
    /// What the database says.
    pub fn count_commits(&self) -> Result<Arc<AtomicU64>, RegistryError> {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let hook = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            // Go on with the commit.
            false
        };
        let connection = &mut self.lock().reader.connection;
        connection
            .commit_hook(Some(hook))
            .map_err(|source| RegistryError::Sql { path: self.path().to_owned(), source })?;
        Ok(count)
    }
}

/// All rows of all tables of the database `path`: table → rows as text, sorted.
///
/// # Errors
/// What the database says.
pub fn dump(path: &Utf8Path) -> Result<BTreeMap<String, Vec<String>>, RegistryError> {
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let connection = sqlite::open(path, Mode::Existing, &options)?;
    let db = Db::new(&connection, path, options.busy_timeout);
    // One snapshot for all tables; it ends with the connection.
    let _snapshot = db.begin_read()?;
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables = db.all(sql, (), |row| row.get::<String>(0))?;
    let mut dump = BTreeMap::new();
    for table in tables {
        let mut rows = db.all(&format!("SELECT * FROM \"{table}\""), (), |row| {
            let values = (0..row.columns()).map(|column| row.get(column));
            Ok(format!("{:?}", values.collect::<Result<Vec<Value>, _>>()?))
        })?;
        rows.sort();
        dump.insert(table, rows);
    }
    Ok(dump)
}

/// Runs SQL on the database `path`, to damage it.
///
/// # Errors
/// What the database says.
pub fn execute(path: &Utf8Path, sql: &str) -> Result<(), RegistryError> {
    let options = OpenOptions::default();
    let connection = sqlite::open(path, Mode::Existing, &options)?;
    Db::new(&connection, path, options.busy_timeout).batch(sql)
}
