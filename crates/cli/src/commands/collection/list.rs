use crate::{commands::query::collections, context::Context, error::CommandResult};

/// List collections, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler collection list\n\n\
                  JSON: as of `pantler query collections`")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    collections::list(context, args.json)
}
