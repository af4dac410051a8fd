//! Changes of rows as values: what the contexts of a transaction collect, and
//! the registry applies in one database transaction.

use std::sync::Arc;

use crate::{
    CollectionName, CollectionType, DatasetId, DatasetRef, DatasetType, DatasetTypeName,
    DimensionRecord, FileRecord, Location,
};

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
    /// Make sure that a collection of this type exists, without datasets or children
    /// if it is new; it is an error if the name is another kind of collection, or if
    /// an open transaction locks a RUN of this name that is still to be made.
    EnsureCollection {
        /// Its name.
        name: CollectionName,
        /// What it is.
        collection_type: CollectionType,
    },
    /// Remove a TAGGED or CHAINED collection; the datasets that it names stay. It is an
    /// error if there is none, if a chain names it, or if it is a RUN, which goes with
    /// its datasets by a transaction.
    RemoveCollection(CollectionName),
    /// Give a chain, which is created if missing, these children in search order; one
    /// that is given twice counts where it stands first. It is an error if a child does
    /// not exist, is or contains the chain, or is a RUN that an open transaction modifies.
    SetChain {
        /// The chain.
        chain: CollectionName,
        /// Its children from now on.
        children: Vec<CollectionName>,
    },
    /// Put datasets into a TAGGED collection. One that is there already is left. It is an
    /// error if another one of the same type and data ID is there, if a dataset is not
    /// registered, or if it is not stored and an open transaction is at work on its RUN.
    Associate {
        /// The TAGGED collection.
        collection: CollectionName,
        /// What it gets.
        datasets: Vec<DatasetId>,
    },
    /// Take datasets out of a TAGGED collection; they stay in their RUN. Missing is fine.
    Disassociate {
        /// The TAGGED collection.
        collection: CollectionName,
        /// What goes.
        datasets: Vec<DatasetId>,
    },
    /// Change nothing; it is an error if one of the datasets is in a TAGGED collection.
    /// Missing is fine.
    ExpectUntagged(Vec<DatasetId>),
    /// Change nothing; it is an error unless the datasets are registered and have no
    /// datastore record.
    ExpectUnstored(Vec<DatasetId>),
    /// Change nothing; it is an error if a datastore record names one of these.
    ExpectUnnamed(Vec<Location>),
    /// Remove a RUN that holds nothing; it is an error if it holds a dataset, or if a
    /// chain names it. Missing is fine.
    DiscardRun(CollectionName),
    /// Remove a dataset type. It is an error if there is none, or if it has datasets. While
    /// any transaction is open it is an error too: its manifest may name the type, and is
    /// not looked into.
    RemoveDatasetType(DatasetTypeName),
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
    /// Remove datasets, their memberships and records. Missing is fine; it is an error if
    /// one is in a TAGGED collection.
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
