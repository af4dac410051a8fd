mod chain;
mod create;
mod list;
mod remove;
mod show;
mod tag;
mod untag;

use crate::{context::Context, error::CommandResult};

/// Look at collections, make, chain, tag and remove them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Collection {
    List(list::Args),
    Show(show::Args),
    Create(create::Args),
    Chain(chain::Args),
    Tag(tag::Args),
    Untag(untag::Args),
    Remove(remove::Args),
}

impl Collection {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::List(args) => list::run(context, args),
            Self::Show(args) => show::run(context, args),
            Self::Create(args) => create::run(context, args),
            Self::Chain(args) => chain::run(context, args),
            Self::Tag(args) => tag::run(context, args),
            Self::Untag(args) => untag::run(context, args),
            Self::Remove(args) => remove::run(context, args),
        }
    }
}
