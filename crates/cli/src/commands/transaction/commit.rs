use pantler_core::{TransactionName, transaction::Closing};
use pantler_direct::CloseOptions;

use crate::{
    close::{ClosingArgs, VerifyArgs, close},
    context::Context,
    error::CommandResult,
};

/// Finish a transaction: do all that it is for, or leave it open and say what is missing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again with the same outcome: succeeds and does nothing.\n\nExample:\n  pantler transaction commit climate/raw/ingest"
)]
pub(crate) struct Args {
    /// The transaction
    #[arg(value_name = "NAME")]
    name: TransactionName,

    /// Commit what succeeded, and drop the rest
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    verify: VerifyArgs,

    #[command(flatten)]
    closing: ClosingArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let options =
        CloseOptions { verify: args.verify.verify(), ..args.closing.options(args.partial) };
    close(context, &args.name, Closing::Commit, options)
}
