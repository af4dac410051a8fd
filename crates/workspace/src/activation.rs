//! Activating tasks: what they need and make once is there before any of their quanta.
//!
//! The init step of a task is a quantum without dimensions ([`Pipeline::init_step`]). Activation
//! builds those of the tasks as a part of the graph, and runs them:
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | 1. the init steps are built | `graph-<n>.qg` | a graph whose only quanta are init steps |
//! | 2. they are run, as any quanta | outputs, journal | what a run leaves |
//!
//! The same call goes on, and so do a build and `pantler run`. Other quanta are built only when
//! the init steps of their tasks have succeeded.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use pantler_core::{Checksum, CollectionName, DatasetTypeName, QuantumId, TaskLabel};
use pantler_direct::DirectButler;
use pantler_exec::{
    JournalState, Observer, QuantumHistory, QuantumStatus, RunSummary, Selection, Standing,
    TaskIdentity, WorkspaceStatus, current_successes, task_identities_of,
};
use pantler_graph::{Pipeline, PruneReason, Pruned, QuantumGraph, QuantumIndex, ResolvedPipeline};

use crate::{
    BuildRequest, RunOptions, WorkspaceClient, WorkspaceError, build,
    external::ExternalWorkspace,
    layout,
    pipeline_file::{kept, kept_in_root},
};

/// An init-input that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "task `{task}` cannot be activated: its init-input `{input}` is a `{dataset_type}`, {}",
    .producer.as_ref().map_or_else(
        || "and the input collections have none".to_owned(),
        |producer| format!("which the init step of task `{producer}` makes, and that is not active"),
    )
)]
pub struct MissingInitInput {
    /// The workspace.
    pub name: CollectionName,
    /// The task.
    pub task: TaskLabel,
    /// The connection.
    pub input: String,
    /// The dataset type.
    pub dataset_type: DatasetTypeName,
    /// The task whose init step makes it; `None` for an overall input.
    pub producer: Option<TaskLabel>,
}

/// The init steps of some tasks, built.
#[derive(Debug)]
pub struct Activation {
    graph: Option<QuantumGraph>,
    steps: usize,
    pending: Vec<QuantumId>,
    changed: Vec<TaskLabel>,
}

/// The init step of a task, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskActivation {
    /// The task.
    pub task: TaskLabel,
    /// Where its init step stands; `None` if it is not built. The task is active if that
    /// succeeded.
    pub status: Option<QuantumStatus>,
}

impl TaskActivation {
    /// Whether quanta of the task can be built.
    pub fn is_active(&self) -> bool {
        self.status == Some(QuantumStatus::Succeeded)
    }
}

impl Activation {
    /// How many init steps there are.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How many of them have not succeeded yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The init steps that have succeeded and would not run the same today: files that their
    /// commands name are not what they were. What they have made is kept until they are reset.
    pub fn changed(&self) -> &[TaskLabel] {
        &self.changed
    }
}

/// Builds the init steps of tasks, of all if none is named; [`WorkspaceClient::activate`] runs
/// them. In a workspace with shards they are those of all tasks: their outputs enter the
/// repository together. Again: nothing is built.
///
/// # Errors
/// [`WorkspaceError::UnknownTask`]; [`WorkspaceError::MissingInitInput`].
pub fn prepare_activation(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    tasks: &BTreeSet<TaskLabel>,
) -> Result<Activation, WorkspaceError> {
    prepare(butler, workspace, tasks, |request| Ok(build(butler, workspace, request)?.graph))
}

impl ExternalWorkspace {
    /// See [`prepare_activation`].
    ///
    /// # Errors
    /// Those of [`prepare_activation`] and of [`Self::build`].
    pub fn prepare_activation(
        &self,
        butler: &DirectButler,
        tasks: &BTreeSet<TaskLabel>,
    ) -> Result<Activation, WorkspaceError> {
        prepare(butler, self.client(), tasks, |request| Ok(self.build(butler, request)?.graph))
    }
}

