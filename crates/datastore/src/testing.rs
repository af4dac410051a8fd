//! For tests of this crate and others: what every storage must do, and a storage that
//! fails on demand.

pub mod conformance;
mod failing;

pub use failing::{FailingStorage, Operation};
pub use pantler_seam::rules::Life;
