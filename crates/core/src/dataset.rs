//! Dataset types and datasets.

use std::{fmt, sync::Arc};

use crate::{CollectionName, DataId, DatasetId, DatasetTypeName, DimensionGroup, StorageClass};

/// A kind of dataset: what labels it and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetType {
    /// Its name.
    pub name: DatasetTypeName,
    /// The dimensions of its data IDs.
    pub dimensions: Arc<DimensionGroup>,
    /// What its datasets are.
    pub storage_class: StorageClass,
}

/// Two definitions of one dataset type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "dataset type `{name}` is {registered}, and cannot also be {wanted}; give the new one another name"
)]
pub struct DatasetTypeError {
    name: DatasetTypeName,
    registered: String,
    wanted: String,
}

impl DatasetType {
    /// Whether `wanted` is the same definition.
    ///
    /// # Errors
    /// [`DatasetTypeError`] with both definitions if they differ.
    pub fn check_same(&self, wanted: &Self) -> Result<(), DatasetTypeError> {
        if self == wanted {
            return Ok(());
        }
        let describe = |t: &Self| format!("{} {}", t.storage_class, t.dimensions);
        Err(DatasetTypeError {
            name: self.name.clone(),
            registered: describe(self),
            wanted: describe(wanted),
        })
    }
}

/// A dataset: which one, of what type, for what data ID, in which RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetRef {
    /// Its id.
    pub id: DatasetId,
    /// Its type.
    pub dataset_type: Arc<DatasetType>,
    /// Its data ID.
    pub data_id: DataId,
    /// The RUN that owns it.
    pub run: CollectionName,
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {} ({})", self.dataset_type.name, self.data_id, self.run, self.id)
    }
}
