//! Running a job: repository, records, ingest, workspace, init steps, graph, quanta, commit.
//!
//! Killed at any instruction and called again, it goes on: a half-made repository is
//! made, an open ingest of the same files is finished, an open workspace of the same
//! work is built, run and committed. The connection to the database is closed while
//! quanta run.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use pantler_butler::request::{StoreProgress, StoreReport};
use pantler_core::{
    CollectionName, TaskLabel,
    changes::Change,
    transaction::{Closing, TransactionRow},
};
use pantler_direct::{
    ButlerError, CloseOptions, CreateError, CreateOptions, DirectButler, Environment,
    create as create_repository, this_process,
};
use pantler_exec::{LockError, Observer, RunSummary, RunnerLock};
use pantler_graph::{QuantumGraph, Skipped};
use pantler_registry::{DatasetQuery, OpenOptions};

use super::{
    Job, Project, ProjectError,
    plan::{Prepared, prepare},
};
use crate::{
    BuildRequest, CloseNotice, RunOptions, WorkspaceClient, WorkspaceError, WorkspaceInfo,
    WorkspaceRequest,
    activation::{has_quanta_of_tasks, prepare_activation},
    build::{is_same_work, plan_skipping as plan_graph},
    client::read_parts,
    close,
    create::{create, open_butler},
    list,
    pipeline_file::read_pipeline,
    reuse::Reusable,
    skip::resolve,
};

