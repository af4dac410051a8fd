mod abandon;
mod commit;
mod list;
mod revert;
mod show;

use crate::{context::Context, error::CommandResult};

/// Look at open artifact transactions, and close them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Transaction {
    List(list::Args),
    Show(show::Args),
    Commit(commit::Args),
    Revert(revert::Args),
    Abandon(abandon::Args),
}

impl Transaction {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::List(args) => list::run(context, args),
            Self::Show(args) => show::run(context, args),
            Self::Commit(args) => commit::run(context, args),
            Self::Revert(args) => revert::run(context, args),
            Self::Abandon(args) => abandon::run(context, args),
        }
    }
}
