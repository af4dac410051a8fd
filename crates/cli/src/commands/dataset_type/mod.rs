mod list;
mod register;
mod remove;

use crate::{context::Context, error::CommandResult};

/// Look at dataset types, register and remove them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DatasetType {
    Register(register::Args),
    List(list::Args),
    Remove(remove::Args),
}

impl DatasetType {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Register(args) => register::run(context, args),
            Self::List(args) => list::run(context, args),
            Self::Remove(args) => remove::run(context, args),
        }
    }
}
