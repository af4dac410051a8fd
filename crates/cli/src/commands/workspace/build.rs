use pantler_core::{CollectionName, QuantumId, Restriction, TaskLabel, Universe};
use pantler_direct::DirectButler;
use pantler_graph::Explanation;
use pantler_workspace::{BuildRequest, Built, WorkspaceClient, WorkspaceError, build, explain};

use super::activate::{Target, activate, say_changed};
use crate::{
    arguments::{Assignment, texts},
    close::transaction_name,
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    execution::JobsArgs,
    json,
    shard::{ShardValues, options as shard_options},
    summary,
    table::{Table, count},
    target::{ParentArgs, WorkspaceTarget},
};

/// Find out what there is to do: build the quantum graph of a workspace
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace build climate/trial\n  pantler workspace build climate/trial --task daily --where \"city = 'oslo' AND month IN (1..6)\"\n  pantler workspace build climate/trial --explain daily city=oslo month=13\n  pantler workspace build climate/trial --skip-existing-in climate\n\n\
                  JSON: {name, before, new, quanta, tasks, left_out, skipped, reads_part, reusable}; tasks is an array of {task,\n\
                  quanta}, left_out of {task, reason, quanta}, skipped of {task, collection, quanta, incomplete};\n\
                  reusable is {quanta, unusable} or null; with --explain {task, data_id, finding,\n\
                  not_built}, the quanta that would be built"
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

    /// Do not build quanta of which this collection has all outputs already: what reads them
    /// reads those; again for more
    #[arg(long, value_name = "COLLECTION", value_delimiter = ',')]
    skip_existing_in: Vec<CollectionName>,

    /// Print JSON
    #[arg(long)]
    json: bool,

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
    let failed = |error| name.error(context, error);
    if let Some(root) = name.folder(context) {
        let workspace = name.external(context, &root, Some(&args.parent))?;
        let request = request(args, workspace.client(), workspace.universe())?;
        // What is built needs no parent.
        if args.explain.is_none()
            && let Some(built) = workspace.built_before(&request).map_err(failed)?
        {
            return say(context, args, &Target::External(Box::new(workspace)), &request, &built);
        }
    }
    let (target, butler) = Target::open(context, name, &args.parent)?;
    let request = request(args, target.client(), butler.universe())?;
    if let Some(task) = &args.explain {
        let said = explain(&butler, target.client(), &request, task, &texts(&args.values)?)?;
        let graph = target.client().graph_if_built()?;
        let is_missing =
            |quantum: &QuantumId| graph.as_ref().is_none_or(|graph| graph.find(*quantum).is_none());
        let not_built = said.quanta().iter().copied().filter(is_missing).collect::<Vec<_>>();
        return say_explained(context, args, &said, &not_built);
    }
    // Of what cannot be built nothing is activated.
    target.check(&butler, &request).map_err(failed)?;
    let activation = target.prepare(&butler, &request.tasks).map_err(failed)?;
    say_changed(context, name, &activation);
    if activation.pending() == 0 {
        return build_quanta(context, args, &target, &butler, &request);
    }
    drop(butler);
    match activate(context, name, &target, &activation, args.jobs)? {
        Status::Done => {}
        other => return Ok(other),
    }
    if !args.json {
        context.output().say(&format!("active: {}", count(activation.steps(), "init step")));
    }
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
    let built = match target {
        Target::Internal(client) => build_internal(butler, client, request)?,
        Target::External(workspace) => {
            workspace.build(butler, request).map_err(|error| args.name.error(context, error))?
        }
    };
    say(context, args, target, request, &built)
}

/// Builds, and if that fails says whether RUNs that were searched have become inputs of the
/// workspace: they stay that until it is closed.
fn build_internal(
    butler: &DirectButler,
    client: &WorkspaceClient,
    request: &BuildRequest,
) -> Result<Built, CommandError> {
    if request.skip_existing_in.is_empty() {
        return Ok(build(butler, client, request)?);
    }
    let name = transaction_name(&client.transaction().run)?;
    let inputs = || butler.registry().read(|reader| reader.run_locks(&name)).map(|it| it.inputs);
    let before = inputs()?;
    build(butler, client, request).map_err(|error| {
        let error = CommandError::from(error);
        match inputs() {
            Ok(now) if now == before => error,
            Ok(_) => error.after(&["the RUNs that were searched are inputs of the workspace"]),
            Err(_) => error.after(&["the RUNs that were searched may be inputs of the workspace"]),
        }
    })
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
    let shard = args.shard.as_ref();
    let shard = shard.map(|values| values.shard(client, universe)).transpose()?;
    Ok(BuildRequest {
        tasks: args.tasks.iter().cloned().collect(),
        restriction,
        shard,
        skip_existing_in: args.skip_existing_in.clone(),
    })
}

fn say_explained(
    context: &Context,
    args: &Args,
    explained: &Explanation,
    not_built: &[QuantumId],
) -> CommandResult {
    let output = context.output();
    if args.json {
        let mut document = json::explanation(explained);
        document["not_built"] = not_built.iter().map(ToString::to_string).collect();
        output.json(&document)?;
    } else {
        output.say(&explained.to_string());
        if !not_built.is_empty() {
            output.say("  not built yet: the same command without --explain builds it");
        }
    }
    Ok(Status::Done)
}

/// Says what was built, and the verb that goes on.
fn say(
    context: &Context,
    args: &Args,
    target: &Target,
    request: &BuildRequest,
    built: &Built,
) -> CommandResult {
    let (name, output) = (&args.name, context.output());
    if args.json {
        output.json(&json::built(&name.to_string(), built))?;
        return Ok(Status::Done);
    }
    let quanta = count(built.graph.len(), "quantum");
    let what = match &request.shard {
        Some(shard) => format!("shard {shard} of {name}"),
        None => name.to_string(),
    };
    output.say(&if built.before {
        format!("{what} has a graph already: {quanta}")
    } else if built.new < built.graph.len() {
        format!("added {} to the graph of {what}: {quanta}", count(built.new, "quantum"))
    } else {
        format!("built the graph of {what}: {quanta}")
    });
    let mut table = Table::new(["task", "quanta"]).numbers([1]);
    for (task, quanta) in built.graph.counts() {
        table.row([task.label.to_string(), quanta.to_string()]);
    }
    output.say(&table.to_string());
    for pruned in built.pruned.iter().take(10) {
        output.say(&format!("left out: {pruned}"));
    }
    if !built.skipped.is_empty() {
        output.say(&summary::skipped(&built.skipped));
    }
    if let Some(reusable) = &built.reusable {
        output.say(&summary::reusable(reusable));
    }
    let missing = match target {
        Target::Internal(_) => 0,
        Target::External(workspace) => workspace.not_transferred(&built.graph),
    };
    let next = if missing > 0 { "transfer-inputs" } else { "run" };
    let verb = format!("workspace {next} {name}{}", shard_options(&request.shard));
    let next = Next::command(verb).text(context.located());
    output.say(&format!("next: {next}"));
    for (task, of) in &built.reads_part {
        output.note(&format!(
            "{task} reads what is built of {of}, which is built in part only; what is built of it later, these quanta of {task} will not read"
        ));
    }
    if missing > 0 {
        let missing = count(missing, "input");
        output.note(&format!("{missing} of it are not in the folder yet"));
    }
    Ok(Status::Done)
}
