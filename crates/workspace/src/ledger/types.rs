//! `ledger.json`: what writers need to know, and the database said at the creation.

use std::{collections::BTreeMap, io, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{DatasetType, DatasetTypeName, ElementName, StorageClass, Universe};
use pantler_datastore::StorageError;
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::layout;

const VERSION: u32 = 1;

/// Universe and dataset types of a repository as they were when a workspace was created.
#[derive(Debug, Clone)]
pub struct LedgerTypes {
    universe: Arc<Universe>,
    types: BTreeMap<DatasetTypeName, Arc<DatasetType>>,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    version: u32,
    universe: serde_json::Value,
    dataset_types: Vec<TypeV1>,
}

/// A dataset type in files of a ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TypeV1 {
    pub(super) name: DatasetTypeName,
    dimensions: Vec<ElementName>,
    storage_class: StorageClass,
}

impl TypeV1 {
    pub(super) fn new(dataset_type: &DatasetType) -> Self {
        Self {
            name: dataset_type.name.clone(),
            dimensions: dataset_type.dimensions.required().to_vec(),
            storage_class: dataset_type.storage_class,
        }
    }

    pub(super) fn read(self, universe: &Universe) -> Result<DatasetType, String> {
        let Self { name, dimensions, storage_class } = self;
        let group = universe.group(&dimensions).map_err(|e| e.to_string())?;
        if group.required() != dimensions {
            return Err(format!("dimensions of `{name}` are not in order"));
        }
        Ok(DatasetType { name, dimensions: group, storage_class })
    }
}

impl LedgerTypes {
    /// What a repository has.
    pub fn new(universe: &Arc<Universe>, types: Vec<Arc<DatasetType>>) -> Self {
        let types = types.into_iter().map(|one| (one.name.clone(), one)).collect();
        Self { universe: Arc::clone(universe), types }
    }

    /// The universe.
    pub fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    /// A dataset type that was registered then.
    pub fn dataset_type(&self, name: &DatasetTypeName) -> Option<&Arc<DatasetType>> {
        self.types.get(name)
    }

    /// Reads `ledger.json` in the root of a workspace; `None` if it is not there.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub fn read(root: &Utf8Path) -> Result<Option<Self>, LedgerError> {
        let path = layout::ledger_types_file(root);
        match std::fs::read(&path) {
            Ok(content) => Self::decode(&content, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LedgerError::Io { action: "read", path, source }),
        }
    }

    /// The content of `ledger.json`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let file = FileV1 {
            version: VERSION,
            universe: serde_json::from_str(&self.universe.to_json()).expect("it was just written"),
            dataset_types: self.types.values().map(|one| TypeV1::new(one)).collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("names serialize");
        text.push('\n');
        text.into_bytes()
    }

    fn decode(content: &[u8], path: Utf8PathBuf) -> Result<Self, LedgerError> {
        let damaged = |reason: String| LedgerError::Damaged { path: path.clone(), line: 1, reason };
        let VersionOnly { version } =
            serde_json::from_slice(content).map_err(|e| damaged(e.to_string()))?;
        if version != VERSION {
            return Err(LedgerError::Version { path, found: version });
        }
        let file: FileV1 = serde_json::from_slice(content).map_err(|e| damaged(e.to_string()))?;
        let universe = Universe::from_json(&file.universe.to_string());
        let universe = Arc::new(universe.map_err(|e| damaged(e.to_string()))?);
        let types = file.dataset_types.into_iter();
        let types = types.map(|one| one.read(&universe).map(Arc::new)).collect::<Result<_, _>>();
        Ok(Self::new(&universe, types.map_err(damaged)?))
    }

    /// Writes the content of `ledger.json`. One that is there is left: it says the same.
    pub(super) fn write(root: &Utf8Path, content: &[u8]) -> Result<(), StorageError> {
        pantler_seam::step("ledger.types.write");
        match pantler_datastore::fs::write_new(&layout::ledger_types_file(root), content) {
            Err(StorageError::AlreadyExists { .. }) => Ok(()),
            other => other,
        }
    }
}
