//! Provenance: what happened in a RUN. A zip file as the graph file is, version 1, of which
//! one quantum or dataset is read without the rest.
//!
//! | member | content |
//! | --- | --- |
//! | `header.json.zst` | format, version, RUN, opening, time, counts, producer |
//! | `pipeline.json.zst` | pipeline and its source text, universe; tasks and dataset types with their counts; RUNs of inputs |
//! | `runners.json.zst` | the processes that ran quanta |
//! | `logs` | what the quanta said, one after the other, in blocks of 128 KiB |
//! | `metadata` | blocks of 64 quanta: attempts, where the log is, what was taken over (JSON) |
//! | `quanta` | blocks of 64 quanta of one task: ids, data IDs, statuses, counts of inputs, outputs |
//! | `datasets` | blocks of 64 datasets of one type: ids, data IDs, states, RUNs, sizes, checksums, what made them, counts of readers |
//! | `edges` | blocks of 1024 positions: the inputs of all quanta, then the readers of all datasets |
//! | `block_offsets` | where each block of `metadata`, `quanta`, `datasets` and `edges` starts |
//! | `nodes` | the address table: id → position and block, of quanta and datasets, sorted by id |
//!
//! Positions count the quanta by task and the datasets by type, as the quantum graph does;
//! in `nodes` those of datasets come after those of quanta. A position is turned into a
//! block by arithmetic and one page of `block_offsets`, an id by bisection of `nodes`. To go
//! from a dataset to its ancestors therefore takes a few short reads for each of them,
//! whatever the size of the file. Blocks and pages are those of [`crate::format`].
//!
//! A new version gets its own types; reading version 1 stays.

mod cache;
mod datasets;
mod edges;
mod files;
mod graph;
mod header;
mod logs;
mod metadata;
mod model;
mod offsets;
mod quanta;
mod reader;
mod rows;
mod selected;
#[cfg(test)]
pub(crate) mod tests;
mod view;
mod write;

pub use self::{
    graph::{
        DescribedDataset, DescribedQuantum, ProvenanceError, ProvenanceGraph, ProvenanceSource,
        RunNode,
    },
    header::{FORMAT as PROVENANCE_FORMAT, ProvenanceTask, ProvenanceType},
    model::{
        Attempt, AttemptEnd, ExecutionRecords, ProvenanceDataset, ProvenanceQuantum,
        QuantumExecution, Runner, TakenOver,
    },
    reader::{ProvenanceCounts, ProvenanceReader},
    view::ProvenanceView,
    write::{write_provenance, write_provenance_of},
};

/// The name of the dataset type of provenance: one dataset a RUN.
pub const RUN_PROVENANCE: &str = "run_provenance";

/// How the names of dataset types of the provenance of shards begin: what follows are their
/// dimensions.
pub const RUN_PROVENANCE_BY: &str = "run_provenance_by_";

/// Quanta, and datasets, in a block.
const IN_BLOCK: usize = 64;

const METADATA: &str = "metadata";
const DATASETS: &str = "datasets";
const EDGES: &str = "edges";
const LOGS: &str = "logs";
const NODES: &str = "nodes";
const BLOCK_OFFSETS: &str = "block_offsets";
