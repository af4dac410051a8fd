//! Datasets of a graph as values.

use std::sync::Arc;

use pantler_core::{Checksum, CollectionName, DataId, DatasetId, DatasetType, Location};

/// Where the bytes of an existing input are: what a process without a database needs
/// to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputArtifact {
    /// The artifact that holds it.
    pub location: Location,
    /// Where in the artifact its bytes start; `None` if it is the whole artifact.
    pub offset: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
    /// The checksum of its bytes.
    pub checksum: Checksum,
}

/// Whether a dataset of a graph was there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetOrigin {
    /// An overall input, or an output of a quantum that was skipped.
    Existing {
        /// The RUN that owns it.
        run: CollectionName,
        /// Where its bytes are.
        artifact: InputArtifact,
    },
    /// An output of a quantum, in the graph's output RUN.
    Predicted,
}

/// A dataset of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDataset {
    /// Its id; for a predicted one, derived from the graph's seed.
    pub id: DatasetId,
    /// Its type.
    pub dataset_type: Arc<DatasetType>,
    /// Its data ID.
    pub data_id: DataId,
    /// Where it comes from.
    pub origin: DatasetOrigin,
}
