//! The datastore's configuration: in the database, versioned, and carried by
//! every open transaction and workspace.

use serde::{Deserialize, Serialize};

/// Whether artifacts are flushed to stable storage before their rows are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Flushed: what was acknowledged survives power loss.
    Flushed,
    /// Not flushed: for scratch repositories; `check` says so.
    None,
}

/// How artifacts are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastoreConfig {
    /// Counts changes of the configuration; 1 at first.
    pub version: u32,
    /// The storage root: a path relative to the repository.
    pub root: String,
    /// Whether artifacts are flushed.
    pub durability: Durability,
}

impl Default for DatastoreConfig {
    fn default() -> Self {
        Self { version: 1, root: "artifacts".to_owned(), durability: Durability::Flushed }
    }
}
