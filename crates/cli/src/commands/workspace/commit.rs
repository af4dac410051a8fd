use pantler_core::{CollectionName, transaction::Closing};

use crate::{
    close::{ClosingArgs, DeadArgs, close_workspace},
    context::Context,
    error::CommandResult,
};

/// Enter the results of a workspace into the repository, and end it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing.\n\nExample:\n  pantler workspace commit climate/20260102T030405.678Z"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// Commit what succeeded, and drop the rest
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    closing: ClosingArgs,

    #[command(flatten)]
    dead: DeadArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let options = args.closing.options(args.partial);
    close_workspace(context, &args.name, Closing::Commit, options, &args.dead)
}
