//! Collections of datasets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CollectionName, RunId};

/// What a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CollectionType {
    /// Owns datasets; every dataset is in exactly one RUN.
    Run,
    /// Names datasets that RUNs own, at most one of each dataset type and data ID.
    Tagged,
    /// An ordered list of other collections, searched in that order.
    Chained,
}

impl CollectionType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Run, Self::Tagged, Self::Chained];

    /// The name in the database and in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "RUN",
            Self::Tagged => "TAGGED",
            Self::Chained => "CHAINED",
        }
    }
}

impl fmt::Display for CollectionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A collection as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its database id; for a RUN, part of its artifacts' keys.
    pub id: RunId,
    /// Its name.
    pub name: CollectionName,
    /// What it is.
    pub collection_type: CollectionType,
    /// Children of a chain in search order; empty for others.
    pub children: Vec<CollectionName>,
}
