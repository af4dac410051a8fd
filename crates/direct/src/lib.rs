//! `DirectButler`: the one place where registry and datastore meet.
//!
//! | file | what it does |
//! | --- | --- |
//! | `create.rs` | makes a repository |
//! | `config.rs` | `pantler.yaml` |
//! | `butler.rs` | opens a repository |
//! | `open.rs` | opens artifact transactions, joins and takes over open ones |
//! | `close.rs` | commits, reverts, abandons: claim, storage work, rows |
//! | `store/` | content becomes datasets: put, ingest, restore |
//! | `puts.rs` | put sessions: datasets one by one, each committed by itself |
//! | `transfer.rs` | datasets of another repository come here |
//! | `receive.rs` | what a workspace elsewhere made comes here |
//! | `standalone.rs` | a folder with artifacts becomes a repository |
//! | `remove.rs` | datasets and RUNs are removed |
//! | `expand.rs` | what follows from data IDs |
//! | `record_file.rs` | files of dimension records |
//! | `index_file.rs` | lists of files to be ingested |
//! | `transaction_file.rs` | `transaction.json` in a workspace root |
//! | `check.rs` | looks at a repository from outside |
//! | `repair.rs` | puts right what a check found |
//! | `vacuum.rs` | removes what a kill left and nobody needs |
//! | `environment.rs` | clock, ids, owner and process, as values passed in |

mod access;
mod artifacts;
mod butler;
pub mod check;
mod close;
mod config;
mod create;
mod environment;
mod error;
mod expand;
mod index_file;
mod open;
mod part;
mod puts;
mod receive;
mod record_file;
mod remove;
pub mod repair;
pub mod standalone;
mod store;
mod transaction_file;
mod transfer;
pub mod vacuum;

pub use access::{DeferredDataset, DirectError};
pub use butler::DirectButler;
pub use close::CloseFailure;
pub use config::RepositoryConfig;
pub use create::{CreateError, CreateOptions, create};
pub use environment::{Clock, Environment, Liveness, SystemClock, this_process};
pub use error::{ButlerError, CloseError};
pub use expand::ExpandedDataId;
pub use index_file::{IndexFileError, IndexRow, read_index, read_index_line};
pub use open::Begun;
pub use pantler_butler::{CloseOptions, Closed};
pub use puts::Puts;
pub use receive::{Receive, ReceiveError, Received, ReceivedArtifact, Slice};
pub use record_file::{RecordFileError, read_record_file, read_records_of};
pub use remove::RemoveError;
pub use store::{StoreError, record_from_key};
pub use transaction_file::{TransactionFile, TransactionFileError};
pub use transfer::TransferError;
