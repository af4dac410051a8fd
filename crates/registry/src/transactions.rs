//! Rows of artifact transactions: the open ones, and how others ended.

use pantler_core::{
    OpeningId, Tai, TransactionName,
    transaction::{ClosedRow, Closing, Process, TransactionRow},
};

use crate::{Reader, RegistryError, sqlite::Row};

/// The columns that [`read`] reads.
const COLUMNS: &str = "name, kind, data, owner, opening_id, attempt, closing, host, boot_id, pid, opened_at, config_version";

fn read(row: &Row<'_, '_>) -> Result<TransactionRow, RegistryError> {
    let closing = match row.get::<Option<String>>(6)? {
        None => None,
        Some(verb) => Some(
            Closing::from_verb(&verb)
                .ok_or_else(|| row.corrupt(format_args!("unknown closing {verb:?}")))?,
        ),
    };
    Ok(TransactionRow {
        name: row.parsed(0)?,
        kind: row.get(1)?,
        data: row.get(2)?,
        owner: row.get(3)?,
        opening: OpeningId::from_uuid(row.uuid(4)?),
        attempt: row.get(5)?,
        closing,
        process: Process { host: row.get(7)?, boot_id: row.get(8)?, pid: row.get(9)? },
        opened_at: Tai::from_nanos(row.get(10)?),
        config_version: row.get(11)?,
    })
}

fn read_closed(row: &Row<'_, '_>) -> Result<ClosedRow, RegistryError> {
    let outcome = row.text(2)?;
    Ok(ClosedRow {
        opening: OpeningId::from_uuid(row.uuid(0)?),
        name: row.parsed(1)?,
        closing: Closing::from_outcome(outcome)
            .ok_or_else(|| row.corrupt(format_args!("unknown outcome {outcome:?}")))?,
        at: Tai::from_nanos(row.get(3)?),
    })
}

impl Reader {
    /// All open transactions, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn transactions(&self) -> Result<Vec<TransactionRow>, RegistryError> {
        let sql = format!("SELECT {COLUMNS} FROM artifact_transaction ORDER BY name");
        self.db().all(&sql, (), read)
    }

    /// The first open transaction by name.
    pub(crate) fn any_transaction(&self) -> Result<Option<TransactionName>, RegistryError> {
        let sql = "SELECT name FROM artifact_transaction ORDER BY name LIMIT 1";
        self.db().first(sql, (), |row| row.parsed(0))
    }

    /// The open transaction called `name`.
    ///
    /// # Errors
    /// What the database says.
    pub fn transaction(
        &self,
        name: &TransactionName,
    ) -> Result<Option<TransactionRow>, RegistryError> {
        let sql = format!("SELECT {COLUMNS} FROM artifact_transaction WHERE name = ?1");
        self.db().first(&sql, [name.as_str()], read)
    }

    /// The open transaction with this opening.
    ///
    /// # Errors
    /// What the database says.
    pub fn opening(&self, opening: OpeningId) -> Result<Option<TransactionRow>, RegistryError> {
        let sql = format!("SELECT {COLUMNS} FROM artifact_transaction WHERE opening_id = ?1");
        self.db().first(&sql, [&opening.as_uuid().as_bytes()[..]], read)
    }

    /// How an opening ended; `None` if it is open, or never was.
    ///
    /// # Errors
    /// What the database says.
    pub fn closed(&self, opening: OpeningId) -> Result<Option<ClosedRow>, RegistryError> {
        let sql = "SELECT opening_id, name, outcome, at FROM artifact_transaction_closed
            WHERE opening_id = ?1";
        self.db().first(sql, [&opening.as_uuid().as_bytes()[..]], read_closed)
    }

    /// How the transactions called `name` ended, the newest first.
    ///
    /// # Errors
    /// What the database says.
    pub fn closed_named(&self, name: &TransactionName) -> Result<Vec<ClosedRow>, RegistryError> {
        let sql = "SELECT opening_id, name, outcome, at FROM artifact_transaction_closed
            WHERE name = ?1 ORDER BY at DESC, opening_id DESC";
        self.db().all(sql, [name.as_str()], read_closed)
    }
}
