//! The graph file, `.qg`, versions 1 to 3: one zip file whose members are stored as they are.
//!
//! | member | content |
//! | --- | --- |
//! | `header.json.zst` | format, version, seed, output RUN, time, counts, producer |
//! | `pipeline.json.zst` | the pipeline, its source text, the universe, types of overall inputs |
//! | `dimension_data.json.zst` | the values of each dimension |
//! | `thin_graph.json.zst` | all edges by position, without data IDs |
//! | `init_quanta.json.zst` | an empty list |
//! | `input_datasets` | blocks of existing datasets with ids and artifacts |
//! | `quantum_datasets` | blocks of quanta with data IDs and inputs |
//! | `quanta` | the address table: quantum id → position and block, sorted by id |
//!
//! To read one quantum takes the zip directory, header and pipeline, a bisection in
//! `quanta`, one block of `quantum_datasets` and those of `input_datasets` that it names.
//! JSON members are covered by the zip's CRC-32; blocks and pages have a blake3 checksum
//! of their own, because a ranged read never sees a whole member. Ids that follow from
//! the seed are only in the address table.
//!
//! Version 2 is a part of a graph, and its header says which; see [`GraphScope`](crate::GraphScope).
//! In version 3, `input_datasets` has outputs of tasks that were found instead of being built.
//! A new version gets its own types; reading old ones stays.

pub(crate) mod address;
pub(crate) mod block;
pub(crate) mod codec;
pub(crate) mod container;
mod dictionary;
mod error;
mod excerpt;
mod header;
mod inputs;
#[cfg(test)]
mod mutation_tests;
mod quanta;
mod read;
mod reader;
mod table;
#[cfg(test)]
mod tests;
mod thin;
mod write;

pub(crate) use self::header::FormatOnly;
pub use self::{
    error::GraphFileError,
    header::GraphCounts,
    read::read,
    reader::{GraphReader, StoredInputs, StoredOutput, StoredQuantum, read_metadata},
    table::{AddressRow, AddressTable},
    write::write,
};
