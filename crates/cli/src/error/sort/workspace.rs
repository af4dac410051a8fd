//! Errors of workspaces.

use std::fmt;

use pantler_butler::transaction::KindError;
use pantler_core::{CollectionName, TaskLabel, TransactionName};
use pantler_direct::{ButlerError, CloseError};
use pantler_exec::{
    JournalError, LockError, RunError, TakeOverError, transitions::TransitionError,
};
use pantler_graph::BuildError;
use pantler_workspace::{
    DevelopmentError, MissingInitInput, WorkspaceError, project::ProjectError,
};

use super::{
    Next, Sorted, Status, external, ledger,
    repository::{butler, close, create, datastore, project_ingest},
    shards,
};

pub(super) fn transition(error: &TransitionError) -> Sorted {
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

pub(super) fn workspace(error: &WorkspaceError) -> Sorted {
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
            "take another name; `pantler run -o NAME/{time}` makes one for each run",
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

pub(super) fn prerequisites() -> Next {
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

pub(super) fn root_not_made(name: &TransactionName) -> Sorted {
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

pub(super) fn missing_init_input(missing: &MissingInitInput) -> Next {
    match &missing.producer {
        Some(producer) => activate_producer(&missing.name, producer),
        None => Next::plain(format!(
            "store a `{}`, and take a collection that has it as an input",
            missing.dataset_type
        )),
    }
}

/// The way on if the graph is not there, or not as it should be.
pub(super) fn other_graph(error: &WorkspaceError) -> Next {
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

pub(super) fn development(error: &DevelopmentError) -> Sorted {
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

pub(super) fn take_over(error: &TakeOverError) -> Sorted {
    match error {
        TakeOverError::Alive { .. } => Sorted::unchanged()
            .then(Next::plain("wait for it, or end it; without --take-over or --assume-dead")),
        TakeOverError::NoRunner { .. } => {
            Sorted::unchanged().then(Next::plain("`pantler workspace status` lists runners"))
        }
        TakeOverError::Journal(_) | TakeOverError::Write { .. } => Sorted::unchanged(),
    }
}

pub(super) fn run(error: &RunError) -> Sorted {
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

pub(super) fn project(error: &ProjectError) -> Sorted {
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
