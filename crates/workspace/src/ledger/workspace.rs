use std::sync::Arc;

use pantler_core::{DatasetType, DatasetTypeName, Universe};
use pantler_direct::Clock;

use super::{LedgerCounts, LedgerError, LedgerState, LedgerTypes, LedgerWriter};
use crate::{WorkspaceClient, WorkspaceError, kind::Source, layout};

/// An open workspace that a ledger fills, as its root describes it. Needs no database.
#[derive(Debug)]
pub struct LedgerWorkspace {
    client: WorkspaceClient,
    types: LedgerTypes,
}

impl LedgerWorkspace {
    /// Takes a workspace that was found ([`WorkspaceClient::find`]).
    ///
    /// # Errors
    /// [`LedgerError::NotALedger`], or [`LedgerError::NoTypes`] if its creation was cut off:
    /// [`restore`](Self::restore) finishes it.
    pub fn open(client: WorkspaceClient) -> Result<Self, LedgerError> {
        expect_ledger(&client)?;
        match LedgerTypes::read(client.root())? {
            Some(types) => Ok(Self { client, types }),
            None => Err(LedgerError::NoTypes { path: layout::ledger_types_file(client.root()) }),
        }
    }

    /// As [`open`](Self::open), of one whose creation may have been cut off: what is missing
    /// is made from what the database knows.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`WorkspaceError::Butler`].
    pub fn restore(
        butler: &pantler_direct::DirectButler,
        client: WorkspaceClient,
    ) -> Result<Self, WorkspaceError> {
        expect_ledger(&client)?;
        if LedgerTypes::read(client.root())?.is_none() {
            let opening = client.file().opening;
            let manifest = butler.registry().read(|reader| reader.manifest(opening))?;
            if manifest.is_empty() {
                return Err(WorkspaceError::ClosedMeanwhile(client.transaction().run.clone()));
            }
            LedgerTypes::write(client.root(), &manifest)?;
        }
        Ok(Self::open(client)?)
    }

    /// The workspace.
    pub fn client(&self) -> &WorkspaceClient {
        &self.client
    }

    /// The universe of its repository.
    pub fn universe(&self) -> &Arc<Universe> {
        self.types.universe()
    }

    /// A dataset type that was registered when the workspace was created.
    pub fn dataset_type(&self, name: &DatasetTypeName) -> Option<&Arc<DatasetType>> {
        self.types.dataset_type(name)
    }

    /// What was written so far.
    ///
    /// # Errors
    /// [`LedgerError`] naming file and line if a segment is damaged.
    pub fn state(&self) -> Result<LedgerState, LedgerError> {
        LedgerState::read(self.client.root(), self.universe())
    }

    /// How much was written so far.
    ///
    /// # Errors
    /// [`LedgerError`] naming file and line if a segment is damaged.
    pub fn counts(&self) -> Result<LedgerCounts, LedgerError> {
        Ok(self.state()?.counts())
    }

    /// Begins to write; others may at the same time. A closing waits until it is
    /// [finished](LedgerWriter::finish) or dropped.
    ///
    /// # Errors
    /// [`WorkspaceError::Closing`] if somebody closes the workspace.
    pub fn writer(&self, clock: &dyn Clock) -> Result<LedgerWriter, WorkspaceError> {
        LedgerWriter::begin(self, clock)
    }
}

fn expect_ledger(client: &WorkspaceClient) -> Result<(), LedgerError> {
    match client.transaction().source {
        Source::Ledger => Ok(()),
        Source::Graph => Err(LedgerError::NotALedger(client.transaction().run.clone())),
    }
}
