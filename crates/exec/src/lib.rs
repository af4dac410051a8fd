//! Runs the quanta of a workspace. No SQL is within reach here: graph, journal and
//! datastore are enough.
//!
//! The way through: [`RunnerLock`] keeps runners apart from those that change or close a
//! workspace; [`run`] reads the [`JournalState`], finds what is left to do, and runs it: Rust
//! [`Task`]s in its pool, commands as processes of their own. What happens goes into
//! the journal ([`journal`] describes it) and the logs ([`read_log`]);
//! [`WorkspaceStatus`] puts graph and journal together again, and [`transitions`]
//! changes where quanta stand without running them.
//!
//! - `queue`: what can run, as plain values
//! - `run`: the threads around it
//! - `command`: processes, and the directories they work in
//!
//! The files of a workspace root that belong to this crate are in [`layout`].

mod clock;
mod command;
mod current;
mod environment;
mod execution;
mod failure;
mod frozen;
mod heartbeat;
mod identity;
pub mod journal;
pub mod layout;
mod lock;
mod logs;
mod observer;
mod plan;
mod quantum_butler;
mod quantum_context;
pub mod queue;
mod run;
mod runners;
mod selection;
pub mod signals;
mod status;
mod stop;
mod summary;
mod takeover;
mod task;
pub mod transitions;

pub use clock::Clock;
pub use current::{Success, current_successes};
pub use environment::Environment;
pub use execution::{dataset_states, execution_statuses};
pub use failure::FailureReason;
pub use frozen::frozen_markers;
pub use identity::{TaskIdentity, task_identities, task_identities_of};
pub use journal::{
    Finish, JournalError, JournalState, JournalWriter, LogSlice, Outcome, QuantumHistory,
    SegmentHeader, SegmentInfo, Standing, StoredOutput, Verdict,
};
pub use lock::{CloserLock, FreezeLock, LockError, RunnerLock};
pub use logs::{LogError, escape, log_tail, read_log};
pub use observer::{NoObserver, ObservedQuantum, Observer, Waiting};
pub use quantum_butler::QuantumButler;
pub use quantum_context::{QuantumContext, QuantumError};
pub use run::{Beside, RunError, RunRequest, run};
pub use runners::{RunnerInfo, RunnerState, at_work, runners};
pub use selection::{Selection, SelectionError};
pub use status::{QuantumStatus, TaskStatus, WorkspaceStatus, accepted_failures, failures};
pub use stop::StopFlag;
pub use summary::{Counts, Failure, RunSummary, TaskCounts, Unmade};
pub use takeover::{TakeOverError, declare_dead, declared_dead_by};
pub use task::{Task, TaskError, TaskRegistry};
