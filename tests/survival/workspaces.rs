//! Stages with an open workspace, and what a workspace has come to.

use pantler_testkit::Project;
use serde_json::Value;

use super::{
    arms::was_killed,
    operation::{Copy, Stage},
    stages::fresh,
};
use crate::toy::PIPELINE;

/// The pipeline without the task that adds up: each task has the dimension to shard by.
const COPIES: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{pipeline_dir}\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
";

/// What they have made once is read by all.
const INITS: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    config: {factor: 1}
    inputs: {number: {type: number}}
    init_outputs: {settings: {type: settings, storage_class: Json}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [cp, \"{inputs.number}\", \"{outputs.copy}\"]
  again:
    dimensions: [item]
    init_inputs: {settings: settings}
    init_outputs: {header: {type: header, storage_class: Text}}
    init_command: [cp, \"{inputs.settings}\", \"{outputs.header}\"]
    inputs: {copy: copy}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

const BREAKS: &str = "test ! -e \"$1/broken.$4\" || exit 3\ncat \"$2\" > \"$3\"\n";

pub(crate) const CREATE: &str =
    "workspace create toy/w --pipeline {project}/pipeline.yaml -i raw --chain toy";
const CREATE_LEDGER: &str = "workspace create toy/w --ledger --chain toy";
const CREATE_SHARDED: &str =
    "workspace create toy/w --pipeline {project}/copies.yaml -i raw --chain toy --shard-by item";
const CREATE_INITS: &str =
    "workspace create toy/w --pipeline {project}/inits.yaml -i raw --chain toy --shard-by item";
const BUILD: &str = "workspace build toy/w";
pub(crate) const BUILD_SKIPPING: &str = "workspace build toy/w --skip-existing-in old";
const RUN: &str = "workspace run toy/w -j1";
const DEVELOP: &str = "workspace dev toy/w";
const COMMIT_A: &str = "workspace commit toy/w --shard item=a";

/// A repository with two numbers in the RUN `raw`, and nothing open.
pub(crate) fn raw() -> Stage {
    let project = fresh().into_copy().project;
    project.write("copies.yaml", COPIES);
    project.write("inits.yaml", INITS);
    project.write("copy.sh", BREAKS);
    project.write(
        "changed.yaml",
        PIPELINE.replace("\"{pipeline_dir}/total.sh\"", "-e, \"{pipeline_dir}/total.sh\""),
    );
    let copy = Stage::of(project).into_copy();
    done(&copy, "init {repo} --universe {project}/universe.yaml", 0);
    let ingest = "ingest --type number --run raw --register --dimensions item --storage-class Text {project}/data/{item}.txt";
    done(&copy, ingest, 0);
    Stage::of(copy.project)
}

fn done(copy: &Copy, command: &str, code: i32) {
    let ran = copy.run(command, &[]);
    assert_eq!(ran.code(), Some(code), "{command}: {}{}", ran.text(), ran.stderr);
}

/// That repository after commands; what a revert gives is the repository before them.
fn after(commands: &[(&str, i32)]) -> Stage {
    let ground = raw();
    let copy = ground.copy();
    for (command, code) in commands {
        done(&copy, command, *code);
    }
    Stage { ground: ground.ground, ground_state: ground.ground_state, ..Stage::of(copy.project) }
}

/// A workspace on ground with a RUN `old` that holds the copy of one of the two items; after
/// commands.
fn after_old(commands: &[&str]) -> Stage {
    let old = after(&[
        ("workspace create old --pipeline {project}/copies.yaml -i raw", 0),
        ("workspace build old --where item='a'", 0),
        ("workspace run old -j1", 0),
        ("workspace commit old", 0),
    ]);
    let ground = Stage::of(old.project);
    let copy = ground.copy();
    for command in commands {
        done(&copy, command, 0);
    }
    Stage { ground: ground.ground, ground_state: ground.ground_state, ..Stage::of(copy.project) }
}

/// An open workspace of which an earlier RUN has a part.
pub(crate) fn created_after_old() -> Stage {
    after_old(&[CREATE])
}

/// With a graph of the rest.
pub(crate) fn skipped() -> Stage {
    after_old(&[CREATE, BUILD_SKIPPING])
}

/// All of which succeeded.
pub(crate) fn skipped_complete() -> Stage {
    after_old(&[CREATE, BUILD_SKIPPING, RUN])
}

/// An open workspace without a graph.
pub(crate) fn created() -> Stage {
    after(&[(CREATE, 0)])
}

/// With a graph of three quanta.
pub(crate) fn built() -> Stage {
    after(&[(CREATE, 0), (BUILD, 0)])
}

/// All of which succeeded.
pub(crate) fn complete() -> Stage {
    after(&[(CREATE, 0), (BUILD, 0), (RUN, 0)])
}

/// One of which failed.
pub(crate) fn broken() -> Stage {
    let ground = raw();
    let copy = ground.copy();
    done(&copy, CREATE, 0);
    done(&copy, BUILD, 0);
    copy.project.write("broken.b", "");
    done(&copy, RUN, 3);
    std::fs::remove_file(copy.project.path().join("broken.b")).unwrap();
    Stage { ground: ground.ground, ground_state: ground.ground_state, ..Stage::of(copy.project) }
}

/// Complete and in development mode.
pub(crate) fn developed() -> Stage {
    after(&[(CREATE, 0), (BUILD, 0), (RUN, 0), (DEVELOP, 0)])
}

/// A ledger that holds one dataset.
pub(crate) fn ledger() -> Stage {
    let put = "workspace put toy/w {project}/data/b.txt number item=b";
    after(&[(CREATE_LEDGER, 0), (put, 0)])
}

/// Two shards that were run.
pub(crate) fn sharded() -> Stage {
    after(&[(CREATE_SHARDED, 0), (BUILD, 0), (RUN, 0)])
}

/// Tasks that are to be activated.
pub(crate) fn inits() -> Stage {
    after(&[(CREATE_INITS, 0)])
}

/// Two shards of those that were run.
pub(crate) fn inits_sharded() -> Stage {
    after(&[(CREATE_INITS, 0), (BUILD, 0), (RUN, 0)])
}

/// One of them is committed: a revert is not possible any more.
pub(crate) fn shard_committed() -> Stage {
    after(&[(CREATE_SHARDED, 0), (BUILD, 0), (RUN, 0), (COMMIT_A, 0)])
}

/// A commit that was killed before its rows.
pub(crate) fn closing() -> Stage {
    let before = complete();
    let copy = before.copy();
    let ran = copy.run("workspace commit toy/w", &[("PANTLER_CRASH", "close.storage.done:1")]);
    assert!(was_killed(&ran), "{}{}", ran.text(), ran.stderr);
    Stage { ground: before.ground, ground_state: before.ground_state, ..Stage::of(copy.project) }
}

/// What a workspace has come to, processes and times aside; `None` if it is not open.
pub(crate) fn standing(project: &Project, name: &str) -> Option<Value> {
    let ran = project.pantler(&["workspace", "status", name, "--json"]);
    if ran.code() != Some(0) {
        return None;
    }
    let mut status = ran.json();
    let status = status.as_object_mut().unwrap();
    for passing in ["root", "runners", "failures"] {
        status.remove(passing);
    }
    if let Some(ledger) = status.get_mut("ledger").and_then(Value::as_object_mut) {
        // Of each attempt.
        ledger.remove("writers");
        ledger.remove("begun");
    }
    Some(Value::Object(std::mem::take(status)))
}
