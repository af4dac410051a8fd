//! Projects, programs and pictures of repositories for tests.
//!
//! - [`Program`]: the built `pantler`, run in a cleaned environment;
//! - [`Project`]: a copy of a project folder in a place of its own; when it goes
//!   out of scope, the full consistency check must be clean;
//! - [`Picture`]: all rows and files of a repository, to compare before and after;
//! - [`faults`]: storage and database that fail on demand.
//!
//! Only tests depend on this crate, so it panics where a test should fail.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "only tests depend on this crate: it panics and prints where a test should fail"
)]

pub mod faults;
mod picture;
mod program;
mod project;

pub use picture::Picture;
pub use program::{Program, Ran};
pub use project::{Project, copy_tree};
