//! Shards: parts of a workspace that are built, run and committed one by one.

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
    let root = project.path();
    project
        .program()
        .run(&["init", project.repo().as_str(), "--universe", root.join("universe.yaml").as_str()])
        .expect(0);
    for item in items {
        let file = root.join(format!("data/{item}.txt"));
        let of = format!("item={item}");
        project.pantler(&["record", "insert", "item", &of]).expect(0);
        if item == &items[0] {
            let args =
                ["dataset-type", "register", "number", "--dimensions", "item", "--storage-class"];
            project.pantler(&[&args[..], &["Text"]].concat()).expect(0);
        }
        project.pantler(&["put", file.as_str(), "number", &of, "--run", "raw"]).expect(0);
    }
    project
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
    assert!(said.contains("shard item=a of workspace toy/trial committed: 3 datasets"), "{said}");
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
