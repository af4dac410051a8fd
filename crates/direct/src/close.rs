//! Closing artifact transactions: claim where needed, storage work, rows.
//!
//! | step | a kill after it leaves | who finishes |
//! | --- | --- | --- |
//! | claim (one database transaction) | open, attempt + 1, closing noted | the same call, or one the door admits |
//! | storage work of the kind | open, artifacts as the kind says | the same call: the work is idempotent |
//! | `transaction.json` removed (workspaces) | open, root without it | the same call; a client makes it again |
//! | rows: changes in, transaction out, closed log (one database transaction) | closed; a workspace root is left over | `workspace vacuum` removes the root |
//! | workspace root removed | closed | – |

use std::any::Any;

use camino::Utf8Path;
use pantler_butler::transaction::{
    ArtifactTransaction, Claim, CloseContext, ClosingFacts, CommitContext, KindError, Open,
    RevertContext, decide,
};
use pantler_core::{
    ArtifactKey, CollectionName, FileRecord, OpeningId, RunId, TransactionName,
    changes::{Change, Changes},
    transaction::{Closing, RunLocks, TransactionRow},
};
use pantler_datastore::key::run_prefix;
use pantler_registry::{DatasetQuery, Reader, RegistryError};

use crate::{
    ButlerError, CloseError, CloseOptions, Closed, DirectButler, TransactionFile,
    artifacts::DatastoreView,
};

/// How often the rows of a closing are tried before a serialization failure is reported.
pub(crate) const ROW_TRIES: u32 = 8;

/// A closing of a handle that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CloseFailure<T: std::fmt::Debug> {
    /// Why.
    #[source]
    pub error: Box<CloseError>,
    /// The handle again, if this process still holds the transaction.
    pub open: Option<Open<T>>,
}

impl DirectButler {
    /// Closes the transaction of a name, whoever opened it. Again with the same
    /// outcome: succeeds and does nothing.
    ///
    /// # Errors
    /// [`CloseError`]: each says whether the transaction is still open.
    pub fn close(
        &self,
        name: &TransactionName,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, CloseError> {
        let found = self.registry().read(|reader| {
            let Some(row) = reader.transaction(name)? else { return Ok(None) };
            let manifest = reader.manifest(row.opening)?;
            Ok::<_, RegistryError>(Some((row, manifest)))
        })?;
        let Some((row, manifest)) = found else {
            return self.closed_before(name, closing);
        };
        let decode = |source| CloseError::Decode { name: name.clone(), source };
        let transaction = self.kinds().decode(&row.kind, &row.data, &manifest).map_err(decode)?;
        // It may be long.
        drop(manifest);
        self.close_row(&row, transaction.as_ref(), Holder::Somebody, closing, options)
            .map_err(|error| error.around(name, closing))
    }

    /// Closes a transaction that this process opened or took over.
    ///
    /// # Errors
    /// [`CloseFailure`], with the handle if this process still holds it.
    pub fn close_open<T: ArtifactTransaction>(
        &self,
        open: Open<T>,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, CloseFailure<T>> {
        if closing == Closing::Commit && !open.transaction().commit_deletes() {
            // Not looked at before: the rows enter only under the attempt held, and what
            // that has written no later one may name.
            let closed = self.close_held(&open, open.row(), open.run(), closing, options);
            return self.or_still_held(open, closing, closed);
        }
        let locks = open.transaction().locks();
        let seen = self.registry().read(|reader| {
            let row = reader.transaction(open.name())?;
            Ok::<_, RegistryError>((row, run_id(reader, closing_run(&locks))?))
        });
        let (row, run) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let error = Box::new(CloseError::from(error).around(open.name(), closing));
                return Err(CloseFailure { error, open: Some(open) });
            }
        };
        let held = row.filter(|row| row.opening == open.opening() && row.attempt == open.attempt());
        let Some(row) = held else {
            return match self.gone(open.name(), open.opening(), closing) {
                Ok(closed) => Ok(closed),
                Err(error) => Err(CloseFailure { error: Box::new(error), open: None }),
            };
        };
        let closed = self.close_held(&open, &row, run, closing, options);
        self.or_still_held(open, closing, closed)
    }

