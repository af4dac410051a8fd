//! External workspaces: a RUN under construction in a folder of its own.
//!
//! A *parent* repository gives pipeline inputs and dimension records; nothing is written
//! to its database until the workspace is committed. The folder holds everything else, so
//! that it can be copied to a machine that never sees the parent:
//!
//! ```text
//! DIR/
//!   external.json         what it is, and where its parent was (`description.rs`)
//!   transaction.json      as in an internal root: name, RUN, inputs, opening, pipeline digest
//!   pipeline/             the pipeline's folder, or the part of it that was asked for
//!   graph-<n>.qg          once built; names inputs as the parent's storage did
//!   rows.json             dimension records and tags, written before each part of the graph
//!   inputs.json, inputs/  transferred inputs
//!   artifacts/            what quanta wrote: `<run>@1/…`
//!   journal/, logs/, scratch/, runner.lock, closing    as in an internal root
//! ```
//!
//! The ids of RUNs, which are part of keys, are those of the repository that `convert`
//! will make: the output RUN has 1, the input RUNs follow in the order of
//! `external.json`. Ids of datasets and quanta follow from the opening, as everywhere.
//!
//! # Steps
//!
//! | what | step | a kill after it leaves |
//! | --- | --- | --- |
//! | create | folder, `runner.lock`, `creating` | a folder that is no workspace; the same call begins again |
//! | | `pipeline/`, `artifacts/`, `transaction.json` | the same |
//! | | `external.json` | the workspace |
//! | | `creating` goes | the workspace |
//! | build | `rows.json` | a workspace without that part; the same call writes it again, other calls do not heed what is too much in it |
//! | | `graph-<n>.qg` | built |
//! | transfer-inputs | inputs that a conversion has moved go back below `inputs/` | the same |
//! | | files below `inputs/`, flushed in batches | inputs are read from the parent; the same call goes on |
//! | | `inputs.json` | self-contained |
//! | convert | `closing` | a workspace in which nothing runs; `convert` or `commit` goes on |
//! | | leftovers deleted, logs packed | the same |
//! | | `inputs/<run>` moved to `artifacts/<run>` | the same; inputs are found in both places |
//! | | `registry.sqlite3` made beside and renamed ([`pantler_direct::standalone`]) | the same |
//! | | `pantler.yaml` | a repository; `convert` removes what the workspace left |
//! | commit | `closing`, leftovers deleted, logs packed | as above |
//! | | a transfer in the parent, named by the opening ([`pantler_direct::Receive`]) | open in the parent; `commit` finishes it |
//! | | its rows | committed; `commit` compares, says so and goes on |
//! | | `external.json` renamed to `external.done.json` | committed; `commit` goes on |
//! | | what Pantler made goes, `external.done.json` last | nothing, but for files that others put there |
//! | reopen | inputs go back below `inputs/`; `registry.sqlite3` goes | as after a killed conversion; `reopen` or the closing goes on |
//! | | `closing` goes | the workspace |
//!
//! A closing that fails takes `closing` away again, unless a transfer is open in the parent.

mod cleanup;
mod commit;
mod convert;
mod create;
mod description;
mod error;
mod export;
mod inputs;
mod pipeline_files;
mod places;
mod reopen;
mod rows;
mod seal;
mod universe;
mod workspace;

use camino::{Utf8Path, Utf8PathBuf};

pub use commit::{CommitExternal, Committed};
pub use convert::Converted;
pub use create::{ExternalRequest, create};
pub use error::{ExternalError, ParentUse};
pub use export::{Exported, export};
pub use inputs::TransferredInputs;
pub use places::InputPlaces;
pub use workspace::ExternalWorkspace;

/// The file that makes a folder an external workspace.
pub(crate) fn description_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("external.json")
}

/// The same when its content stands in the parent.
pub(crate) fn done_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("external.done.json")
}

pub(crate) fn creating_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("creating")
}

pub(crate) fn rows_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("rows.json")
}

pub(crate) fn inputs_file(root: &Utf8Path) -> Utf8PathBuf {
    root.join("inputs.json")
}

pub(crate) fn pipeline_dir(root: &Utf8Path) -> Utf8PathBuf {
    root.join("pipeline")
}

/// The folder of transferred inputs, a storage root like `artifacts`.
pub(crate) const INPUTS: &str = "inputs";
