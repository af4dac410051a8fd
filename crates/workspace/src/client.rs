//! A workspace without the database: everything from its root and the storage.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::transaction::TransactionKind as _;
use pantler_core::{CollectionName, QuantumId, Tai};
use pantler_datastore::{Datastore, key::run_prefix};
use pantler_direct::{ButlerError, RepositoryConfig, TransactionFile, this_process};
use pantler_exec::{
    Beside, Clock, CloserLock, Environment, Failure, JournalState, LockError, Observer, RunError,
    RunRequest, RunSummary, RunnerInfo, RunnerLock, Selection, SelectionError, StopFlag,
    TaskRegistry, WorkspaceStatus,
};
use pantler_graph::{QuantumGraph, ResolvedPipeline};

use crate::{
    Shard, WorkspaceError, WorkspaceTransaction, development::Development, external::InputPlaces,
    kind::Source, layout, ledger::LedgerError, parts::Parts, reuse, shard::Frozen,
};

/// An open workspace, as its root describes it (DMTN-249 §3.3.3).
#[derive(Debug)]
pub struct WorkspaceClient {
    root: Utf8PathBuf,
    file: TransactionFile,
    transaction: WorkspaceTransaction,
    datastore: Datastore,
    pipeline: Utf8PathBuf,
    /// Where the inputs of an external workspace are.
    inputs: Option<InputPlaces>,
}

/// How to run.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// The quanta to run.
    pub selection: &'a Selection,
    /// How many quanta at once; `None` for as many as there are cores.
    pub jobs: Option<NonZeroUsize>,
    /// Rust tasks by name.
    pub tasks: &'a TaskRegistry,
    /// What commands see.
    pub environment: &'a Environment,
    /// Set from outside to stop.
    pub stop: &'a StopFlag,
    /// The clock.
    pub clock: &'a dyn pantler_direct::Clock,
}

#[derive(Debug)]
pub(crate) struct ClockView<'a>(pub(crate) &'a dyn pantler_direct::Clock);

impl Clock for ClockView<'_> {
    fn now(&self) -> Tai {
        self.0.now()
    }
}

impl WorkspaceClient {
    /// Finds an open workspace by name with one listing of a folder and without the
    /// database; `None` if no root with a `transaction.json` is there, and the
    /// database has to be asked.
    ///
    /// # Errors
    /// [`WorkspaceError`] if the repository or the root cannot be read.
    pub fn find(
        repository: &Utf8Path,
        name: &CollectionName,
    ) -> Result<Option<Self>, WorkspaceError> {
        let config = RepositoryConfig::read(repository)?;
        let parent = config.workspaces_dir(repository).join(name.path_component());
        let entries = match parent.read_dir_utf8() {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(WorkspaceError::Io { path: parent, source }),
        };
        for entry in entries {
            let entry =
                entry.map_err(|source| WorkspaceError::Io { path: parent.clone(), source })?;
            let root = entry.into_path();
            if !root.is_dir() {
                continue;
            }
            if let Some(file) = TransactionFile::read(&root)? {
                return Self::new(root, file, repository).map(Some);
            }
        }
        Ok(None)
    }

    pub(crate) fn new(
        root: Utf8PathBuf,
        file: TransactionFile,
        repository: &Utf8Path,
    ) -> Result<Self, WorkspaceError> {
        let transaction = WorkspaceTransaction::decode(&file.data, &[])
            .map_err(|source| ButlerError::Decode { name: file.name.clone(), source })?;
        let datastore = Datastore::local(repository, &file.datastore)?;
        let replaced = Development::read(&root)?;
        let pipeline = match replaced.as_ref().and_then(Development::pipeline_file) {
            Some(file) => file.to_owned(),
            None => repository.join(&transaction.pipeline_file),
        };
        // Without `..`, if it is still there: commands see its folder.
        let pipeline = pipeline.canonicalize_utf8().unwrap_or(pipeline);
        Ok(Self { root, file, transaction, datastore, pipeline, inputs: None })
    }

    /// Reads inputs from other places than the graph's file says.
    pub(crate) fn with_inputs(self, inputs: InputPlaces) -> Self {
        Self { inputs: Some(inputs), ..self }
    }

