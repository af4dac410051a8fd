use pantler_core::{TransactionName, transaction::Closing};

use crate::{
    close::{ClosingArgs, close},
    context::Context,
    error::CommandResult,
};

/// End a transaction: keep what is whole, drop what is not
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing.\n\nExample:\n  pantler transaction abandon climate/raw/ingest"
)]
pub(crate) struct Args {
    /// The transaction
    #[arg(value_name = "NAME")]
    name: TransactionName,

    #[command(flatten)]
    closing: ClosingArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    close(context, &args.name, Closing::Abandon, args.closing.options(false))
}
