//! Pantler: batch execution in workspaces, over a data repository whose database and
//! artifact storage never disagree.
//!
//! A *repository* is a SQL database plus artifact storage. A *workspace* is a RUN under
//! construction: it holds a serialized quantum graph and a transaction file, runs tasks
//! in parallel without touching the database, writes artifacts straight to their final
//! places, and enters everything into the repository in one closing transaction. A
//! process may be killed at any instruction; what it leaves is either not there, or open
//! and listed, and the same command finishes it.
//!
//! This crate is the façade: it gives the other crates one name each, and is the program
//! `pantler`.
//!
//! # The crates
//!
//! Cut by what each may touch; dependencies point downwards.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | the `pantler` program: one file per verb; the only crate that prints |
//! | [`workspace`] | workspaces: create, build, run, commit; projects |
//! | [`exec`] | runs the quanta of a workspace; no SQL within reach |
//! | [`graph`] | pipelines and quantum graphs, as values and as files |
//! | [`direct`] | [`direct::DirectButler`]: the one place where database and storage meet; `check` |
//! | [`registry`] | the database; the only crate that speaks SQL |
//! | [`datastore`] | the artifact storage; the only crate that writes artifacts |
//! | [`butler`] | the rules of change: artifact transactions and their kinds |
//! | [`core`] | values: universe, data IDs, dataset types, refs, collections, keys. No I/O |
//!
//! # Datasets in a program of one's own
//!
//! | to | call |
//! | --- | --- |
//! | open a repository | [`direct::DirectButler::open`] with [`direct::Environment::of_this_process`] |
//! | store one dataset, or many together | [`direct::DirectButler::put`], [`direct::DirectButler::put_many`] |
//! | store one after the other, each for good when the call returns | [`direct::DirectButler::put_session`], then [`direct::Puts::put`] |
//! | store files | [`direct::DirectButler::ingest`] |
//! | find and read | [`direct::DirectButler::query_datasets`], [`direct::DirectButler::get`] |
//!
//! # Workspaces in a program of one's own
//!
//! What the verbs of `pantler workspace` do, and by what; `tests/in_library.rs` does all of it.
//!
//! | to | call |
//! | --- | --- |
//! | make one | [`workspace::create`] with a [`workspace::WorkspaceRequest`] |
//! | find an open one | [`workspace::Workspaces::make_workspace_client`]; without the database [`workspace::WorkspaceClient::find`] |
//! | activate tasks | [`workspace::prepare_activation`], then [`workspace::WorkspaceClient::activate`] |
//! | build | [`workspace::build`], or of an external one [`workspace::external::ExternalWorkspace::build`] |
//! | run, with Rust tasks of one's own | [`workspace::WorkspaceClient::run`], with an [`exec::TaskRegistry`] |
//! | accept, poison, reset | [`workspace::WorkspaceClient::transition`] |
//! | replace the pipeline | [`workspace::WorkspaceClient::enter_development`], `replace_pipeline`, then a client and a graph made anew |
//! | commit, revert, abandon | [`workspace::close`] with [`workspace::NoNotice`]; a shard: [`workspace::commit_shard`] |
//! | undo a closing that was cut off | [`workspace::reopen`] |
//! | make one in a folder of its own | [`workspace::external::create`]; later [`workspace::external::ExternalWorkspace::open`] |
//! | cut that off, make it a repository, bring it back | its `transfer_inputs`, `convert`, `commit` |
//!
//! # Files on disk
//!
//! Each is described where it is written.
//!
//! | file | format | written by |
//! | --- | --- | --- |
//! | `<repo>/pantler.yaml` | YAML, version 1: where the parts are | `direct/src/config.rs`, last step of making a repository |
//! | `<repo>/registry.sqlite3` | SQLite in WAL mode, schema version 1 | `registry/schema/v1.sql` |
//! | `<repo>/artifacts/<run>@<run id>/<dataset type>/<data ID>~<write id>.<ext>` | one dataset | `datastore/src/key.rs` |
//! | `<repo>/artifacts/<run>@<run id>/<task>_log/all~<write id>.log` | the logs of a task's quanta, one after the other | `workspace/src/kind/log_pack.rs` |
//! | `<key>.tmp` | an artifact that is not whole yet | `datastore/src/local.rs` |
//! | `<repo>/workspaces/<name>/<opening id>/transaction.json` | JSON, version 1: what a client needs without the database | `direct/src/transaction_file.rs` |
//! | `…/pipeline.json` | JSON, version 1: the pipeline as it was when the workspace was created | `workspace/src/pipeline_file.rs` |
//! | `…/graph-1.qg` | zip of zstd-compressed members: the quantum graph | `graph/src/format` |
//! | `…/journal/<runner>.jsonl` | a JSON line per event, with sequence number and checksum | `exec/src/journal` |
//! | `…/logs/<runner>.log` | what the quanta of a runner said, byte for byte | `exec/src/logs.rs` |
//! | `…/runner.lock`, `…/closing` | the lock of the process that runs quanta; the marker of a closer | `exec/src/lock.rs`, `workspace/src/kind` |
//! | `…/scratch/` | where commands work; can be deleted when nothing runs | `exec/src/command` |
//! | `<repo>/workspaces/<project>/runner.lock` | one run of a project at a time | `workspace/src/project/run.rs` |
//! | `<project>/project.yaml` | YAML, version 1, by hand: what belongs to a project | `workspace/src/project/format.rs` |
//! | `universe.yaml` | YAML, version 1, by hand: the dimensions | `core/src/dimension/format.rs` |
//! | record files | YAML, version 1, by hand: dimension records | `workspace/src/project/records.rs` |
//! | `pipeline.yaml` | YAML, by hand: tasks and how they are wired | `graph/src/pipeline/parse.rs` |

pub use pantler_butler as butler;
pub use pantler_cli as cli;
pub use pantler_core as core;
pub use pantler_datastore as datastore;
pub use pantler_direct as direct;
pub use pantler_exec as exec;
pub use pantler_graph as graph;
pub use pantler_registry as registry;
pub use pantler_workspace as workspace;