    /// Whether a closing of it has begun: nothing runs in it until that ends or is undone.
    pub fn is_closing(&self) -> bool {
        layout::closing_marker(&self.root).exists()
    }

    /// How many inputs of its graph are read from a parent elsewhere.
    pub(crate) fn missing_inputs(&self, graph: &QuantumGraph) -> usize {
        self.inputs.as_ref().map_or(0, |inputs| inputs.missing(graph))
    }

    /// Its root.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// What its `transaction.json` says.
    pub fn file(&self) -> &TransactionFile {
        &self.file
    }

    /// What it is for.
    pub fn transaction(&self) -> &WorkspaceTransaction {
        &self.transaction
    }

    /// The storage that its artifacts go to.
    pub fn datastore(&self) -> &Datastore {
        &self.datastore
    }

    /// The pipeline's file, wherever repository and pipeline have been moved together.
    pub fn pipeline(&self) -> &Utf8Path {
        &self.pipeline
    }

    /// Uses another datastore, for tests of failing storage.
    #[must_use]
    pub fn with_datastore(mut self, datastore: Datastore) -> Self {
        self.datastore = datastore;
        self
    }

    /// Its graph, if it has been built.
    ///
    /// # Errors
    /// [`WorkspaceError::GraphFile`] if the file is damaged.
    pub fn graph_if_built(&self) -> Result<Option<QuantumGraph>, WorkspaceError> {
        let parts = read_parts(&self.root)?;
        if parts.is_empty() {
            return Ok(None);
        }
        let mut graph = merged(&self.root, parts)?;
        if let Some(inputs) = &self.inputs {
            inputs.relocate(&mut graph);
        }
        Ok(Some(graph))
    }

    /// Its graph.
    ///
    /// # Errors
    /// [`WorkspaceError::NotBuilt`] if there is none.
    pub fn graph(&self) -> Result<QuantumGraph, WorkspaceError> {
        self.expect_graph()?;
        self.graph_if_built()?.ok_or_else(|| WorkspaceError::NotBuilt(self.transaction.run.clone()))
    }

    /// Whether it can be seen that `graph`, which is its graph, was built for some tasks or
    /// data IDs only: there may be more to build.
    pub fn is_built_in_part(&self, graph: &QuantumGraph) -> bool {
        // Shards are built one by one, and who does so knows which there are.
        self.transaction.shard_by.is_empty()
            && Parts::list(&self.root)
                .is_ok_and(|parts| !parts.all().is_empty() && !parts.cover(graph.pipeline()))
    }

    /// Refuses one that has no quanta and never will.
    pub(crate) fn expect_graph(&self) -> Result<(), WorkspaceError> {
        match self.transaction.source {
            Source::Graph => Ok(()),
            Source::Ledger => Err(LedgerError::IsALedger(self.transaction.run.clone()).into()),
        }
    }

    /// The pipeline of its graph.
    ///
    /// # Errors
    /// [`WorkspaceError::NotBuilt`] if it has no graph.
    pub fn graph_pipeline(&self) -> Result<Arc<ResolvedPipeline>, WorkspaceError> {
        let pipeline = Parts::list(&self.root)?.pipeline()?;
        pipeline.ok_or_else(|| WorkspaceError::NotBuilt(self.transaction.run.clone()))
    }

    /// The parts of its graph that these shards need: all their quanta, and perhaps others.
    /// Parts that were built for other shards are not read.
    ///
    /// # Errors
    /// [`WorkspaceError::NotBuilt`] if it has no graph; [`WorkspaceError::EmptyShard`] if no
    /// part was built for one of them.
    pub fn graph_of_shards(
        &self,
        shards: &BTreeSet<Shard>,
    ) -> Result<QuantumGraph, WorkspaceError> {
        let parts = Parts::list(&self.root)?;
        let pipeline = parts.pipeline()?;
        let not_built = || WorkspaceError::NotBuilt(self.transaction.run.clone());
        let pipeline = pipeline.ok_or_else(not_built)?;
        let numbers = parts.of_shards(shards, pipeline.universe());
        if numbers.is_empty() {
            let (name, shard) = (self.transaction.run.clone(), shards.first().cloned());
            let empty = |shard| WorkspaceError::EmptyShard { name, shard };
            return Err(shard.map_or_else(not_built, empty));
        }
        merged(&self.root, parts.read(&numbers)?)
    }

