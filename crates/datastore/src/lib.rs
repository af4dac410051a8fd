//! The artifact storage of a Pantler repository.
//!
//! How an artifact gets where it belongs: [`key`] makes its key; a [`Storage`]
//! stages its content in an *unfinished form* (a local file `<key>.tmp`), which is
//! published under the key by one step that never replaces anything; a [`Flusher`],
//! opened before the first write, brings content and directory entries to stable
//! storage before anything refers to the artifact. So whatever stands at a key is
//! whole, and after a crash every leftover can be named by a walk.
//!
//! [`Datastore`] is what other crates use: it knows a repository's configuration,
//! computes checksums while writing, verifies them while reading, and writes many
//! artifacts as a [`WriteBatch`] with two flushes in all.
//!
//! Every function here may block. No clock, no environment and no SQL is within
//! reach; `object_store` stays inside this crate.

mod batch;
mod bridge;
mod copy;
mod datastore;
mod deferred;
mod error;
pub mod fs;
pub mod key;
mod local;
mod object;
mod source;
mod storage;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use batch::WriteBatch;
pub use datastore::{Datastore, Unstored};
pub use deferred::DeferredRead;
pub use error::{Corruption, DatastoreError, StorageError};
pub use key::RunPrefix;
pub use local::LocalStorage;
pub use object::ObjectStorage;
pub use source::{SourceRemoval, SourceState};
pub use storage::{Entry, Flusher, LinkKind, ReadSeek, StagedWrite, Storage, Written};
pub use verify::{Depth, Expected, Verdict};
