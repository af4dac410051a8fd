//! Makes a repository.
//!
//! Steps: folder; database (one database transaction); storage and workspace
//! folders; `pantler.yaml` renamed into place last. A kill between any two leaves a
//! folder without `pantler.yaml` that holds only what these steps make, and running
//! it again finishes it.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DatastoreConfig, Universe};
use pantler_datastore::StorageError;
use pantler_registry::{Registry, RegistryError};
use uuid::Uuid;

use crate::{
    config::{self, RepositoryConfig},
    error::ButlerError,
};

/// How a repository is made.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// How artifacts are stored.
    pub datastore: DatastoreConfig,
}

/// A repository could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one already.
    #[error("{0} is a Pantler repository already")]
    Exists(Utf8PathBuf),
    /// The folder holds something else.
    #[error("{path} is not empty (it holds {entry:?}): a repository needs a folder of its own")]
    NotEmpty {
        /// The folder.
        path: Utf8PathBuf,
        /// Something it holds.
        entry: String,
    },
    /// The place is a file.
    #[error("{0} is not a folder")]
    NotAFolder(Utf8PathBuf),
    /// The database could not be made.
    #[error("cannot make the database of {path}")]
    Registry {
        /// The repository.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: RegistryError,
    },
    /// Something else failed.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

/// Makes a repository at `root`, an empty or missing folder, or one that a killed
/// call left.
///
/// # Errors
/// [`CreateError`]; what stands there is then either as before or what a killed
/// call leaves.
pub fn create(
    root: &Utf8Path,
    universe: &Universe,
    options: &CreateOptions,
) -> Result<(), CreateError> {
    let config = RepositoryConfig::default();
    check_place(root, &config, &options.datastore)?;
    let io = |path: &Utf8Path| {
        let path = path.to_owned();
        |source| CreateError::Butler(ButlerError::Io { path, source })
    };
    std::fs::create_dir_all(root).map_err(io(root))?;
    pantler_seam::step("init.folder.made");
    let database = root.join(&config.database);
    let registry = Registry::create(&database, universe, &options.datastore, Uuid::new_v4())
        .map_err(|source| CreateError::Registry { path: root.to_owned(), source })?;
    drop(registry);
    pantler_seam::step("init.database.made");
    for folder in [&options.datastore.root, &config.workspaces] {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).map_err(io(&folder))?;
    }
    pantler_seam::step("init.folders.made");
    pantler_datastore::fs::sync_dir(root).map_err(ButlerError::from)?;
    if let Some(parent) = root.parent().filter(|parent| !parent.as_str().is_empty()) {
        pantler_datastore::fs::sync_dir(parent).map_err(ButlerError::from)?;
    }
    let file = root.join(config::FILE);
    match pantler_datastore::fs::write_new(&file, config.to_yaml().as_bytes()) {
        Ok(()) => Ok(()),
        Err(StorageError::AlreadyExists { .. }) => Err(CreateError::Exists(root.to_owned())),
        Err(e) => Err(ButlerError::from(e).into()),
    }
}

/// Refuses a folder that holds anything but what a killed `create` leaves.
fn check_place(
    root: &Utf8Path,
    config: &RepositoryConfig,
    datastore: &DatastoreConfig,
) -> Result<(), CreateError> {
    if root.join(config::FILE).exists() {
        return Err(CreateError::Exists(root.to_owned()));
    }
    let io = |source| CreateError::Butler(ButlerError::Io { path: root.to_owned(), source });
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(CreateError::NotAFolder(root.to_owned()));
        }
        Err(e) => return Err(io(e)),
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = name == datastore.root || name == config.workspaces;
        let ours = name.starts_with(&config.database)
            || name.starts_with(&format!("{}.", config::FILE))
            || is_folder;
        let empty = !is_folder || std::fs::read_dir(entry.path()).map_err(io)?.next().is_none();
        if !(ours && empty) {
            return Err(CreateError::NotEmpty { path: root.to_owned(), entry: name });
        }
    }
    Ok(())
}
