//! Errors of the repository and its verbs.

use pantler_butler::transaction::KindError;
use pantler_core::DataId;
use pantler_datastore::{Corruption, DatastoreError, StorageError};
use pantler_direct::{
    ButlerError, CloseError, CreateError, IndexFileError, RecordFileError, RemoveError, StoreError,
    TransferError, check::CheckError, repair::RepairError,
};
use pantler_registry::RegistryError;

use super::{Next, ROOM, Sorted, Status, WRITABLE};
use crate::error::quoted;

pub(super) fn registry(error: &RegistryError) -> Sorted {
    let unchanged = Sorted::unchanged();
    match error {
        RegistryError::CommitUnknown { .. } => Sorted::unknown(None),
        RegistryError::Busy { .. } | RegistryError::Serialization { .. } => {
            unchanged.then(Next::plain("the same command again"))
        }
        RegistryError::Corrupt { .. } => unchanged.then(Next::command("check")),
        RegistryError::ReadOnly { .. } => unchanged.then(Next::plain(WRITABLE)),
        RegistryError::Full { .. } => unchanged.then(Next::plain(ROOM)),
        RegistryError::Missing { .. }
        | RegistryError::NotADatabase { .. }
        | RegistryError::NotARegistry { .. } => unchanged
            .then(Next::plain("put the database back, or restore the repository from a backup")),
        RegistryError::UnknownCollection { .. } => {
            unchanged.then(Next::command("query collections"))
        }
        RegistryError::UnknownDatasetType { .. } | RegistryError::UnusedDimension { .. } => {
            unchanged.then(Next::command("query dataset-types"))
        }
        RegistryError::RunLocked { transaction, .. }
        | RegistryError::UnstoredInLockedRun { transaction, .. }
        | RegistryError::TypeMayBeUsed { transaction, .. }
        | RegistryError::TransactionsOpen { transaction } => {
            unchanged.then(Next::command(format_args!("transaction show {transaction}")))
        }
        RegistryError::Tagged { dataset, collection } => {
            unchanged.then(Next::command(format_args!("collection untag {collection} {dataset}")))
        }
        RegistryError::TagConflict { collection, existing, .. } => unchanged
            .then(Next::command(format_args!("collection untag {collection} {}", existing.id))),
        RegistryError::InChain { chain, .. } => {
            unchanged.then(Next::command(format_args!("collection show {chain}")))
        }
        RegistryError::RemovesRun { name } => {
            unchanged.then(Next::command(format_args!("remove-run {name}")))
        }
        RegistryError::TypeInUse { name, .. } => {
            unchanged.then(Next::command(format_args!("query datasets {name}")))
        }
        RegistryError::DatasetType(_) => unchanged.then(Next::command("dataset-type list")),
        RegistryError::RecordConflict { element, .. } => {
            unchanged.then(Next::command(format_args!("record list {element}")))
        }
        RegistryError::MissingDimensionRecord { element, data_id } => unchanged
            .then(Next::command(format_args!("record insert {element} {}", assignments(data_id)))),
        RegistryError::TransactionExists { row } => {
            unchanged.then(Next::command(format_args!("transaction show {}", row.name)))
        }
        _ => unchanged,
    }
}

/// A data ID as the arguments of a command.
pub(super) fn assignments(data_id: &DataId) -> String {
    let assigned = data_id.iter().map(|(name, value)| quoted(&format!("{name}={value}")));
    assigned.collect::<Vec<_>>().join(" ")
}

pub(super) fn datastore(error: &DatastoreError) -> Sorted {
    match error {
        DatastoreError::Corrupt { reason: Corruption::Checksum { .. }, .. } => {
            Sorted::unchanged().then(Next::command("check --checksum"))
        }
        DatastoreError::Missing { .. } | DatastoreError::Corrupt { .. } => {
            Sorted::unchanged().then(Next::command("check"))
        }
        _ => Sorted::unchanged(),
    }
}

pub(super) fn storage(_: &StorageError) -> Sorted {
    Sorted::unchanged()
}

pub(super) fn record_file(_: &RecordFileError) -> Sorted {
    Sorted::unchanged()
}

pub(super) fn check(error: &CheckError) -> Sorted {
    match error {
        CheckError::Registry(source) => registry(source),
        CheckError::Storage { .. } => Sorted::unchanged(),
    }
}

pub(super) fn repair(error: &RepairError) -> Sorted {
    let sorted = match error {
        RepairError::Check(source) => check(source),
        RepairError::Registry(source) => registry(source),
        RepairError::Quarantine(_) => Sorted::unchanged(),
    };
    // What was said to be done is done; a repair goes on where another ended.
    Sorted {
        state: "the repository is consistent as it stands; what was moved is in its quarantine"
            .to_owned(),
        next: Some(Next::command("check --repair")),
        ..sorted
    }
}

