//! Building the quantum graph of a workspace.
//!
//! A killed build leaves a workspace without the file (it is created under another name
//! and put in place whole), and is simply run again.

mod inputs;
mod next;
mod request;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    sync::Arc,
};

use camino::Utf8Path;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::{CollectionName, DataId, IdSeed, OpeningId, Tai, TaskLabel};
use pantler_datastore::StorageError;
use pantler_direct::{DirectButler, TransactionFile, this_process};
use pantler_exec::{FreezeLock, RunnerLock};
use pantler_graph::{
    BuildError, DatasetOrigin, Explanation, GraphMetadata, GraphScope, Pipeline, Pruned,
    QuantumGraph, ResolvedPipeline, Skipped,
};
use pantler_registry::{Reader, RegistryError};

pub use self::request::BuildRequest;
pub(crate) use self::{inputs::Inputs, next::Next};
use crate::{
    Shard, WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    activation::{expect_init_inputs, has_quanta_of_tasks},
    client,
    create::{name_of, resolve},
    layout,
    needed::{Base, Needed},
    parts::{self, Parts},
    pipeline_file::of_workspace,
    reuse,
    reuse::Reusable,
    shard::Frozen,
    skip,
    skip::Searched,
};

/// What building did.
#[derive(Debug)]
pub struct Built {
    /// The whole graph, with what was built before; of one shard, what was built for that.
    pub graph: QuantumGraph,
    /// Whether it was there already, and nothing was done.
    pub before: bool,
    /// How many quanta are new.
    pub new: usize,
    /// What was not built, and why.
    pub pruned: Vec<Pruned>,
    /// What was not built since its outputs exist, or was although some of them do.
    pub skipped: Vec<Skipped>,
    /// Tasks with new quanta, and a task whose outputs they read although it was built in part
    /// only: what is built of it later they will not read.
    pub reads_part: Vec<(TaskLabel, TaskLabel)>,
    /// What may be taken over, where the workspace is to reuse something.
    pub reusable: Option<Reusable>,
}

/// Builds the graph of a workspace, or the part of it that is asked for, and writes it into
/// its root. What is built already stays as it is, and is built no second time.
///
/// Each call that finds something new adds a file `graph-<n>.qg`, which also holds the
/// built quanta whose outputs the new ones read. A kill leaves the file or not. Of two
/// calls at once, the one that comes second to a number starts again from the other's.
///
/// The RUNs of [`BuildRequest::skip_existing_in`] become inputs of the workspace. A part of
/// which all quanta are skipped is written, too: it says which collections were searched.
///
/// # Errors
/// [`WorkspaceError::NothingToDo`] if there are no quanta at all, with the reasons;
/// [`WorkspaceError::Build`] if quanta lack prerequisites; [`WorkspaceError::NotActive`] if a task has an init step that has not succeeded
/// ([`crate::prepare_activation`]). Nothing is written then.
pub fn build(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    request: &BuildRequest,
) -> Result<Built, WorkspaceError> {
    workspace.expect_graph()?;
    loop {
        let parts = Parts::list(workspace.root())?;
        let needed = Needed::find(workspace, request, &parts)?;
        let before = needed.numbers.clone();
        let read = parts.read(&needed.numbers)?;
        if request.is_covered(&read)? {
            let reusable = reuse::prepare(butler, workspace, &before)?;
            let graph = client::merged(workspace.root(), read)?;
            let (pruned, skipped, reads_part) = (Vec::new(), Vec::new(), Vec::new());
            let before = true;
            return Ok(Built { graph, before, new: 0, pruned, skipped, reads_part, reusable });
        }
        let base = Base { number: parts.next(), pipeline: needed.pipeline.clone(), parts: read };
        if let Some((built, number)) = build_next(butler, workspace, request, base, &needed)? {
            let numbers: Vec<u32> = before.into_iter().chain(number).collect();
            let reusable = reuse::prepare(butler, workspace, &numbers)?;
            return Ok(Built { reusable, ..built });
        }
    }
}

