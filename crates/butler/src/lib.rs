//! What a butler is, and the rules of change.
//!
//! Every change of a repository that touches artifacts is an *artifact
//! transaction* (DMTN-249 §3): a persistent manifest in the database, opened in
//! one database transaction and closed in another, with the storage work between.
//! This crate holds the framework ([`transaction`]) and the built-in kinds
//! ([`storing`], [`puts`], [`removal`]) as rules over values: it knows neither SQL nor files. Who applies
//! them is `pantler-direct`.

pub mod artifacts;
mod butler;
mod limited;
pub mod puts;
pub mod removal;
pub mod request;
pub mod storing;
#[cfg(test)]
mod testing;
pub mod transaction;

pub use butler::{Butler, CloseOptions, Closed};
pub use limited::{AccessError, Deferred, LimitedButler};
