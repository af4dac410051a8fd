//! How a transaction is opened, claimed and closed. Each change after the opening
//! is made under an attempt: the row must still be there with it, or else another
//! process took over, and this one must stop.

use pantler_core::{
    OpeningId, Tai, TransactionName,
    changes::Change,
    transaction::{Closing, Process, RunLocks, TransactionRow},
};

use crate::{RegistryError, Standing, Writer, locks};

pub(crate) const DELETE: &str =
    "DELETE FROM artifact_transaction WHERE opening_id = ?1 AND attempt = ?2 AND name = ?3";

impl Writer {
    /// Opens a transaction: its row, its locks and its manifest.
    ///
    /// # Errors
    /// [`RegistryError::TransactionExists`]; [`RegistryError::RunLocked`];
    /// [`RegistryError::ConfigVersion`] if the datastore configuration is another
    /// one than the row says; and what the database says.
    pub fn insert_transaction(
        &self,
        row: &TransactionRow,
        locks: &RunLocks,
        manifest: Option<&[u8]>,
    ) -> Result<(), RegistryError> {
        let current = self.datastore_config_version()?;
        if current != row.config_version {
            return Err(RegistryError::ConfigVersion { current, given: row.config_version });
        }
        let sql = "INSERT INTO artifact_transaction (name, kind, data, owner, opening_id, attempt,
            closing, host, boot_id, pid, opened_at, config_version)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT (name) DO NOTHING";
        let params = rusqlite::params![
            row.name.as_str(),
            row.kind,
            row.data,
            row.owner,
            &row.opening.as_uuid().as_bytes()[..],
            row.attempt,
            row.closing.map(Closing::verb),
            row.process.host,
            row.process.boot_id,
            row.process.pid,
            row.opened_at.as_nanos(),
            row.config_version,
        ];
        if self.db().execute(sql, params)? == 0 {
            let there = self.transaction(&row.name)?.ok_or_else(|| {
                let name = &row.name;
                self.db().corrupt(format_args!("transaction {name} is there and cannot be found"))
            })?;
            return Err(RegistryError::TransactionExists { row: Box::new(there) });
        }
        self.insert_locks(&row.name, locks)?;
        self.insert_manifest(row.opening, manifest.unwrap_or_default())
    }

    /// Takes a transaction over, from this process or another one, and says what
    /// for; returns the new attempt. A manifest given replaces the one there.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`] if `expected` is not the current attempt.
    pub fn claim(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        expected: u32,
        closing: Option<Closing>,
        process: &Process,
        manifest: Option<&[u8]>,
    ) -> Result<u32, RegistryError> {
        let attempt = expected.saturating_add(1);
        let sql = "UPDATE artifact_transaction
            SET attempt = ?1, closing = ?2, host = ?3, boot_id = ?4, pid = ?5
            WHERE opening_id = ?6 AND attempt = ?7 AND name = ?8";
        let params = rusqlite::params![
            attempt,
            closing.map(Closing::verb),
            process.host,
            process.boot_id,
            process.pid,
            &opening.as_uuid().as_bytes()[..],
            expected,
            name.as_str(),
        ];
        if self.db().execute(sql, params)? == 0 {
            return Err(self.superseded(opening, expected));
        }
        if let Some(manifest) = manifest {
            self.delete_manifest(opening)?;
            self.insert_manifest(opening, manifest)?;
        }
        Ok(attempt)
    }

    /// Says what the current attempt is for.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`].
    pub fn set_closing(
        &self,
        opening: OpeningId,
        attempt: u32,
        closing: Option<Closing>,
    ) -> Result<(), RegistryError> {
        let sql =
            "UPDATE artifact_transaction SET closing = ?1 WHERE opening_id = ?2 AND attempt = ?3";
        let opening_bytes = &opening.as_uuid().as_bytes()[..];
        match self.db().execute(sql, (closing.map(Closing::verb), opening_bytes, attempt))? {
            0 => Err(self.superseded(opening, attempt)),
            _ => Ok(()),
        }
    }

    /// Enters a part of what a transaction is for and leaves it open: its claim ends, its
    /// data are `data` from now on, and `process` holds it as before the claim. Its own locks
    /// do not stand in the way of `changes`, and are there again afterwards.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`]; those of [`Self::apply`].
    pub fn enter_part(
        &self,
        row: &TransactionRow,
        data: &str,
        changes: &[Change],
        now: Tai,
    ) -> Result<(), RegistryError> {
        // First, since it confirms the attempt.
        self.end_claim(row, data)?;
        let held = self.run_locks(&row.name)?;
        for sql in locks::DELETE {
            self.db().execute(sql, [row.name.as_str()])?;
        }
        self.apply(changes, now)?;
        self.insert_locks(&row.name, &held)
    }

    /// Ends the claim `row.attempt` of a transaction that stays open with `data`, held by
    /// `row.process`.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`].
    pub fn end_claim(&self, row: &TransactionRow, data: &str) -> Result<(), RegistryError> {
        let sql = "UPDATE artifact_transaction
            SET data = ?1, closing = NULL, host = ?2, boot_id = ?3, pid = ?4
            WHERE opening_id = ?5 AND attempt = ?6 AND name = ?7";
        let params = rusqlite::params![
            data,
            row.process.host,
            row.process.boot_id,
            row.process.pid,
            &row.opening.as_uuid().as_bytes()[..],
            row.attempt,
            row.name.as_str(),
        ];
        match self.db().execute(sql, params)? {
            0 => Err(self.superseded(row.opening, row.attempt)),
            _ => Ok(()),
        }
    }

    /// Makes sure that `attempt` is the current one of an open transaction.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`].
    pub fn check_attempt(&self, opening: OpeningId, attempt: u32) -> Result<(), RegistryError> {
        self.name_of_attempt(opening, attempt).map(drop)
    }

    /// The name of the transaction of which `attempt` is the current one.
    fn name_of_attempt(
        &self,
        opening: OpeningId,
        attempt: u32,
    ) -> Result<TransactionName, RegistryError> {
        // Not the whole row: its data may be long.
        let sql = "SELECT name FROM artifact_transaction WHERE opening_id = ?1 AND attempt = ?2";
        let opening_bytes = &opening.as_uuid().as_bytes()[..];
        let name = self.db().first(sql, (opening_bytes, attempt), |row| row.parsed(0))?;
        name.ok_or_else(|| self.superseded(opening, attempt))
    }

    /// Closes a transaction: its row, locks and manifest go, and a line stays that
    /// says how it ended. Its time is `at`, or just after that of an earlier one of the
    /// name, if the clock was set back.
    ///
    /// # Errors
    /// [`RegistryError::Superseded`].
    pub fn close_transaction(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        attempt: u32,
        closing: Closing,
        at: Tai,
    ) -> Result<(), RegistryError> {
        // The row last, since locks and manifest name it: if it is not there with this
        // attempt, all is undone.
        for sql in locks::DELETE {
            self.db().execute(sql, [name.as_str()])?;
        }
        self.delete_manifest(opening)?;
        let opening_bytes = &opening.as_uuid().as_bytes()[..];
        if self.db().execute(DELETE, (opening_bytes, attempt, name.as_str()))? == 0 {
            return Err(self.superseded(opening, attempt));
        }
        // The clock may have been set back: what was closed last must stay last.
        let sql = "INSERT INTO artifact_transaction_closed (opening_id, name, outcome, at)
            VALUES (?1, ?2, ?3, max(?4, coalesce(
                (SELECT max(at) + 1 FROM artifact_transaction_closed WHERE name = ?2), ?4)))";
        self.db()
            .execute(sql, (opening_bytes, name.as_str(), closing.outcome(), at.as_nanos()))
            .map(drop)
    }

    /// Says what holds instead of `attempt`.
    fn superseded(&self, opening: OpeningId, attempt: u32) -> RegistryError {
        let look = || {
            if let Some(row) = self.opening(opening)? {
                return Ok((Some(row.name), Standing::Attempt(row.attempt)));
            }
            Ok(match self.closed(opening)? {
                Some(row) => (Some(row.name), Standing::Closed(row.closing)),
                None => (None, Standing::Gone),
            })
        };
        match look() {
            Ok((name, now)) => RegistryError::Superseded { name, opening, attempt, now },
            Err(error) => error,
        }
    }
}
