use pantler_core::CollectionName;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
};

/// Enter development mode, which is never left: the pipeline may be replaced, and no provenance is stored
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again: succeeds and does nothing.\n\nExample:\n  pantler workspace dev climate/trial"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    pub(super) name: CollectionName,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let is_new = super::find(context, name)?.enter_development()?;
    let command = format_args!("workspace pipeline {name} --pipeline FILE");
    let next = Next::command(command).text(context.located());
    let did = if is_new { "is in development mode" } else { "was in development mode before" };
    context.output().say(&format!("workspace {name} {did}\nnext: {next}"));
    Ok(Status::Done)
}