/// Refuses a request that cannot be built in an internal workspace whatever its init steps
/// make, before these are run. Changes nothing.
///
/// # Errors
/// [`WorkspaceError::SkipInOwnRun`]; [`WorkspaceError::UnknownTask`];
/// [`WorkspaceError::Build`] about a restriction of what the pipeline does not have.
pub fn check_request(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    request: &BuildRequest,
) -> Result<(), WorkspaceError> {
    workspace.expect_graph()?;
    let run = &workspace.transaction().run;
    skip::expect_other(run, &request.skip_existing_in)?;
    butler.registry().read(|reader| {
        let (_, mut runs) = skip::resolve(reader, &request.skip_existing_in)?;
        runs.retain(|other| other != run);
        skip::expect_unlocked(reader, &runs)
    })?;
    check_names(butler, workspace, request)
}

/// Refuses tasks and dimensions that the pipeline does not have.
pub(crate) fn check_names(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    request: &BuildRequest,
) -> Result<(), WorkspaceError> {
    let pipeline = match Parts::list(workspace.root())?.pipeline()? {
        Some(pipeline) => pipeline,
        None => Arc::new(resolve(butler, &of_workspace(butler, workspace)?)?),
    };
    check_tasks(&request.tasks, &pipeline)?;
    match request.build_scope(&request.restriction, None).unknown(&pipeline) {
        None => Ok(()),
        Some(dimension) => Err(WorkspaceError::Build(BuildError::NoSuchDimension { dimension })),
    }
}

/// Builds what comes after `base`, and says with which number it was written, if there is
/// anything new; `None` if another process was faster.
fn build_next(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    request: &BuildRequest,
    base: Base,
    needed: &Needed,
) -> Result<Option<(Built, Option<u32>)>, WorkspaceError> {
    let (root, run) = (workspace.root(), &workspace.transaction().run);
    pantler_seam::step("workspace.build.begin");
    let lock = enter(workspace)?;
    // While this is held no pipeline is replaced.
    if workspace.is_development()?
        && let Some(pipeline) = base.parts.first().map(QuantumGraph::pipeline)
        && !Parts::list(root)?.are_those(pipeline, base.number)?
    {
        return Ok(None);
    }
    let (searched, runs) = skip::lock(butler, workspace, &request.skip_existing_in)?;
    let next = Next::find(butler, workspace, request, base, (&searched, runs))?;
    let new_shards = next.new_shards.clone();
    let mut written = None;
    let built = next.written(|part, number, _| {
        if workspace.transaction().shard_by.is_empty() {
            written = Some(number);
            return write(part, root, number);
        }
        // Under the lock with which shards are frozen: one that freezes now sees the part.
        let _lock = FreezeLock::acquire(root, &this_process())?;
        let frozen = Frozen::among(root, &new_shards)?;
        // Of a root that was lost the database knows still.
        let row = butler.transaction(&name_of(run))?;
        let data = row.map(|row| WorkspaceTransaction::decode(&row.data, &[]));
        let committed = data.and_then(Result::ok).map(|now| now.committed).unwrap_or_default();
        expect_no_frozen(run, &new_shards, &frozen, &committed)?;
        let Some(number) = needed.number(root, number)? else { return Ok(false) };
        written = Some(number);
        let is_written = write(part, root, number)?;
        if is_written && let Some(shard) = &request.shard {
            parts::note(root, number, shard);
        }
        Ok(is_written)
    })?;
    drop(lock);
    Ok(built.map(|built| (built, written)))
}

/// Refuses to add to shards that are frozen; `new` are those that get quanta.
fn expect_no_frozen(
    run: &CollectionName,
    new: &BTreeSet<Shard>,
    frozen: &Frozen,
    committed: &BTreeSet<Shard>,
) -> Result<(), WorkspaceError> {
    let (done, rest): (Vec<Shard>, Vec<Shard>) =
        new.iter().cloned().partition(|shard| committed.contains(shard));
    let (frozen, open): (Vec<Shard>, Vec<Shard>) =
        rest.into_iter().partition(|shard| frozen.has(shard));
    let open = open.into_iter().filter(|shard| !shard.is_of_init_steps()).collect();
    if done.is_empty() && frozen.is_empty() {
        return Ok(());
    }
    Err(WorkspaceError::NewInFrozen { name: run.clone(), committed: done, frozen, open })
}

