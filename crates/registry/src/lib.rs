//! The SQL database of a Pantler repository; the only crate that speaks SQL.
//!
//! A [`Registry`] is one open database. All reading goes through a [`Reader`],
//! which sees one snapshot; all writing through a [`Writer`], which is one database
//! transaction that becomes visible as a whole or not at all. Rows come in as
//! [`pantler_core::changes::Change`] values, whose documentation is the contract.
//! Nothing here touches artifacts, decides what a transaction kind means or asks
//! for the time.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `schema/v1.sql`, `schema.rs` | the tables |
//! | `sqlite.rs` | everything that only SQLite needs: opening, pragmas, `BEGIN IMMEDIATE`, errors |
//! | `collections.rs`, `dataset_types.rs`, `dimension_records.rs`, `datasets.rs`, `tags.rs`, `file_records.rs`, `transactions.rs` | rows, by table |
//! | `check.rs` | the same tables read once more, with SQL of its own, for `pantler check` |

mod apply;
pub mod check;
mod claims;
mod collections;
mod dataset_changes;
mod dataset_types;
mod datasets;
mod derivation;
mod dimension_records;
mod error;
mod expectations;
pub mod faults;
mod file_records;
mod locks;
mod manifest;
mod network;
mod reader;
mod record_checks;
mod record_expectation;
mod registry;
mod repair;
mod schema;
mod sqlite;
mod tags;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transactions;
mod writer;

#[cfg(test)]
mod tests;

pub use datasets::{DatasetQuery, DatasetRow};
pub use error::{RegistryError, Standing};
pub use expectations::RecordCounts;
pub use locks::LockKind;
pub use reader::Reader;
pub use registry::{OpenOptions, Registry};
pub use repair::{Droppable, SeenRecord};
pub use schema::SCHEMA_VERSION;
pub use writer::Writer;