fn prepare(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    tasks: &BTreeSet<TaskLabel>,
    build: impl FnOnce(&BuildRequest) -> Result<QuantumGraph, WorkspaceError>,
) -> Result<Activation, WorkspaceError> {
    workspace.expect_graph()?;
    let nothing = Activation { graph: None, steps: 0, pending: Vec::new(), changed: Vec::new() };
    // Pipelines of workspaces that keep none are older than init steps.
    let Some(pipeline) = kept(butler, workspace)? else { return Ok(nothing) };
    if let Some(task) = tasks.iter().find(|task| !pipeline.tasks().contains_key(*task)) {
        let known: Vec<_> = pipeline.tasks().keys().map(|task| format!("`{task}`")).collect();
        return Err(WorkspaceError::UnknownTask { task: task.clone(), known: known.join(", ") });
    }
    let is_all = tasks.is_empty() || !workspace.transaction().shard_by.is_empty();
    let meant = pipeline.tasks().iter().filter(|(label, task)| match task.init_of() {
        None => false,
        Some(of) => is_all || tasks.contains(of) || tasks.contains(*label),
    });
    let steps: BTreeSet<TaskLabel> = meant.map(|(label, _)| label.clone()).collect();
    if steps.is_empty() {
        return Ok(nothing);
    }
    let graph = build(&BuildRequest { tasks: steps.clone(), ..BuildRequest::default() })?;
    let succeeded = succeeded_steps(workspace.root(), &graph)?;
    let is_pending = |index: &QuantumIndex| {
        let label = &graph.quantum(*index).task.label;
        steps.contains(label) && !succeeded.contains(label)
    };
    let pending: Vec<QuantumIndex> = init_quanta(&graph).filter(is_pending).collect();
    for index in &pending {
        expect_upstream(workspace, &graph, *index, (&pending, &succeeded))?;
    }
    let pending = pending.into_iter().map(|index| graph.quantum_id(index)).collect();
    let changed = changed_steps(workspace, &graph, &steps)?;
    Ok(Activation { steps: steps.len(), pending, changed, graph: Some(graph) })
}

impl WorkspaceClient {
    /// Runs the init steps of an activation that have not succeeded yet; `None` if all have.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub fn activate(
        &self,
        activation: &Activation,
        options: &RunOptions<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Option<RunSummary>, WorkspaceError> {
        let Some(graph) = activation.graph.as_ref().filter(|_| activation.pending() > 0) else {
            return Ok(None);
        };
        let selection = Selection { quanta: activation.pending.clone(), tasks: Vec::new() };
        let RunOptions { jobs, tasks, environment, stop, clock, selection: _ } = *options;
        let options = RunOptions { selection: &selection, jobs, tasks, environment, stop, clock };
        self.run(graph, &options, observer).map(Some)
    }

    /// The tasks that have an init step, and where that stands. Needs no database; says
    /// nothing about a workspace without a graph that keeps no pipeline.
    ///
    /// # Errors
    /// [`WorkspaceError::PipelineFile`] or [`WorkspaceError::Journal`] if a file is damaged.
    pub fn activations(
        &self,
        graph: Option<&QuantumGraph>,
    ) -> Result<Vec<TaskActivation>, WorkspaceError> {
        let Some(graph) = graph else {
            let kept = kept_in_root(self)?;
            return Ok(kept.iter().flat_map(unbuilt).collect());
        };
        if !graph.pipeline().tasks().iter().any(|task| task.definition.init_of().is_some()) {
            return Ok(Vec::new());
        }
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let status = WorkspaceStatus::of(graph, &journal);
        let of_task = graph.tasks().filter_map(|(task, mut quanta)| {
            let of = task.definition.init_of()?;
            let status = quanta.next().map(|index| status.quantum(index));
            Some(TaskActivation { task: of.clone(), status })
        });
        Ok(of_task.collect())
    }
}

fn unbuilt(pipeline: &Pipeline) -> impl Iterator<Item = TaskActivation> {
    let tasks = pipeline.tasks().values().filter_map(|task| task.init_of());
    tasks.map(|task| TaskActivation { task: task.clone(), status: None })
}

/// Refuses to build quanta of tasks whose init steps have not succeeded.
pub(crate) fn expect_active(
    workspace: &WorkspaceClient,
    pipeline: &ResolvedPipeline,
    base: Option<&QuantumGraph>,
    request: &BuildRequest,
) -> Result<(), WorkspaceError> {
    let is_meant = |label: &TaskLabel| request.tasks.is_empty() || request.tasks.contains(label);
    let steps = pipeline.tasks().iter().filter_map(|task| Some((task, task.definition.init_of()?)));
    let mut needed = steps.filter(|(_, of)| is_meant(of)).peekable();
    if needed.peek().is_none() {
        return Ok(());
    }
    let succeeded = match base {
        Some(base) => succeeded_steps(workspace.root(), base)?,
        None => BTreeSet::new(),
    };
    match needed.find(|(step, _)| !succeeded.contains(&step.label)) {
        None => Ok(()),
        Some((_, task)) => Err(WorkspaceError::NotActive {
            name: workspace.transaction().run.clone(),
            task: task.clone(),
        }),
    }
}

/// Refuses init steps of a graph that have not succeeded.
pub(crate) fn expect_all_active(
    root: &Utf8Path,
    run: &CollectionName,
    graph: &QuantumGraph,
) -> Result<(), WorkspaceError> {
    let succeeded = succeeded_steps(root, graph)?;
    let is_left = |index: &QuantumIndex| !succeeded.contains(&graph.quantum(*index).task.label);
    let left = init_quanta(graph).find(is_left);
    match left.and_then(|index| graph.quantum(index).task.definition.init_of()) {
        None => Ok(()),
        Some(task) => Err(WorkspaceError::NotActive { name: run.clone(), task: task.clone() }),
    }
}

