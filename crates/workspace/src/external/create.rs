//! Creating an external workspace. Nothing is written to the parent.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::transaction::{ArtifactTransaction as _, TransactionKind as _};
use pantler_core::{CollectionName, CollectionType, DatastoreConfig, OpeningId, RunId};
use pantler_datastore::StorageError;
use pantler_direct::{DirectButler, TransactionFile, standalone::is_repository};
use pantler_exec::RunnerLock;
use pantler_graph::Pipeline;
use pantler_registry::{Reader, RegistryError};

use super::{
    ExternalError, ExternalWorkspace, creating_file,
    description::{Description, InputCollection, Parent},
    description_file, pipeline_dir, pipeline_files,
};
use crate::{
    WorkspaceError, WorkspaceRequest, WorkspaceTransaction,
    create::{absolute, check_chain, check_provenance, name_of, resolve},
    pipeline_file::{self, read_pipeline},
};

/// An external workspace that is wanted.
#[derive(Debug)]
pub struct ExternalRequest<'a> {
    /// What it is for.
    pub workspace: &'a WorkspaceRequest,
    /// Its folder, which is missing or empty.
    pub root: Utf8PathBuf,
    /// Files and folders below the pipeline's that commands need; empty for all, if that
    /// is little.
    pub include: Vec<Utf8PathBuf>,
}

/// Makes an external workspace of a repository.
///
/// # Errors
/// [`ExternalError::NotEmpty`], [`ExternalError::PipelineFolder`] and others; the folder is
/// then as before. A kill leaves a folder with which the same call begins again.
pub fn create(
    butler: &DirectButler,
    opening: OpeningId,
    request: &ExternalRequest<'_>,
) -> Result<ExternalWorkspace, WorkspaceError> {
    let root = &request.root;
    expect_free(root)?;
    let pipeline = read_pipeline(&request.workspace.pipeline, &request.workspace.choices)?;
    check_provenance(butler, &resolve(butler, &pipeline)?)?;
    let (transaction, mut description) = describe(butler, request, &pipeline)?;
    let source = absolute(&request.workspace.pipeline)?;
    let made = !root.exists();
    pantler_seam::around("external.folder.make", || std::fs::create_dir_all(root))
        .map_err(ExternalError::io(root))?;
    // Two creations in one place: the second finds the lock taken.
    let lock = RunnerLock::acquire(root, &pantler_direct::this_process(), false)?;
    expect_free(root)?;
    let filled = fill(butler, opening, request, &source, &transaction, &mut description);
    if let Err(error) = filled {
        // What was made here; who failed to make it may also fail to take it away.
        if clear(root).is_ok() {
            drop(std::fs::remove_file(pantler_exec::layout::lock_file(root)));
        }
        if made {
            drop(std::fs::remove_dir(root));
        }
        return Err(error);
    }
    drop(std::fs::remove_file(creating_file(root)));
    drop(lock);
    ExternalWorkspace::open(root, None)
}

/// Refuses a folder that holds anything but what a killed creation leaves.
fn expect_free(root: &Utf8Path) -> Result<(), ExternalError> {
    if ExternalWorkspace::is_at(root) {
        return Err(ExternalError::Exists(root.to_owned()));
    }
    let repository = root.ancestors().skip(1).find(|folder| is_repository(folder));
    if let Some(repository) = repository {
        let (path, repository) = (root.to_owned(), repository.to_owned());
        return Err(ExternalError::InsideRepository { path, repository });
    }
    let entries = match root.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(ExternalError::NotAFolder(root.to_owned()));
        }
        Err(e) => return Err(ExternalError::io(root)(e)),
    };
    let begun = creating_file(root).exists();
    for entry in entries {
        let entry = entry.map_err(ExternalError::io(root))?;
        let name = entry.file_name();
        let always = name == "runner.lock" || name.starts_with("creating");
        let of_begun = ["pipeline", "artifacts"].contains(&name)
            || name.starts_with("transaction.json")
            || name.starts_with("pipeline.json")
            || name.starts_with("external.json.");
        if !(always || begun && of_begun) {
            let (path, entry) = (root.to_owned(), name.to_owned());
            return Err(ExternalError::NotEmpty { path, entry });
        }
    }
    Ok(())
}

/// Takes away what a creation made, but for the lock.
fn clear(root: &Utf8Path) -> Result<(), WorkspaceError> {
    pantler_datastore::fs::remove_tree(&pipeline_dir(root))?;
    pantler_datastore::fs::remove_tree(&root.join(DatastoreConfig::default().root))?;
    let mut left = Vec::new();
    for entry in root.read_dir_utf8().map_err(ExternalError::io(root))? {
        let name = entry.map_err(ExternalError::io(root))?.file_name().to_owned();
        if ["creating", "transaction.json", "pipeline.json", "external.json"]
            .iter()
            .any(|n| name.starts_with(n))
        {
            left.push(name);
        }
    }
    // The mark last: while anything else is left, it says whose that is.
    left.sort_by_key(|name| name == "creating");
    for name in left {
        std::fs::remove_file(root.join(&name)).map_err(ExternalError::io(root.join(&name)))?;
    }
    Ok(())
}

