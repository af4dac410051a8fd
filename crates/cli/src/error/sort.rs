//! Sorts the errors of the libraries: exit status, state, way on.

mod external;
mod ledger;
mod shards;

use std::{error::Error, fmt, io};

use pantler_butler::transaction::KindError;
use pantler_core::{CollectionName, DataIdError, TaskLabel, TransactionName};
use pantler_datastore::{Corruption, DatastoreError, StorageError};
use pantler_direct::{
    ButlerError, CloseError, CreateError, IndexFileError, RecordFileError, RemoveError, StoreError,
    TransferError, check::CheckError, repair::RepairError,
};
use pantler_exec::{
    JournalError, LockError, RunError, TakeOverError, transitions::TransitionError,
};
use pantler_graph::BuildError;
use pantler_registry::RegistryError;
use pantler_workspace::{
    DevelopmentError, MissingInitInput, WorkspaceError, ledger::LedgerError, project::ProjectError,
};

use super::{CommandError, Next, Status, quoted};
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

fn registry(error: &RegistryError) -> Sorted {
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
        RegistryError::MissingDimensionRecord { element, .. } => {
            unchanged.then(Next::command(format_args!("record insert {element} KEY=VALUE…")))
        }
        RegistryError::TransactionExists { row } => {
            unchanged.then(Next::command(format_args!("transaction show {}", row.name)))
        }
        _ => unchanged,
    }
}

