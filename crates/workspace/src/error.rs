//! What can go wrong with a workspace.

use camino::Utf8PathBuf;
use pantler_core::{
    CollectionName, QuantumId, RestrictionError, TaskLabel, TransactionName, transaction::Process,
};
use pantler_direct::{ButlerError, CloseError, TransactionFileError};
use pantler_exec::{
    JournalError, LockError, RunError, TakeOverError,
    transitions::{NamedQuantum, TransitionError},
};
use pantler_graph::{BuildError, GraphFileError, MergeError, PipelineError, Skipped};
use pantler_registry::RegistryError;

use crate::{
    DevelopmentError, MissingInitInput, PipelineFileError, Shard, external::ExternalError,
    ledger::LedgerError, shard_list,
};

/// An operation on a workspace failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// No open workspace of that name.
    #[error("no open workspace is called {0}")]
    NoWorkspace(String),
    /// Another process closed it, or is closing it.
    #[error("workspace {0} was closed meanwhile, or is being closed")]
    ClosedMeanwhile(CollectionName),
    /// A closing began and did not finish.
    #[error("a closing of workspace {0} has begun and was not finished: nothing runs in it")]
    Closing(CollectionName),
    /// The pipeline file differs from the one that the workspace was created with.
    #[error("{file} is not the pipeline that workspace {name} was created with")]
    OtherPipeline {
        /// The workspace.
        name: CollectionName,
        /// The file.
        file: Utf8PathBuf,
    },
    /// An input collection names datasets of a RUN that the workspace has not noted.
    #[error(
        "an input collection of workspace {name} has got datasets of {run} since the workspace was created"
    )]
    InputsGrew {
        /// The workspace.
        name: CollectionName,
        /// The RUN.
        run: CollectionName,
    },
    /// What may be taken over is not known.
    #[error("{path} cannot be used")]
    ReuseFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: pantler_graph::ReuseFileError,
    },
    /// The chain cannot get the RUN.
    #[error("{chain} cannot be the chain of this workspace: {reason}")]
    Chain {
        /// The chain.
        chain: CollectionName,
        /// Why.
        reason: String,
    },
    /// An open workspace is to make a chain of that name.
    #[error("{name} is the chain that the open workspace {workspace} makes when it is committed")]
    NameOfChain {
        /// The name.
        name: CollectionName,
        /// The workspace.
        workspace: TransactionName,
    },
    /// The RUN that it would make exists.
    #[error("collection {0} exists already: a workspace makes a new RUN")]
    RunExists(CollectionName),
    /// A workspace of that name is open.
    #[error("workspace {name} is open already, by {owner} ({process})")]
    NameInUse {
        /// The name.
        name: CollectionName,
        /// Who opened it.
        owner: String,
        /// Which process holds it.
        process: Process,
    },
    /// The transaction of that name is of another kind.
    #[error("transaction {name} is of kind {kind}, not a workspace")]
    NotAWorkspace {
        /// The transaction.
        name: TransactionName,
        /// Its kind.
        kind: String,
    },
    /// The pipeline is not well formed or does not fit the repository.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// `pipeline.json` cannot be used.
    #[error(transparent)]
    PipelineFile(#[from] PipelineFileError),
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The graph could not be built.
    #[error("cannot build the quantum graph")]
    Build(#[source] BuildError<std::convert::Infallible>),
    /// There is nothing to run.
    #[error("the pipeline has no quanta for these inputs{0}")]
    NothingToDo(String),
    /// Everything exists.
    #[error("nothing is left to do: {}", skipped_text(.0))]
    NothingLeft(Vec<Skipped>),
    /// Outputs are looked for in the RUN that is being made.
    #[error("the workspace makes {0} itself: nothing in it exists yet")]
    SkipInOwnRun(CollectionName),
    /// The workspace has no graph.
    #[error("workspace {0} has no quantum graph yet: build it first")]
    NotBuilt(CollectionName),
    /// A graph file cannot be used.
    #[error("cannot use the quantum graph {path}")]
    GraphFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: GraphFileError,
    },
    /// A part of a graph is lost.
    #[error("{path} is not there, but {beyond} is: a part of the quantum graph is lost")]
    GraphGap {
        /// The part that is lost.
        path: Utf8PathBuf,
        /// One that was built after it.
        beyond: String,
    },
    /// The last part of a graph is lost.
    #[error(
        "no part of the quantum graph in {root} has quantum {quantum}, of which the journal tells: a part of it is lost"
    )]
    GraphLacks {
        /// The root.
        root: Utf8PathBuf,
        /// The first such quantum.
        quantum: QuantumId,
    },
    /// In development mode the graph was dropped after it had been read.
    #[error("the pipeline of workspace {0} was replaced while this began")]
    PipelineReplaced(CollectionName),
    /// The parts of a graph do not belong together.
    #[error("cannot use the quantum graph in {root}")]
    GraphParts {
        /// The workspace's root.
        root: Utf8PathBuf,
        /// What is wrong.
        source: MergeError,
    },
    /// A task that the pipeline does not have.
    #[error("there is no task `{task}` in the pipeline; there are: {known}")]
    UnknownTask {
        /// The label.
        task: TaskLabel,
        /// The labels that there are.
        known: String,
    },
    /// A task whose quanta are to be built and that is not active.
    #[error("task `{task}` of workspace {name} is not active: its init step has not succeeded")]
    NotActive {
        /// The workspace.
        name: CollectionName,
        /// The task.
        task: TaskLabel,
    },
    /// A task that cannot be activated.
    #[error(transparent)]
    MissingInitInput(#[from] Box<MissingInitInput>),
    /// Values that are not those of a task's data IDs.
    #[error(transparent)]
    DataId(#[from] pantler_core::DataIdError),
    /// An expression that cannot be read.
    #[error("cannot read the restriction")]
    Restriction(#[from] RestrictionError),
    /// `transaction.json` cannot be used.
    #[error(transparent)]
    TransactionFile(#[from] TransactionFileError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A process runs quanta in it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A runner is not to be declared dead.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// A task without one of the sharding dimensions.
    #[error("task `{task}` has the dimensions {has}: it cannot be sharded by {shard_by}")]
    TaskNotSharded {
        /// The task.
        task: TaskLabel,
        /// Its dimensions.
        has: String,
        /// Those of shards.
        shard_by: String,
    },
    /// Dimensions that the universe does not have.
    #[error("cannot shard by {shard_by}")]
    ShardBy {
        /// What was asked for.
        shard_by: String,
        /// Why not.
        source: pantler_core::dimension::UniverseError,
    },
    /// An external workspace is committed as a whole.
    #[error("the external workspace {0} cannot have shards: it is committed as a whole")]
    ExternalShards(CollectionName),
    /// A workspace without shards.
    #[error("workspace {0} has no shards: it was created without --shard-by")]
    NoShards(CollectionName),
    /// A data ID of other dimensions than shards have.
    #[error("a shard of workspace {name} is a data ID of {dimensions}")]
    NotAShard {
        /// The workspace.
        name: CollectionName,
        /// The sharding dimensions.
        dimensions: String,
        /// What is wrong.
        source: pantler_core::DataIdError,
    },
    /// A shard without quanta.
    #[error("workspace {name} has no quanta of shard {shard}")]
    EmptyShard {
        /// The workspace.
        name: CollectionName,
        /// The shard.
        shard: Shard,
    },
    /// Something that would change a shard that is committed, or being committed.
    #[error("shard {shard} of workspace {name} is frozen, since it is committed or about to be")]
    Frozen {
        /// The workspace.
        name: CollectionName,
        /// The shard.
        shard: Shard,
    },
    /// A build that would add to shards to which nothing is added any more.
    #[error("{}", frozen_text(name, committed, frozen))]
    NewInFrozen {
        /// The workspace.
        name: CollectionName,
        /// The committed shards that would get quanta.
        committed: Vec<Shard>,
        /// Those that are being committed, or whose commit was cut off.
        frozen: Vec<Shard>,
        /// The others that would get quanta, and can be built one by one.
        open: Vec<Shard>,
    },
    /// A runner has quanta of a shard that is to be committed.
    #[error("runner {runner} ({process}) is to run quanta of shard {shard}, and has not ended")]
    ShardRuns {
        /// The shard.
        shard: Shard,
        /// The runner.
        runner: u32,
        /// Its process.
        process: Process,
    },
    /// A marker of a frozen shard cannot be used.
    #[error("cannot use {path}: {reason}")]
    FrozenFile {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Shards have been committed, which nothing takes back.
    #[error("workspace {name} cannot be reverted: {committed} of its shards are committed")]
    ShardsCommitted {
        /// The workspace.
        name: CollectionName,
        /// How many.
        committed: usize,
    },
    /// A process runs a quantum that is to be changed.
    #[error("{quantum} is started: {holder} runs it; wait for it, or end it")]
    Running {
        /// The quantum.
        quantum: Box<NamedQuantum>,
        /// Who runs it.
        holder: String,
    },
    /// An external workspace.
    #[error(transparent)]
    External(Box<ExternalError>),
    /// Development mode.
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    /// The ledger of a workspace.
    #[error(transparent)]
    Ledger(Box<LedgerError>),
    /// Quanta could not be accepted, poisoned or reset.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// An expression means no quantum.
    #[error(transparent)]
    Select(#[from] crate::SelectError),
    /// A task writes a dataset type that the commit itself writes.
    #[error(
        "dataset type `{0}` cannot be written by a task: it is that of the provenance of a RUN"
    )]
    ReservedType(pantler_core::DatasetTypeName),
    /// The dataset type of provenance is something else in this repository.
    #[error("the provenance of RUNs cannot be stored in this repository")]
    ProvenanceType(#[source] pantler_core::DatasetTypeError),
    /// The run could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Files could not be written.
    #[error(transparent)]
    Storage(#[from] pantler_datastore::StorageError),
    /// The artifact storage.
    #[error(transparent)]
    Datastore(#[from] pantler_datastore::DatastoreError),
    /// The repository.
    #[error(transparent)]
    Butler(#[from] ButlerError),
    /// It could not be closed.
    #[error(transparent)]
    Close(#[from] CloseError),
}

fn frozen_text(name: &CollectionName, committed: &[Shard], frozen: &[Shard]) -> String {
    let (is, them) =
        if committed.len() + frozen.len() == 1 { ("is", "it") } else { ("are", "them") };
    let shards = shard_list(committed.iter().chain(frozen));
    format!(
        "{shards} of workspace {name} {is} frozen, since committed or about to be, and there are new quanta of {them}"
    )
}

fn skipped_text(skipped: &[Skipped]) -> String {
    let all: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    all.join("; ")
}

impl From<ExternalError> for WorkspaceError {
    fn from(error: ExternalError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<LedgerError> for WorkspaceError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(Box::new(error))
    }
}

impl From<RegistryError> for WorkspaceError {
    fn from(error: RegistryError) -> Self {
        Self::Butler(error.into())
    }
}
