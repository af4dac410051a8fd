//! Opening, joining and taking over artifact transactions.

use camino::Utf8PathBuf;
use pantler_butler::transaction::{ArtifactTransaction, Open, OpenContext};
use pantler_core::{
    CollectionName, CollectionType, OpeningId, RunId, TransactionName,
    transaction::{Closing, TransactionRow},
};
use pantler_registry::{RegistryError, Writer};

use crate::{
    ButlerError, DirectButler, TransactionFile,
    close::{closing_run, run_id},
    environment::Liveness,
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
        let wanted = (transaction.kind(), transaction.data(transaction.manifest().as_deref()));
        match self.begin_with(name, opening, None, |_| Ok(transaction)) {
            Ok(open) => Ok(Begun::Opened(open)),
            Err(ButlerError::Registry(RegistryError::TransactionExists { row })) => {
                join(&wanted, *row)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a transaction that `build` describes from what it reads in the same
    /// database transaction, where nobody else writes. `closing` notes a claim to
    /// delete in the opening itself.
    ///
    /// # Errors
    /// [`RegistryError::TransactionExists`] if one of that name is open; those of
    /// `build`; and as [`Self::begin`].
    pub(crate) fn begin_with<T: ArtifactTransaction, E>(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        closing: Option<Closing>,
        build: impl FnOnce(&Writer) -> Result<T, E>,
    ) -> Result<Open<T>, E>
    where
        E: From<ButlerError> + From<RegistryError>,
    {
        let mut made = None;
        let opened = self.registry().write(|writer| {
            made = Some(self.enter_opening(writer, name, opening, closing, build)?);
            Ok(())
        });
        // The answer of the commit was lost: the row tells.
        if let Err(error) = opened {
            let Some((_, row, _)) = &made else { return Err(error) };
            match self.registry().read(|reader| reader.opening(row.opening)) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(error),
                Err(source) => {
                    return Err(ButlerError::OpenUnknown { name: name.clone(), source }.into());
                }
            }
        }
        let Some((transaction, row, run)) = made else {
            let reason = "the database did not run the opening".to_owned();
            let path = self.registry().path().to_owned();
            return Err(ButlerError::Config { path, reason }.into());
        };
        pantler_seam::step("open.row.committed");
        if transaction.is_workspace() {
            self.workspace_file(&row).map_err(|source| ButlerError::RootNotMade {
                name: name.clone(),
                source: Box::new(source),
            })?;
        }
        Ok(Open::new(row, run, transaction))
    }

    /// Does what [`Self::begin_with`] does in the database, and undoes it: all that would
    /// refuse the opening is found.
    ///
    /// # Errors
    /// As [`Self::begin_with`].
    pub(crate) fn try_begin<T: ArtifactTransaction, E>(
        &self,
        name: &TransactionName,
        opening: OpeningId,
        closing: Option<Closing>,
        build: impl FnOnce(&Writer) -> Result<T, E>,
    ) -> Result<(), E>
    where
        E: From<ButlerError> + From<RegistryError>,
    {
        let tried = self.registry().write(|writer| {
            let opened = self.enter_opening(writer, name, opening, closing, build);
            match opened {
                Ok(_) => Err::<(), _>(Tried::Undone),
                Err(error) => Err(Tried::Failed(error)),
            }
        });
        match tried {
            Ok(()) | Err(Tried::Undone) => Ok(()),
            Err(Tried::Failed(error)) => Err(error),
        }
    }

    /// The rows of an opening, and the RUN that it locks first.
    fn enter_opening<T: ArtifactTransaction, E>(
        &self,
        writer: &Writer,
        name: &TransactionName,
        opening: OpeningId,
        closing: Option<Closing>,
        build: impl FnOnce(&Writer) -> Result<T, E>,
    ) -> Result<(T, TransactionRow, Option<RunId>), E>
    where
        E: From<ButlerError> + From<RegistryError>,
    {
        let environment = self.environment();
        let now = environment.clock.now();
        // A name made for this opening is nobody else's; and the insert looks again.
        let is_own = name.as_str().ends_with(&opening.to_string());
        if !is_own && let Some(row) = writer.transaction(name)? {
            return Err(RegistryError::TransactionExists { row: Box::new(row) }.into());
        }
        let transaction = build(writer)?;
        let mut context = OpenContext::default();
        transaction
            .begin(&mut context)
            .map_err(|source| ButlerError::Begin { name: name.clone(), source })?;
        let manifest = transaction.manifest();
        let row = TransactionRow {
            name: name.clone(),
            kind: transaction.kind().to_owned(),
            data: transaction.data(manifest.as_deref()),
            owner: environment.owner.clone(),
            opening,
            attempt: 1,
            closing,
            process: environment.process.clone(),
            opened_at: now,
            config_version: self.datastore().config().version,
        };
        let locks = transaction.locks();
        writer.insert_transaction(&row, &locks, manifest.as_deref())?;
        drop(manifest);
        writer.apply(&context.into_changes(), now)?;
        let run = run_id(writer, closing_run(&locks))?;
        Ok((transaction, row, run))
    }

    /// Takes over an open transaction to go on writing its artifacts: claims a new
    /// attempt, so that the former holder cannot close it any more, and new keys.
    ///
    /// # Errors
    /// [`ButlerError::Held`] if its holder may still be at work and `take_over` is
    /// not given; [`ButlerError::ClosingBegan`] after a revert or abandon began.
    pub fn take_over<T: ArtifactTransaction>(
        &self,
        row: &TransactionRow,
        transaction: T,
        take_over: bool,
    ) -> Result<Open<T>, ButlerError> {
        self.check_holder(row, take_over)?;
        if let Some(closing) = row.closing
            && closing != Closing::Commit
        {
            return Err(ButlerError::ClosingBegan { name: row.name.clone(), closing });
        }
        let process = &self.environment().process;
        let (attempt, run) = self.registry().write(|writer| {
            let attempt = writer.claim(&row.name, row.opening, row.attempt, None, process, None)?;
            Ok::<_, RegistryError>((attempt, run_id(writer, closing_run(&transaction.locks()))?))
        })?;
        pantler_seam::step("takeover.claimed");
        let row =
            TransactionRow { attempt, closing: None, process: process.clone(), ..row.clone() };
        Ok(Open::new(row, run, transaction))
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

/// Why a tried opening is not committed.
enum Tried<E> {
    Undone,
    Failed(E),
}

impl<E: From<RegistryError>> From<RegistryError> for Tried<E> {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a second opener of a name gets.
fn join<T>(wanted: &(&str, String), existing: TransactionRow) -> Result<Begun<T>, ButlerError> {
    if existing.kind == wanted.0 && existing.data == wanted.1 {
        return Ok(Begun::Joined(existing));
    }
    Err(ButlerError::NameInUse {
        name: existing.name,
        owner: existing.owner,
        process: existing.process,
        opened_at: existing.opened_at,
    })
}
