//! External workspaces.

use pantler_direct::ReceiveError;
use pantler_workspace::external::ExternalError;

use super::{Next, Sorted, create, store};

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
        ExternalError::ParentGone { root, .. } => unchanged.then(Next::one_of([
            Next::plain("the same command with --parent REPO, if it was moved"),
            Next::command(format_args!("workspace transfer-inputs {root}")),
        ])),
        ExternalError::NotTheParent { root, .. } => unchanged.then(Next::one_of([
            Next::plain("the same command with --parent REPO"),
            Next::plain("--force-repository, if it is meant"),
            Next::command(format_args!("workspace convert {root}")),
        ])),
        ExternalError::TransferOpen { root, .. } => {
            unchanged.then(Next::command(format_args!("workspace commit {root}")))
        }
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
