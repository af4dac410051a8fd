use camino::Utf8PathBuf;
use pantler_core::CollectionName;
use pantler_workspace::external::export;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    table::{bytes, count},
};

/// Make a repository of what a workspace has made so far; the workspace stays as it is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Killed at any moment, the same command begins again; after it has succeeded, the folder is not empty\n\
                  and the same command is refused. A workspace with a folder of its own becomes a\n\
                  repository by `pantler workspace convert`.\n\n\
                  Example:\n  pantler workspace export climate/trial --to ../trial --with-inputs"
)]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// The folder of the new repository, which is missing or empty
    #[arg(long, value_name = "DIR")]
    to: Utf8PathBuf,

    /// Copy the inputs, too; else they are registered only
    #[arg(long)]
    with_inputs: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let client = super::find(context, &args.name)?;
    let butler = context.open_to_read()?;
    let to = context.absolute(&args.to);
    let done = export(&butler, &client, &to, args.with_inputs)?;
    let next = Next::command("query datasets").text(Some(&to));
    let (outputs, inputs) = (count(done.outputs, "output"), count(done.inputs, "input"));
    let registered = if done.with_inputs { "" } else { ", registered only" };
    let size = bytes(done.bytes);
    context.output().say(&format!(
        "made the repository {to}: {outputs}, {inputs}{registered} ({size} copied)\nnext: {next}"
    ));
    Ok(Status::Done)
}
