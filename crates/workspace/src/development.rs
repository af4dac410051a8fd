//! Development mode: the pipeline of a workspace may be replaced, and its commit stores no
//! provenance. Entered once, never left.
//!
//! `development.json` in the root says that a workspace is in it, and holds the pipeline that
//! has replaced the one of the creation.
//!
//! # Replacing the pipeline
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | 1. closers' and runners' lock, alone | none | nothing |
//! | 2. quanta of tasks that changed or are gone are reset | outputs deleted | quanta as built, of the pipeline before |
//! | 3. graph files are removed, the last one first | no graph | a workspace to be built, of the pipeline before |
//! | 4. `development.json` is replaced | the new pipeline | a workspace to be built |
//!
//! After a kill the same call goes on. Ids follow from the opening, task and data ID: when the
//! graph is built again, what tasks that did not change have made still counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, TaskLabel};
use pantler_datastore::{StorageError, fs};
use pantler_direct::{Clock, DirectButler, TransactionFile, this_process};
use pantler_exec::{
    CloserLock, JournalState, RunnerLock, current_successes,
    transitions::{Target, Transition},
};
use pantler_graph::{Choices, Pipeline, QuantumGraph, QuantumIndex, TaskDefinition};
use pantler_seam::step;
use serde::{Deserialize, Serialize};

use crate::{
    WorkspaceClient, WorkspaceError, build,
    create::{absolute, check_provenance, resolve},
    layout,
    parts::forget_notes,
    pipeline_file::{of_workspace, read_pipeline},
    shard::{self, Frozen, Shard},
};

const VERSION: u32 = 1;

/// What development mode refuses, or cannot do.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// It has to be entered first.
    #[error("workspace {0} is not in development mode: its pipeline stays as it is")]
    NotEntered(CollectionName),
    /// What was made from outputs of a task that changed.
    #[error(
        "task {changed} has changed, and quanta of {downstream} in workspace {name} were run on what it made"
    )]
    DownstreamRan {
        /// The workspace.
        name: CollectionName,
        /// The task that has changed or is gone.
        changed: TaskLabel,
        /// The task that has not.
        downstream: TaskLabel,
    },
    /// A commit of a shard has begun, or has succeeded.
    #[error("shard {shard} of workspace {name} is frozen: the pipeline stays as it is")]
    ShardFrozen {
        /// The workspace.
        name: CollectionName,
        /// A shard that is.
        shard: Shard,
    },
    /// The old one is given up already, and the new one is not there.
    #[error("the pipeline of workspace {name} was not replaced")]
    NotReplaced {
        /// The workspace.
        name: CollectionName,
        /// Why.
        #[source]
        source: Box<WorkspaceError>,
    },
    /// `development.json` is not as it was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `development.json` was written by a newer program.
    #[error(
        "{path} has version {found}, but this program reads version {VERSION}: use a newer pantler"
    )]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// The version found.
        found: u32,
    },
}

/// What replacing a pipeline did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The tasks that changed, came or went.
    pub changed: BTreeSet<TaskLabel>,
    /// How many quanta of them were reset.
    pub reset: usize,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    version: u32,
    pipeline: Option<PipelineV1>,
}

#[derive(Serialize, Deserialize)]
struct PipelineV1 {
    /// Absolute.
    file: Utf8PathBuf,
    /// The text of the user's file, for people.
    source: String,
    /// Canonical, as in graph files.
    pipeline: serde_json::Value,
}

/// What `development.json` says; its being there says that a workspace is in the mode.
pub(crate) struct Development {
    replaced: Option<PipelineV1>,
    path: Utf8PathBuf,
}

