//! Values of a Pantler repository: universe, data IDs, dataset types, refs,
//! collections, keys, names.
//!
//! Nothing here does I/O, speaks SQL or reads a clock. Every name, id and key is
//! a checked type: it exists only in valid form, and deserializing goes through
//! the same check. The other crates pass these values to each other:
//! `registry` stores them as rows, `datastore` writes the artifacts that they
//! name, `direct` brings both together under the rules of `butler`.

pub mod changes;
mod checksum;
mod collection;
mod data_id;
mod dataset;
mod datastore_config;
pub mod dimension;
mod id;
mod key;
mod location;
mod name;
mod record;
mod record_fields;
pub mod restriction;
mod storage_class;
mod time;
pub mod transaction;
mod value;

pub use checksum::{Checksum, ChecksumError, ChecksumHasher};
pub use collection::{Collection, CollectionType};
pub use data_id::{DataId, DataIdError};
pub use dataset::{DatasetRef, DatasetType, DatasetTypeError};
pub use datastore_config::{DatastoreConfig, Durability};
pub use dimension::{DimensionGroup, Element, Universe};
pub use id::{DatasetId, IdSeed, OpeningId, QuantumId, RunId};
pub use key::{ArtifactKey, KeyError, WriteId};
pub use location::{DirectUri, DirectUriError, Location, LocationError};
pub use name::{
    CollectionName, DatasetTypeName, ElementName, NameError, TaskLabel, TransactionName,
};
pub use record::{DimensionRecord, FileRecord};
pub use record_fields::RecordFieldsError;
pub use restriction::{Restriction, RestrictionError};
pub use storage_class::StorageClass;
pub use time::{Tai, TimeError};
pub use value::{KeyType, KeyValue, MetadataType, MetadataValue};
