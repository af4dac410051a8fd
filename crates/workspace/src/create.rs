//! Creating a workspace: the pipeline is checked first, then the transaction opened.

use std::{collections::BTreeSet, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::transaction::{Kinds, TransactionKind as _};
use pantler_core::{
    CollectionName, CollectionType, DatasetType, DatasetTypeName, ElementName, OpeningId,
    TransactionName,
};
use pantler_datastore::StorageError;
use pantler_direct::{Begun, ButlerError, DirectButler, Environment};
use pantler_graph::{Choices, Pipeline, ResolvedPipeline};
use pantler_registry::{OpenOptions, Reader};

use crate::{
    WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    kind::Source,
    pipeline_file::{self, read_pipeline},
    provenance::{dataset_type, is_reserved},
    shard, skip,
};

/// What a workspace is for.
#[derive(Debug, Clone)]
pub struct WorkspaceRequest {
    /// The RUN that it makes; also its name.
    pub run: CollectionName,
    /// The chain that gets the RUN as its new head.
    pub chain: Option<CollectionName>,
    /// The input collections, in search order.
    pub inputs: Vec<CollectionName>,
    /// The pipeline's file.
    pub pipeline: Utf8PathBuf,
    /// Which of its tasks are meant, with which values.
    pub choices: Choices,
    /// The collections whose RUNs may have made already what it would make, in search order.
    pub reuse: Vec<CollectionName>,
    /// The project that it belongs to.
    pub project: Option<String>,
    /// The dimensions whose data IDs are shards, which can be committed one by one; none
    /// for a workspace that is committed as a whole.
    pub shard_by: Vec<ElementName>,
}

impl WorkspaceRequest {
    /// A workspace for all tasks of the pipeline in a file, as they stand there, on these
    /// inputs; without a chain, and committed as a whole.
    pub fn new(run: CollectionName, inputs: Vec<CollectionName>, pipeline: Utf8PathBuf) -> Self {
        Self {
            run,
            chain: None,
            inputs,
            pipeline,
            choices: Choices::default(),
            reuse: Vec::new(),
            project: None,
            shard_by: Vec::new(),
        }
    }
}

/// Opens a repository with a butler that can close workspaces.
///
/// # Errors
/// [`ButlerError`] if there is none, or it was made by a newer program.
pub fn open_butler(
    root: &Utf8Path,
    environment: Environment,
    options: &OpenOptions,
) -> Result<DirectButler, ButlerError> {
    let butler = DirectButler::open(root, environment, options)?;
    Ok(butler.with_kinds(Kinds::with::<WorkspaceTransaction>))
}

/// Opens a workspace: its RUN is registered and locked, its root made. `opening` is
/// a new id, from which the ids of its quanta and datasets follow.
///
/// # Errors
/// [`WorkspaceError`]; nothing is open then, except after
/// [`ButlerError::RootNotMade`], which names the open transaction.
pub fn create(
    butler: &DirectButler,
    opening: OpeningId,
    request: &WorkspaceRequest,
) -> Result<WorkspaceClient, WorkspaceError> {
    let pipeline = read_pipeline(&request.pipeline, &request.choices)?;
    let resolved = resolve(butler, &pipeline)?;
    check_provenance(butler, &resolved)?;
    let shard_by = shard::sharding(&resolved, &request.shard_by)?;
    if let Some(own) = shard::provenance_type(resolved.universe(), &shard_by) {
        expect_provenance_type(butler, &own)?;
    }
    // What they stand for is looked up when the graph is built.
    butler.registry().read(|reader| reader.resolve(&request.reuse))?;
    let (searched, input_runs) =
        find_inputs(butler, &request.run, request.chain.as_ref(), &request.inputs)?;
    let effective = pipeline_file::effective(&pipeline);
    let transaction = WorkspaceTransaction {
        run: request.run.clone(),
        chain: request.chain.clone(),
        inputs: request.inputs.clone(),
        input_runs,
        searched,
        source: Source::Graph,
        pipeline_file: portable(butler.root(), &request.pipeline)?,
        pipeline_digest: pipeline.digest(),
        reuse: request.reuse.clone(),
        project: request.project.clone(),
        shard_by,
        committed: BTreeSet::new(),
        pipeline: Some(effective.clone()),
    };
    begin(butler, opening, transaction, |root| {
        // What a build would write, too; made here so that the root has all it needs.
        pipeline_file::write(root, &effective)
    })
}

/// The RUNs and TAGGED collections that input collections stand for, and the RUNs that own
/// what those name. Refuses a name that is in use, and a chain that could not be extended.
pub(crate) fn find_inputs(
    butler: &DirectButler,
    run: &CollectionName,
    chain: Option<&CollectionName>,
    inputs: &[CollectionName],
) -> Result<(Vec<CollectionName>, Vec<CollectionName>), WorkspaceError> {
    butler.registry().read(|reader| {
        if reader.collection(run)?.is_some() && reader.transaction(&name_of(run))?.is_none() {
            return Err(WorkspaceError::RunExists(run.clone()));
        }
        expect_no_chain(reader, run)?;
        if let Some(chain) = chain {
            check_chain(reader, run, chain, inputs)?;
        }
        let (searched, runs) = skip::resolve(reader, inputs)?;
        skip::expect_unlocked(reader, &runs)?;
        Ok((searched, runs))
    })
}

/// Opens the transaction of a workspace and makes its root; `finish` writes what the root
/// needs beside `transaction.json`.
pub(crate) fn begin(
    butler: &DirectButler,
    opening: OpeningId,
    transaction: WorkspaceTransaction,
    finish: impl FnOnce(&Utf8Path) -> Result<(), StorageError>,
) -> Result<WorkspaceClient, WorkspaceError> {
    let run = transaction.run.clone();
    let name = name_of(&run);
    match butler.begin(&name, opening, transaction) {
        Ok(Begun::Opened(open)) => {
            let row = open.row();
            // From here on it is open, whatever fails.
            let not_made = |source| ButlerError::RootNotMade {
                name: row.name.clone(),
                source: Box::new(source),
            };
            let (root, file) = butler.workspace_file(row).map_err(not_made)?;
            finish(&root).map_err(|source| not_made(source.into()))?;
            Ok(WorkspaceClient::new(root, file, butler.root())?)
        }
        Ok(Begun::Joined(row)) => {
            Err(WorkspaceError::NameInUse { name: run, owner: row.owner, process: row.process })
        }
        Err(ButlerError::NameInUse { owner, process, .. }) => {
            Err(WorkspaceError::NameInUse { name: run, owner, process })
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses what would keep the commit from storing provenance, before anything is run.
pub(crate) fn check_provenance(
    butler: &DirectButler,
    pipeline: &ResolvedPipeline,
) -> Result<(), WorkspaceError> {
    let own = dataset_type();
    let outputs = pipeline.tasks().iter().flat_map(|task| &task.outputs);
    let mut written = outputs.map(|output| &output.dataset_type.name);
    if let Some(name) = written.find(|name| is_reserved(name)) {
        return Err(WorkspaceError::ReservedType(name.clone()));
    }
    expect_provenance_type(butler, &own)
}

/// Refuses a repository in which the type of provenance is another one.
fn expect_provenance_type(butler: &DirectButler, own: &DatasetType) -> Result<(), WorkspaceError> {
    let types = butler.registry().read(Reader::dataset_types)?;
    match types.iter().find(|registered| registered.name == own.name) {
        Some(registered) => registered.check_same(own).map_err(WorkspaceError::ProvenanceType),
        None => Ok(()),
    }
}

/// Refuses a RUN with the name of the chain that an open workspace is to make: the commit of
/// that one would find it.
pub(crate) fn expect_no_chain(reader: &Reader, run: &CollectionName) -> Result<(), WorkspaceError> {
    for row in reader.transactions()? {
        if row.kind != WorkspaceTransaction::KIND {
            continue;
        }
        let Ok(transaction) = WorkspaceTransaction::decode(&row.data, &[]) else { continue };
        if transaction.chain.as_ref() == Some(run) {
            return Err(WorkspaceError::NameOfChain { name: run.clone(), workspace: row.name });
        }
    }
    Ok(())
}

/// Refuses a chain that the closing transaction could not extend, before anything is
/// run for it.
pub(crate) fn check_chain(
    reader: &Reader,
    run: &CollectionName,
    chain: &CollectionName,
    inputs: &[CollectionName],
) -> Result<(), WorkspaceError> {
    let refused = |reason: String| WorkspaceError::Chain { chain: chain.clone(), reason };
    if chain == run {
        return Err(refused("it would be the RUN itself".to_owned()));
    }
    match reader.collection(chain)? {
        Some(collection) if collection.collection_type != CollectionType::Chained => {
            return Err(refused(format!("it is a {}", collection.collection_type)));
        }
        _ => {}
    }
    let mut pending: Vec<CollectionName> =
        inputs.iter().filter(|input| *input != chain).cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = pending.pop() {
        if name == *chain {
            return Err(refused("an input collection contains it".to_owned()));
        }
        if seen.insert(name.clone()) {
            pending.extend(reader.collection(&name)?.map(|c| c.children).unwrap_or_default());
        }
    }
    Ok(())
}

/// The transaction's name: that of the RUN.
pub(crate) fn name_of(run: &CollectionName) -> TransactionName {
    TransactionName::new(run.as_str())
        .expect("collection and transaction names have the same rules")
}

/// The pipeline's file as the transaction keeps it: relative to the repository if that
/// lies below the pipeline's folder, so that the two can be moved together.
fn portable(repository: &Utf8Path, pipeline: &Utf8Path) -> Result<String, WorkspaceError> {
    let (repository, pipeline) = (absolute(repository)?, absolute(pipeline)?);
    let below = pipeline.parent().and_then(|folder| repository.strip_prefix(folder).ok());
    Ok(match (below, pipeline.file_name()) {
        (Some(below), Some(name)) => "../".repeat(below.components().count()) + name,
        _ => pipeline.into_string(),
    })
}

pub(crate) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, WorkspaceError> {
    path.canonicalize_utf8().map_err(|source| WorkspaceError::Io { path: path.to_owned(), source })
}

/// Finds the dataset types of a pipeline in the repository.
pub(crate) fn resolve(
    butler: &DirectButler,
    pipeline: &Pipeline,
) -> Result<ResolvedPipeline, WorkspaceError> {
    let types = butler.registry().read(Reader::dataset_types)?;
    let lookup = |name: &DatasetTypeName| types.iter().find(|t| t.name == *name).map(Arc::clone);
    Ok(pipeline.resolve(butler.universe(), &lookup)?)
}
