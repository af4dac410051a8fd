//! The state of a dataset: exactly one of three.

use std::collections::HashMap;

use pantler_core::{DatasetId, TransactionName};
use pantler_registry::DatasetRow;

/// What a dataset is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State<'a> {
    /// It has a record, and the artifact that this names.
    Stored,
    /// It is registered only.
    Registered,
    /// An open transaction manages it, and it has no record (yet, or any more).
    Managed(&'a TransactionName),
}

impl<'a> State<'a> {
    /// The state of a dataset, where `managers` are the transactions that manage some.
    pub(crate) fn of(row: &DatasetRow, managers: &'a HashMap<DatasetId, TransactionName>) -> Self {
        if !row.records.is_empty() {
            return Self::Stored;
        }
        managers.get(&row.dataset.id).map_or(Self::Registered, Self::Managed)
    }

    /// The word for it in tables and documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Registered => "registered",
            Self::Managed(_) => "managed",
        }
    }

    /// The transaction that manages it.
    pub(crate) fn transaction(self) -> Option<&'a TransactionName> {
        match self {
            Self::Managed(name) => Some(name),
            Self::Stored | Self::Registered => None,
        }
    }
}