impl Development {
    /// Reads it in the root of a workspace; `None` if that is not in development mode.
    pub(crate) fn read(root: &Utf8Path) -> Result<Option<Self>, WorkspaceError> {
        let path = layout::development_file(root);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(WorkspaceError::Io { path, source }),
        };
        let damaged = |e: serde_json::Error| DevelopmentError::Damaged {
            path: path.clone(),
            reason: e.to_string(),
        };
        let VersionOnly { version } = serde_json::from_slice(&content).map_err(damaged)?;
        if version != VERSION {
            return Err(DevelopmentError::Version { path, found: version }.into());
        }
        let file: FileV1 = serde_json::from_slice(&content).map_err(damaged)?;
        Ok(Some(Self { replaced: file.pipeline, path }))
    }

    /// The file of the pipeline that has replaced the first.
    pub(crate) fn pipeline_file(&self) -> Option<&Utf8Path> {
        self.replaced.as_ref().map(|pipeline| pipeline.file.as_path())
    }

    /// The pipeline that has replaced the first.
    pub(crate) fn pipeline(&self) -> Result<Option<Pipeline>, DevelopmentError> {
        let Some(PipelineV1 { file, source, pipeline }) = &self.replaced else { return Ok(None) };
        let read = Pipeline::from_json(&pipeline.to_string(), source, file);
        let damaged = |reason| DevelopmentError::Damaged { path: self.path.clone(), reason };
        read.map(Some).map_err(|e| damaged(e.to_string()))
    }
}

fn encode(pipeline: Option<PipelineV1>) -> Vec<u8> {
    let file = FileV1 { version: VERSION, pipeline };
    let mut text = serde_json::to_string_pretty(&file).expect("texts and numbers serialize");
    text.push('\n');
    text.into_bytes()
}

