use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::CollectionName;
use pantler_datastore::key;
use pantler_graph::{Choices, Skipped};
use pantler_workspace::{
    WorkspaceError,
    project::{
        Ending, Job, JobOptions, JobPlan, JobReport, Project, ProjectError, plan, run as run_job,
    },
    split_selection,
};

use crate::{
    choices::ChoiceArgs,
    context::Context,
    error::{CommandError, CommandResult, Next, Status, quoted},
    execution::{Execution, JobsArgs},
    interrupt::Interrupts,
    progress::Progress,
    summary,
    table::{Table, count},
    time,
};

/// Run a project, or a pipeline, from its inputs to a committed RUN
///
/// A project is a folder with a project.yaml; its repository is made and its files are
/// ingested first. If an earlier run was cut off or had failures, the same command goes on
/// from there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  pantler run climate\n  \
                  pantler run pipeline.yaml -i climate/raw -o climate/again --chain climate --repo repo\n  \
                  pantler run climate --reuse climate\n  \
                  pantler run climate --skip-existing-in climate\n  \
                  pantler run pipeline.yaml#daily --set daily:decimals=2 -i climate/raw -o climate/fine --repo repo")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// A folder with a project.yaml, or a pipeline file; after a `#` some of its tasks and subsets
    #[arg(value_name = "PROJECT_DIR|PIPELINE[#TASK,…]")]
    what: Utf8PathBuf,

    /// Input collections of a pipeline, in search order
    #[arg(short, long, value_name = "COLLECTION", value_delimiter = ',', num_args = 1..)]
    input: Vec<CollectionName>,

    /// The RUN that a pipeline makes; `{time}` in it stands for the time
    #[arg(short, long, value_name = "RUN")]
    output: Option<String>,

    /// The chain that gets the RUN as its new head
    #[arg(long, value_name = "CHAIN")]
    chain: Option<CollectionName>,

    #[command(flatten)]
    choices: ChoiceArgs,

    #[command(flatten)]
    jobs: JobsArgs,

    /// Take over what a RUN of this collection has made already from the same inputs with the
    /// same tasks, instead of running it; again for more
    #[arg(long, value_name = "COLLECTION", value_delimiter = ',')]
    reuse: Vec<CollectionName>,

    /// Do not make again what this collection has already: quanta with all their outputs there
    /// are skipped, and what reads those reads them there; again for more
    #[arg(long, value_name = "COLLECTION", value_delimiter = ',')]
    skip_existing_in: Vec<CollectionName>,

    /// Start anew beside an open workspace of an earlier run
    #[arg(long)]
    new: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Leave the workspace open when everything has succeeded
    #[arg(long)]
    no_commit: bool,

    /// Go on with what another process holds that is not known to be dead
    #[arg(long)]
    take_over: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let job = job(context, args)?;
    context.locate_at(&job.repository);
    if args.dry_run {
        return match plan(&job, &context.butler_environment()) {
            Err(ProjectError::Workspace(WorkspaceError::NothingLeft(skipped))) => {
                context.output().line(&nothing_left(&skipped))?;
                Ok(Status::Done)
            }
            planned => say_plan(context, &planned?),
        };
    }
    let again = again(args);
    let interrupts = Interrupts::watch(format!(
        "stopped\nnow: nothing is lost; what was begun is open\nnext: {}",
        again.text(context.located())
    ))?;
    let execution = Execution::new(context, args.jobs, &job.pipeline);
    let options =
        JobOptions { new: args.new, no_commit: args.no_commit, take_over: args.take_over };
    let mut progress = Progress::new(interrupts.phase());
    let result = run_job(
        &job,
        options,
        &context.butler_environment(),
        &execution.options(interrupts.stop()),
        &mut progress,
    );
    let workspace = progress.workspace().map(ToString::to_string);
    let done = progress.done().to_vec();
    drop(progress);
    match result {
        Ok(report) => Ok(say_report(context, &report, &again)),
        // As wanted: all of it is there.
        Err(ProjectError::Workspace(WorkspaceError::NothingLeft(skipped))) => {
            context.output().say(&nothing_left(&skipped));
            Ok(Status::Done)
        }
        Err(error) => {
            let error = CommandError::from(error).after(&done);
            Err(match workspace {
                Some(name) => error.with_open_workspace(&name, again),
                None => error,
            })
        }
    }
}

