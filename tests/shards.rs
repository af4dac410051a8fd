//! Shards: parts of a workspace that are built, run and committed one by one.

mod beside;
mod many;
mod provenance;

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::toy::{COPY, datasets, toy_with};

const PIPELINE: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{pipeline_dir}\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
  again:
    dimensions: [item]
    inputs: {copy: {type: copy}}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

const NAME: &str = "toy/trial";

/// A project with its files ingested, and nothing open.
fn ingested(items: &[&str], copy: &str) -> Project {
    let project = toy_with(items, copy);
    project.write("pipeline.yaml", PIPELINE);
    ingest(&project);
    project
}

/// Makes the repository, with the numbers in the RUN `raw`.
fn ingest(project: &Project) {
    let universe = project.path().join("universe.yaml");
    let repo = project.repo();
    let init = ["init", repo.as_str(), "--universe", universe.as_str()];
    project.program().run(&init).expect(0);
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
}

/// The same with an open workspace of one shard an item.
fn sharded(items: &[&str]) -> Project {
    let project = ingested(items, COPY);
    create(&project, &["--shard-by", "item", "--chain", "toy"]).expect(0);
    project
}

fn create(project: &Project, args: &[&str]) -> Ran {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", NAME, "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&[&create, args].concat())
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, NAME], args].concat())
}

fn build_and_run(project: &Project, shard: &str) {
    for step in ["build", "run"] {
        verb(project, step, &["--shard", shard]).expect(0);
    }
}

fn shards(project: &Project) -> Vec<String> {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    let shards = status["shards"].as_array().unwrap().iter();
    let line = |one: &Value| {
        let state = one["state"].as_str().unwrap();
        format!("{} {}/{} {state}", one["shard"]["item"], one["succeeded"], one["total"])
    };
    shards.map(|one| line(one).replace('"', "")).collect()
}

fn there(project: &Project, dataset_type: &str) -> usize {
    datasets(project, &[dataset_type, "--collections", NAME]).len()
}

#[test]
fn shards_are_committed_one_by_one_into_one_run() {
    let project = sharded(&["a", "b", "c"]);
    build_and_run(&project, "item=a");
    build_and_run(&project, "item=b");
    assert_eq!(shards(&project), ["a 2/2 open", "b 2/2 open"]);
    let said = verb(&project, "commit", &["--shard", "item=a"]).expect(0).text();
    assert!(said.contains("shard item=a of workspace toy/trial committed: 4 datasets"), "{said}");
    assert_eq!(shards(&project), ["a 2/2 committed", "b 2/2 open"]);
    assert_eq!((there(&project, "copy"), there(&project, "copy_log")), (1, 1));
    assert_eq!(datasets(&project, &["again", "--collections", "toy"]).len(), 1, "by the chain");
    project.check();
    let again = verb(&project, "commit", &["--shard", "item=a"]).expect(0).text();
    assert!(again.contains("was committed before"), "{again}");
    build_and_run(&project, "item=c");
    verb(&project, "commit", &["--shard", "item=b", "--shard", "item=c"]).expect(0);
    assert_eq!(there(&project, "again"), 3);
    let status = verb(&project, "status", &[]).expect(0).text();
    assert!(status.contains("committed"), "{status}");
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(there(&project, "again"), 3);
    let args = ["query", "provenance", "again", "--collections", NAME, "--json"];
    let found = project.pantler(&args).expect(0).text();
    for item in ["a", "b", "c"] {
        assert!(found.contains(&format!("\"{item}\"")), "{found}");
    }
}

