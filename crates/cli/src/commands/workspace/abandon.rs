use pantler_core::{CollectionName, transaction::Closing};

use crate::{
    close::{ClosingArgs, DeadArgs, close_workspace},
    context::Context,
    error::CommandResult,
};

/// End a workspace although it can be neither committed nor reverted
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing.\n\nExample:\n  pantler workspace abandon climate/20260102T030405.678Z"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    name: CollectionName,

    #[command(flatten)]
    closing: ClosingArgs,

    #[command(flatten)]
    dead: DeadArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let options = args.closing.options(false);
    close_workspace(context, &args.name, Closing::Abandon, options, &args.dead)
}
