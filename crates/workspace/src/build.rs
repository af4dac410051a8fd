//! Building the quantum graph of a workspace.
//!
//! A killed build leaves a workspace without the file (it is created under another name
//! and put in place whole), and is simply run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io::Cursor,
    sync::Arc,
};

use camino::Utf8Path;
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::{
    CollectionName, DataId, DatasetType, DatasetTypeName, DimensionRecord, ElementName, IdSeed,
    KeyValue, OpeningId, Restriction, Tai, TaskLabel, Universe,
};
use pantler_datastore::StorageError;
use pantler_direct::{DirectButler, TransactionFile, this_process};
use pantler_exec::{FreezeLock, RunnerLock};
use pantler_graph::{
    BuildError, BuildScope, BuildSource, DatasetOrigin, ExistingOutputs, Explanation,
    GraphMetadata, GraphScope, InputDataset, Pipeline, Pruned, QuantumGraph, QuantumIndex,
    ResolvedPipeline, ResolvedTask, Skipped,
};
use pantler_registry::{DatasetQuery, Reader, RegistryError};

use crate::{
    Shard, WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    activation::{expect_active, expect_init_inputs, has_quanta_of_tasks},
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

/// What is to be built; by default everything.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The tasks; none named stands for all.
    pub tasks: BTreeSet<TaskLabel>,
    /// The data IDs.
    pub restriction: Restriction,
    /// The shard; `None` for all. Only the parts of the graph that it needs are read.
    pub shard: Option<Shard>,
    /// The collections in search order whose datasets are not made again: a quantum is
    /// skipped if one of their RUNs or TAGGED collections has all that it must make, stored.
    /// Later requests search them again for the tasks of this one, behind their own.
    pub skip_existing_in: Vec<CollectionName>,
}

impl BuildRequest {
    /// The data IDs of the shard that are asked for.
    fn all_restrictions(&self) -> Restriction {
        let values = self.shard.iter().flat_map(Shard::values);
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        Restriction::of_values(values).and(self.restriction.clone())
    }

    /// The data IDs as the header of a part has them.
    fn restriction_text(&self) -> Option<String> {
        let restriction = self.all_restrictions();
        (!restriction.is_empty()).then(|| restriction.to_string())
    }

    /// What a part is built for; `searched` are the collections in which outputs were
    /// looked for.
    fn scope(&self, searched: &[CollectionName]) -> Option<GraphScope> {
        let tasks = (!self.tasks.is_empty()).then(|| self.tasks.clone());
        let restriction = self.restriction_text();
        let is_whole = tasks.is_none() && restriction.is_none() && searched.is_empty();
        let skip_existing_in = searched.to_vec();
        (!is_whole).then_some(GraphScope { tasks, restriction, skip_existing_in })
    }

    /// With [`Self::all_restrictions`].
    fn build_scope<'a>(
        &'a self,
        restriction: &'a Restriction,
        base: Option<&'a QuantumGraph>,
    ) -> BuildScope<'a> {
        BuildScope {
            tasks: (!self.tasks.is_empty()).then_some(&self.tasks),
            restriction: (!restriction.is_empty()).then_some(restriction),
            base,
        }
    }

    /// Whether nothing but init steps is asked for.
    fn is_init(&self, pipeline: &ResolvedPipeline) -> bool {
        let is_step = |label: &TaskLabel| {
            pipeline.task(label.as_str()).is_some_and(|task| task.definition.init_of().is_some())
        };
        !self.tasks.is_empty() && self.tasks.iter().all(is_step)
    }

    /// The same with the init steps of its tasks, as if these were active.
    fn with_init(&self, pipeline: &ResolvedPipeline) -> Self {
        let mut request = self.clone();
        if !request.tasks.is_empty() {
            let steps = pipeline.tasks().iter().filter(|task| task.definition.init_of().is_some());
            request.tasks.extend(steps.map(|task| task.label.clone()));
        }
        request
    }

    /// Whether parts that were built cover it: then nothing is looked up, and inputs that
    /// have come since make no difference.
    ///
    /// # Errors
    /// [`WorkspaceError::UnknownTask`].
    pub(crate) fn is_covered(&self, parts: &[QuantumGraph]) -> Result<bool, WorkspaceError> {
        let Some(first) = parts.first() else { return Ok(false) };
        check_tasks(&self.tasks, first.pipeline())?;
        Ok(self.is_covered_by(parts, first.pipeline()))
    }

    fn is_covered_by(&self, parts: &[QuantumGraph], pipeline: &ResolvedPipeline) -> bool {
        let restriction = self.restriction_text();
        pipeline
            .tasks()
            .iter()
            .map(|task| &task.label)
            .filter(|label| self.tasks.is_empty() || self.tasks.contains(*label))
            .all(|label| covers(parts, restriction.as_deref(), label))
    }

    /// See [`Built::reads_part`].
    fn reads_part(
        &self,
        parts: &[QuantumGraph],
        pipeline: &ResolvedPipeline,
    ) -> Vec<(TaskLabel, TaskLabel)> {
        let restriction = self.restriction_text();
        let asked = pipeline.tasks().iter().filter(|task| self.tasks.contains(&task.label));
        let mut found = Vec::new();
        for task in asked {
            let reads = |maker: &&ResolvedTask| {
                let made = |input: &DatasetTypeName| {
                    maker.outputs.iter().any(|output| output.dataset_type.name == *input)
                };
                task.inputs.iter().any(|input| made(&input.dataset_type.name))
            };
            let makers = pipeline.tasks().iter().filter(reads).map(|maker| &maker.label);
            let in_part = makers
                .filter(|label| !self.tasks.contains(*label))
                .filter(|label| !covers(parts, restriction.as_deref(), label));
            found.extend(in_part.map(|label| (task.label.clone(), label.clone())));
        }
        found
    }
}

