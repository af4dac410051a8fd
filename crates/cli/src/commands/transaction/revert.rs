use pantler_core::{TransactionName, transaction::Closing};

use crate::{
    close::{ClosingArgs, close},
    context::Context,
    error::CommandResult,
};

/// Undo a transaction: the repository is as before it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing.\n\nExample:\n  pantler transaction revert climate/raw/ingest"
)]
pub(crate) struct Args {
    /// The transaction
    #[arg(value_name = "NAME")]
    name: TransactionName,

    #[command(flatten)]
    closing: ClosingArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    close(context, &args.name, Closing::Revert, args.closing.options(false))
}
