//! `pantler.yaml` at the root of a repository: where its parts are.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::error::ButlerError;

/// The file's name.
pub(crate) const FILE: &str = "pantler.yaml";

const VERSION: u32 = 1;

/// Where the parts of a repository are, relative to its root. Where artifacts are
/// stored is in the database, so that it cannot change under an open transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// The database: a path relative to the repository.
    pub database: String,
    /// The folder of internal workspaces, relative to the repository.
    pub workspaces: String,
}

impl Default for RepositoryConfig {
    fn default() -> Self {
        Self { database: "registry.sqlite3".to_owned(), workspaces: "workspaces".to_owned() }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigV1 {
    version: u32,
    database: String,
    workspaces: String,
}

impl RepositoryConfig {
    /// Reads the configuration of the repository at `root`.
    ///
    /// # Errors
    /// [`ButlerError::NotARepository`] if there is none, [`ButlerError::NewerRepository`]
    /// if a newer program made it, [`ButlerError::Config`] if it is not well formed.
    pub fn read(root: &Utf8Path) -> Result<Self, ButlerError> {
        let path = root.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ButlerError::NotARepository(root.to_owned()));
            }
            Err(source) => return Err(ButlerError::Io { path, source }),
        };
        let syntax = |e: serde_saphyr::Error| ButlerError::Config {
            path: path.clone(),
            reason: e.without_snippet().to_string(),
        };
        let VersionOnly { version } = serde_saphyr::from_str(&text).map_err(syntax)?;
        if version != VERSION {
            return Err(ButlerError::NewerRepository { path, found: version, supported: VERSION });
        }
        let file: ConfigV1 = serde_saphyr::from_str(&text).map_err(syntax)?;
        Ok(Self { database: file.database, workspaces: file.workspaces })
    }

    /// The file's text.
    pub(crate) fn to_yaml(&self) -> String {
        format!(
            "# A Pantler repository. All paths are relative to this folder.\n\
             version: {VERSION}\ndatabase: {}\nworkspaces: {}\n",
            self.database, self.workspaces
        )
    }

    /// The folder of internal workspaces of the repository at `root`.
    pub fn workspaces_dir(&self, root: &Utf8Path) -> Utf8PathBuf {
        root.join(&self.workspaces)
    }
}
