use pantler_workspace::build;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    table::{Table, count},
    target::{ParentArgs, WorkspaceTarget, open_parent},
};

/// Find out what there is to do: build the quantum graph of a workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace build climate/trial")]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    name: WorkspaceTarget,

    #[command(flatten)]
    parent: ParentArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let built = if let Some(root) = name.folder(context) {
        let workspace = name.external(context, &root, Some(&args.parent))?;
        let parent = open_parent(context, &workspace, true)?;
        workspace.build(&parent).map_err(|error| name.error(context, error))?
    } else {
        let client = name.client_with(context, Some(&args.parent))?;
        build(&context.open()?, &client)?
    };
    let output = context.output();
    let quanta = count(built.graph.len(), "quantum");
    output.say(&if built.before {
        format!("{name} has a graph already: {quanta}")
    } else {
        format!("built the graph of {name}: {quanta}")
    });
    let mut table = Table::new(["task", "quanta"]).numbers([1]);
    for (task, quanta) in built.graph.counts() {
        table.row([task.label.to_string(), quanta.to_string()]);
    }
    output.say(&table.to_string());
    for pruned in built.graph.pruned().iter().take(10) {
        output.say(&format!("left out: {pruned}"));
    }
    let next = Next::command(format_args!("workspace run {name}")).text(context.located());
    output.say(&format!("next: {next}"));
    Ok(Status::Done)
}