    fn close_held<T: ArtifactTransaction>(
        &self,
        open: &Open<T>,
        row: &TransactionRow,
        run: Option<RunId>,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, CloseError> {
        self.close_row(row, open.transaction(), Holder::Caller { run }, closing, options)
    }

    fn or_still_held<T: std::fmt::Debug>(
        &self,
        open: Open<T>,
        closing: Closing,
        closed: Result<Closed, CloseError>,
    ) -> Result<Closed, CloseFailure<T>> {
        closed.map_err(|error| {
            let error = error.around(open.name(), closing);
            let kept = error.stays_open().then(|| self.still_held(open)).flatten();
            CloseFailure { error: Box::new(error), open: kept }
        })
    }

    /// The handle with the attempt that the failed closing claimed, if it is still
    /// this process that holds the transaction.
    fn still_held<T>(&self, open: Open<T>) -> Option<Open<T>> {
        let row = self.registry().read(|reader| reader.transaction(open.name())).ok().flatten()?;
        let held = row.opening == open.opening() && row.process == self.environment().process;
        held.then(|| open.at(row))
    }

    /// Answers for a transaction that is not open, from the closed log.
    fn closed_before(
        &self,
        name: &TransactionName,
        closing: Closing,
    ) -> Result<Closed, CloseError> {
        let closed = self.registry().read(|reader| reader.closed_named(name))?;
        match closed.first() {
            None => Err(CloseError::NoTransaction(name.clone())),
            Some(row) if row.closing == closing => Ok(Closed::Before),
            Some(row) => {
                Err(CloseError::AlreadyClosed { name: name.clone(), closing: row.closing })
            }
        }
    }

    pub(crate) fn close_row(
        &self,
        row: &TransactionRow,
        transaction: &dyn ArtifactTransaction,
        holder: Holder,
        closing: Closing,
        options: CloseOptions,
    ) -> Result<Closed, CloseError> {
        let name = &row.name;
        let holds = matches!(holder, Holder::Caller { .. });
        let current = self.datastore().config().version;
        if row.config_version != current {
            // This client was opened before the configuration changed.
            let given = row.config_version;
            return Err(RegistryError::ConfigVersion { current, given }.into());
        }
        let duty = decide(row.closing, closing, holds, transaction.commit_deletes())
            .map_err(|source| CloseError::Door { name: name.clone(), source })?;
        let workspace = transaction.is_workspace();
        transaction.expect_closing(closing).map_err(|source| {
            let name = name.clone();
            CloseError::StillOpen { name, closing, workspace, source }
        })?;
        let locks = transaction.locks();
        let run = closing_run(&locks);
        let (attempt, run_id) = if duty.claim {
            match self.check_holder(row, options.take_over || holds) {
                Err(ButlerError::Held { name, process }) => {
                    return Err(CloseError::Held { name, process });
                }
                other => other?,
            }
            match self.claim(row, closing, duty.past_the_door, run) {
                Err(CloseError::Superseded(_)) => return self.superseded(row, closing),
                other => other?,
            }
        } else {
            let run = match holder {
                Holder::Caller { run } => run,
                Holder::Somebody => self.registry().read(|reader| run_id(reader, run))?,
            };
            (row.attempt, run)
        };
        let prefix = match (run, run_id) {
            (Some(run), Some(id)) => run_prefix(run, id).as_str().to_owned(),
            _ => String::new(),
        };
        let root = transaction
            .is_workspace()
            .then(|| CollectionName::new(name.as_str()).ok())
            .flatten()
            .map(|run| self.workspace_root(&run, row.opening));
        let facts = ClosingFacts {
            opening: row.opening,
            attempt,
            past_the_door: duty.past_the_door,
            partial: options.partial,
            verify: options.verify,
            run_prefix: &prefix,
            root: root.as_deref(),
        };
        let claim = Holding { butler: self, opening: row.opening, attempt, run };
        let (changes, guards) = match self.storage_work(transaction, closing, facts, &claim) {
            Ok(parts) => parts,
            // It may have failed because another process closed it meanwhile.
            Err(source) => {
                if matches!(source, KindError::Superseded) || self.is_overtaken(row, attempt) {
                    return self.superseded(row, closing);
                }
                return Err(CloseError::StillOpen {
                    name: name.clone(),
                    closing,
                    workspace: transaction.is_workspace(),
                    source,
                });
            }
        };
        pantler_seam::step("close.storage.done");
        if let Some(root) = &root {
            TransactionFile::remove(root)
                .map_err(|source| ButlerError::Io { path: root.clone(), source })?;
            pantler_seam::step("close.json.removed");
        }
        let closed = self.enter_rows(row, attempt, closing, &changes)?;
        pantler_seam::step("close.rows.committed");
        if let Some(root) = root {
            remove_workspace_root(&root);
        }
        drop(guards);
        Ok(closed)
    }

    /// Claims the next attempt. After a revert began, the row goes on saying so:
    /// whatever closes it, nothing may become stored.
    pub(crate) fn claim(
        &self,
        row: &TransactionRow,
        closing: Closing,
        past_the_door: bool,
        run: Option<&CollectionName>,
    ) -> Result<(u32, Option<RunId>), CloseError> {
        let noted = if past_the_door { Closing::Revert } else { closing };
        let claimed = self.registry().write(|writer| {
            let attempt = writer.claim(
                &row.name,
                row.opening,
                row.attempt,
                Some(noted),
                &self.environment().process,
                None,
            )?;
            // While the claim holds, a RUN of that name is this transaction's. Later it
            // may be another's: only the id says which.
            Ok((attempt, run_id(writer, run)?))
        });
        match claimed {
            Ok(claimed) => {
                pantler_seam::step("close.claimed");
                Ok(claimed)
            }
            Err(RegistryError::Superseded { .. }) => Err(CloseError::Superseded(row.name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    fn storage_work(
        &self,
        transaction: &dyn ArtifactTransaction,
        closing: Closing,
        facts: ClosingFacts<'_>,
        claim: &Holding<'_>,
    ) -> Result<(Changes, Vec<Box<dyn Any>>), KindError> {
        let artifacts = DatastoreView(self.datastore());
        match closing {
            Closing::Commit => {
                let mut context = CommitContext::new(facts, &artifacts, claim);
                transaction.commit(&mut context)?;
                Ok(context.into_parts())
            }
            Closing::Revert => {
                let mut context = RevertContext::new(facts, &artifacts, claim);
                transaction.revert(&mut context)?;
                Ok(context.into_parts())
            }
            Closing::Abandon => {
                let mut context = CloseContext::new(facts, &artifacts, claim);
                transaction.abandon(&mut context)?;
                Ok(context.into_parts())
            }
        }
    }

    /// The closing database transaction. If its answer is lost, the closed log and
    /// the row tell what happened; if they cannot be read, the outcome is unknown.
    fn enter_rows(
        &self,
        row: &TransactionRow,
        attempt: u32,
        closing: Closing,
        changes: &Changes,
    ) -> Result<Closed, CloseError> {
        let now = self.environment().clock.now();
        let mut tries = 0;
        let source = loop {
            let result = self.registry().write(|writer| {
                // First, since it confirms the attempt, and the transaction's own locks
                // must not keep its RUN.
                writer.close_transaction(&row.name, row.opening, attempt, closing, now)?;
                writer.apply(changes, now)
            });
            tries += 1;
            match result {
                Ok(()) => return Ok(Closed::Now { stored: stored_by(changes) }),
                // The rows are repeated, never the storage work.
                Err(RegistryError::Serialization { .. }) if tries < ROW_TRIES => {}
                Err(error) => break error,
            }
        };
        let name = row.name.clone();
        let looked = self.registry().read(|reader| {
            Ok::<_, RegistryError>((reader.closed(row.opening)?, reader.transaction(&name)?))
        });
        match looked {
            Ok((Some(closed), _)) if closed.closing == closing => Ok(Closed::Before),
            Ok((Some(closed), _)) => {
                Err(CloseError::AlreadyClosed { name, closing: closed.closing })
            }
            Ok((None, Some(now))) if now.opening == row.opening && now.attempt == attempt => {
                Err(CloseError::Rows { name, closing, source })
            }
            Ok(_) => Err(CloseError::Superseded(name)),
            Err(_) => Err(CloseError::Unknown { name, closing, source }),
        }
    }

    /// Whether another process is known to have claimed or closed what `attempt` held.
    pub(crate) fn is_overtaken(&self, row: &TransactionRow, attempt: u32) -> bool {
        let now = self.registry().read(|reader| reader.opening(row.opening));
        now.is_ok_and(|now| now.is_none_or(|now| now.attempt != attempt))
    }

    fn superseded(&self, row: &TransactionRow, closing: Closing) -> Result<Closed, CloseError> {
        self.gone(&row.name, row.opening, closing)
    }

    /// What became of an opening that another process has claimed. The name may be in
    /// use again: only the opening says which.
    fn gone(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        closing: Closing,
    ) -> Result<Closed, CloseError> {
        match self.registry().read(|reader| reader.closed(opening))? {
            Some(closed) if closed.closing == closing => Ok(Closed::Before),
            Some(closed) => {
                Err(CloseError::AlreadyClosed { name: name.clone(), closing: closed.closing })
            }
            None => Err(CloseError::Superseded(name.clone())),
        }
    }
}

/// How many datasets changes make stored. Components are parts of one.
fn stored_by(changes: &Changes) -> usize {
    let records = changes.iter().map(|change| match change {
        Change::InsertRecords(records) => &records[..],
        _ => &[],
    });
    records.flatten().filter(|record| record.component.is_empty()).count()
}

/// Who holds a transaction that is to be closed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder {
    /// The caller, who saw this RUN when it looked at the row.
    Caller { run: Option<RunId> },
    /// Perhaps somebody else.
    Somebody,
}

/// The RUN whose prefix holds what is to be closed.
pub(crate) fn closing_run(locks: &RunLocks) -> Option<&CollectionName> {
    locks.modified.first().or(locks.insert_only.first())
}

pub(crate) fn run_id(
    reader: &Reader,
    run: Option<&CollectionName>,
) -> Result<Option<RunId>, RegistryError> {
    let Some(run) = run else { return Ok(None) };
    Ok(reader.collection(run)?.map(|collection| collection.id))
}

/// The claim of a closing, as the database knows it.
pub(crate) struct Holding<'a> {
    pub(crate) butler: &'a DirectButler,
    pub(crate) opening: OpeningId,
    pub(crate) attempt: u32,
    pub(crate) run: Option<&'a CollectionName>,
}

impl Claim for Holding<'_> {
    fn confirm(&self) -> Result<Vec<FileRecord>, KindError> {
        let held = self.butler.registry().read(|reader| {
            let row = reader.opening(self.opening)?;
            if row.is_none_or(|row| row.attempt != self.attempt) {
                return Ok(None);
            }
            let Some(run) = self.run else { return Ok(Some(Vec::new())) };
            let query = DatasetQuery { runs: Some(vec![run.clone()]), ..DatasetQuery::default() };
            Ok::<_, RegistryError>(Some(reader.datasets(&query)?))
        });
        let rows = held.map_err(|e| KindError::Database(e.into()))?.ok_or(KindError::Superseded)?;
        Ok(rows.into_iter().flat_map(|row| row.records).collect())
    }

    fn confirm_unnamed(&self, keys: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError> {
        let unnamed = self.butler.registry().read(|reader| {
            let row = reader.opening(self.opening)?;
            if row.is_none_or(|row| row.attempt != self.attempt) {
                return Ok(None);
            }
            let mut unnamed = Vec::new();
            for key in keys {
                if reader.datasets_at(&key.clone().into())?.is_empty() {
                    unnamed.push(key);
                }
            }
            Ok::<_, RegistryError>(Some(unnamed))
        });
        unnamed.map_err(|e| KindError::Database(e.into()))?.ok_or(KindError::Superseded)
    }
}

/// Removes the root of a closed workspace. What cannot be removed now is left to
/// `workspace vacuum`: the transaction is closed in any case.
fn remove_workspace_root(root: &Utf8Path) {
    let removed = pantler_datastore::fs::remove_tree(root).is_ok();
    pantler_seam::step("close.root.removed");
    if let (true, Some(parent)) = (removed, root.parent()) {
        // Fails if another opening of the same name has its root there.
        drop(std::fs::remove_dir(parent));
    }
}
