//! A folder that holds artifacts becomes a repository.
//!
//! | step | a kill after it leaves |
//! | --- | --- |
//! | `registry.sqlite3.part` made and filled (one database transaction) | no repository; the same call begins again |
//! | closed, which moves its log into it, and flushed | the same |
//! | renamed to `registry.sqlite3` | the same |
//! | `workspaces/` | the same |
//! | `pantler.yaml` | a repository |
//!
//! Artifacts are there, flushed, at the keys that the records name: the ids of RUNs, which
//! are part of keys, are those in which the RUNs are given, counted from 1.

use std::sync::Arc;

use camino::Utf8Path;
use pantler_core::{
    CollectionName, CollectionType, DatasetId, DatasetRef, DatasetType, DatastoreConfig,
    DimensionRecord, FileRecord, RunId, Tai, Universe,
    changes::{Change, Changes},
};
use pantler_datastore::StorageError;
use pantler_registry::{Registry, RegistryError};
use uuid::Uuid;

use crate::{RepositoryConfig, config, create::CreateError, error::ButlerError};

/// A collection that is no RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherCollection {
    /// Its name.
    pub name: CollectionName,
    /// TAGGED or CHAINED.
    pub collection_type: CollectionType,
    /// Children of a chain.
    pub children: Vec<CollectionName>,
    /// Datasets that are tagged.
    pub datasets: Vec<DatasetId>,
}

/// What a new repository holds.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Its dimensions.
    pub universe: &'a Universe,
    /// How its artifacts are stored.
    pub datastore: &'a DatastoreConfig,
    /// Its RUNs; the n-th gets the id n.
    pub runs: &'a [CollectionName],
    /// Its other collections, each after its children.
    pub collections: &'a [OtherCollection],
    /// The chain that gets the first RUN, and what it ends with.
    pub chain: Option<(CollectionName, Vec<CollectionName>)>,
    /// Its dataset types.
    pub dataset_types: &'a [Arc<DatasetType>],
    /// Its dimension records.
    pub records: Vec<DimensionRecord>,
    /// Its datasets.
    pub datasets: Vec<DatasetRef>,
    /// Those that are stored.
    pub files: Vec<FileRecord>,
}

/// Makes a repository of the folder `root`.
///
/// # Errors
/// [`CreateError`]; `root` is then no repository, and the same call begins again.
pub fn make(root: &Utf8Path, contents: Contents<'_>, now: Tai) -> Result<(), CreateError> {
    let config = RepositoryConfig::default();
    let database = root.join(&config.database);
    let part = root.join(format!("{}.part", config.database));
    // Of a call that was killed: nobody opens a database beside which is no `pantler.yaml`.
    for left in [&part, &database] {
        for suffix in ["", "-wal", "-shm"] {
            remove_if_there(
                &Utf8Path::new(left)
                    .with_file_name(format!("{}{suffix}", left.file_name().unwrap_or_default())),
            )?;
        }
    }
    pantler_seam::step("standalone.begin");
    let failed = |source| CreateError::Registry { path: root.to_owned(), source };
    fill(&part, contents, now).map_err(failed)?;
    pantler_seam::step("standalone.filled");
    let log = root.join(format!("{}.part-wal", config.database));
    if log.exists() {
        let reason = "the database was closed and its log is still there".to_owned();
        return Err(ButlerError::Config { path: log, reason }.into());
    }
    let io = |path: &Utf8Path| {
        let path = path.to_owned();
        |source| CreateError::Butler(ButlerError::Io { path, source })
    };
    std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(io(&part))?;
    pantler_seam::around("standalone.rename", || {
        pantler_datastore::fs::rename_noreplace(&part, &database)
    })
    .map_err(io(&database))?;
    pantler_seam::step("standalone.renamed");
    let workspaces = config.workspaces_dir(root);
    std::fs::create_dir_all(&workspaces).map_err(io(&workspaces))?;
    pantler_datastore::fs::sync_dir(root).map_err(ButlerError::from)?;
    pantler_seam::step("standalone.publish");
    match pantler_datastore::fs::write_new(&root.join(config::FILE), config.to_yaml().as_bytes()) {
        Ok(()) => Ok(()),
        Err(StorageError::AlreadyExists { .. }) => Err(CreateError::Exists(root.to_owned())),
        Err(e) => Err(ButlerError::from(e).into()),
    }
}

/// Whether the folder `root` is a repository.
pub fn is_repository(root: &Utf8Path) -> bool {
    root.join(config::FILE).exists()
}

fn remove_if_there(path: &Utf8Path) -> Result<(), CreateError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ButlerError::Io { path: path.to_owned(), source }.into())
        }
        _ => Ok(()),
    }
}

fn fill(part: &Utf8Path, contents: Contents<'_>, now: Tai) -> Result<(), RegistryError> {
    let registry = Registry::create(part, contents.universe, contents.datastore, Uuid::new_v4())?;
    let runs = contents.runs;
    registry.write(|writer| {
        let made: Changes = runs.iter().map(|run| Change::EnsureRun(run.clone())).collect();
        writer.apply(&made, now)?;
        for (run, id) in runs.iter().zip(1..) {
            let found = writer.collection(run)?.map(|collection| collection.id);
            if found != Some(RunId::new(id)) {
                return Err(RegistryError::UnknownCollection { name: run.clone() });
            }
        }
        writer.apply(&changes(contents), now)
    })
}

fn changes(contents: Contents<'_>) -> Changes {
    let types = contents.dataset_types.iter();
    let mut changes: Changes = types.map(|t| Change::EnsureDatasetType(Arc::clone(t))).collect();
    changes.push(Change::EnsureDimensionRecords(contents.records));
    changes.push(Change::InsertDatasets(contents.datasets));
    changes.push(Change::InsertRecords(contents.files));
    for other in contents.collections {
        let OtherCollection { name, collection_type, children, datasets } = other.clone();
        changes.push(Change::EnsureCollection { name: name.clone(), collection_type });
        if collection_type == CollectionType::Chained {
            changes.push(Change::SetChain { chain: name, children });
        } else if !datasets.is_empty() {
            changes.push(Change::Associate { collection: name, datasets });
        }
    }
    if let (Some((chain, last)), Some(first)) = (contents.chain, contents.runs.first()) {
        changes.push(Change::ExtendChain { chain, first: first.clone(), last });
    }
    changes
}