pub(super) fn butler(error: &ButlerError) -> Sorted {
    match error {
        ButlerError::Registry(source) => registry(source),
        ButlerError::Datastore(source) => datastore(source),
        ButlerError::OpenUnknown { name, .. } => Sorted::unknown(Some(name)),
        ButlerError::RootNotMade { name, .. } | ButlerError::Held { name, .. } => {
            Sorted::open(name)
        }
        ButlerError::ClosingBegan { name, closing } => Sorted::open(name)
            .then(Next::command(format_args!("transaction {} {name}", closing.verb()))),
        ButlerError::NameInUse { name, .. } | ButlerError::Decode { name, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("transaction show {name}")))
        }
        ButlerError::NoTransaction(_) => {
            Sorted::unchanged().then(Next::command("transaction list"))
        }
        ButlerError::NotARepository(root) => Sorted::unchanged()
            .then(Next::plain(format!("pantler init {} --universe FILE", quoted(root.as_str())))),
        _ => Sorted::unchanged(),
    }
}

pub(super) fn index_file(_: &IndexFileError) -> Sorted {
    Sorted::unchanged()
}

pub(super) fn close(error: &CloseError) -> Sorted {
    match error {
        CloseError::NoTransaction(_) => Sorted::unchanged().then(Next::command("transaction list")),
        CloseError::AlreadyClosed { name, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("transaction show {name}")))
        }
        CloseError::Held { name, .. }
        | CloseError::Door { name, .. }
        | CloseError::Decode { name, .. } => Sorted::open(name),
        CloseError::StillOpen { name, closing, workspace, source } => {
            let unfinished = matches!(source, KindError::Unfinished(_));
            Sorted {
                status: if unfinished { Status::QuantaFailed } else { Status::LeftOpen },
                ..Sorted::open(name)
            }
            .then(if let KindError::Incomplete(_) = source {
                // The same again would find the same.
                Next::one_of(
                    [if *workspace {
                        Next::command(format_args!("workspace run {name}"))
                    } else {
                        Next::plain("the command that opened it, which stores what is missing")
                    }]
                    .into_iter()
                    .chain(
                        ["revert", "abandon"]
                            .map(|verb| Next::command(format_args!("transaction {verb} {name}"))),
                    ),
                )
            } else if let KindError::Changed(_) = source {
                Next::one_of([
                    Next::plain("put back what was written"),
                    Next::command(format_args!("workspace reset {name} UUID…")),
                    Next::command(format_args!("workspace revert {name}")),
                ])
            } else if unfinished {
                // Only workspaces have work that can be unfinished.
                Next::one_of(
                    [("run", ""), ("commit", " --partial"), ("revert", ""), ("abandon", "")].map(
                        |(verb, flag)| Next::command(format_args!("workspace {verb} {name}{flag}")),
                    ),
                )
            } else if let (KindError::Unreadable(..), true) = (source, workspace) {
                // The same again would find the same.
                Next::one_of([
                    Next::plain("put the file back as it was"),
                    Next::command(format_args!("workspace revert {name}")),
                    Next::command(format_args!("workspace abandon {name}")),
                ])
            } else if let KindError::Final(_) = source {
                Next::one_of(
                    ["commit", "abandon"]
                        .map(|verb| Next::command(format_args!("transaction {verb} {name}"))),
                )
            } else if let KindError::Deleted(_) = source {
                Next::command(format_args!("transaction abandon {name}"))
            } else {
                Next::command(format_args!("transaction {} {name}", closing.verb()))
            })
        }
        CloseError::Rows { name, closing, .. } => Sorted::open(name)
            .then(Next::command(format_args!("transaction {} {name}", closing.verb()))),
        CloseError::Superseded(name) => Sorted {
            state: "the other process decides how it ends".to_owned(),
            ..Sorted::open(name)
        },
        CloseError::Unknown { name, .. } => Sorted::unknown(Some(name)),
        // Whatever failed, it did not close it.
        CloseError::Around { name, closing, source } => {
            let again = || Next::command(format_args!("transaction {} {name}", closing.verb()));
            Sorted::open(name).then(butler(source).next.unwrap_or_else(again))
        }
        CloseError::Butler(source) => butler(source),
    }
}

pub(super) fn create(error: &CreateError) -> Sorted {
    match error {
        CreateError::Registry { source, .. } => registry(source),
        CreateError::Butler(source) => butler(source),
        _ => Sorted::unchanged(),
    }
}