/// Choices of one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobOptions {
    /// Start a new workspace beside an open one of this project.
    pub new: bool,
    /// Leave the workspace open when all quanta have succeeded.
    pub no_commit: bool,
    /// Take over from a holder that is not known to be dead.
    pub take_over: bool,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Notice<'a> {
    /// The repository was made.
    RepositoryMade(&'a Utf8PathBuf),
    /// The ingest ended.
    Ingested(&'a StoreReport),
    /// An open workspace is gone on with.
    Resuming(&'a TransactionRow),
    /// A workspace was opened.
    Created(&'a WorkspaceClient),
    /// The graph is there.
    Built(&'a QuantumGraph),
    /// Quanta were skipped since their outputs exist, or built although some of them do.
    Skipped(&'a [Skipped]),
    /// What may be taken over was looked up.
    Reusable(&'a Reusable),
    /// An open workspace has no quanta, all that they would make exists by now: it is reverted.
    NothingLeft(&'a CollectionName),
    /// Init steps have succeeded with other files than there are today; what they have made is
    /// kept.
    InitStepsChanged(&'a WorkspaceClient, &'a [TaskLabel]),
    /// All quanta succeeded; the closing transaction begins.
    Committing,
    /// The closing waits for a process.
    WaitingFor(&'a str),
}

/// Follows a run.
pub trait JobProgress: Observer {
    /// Something happened.
    fn notice(&mut self, notice: &Notice<'_>);

    /// Follows the ingest.
    fn ingest(&self) -> &dyn StoreProgress;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything succeeded and is committed.
    Committed {
        /// Datasets in the output RUN.
        datasets: usize,
    },
    /// Everything succeeded; the workspace is open, as asked for.
    Kept,
    /// Some quanta failed; the workspace is open.
    QuantaFailed,
    /// It was asked to stop; the workspace is open.
    Stopped,
}

/// What a run did.
#[derive(Debug)]
pub struct JobReport {
    /// The repository.
    pub repository: Utf8PathBuf,
    /// The output RUN, also the workspace's name.
    pub run: CollectionName,
    /// The chain.
    pub chain: Option<CollectionName>,
    /// The workspace's root, while it is open.
    pub root: Utf8PathBuf,
    /// What was ingested.
    pub ingest: Option<StoreReport>,
    /// Whether an open workspace was gone on with.
    pub resumed: bool,
    /// What the quanta did.
    pub summary: RunSummary,
    /// How it ended.
    pub ending: Ending,
    /// How long all of it took.
    pub wall: Duration,
}

/// Runs a job from ingest to commit.
///
/// # Errors
/// [`ProjectError`]; what is open then is named in it, and the same call goes on.
pub fn run(
    job: &Job,
    options: JobOptions,
    environment: &Environment,
    execution: &RunOptions<'_>,
    progress: &mut dyn JobProgress,
) -> Result<JobReport, ProjectError> {
    let started = Instant::now();
    let database = OpenOptions::default();
    if let Some(project) = &job.project
        && !project.repository.join("pantler.yaml").exists()
    {
        prepare(None, job)?;
        make_repository(project, progress)?;
    }
    let butler = open_butler(&job.repository, environment.clone(), &database)?;
    let prepared = prepare(Some(&butler), job)?;
    let lock = if options.new { None } else { lock_project(&butler, job)? };
    let ingest = match &job.project {
        Some(project) => Some(ingest(&butler, project, prepared, options, progress)?),
        None => None,
    };
    let (workspace, resumed) = match resume(&butler, job, options)? {
        Some((workspace, row)) => {
            expect_something_left(&butler, job, &workspace, progress)?;
            progress.notice(&Notice::Resuming(&row));
            (workspace, true)
        }
        None => (open_workspace(&butler, job)?, false),
    };
    if !resumed {
        progress.notice(&Notice::Created(&workspace));
    }
    let report = |summary: RunSummary, ending: Ending| JobReport {
        repository: job.repository.clone(),
        run: workspace.transaction().run.clone(),
        chain: workspace.transaction().chain.clone(),
        root: workspace.root().to_owned(),
        ingest: ingest.clone(),
        resumed,
        summary,
        ending,
        wall: started.elapsed(),
    };
    let activation = prepare_activation(&butler, &workspace, &BTreeSet::new())?;
    if !activation.changed().is_empty() {
        progress.notice(&Notice::InitStepsChanged(&workspace, activation.changed()));
    }
    let butler = if activation.pending() == 0 {
        butler
    } else {
        drop(butler);
        if let Some(summary) = workspace.activate(&activation, execution, progress)?
            && !summary.is_done()
        {
            let ending = if summary.stopped { Ending::Stopped } else { Ending::QuantaFailed };
            return Ok(report(summary, ending));
        }
        open_butler(&job.repository, environment.clone(), &database)?
    };
    let request =
        BuildRequest { skip_existing_in: job.skip_existing_in.clone(), ..BuildRequest::default() };
    let built = crate::build(&butler, &workspace, &request)?;
    let graph = built.graph;
    progress.notice(&Notice::Built(&graph));
    if !built.skipped.is_empty() {
        progress.notice(&Notice::Skipped(&built.skipped));
    }
    if let Some(reusable) = &built.reusable {
        progress.notice(&Notice::Reusable(reusable));
    }
    drop(butler);

    let summary = workspace.run(&graph, execution, progress)?;

    let name = workspace.transaction().run.clone();
    let ending = if summary.stopped {
        Ending::Stopped
    } else if !summary.is_complete() {
        Ending::QuantaFailed
    } else if options.no_commit {
        Ending::Kept
    } else {
        progress.notice(&Notice::Committing);
        let butler = open_butler(&job.repository, environment.clone(), &database)?;
        commit(&butler, &name, progress)?;
        Ending::Committed { datasets: datasets_in(&butler, &name)? }
    };
    drop(lock);
    Ok(report(summary, ending))
}

fn make_repository(project: &Project, progress: &mut dyn JobProgress) -> Result<(), ProjectError> {
    let universe = project.read_universe()?;
    match create_repository(&project.repository, &universe, &CreateOptions::default()) {
        Ok(()) => {
            progress.notice(&Notice::RepositoryMade(&project.repository));
            Ok(())
        }
        // Another process made it in the meantime.
        Err(CreateError::Exists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One run of a project at a time: a lock that the kernel releases when the process
/// ends. The file is beside the roots of the project's workspaces.
fn lock_project(butler: &DirectButler, job: &Job) -> Result<Option<RunnerLock>, ProjectError> {
    let Some(project) = &job.project else { return Ok(None) };
    let folder = butler.workspace_parent(&project.name);
    std::fs::create_dir_all(&folder)
        .map_err(|source| ProjectError::Io { path: folder.clone(), source })?;
    match RunnerLock::acquire(&folder, &this_process(), false) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Locked { holder, .. }) => {
            Err(ProjectError::Running { dir: project.dir.clone(), holder })
        }
        Err(error) => Err(WorkspaceError::from(error).into()),
    }
}

fn ingest(
    butler: &DirectButler,
    project: &Project,
    prepared: Prepared,
    options: JobOptions,
    progress: &mut dyn JobProgress,
) -> Result<StoreReport, ProjectError> {
    let Prepared { files, records, .. } = prepared;
    if !records.is_empty() {
        let now = butler.environment().clock.now();
        butler
            .registry()
            .write(|writer| writer.apply(&[Change::EnsureDimensionRecords(records)], now))?;
    }
    let mut request = project.ingest_request(files);
    request.options.take_over = options.take_over;
    let report = butler.ingest(&request, progress.ingest())?;
    progress.notice(&Notice::Ingested(&report));
    Ok(report)
}

/// Finds an open workspace of this job with the same work and takes it over.
fn resume(
    butler: &DirectButler,
    job: &Job,
    options: JobOptions,
) -> Result<Option<(WorkspaceClient, TransactionRow)>, ProjectError> {
    if options.new {
        return Ok(None);
    }
    let key = job.key();
    let open: Vec<WorkspaceInfo> = list(butler)?
        .into_iter()
        .filter(|info| info.transaction.project.as_ref() == Some(&key))
        .collect();
    let mut other = None;
    for info in open {
        match difference(butler, job, &info)? {
            None => return take_over(butler, info, options).map(Some),
            Some(what) => {
                other = Some(ProjectError::OtherWork { name: info.transaction.run, what });
            }
        }
    }
    other.map_or(Ok(None), Err)
}

/// What an open workspace does differently from the job; `None` if it is the same.
fn difference(
    butler: &DirectButler,
    job: &Job,
    info: &WorkspaceInfo,
) -> Result<Option<&'static str>, ProjectError> {
    let pipeline = read_pipeline(&job.pipeline, &job.choices)?;
    if pipeline.digest() != info.transaction.pipeline_digest {
        return Ok(Some("pipeline"));
    }
    if job.inputs != info.transaction.inputs || job.chain != info.transaction.chain {
        return Ok(Some("list of input collections or chain"));
    }
    let (root, file) = butler.workspace_file(&info.row)?;
    let client = WorkspaceClient::new(root, file, butler.root())?;
    if job.reuse != info.transaction.reuse {
        return Ok(Some("list of collections to reuse"));
    }
    let parts = read_parts(client.root())?;
    if parts.is_empty() {
        return Ok(None);
    }
    let (searched, _) = butler.registry().read(|r| resolve(r, &job.skip_existing_in))?;
    let scopes = parts.iter().filter_map(|part| part.metadata().scope.as_ref());
    let built_with: Vec<_> = scopes.flat_map(|scope| &scope.skip_existing_in).collect();
    let built_with_is_empty = built_with.is_empty();
    let is_same_list = built_with.into_iter().eq(&searched);
    let built = client.graph()?;
    if built_with_is_empty && !has_quanta_of_tasks(&built) {
        // Its tasks may have been activated, and nothing else.
        return Ok(None);
    }
    let wanted = plan_graph(
        butler,
        &pipeline,
        &job.inputs,
        &job.skip_existing_in,
        &info.transaction.run,
        info.row.opening,
        info.row.opened_at,
    );
    let same = match wanted {
        Ok(wanted) => is_same_work(&built, &wanted),
        // Nothing was built: that is what it is.
        Err(WorkspaceError::NothingLeft(_)) if !has_quanta_of_tasks(&built) => return Ok(None),
        Err(WorkspaceError::NothingToDo(_) | WorkspaceError::NothingLeft(_)) => false,
        Err(error) => return Err(error.into()),
    };
    Ok((!same).then_some(if is_same_list {
        "set of input datasets"
    } else {
        "list of collections in which outputs exist"
    }))
}

/// Ends a workspace that has no quanta of tasks yet, as if it had never been opened, if all
/// that they would make exists by now: what another run has made in the meantime.
fn expect_something_left(
    butler: &DirectButler,
    job: &Job,
    workspace: &WorkspaceClient,
    progress: &mut dyn JobProgress,
) -> Result<(), ProjectError> {
    if job.skip_existing_in.is_empty()
        || workspace.graph_if_built()?.is_some_and(|graph| has_quanta_of_tasks(&graph))
    {
        return Ok(());
    }
    let transaction = workspace.transaction();
    let pipeline = read_pipeline(&job.pipeline, &job.choices)?;
    let file = workspace.file();
    let planned = plan_graph(
        butler,
        &pipeline,
        &job.inputs,
        &job.skip_existing_in,
        &transaction.run,
        file.opening,
        file.opened_at,
    );
    match planned {
        Err(left @ WorkspaceError::NothingLeft(_)) => {
            progress.notice(&Notice::NothingLeft(&transaction.run));
            let mut waiting = Waiting(progress);
            let options = CloseOptions::default();
            close(butler, &transaction.run, Closing::Revert, options, &mut waiting)?;
            Err(left.into())
        }
        // Whatever it is, building says it.
        _ => Ok(()),
    }
}

fn take_over(
    butler: &DirectButler,
    info: WorkspaceInfo,
    options: JobOptions,
) -> Result<(WorkspaceClient, TransactionRow), ProjectError> {
    let name = info.transaction.run.clone();
    match butler.take_over(&info.row, info.transaction, options.take_over) {
        Ok(open) => drop(open),
        Err(ButlerError::Held { process, .. }) => {
            return Err(ProjectError::AtWork { name, process });
        }
        Err(ButlerError::ClosingBegan { closing, .. }) => {
            return Err(ProjectError::ClosingBegan { name, closing });
        }
        Err(error) => return Err(error.into()),
    }
    let (root, file) = butler.workspace_file(&info.row)?;
    let client = WorkspaceClient::new(root, file, butler.root())?;
    client.take_marker_away()?;
    Ok((client, info.row))
}

/// Opens a new workspace, after building its graph in memory shows that there is
/// something to do. Its name has the time to the millisecond; one that is taken
/// already gets the next.
fn open_workspace(butler: &DirectButler, job: &Job) -> Result<WorkspaceClient, ProjectError> {
    const TRIES: i64 = 1000;
    let now = butler.environment().clock.now();
    let opening = butler.environment().new_opening();
    let first = job.output_at(now, 0)?;
    let pipeline = read_pipeline(&job.pipeline, &job.choices)?;
    let skip = &job.skip_existing_in;
    plan_graph(butler, &pipeline, &job.inputs, skip, &first, opening, now)?;
    let mut offset = 0;
    loop {
        let request = WorkspaceRequest {
            run: job.output_at(now, offset)?,
            chain: job.chain.clone(),
            inputs: job.inputs.clone(),
            pipeline: job.pipeline.clone(),
            choices: job.choices.clone(),
            reuse: job.reuse.clone(),
            project: Some(job.key()),
            shard_by: Vec::new(),
        };
        match create(butler, opening, &request) {
            Err(WorkspaceError::RunExists(_) | WorkspaceError::NameInUse { .. })
                if job.output.contains("{time}") && offset < TRIES =>
            {
                offset += 1;
            }
            other => return Ok(other?),
        }
    }
}

struct Waiting<'a>(&'a mut dyn JobProgress);

impl CloseNotice for Waiting<'_> {
    fn waiting_for(&mut self, holder: &str) {
        self.0.notice(&Notice::WaitingFor(holder));
    }
}

fn commit(
    butler: &DirectButler,
    name: &CollectionName,
    progress: &mut dyn JobProgress,
) -> Result<(), ProjectError> {
    let closed =
        close(butler, name, Closing::Commit, CloseOptions::default(), &mut Waiting(progress));
    match closed {
        Ok(_) => Ok(()),
        Err(WorkspaceError::Close(source)) => {
            Err(ProjectError::Commit { name: name.clone(), source: Box::new(source) })
        }
        Err(error) => Err(error.into()),
    }
}

fn datasets_in(butler: &DirectButler, run: &CollectionName) -> Result<usize, ProjectError> {
    let query = DatasetQuery { runs: Some(vec![run.clone()]), ..DatasetQuery::default() };
    Ok(butler.query_datasets(&query)?.len())
}
