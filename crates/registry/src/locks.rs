//! Locks of RUNs, held by open transactions. A RUN is modified by at most one of
//! them or inserted into by any number, never both; the writer keeps the two
//! tables disjoint, since it is alone in the database while it looks and inserts.

use std::{collections::BTreeSet, fmt};

use pantler_core::{CollectionName, TransactionName, transaction::RunLocks};

use crate::{Reader, RegistryError, Writer};

/// How a transaction holds a RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKind {
    /// Changed by it alone.
    Modified,
    /// Inserted into, beside others that do the same.
    InsertOnly,
    /// Read by an open workspace.
    Input,
}

impl LockKind {
    /// The statement that finds who holds a RUN so, by name.
    pub(crate) const fn holders(self) -> &'static str {
        match self {
            Self::Modified => {
                "SELECT transaction_name FROM artifact_transaction_modified_run WHERE run_name = ?1"
            }
            Self::InsertOnly => {
                "SELECT transaction_name FROM artifact_transaction_insert_only_run
                WHERE run_name = ?1 ORDER BY transaction_name"
            }
            Self::Input => {
                "SELECT transaction_name FROM artifact_transaction_input_run
                WHERE run_name = ?1 ORDER BY transaction_name"
            }
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modified => "modified",
            Self::InsertOnly => "inserted into",
            Self::Input => "read",
        })
    }
}

pub(crate) const DELETE: [&str; 3] = [
    "DELETE FROM artifact_transaction_modified_run WHERE transaction_name = ?1",
    "DELETE FROM artifact_transaction_insert_only_run WHERE transaction_name = ?1",
    "DELETE FROM artifact_transaction_input_run WHERE transaction_name = ?1",
];

impl Reader {
    /// The RUNs that an open transaction locks, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn run_locks(&self, transaction: &TransactionName) -> Result<RunLocks, RegistryError> {
        let runs = |sql| self.db().all(sql, [transaction.as_str()], |row| row.parsed(0));
        Ok(RunLocks {
            modified: runs(
                "SELECT run_name FROM artifact_transaction_modified_run
                WHERE transaction_name = ?1 ORDER BY run_name",
            )?,
            insert_only: runs(
                "SELECT run_name FROM artifact_transaction_insert_only_run
                WHERE transaction_name = ?1 ORDER BY run_name",
            )?,
            inputs: runs(
                "SELECT run_name FROM artifact_transaction_input_run
                WHERE transaction_name = ?1 ORDER BY run_name",
            )?,
        })
    }

    /// The open transactions that lock or read a RUN: the modifying one, then by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn locks_of_run(
        &self,
        run: &CollectionName,
    ) -> Result<Vec<(TransactionName, LockKind)>, RegistryError> {
        let mut locks = Vec::new();
        for kind in [LockKind::Modified, LockKind::InsertOnly, LockKind::Input] {
            let sql = kind.holders();
            locks.extend(self.db().all(sql, [run.as_str()], |row| Ok((row.parsed(0)?, kind)))?);
        }
        Ok(locks)
    }
}

impl Writer {
    /// Notes RUNs that an open transaction reads besides those that it was opened with; those
    /// that it reads already stay.
    ///
    /// # Errors
    /// [`RegistryError::RunLocked`] if another transaction changes one of them.
    pub fn add_inputs(
        &self,
        transaction: &TransactionName,
        runs: &[CollectionName],
    ) -> Result<(), RegistryError> {
        for run in runs {
            self.refuse_locked(run, &[LockKind::Modified])?;
            let sql = "INSERT INTO artifact_transaction_input_run (transaction_name, run_name)
                VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.db().execute(sql, [transaction.as_str(), run.as_str()])?;
        }
        Ok(())
    }

    /// Takes locks for a transaction whose row is there. To modify a RUN includes
    /// inserting into it: one that is asked for both ways is locked as modified.
    pub(crate) fn insert_locks(
        &self,
        transaction: &TransactionName,
        locks: &RunLocks,
    ) -> Result<(), RegistryError> {
        let modified: BTreeSet<_> = locks.modified.iter().collect();
        let insert_only: BTreeSet<_> =
            locks.insert_only.iter().filter(|run| !modified.contains(run)).collect();
        let inputs: BTreeSet<_> = locks.inputs.iter().collect();
        for &run in &modified {
            self.refuse_locked(run, &[LockKind::Modified, LockKind::InsertOnly])?;
        }
        for &run in &insert_only {
            self.refuse_locked(run, &[LockKind::Modified])?;
        }
        for (runs, sql) in [
            (
                modified,
                "INSERT INTO artifact_transaction_modified_run (transaction_name, run_name) VALUES (?1, ?2)",
            ),
            (
                insert_only,
                "INSERT INTO artifact_transaction_insert_only_run (transaction_name, run_name) VALUES (?1, ?2)",
            ),
            (
                inputs,
                "INSERT INTO artifact_transaction_input_run (transaction_name, run_name) VALUES (?1, ?2)",
            ),
        ] {
            for run in runs {
                self.db().execute(sql, [transaction.as_str(), run.as_str()])?;
            }
        }
        Ok(())
    }

    fn refuse_locked(
        &self,
        run: &CollectionName,
        refused: &[LockKind],
    ) -> Result<(), RegistryError> {
        for &lock in refused {
            let holder = self.db().first(lock.holders(), [run.as_str()], |row| row.parsed(0))?;
            if let Some(transaction) = holder {
                return Err(RegistryError::RunLocked { run: run.clone(), transaction, lock });
            }
        }
        Ok(())
    }
}