#[test]
fn what_is_no_shard_is_refused() {
    let project = ingested(&["a", "b"], COPY);
    let refused = create(&project, &["--shard-by", "nothing"]).expect(1);
    assert!(refused.stderr.contains("cannot shard by nothing"), "{}", refused.stderr);
    let total = PIPELINE.replacen(
        "dimensions: [item]\n    inputs: {copy",
        "dimensions: []\n    inputs: {copy",
        1,
    );
    let total = total.replace("{copy: {type: copy}}", "{copy: {type: copy, multiple: true}}");
    project.write("pipeline.yaml", total);
    let refused = create(&project, &["--shard-by", "item"]).expect(1);
    assert!(refused.stderr.contains("task `again` has the dimensions"), "{}", refused.stderr);
    project.write("pipeline.yaml", PIPELINE);
    let outside = project.path().join("outside");
    create(&project, &["--shard-by", "item", "--external", outside.as_str()]).expect(2);
    create(&project, &["--shard-by", "item"]).expect(0);
    build_and_run(&project, "item=a");
    for step in ["build", "run", "commit"] {
        let refused = verb(&project, step, &["--shard", "month=1"]).expect(1);
        assert!(refused.stderr.contains("is a data ID of {item}"), "{}", refused.stderr);
    }
    for step in ["run", "commit"] {
        let refused = verb(&project, step, &["--shard", "item=b"]).expect(1);
        assert!(refused.stderr.contains("has no quanta of shard item=b"), "{}", refused.stderr);
    }
    verb(&project, "commit", &["--shard", "item"]).expect(2);
    verb(&project, "revert", &[]).expect(0);
    create(&project, &[]).expect(0);
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("has no shards"), "{}", refused.stderr);
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn a_committed_shard_stays_as_it_is() {
    let project = sharded(&["a", "b"]);
    build_and_run(&project, "item=a");
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    verb(&project, "build", &["--shard", "item=b"]).expect(0);
    let graph = project.pantler(&["graph", "export", NAME, "--format", "json"]).expect(0).json();
    let of_a = |quantum: &&Value| quantum["data_id"]["item"] == "a";
    let quantum = graph["quanta"].as_array().unwrap().iter().find(of_a).unwrap();
    let quantum = quantum["id"].as_str().unwrap();
    for step in ["run", "accept", "poison", "reset"] {
        let refused = verb(&project, step, &[quantum]).expect(1);
        assert!(
            refused.stderr.contains("shard item=a of workspace toy/trial is frozen"),
            "{}",
            refused.stderr
        );
    }
    let none = verb(&project, "reset", &["--task", "copy"]).expect(0).text();
    assert!(none.starts_with("nothing to do"), "{none}");
    let ran = verb(&project, "run", &[]).expect(0);
    assert!(ran.stderr.contains("2 quanta") || !ran.text().is_empty(), "{}", ran.stderr);
    assert_eq!(shards(&project), ["a 2/2 committed", "b 2/2 open"]);
    let refused = verb(&project, "revert", &[]).expect(4);
    assert!(refused.stderr.contains("cannot be reverted: 1 of its shards"), "{}", refused.stderr);
    let refused = project.pantler(&["transaction", "revert", NAME]).expect(4);
    assert!(refused.stderr.contains("cannot be reverted"), "{}", refused.stderr);
    verb(&project, "abandon", &[]).expect(0);
    assert_eq!(there(&project, "again"), 1);
    let copies = project.picture().files.keys().filter(|file| file.contains("/again/")).count();
    assert_eq!(copies, 1, "only what is not committed is dropped");
}

#[test]
fn an_unfinished_shard_is_refused_and_runs_on() {
    let project =
        ingested(&["a", "b"], "test ! -e \"$1/broken.$4\" || exit 3\ncat \"$2\" > \"$3\"\n");
    create(&project, &["--shard-by", "item"]).expect(0);
    project.write("broken.a", "");
    verb(&project, "build", &[]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(3);
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(3);
    assert!(refused.stderr.contains("could not be committed"), "{}", refused.stderr);
    assert_eq!(shards(&project), ["a 0/2 open", "b 0/2 open"]);
    std::fs::remove_file(project.path().join("broken.a")).unwrap();
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    let refused = verb(&project, "commit", &[]).expect(3);
    assert!(refused.stderr.contains("could not be committed"), "{}", refused.stderr);
    verb(&project, "commit", &["--partial"]).expect(0);
    assert_eq!(there(&project, "again"), 1);
}

#[test]
fn a_killed_commit_of_a_shard_is_done_by_the_same_call_or_a_whole_commit() {
    let project = sharded(&["a", "b"]);
    build_and_run(&project, "item=a");
    build_and_run(&project, "item=b");
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    let args = ["workspace", "commit", NAME, "--shard", "item=b"];
    let copy = project.duplicate();
    let log = copy.path().join("steps.log");
    let mut command = copy.program().command(&args);
    command.args(["--repo", copy.repo().as_str()]).env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    verb(&copy, "commit", &[]).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let mut steps = Vec::new();
    for step in text.lines() {
        let n = seen.entry(step).or_default();
        *n += 1;
        steps.push(format!("{step}:{n}"));
    }
    for named in [
        "shard.locked",
        "shard.freeze",
        "shard.frozen",
        "commit.provenance.write",
        "commit.provenance.stored",
        "part.storage.done",
        "part.rows.committed",
    ] {
        assert!(seen.contains_key(named), "{named}: {steps:?}");
    }
    for step in steps {
        let copy = project.duplicate();
        let mut command = copy.program().command(&args);
        command.args(["--repo", copy.repo().as_str()]).env("PANTLER_CRASH", &step);
        let ran = Ran::of(command);
        assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
        copy.check();
        let seen = there(&copy, "again");
        assert_eq!(there(&copy, "copy_log"), seen, "{step}: whole or not at all");
        assert_eq!(there(&copy, "run_provenance_by_item"), seen, "{step}: with its provenance");
        let other = copy.duplicate();
        copy.pantler(&args).expect(0);
        verb(&copy, "commit", &[]).expect(0);
        verb(&other, "commit", &[]).expect(0);
        assert_eq!((there(&copy, "again"), there(&other, "again")), (2, 2), "{step}");
    }
    verb(&project, "abandon", &[]).expect(0);
}
