use crate::{commands::query::dataset_types, context::Context, error::CommandResult};

/// List dataset types, by name
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler dataset-type list\n\n\
                  JSON: as of `pantler query dataset-types`")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    dataset_types::list(context, args.json)
}