fn datastore(error: &DatastoreError) -> Sorted {
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

fn storage(_: &StorageError) -> Sorted {
    Sorted::unchanged()
}

fn record_file(_: &RecordFileError) -> Sorted {
    Sorted::unchanged()
}

fn check(error: &CheckError) -> Sorted {
    match error {
        CheckError::Registry(source) => registry(source),
        CheckError::Storage { .. } => Sorted::unchanged(),
    }
}

fn repair(error: &RepairError) -> Sorted {
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

fn butler(error: &ButlerError) -> Sorted {
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

fn index_file(_: &IndexFileError) -> Sorted {
    Sorted::unchanged()
}

fn close(error: &CloseError) -> Sorted {
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

fn create(error: &CreateError) -> Sorted {
    match error {
        CreateError::Registry { source, .. } => registry(source),
        CreateError::Butler(source) => butler(source),
        _ => Sorted::unchanged(),
    }
}

fn store(error: &StoreError) -> Sorted {
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
        StoreError::Butler(source) => butler(source),
        StoreError::MissingRecord { element, .. } => Sorted::unchanged()
            .then(Next::command(format_args!("record insert {element} KEY=VALUE…"))),
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
fn project_ingest(error: &StoreError) -> Sorted {
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

fn remove(error: &RemoveError) -> Sorted {
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

fn transfer(error: &TransferError) -> Sorted {
    match error {
        TransferError::Store(source) => store(source),
        TransferError::OtherUniverse { .. }
        | TransferError::NotStored { .. }
        | TransferError::Mode(_)
        | TransferError::Source { .. } => Sorted::unchanged(),
    }
}

fn transition(error: &TransitionError) -> Sorted {
    let left_open = |state: &str| Sorted {
        status: Status::LeftOpen,
        state: state.to_owned(),
        next: Some(Next::plain("the same command again")),
    };
    match error {
        TransitionError::Write(_) => {
            left_open("the workspace is open; what the journal holds of this counts")
        }
        TransitionError::Delete(_) => left_open("the workspace is open; the quanta count as built"),
        _ => Sorted::unchanged(),
    }
}

fn workspace(error: &WorkspaceError) -> Sorted {
    let unchanged = Sorted::unchanged();
    match error {
        WorkspaceError::NoWorkspace(_) | WorkspaceError::ClosedMeanwhile(_) => {
            unchanged.then(Next::command("workspace list"))
        }
        WorkspaceError::NameOfChain { workspace, .. } => unchanged.then(Next::one_of([
            Next::plain("take another name"),
            Next::command(format_args!("workspace commit {workspace}")),
        ])),
        WorkspaceError::RunExists(_) => unchanged.then(Next::plain(
            "take another name; with {time} in it, such as NAME/{time}, each run makes its own",
        )),
        WorkspaceError::NameInUse { name, .. }
        | WorkspaceError::NoShards(name)
        | WorkspaceError::NotAShard { name, .. } => {
            unchanged.then(Next::command(format_args!("workspace status {name}")))
        }
        WorkspaceError::NotAWorkspace { name, .. } => {
            unchanged.then(Next::command(format_args!("transaction show {name}")))
        }
        WorkspaceError::NotBuilt(_)
        | WorkspaceError::NotActive { .. }
        | WorkspaceError::PipelineReplaced(_)
        | WorkspaceError::GraphGap { .. } => unchanged.then(other_graph(error)),
        WorkspaceError::Build(BuildError::Prerequisites(_)) => unchanged.then(prerequisites()),
        WorkspaceError::MissingInitInput(missing) => unchanged.then(missing_init_input(missing)),
        WorkspaceError::SkipInOwnRun(name) => unchanged.then(Next::plain(format!(
            "`pantler workspace run {name}` passes over what it has made itself; name other collections"
        ))),
        WorkspaceError::InputsGrew { name, .. } => Sorted {
            status: Status::LeftOpen,
            state: format!("workspace {name} is open and has no graph yet"),
            next: Some(Next::command(format_args!("workspace revert {name}"))),
        },
        WorkspaceError::Closing(name) => {
            let state = format!("workspace {name} is open; reopen undoes the closing");
            let ways = ["reopen", "commit", "revert", "abandon"]
                .map(|verb| Next::command(format_args!("workspace {verb} {name}")));
            Sorted { status: Status::LeftOpen, state, next: Some(Next::one_of(ways)) }
        }
        WorkspaceError::OtherPipeline { name, .. } => Sorted {
            status: Status::LeftOpen,
            state: format!("workspace {name} is open and has no graph yet"),
            next: Some(Next::one_of([
                Next::plain("put the pipeline back as it was"),
                Next::command(format_args!("workspace revert {name}")),
            ])),
        },
        WorkspaceError::TaskNotSharded { .. }
        | WorkspaceError::ShardBy { .. }
        | WorkspaceError::EmptyShard { .. }
        | WorkspaceError::NewInFrozen { .. }
        | WorkspaceError::Frozen { .. }
        | WorkspaceError::ShardRuns { .. }
        | WorkspaceError::ShardsCommitted { .. } => shards::shards(error),
        WorkspaceError::ReservedType(_) => {
            unchanged.then(Next::plain("give the dataset type another name in the pipeline"))
        }
        WorkspaceError::ProvenanceType(_) => unchanged.then(Next::command("dataset-type list")),
        WorkspaceError::Lock(LockError::Unknown { runner, .. }) => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open".to_owned(),
            next: Some(Next::plain(format!(
                "wait for it; or, if it is dead, the same command with --assume-dead {runner}"
            ))),
        },
        WorkspaceError::Lock(LockError::Io { .. }) => {
            unchanged.then(Next::plain("make room there, or let it be written to; then the same command again"))
        }
        WorkspaceError::Restriction(_) => Sorted { status: Status::Usage, ..unchanged },
        WorkspaceError::Lock(_) => {
            unchanged.then(Next::plain("the same command again when that has ended"))
        }
        WorkspaceError::TakeOver(source) => take_over(source),
        WorkspaceError::Transition(source) => transition(source),
        WorkspaceError::External(source) => external::external(source),
        WorkspaceError::Development(source) => development(source),
        WorkspaceError::Ledger(source) => ledger::ledger(source),
        WorkspaceError::Run(source) => run(source),
        WorkspaceError::Datastore(source) => datastore(source),
        WorkspaceError::Butler(ButlerError::RootNotMade { name, .. }) => root_not_made(name),
        WorkspaceError::Butler(source) => butler(source),
        WorkspaceError::Close(source) => close(source),
        _ => unchanged,
    }
}

fn prerequisites() -> Next {
    Next::one_of(
        [
            "store what is missing, in a collection that the workspace reads",
            "a workspace with another input collection (-i) that has it",
            "build other data IDs only (`--where EXPRESSION`)",
            "write `optional: true` in the pipeline, if the task can do without",
        ]
        .map(Next::plain),
    )
}

fn root_not_made(name: &TransactionName) -> Sorted {
    let state = format!(
        "transaction {name} is open; any command on it makes its root, once that can be written"
    );
    let ways =
        ["status", "revert"].map(|verb| Next::command(format_args!("workspace {verb} {name}")));
    Sorted { state, ..Sorted::open(name) }.then(Next::one_of(ways))
}

/// The ways to the init-outputs of a task, in a workspace as it is named in commands.
pub(crate) fn activate_producer(name: impl fmt::Display, producer: &TaskLabel) -> Next {
    Next::one_of([
        Next::command(format_args!("workspace activate {name} {producer}")),
        Next::command(format_args!("workspace activate {name}")),
    ])
}

fn missing_init_input(missing: &MissingInitInput) -> Next {
    match &missing.producer {
        Some(producer) => activate_producer(&missing.name, producer),
        None => Next::plain(format!(
            "store a `{}`, and take a collection that has it as an input",
            missing.dataset_type
        )),
    }
}

/// The way on if the graph is not there, or not as it should be.
fn other_graph(error: &WorkspaceError) -> Next {
    match error {
        WorkspaceError::NotBuilt(name) => Next::command(format_args!("workspace build {name}")),
        WorkspaceError::NotActive { name, .. } => {
            Next::command(format_args!("workspace activate {name}"))
        }
        WorkspaceError::PipelineReplaced(_) => {
            Next::plain("the same command again, on the graph that is built now")
        }
        _ => Next::plain(
            "put the file back; or `pantler workspace revert` or `abandon`, which need none",
        ),
    }
}

fn development(error: &DevelopmentError) -> Sorted {
    let unchanged = Sorted::unchanged();
    match error {
        DevelopmentError::NotEntered(name) => {
            unchanged.then(Next::command(format_args!("workspace dev {name}")))
        }
        DevelopmentError::DownstreamRan { name, downstream, .. } => {
            let command = format_args!("workspace reset {name} --task {downstream}");
            unchanged.then(Next::command(command))
        }
        DevelopmentError::ShardFrozen { name, .. } => {
            unchanged.then(Next::command(format_args!("workspace commit {name}")))
        }
        DevelopmentError::NotReplaced { name, .. } => Sorted {
            status: Status::LeftOpen,
            state: format!(
                "workspace {name} is open with the pipeline that it had; what has changed is reset"
            ),
            next: Some(Next::plain("the same command again")),
        },
        DevelopmentError::Damaged { .. } => {
            unchanged.then(Next::plain("`pantler workspace revert NAME` needs no file"))
        }
        DevelopmentError::Version { .. } => unchanged,
    }
}

fn take_over(error: &TakeOverError) -> Sorted {
    match error {
        TakeOverError::Alive { .. } => Sorted::unchanged()
            .then(Next::plain("wait for it, or end it; without --take-over or --assume-dead")),
        TakeOverError::NoRunner { .. } => {
            Sorted::unchanged().then(Next::plain("`pantler workspace status` lists runners"))
        }
        TakeOverError::Journal(_) | TakeOverError::Write { .. } => Sorted::unchanged(),
    }
}

fn run(error: &RunError) -> Sorted {
    match error {
        RunError::TakeOver(source) => take_over(source),
        RunError::Gone { .. } => Sorted {
            state: "the workspace is closed".to_owned(),
            ..Sorted::unchanged().then(Next::command("query collections"))
        },
        RunError::TakenOver { .. } => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open; what was journaled before that stays".to_owned(),
            next: Some(Next::plain("nothing: the other process goes on")),
        },
        RunError::Closing { .. } => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open, and a closing of it has begun".to_owned(),
            next: Some(Next::command("transaction list")),
        },
        RunError::UnknownTask { .. } | RunError::Selection(_) => Sorted::unchanged(),
        // Nothing that the same command could do again would help.
        RunError::Journal { source: JournalError::Version { .. }, .. } => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open; its journal can be read by a newer pantler".to_owned(),
            next: Some(Next::plain(
                "the same command of a newer pantler, or `pantler workspace revert NAME`",
            )),
        },
        RunError::Journal {
            source: JournalError::Damaged { .. } | JournalError::OtherOpening { .. },
            ..
        } => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open; the damage stops run and commit, not revert".to_owned(),
            next: Some(Next::plain(
                "put the file back as it was, or `pantler workspace revert NAME`",
            )),
        },
        _ => Sorted {
            status: Status::LeftOpen,
            state: "the workspace is open; what was journaled as finished stays".to_owned(),
            next: Some(Next::plain("the same command again")),
        },
    }
}

fn project(error: &ProjectError) -> Sorted {
    let open = |name: &CollectionName, next| Sorted {
        status: Status::LeftOpen,
        state: format!("workspace {name} is open"),
        next: Some(next),
    };
    match error {
        ProjectError::OtherWork { name, .. } => open(
            name,
            Next::one_of(
                ["run", "commit", "revert"]
                    .map(|verb| Next::command(format_args!("workspace {verb} {name}")))
                    .into_iter()
                    .chain([Next::plain("the same command with --new, which starts beside it")]),
            ),
        ),
        ProjectError::AtWork { name, .. } => open(
            name,
            Next::plain("wait for that process, or run again with --take-over if it is gone"),
        ),
        ProjectError::OtherUniverse { .. } => Sorted::unchanged().then(Next::one_of([
            Next::plain("put the universe file back as it was"),
            Next::plain("name another `repository` in the project: the universe of one is fixed"),
        ])),
        ProjectError::Running { .. } => Sorted::unchanged()
            .then(Next::plain("wait for that process, or end it; then the same command again")),
        ProjectError::ClosingBegan { name, closing } => {
            open(name, Next::command(format_args!("workspace {} {name}", closing.verb())))
        }
        ProjectError::Commit { name, source } => {
            let sorted = close(source);
            match (&sorted.status, &**source) {
                (Status::Unknown, _)
                | (_, CloseError::StillOpen { source: KindError::Incomplete(_), .. }) => sorted,
                _ => open(name, Next::command(format_args!("workspace commit {name}"))),
            }
        }
        ProjectError::Create(source) => create(source),
        ProjectError::Ingest(source) => project_ingest(source),
        ProjectError::Workspace(source) => workspace(source),
        _ => Sorted::unchanged(),
    }
}

#[cfg(test)]
mod tests;
