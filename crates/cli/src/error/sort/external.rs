//! External workspaces.

use pantler_datastore::{DatastoreError, StorageError};
use pantler_direct::ReceiveError;
use pantler_workspace::{
    WorkspaceError,
    external::{ExternalError, ParentUse},
};

use super::{Next, Sorted, create, store};

/// After inputs were not copied.
const COPIED: &str = "the workspace is open and reads its inputs where it did; what was copied is kept, and is not copied again";

/// After a closing that has begun was left as it is.
fn begun() -> Sorted {
    Sorted {
        state: "a commit of the workspace has begun; nothing has changed".to_owned(),
        ..Sorted::unchanged()
    }
}

fn is_full(error: &WorkspaceError) -> bool {
    match error {
        WorkspaceError::Datastore(error) => error.is_full(),
        WorkspaceError::Storage(error) => matches!(error, StorageError::Full { .. }),
        _ => false,
    }
}

pub(super) fn external(error: &ExternalError) -> Sorted {
    let unchanged = Sorted::unchanged();
    match error {
        ExternalError::NotEmpty { .. }
        | ExternalError::NotAFolder(_)
        | ExternalError::InsideRepository { .. } => {
            unchanged.then(Next::plain("name a folder that is empty or does not exist yet"))
        }
        ExternalError::Exists(root) => {
            unchanged.then(Next::command(format_args!("workspace status {root}")))
        }
        ExternalError::SkipNotAnInput { run, .. } => unchanged.then(Next::plain(format!(
            "create the workspace with `-i {run}` behind its other inputs"
        ))),
        ExternalError::PipelineFolder { .. } => unchanged.then(Next::plain(
            "name what the commands need of it, each with --include FILE|FOLDER",
        )),
        ExternalError::NoFolder(_) => unchanged.then(Next::plain(
            "name the folder of a workspace; one that was committed is gone, and its RUN is in its parent",
        )),
        ExternalError::ParentGone { root, needed, .. } => {
            let moved = Next::plain("the same command with --parent REPO, if it was moved");
            let without = match needed {
                ParentUse::Commit => Some("convert"),
                ParentUse::Build | ParentUse::Inputs(_) | ParentUse::Reopen => None,
            };
            let without = without.map(|verb| Next::command(format_args!("workspace {verb} {root}")));
            let sorted = match needed {
                ParentUse::Reopen => begun(),
                _ => unchanged,
            };
            sorted.then(Next::one_of(std::iter::once(moved).chain(without)))
        }
        ExternalError::NotTheParent { root, needed, .. } => {
            let right = Next::plain("the same command with --parent REPO, which is the parent");
            let other = match needed {
                ParentUse::Commit => vec![
                    Next::plain("--force-repository, if it is meant"),
                    Next::command(format_args!("workspace convert {root}")),
                ],
                _ => Vec::new(),
            };
            unchanged.then(Next::one_of(std::iter::once(right).chain(other)))
        }
        ExternalError::OtherUniverse { root, .. } => unchanged.then(Next::one_of([
            Next::plain("the same command with --parent REPO, one with the same universe"),
            Next::command(format_args!("workspace convert {root}")),
        ])),
        ExternalError::InputChanged { .. } => Sorted { state: COPIED.to_owned(), ..unchanged },
        ExternalError::NotTransferred { source, .. } => {
            let next = match &**source {
                error if is_full(error) => "make room, and the same command again: it goes on",
                WorkspaceError::Datastore(DatastoreError::Missing { .. }) => {
                    "the same command again when the artifact is there; or with --parent REPO"
                }
                _ => "the same command again: it goes on",
            };
            Sorted { state: COPIED.to_owned(), ..unchanged }.then(Next::plain(next))
        }
        ExternalError::TransferOpen { root, parent, transaction } => {
            begun().then(Next::one_of([
                Next::command(format_args!("workspace commit {root} --parent {parent}")),
                Next::plain(format!("pantler transaction revert {transaction} --repo {parent}")),
            ]))
        }
        ExternalError::InParent { root, parent, .. } => begun().then(Next::command(
            format_args!("workspace commit {root} --parent {parent}"),
        )),
        ExternalError::Receive(error) => receive(error),
        ExternalError::Create(error) => create(error),
        _ => unchanged,
    }
}

fn receive(error: &ReceiveError) -> Sorted {
    let unchanged = Sorted::unchanged();
    let keep = "nothing has changed; the workspace is open, and `workspace convert` makes a repository of it";
    match error {
        ReceiveError::RunTaken { run } => Sorted { state: keep.to_owned(), ..unchanged }
            .then(Next::command(format_args!("query datasets --collections {run}"))),
        ReceiveError::InputsGone { .. }
        | ReceiveError::CommittedOtherwise { .. }
        | ReceiveError::NoChain { .. } => Sorted { state: keep.to_owned(), ..unchanged },
        ReceiveError::Mode(_) => unchanged,
        ReceiveError::Store(error) => store(error),
    }
}
