//! Workspaces: under-construction RUNs.
//!
//! An internal workspace is an artifact transaction of the kind `workspace`
//! ([`kind`]) with a root folder ([`layout`]). It is created and built with the
//! repository's database at hand, run without it, and closed with it:
//!
//! | file | what it does |
//! | --- | --- |
//! | `create.rs` | checks the pipeline, opens the transaction |
//! | `pipeline_file.rs` | reads pipelines; what a workspace keeps of its own, `pipeline.json` |
//! | `build.rs` | joins inputs into the quantum graph, writes `graph-<n>.qg` |
//! | `activation.rs` | builds and runs the init steps of tasks before their quanta |
//! | `needed.rs` | what a build needs of what was built before |
//! | `parts.rs` | the parts of a graph, and which of them a shard needs |
//! | `skip.rs` | finds outputs that exist, and keeps their RUNs from being removed |
//! | `client.rs` | opens a root without the database: status, run |
//! | `transitions.rs` | accept, poison, reset of quanta |
//! | `close.rs` | commit, revert, abandon of a workspace by name |
//! | `provenance.rs` | what happened, stored by a commit of a workspace or shard; quanta by expression |
//! | `provenance_files.rs` | the provenance of RUNs found again |
//! | `development.rs` | development mode: another pipeline, no provenance |
//! | `shard/` | shards: what they are, how they are frozen and committed one by one |
//! | `list.rs` | open workspaces |
//! | `butler.rs` | workspaces asked for through a repository's client |
//! | `reader.rs` | an open workspace as a `LimitedButler` |
//! | `kind/` | what committing, reverting and abandoning do |
//! | `ledger/` | workspaces without a pipeline: a ledger says what was written |
//! | `external/` | workspaces in folders of their own, standalone repositories |
//! | `project/` | a folder with `project.yaml`: ingest, build, run, commit in one go |

mod activation;
mod build;
mod butler;
mod client;
mod close;
mod create;
mod development;
mod error;
pub mod external;
pub mod kind;
pub mod layout;
pub mod ledger;
mod list;
mod needed;
mod parts;
mod pipeline_file;
pub mod project;
pub mod provenance;
mod provenance_files;
mod provenance_now;
mod reader;
mod reuse;
pub mod shard;
mod skip;
mod transitions;

pub use activation::{
    Activation, MissingInitInput, TaskActivation, has_quanta_of_tasks, prepare_activation,
};
pub use build::{BuildRequest, Built, build, check_request, explain, plan, plan_skipping};
pub use butler::Workspaces;
pub use client::{RunOptions, WorkspaceClient};
pub use close::{CloseNotice, NoNotice, close, close_without, reopen};
pub use create::{WorkspaceRequest, create, open_butler};
pub use development::{DevelopmentError, Replaced};
pub use error::WorkspaceError;
pub use kind::WorkspaceTransaction;
pub use list::{WorkspaceInfo, list};
pub use pipeline_file::{PipelineFileError, split_selection};
pub use provenance::SelectError;
pub use provenance_files::{RunProvenances, open_provenance};
pub use reader::WorkspaceReader;
pub use reuse::{Reusable, UnusableRun};
pub use shard::{
    Shard, ShardCommitted, ShardStatus, SkippedShard, SkippedShards, commit_shard,
    committed_shards, shard_list,
};
pub use transitions::Transitioned;
