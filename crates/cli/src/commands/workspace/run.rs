use std::time::Duration;

use pantler_core::{QuantumId, TaskLabel};
use pantler_exec::{Beside, RunSummary, RunnerState, Selection};
use pantler_graph::QuantumGraph;
use pantler_workspace::{WorkspaceClient, has_quanta_of_tasks};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    execution::{Execution, JobsArgs},
    interrupt::Interrupts,
    progress::Progress,
    shard::{ShardValues, options as shard_options, shards, skipped_shard},
    summary,
    table::count,
    target::{ParentArgs, WorkspaceTarget},
    time,
    transitions::expression,
};

/// Run the quanta of a workspace that have not succeeded yet; needs no database
///
/// Several may run in one workspace at a time, on one machine or many: each leaves to the
/// others what they were asked for before, and waits for what they make.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace run climate/trial -j 4\n  pantler workspace run climate/trial --task monthly --wait 600\n  pantler workspace run climate/trial --expr '..summary@{city=oslo}'"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(super) name: WorkspaceTarget,

    /// Run these quanta only
    #[arg(value_name = "QUANTUM")]
    quanta: Vec<QuantumId>,

    /// Run the quanta of this task only; again for more tasks
    #[arg(long = "task", value_name = "LABEL")]
    tasks: Vec<TaskLabel>,

    /// Run the quanta of this shard only, such as city=oslo,month=3; again for more shards
    #[arg(long, value_name = "KEY=VALUE,…", conflicts_with_all = ["quanta", "tasks", "expr"])]
    shard: Vec<ShardValues>,

    /// Run the quanta that an expression means only, such as `..summary@{city=oslo}`
    #[arg(long, value_name = "EXPR", conflicts_with_all = ["quanta", "tasks"])]
    expr: Option<String>,

    /// Wait so long for what other runners make, without their finishing anything, or for one
    /// to begin [default: 3600 for a runner that lives, 30 for a silent one, 0 for none]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Declare this runner dead and run what it has not finished; again for more. Refused
    /// while it gives signs of life (`pantler workspace status` lists runners)
    #[arg(long, value_name = "RUNNER")]
    take_over: Vec<u32>,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    parent: ParentArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = name.client_with(context, Some(&args.parent))?;
    let failed = |error| name.error(context, error);
    let is_named = !args.quanta.is_empty() && args.tasks.is_empty();
    let (graph, mut of_shards) = if is_named {
        (client.graph_of_quanta(&args.quanta).map_err(failed)?, None)
    } else if args.shard.is_empty() {
        (client.graph().map_err(failed)?, None)
    } else {
        // For the universe, before it is known which parts of the graph are needed.
        let pipeline = client.graph_pipeline().map_err(failed)?;
        let shards = shards(&args.shard, &client, pipeline.universe())?;
        (client.graph_of_shards(&shards)?, Some(shards))
    };
    if let Some(shards) = &mut of_shards {
        let skipped = client.skipped_shards(&graph, Some(shards)).map_err(failed)?;
        for (shard, why) in skipped.iter().filter(|(shard, _)| shards.contains(shard)) {
            context.output().say(&skipped_shard(shard, why));
        }
        let given = shards.len();
        shards.retain(|shard| !skipped.contains_key(shard));
        if shards.is_empty() && given > 0 {
            return Ok(Status::Done);
        }
    }
    let only = shard_options(of_shards.iter().flatten());
    let again = Next::command(format_args!("workspace run {name}{only}")).text(context.located());
    let interrupts = Interrupts::watch(format!("stopped\nnext: {again}"))?;
    let quanta = match (&args.expr, &of_shards) {
        (Some(text), _) => client.select(&graph, &expression(text)?)?,
        (None, Some(shards)) => client.quanta_of_shards(&graph, shards)?,
        (None, None) => args.quanta.clone(),
    };
    let selection = Selection { quanta, tasks: args.tasks.clone() };
    let execution = Execution::new(context, args.jobs, client.pipeline()).only(selection);
    let mut progress = Progress::new(interrupts.phase());
    let beside =
        Beside { wait: args.wait.map(Duration::from_secs), take_over: args.take_over.clone() };
    let options = execution.options(interrupts.stop());
    let result = client.run_beside(&graph, &options, &beside, &mut progress);
    drop(progress);
    let summary = result.map_err(|error| name.error(context, error))?;
    let ran = Ran {
        context,
        name,
        client: &client,
        graph: &graph,
        summary: &summary,
        only: &only,
        is_named,
        of_shards: of_shards.is_some(),
        asks_for_all: of_shards.is_none()
            && args.expr.is_none()
            && args.quanta.is_empty()
            && args.tasks.is_empty(),
    };
    // Then nothing is left out but what is frozen.
    let left_out = if ran.asks_for_all { "of frozen shards" } else { "not asked for" };
    summary::print_without(context.output(), &summary, client.root(), left_out);
    let (status, text) = ran.ending()?;
    context.output().say(&format!("\n{text}"));
    Ok(status)
}

