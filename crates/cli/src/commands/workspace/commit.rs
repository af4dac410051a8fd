use pantler_core::transaction::Closing;

use super::external::CommitArgs;
use crate::{
    close::{ClosingArgs, DeadArgs, close_workspace},
    context::Context,
    error::CommandResult,
    target::WorkspaceTarget,
};

/// Enter the results of a workspace into the repository, and end it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing. What Pantler made in the folder of an external\n\
                  workspace is removed afterwards.\n\nExamples:\n  pantler workspace commit climate/20260102T030405.678Z\n  \
                  pantler workspace commit ../trial --transfer move"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one, which goes to its parent
    #[arg(value_name = "NAME|DIR")]
    target: WorkspaceTarget,

    /// Commit what succeeded, and drop the rest
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    closing: ClosingArgs,

    #[command(flatten)]
    dead: DeadArgs,

    #[command(flatten)]
    external: CommitArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let Args { target, partial, closing, dead, external } = args;
    if let Some(root) = target.folder(context) {
        return super::external::commit(context, target, &root, *partial, external, closing);
    }
    external.expect_none()?;
    close_workspace(context, &target.name()?, Closing::Commit, closing.options(*partial), dead)
}