impl WorkspaceClient {
    /// Whether it is in development mode.
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] or [`DevelopmentError`] if that cannot be read.
    pub fn is_development(&self) -> Result<bool, WorkspaceError> {
        Ok(Development::read(self.root())?.is_some())
    }

    /// Enters development mode, which is never left; returns whether it was not in it.
    ///
    /// # Errors
    /// [`WorkspaceError::Lock`] or [`WorkspaceError::Closing`] if somebody closes it.
    pub fn enter_development(&self) -> Result<bool, WorkspaceError> {
        self.expect_graph()?;
        let _closers = CloserLock::acquire(self.root(), &this_process(), false)?;
        self.expect_open()?;
        step("development.enter");
        match fs::write_new(&layout::development_file(self.root()), &encode(None)) {
            Ok(()) => Ok(true),
            Err(StorageError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the pipeline. Quanta of tasks that changed or are gone are reset, and the
    /// graph has to be built again; what other tasks have made stays. Again with the same
    /// pipeline: finishes what a crash has cut off, else does nothing.
    ///
    /// # Errors
    /// [`DevelopmentError::NotEntered`]; [`DevelopmentError::DownstreamRan`] if quanta of a
    /// task that has not changed have succeeded on what one that has made; locks as of
    /// [`Self::transition`]; [`DevelopmentError::NotReplaced`] after quanta were reset.
    pub fn replace_pipeline(
        &self,
        butler: &DirectButler,
        file: &Utf8Path,
        choices: &Choices,
        clock: &dyn Clock,
    ) -> Result<Replaced, WorkspaceError> {
        self.expect_graph()?;
        let name = &self.transaction().run;
        let new = read_pipeline(file, choices)?;
        let resolved = resolve(butler, &new)?;
        check_provenance(butler, &resolved)?;
        shard::sharding(&resolved, &self.transaction().shard_by)?;
        let process = this_process();
        let _closers = CloserLock::acquire(self.root(), &process, false)?;
        let lock = RunnerLock::acquire(self.root(), &process, false)?;
        self.expect_open()?;
        if Development::read(self.root())?.is_none() {
            return Err(DevelopmentError::NotEntered(name.clone()).into());
        }
        // Of one that is frozen or committed, the graph says what it is.
        if let Some(shard) = Frozen::read(self.root())?.first() {
            return Err(DevelopmentError::ShardFrozen { name: name.clone(), shard }.into());
        }
        let old = of_workspace(butler, self)?;
        let changed = changed(&old, &new);
        if changed.is_empty() && old.file() == new.file() {
            return Ok(Replaced { changed, reset: 0 });
        }
        let mut reset = 0;
        if let Some(graph) = self.graph_or_plan(butler, &old)? {
            let quanta = quanta_of(&graph, &changed);
            self.expect_nothing_downstream(&graph, &changed, &quanta)?;
            let ids = quanta.iter().map(|index| graph.quantum_id(*index)).collect();
            let target = Target::Among(ids);
            let done = self.transition_under(&lock, &graph, Transition::Reset, &target, clock)?;
            reset = done.plan.changes.len();
        }
        self.exchange(&new, file).map_err(|source| DevelopmentError::NotReplaced {
            name: name.clone(),
            source: Box::new(source),
        })?;
        Ok(Replaced { changed, reset })
    }

    /// Drops the graph, and makes the pipeline the workspace's own.
    fn exchange(&self, new: &Pipeline, file: &Utf8Path) -> Result<(), WorkspaceError> {
        forget_notes(self.root())?;
        for part in layout::graph_files(self.root()).iter().rev() {
            step("development.graph.drop");
            std::fs::remove_file(part)
                .map_err(|source| WorkspaceError::Io { path: part.clone(), source })?;
        }
        fs::sync_dir(self.root())?;
        step("development.graph.dropped");
        let content = encode(Some(PipelineV1 {
            file: absolute(file)?,
            source: new.source().to_owned(),
            pipeline: serde_json::from_str(&new.to_json()).expect("it was just written"),
        }));
        fs::replace(&layout::development_file(self.root()), &content)?;
        step("development.replaced");
        Ok(())
    }

    /// Refuses one that was closed since it was found, or is being closed. The caller has a
    /// lock.
    fn expect_open(&self) -> Result<(), WorkspaceError> {
        let run = &self.transaction().run;
        if TransactionFile::read(self.root())?.is_none_or(|f| f.opening != self.file().opening) {
            return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
        }
        if layout::closing_marker(self.root()).exists() {
            return Err(WorkspaceError::Closing(run.clone()));
        }
        Ok(())
    }

    /// The graph; if there is none, since a kill came after it was dropped, the one that
    /// would be built. `None` if that has no quanta.
    fn graph_or_plan(
        &self,
        butler: &DirectButler,
        pipeline: &Pipeline,
    ) -> Result<Option<QuantumGraph>, WorkspaceError> {
        if let Some(graph) = self.graph_if_built()? {
            return Ok(Some(graph));
        }
        let transaction = self.transaction();
        let (opening, at) = (self.file().opening, self.file().opened_at);
        let inputs = &transaction.searched;
        match build::plan(butler, pipeline, inputs, &transaction.run, opening, at) {
            Ok(graph) => Ok(Some(graph)),
            Err(WorkspaceError::NothingToDo(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn expect_nothing_downstream(
        &self,
        graph: &QuantumGraph,
        changed: &BTreeSet<TaskLabel>,
        quanta: &[QuantumIndex],
    ) -> Result<(), WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let current = current_successes(graph, &journal);
        let mut seen = BTreeSet::new();
        let label = |index| graph.quantum(index).task.label.clone();
        let mut pending: Vec<_> = quanta.iter().map(|index| (*index, *index)).collect();
        while let Some((index, from)) = pending.pop() {
            for next in graph.downstream(index) {
                let downstream = label(next);
                if !changed.contains(&downstream) && current[next.get()].is_some() {
                    let (name, changed) = (self.transaction().run.clone(), label(from));
                    let error = DevelopmentError::DownstreamRan { name, changed, downstream };
                    return Err(error.into());
                }
                if seen.insert(next) {
                    pending.push((next, from));
                }
            }
        }
        Ok(())
    }
}

/// The tasks that are not the same in both.
fn changed(old: &Pipeline, new: &Pipeline) -> BTreeSet<TaskLabel> {
    type Tasks = BTreeMap<TaskLabel, TaskDefinition>;
    let (a, b): (&Tasks, &Tasks) = (old.tasks(), new.tasks());
    let same = |label: &TaskLabel| match (a.get(label), b.get(label)) {
        // Values of the pipeline are those of its tasks, too.
        (Some(x), Some(y)) => x == y && old.config_of(x) == new.config_of(y),
        _ => false,
    };
    a.keys().chain(b.keys()).filter(|label| !same(label)).cloned().collect()
}

fn quanta_of(graph: &QuantumGraph, tasks: &BTreeSet<TaskLabel>) -> Vec<QuantumIndex> {
    let of_tasks = graph.tasks().filter(|(task, _)| tasks.contains(&task.label));
    of_tasks.flat_map(|(_, quanta)| quanta).collect()
}
