use pantler_core::{Restriction, TaskLabel};
use pantler_direct::DirectButler;
use pantler_workspace::{BuildRequest, WorkspaceError, build, explain};

use super::activate::{Target, activate};
use crate::{
    arguments::{Assignment, texts},
    context::Context,
    error::{CommandResult, Next, Status},
    execution::JobsArgs,
    shard::ShardValues,
    summary,
    table::{Table, count},
    target::{ParentArgs, WorkspaceTarget},
};

/// Find out what there is to do: build the quantum graph of a workspace
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace build climate/trial\n  pantler workspace build climate/trial --task daily --where \"city = 'oslo' AND month IN (1..6)\"\n  pantler workspace build climate/trial --explain daily city=oslo month=13"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(super) name: WorkspaceTarget,

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

    #[command(flatten)]
    jobs: JobsArgs,

    /// Build nothing; say why there is a quantum of this task for a data ID, or not
    #[arg(long, value_name = "LABEL")]
    explain: Option<TaskLabel>,

    /// The data ID to explain, such as city=oslo month=3
    #[arg(value_name = "KEY=VALUE", requires = "explain")]
    values: Vec<Assignment>,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let (target, butler) = Target::open(context, name, &args.parent)?;
    let restriction = match &args.restriction {
        None => Restriction::default(),
        Some(text) => Restriction::parse(text, butler.universe()).map_err(WorkspaceError::from)?,
    };
    let restriction = match &args.shard {
        None => restriction,
        Some(values) => {
            let shard = values.shard(target.client(), butler.universe())?;
            let values = shard.values().map(|(name, value)| (name.clone(), value.clone()));
            Restriction::of_values(values).and(restriction)
        }
    };
    let request = BuildRequest { tasks: args.tasks.iter().cloned().collect(), restriction };
    let output = context.output();
    if let Some(task) = &args.explain {
        let client = target.client();
        let explained = explain(&butler, client, &request, task, &texts(&args.values)?)?;
        output.say(&explained.to_string());
        return Ok(Status::Done);
    }
    let activation =
        target.prepare(&butler, &request.tasks).map_err(|error| name.error(context, error))?;
    if activation.pending() == 0 {
        return build_quanta(context, args, &target, &butler, &request);
    }
    drop(butler);
    match activate(context, name, &target, &activation, args.jobs)? {
        Status::Done => {}
        other => return Ok(other),
    }
    output.say(&format!("active: {}", count(activation.steps(), "init step")));
    let built = Target::open(context, name, &args.parent)
        .and_then(|(target, butler)| build_quanta(context, args, &target, &butler, &request));
    let again = Next::command(format_args!("workspace build {name}"));
    built.map_err(|error| error.with_open_workspace(&name.to_string(), again))
}

fn build_quanta(
    context: &Context,
    args: &Args,
    target: &Target,
    butler: &DirectButler,
    request: &BuildRequest,
) -> CommandResult {
    let (name, output) = (&args.name, context.output());
    let built = match target {
        Target::Internal(client) => build(butler, client, request)?,
        Target::External(workspace) => {
            workspace.build(butler, request).map_err(|error| name.error(context, error))?
        }
    };
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
    let next = Next::command(format_args!("workspace run {name}")).text(context.located());
    output.say(&format!("next: {next}"));
    Ok(Status::Done)
}
