use pantler_core::transaction::Closing;

use crate::{
    close::{ClosingArgs, DeadArgs, close_workspace},
    context::Context,
    error::CommandResult,
    target::WorkspaceTarget,
};

/// End a workspace although it can be neither committed nor reverted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing; the folder of an external workspace is gone then.\n\nExample:\n  pantler workspace abandon climate/20260102T030405.678Z"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(super) target: WorkspaceTarget,

    #[command(flatten)]
    closing: ClosingArgs,

    #[command(flatten)]
    dead: DeadArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    if let Some(root) = args.target.folder(context) {
        return super::external::discard(context, &args.target, &root, Closing::Abandon);
    }
    let options = args.closing.options(false);
    close_workspace(context, &args.target.name(context)?, Closing::Abandon, options, &args.dead)
}
