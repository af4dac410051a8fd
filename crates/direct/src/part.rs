//! Entering a part of what a transaction is for, while it stays open: close and open again
//! in one database transaction.
//!
//! | step | a kill after it leaves | who finishes |
//! | --- | --- | --- |
//! | claim (one database transaction) | open, attempt + 1, closing by commit noted | the same call, or any closing |
//! | storage work of the caller | open, artifacts under keys of this attempt | the same: the next attempt has keys of its own |
//! | rows: changes in, data replaced, claim ended (one database transaction) | open, the part entered | – |

use pantler_butler::transaction::{
    ArtifactTransaction, ClosingFacts, CommitContext, KindError, decide,
};
use pantler_core::{
    CollectionName,
    changes::Changes,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::key::run_prefix;
use pantler_registry::RegistryError;

use crate::{
    ButlerError, CloseError, CloseOptions, DirectButler,
    artifacts::DatastoreView,
    close::{Holding, ROW_TRIES, closing_run},
};

impl DirectButler {
    /// Enters a part of what a transaction is for, and leaves it open with other data. `work`
    /// does what is to be done to storage, collects the rows, and returns those data.
    ///
    /// The caller keeps others off that would enter parts or close it at the same time; should
    /// one do so all the same, the one that claimed last succeeds.
    ///
    /// # Errors
    /// [`CloseError`]: the transaction is open, or [`CloseError::Unknown`].
    pub fn commit_part(
        &self,
        row: &TransactionRow,
        transaction: &dyn ArtifactTransaction,
        options: CloseOptions,
        work: impl FnOnce(&mut CommitContext<'_>) -> Result<String, KindError>,
    ) -> Result<(), CloseError> {
        let (name, closing) = (&row.name, Closing::Commit);
        let current = self.datastore().config().version;
        if row.config_version != current {
            let given = row.config_version;
            return Err(RegistryError::ConfigVersion { current, given }.into());
        }
        decide(row.closing, closing, false, true)
            .map_err(|source| CloseError::Door { name: name.clone(), source })?;
        // Whoever opened it may live on: it is at work only while it closes.
        if row.closing.is_some() {
            match self.check_holder(row, options.take_over) {
                Err(ButlerError::Held { name, process }) => {
                    return Err(CloseError::Held { name, process });
                }
                other => other?,
            }
        }
        let locks = transaction.locks();
        let run = closing_run(&locks);
        let (attempt, run_id) = self.claim(row, closing, false, run)?;
        let claimed = TransactionRow { attempt, ..row.clone() };
        let prefix = match (run, run_id) {
            (Some(run), Some(id)) => run_prefix(run, id).as_str().to_owned(),
            _ => String::new(),
        };
        let root = CollectionName::new(name.as_str())
            .ok()
            .map(|run| self.workspace_root(&run, row.opening));
        let facts = ClosingFacts {
            opening: row.opening,
            attempt,
            past_the_door: false,
            partial: options.partial,
            verify: options.verify,
            run_prefix: &prefix,
            root: root.as_deref(),
        };
        let claim = Holding { butler: self, opening: row.opening, attempt, run };
        let artifacts = DatastoreView(self.datastore());
        let mut context = CommitContext::new(facts, &artifacts, &claim);
        let worked = work(&mut context);
        let (changes, guards) = context.into_parts();
        let entered = match worked {
            Ok(data) => {
                pantler_seam::step("part.storage.done");
                self.enter_part_rows(&claimed, &data, &changes)
            }
            Err(KindError::Superseded) => Err(CloseError::Superseded(name.clone())),
            Err(_) if self.is_overtaken(row, attempt) => Err(CloseError::Superseded(name.clone())),
            Err(source) => {
                let (name, workspace) = (name.clone(), transaction.is_workspace());
                Err(CloseError::StillOpen { name, closing, workspace, source })
            }
        };
        if entered.as_ref().is_err_and(CloseError::stays_open) {
            // It is at work no more. Nobody needs to be told if that cannot be noted: the
            // claim is that of a process that will end.
            drop(self.registry().write(|writer| writer.end_claim(&claimed, &row.data)));
        }
        drop(guards);
        entered
    }

    /// If the answer is lost, the row tells what happened; if it cannot be read, the outcome
    /// is unknown.
    fn enter_part_rows(
        &self,
        row: &TransactionRow,
        data: &str,
        changes: &Changes,
    ) -> Result<(), CloseError> {
        let now = self.environment().clock.now();
        let mut tries = 0;
        let source = loop {
            let result = self.registry().write(|writer| writer.enter_part(row, data, changes, now));
            tries += 1;
            match result {
                Ok(()) => {
                    pantler_seam::step("part.rows.committed");
                    return Ok(());
                }
                Err(RegistryError::Serialization { .. }) if tries < ROW_TRIES => {}
                Err(error) => break error,
            }
        };
        let (name, closing) = (row.name.clone(), Closing::Commit);
        match self.registry().read(|reader| reader.opening(row.opening)) {
            Ok(Some(now)) if now.attempt == row.attempt && now.data == data => Ok(()),
            Ok(Some(now)) if now.attempt == row.attempt => {
                Err(CloseError::Rows { name, closing, source })
            }
            Ok(_) => Err(CloseError::Superseded(name)),
            Err(_) => Err(CloseError::Unknown { name, closing, source }),
        }
    }
}
