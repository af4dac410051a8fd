//! `external.json`: what makes a folder an external workspace. Create-only.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, CollectionType, DatastoreConfig, RunId, Universe};
use pantler_direct::standalone::OtherCollection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{ExternalError, rows::Rows};
use crate::WorkspaceTransaction;

const VERSION: u32 = 1;

/// Where the inputs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    /// Where it was.
    pub(crate) path: Utf8PathBuf,
    /// Its id.
    pub(crate) repository: Uuid,
    /// How its artifacts are stored.
    pub(crate) datastore: DatastoreConfig,
}

/// An input collection that is no RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputCollection {
    pub(crate) name: CollectionName,
    pub(crate) collection_type: CollectionType,
    pub(crate) children: Vec<CollectionName>,
}

/// What `external.json` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    pub(crate) parent: Parent,
    pub(crate) universe: Universe,
    /// The output RUN, then the input RUNs; the n-th has the id n.
    pub(crate) runs: Vec<CollectionName>,
    /// The input collections that are no RUNs, each after its children.
    pub(crate) collections: Vec<InputCollection>,
    /// What was copied into `pipeline/`, relative to it.
    pub(crate) pipeline: Vec<Utf8PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct DescriptionV1 {
    version: u32,
    parent: ParentV1,
    runs: Vec<CollectionName>,
    collections: Vec<CollectionV1>,
    pipeline: Vec<Utf8PathBuf>,
    /// As text, since the order of its elements counts.
    universe: String,
}

#[derive(Serialize, Deserialize)]
struct ParentV1 {
    path: Utf8PathBuf,
    repository: Uuid,
    datastore: DatastoreConfig,
}

#[derive(Serialize, Deserialize)]
struct CollectionV1 {
    name: CollectionName,
    r#type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<CollectionName>,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Reads a JSON file with a version.
pub(crate) fn read_versioned<T: DeserializeOwned>(
    path: &Utf8Path,
    supported: u32,
) -> Result<T, ExternalError> {
    let text = std::fs::read_to_string(path).map_err(ExternalError::io(path))?;
    let damaged = |error: serde_json::Error| ExternalError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let VersionOnly { version: found } = serde_json::from_str(&text).map_err(damaged)?;
    if found != supported {
        return Err(ExternalError::Version { path: path.to_owned(), found, supported });
    }
    serde_json::from_str(&text).map_err(damaged)
}

/// A JSON file's text.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("names and numbers serialize");
    text.push('\n');
    text
}

impl Description {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Utf8Path) -> Result<Self, ExternalError> {
        let file: DescriptionV1 = read_versioned(path, VERSION)?;
        let damaged = |reason: String| ExternalError::Damaged { path: path.to_owned(), reason };
        let universe = Universe::from_json(&file.universe).map_err(|e| damaged(e.to_string()))?;
        let mut collections = Vec::with_capacity(file.collections.len());
        for CollectionV1 { name, r#type, children } in file.collections {
            let found = CollectionType::ALL.into_iter().find(|t| t.name() == r#type);
            let collection_type =
                found.ok_or_else(|| damaged(format!("{name} is of an unknown type {type:?}")))?;
            collections.push(InputCollection { name, collection_type, children });
        }
        if file.runs.is_empty() {
            return Err(damaged("it names no RUN".to_owned()));
        }
        if let Some(path) = file.pipeline.iter().find(|path| !is_inside(path)) {
            return Err(damaged(format!("{path} does not lie in pipeline/")));
        }
        let ParentV1 { path, repository, datastore } = file.parent;
        let parent = Parent { path, repository, datastore };
        Ok(Self { parent, universe, runs: file.runs, collections, pipeline: file.pipeline })
    }

    /// The file's text.
    pub(crate) fn to_json(&self) -> String {
        let Parent { path, repository, datastore } = self.parent.clone();
        let collections = self.collections.iter().cloned().map(|collection| CollectionV1 {
            name: collection.name,
            r#type: collection.collection_type.name().to_owned(),
            children: collection.children,
        });
        to_text(&DescriptionV1 {
            version: VERSION,
            parent: ParentV1 { path, repository, datastore },
            runs: self.runs.clone(),
            collections: collections.collect(),
            pipeline: self.pipeline.clone(),
            universe: self.universe.to_json(),
        })
    }

    /// The id that a RUN has in this folder.
    pub(crate) fn run_id(&self, run: &CollectionName) -> Option<RunId> {
        let at = self.runs.iter().position(|known| known == run)?;
        i64::try_from(at).ok().map(|at| RunId::new(at + 1))
    }

    /// The collections that are no RUNs, as a new repository gets them.
    pub(crate) fn others(&self, rows: &Rows) -> Vec<OtherCollection> {
        let other = |collection: &InputCollection| OtherCollection {
            name: collection.name.clone(),
            collection_type: collection.collection_type,
            children: collection.children.clone(),
            datasets: rows.tags.get(&collection.name).cloned().unwrap_or_default(),
        };
        self.collections.iter().map(other).collect()
    }
}

/// The chain that gets the RUN of a workspace, and what it ends with.
pub(crate) fn chain_of(
    transaction: &WorkspaceTransaction,
) -> Option<(CollectionName, Vec<CollectionName>)> {
    let chain = transaction.chain.clone()?;
    let last = transaction.inputs.iter().filter(|input| **input != chain).cloned().collect();
    Some((chain, last))
}

fn is_inside(path: &Utf8Path) -> bool {
    path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)))
}
