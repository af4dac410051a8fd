mod insert;
mod list;

use crate::{context::Context, error::CommandResult};

/// Look at records of dimension elements, and insert them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Record {
    Insert(insert::Args),
    List(list::Args),
}

impl Record {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Insert(args) => insert::run(context, args),
            Self::List(args) => list::run(context, args),
        }
    }
}