fn nothing_left(all: &[Skipped]) -> String {
    format!("{}\nnothing is left to do: no RUN is made", summary::skipped(all))
}

/// The same command once more, as far as it goes on.
fn again(args: &Args) -> Next {
    let what = quoted(args.what.as_str());
    let reuse: String = args.reuse.iter().flat_map(|name| [" --reuse ", name.as_str()]).collect();
    let skip = args.skip_existing_in.iter();
    let skip: String = skip.flat_map(|name| [" --skip-existing-in ", name.as_str()]).collect();
    let Some(output) = &args.output else {
        return Next::plain(format!("pantler run {what}{reuse}{skip}{}", args.choices.again()));
    };
    let inputs: Vec<_> = args.input.iter().map(CollectionName::as_str).collect();
    let chain = args.chain.as_ref().map_or_else(String::new, |chain| format!(" --chain {chain}"));
    Next::command(format!(
        "run {what} -i {} -o {}{chain}{reuse}{skip}{}",
        inputs.join(","),
        quoted(output),
        args.choices.again()
    ))
}

/// The job that the arguments mean.
fn job(context: &Context, args: &Args) -> Result<Job, CommandError> {
    let (path, select) = split_selection(&context.absolute("".into()), args.what.as_str());
    let of_pipeline = !args.input.is_empty() || args.output.is_some() || args.chain.is_some();
    if path.is_dir() || !of_pipeline {
        if of_pipeline {
            return Err(CommandError::usage(format!(
                "{} is a project, and says itself what its inputs and outputs are: -i, -o and --chain go with a pipeline file",
                args.what
            )));
        }
        if path.is_file() {
            return Err(CommandError::usage(format!(
                "the pipeline {} needs to know its inputs (-i) and the RUN that it makes (-o)",
                args.what
            ))
            .next(Next::plain(format!(
                "pantler run {} -i COLLECTION -o RUN",
                quoted(args.what.as_str())
            ))));
        }
        if context.has_flag() {
            return Err(CommandError::usage(
                "--repo goes with a pipeline file; a project says itself where its repository is",
            ));
        }
        let mut job = Job::of_project(Project::read(&path)?);
        if !select.is_empty() {
            job.choices.select = select;
        }
        args.choices.add_to(context, &mut job.choices);
        job.reuse.clone_from(&args.reuse);
        job.skip_existing_in.clone_from(&args.skip_existing_in);
        return Ok(job);
    }
    let (Some(output), false) = (&args.output, args.input.is_empty()) else {
        return Err(CommandError::usage("a pipeline needs both -i COLLECTION and -o RUN"));
    };
    CollectionName::new(output.replace("{time}", "t")).map_err(CommandError::usage)?;
    let mut choices = Choices { select, ..Choices::default() };
    args.choices.add_to(context, &mut choices);
    Ok(Job {
        repository: context.repository()?.to_owned(),
        pipeline: canonical(&path)?,
        choices,
        inputs: args.input.clone(),
        output: output.clone(),
        chain: args.chain.clone(),
        reuse: args.reuse.clone(),
        skip_existing_in: args.skip_existing_in.clone(),
        project: None,
    })
}

/// A pipeline that is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the pipeline {path}")]
pub(crate) struct PipelineFileError {
    path: Utf8PathBuf,
    #[source]
    source: std::io::Error,
}

/// The pipeline's absolute path, by which the same command is recognised later.
pub(crate) fn canonical(path: &Utf8Path) -> Result<Utf8PathBuf, CommandError> {
    path.canonicalize_utf8().map_err(|source| {
        CommandError::failed(PipelineFileError { path: path.to_owned(), source })
            .state("nothing has changed")
    })
}