pub(super) fn store(error: &StoreError) -> Sorted {
    match error {
        StoreError::Managed { transaction, .. } | StoreError::KeyTaken { transaction, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("transaction show {transaction}")))
        }
        StoreError::Differs { existing, .. } => Sorted::unchanged().then(Next::one_of([
            Next::command(format_args!("get {existing}")),
            Next::plain("another RUN or data ID for the new content"),
        ])),
        StoreError::OtherId { existing, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("get {existing}")))
        }
        StoreError::OtherWork { row } => Sorted::open(&row.name).then(Next::one_of(
            ["commit", "revert", "abandon", "show"]
                .map(|verb| Next::command(format_args!("transaction {verb} {}", row.name))),
        )),
        StoreError::Undone { .. } => {
            Sorted { state: "the repository is as it was before".to_owned(), ..Sorted::unchanged() }
        }
        StoreError::Stopped { .. } => Sorted {
            status: Status::Stopped,
            state: "the repository is as it was before".to_owned(),
            next: None,
        },
        StoreError::LeftOpen { name, source, .. } => match &**source {
            CloseError::Unknown { .. } => Sorted::unknown(Some(name)),
            _ => Sorted::open(name),
        },
        StoreError::NotClosed { source, .. } => close(source),
        StoreError::Unstored { count, source, .. } => Sorted {
            state: format!("{count} datasets are registered only; nothing else was changed"),
            next: Some(Next::plain("the same command again")),
            ..store(source)
        },
        StoreError::ClosedWithout { .. } => Sorted {
            state: "the transaction is closed; the files are where they were".to_owned(),
            next: Some(Next::plain("the same command again")),
            ..Sorted::unchanged()
        },
        StoreError::SessionEnded { .. } => Sorted {
            state: "what the session said to be stored is stored".to_owned(),
            next: Some(Next::plain("the same command again")),
            ..Sorted::unchanged()
        },
        StoreError::SessionOpen { name, .. } => Sorted {
            state: format!("put session {name} is open; what it said to be stored is stored"),
            ..Sorted::open(name).then(Next::command(format_args!("transaction commit {name}")))
        },
        StoreError::OnlyAdds { .. } => Sorted::unchanged()
            .then(Next::plain("`pantler put` of it, which stores it again, after the session")),
        StoreError::PutUnknown { name, .. } => Sorted::unknown(Some(name)),
        StoreError::Butler(source) => butler(source),
        StoreError::MissingRecord { element, data_id, .. } => Sorted::unchanged()
            .then(Next::command(format_args!("record insert {element} {data_id} FIELD=VALUE…"))),
        StoreError::Source { .. }
        | StoreError::NoDataset { .. }
        | StoreError::NotInPlace { .. }
        | StoreError::OfARun { .. }
        | StoreError::InTheRepository { .. }
        | StoreError::Overlap { .. }
        | StoreError::Twice { .. }
        | StoreError::Mixed { .. } => Sorted::unchanged(),
    }
}

/// In a project, what to do is said in its terms.
pub(super) fn project_ingest(error: &StoreError) -> Sorted {
    match error {
        StoreError::Differs { .. } => Sorted::unchanged().then(Next::one_of([
            Next::plain("give the changed file another data ID"),
            Next::plain("give the project another `name`: it then ingests into a RUN of its own"),
        ])),
        StoreError::Undone { .. } => Sorted {
            state: "the repository is as before the ingest".to_owned(),
            ..Sorted::unchanged()
        },
        other => store(other),
    }
}

pub(super) fn remove(error: &RemoveError) -> Sorted {
    match error {
        RemoveError::Input { workspace, .. } => Sorted::unchanged().then(Next::one_of([
            Next::command(format_args!("workspace commit {workspace}")),
            Next::plain("the same command with --force, if the workspace need not read it"),
        ])),
        RemoveError::InChain { run, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("remove-run {run} --unlink")))
        }
        RemoveError::NotARun { name, .. } => {
            Sorted::unchanged().then(Next::command(format_args!("collection remove {name}")))
        }
        RemoveError::NotClosed { source } => close(source),
        RemoveError::Butler(source) => butler(source),
    }
}

pub(super) fn transfer(error: &TransferError) -> Sorted {
    match error {
        TransferError::Store(source) => store(source),
        TransferError::OtherUniverse { .. }
        | TransferError::NotStored { .. }
        | TransferError::Mode(_)
        | TransferError::Source { .. } => Sorted::unchanged(),
    }
}
