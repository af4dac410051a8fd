//! `DirectButler`: the one place where registry and datastore meet.
//!
//! | file | what it does |
//! | --- | --- |
//! | `create.rs` | makes a repository |
//! | `config.rs` | `pantler.yaml` |
//! | `butler.rs` | opens a repository |
//! | `open.rs` | opens artifact transactions, joins and takes over open ones |
//! | `close.rs` | commits, reverts, abandons: claim, storage work, rows |
//! | `ingest.rs` | files from outside become datasets |
//! | `transaction_file.rs` | `transaction.json` in a workspace root |
//! | `check.rs` | looks at a repository from outside |
//! | `environment.rs` | clock, ids, owner and process, as values passed in |

mod artifacts;
mod butler;
pub mod check;
mod close;
mod config;
mod create;
mod environment;
mod error;
mod ingest;
mod open;
mod transaction_file;

pub use butler::DirectButler;
pub use close::{CloseFailure, CloseOptions, Closed};
pub use config::RepositoryConfig;
pub use create::{CreateError, CreateOptions, create};
pub use environment::{Clock, Environment, Liveness, SystemClock, this_process};
pub use error::{ButlerError, CloseError};
pub use ingest::{
    IngestError, IngestFile, IngestPlan, IngestProgress, IngestReport, IngestRequest,
    record_from_key,
};
pub use open::Begun;
pub use transaction_file::{TransactionFile, TransactionFileError};
