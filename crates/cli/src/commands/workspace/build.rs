use pantler_core::{Restriction, TaskLabel, Universe};
use pantler_workspace::{
    BuildRequest, Built, WorkspaceClient, WorkspaceError, build, explain,
    external::{ExternalWorkspace, ParentUse},
};

use crate::{
    arguments::{Assignment, texts},
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    shard::ShardValues,
    summary,
    table::{Table, count},
    target::{ParentArgs, WorkspaceTarget, open_parent},
};

/// Find out what there is to do: build the quantum graph of a workspace
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace build climate/trial\n  pantler workspace build climate/trial --task daily --where \"city = 'oslo' AND month IN (1..6)\"\n  pantler workspace build climate/trial --explain daily city=oslo month=13"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    name: WorkspaceTarget,

    #[command(flatten)]
    parent: ParentArgs,

    /// Build the quanta of this task only; again for more tasks
    #[arg(long = "task", value_name = "LABEL")]
    tasks: Vec<TaskLabel>,

    /// Build quanta of these data IDs only, such as "visit > 10 AND band IN ('g', 'r')"
    #[arg(long = "where", value_name = "EXPRESSION")]
    restriction: Option<String>,

    /// Build this shard only, such as city=oslo,month=3
    #[arg(long, value_name = "KEY=VALUE,…")]
    shard: Option<ShardValues>,

    /// Build nothing; say why there is a quantum of this task for a data ID, or not
    #[arg(long, value_name = "LABEL")]
    explain: Option<TaskLabel>,

    /// The data ID to explain, such as city=oslo month=3
    #[arg(value_name = "KEY=VALUE", requires = "explain")]
    values: Vec<Assignment>,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    if let Some(root) = name.folder(context) {
        let workspace = name.external(context, &root, Some(&args.parent))?;
        return build_external(context, args, &workspace);
    }
    let client = name.client_with(context, Some(&args.parent))?;
    let butler = context.open()?;
    let request = request(args, &client, butler.universe())?;
    if let Some(task) = &args.explain {
        let said = explain(&butler, &client, &request, task, &texts(&args.values)?)?;
        context.output().say(&said.to_string());
        return Ok(Status::Done);
    }
    let built = build(&butler, &client, &request)?;
    say(context, args, &built, "run");
    Ok(Status::Done)
}

fn build_external(context: &Context, args: &Args, workspace: &ExternalWorkspace) -> CommandResult {
    let name = &args.name;
    let failed = |error| name.error(context, error);
    let request = request(args, workspace.client(), workspace.universe())?;
    let parent = || {
        let parent = open_parent(context, workspace, ParentUse::Build)?;
        workspace.check_parent(&parent, ParentUse::Build).map_err(failed)?;
        Ok::<_, CommandError>(parent)
    };
    if let Some(task) = &args.explain {
        let values = texts(&args.values)?;
        let said = explain(&parent()?, workspace.client(), &request, task, &values)?;
        context.output().say(&said.to_string());
        return Ok(Status::Done);
    }
    let built = match workspace.built_before(&request).map_err(failed)? {
        Some(built) => built,
        None => workspace.build(&parent()?, &request).map_err(failed)?,
    };
    let missing = workspace.not_transferred(&built.graph);
    say(context, args, &built, if missing > 0 { "transfer-inputs" } else { "run" });
    if missing > 0 {
        let missing = count(missing, "input");
        context.output().note(&format!("{missing} of it are not in the folder yet"));
    }
    Ok(Status::Done)
}

fn request(
    args: &Args,
    client: &WorkspaceClient,
    universe: &Universe,
) -> Result<BuildRequest, CommandError> {
    let restriction = match &args.restriction {
        None => Restriction::default(),
        Some(text) => Restriction::parse(text, universe).map_err(WorkspaceError::from)?,
    };
    let restriction = match &args.shard {
        None => restriction,
        Some(values) => {
            let shard = values.shard(client, universe)?;
            let values = shard.values().map(|(name, value)| (name.clone(), value.clone()));
            Restriction::of_values(values).and(restriction)
        }
    };
    Ok(BuildRequest { tasks: args.tasks.iter().cloned().collect(), restriction })
}

/// Says what was built, and the verb that goes on.
fn say(context: &Context, args: &Args, built: &Built, next: &str) {
    let (name, output) = (&args.name, context.output());
    let quanta = count(built.graph.len(), "quantum");
    output.say(&if built.before {
        format!("{name} has a graph already: {quanta}")
    } else if built.new < built.graph.len() {
        format!("added {} to the graph of {name}: {quanta}", count(built.new, "quantum"))
    } else {
        format!("built the graph of {name}: {quanta}")
    });
    let mut table = Table::new(["task", "quanta"]).numbers([1]);
    for (task, quanta) in built.graph.counts() {
        table.row([task.label.to_string(), quanta.to_string()]);
    }
    output.say(&table.to_string());
    for pruned in built.pruned.iter().take(10) {
        output.say(&format!("left out: {pruned}"));
    }
    if let Some(reusable) = &built.reusable {
        output.say(&summary::reusable(reusable));
    }
    let next = Next::command(format_args!("workspace {next} {name}")).text(context.located());
    output.say(&format!("next: {next}"));
}