    /// These quanta, with what is upstream of them: read one by one, unless they are so many
    /// that the whole graph is read as fast.
    ///
    /// # Errors
    /// [`WorkspaceError::NotBuilt`] if it has no graph; [`WorkspaceError::Run`] naming a
    /// quantum that it does not have.
    pub fn graph_of_quanta(&self, quanta: &[QuantumId]) -> Result<QuantumGraph, WorkspaceError> {
        let parts = Parts::list(&self.root)?;
        if parts.all().is_empty() {
            return Err(WorkspaceError::NotBuilt(self.transaction.run.clone()));
        }
        let Some(excerpt) = parts.excerpt(quanta)? else { return self.graph() };
        if let Some(quantum) = excerpt.left.first() {
            return Err(RunError::from(SelectionError::UnknownQuantum(*quantum)).into());
        }
        let mut graph = merged(&self.root, excerpt.graphs)?;
        if let Some(inputs) = &self.inputs {
            inputs.relocate(&mut graph);
        }
        Ok(graph)
    }

    /// What its journal says so far.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn journal(&self) -> Result<JournalState, WorkspaceError> {
        Ok(JournalState::read(&layout::journal_dir(&self.root))?)
    }

    /// What happened to its quanta so far.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn status(&self, graph: &QuantumGraph) -> Result<WorkspaceStatus, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(&self.root))?;
        Ok(WorkspaceStatus::of(graph, &journal))
    }

    /// Where each of its quanta stands, by position.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn execution_statuses(
        &self,
        graph: &QuantumGraph,
    ) -> Result<Vec<pantler_graph::ExecutionStatus>, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(&self.root))?;
        Ok(pantler_exec::execution_statuses(graph, &journal))
    }

    /// The quanta whose last attempt failed.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn failures(&self, graph: &QuantumGraph) -> Result<Vec<Failure>, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(&self.root))?;
        Ok(pantler_exec::failures(graph, &journal))
    }

    /// The failures that count as successes since they were accepted.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] naming file and line if a segment is damaged.
    pub fn accepted_failures(&self, graph: &QuantumGraph) -> Result<Vec<Failure>, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(&self.root))?;
        Ok(pantler_exec::accepted_failures(graph, &journal))
    }

    /// The processes that have run quanta in it or changed some, by number.
    ///
    /// # Errors
    /// [`WorkspaceError::Journal`] if the journal cannot be read.
    pub fn runners(
        &self,
        clock: &dyn pantler_direct::Clock,
    ) -> Result<Vec<RunnerInfo>, WorkspaceError> {
        Ok(pantler_exec::runners(&self.root, &this_process(), clock.now())?)
    }

    /// Runs what has not succeeded yet. Finished quanta are skipped, failed ones are
    /// tried again, and those that another process is to run are left to it.
    ///
    /// # Errors
    /// [`WorkspaceError::Closing`] or [`WorkspaceError::Lock`] if another process closes the
    /// workspace or changes its quanta.
    pub fn run(
        &self,
        graph: &QuantumGraph,
        options: &RunOptions<'_>,
        observer: &mut dyn Observer,
    ) -> Result<RunSummary, WorkspaceError> {
        self.run_beside(graph, options, &Beside::default(), observer)
    }

    /// As [`Self::run`], and says how to go along with others that run quanta here.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub fn run_beside(
        &self,
        graph: &QuantumGraph,
        options: &RunOptions<'_>,
        beside: &Beside,
        observer: &mut dyn Observer,
    ) -> Result<RunSummary, WorkspaceError> {
        let process = this_process();
        pantler_seam::step("workspace.run.begin");
        if let Some(inputs) = &self.inputs {
            inputs.expect_reachable(graph)?;
        }
        let lock = match RunnerLock::share(&self.root, &process) {
            Err(LockError::Locked { .. }) if layout::closing_marker(&self.root).exists() => {
                return Err(WorkspaceError::Closing(self.transaction.run.clone()));
            }
            lock => lock?,
        };
        // Closers take this file away before their rows, under the same lock: what was
        // read before the lock may be of a workspace that is closed by now.
        if TransactionFile::read(&self.root)?.is_none_or(|f| f.opening != self.file.opening) {
            return Err(WorkspaceError::ClosedMeanwhile(self.transaction.run.clone()));
        }
        // So it is with the graph, if its pipeline was replaced since.
        if self.is_development()? && !Parts::list(&self.root)?.are_those(graph.pipeline(), 2)? {
            return Err(WorkspaceError::PipelineReplaced(self.transaction.run.clone()));
        }
        let prefix = run_prefix(&self.file.run, self.file.run_id);
        let shards = self.shards_meant(graph, options.selection);
        let is_named = options.selection.is_named();
        let reuse = if is_named && !shards.is_empty() {
            let universe = graph.pipeline().universe();
            reuse::read_parts(self, &Parts::list(&self.root)?.of_shards(&shards, universe))?
        } else {
            reuse::read(self)?
        };
        let clock = ClockView(options.clock);
        loop {
            let frozen = if is_named {
                Frozen::among(&self.root, &shards)?
            } else {
                Frozen::read(&self.root)?
            };
            // One that does not say which quanta it runs means those that come, too.
            let to_come = frozen.markers_to_come(&shards);
            let concerns = |marker: &str| {
                if is_named { to_come.contains(marker) } else { !frozen.has_marker(marker) }
            };
            let Some(selection) = self.selectable(graph, &frozen, options.selection)? else {
                return self.ran_nothing(graph);
            };
            let request = RunRequest {
                graph,
                selection: &selection,
                lock: &lock,
                datastore: &self.datastore,
                opening: self.file.opening,
                run_prefix: &prefix,
                tasks: options.tasks,
                environment: options.environment,
                jobs: options.jobs,
                stop: options.stop,
                clock: &clock,
                process: &process,
                beside,
                observer: &mut *observer,
                concerns: &concerns,
                reuse: reuse.as_ref(),
            };
            match pantler_exec::run(request) {
                Err(RunError::Frozen { .. }) => {}
                Err(RunError::Closing { .. }) => {
                    return Err(WorkspaceError::Closing(self.transaction.run.clone()));
                }
                result => return Ok(result?),
            }
        }
    }

    /// Takes away the marker of a closing that did not finish, so that the workspace
    /// can be run on; returns whether there was one. The caller has claimed the transaction
    /// since, so that closing cannot succeed any more; the closers' lock shows that it is
    /// not at work.
    pub(crate) fn take_marker_away(&self) -> Result<bool, WorkspaceError> {
        let marker = layout::closing_marker(&self.root);
        if !marker.exists() {
            return Ok(false);
        }
        let lock = CloserLock::acquire(&self.root, &this_process(), false)?;
        pantler_seam::step("workspace.reopen");
        match std::fs::remove_file(&marker) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(WorkspaceError::Io { path: marker, source: error });
            }
            _ => pantler_datastore::fs::sync_dir(&self.root)?,
        }
        pantler_seam::step("workspace.reopened");
        drop(lock);
        Ok(true)
    }
}

/// Reads the graph in a root, which has one.
pub(crate) fn read_graph(root: &Utf8Path) -> Result<QuantumGraph, WorkspaceError> {
    merged(root, read_parts(root)?)
}

/// The parts of the graph in a root, in the order in which they were built.
pub(crate) fn read_parts(root: &Utf8Path) -> Result<Vec<QuantumGraph>, WorkspaceError> {
    let parts = Parts::list(root)?;
    parts.read(&parts.all())
}

pub(crate) fn merged(
    root: &Utf8Path,
    parts: Vec<QuantumGraph>,
) -> Result<QuantumGraph, WorkspaceError> {
    QuantumGraph::merge(parts)
        .map_err(|source| WorkspaceError::GraphParts { root: root.to_owned(), source })
}