/// Keeps closers off while something is written into the root: as a runner, so that a closer
/// that has begun lets nobody in, and one that begins now waits.
pub(crate) fn enter(workspace: &WorkspaceClient) -> Result<RunnerLock, WorkspaceError> {
    let (root, run) = (workspace.root(), &workspace.transaction().run);
    let lock = RunnerLock::share(root, &this_process())?;
    if TransactionFile::read(root)?.is_none_or(|f| f.opening != workspace.file().opening) {
        return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
    }
    if layout::closing_marker(root).exists() {
        return Err(WorkspaceError::Closing(run.clone()));
    }
    Ok(lock)
}

/// Says why the workspace has a quantum of a task for a data ID, or would have one if the
/// request were built, or not. Writes nothing.
///
/// # Errors
/// [`WorkspaceError::UnknownTask`]; a [`DataIdError`](pantler_core::DataIdError) if the
/// values are not those of the task.
pub fn explain(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    request: &BuildRequest,
    task: &TaskLabel,
    values: &BTreeMap<String, String>,
) -> Result<Explanation, WorkspaceError> {
    let transaction = workspace.transaction();
    let parts = client::read_parts(workspace.root())?;
    let pipeline = match parts.first() {
        Some(first) => Arc::clone(first.pipeline()),
        None => Arc::new(resolve(butler, &of_workspace(butler, workspace)?)?),
    };
    check_tasks(&request.tasks, &pipeline)?;
    skip::expect_other(&transaction.run, &request.skip_existing_in)?;
    let resolved_in = |reader: &Reader| skip::resolve(reader, &request.skip_existing_in);
    let (searched, _) = butler.registry().read(resolved_in)?;
    let skip = Searched::new(&pipeline, &searched, &parts, None);
    let base = if parts.is_empty() { None } else { Some(client::merged(workspace.root(), parts)?) };
    let Some(resolved) = pipeline.tasks().iter().find(|t| t.label == *task) else {
        return Err(unknown_task(task, &pipeline));
    };
    let data_id = DataId::parse(butler.universe(), &resolved.dimensions, values)?;
    let source = Inputs::read(butler, &pipeline, &transaction.searched, &skip)?;
    let metadata = metadata(workspace, request.scope(&searched));
    let request = &request.with_init(&pipeline);
    let restriction = request.all_restrictions();
    let scope = request.build_scope(&restriction, base.as_ref());
    let failed = WorkspaceError::Build;
    let part = pantler_graph::outline_part(&pipeline, &source, metadata, &scope).map_err(failed)?;
    let graph = match base {
        None => part,
        Some(base) => client::merged(workspace.root(), vec![base, part])?,
    };
    let scope = request.build_scope(&restriction, None);
    let explained = pantler_graph::explain(&graph, &source, &scope, task, &data_id);
    explained.map_err(failed)?.ok_or_else(|| unknown_task(task, &pipeline))
}

fn metadata(workspace: &WorkspaceClient, scope: Option<GraphScope>) -> GraphMetadata {
    GraphMetadata {
        seed: IdSeed { opening: workspace.file().opening, generation: 0 },
        output_run: workspace.transaction().run.clone(),
        created_at: workspace.file().opened_at,
        scope,
    }
}

fn check_tasks(
    wanted: &BTreeSet<TaskLabel>,
    pipeline: &ResolvedPipeline,
) -> Result<(), WorkspaceError> {
    let has = |label: &TaskLabel| pipeline.tasks().iter().any(|task| task.label == *label);
    wanted.iter().find(|label| !has(label)).map_or(Ok(()), |task| Err(unknown_task(task, pipeline)))
}

fn unknown_task(task: &TaskLabel, pipeline: &ResolvedPipeline) -> WorkspaceError {
    let known: Vec<_> = pipeline.tasks().iter().map(|task| format!("`{}`", task.label)).collect();
    WorkspaceError::UnknownTask { task: task.clone(), known: known.join(", ") }
}

/// Builds a graph in memory and changes nothing.
///
/// # Errors
/// [`WorkspaceError::NothingToDo`] if there are no quanta, with the reasons.
pub fn plan(
    butler: &DirectButler,
    pipeline: &Pipeline,
    inputs: &[CollectionName],
    output: &CollectionName,
    opening: OpeningId,
    now: Tai,
) -> Result<QuantumGraph, WorkspaceError> {
    plan_skipping(butler, pipeline, inputs, &[], output, opening, now)
}