/// Whether all quanta of a task are built that a restriction means.
fn covers(parts: &[QuantumGraph], restriction: Option<&str>, task: &TaskLabel) -> bool {
    parts.iter().any(|part| match &part.metadata().scope {
        None => true,
        Some(scope) => {
            (scope.restriction.is_none() || scope.restriction.as_deref() == restriction)
                && scope.tasks.as_ref().is_none_or(|tasks| tasks.contains(task))
        }
    })
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

/// What building would add.
pub(crate) struct Next {
    /// The number of the part.
    number: u32,
    /// How many quanta there were.
    before: usize,
    /// The part; `None` if there is nothing new.
    part: Option<QuantumGraph>,
    /// The whole graph with it; `None` if the part is the whole.
    whole: Option<QuantumGraph>,
    pruned: Vec<Pruned>,
    skipped: Vec<Skipped>,
    reads_part: Vec<(TaskLabel, TaskLabel)>,
    /// The shards that get quanta.
    new_shards: BTreeSet<Shard>,
}

impl Next {
    /// Builds what comes after `base` in memory. Outputs are looked for in `searched`, and
    /// in what its parts have searched, as far as they are in RUNs that the workspace reads.
    pub(crate) fn find(
        butler: &DirectButler,
        workspace: &WorkspaceClient,
        request: &BuildRequest,
        base: Base,
        (searched, runs): (&[CollectionName], BTreeSet<CollectionName>),
    ) -> Result<Self, WorkspaceError> {
        let transaction = workspace.transaction();
        let root = workspace.root();
        let Base { number, pipeline, parts } = base;
        let pipeline = match parts.first().map(|first| Arc::clone(first.pipeline())).or(pipeline) {
            // As it was when the workspace's graph was begun, whatever became of the file.
            Some(pipeline) => pipeline,
            None => Arc::new(resolve(butler, &of_workspace(butler, workspace)?)?),
        };
        check_tasks(&request.tasks, &pipeline)?;
        let skip = Searched::new(&pipeline, searched, &parts, Some(runs));
        let reads_part = request.reads_part(&parts, &pipeline);
        let base = if parts.is_empty() { None } else { Some(client::merged(root, parts)?) };
        expect_active(workspace, &pipeline, base.as_ref(), request)?;
        // What the transaction noted as read, also if a chain has grown since.
        let shard = request.shard.as_ref();
        let source = Inputs::read_for(butler, &pipeline, &transaction.searched, &skip, shard)?;
        let metadata = metadata(workspace, request.scope(searched));
        let restriction = request.all_restrictions();
        let scope = request.build_scope(&restriction, base.as_ref());
        let part = pantler_graph::build_part(&pipeline, &source, metadata, &scope)
            .map_err(WorkspaceError::Build)?;
        let pruned = part.pruned().to_vec();
        expect_init_inputs(&transaction.run, &pipeline, &pruned)?;
        let skipped = part.skipped().to_vec();
        let before = base.as_ref().map_or(0, QuantumGraph::len);
        let is_skipped = skipped.iter().any(|own| own.quanta > 0) && !searched.is_empty();
        if part.is_empty() && !is_skipped {
            // What was made for quanta that there are none of is nothing to do.
            let is_something =
                |base: &QuantumGraph| request.is_init(&pipeline) || has_quanta_of_tasks(base);
            let whole = Some(base.filter(is_something).ok_or_else(|| nothing_to_do(&part))?);
            let new_shards = BTreeSet::new();
            let (part, reads_part) = (None, Vec::new());
            return Ok(Self {
                number,
                before,
                part,
                whole,
                pruned,
                skipped,
                reads_part,
                new_shards,
            });
        }
        check_noted(&part, transaction)?;
        let is_new = |quantum: &QuantumIndex| {
            base.as_ref().is_none_or(|base| base.find(part.quantum_id(*quantum)).is_none())
        };
        let new_shards = part
            .quanta()
            .filter(|_| !transaction.shard_by.is_empty())
            .filter(is_new)
            .filter_map(|quantum| transaction.shard_of(&part, quantum))
            .collect();
        // The part is merged as it will be read.
        let whole =
            match base {
                None => None,
                Some(base) => Some(QuantumGraph::merge_two(&base, &part).map_err(|source| {
                    WorkspaceError::GraphParts { root: root.to_owned(), source }
                })?),
            };
        let part = Some(part);
        Ok(Self { number, before, part, whole, pruned, skipped, reads_part, new_shards })
    }

    /// Has it written, with its number and the whole graph at hand; `None` if that says that
    /// another process was faster.
    pub(crate) fn written(
        self,
        write: impl FnOnce(&QuantumGraph, u32, &QuantumGraph) -> Result<bool, WorkspaceError>,
    ) -> Result<Option<Built>, WorkspaceError> {
        let Self { number, before, part, whole, pruned, skipped, reads_part, new_shards: _ } = self;
        let (graph, is_new) = match (part, whole) {
            (None, None) => return Ok(None),
            (None, Some(whole)) => (whole, false),
            (Some(part), whole) => {
                if !write(&part, number, whole.as_ref().unwrap_or(&part))? {
                    return Ok(None);
                }
                (whole.unwrap_or(part), true)
            }
        };
        let new = graph.len() - before;
        let (before, reusable) = (!is_new, None);
        Ok(Some(Built { graph, before, new, pruned, skipped, reads_part, reusable }))
    }
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

/// The inputs of a pipeline as values.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) universe: Arc<Universe>,
    pub(crate) datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>>,
    pub(crate) records: BTreeMap<ElementName, Vec<DimensionRecord>>,
    pub(crate) outputs: BTreeMap<TaskLabel, Vec<ExistingOutputs>>,
}

impl Inputs {
    /// Reads the stored datasets that `inputs` offer, find-first, the outputs that `skip`
    /// finds, and all dimension records, from one state of the database.
    pub(crate) fn read(
        butler: &DirectButler,
        pipeline: &ResolvedPipeline,
        inputs: &[CollectionName],
        skip: &Searched,
    ) -> Result<Self, WorkspaceError> {
        Self::read_for(butler, pipeline, inputs, skip, None)
    }

    /// The same, without datasets of other shards than that one.
    fn read_for(
        butler: &DirectButler,
        pipeline: &ResolvedPipeline,
        inputs: &[CollectionName],
        skip: &Searched,
        shard: Option<&Shard>,
    ) -> Result<Self, WorkspaceError> {
        let universe = Arc::clone(butler.universe());
        let mut datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>> = BTreeMap::new();
        let (mut records, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        butler.registry().read(|reader| {
            for (data_id, types) in by_values(pipeline.overall_inputs(), shard) {
                let rows = reader.datasets(&DatasetQuery {
                    dataset_types: Some(types),
                    runs: Some(inputs.to_vec()),
                    data_id,
                    find_first: true,
                    ..DatasetQuery::default()
                })?;
                for dataset in rows.into_iter().filter_map(skip::stored) {
                    datasets.entry(dataset.dataset_type.clone()).or_default().push(dataset);
                }
            }
            outputs = skip.read(reader, pipeline)?;
            for element in universe.elements() {
                records.insert(element.name.clone(), reader.dimension_records(element)?);
            }
            Ok::<_, RegistryError>(())
        })?;
        Ok(Self { universe, datasets, records, outputs })
    }
}

/// The dataset types by the values of a shard that their datasets must have.
fn by_values(
    types: &[Arc<DatasetType>],
    shard: Option<&Shard>,
) -> BTreeMap<BTreeMap<ElementName, KeyValue>, Vec<DatasetTypeName>> {
    let mut found: BTreeMap<_, Vec<DatasetTypeName>> = BTreeMap::new();
    for dataset_type in types {
        let has = |name: &ElementName| dataset_type.dimensions.required().contains(name);
        let values = shard.into_iter().flat_map(Shard::values).filter(|(name, _)| has(name));
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        found.entry(values.collect()).or_default().push(dataset_type.name.clone());
    }
    found
}

impl BuildSource for Inputs {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.get(dataset_type).cloned().unwrap_or_default())
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(self.records.get(element).cloned().unwrap_or_default())
    }

    fn existing_outputs(&self, task: &ResolvedTask) -> Result<Vec<ExistingOutputs>, Infallible> {
        Ok(self.outputs.get(&task.label).cloned().unwrap_or_default())
    }
}
