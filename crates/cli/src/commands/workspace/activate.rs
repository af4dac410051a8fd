use std::collections::BTreeSet;

use pantler_core::TaskLabel;
use pantler_direct::DirectButler;
use pantler_workspace::{
    Activation, BuildRequest, WorkspaceClient, WorkspaceError, check_request,
    external::{ExternalWorkspace, ParentUse},
    prepare_activation,
};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    execution::{Execution, JobsArgs},
    interrupt::Interrupts,
    progress::Progress,
    summary,
    table::count,
    target::{ParentArgs, WorkspaceTarget, open_parent},
};

/// Run the init steps of tasks: make their init-outputs before any of their quanta
///
/// `build` and `pantler run` do it as well, of the tasks that they are about.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Again: runs what has not succeeded; else does nothing. In a workspace with shards, all tasks are activated together.\n\n\
                  Examples:\n  pantler workspace activate climate/trial\n  pantler workspace activate climate/trial daily"
)]
pub(crate) struct Args {
    /// The workspace; or the folder of an external one
    #[arg(value_name = "NAME|DIR")]
    pub(super) name: WorkspaceTarget,

    /// The tasks [default: all]
    #[arg(value_name = "TASK")]
    tasks: Vec<TaskLabel>,

    #[command(flatten)]
    jobs: JobsArgs,

    #[command(flatten)]
    parent: ParentArgs,
}

/// A workspace that can be built.
pub(super) enum Target {
    Internal(Box<WorkspaceClient>),
    External(Box<ExternalWorkspace>),
}

impl Target {
    /// Opens it, and the database that it is built from.
    pub(super) fn open(
        context: &Context,
        name: &WorkspaceTarget,
        parent: &ParentArgs,
    ) -> Result<(Self, DirectButler), CommandError> {
        if let Some(root) = name.folder(context) {
            let workspace = name.external(context, &root, Some(parent))?;
            let parent = open_parent(context, &workspace, ParentUse::Build)?;
            let checked = workspace.check_parent(&parent, ParentUse::Build);
            checked.map_err(|error| name.error(context, error))?;
            return Ok((Self::External(Box::new(workspace)), parent));
        }
        let client = name.client_with(context, Some(parent))?;
        Ok((Self::Internal(Box::new(client)), context.open()?))
    }

    /// What is run in it.
    pub(super) fn client(&self) -> &WorkspaceClient {
        match self {
            Self::Internal(client) => client,
            Self::External(workspace) => workspace.client(),
        }
    }

    /// Refuses what cannot be built.
    pub(super) fn check(
        &self,
        butler: &DirectButler,
        request: &BuildRequest,
    ) -> Result<(), WorkspaceError> {
        match self {
            Self::Internal(client) => check_request(butler, client, request),
            Self::External(workspace) => workspace.check_request(butler, request),
        }
    }

    /// Builds the init steps of tasks.
    pub(super) fn prepare(
        &self,
        butler: &DirectButler,
        tasks: &BTreeSet<TaskLabel>,
    ) -> Result<Activation, WorkspaceError> {
        match self {
            Self::Internal(client) => prepare_activation(butler, client, tasks),
            Self::External(workspace) => workspace.prepare_activation(butler, tasks),
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let name = &args.name;
    let (target, butler) = Target::open(context, name, &args.parent)?;
    let tasks = args.tasks.iter().cloned().collect();
    let activation = target.prepare(&butler, &tasks).map_err(|error| name.error(context, error))?;
    drop(butler);
    if let Some(step) = activation.changed().first() {
        return Err(refused(name, step, &activation));
    }
    let status = activate(context, name, &target, &activation, args.jobs)?;
    if status == Status::Done {
        let steps = count(activation.steps(), "init step");
        let next = Next::command(format_args!("workspace build {name}")).text(context.located());
        context.output().say(&match (activation.steps(), activation.pending()) {
            (0, _) => {
                format!("no task has an init step: there is nothing to activate\nnext: {next}")
            }
            (_, 0) => format!("active before: {steps}, nothing to do\nnext: {next}"),
            _ => format!("active: {steps}\nnext: {next}"),
        });
    }
    Ok(status)
}

/// What init steps have made is not said to be what they make today.
fn refused(name: &WorkspaceTarget, step: &TaskLabel, activation: &Activation) -> CommandError {
    CommandError::failed(summary::changed_steps(activation.changed()))
        .state("nothing has changed; `reset` has it and what was made from it run again, `build` keeps it")
        .next(Next::one_of([
            Next::command(format_args!("workspace reset {name} --task {step}")),
            Next::plain("put the files back as they were"),
            Next::command(format_args!("workspace build {name}")),
        ]))
}

/// Says that what init steps have made is kept although it may be another today.
pub(super) fn say_changed(context: &Context, name: &WorkspaceTarget, activation: &Activation) {
    if let Some(step) = activation.changed().first() {
        let reset = Next::command(format_args!("workspace reset {name} --task {step}"));
        let reset = reset.text(context.located());
        context.output().note(&format!(
            "{}; what was made is kept, unless it is reset ({reset})",
            summary::changed_steps(activation.changed())
        ));
    }
}

/// Runs the init steps that have not succeeded, if there are any.
pub(super) fn activate(
    context: &Context,
    name: &WorkspaceTarget,
    target: &Target,
    activation: &Activation,
    jobs: JobsArgs,
) -> CommandResult {
    if activation.pending() == 0 {
        return Ok(Status::Done);
    }
    let client = target.client();
    let next = Next::command(format_args!("workspace activate {name}")).text(context.located());
    let interrupts = Interrupts::watch(format!("stopped\nnext: {next}"))?;
    let execution = Execution::new(context, jobs, client.pipeline());
    let mut progress = Progress::new(interrupts.phase());
    let options = execution.options(interrupts.stop());
    let result = client.activate(activation, &options, &mut progress);
    drop(progress);
    let Some(summary) = result.map_err(|error| name.error(context, error))? else {
        return Ok(Status::Done);
    };
    if summary.is_done() {
        return Ok(Status::Done);
    }
    summary::print(context.output(), &summary, client.root());
    let state = format!(
        "now: workspace {name} is open; tasks without their init-outputs are not active, and not built\nnext: {next}"
    );
    let (status, text) = if summary.stopped {
        (Status::Stopped, format!("stopped\n{state}"))
    } else {
        (Status::QuantaFailed, format!("not activated\n{state} (tries again what failed)"))
    };
    context.output().say(&format!("\n{text}"));
    Ok(status)
}
