//! Sorts the errors of the libraries: exit status, state, way on.

mod external;
mod ledger;
mod repository;
mod shards;
mod workspace;

use std::{error::Error, io};

use pantler_core::{DataIdError, TransactionName};
use pantler_datastore::{DatastoreError, StorageError};
use pantler_direct::{
    ButlerError, CloseError, CreateError, IndexFileError, RecordFileError, RemoveError, StoreError,
    TransferError, check::CheckError, repair::RepairError,
};
use pantler_registry::RegistryError;
use pantler_workspace::{WorkspaceError, ledger::LedgerError, project::ProjectError};

pub(crate) use self::workspace::activate_producer;
use self::{
    repository::{
        butler, check, close, create, datastore, index_file, record_file, registry, remove, repair,
        storage, store, transfer,
    },
    workspace::{project, workspace},
};
use super::{CommandError, Next, Status};
use crate::{arguments::ValuesError, output::OutputError};

/// What an error means for the program.
struct Sorted {
    status: Status,
    state: String,
    next: Option<Next>,
}

impl Sorted {
    fn unchanged() -> Self {
        Self { status: Status::Failed, state: super::UNCHANGED.to_owned(), next: None }
    }

    fn unknown(name: Option<&TransactionName>) -> Self {
        Self {
            status: Status::Unknown,
            state: "nothing was deleted because of this; what was written is kept".to_owned(),
            next: Some(match name {
                Some(name) => Next::command(format_args!("transaction show {name}")),
                None => Next::command("check"),
            }),
        }
    }

    fn open(name: &TransactionName) -> Self {
        Self {
            status: Status::LeftOpen,
            state: format!("transaction {name} is open"),
            next: Some(Next::command(format_args!("transaction show {name}"))),
        }
    }

    fn then(mut self, next: Next) -> Self {
        self.next = Some(next);
        self
    }
}

macro_rules! sorted_by {
    ($($error:ty => $sort:path),+ $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                let Sorted { status, state, next } = $sort(&error);
                let next = next.or_else(|| after_system_error(&error));
                Self { status, error: error.into(), state: Some(state), next }
            }
        }
    )+};
}

sorted_by! {
    RegistryError => registry,
    ButlerError => butler,
    CloseError => close,
    CreateError => create,
    StoreError => store,
    RemoveError => remove,
    TransferError => transfer,
    WorkspaceError => workspace,
    LedgerError => ledger::ledger,
    ProjectError => project,
    DatastoreError => datastore,
    StorageError => storage,
    RecordFileError => record_file,
    IndexFileError => index_file,
    CheckError => check,
    RepairError => repair,
}

const WRITABLE: &str = "let it be written to; then the same command again";
const ROOM: &str = "make room; then the same command again";

/// What helps if the system refused something, and nothing better is known.
fn after_system_error(error: &(dyn Error + 'static)) -> Option<Next> {
    let mut cause = error;
    let system = loop {
        match cause.downcast_ref::<io::Error>() {
            Some(system) => break system,
            None => cause = cause.source()?,
        }
    };
    match system.kind() {
        io::ErrorKind::PermissionDenied => {
            Some(Next::plain("give the right to that; then the same command again"))
        }
        io::ErrorKind::ReadOnlyFilesystem => Some(Next::plain(WRITABLE)),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Next::plain(ROOM)),
        _ => None,
    }
}

impl From<ValuesError> for CommandError {
    fn from(error: ValuesError) -> Self {
        Self::usage(error)
    }
}

impl From<DataIdError> for CommandError {
    fn from(error: DataIdError) -> Self {
        Self::usage(error)
    }
}

impl From<OutputError> for CommandError {
    fn from(error: OutputError) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests;
