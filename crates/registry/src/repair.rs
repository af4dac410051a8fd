//! What a repair asks before it drops records: whether they are still those it saw.

use pantler_core::DatasetId;

use crate::{Reader, RegistryError};

/// A datastore record as a check read it, values as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRecord {
    /// The dataset.
    pub dataset: DatasetId,
    /// Which component of it.
    pub component: String,
    /// Its key or URI.
    pub uri: String,
    /// Where its bytes start in a shared artifact.
    pub byte_offset: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub checksum: Vec<u8>,
}

/// Whether a record may be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Droppable {
    /// It is as it was seen, and no open transaction modifies its RUN.
    Yes,
    /// It is gone, or says something else by now.
    Changed,
    /// This open transaction modifies its RUN.
    Locked(String),
}

impl Reader {
    /// Whether a record may be dropped. Asked of a [`crate::Writer`], the answer holds
    /// until that is done.
    ///
    /// # Errors
    /// What the database says.
    pub fn droppable(&self, seen: &SeenRecord) -> Result<Droppable, RegistryError> {
        let sql = "SELECT r.uri, r.byte_offset, r.size, r.checksum, c.name
            FROM dataset AS d
            JOIN file_datastore_record AS r ON r.dataset = d.id AND r.component = ?2
            LEFT JOIN collection AS c ON c.id = d.run
            WHERE d.uuid = ?1";
        let uuid = &seen.dataset.as_uuid().as_bytes()[..];
        let found = self.db().first(sql, rusqlite::params![uuid, seen.component], |row| {
            let offset: Option<i64> = row.get(1)?;
            let size: i64 = row.get(2)?;
            let same = row.get::<String>(0)? == seen.uri
                && offset.map(u64::try_from).transpose().ok() == Some(seen.byte_offset)
                && u64::try_from(size).ok() == Some(seen.size)
                && row.get::<Vec<u8>>(3)? == seen.checksum;
            Ok((same, row.get::<Option<String>>(4)?))
        })?;
        let Some((true, run)) = found else { return Ok(Droppable::Changed) };
        let Some(run) = run else { return Ok(Droppable::Yes) };
        let sql =
            "SELECT transaction_name FROM artifact_transaction_modified_run WHERE run_name = ?1";
        let locked = self.db().first(sql, [run], |row| row.get(0))?;
        Ok(locked.map_or(Droppable::Yes, Droppable::Locked))
    }
}