/// As [`plan`], without the quanta whose outputs are in `skip_existing_in`.
///
/// # Errors
/// Those of [`plan`]; [`WorkspaceError::NothingLeft`] if all quanta are skipped.
pub fn plan_skipping(
    butler: &DirectButler,
    pipeline: &Pipeline,
    inputs: &[CollectionName],
    skip_existing_in: &[CollectionName],
    output: &CollectionName,
    opening: OpeningId,
    now: Tai,
) -> Result<QuantumGraph, WorkspaceError> {
    let resolved = Arc::new(resolve(butler, pipeline)?);
    let searched = butler.registry().read(|reader| {
        let (searched, runs) = skip::resolve(reader, skip_existing_in)?;
        skip::expect_unlocked(reader, &runs)?;
        Ok::<_, RegistryError>(searched)
    })?;
    let skip = Searched::new(&resolved, &searched, &[], None);
    let source = Inputs::read(butler, &resolved, inputs, &skip)?;
    graph_of(&resolved, &source, output, opening, now)
}

/// Builds a graph from inputs that are already read.
pub(crate) fn graph_of(
    pipeline: &Arc<ResolvedPipeline>,
    source: &Inputs,
    output: &CollectionName,
    opening: OpeningId,
    now: Tai,
) -> Result<QuantumGraph, WorkspaceError> {
    let metadata = GraphMetadata {
        seed: IdSeed { opening, generation: 0 },
        output_run: output.clone(),
        created_at: now,
        scope: None,
    };
    let graph = pantler_graph::build(pipeline, source, metadata).map_err(WorkspaceError::Build)?;
    expect_init_inputs(output, pipeline, graph.pruned())?;
    if has_quanta_of_tasks(&graph) { Ok(graph) } else { Err(nothing_to_do(&graph)) }
}

fn nothing_to_do(graph: &QuantumGraph) -> WorkspaceError {
    if graph.skipped().iter().any(|own| own.quanta > 0) {
        return WorkspaceError::NothingLeft(graph.skipped().to_vec());
    }
    let reasons: Vec<_> = graph.pruned().iter().take(5).map(|p| format!("; {p}")).collect();
    WorkspaceError::NothingToDo(reasons.concat())
}

/// Refuses inputs that were put into a TAGGED collection after the transaction had noted
/// the RUNs that it reads: nothing would keep them from being removed meanwhile.
pub(crate) fn check_noted(
    graph: &QuantumGraph,
    transaction: &WorkspaceTransaction,
) -> Result<(), WorkspaceError> {
    if transaction.searched == transaction.input_runs {
        // No collection but RUNs was searched.
        return Ok(());
    }
    let inputs = graph.pipeline().overall_inputs();
    for index in graph.overall_inputs() {
        let dataset = graph.dataset(index);
        // Outputs that exist are in RUNs that the build itself has noted.
        if inputs.contains(&dataset.dataset_type)
            && let DatasetOrigin::Existing { run, .. } = dataset.origin
            && !transaction.input_runs.contains(&run)
        {
            return Err(WorkspaceError::InputsGrew { name: transaction.run.clone(), run });
        }
    }
    Ok(())
}

/// Writes a part of the graph; `false` if another process has taken its number.
pub(crate) fn write(
    graph: &QuantumGraph,
    root: &Utf8Path,
    number: u32,
) -> Result<bool, WorkspaceError> {
    let path = layout::graph_file(root, number);
    let mut bytes = Cursor::new(Vec::new());
    pantler_graph::write(graph, &mut bytes)
        .map_err(|source| WorkspaceError::GraphFile { path: path.clone(), source })?;
    pantler_seam::step("build.graph.write");
    match pantler_datastore::fs::write_new(&path, bytes.get_ref()) {
        Ok(()) => Ok(true),
        Err(StorageError::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether two graphs are of the same work: the same quanta of the same pipeline on
/// the same input datasets.
pub(crate) fn is_same_work(a: &QuantumGraph, b: &QuantumGraph) -> bool {
    let pipelines = |g: &QuantumGraph| Pipeline::digest(g.pipeline().pipeline());
    let inputs =
        |g: &QuantumGraph| g.overall_inputs().map(|i| g.dataset(i).id).collect::<BTreeSet<_>>();
    pipelines(a) == pipelines(b)
        && a.len() == b.len()
        && a.quanta().map(|q| a.quantum_id(q)).eq(b.quanta().map(|q| b.quantum_id(q)))
        && inputs(a) == inputs(b)
}
