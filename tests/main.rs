//! Tests of the program and of the whole, in one binary.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod access;
mod activation;
mod bad_input;
mod bad_workspaces;
mod building;
mod closing;
mod crash;
mod creating;
mod curate;
mod damage;
mod development;
mod development_beside;
mod disk_full;
mod doors;
mod external;
mod fault_steps;
mod graph_verbs;
mod in_library;
mod in_sync;
mod layers;
mod ledger;
mod library;
mod locks;
mod main_job;
mod model;
mod moved;
mod pipelines;
mod players;
mod prerequisites;
mod provenance;
mod put_sessions;
mod races;
mod read_only;
mod reading;
mod refusals;
mod reuse;
mod runners;
mod scale;
mod scenes;
mod shards;
mod sharing;
mod skipping;
mod specimens;
mod store_verbs;
mod survival;
mod toy;
mod transitions;
mod ways_in;
mod ways_on;
mod workspace_life;
mod zombies;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Program, Project};

/// The built program, with its steps armed.
fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_pantler"))
}

/// The root of the source tree.
fn source_root() -> Utf8PathBuf {
    Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The example project, whole.
fn weather() -> Project {
    Project::copy(&program(), &example("weather"), |_| true)
}

/// The example project with two months of each city: 7 quanta.
fn small_weather() -> Project {
    Project::copy(&program(), &example("weather"), |path| {
        Utf8Path::new(path).extension() != Some("csv")
            || path.ends_with("/01.csv")
            || path.ends_with("/02.csv")
    })
}

fn example(name: &str) -> Utf8PathBuf {
    Utf8Path::new(&source_root()).join("examples").join(name)
}
