use pantler_core::CollectionName;

use crate::{
    context::Context,
    error::{CommandResult, Next, Status},
    execution::{Execution, JobsArgs},
    interrupt::Interrupts,
    progress::Progress,
    summary, time,
};

/// Run the quanta of a workspace that have not succeeded yet; needs no database
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler workspace run climate/trial -j 4")]
pub(crate) struct Args {
    /// The workspace
    #[arg(value_name = "NAME")]
    name: CollectionName,

    #[command(flatten)]
    jobs: JobsArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let client = super::find(context, name)?;
    let graph = client.graph()?;
    let next =
        |verb: &str| Next::command(format_args!("workspace {verb} {name}")).text(context.located());
    let interrupts = Interrupts::watch(format!("stopped\nnext: {}", next("run")))?;
    let execution = Execution::new(context, args.jobs, client.pipeline());
    let mut progress = Progress::new(interrupts.phase());
    let result = client.run(&graph, &execution.options(interrupts.stop()), &mut progress);
    drop(progress);
    let summary = result?;
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
    } else {
        (
            Status::QuantaFailed,
            format!(
                "ended after {wall}\nnow: workspace {name} is open; what succeeded is kept\nnext: {} (tries again what failed)",
                next("run")
            ),
        )
    };
    context.output().say(&format!("\n{text}"));
    Ok(status)
}