/// Refuses an init step that cannot be built: nothing else is left out of it.
pub(crate) fn expect_init_inputs(
    run: &CollectionName,
    pipeline: &ResolvedPipeline,
    pruned: &[Pruned],
) -> Result<(), WorkspaceError> {
    let init_of = |label: &TaskLabel| {
        let task = pipeline.tasks().iter().find(|task| task.label == *label);
        task.and_then(|task| task.definition.init_of())
    };
    for one in pruned {
        let Some(task) = init_of(&one.task) else { continue };
        if let PruneReason::MissingInput { input, dataset_type, producer } = &one.reason {
            return Err(Box::new(MissingInitInput {
                name: run.clone(),
                task: task.clone(),
                input: input.clone(),
                dataset_type: dataset_type.clone(),
                producer: producer.as_ref().and_then(init_of).cloned(),
            })
            .into());
        }
    }
    Ok(())
}

/// Refuses an init step whose init-inputs are not there, and would not be made with it.
fn expect_upstream(
    workspace: &WorkspaceClient,
    graph: &QuantumGraph,
    index: QuantumIndex,
    (pending, succeeded): (&[QuantumIndex], &BTreeSet<TaskLabel>),
) -> Result<(), WorkspaceError> {
    let view = graph.quantum(index);
    for input in &view.inputs {
        for producer in input.datasets.iter().filter_map(|dataset| graph.producer(*dataset)) {
            let made_by = graph.quantum(producer).task;
            if pending.contains(&producer) || succeeded.contains(&made_by.label) {
                continue;
            }
            return Err(Box::new(MissingInitInput {
                name: workspace.transaction().run.clone(),
                task: view.task.definition.init_of().unwrap_or(&view.task.label).clone(),
                input: input.connection.name.clone(),
                dataset_type: input.connection.dataset_type.name.clone(),
                producer: made_by.definition.init_of().cloned(),
            })
            .into());
        }
    }
    Ok(())
}

/// Whether there are other quanta than init steps.
pub fn has_quanta_of_tasks(graph: &QuantumGraph) -> bool {
    let mut of_tasks = graph.tasks().filter(|(task, _)| task.definition.init_of().is_none());
    of_tasks.any(|(_, mut quanta)| quanta.next().is_some())
}

/// The quanta of init steps.
pub(crate) fn init_quanta(graph: &QuantumGraph) -> impl Iterator<Item = QuantumIndex> {
    let steps = graph.tasks().filter(|(task, _)| task.definition.init_of().is_some());
    steps.flat_map(|(_, quanta)| quanta)
}

/// Those of `steps` that have succeeded and are not today what they were then.
fn changed_steps(
    workspace: &WorkspaceClient,
    graph: &QuantumGraph,
    steps: &BTreeSet<TaskLabel>,
) -> Result<Vec<TaskLabel>, WorkspaceError> {
    let of_steps: Vec<QuantumIndex> =
        init_quanta(graph).filter(|q| steps.contains(&graph.quantum(*q).task.label)).collect();
    let ids: Vec<QuantumId> = of_steps.iter().map(|index| graph.quantum_id(*index)).collect();
    let journal = JournalState::read_only(&layout::journal_dir(workspace.root()), &ids)?;
    let mut then = BTreeMap::new();
    for (index, id) in of_steps.iter().zip(&ids) {
        let Some(Standing::Succeeded { finish, .. }) =
            journal.quantum(*id).map(QuantumHistory::standing)
        else {
            continue;
        };
        let label = &graph.quantum(*index).task.label;
        let runner = journal.segments().iter().find(|segment| segment.runner == finish.runner);
        let header = runner.and_then(|segment| segment.header.as_ref());
        if let Some(fingerprint) = header.and_then(|header| header.tasks.get(label)) {
            then.insert(label.clone(), *fingerprint);
        }
    }
    if then.is_empty() {
        return Ok(Vec::new());
    }
    let folder = workspace.pipeline().parent().unwrap_or(workspace.pipeline());
    let now = task_identities_of(graph.pipeline(), folder, &|task| then.contains_key(&task.label));
    let now_of = |label: &TaskLabel| now.get(label).map(TaskIdentity::fingerprint);
    then.retain(|label, fingerprint: &mut Checksum| now_of(label) != Some(*fingerprint));
    Ok(then.into_keys().collect())
}

/// The labels of the init steps that have succeeded.
fn succeeded_steps(
    root: &Utf8Path,
    graph: &QuantumGraph,
) -> Result<BTreeSet<TaskLabel>, WorkspaceError> {
    let ids: Vec<QuantumId> = init_quanta(graph).map(|index| graph.quantum_id(index)).collect();
    let journal = JournalState::read_only(&layout::journal_dir(root), &ids)?;
    let current = current_successes(graph, &journal);
    let succeeded = init_quanta(graph).filter(|index| current[index.get()].is_some());
    Ok(succeeded.map(|index| graph.quantum(index).task.label.clone()).collect())
}
