//! Opening, joining and taking over artifact transactions.

use camino::Utf8PathBuf;
use pantler_butler::transaction::{ArtifactTransaction, Open, OpenContext};
use pantler_core::{
    CollectionName, CollectionType, OpeningId, TransactionName, transaction::TransactionRow,
};
use pantler_registry::RegistryError;

use crate::{
    ButlerError, DirectButler, TransactionFile, environment::Liveness,
    transaction_file::TransactionFileError,
};

/// What came of asking for a transaction to be opened.
#[derive(Debug)]
pub enum Begun<T> {
    /// This call opened it, and may write its artifacts.
    Opened(Open<T>),
    /// An identical one is open already: the caller may look at it or close it, not write.
    Joined(TransactionRow),
}

impl DirectButler {
    /// Opens a transaction in one database transaction: locks, what its kind
    /// registers, manifest, row. A workspace then gets its root and
    /// `transaction.json`; a kill before that leaves an open transaction whose root
    /// the next client makes ([`Self::workspace_file`]).
    ///
    /// # Errors
    /// [`ButlerError`]; nothing is open then, except after a failure to write the
    /// workspace root, which leaves the transaction open and is reported as `Storage`.
    pub fn begin<T: ArtifactTransaction>(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        transaction: T,
    ) -> Result<Begun<T>, ButlerError> {
        let mut context = OpenContext::default();
        transaction
            .begin(&mut context)
            .map_err(|source| ButlerError::Begin { name: name.clone(), source })?;
        let changes = context.into_changes();
        let manifest = transaction.manifest();
        let environment = self.environment();
        let now = environment.clock.now();
        let row = TransactionRow {
            name: name.clone(),
            kind: transaction.kind().to_owned(),
            data: transaction.data(),
            owner: environment.owner.clone(),
            opening,
            attempt: 1,
            closing: None,
            process: environment.process.clone(),
            opened_at: now,
            config_version: self.datastore().config().version,
        };
        let expected = transaction.expected_runs();
        let opened = self.registry().write(|writer| {
            for (run, id) in &expected {
                if writer.collection(run)?.map(|collection| collection.id) != Some(*id) {
                    return Err(RegistryError::UnknownCollection { name: run.clone() });
                }
            }
            writer.insert_transaction(&row, &transaction.locks(), manifest.as_deref())?;
            writer.apply(&changes, now)
        });
        match opened {
            Ok(()) => {}
            Err(RegistryError::TransactionExists { row: existing }) => {
                return join(&row, *existing);
            }
            // The answer of the commit was lost: the row tells.
            Err(error @ RegistryError::CommitUnknown { .. }) => {
                let looked = self.registry().read(|reader| reader.opening(opening));
                match looked {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(error.into()),
                    Err(_) => {
                        return Err(ButlerError::OpenUnknown { name: name.clone(), source: error });
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        pantler_seam::step("open.row.committed");
        if transaction.is_workspace() {
            self.workspace_file(&row).map_err(|source| ButlerError::RootNotMade {
                name: name.clone(),
                source: Box::new(source),
            })?;
        }
        Ok(Begun::Opened(Open::new(name.clone(), opening, 1, transaction)))
    }

    /// Takes over an open transaction to go on writing its artifacts: claims a new
    /// attempt, so that the former holder cannot close it any more, and new keys.
    ///
    /// # Errors
    /// [`ButlerError::Held`] if its holder may still be at work and `take_over` is
    /// not given; [`ButlerError::ClosingBegan`] after a revert or abandon began.
    pub fn take_over<T>(
        &self,
        row: &TransactionRow,
        transaction: T,
        take_over: bool,
    ) -> Result<Open<T>, ButlerError> {
        self.check_holder(row, take_over)?;
        if let Some(closing) = row.closing
            && closing != pantler_core::transaction::Closing::Commit
        {
            return Err(ButlerError::ClosingBegan { name: row.name.clone(), closing });
        }
        let attempt = self.registry().write(|writer| {
            let process = &self.environment().process;
            writer.claim(&row.name, row.opening, row.attempt, None, process, None)
        })?;
        pantler_seam::step("takeover.claimed");
        Ok(Open::new(row.name.clone(), row.opening, attempt, transaction))
    }

    /// Refuses if another process that may still be at work holds the transaction.
    pub(crate) fn check_holder(
        &self,
        row: &TransactionRow,
        take_over: bool,
    ) -> Result<(), ButlerError> {
        match self.environment().liveness(&row.process) {
            Liveness::Alive | Liveness::Unknown if !take_over => {
                Err(ButlerError::Held { name: row.name.clone(), process: row.process.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The `transaction.json` of an open workspace transaction and the root it is
    /// in, made from the database if they are missing.
    ///
    /// # Errors
    /// [`ButlerError`] if it can be neither read nor made.
    pub fn workspace_file(
        &self,
        row: &TransactionRow,
    ) -> Result<(Utf8PathBuf, TransactionFile), ButlerError> {
        let invalid = |reason: String| ButlerError::Config {
            path: Utf8PathBuf::from(row.name.as_str()),
            reason,
        };
        let run = CollectionName::new(row.name.as_str()).map_err(|e| invalid(e.to_string()))?;
        let root = self.workspace_root(&run, row.opening);
        match TransactionFile::read(&root) {
            Ok(Some(file)) => return Ok((root, file)),
            Ok(None) => {}
            Err(TransactionFileError::Io { path, source }) => {
                return Err(ButlerError::Io { path, source });
            }
            Err(error) => return Err(invalid(error.to_string())),
        }
        let collection = self.registry().read(|reader| reader.collection(&run))?;
        let run_id = collection
            .filter(|c| c.collection_type == CollectionType::Run)
            .map(|c| c.id)
            .ok_or_else(|| invalid(format!("its RUN {run} does not exist")))?;
        let file = TransactionFile {
            name: row.name.clone(),
            kind: row.kind.clone(),
            opening: row.opening,
            opened_at: row.opened_at,
            run,
            run_id,
            data: row.data.clone(),
            datastore: self.datastore().config().clone(),
        };
        std::fs::create_dir_all(&root)
            .map_err(|source| ButlerError::Io { path: root.clone(), source })?;
        for folder in root.ancestors().skip(1).take(2) {
            pantler_datastore::fs::sync_dir(folder)?;
        }
        file.write(&root)?;
        pantler_seam::step("open.workspace.written");
        Ok((root, file))
    }
}

/// What a second opener of a name gets.
fn join<T>(wanted: &TransactionRow, existing: TransactionRow) -> Result<Begun<T>, ButlerError> {
    if existing.kind == wanted.kind && existing.data == wanted.data {
        return Ok(Begun::Joined(existing));
    }
    Err(ButlerError::NameInUse {
        name: existing.name,
        owner: existing.owner,
        process: existing.process,
    })
}
