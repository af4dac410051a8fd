//! Changes of rows as values: what the contexts of a transaction collect, and
//! the registry applies in one database transaction.

use std::sync::Arc;

use crate::{CollectionName, DatasetId, DatasetRef, DatasetType, DimensionRecord, FileRecord};

/// One change of rows. Changes are applied in the order in which they were collected.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Insert a RUN; it is an error if the collection exists.
    InsertRun(CollectionName),
    /// Make sure that a RUN exists; it is an error if the name is another kind of collection.
    EnsureRun(CollectionName),
    /// Remove a RUN if it holds no dataset, no chain names it and no other open
    /// transaction locks it; else leave it.
    DiscardRunIfUnused(CollectionName),
    /// Make sure that a dataset type is registered; it is an error if it is
    /// registered with another definition.
    EnsureDatasetType(Arc<DatasetType>),
    /// Make sure that dimension records exist; one that is there with the same
    /// content is left, one with other content is an error.
    EnsureDimensionRecords(Vec<DimensionRecord>),
    /// Insert datasets and their membership in their RUN. It is an error if one is
    /// there already, if its type is not registered, or if a dimension record that
    /// its data ID names does not exist.
    InsertDatasets(Vec<DatasetRef>),
    /// Remove datasets, their memberships and records. Missing is fine.
    DiscardDatasets(Vec<DatasetId>),
    /// Insert datastore records; the datasets must exist.
    InsertRecords(Vec<FileRecord>),
    /// Remove the datastore records of datasets. Missing is fine.
    DiscardRecords(Vec<DatasetId>),
    /// Put `first` at the head of a chain, which is created if missing, behind leading
    /// RUNs that were made after it, and make sure that it ends with `last`; other
    /// children keep their order.
    ExtendChain {
        /// The chain.
        chain: CollectionName,
        /// The new head, or next to it.
        first: CollectionName,
        /// What must be in the chain after everything else.
        last: Vec<CollectionName>,
    },
}

/// A list of changes.
pub type Changes = Vec<Change>;