/// A run that has ended.
struct Ran<'a> {
    context: &'a Context,
    name: &'a WorkspaceTarget,
    client: &'a WorkspaceClient,
    graph: &'a QuantumGraph,
    summary: &'a RunSummary,
    /// Options for the next command that name the same shards.
    only: &'a str,
    /// Whether single quanta were asked for.
    is_named: bool,
    of_shards: bool,
    asks_for_all: bool,
}

impl Ran<'_> {
    /// How it ended, and what comes next.
    fn ending(&self) -> Result<(Status, String), CommandError> {
        let Self { context, name, client, graph, summary, only, .. } = *self;
        let next = |verb: &str| {
            Next::command(format_args!("workspace {verb} {name}{only}")).text(context.located())
        };
        let wall = time::human(summary.wall);
        Ok(if summary.stopped {
            (
                Status::Stopped,
                format!(
                    "stopped after {wall}\nnow: workspace {name} is open; what succeeded is kept\nnext: {}",
                    next("run")
                ),
            )
        } else if summary.is_complete() && !self.is_named && !has_quanta_of_tasks(graph) {
            (Status::Done, format!("all succeeded in {wall}\nnext: {}", next("build")))
        } else if summary.is_complete()
            && !self.is_named
            && !self.of_shards
            && client.is_built_in_part(graph)
        {
            (
                Status::Done,
                format!(
                    "all that was built succeeded in {wall}\nnow: the graph of {name} was built in part\nnext: {} (adds the rest)\n  or: {}",
                    next("build"),
                    next("commit")
                ),
            )
        } else if summary.is_complete() && !self.is_named {
            (Status::Done, format!("all succeeded in {wall}\nnext: {}", next("commit")))
        } else if summary.is_done() && self.asks_for_all {
            (
                Status::Done,
                format!(
                    "all that can run has succeeded in {wall}\nnow: workspace {name} is open; nothing of a frozen shard runs any more\nnext: {}",
                    next("commit")
                ),
            )
        } else if summary.is_done() && self.of_shards {
            let rest = Next::command(format_args!("workspace run {name}")).text(context.located());
            (
                Status::Done,
                format!(
                    "all that was asked for succeeded in {wall}\nnow: workspace {name} is open\nnext: {}\n  or: {rest} (runs the rest)",
                    next("commit")
                ),
            )
        } else if summary.is_done() {
            (
                Status::Done,
                format!(
                    "all that was asked for succeeded in {wall}\nnow: workspace {name} is open\nnext: {} (runs the rest)",
                    next("run")
                ),
            )
        } else if let Some(task) = inactive(client, graph, summary)? {
            let activate =
                Next::command(format_args!("workspace activate {name}")).text(context.located());
            (
                Status::QuantaFailed,
                format!(
                    "ended after {wall}{}\nnow: workspace {name} is open; task {task} is not active: its init step has not succeeded\nnext: {activate}",
                    waiting(summary)
                ),
            )
        } else {
            let waiting = waiting(summary);
            (
                Status::QuantaFailed,
                format!(
                    "ended after {wall}{waiting}\nnow: workspace {name} is open; what succeeded is kept\nnext: {} (tries again what failed)",
                    next("run")
                ),
            )
        })
    }
}

/// A task of which quanta did not run, and whose init step was not asked for and has not
/// succeeded: it was reset.
fn inactive(
    client: &WorkspaceClient,
    graph: &QuantumGraph,
    summary: &RunSummary,
) -> Result<Option<TaskLabel>, CommandError> {
    if summary.total().not_run == 0 {
        return Ok(None);
    }
    let waits = |task: &TaskLabel| {
        summary.tasks.iter().any(|one| one.task == *task && one.counts.not_run > 0)
    };
    let activations = client.activations(Some(graph))?;
    let found = activations.into_iter().find(|one| !one.is_active() && waits(&one.task));
    Ok(found.map(|one| one.task))
}

/// What could not run since it reads outputs of quanta that were not run.
fn waiting(summary: &RunSummary) -> String {
    let left: Vec<String> = summary
        .unmade
        .iter()
        .map(|unmade| {
            format!(
                "\n{} of runner {} ({}, {}) not finished{}",
                count(unmade.quanta, "quantum"),
                unmade.runner,
                unmade.process,
                unmade.state.name(),
                match unmade.state {
                    RunnerState::Silent => {
                        format!("; if it is dead, run with --take-over {}", unmade.runner)
                    }
                    _ => String::new(),
                }
            )
        })
        .collect();
    match (summary.total().not_run, &left[..]) {
        (0, []) => String::new(),
        (waiting, []) => format!(
            "\n{} did not run: what they read is made by quanta that were not asked for",
            count(waiting, "quantum")
        ),
        (waiting, left) => {
            let waiting = count(waiting, "quantum");
            format!("\n{waiting} did not run here, blocked by other runners:{}", left.concat())
        }
    }
}