fn say_plan(context: &Context, plan: &JobPlan) -> CommandResult {
    let output = context.output();
    if plan.makes_repository {
        output.line(&format!("would make the repository {}", context.repository()?))?;
    }
    let new = plan.ingest.new.len();
    if new > 0 {
        output.line(&format!(
            "would ingest {}, {} there already",
            count(new, "file"),
            plan.ingest.skipped
        ))?;
        for (dataset, file) in &plan.ingest.new {
            output.line(&format!("  {dataset}  <- {file}"))?;
        }
    }
    output.line(&format!("would run {}:", count(plan.graph.len(), "quantum")))?;
    for index in plan.graph.quanta() {
        let quantum = plan.graph.quantum(index);
        output.line(&format!("  {} {}", quantum.task.label, quantum.data_id))?;
    }
    let mut table = Table::new(["task", "quanta"]).numbers([1]);
    for (task, quanta) in plan.graph.counts() {
        table.row([task.label.to_string(), quanta.to_string()]);
    }
    output.table(&table, "none")?;
    if !plan.graph.skipped().is_empty() {
        output.line(&summary::skipped(plan.graph.skipped()))?;
    }
    for pruned in plan.graph.pruned().iter().take(10) {
        output.line(&format!("left out: {pruned}"))?;
    }
    Ok(Status::Done)
}

fn say_report(context: &Context, report: &JobReport, again: &Next) -> Status {
    let output = context.output();
    let push = |line: String| output.say(&line);
    let run = &report.run;
    let next = |command: String| Next::command(command).text(context.located());
    let see = |collection: &CollectionName| {
        next(format!("query datasets --collections {collection} --find-first"))
    };
    summary::print(output, &report.summary, &report.root);
    push(String::new());
    match report.ending {
        Ending::Committed { datasets } => {
            push(format!(
                "committed {} in {}",
                count(datasets, "dataset"),
                time::human(report.wall)
            ));
            let folder = folder(context, run);
            match &report.chain {
                Some(chain) => push(format!("results: {chain}, with {run} in front; {folder}")),
                None => push(format!("results: {run}; {folder}")),
            }
            push(format!("see them: {}", see(report.chain.as_ref().unwrap_or(run))));
            Status::Done
        }
        Ending::Kept => {
            push(format!("all succeeded in {}", time::human(report.wall)));
            push(format!("now: workspace {run} is open, as asked for"));
            push(format!("next: {}", next(format!("workspace commit {run}"))));
            Status::Done
        }
        Ending::QuantaFailed => {
            push(format!("ended after {}", time::human(report.wall)));
            push(format!("now: workspace {run} is open; what succeeded is kept"));
            push(format!("next: {} (tries again what failed)", again.text(context.located())));
            push(format!("  or: {}", next(format!("workspace commit {run} --partial"))));
            push(format!("  or: {}", next(format!("workspace revert {run}"))));
            push(format!("  or: {}", next(format!("workspace abandon {run}"))));
            Status::QuantaFailed
        }
        Ending::Stopped => {
            push(format!("stopped after {}", time::human(report.wall)));
            push(format!("now: workspace {run} is open; what succeeded is kept"));
            push(format!("next: {}", again.text(context.located())));
            Status::Stopped
        }
    }
}

/// Where a RUN's artifacts are, as far as that can be said: the work is done.
fn folder(context: &Context, run: &CollectionName) -> String {
    let find = || -> Result<Utf8PathBuf, CommandError> {
        let butler = context.open_to_read()?;
        let collection = butler.registry().read(|reader| reader.collection(run))?;
        let root = butler.root().join(&butler.datastore().config().root);
        Ok(match collection {
            Some(c) => root.join(key::run_prefix(run, c.id).as_str()),
            None => root,
        })
    };
    find().map_or_else(|error| error.report(None), Utf8PathBuf::into_string)
}
