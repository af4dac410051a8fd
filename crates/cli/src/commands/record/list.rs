use pantler_core::ElementName;

use crate::{commands::query::records, context::Context, error::CommandResult};

/// List the records of a dimension element, by data ID
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler record list city\n\n\
                  JSON: as of `pantler query records`")]
pub(crate) struct Args {
    /// The element
    #[arg(value_name = "ELEMENT")]
    element: ElementName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    records::list(context, &args.element, args.json)
}
