//! For tests of other crates: the whole database as text.

use std::collections::BTreeMap;

use camino::Utf8Path;
use rusqlite::types::Value;

use crate::{
    OpenOptions, RegistryError,
    sqlite::{self, Db, Mode},
};

/// All rows of all tables of the database `path`: table → rows as text, sorted.
///
/// # Errors
/// What the database says.
pub fn dump(path: &Utf8Path) -> Result<BTreeMap<String, Vec<String>>, RegistryError> {
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let connection = sqlite::open(path, Mode::Existing, &options)?;
    let db = Db { connection: &connection, path, busy_timeout: options.busy_timeout };
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
