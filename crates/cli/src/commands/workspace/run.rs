use pantler_core::{QuantumId, TaskLabel};
use pantler_exec::{RunSummary, Selection};

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    execution::{Execution, JobsArgs},
    interrupt::Interrupts,
    progress::Progress,
    summary,
    table::count,
    target::{ParentArgs, WorkspaceTarget},
    time,
};

/// Run the quanta of a workspace that have not succeeded yet; needs no database
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pantler workspace run climate/trial -j 4\n  pantler workspace run climate/trial --task monthly"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    name: WorkspaceTarget,

    /// Run these quanta only
    #[arg(value_name = "QUANTUM")]
    quanta: Vec<QuantumId>,

    /// Run the quanta of this task only; again for more tasks
    #[arg(long = "task", value_name = "LABEL")]
    tasks: Vec<TaskLabel>,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    parent: ParentArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = name.client_with(context, Some(&args.parent))?;
    let graph = client.graph().map_err(|error| name.error(context, error))?;
    let next =
        |verb: &str| Next::command(format_args!("workspace {verb} {name}")).text(context.located());
    let interrupts = Interrupts::watch(format!("stopped\nnext: {}", next("run")))?;
    let selection = Selection { quanta: args.quanta.clone(), tasks: args.tasks.clone() };
    let execution = Execution::new(context, args.jobs, client.pipeline()).only(selection);
    let mut progress = Progress::new(interrupts.phase());
    let result = client.run(&graph, &execution.options(interrupts.stop()), &mut progress);
    drop(progress);
    let summary = result.map_err(|error| name.error(context, error))?;
    summary::print(context.output(), &summary, client.root());
    let wall = time::human(summary.wall);
    let (status, text) = if summary.stopped {
        (
            Status::Stopped,
            format!(
                "stopped after {wall}\nnow: workspace {name} is open; what succeeded is kept\nnext: {}",
                next("run")
            ),
        )
    } else if summary.is_complete() {
        (Status::Done, format!("all succeeded in {wall}\nnext: {}", next("commit")))
    } else if summary.is_done() {
        (
            Status::Done,
            format!(
                "all that was asked for succeeded in {wall}\nnow: workspace {name} is open\nnext: {} (runs the rest)",
                next("run")
            ),
        )
    } else {
        let waiting = waiting(&summary);
        (
            Status::QuantaFailed,
            format!(
                "ended after {wall}{waiting}\nnow: workspace {name} is open; what succeeded is kept\nnext: {} (tries again what failed)",
                next("run")
            ),
        )
    };
    context.output().say(&format!("\n{text}"));
    Ok(status)
}

/// What could not run since it reads outputs of quanta that were not asked for.
fn waiting(summary: &RunSummary) -> String {
    match summary.total().not_run {
        0 => String::new(),
        waiting => format!(
            "\n{} did not run: what they read is made by quanta that were not asked for",
            count(waiting, "quantum")
        ),
    }
}
