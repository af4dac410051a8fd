//! Workspaces without a pipeline: whoever makes datasets, a notebook or a process that takes
//! data, appends to a ledger what it is about to write, writes it, and appends that it is
//! there. A commit enters what is there into the repository as one RUN.
//!
//! ```text
//! <root>/ledger.json              what writers need to know: universe and dataset types (`types.rs`)
//! <root>/ledger/<writer>.jsonl    one append-only segment a writer (`segment.rs`)
//! <root>/ledger.lock              held (flock) while lines about what is done are appended
//! <root>/journal/<writer>.jsonl   says who the writer is and whether it lives (`pantler-exec`)
//! ```
//!
//! Writers need no database. They hold the runners' lock, shared, so that a closing waits for
//! them and no new one begins while it works; their numbers are those of runners.
//!
//! # A dataset
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | 1. *begin* line | none | a line |
//! | 2. artifact | written at a key of its own, flushed | an artifact that is not done: any closing deletes it |
//! | 3. `ledger.lock`, what others have done is read | none | the same |
//! | 4. *done* line, flushed | the dataset will be committed | a dataset that is done |
//!
//! The first that is done wins: who finds at step 3 that another was faster deletes its own
//! artifact and appends a *dropped* line. A begin line is not flushed: a closing lists what
//! lies below the RUN's prefix, and needs it for nothing; people do, to see what is going on.

mod create;
mod error;
mod readiness;
mod segment;
mod state;
mod types;
mod workspace;
mod writer;

pub use create::{LedgerRequest, create};
pub use error::LedgerError;
pub(crate) use readiness::expect_ready;
pub use state::{DoneDataset, LedgerCounts, LedgerState};
pub use types::LedgerTypes;
pub use workspace::LedgerWorkspace;
pub use writer::{LedgerWriter, PutOutcome};
