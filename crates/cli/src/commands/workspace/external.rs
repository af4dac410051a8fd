//! Creating and closing external workspaces.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::request::TransferMode;
use pantler_core::transaction::Closing;
use pantler_direct::{DirectButler, standalone::is_repository};
use pantler_registry::OpenOptions;
use pantler_workspace::{
    WorkspaceRequest,
    external::{CommitExternal, Committed, ExternalRequest, ExternalWorkspace, ParentUse, create},
    open_butler,
};
use serde_json::json;

use crate::{
    close::ClosingArgs,
    context::Context,
    error::{CommandError, CommandResult, Next, Status, quoted},
    storing::watched,
    table::{bytes, count},
    target::{ParentArgs, WorkspaceTarget, only_external, open_parent},
};

/// How the artifacts of an external workspace come to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CommitMode {
    Copy,
    Hardlink,
    Move,
}

impl From<CommitMode> for TransferMode {
    fn from(mode: CommitMode) -> Self {
        match mode {
            CommitMode::Copy => Self::Copy,
            CommitMode::Hardlink => Self::Hardlink,
            CommitMode::Move => Self::Move,
        }
    }
}

/// How an external workspace is committed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CommitArgs {
    /// Of an external workspace: how its artifacts come to its parent [default: copy]
    #[arg(long, value_name = "MODE")]
    transfer: Option<CommitMode>,

    #[command(flatten)]
    parent: ParentArgs,

    /// Commit an external workspace to a repository that is not its parent
    #[arg(long)]
    force_repository: bool,
}

impl CommitArgs {
    /// Refuses what says nothing about a workspace inside of a repository.
    pub(super) fn expect_none(&self) -> Result<(), CommandError> {
        self.parent.expect_none()?;
        match (self.transfer, self.force_repository) {
            (None, false) => Ok(()),
            (Some(_), _) => Err(only_external("--transfer")),
            (None, true) => Err(only_external("--force-repository")),
        }
    }
}

/// Makes one.
pub(super) fn make(
    context: &Context,
    butler: &DirectButler,
    request: &WorkspaceRequest,
    folder: &Utf8Path,
    include: &[Utf8PathBuf],
) -> CommandResult {
    let root = context.absolute(folder);
    let include = include.iter().map(|path| context.absolute(path)).collect();
    let request = ExternalRequest { workspace: request, root, include };
    let made = create(butler, butler.environment().new_opening(), &request)?;
    let folder = quoted(folder.as_str());
    let next = Next::command(format_args!("workspace build {folder}")).text(None);
    let (run, root) = (&request.workspace.run, made.root());
    context.output().say(&format!("opened the external workspace {run} in {root}\nnext: {next}"));
    Ok(Status::Done)
}

/// Commits one to its parent.
pub(super) fn commit(
    context: &Context,
    target: &WorkspaceTarget,
    root: &Utf8Path,
    partial: bool,
    args: &CommitArgs,
    closing: &ClosingArgs,
    as_json: bool,
) -> CommandResult {
    let finished = ExternalWorkspace::finish_commit(root);
    if finished.map_err(|error| target.error(context, error))? {
        if as_json {
            context.output().json(&json!({"name": target.as_str(), "before": true}))?;
            return Ok(Status::Done);
        }
        context.output().say(&format!("workspace {target} was closed before; removed the rest"));
        return Ok(Status::Done);
    }
    let workspace = target.external(context, root, Some(&args.parent))?;
    let parent = open_parent(context, &workspace, ParentUse::Commit)?;
    let request = CommitExternal {
        mode: args.transfer.unwrap_or(CommitMode::Copy).into(),
        partial,
        any_repository: args.force_repository,
        options: pantler_butler::request::StoreOptions {
            take_over: closing.options(false).take_over,
            keep_going: false,
        },
    };
    context.locate_at(parent.root());
    let committed = watched(context, "commit", |lines| workspace.commit(&parent, request, lines))?;
    let committed = committed.map_err(|error| target.error(context, error))?;
    if as_json {
        let run = &workspace.client().transaction().run;
        let report = match &committed {
            Committed::Before => None,
            Committed::Now { report, .. } => Some(report),
        };
        context.output().json(&json!({
            "name": run,
            "parent": parent.root(),
            "transaction": workspace.transfer_name(),
            "before": report.is_none(),
            "datasets": report.map(|report| report.stored + report.skipped),
            "bytes": report.map(|report| report.bytes),
            "resumed": report.map(|report| report.resumed),
        }))?;
        return Ok(Status::Done);
    }
    context.output().say(&match committed {
        Committed::Before => format!("workspace {target} was committed before; nothing to do"),
        Committed::Now { run, report } => format!(
            "committed {run} to {} as {}: {} ({}){}",
            parent.root(),
            workspace.transfer_name(),
            count(report.stored + report.skipped, "dataset"),
            bytes(report.bytes),
            if report.resumed { ", finishing what was begun" } else { "" }
        ),
    });
    Ok(Status::Done)
}

/// Removes one.
pub(super) fn discard(
    context: &Context,
    target: &WorkspaceTarget,
    root: &Utf8Path,
    closing: Closing,
) -> CommandResult {
    let finished = ExternalWorkspace::finish_commit(root);
    if finished.map_err(|error| target.error(context, error))? {
        context.output().say(&format!("workspace {target} was closed before; removed the rest"));
        return Ok(Status::Done);
    }
    let workspace = target.external(context, root, None)?;
    // Where a commit of it was going, if one has begun.
    let asked = workspace.commits_to().map_err(|error| target.error(context, error.into()))?;
    let asked = asked.unwrap_or_else(|| workspace.parent().to_owned());
    let parent = open_if_there(context, &asked)?;
    if parent.is_none() {
        context.output().note(&format!(
            "{asked} is not there, and was not asked whether a commit of {target} is open"
        ));
    }
    let discarded = workspace.discard(parent.as_ref());
    discarded.map_err(|error| target.error(context, error))?;
    context.output().say(&format!("workspace {target} {}", closing.outcome()));
    Ok(Status::Done)
}

/// Undoes a closing of one that was killed; whether there was one.
pub(super) fn reopen(
    context: &Context,
    target: &WorkspaceTarget,
    root: &Utf8Path,
    parent: &ParentArgs,
) -> Result<bool, CommandError> {
    let workspace = target.external(context, root, Some(parent))?;
    let asked = workspace.commits_to().map_err(|error| target.error(context, error.into()))?;
    let asked = asked.map(|recorded| parent.given(context).unwrap_or(recorded));
    let butler = match asked {
        Some(path) => open_if_there(context, &path)?,
        None => None,
    };
    workspace.reopen(butler.as_ref()).map_err(|error| target.error(context, error))
}

/// Opens a repository to ask it something; `None` if there is none.
fn open_if_there(context: &Context, path: &Utf8Path) -> Result<Option<DirectButler>, CommandError> {
    if !is_repository(path) {
        return Ok(None);
    }
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    Ok(Some(open_butler(path, context.butler_environment(), &options)?))
}