fn describe(
    butler: &DirectButler,
    request: &ExternalRequest<'_>,
    read: &Pipeline,
) -> Result<(WorkspaceTransaction, Description), WorkspaceError> {
    let WorkspaceRequest { run, chain, inputs, pipeline, project, .. } = request.workspace;
    if !request.workspace.shard_by.is_empty() {
        return Err(WorkspaceError::ExternalShards(run.clone()));
    }
    let file = pipeline.file_name().unwrap_or("pipeline.yaml");
    butler.registry().read(|reader| {
        if reader.collection(run)?.is_some() {
            return Err(WorkspaceError::RunExists(run.clone()));
        }
        if let Some(chain) = chain {
            check_chain(reader, run, chain, inputs)?;
        }
        let searched: Vec<CollectionName> =
            reader.resolve(inputs)?.into_iter().map(|found| found.name).collect();
        let mut input_runs: Vec<CollectionName> = Vec::new();
        for collection in &searched {
            for run in reader.owning_runs(collection)? {
                if !input_runs.contains(&run) {
                    input_runs.push(run);
                }
            }
        }
        let mut collections = Vec::new();
        for input in inputs {
            collect(reader, input, &mut collections)?;
        }
        let runs = std::iter::once(run).chain(&input_runs).cloned().collect();
        let parent = Parent {
            path: absolute(butler.root())?,
            repository: reader.repository()?,
            datastore: butler.datastore().config().clone(),
        };
        let universe = (**butler.universe()).clone();
        let transaction = WorkspaceTransaction {
            run: run.clone(),
            chain: chain.clone(),
            inputs: inputs.clone(),
            input_runs,
            searched,
            source: crate::kind::Source::Graph,
            pipeline_file: format!("pipeline/{file}"),
            pipeline_digest: read.digest(),
            // Where its quanta run, there is nothing to copy from.
            reuse: Vec::new(),
            pipeline: Some(pipeline_file::effective(read)),
            project: project.clone(),
            shard_by: Vec::new(),
            committed: std::collections::BTreeSet::new(),
        };
        let pipeline = Vec::new();
        Ok((transaction, Description { parent, universe, runs, collections, pipeline }))
    })
}

/// The collections that a name stands for, each after its children, without RUNs.
pub(super) fn collect(
    reader: &Reader,
    name: &CollectionName,
    found: &mut Vec<InputCollection>,
) -> Result<(), RegistryError> {
    if found.iter().any(|known| known.name == *name) {
        return Ok(());
    }
    let unknown = || RegistryError::UnknownCollection { name: name.clone() };
    let collection = reader.collection(name)?.ok_or_else(unknown)?;
    for child in &collection.children {
        collect(reader, child, found)?;
    }
    if collection.collection_type != CollectionType::Run {
        found.push(InputCollection {
            name: collection.name,
            collection_type: collection.collection_type,
            children: collection.children,
        });
    }
    Ok(())
}

fn fill(
    butler: &DirectButler,
    opening: OpeningId,
    request: &ExternalRequest<'_>,
    pipeline: &Utf8Path,
    transaction: &WorkspaceTransaction,
    description: &mut Description,
) -> Result<(), WorkspaceError> {
    let root = &request.root;
    clear(root)?;
    pantler_datastore::fs::write_new(&creating_file(root), b"")?;
    pantler_seam::step("external.create.begun");
    // Which may lie in the pipeline's folder.
    let own = absolute(root)?;
    description.pipeline = pipeline_files::choose(pipeline, &request.include, &own)?;
    let folder = pipeline.parent().unwrap_or(pipeline);
    pipeline_files::copy(folder, &description.pipeline, &pipeline_dir(root))?;
    let datastore = DatastoreConfig {
        version: 1,
        root: DatastoreConfig::default().root,
        durability: butler.datastore().config().durability,
    };
    let artifacts = root.join(&datastore.root);
    std::fs::create_dir_all(&artifacts).map_err(ExternalError::io(&artifacts))?;
    let file = TransactionFile {
        name: name_of(&transaction.run),
        kind: WorkspaceTransaction::KIND.to_owned(),
        opening,
        opened_at: butler.environment().clock.now(),
        run: transaction.run.clone(),
        run_id: RunId::new(1),
        data: transaction.data(None),
        datastore,
    };
    file.create(root)?;
    if let Some(content) = &transaction.pipeline {
        pipeline_file::write(root, content)?;
    }
    pantler_seam::step("external.create.described");
    let text = description.to_json();
    match pantler_datastore::fs::write_new(&description_file(root), text.as_bytes()) {
        Err(StorageError::AlreadyExists { .. }) => {
            return Err(ExternalError::Exists(root.clone()).into());
        }
        other => other?,
    }
    if let Some(parent) = root.parent().filter(|parent| !parent.as_str().is_empty()) {
        pantler_datastore::fs::sync_dir(parent)?;
    }
    pantler_seam::step("external.create.done");
    Ok(())
}
