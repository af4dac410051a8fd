//! Rows as values: dimension records and datastore records.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::{
    Checksum, DataId, DatasetId, ElementName, KeyValue, Location, MetadataValue, StorageClass,
};

/// One row of a dimension element.
#[derive(Debug, Clone, PartialEq)]
pub struct DimensionRecord {
    /// The element.
    pub element: ElementName,
    /// Its identity.
    pub data_id: DataId,
    /// Values of the dimensions that the element implies directly.
    pub implied: BTreeMap<ElementName, KeyValue>,
    /// Its metadata; fields not given are absent.
    pub metadata: BTreeMap<ElementName, MetadataValue>,
}

/// The row that says where (a component of) a dataset is, and how to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The dataset.
    pub dataset: DatasetId,
    /// The component; empty for the whole dataset.
    pub component: Box<str>,
    /// The artifact, or the file outside of the storage, that holds it.
    pub location: Location,
    /// Where in the artifact its bytes start, if it shares the artifact with other
    /// datasets; `None` if it is the whole artifact.
    pub offset: Option<u64>,
    /// How to read it.
    pub formatter: Cow<'static, str>,
    /// What it is.
    pub storage_class: StorageClass,
    /// Its size in bytes (of its own bytes, in a shared artifact).
    pub size: u64,
    /// The checksum of its bytes.
    pub checksum: Checksum,
}
