//! Inputs that make no quanta, and that each quantum must have.

use camino::Utf8Path;
use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::{
    program,
    toy::{datasets, open_names, toy},
};

/// A copy is the number, and how it is scaled.
const SCALED: &str = "version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: number, scale: {type: scale, prerequisite: true}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/scaled.sh\", \"{outputs.copy}\", \"{inputs.number}\", \"{inputs.scale}\"]
  total:
    dimensions: []
    inputs: {copies: {type: copy, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/total.sh\", \"{outputs.total}\", \"{inputs.copies}\"]
";

/// Numbers of three items, and scales of those; nothing of the pipeline has run.
fn scaled(items: &[&str]) -> Project {
    let project = toy(&["a", "b", "c"]);
    project.write("scaled.sh", "out=$1\nshift\ncat \"$@\" | tr '\\n' ' ' > \"$out\"\n");
    let (repo, path) = (project.repo(), project.path());
    let universe = path.join("universe.yaml");
    let init = ["init", repo.as_str(), "--universe", universe.as_str()];
    project.program().run(&init).expect(0);
    for name in ["number", "scale"] {
        let register = ["dataset-type", "register", name, "--dimensions", "item"];
        let register = [&register[..], &["--storage-class", "Text"]].concat();
        project.pantler(&register).expect(0);
    }
    let files = path.join("data/{item}.txt");
    let ingest = ["ingest", "--type", "number", "--run", "raw", "--register", files.as_str()];
    project.pantler(&ingest).expect(0);
    project.write("pipeline.yaml", SCALED);
    for item in items {
        put_scale(&project, item);
    }
    project
}

fn put_scale(project: &Project, item: &str) {
    project.write("scale.txt", "10\n");
    let file = project.path().join("scale.txt");
    let of = format!("item={item}");
    project.pantler(&["put", file.as_str(), "scale", &of, "--run", "raw"]).expect(0);
}

fn workspace(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, "trial"], args].concat())
}

fn created(project: &Project) {
    let pipeline = project.path().join("pipeline.yaml");
    workspace(project, "create", &["--pipeline", pipeline.as_str(), "-i", "raw"]).expect(0);
}

fn total(project: &Project) -> String {
    project.pantler(&["get", "total", "--collections", "trial"]).expect(0).text()
}

#[test]
fn nothing_is_built_while_a_quantum_lacks_one() {
    let project = scaled(&["a"]);
    created(&project);
    let before = project.picture();
    let failed = workspace(&project, "build", &[]).expect(1);
    for part in [
        "because: quanta lack prerequisites\n  copy: 2 quanta have no dataset of type `scale` for prerequisite `scale`: item=b, item=c\n",
        "now: nothing has changed",
        "next: store what is missing",
        "optional: true",
        "--where",
    ] {
        assert!(failed.stderr.contains(part), "{part:?} is not in {}", failed.stderr);
    }
    let explain = |item: &str, more: &[&str]| {
        let args = [&["--explain", "copy", item], more].concat();
        workspace(&project, "build", &args).expect(0)
    };
    assert_eq!(
        explain("item=b", &[]).text(),
        "copy item=b: building fails, it lacks a prerequisite\n  \
         prerequisite `scale`: no dataset of type `scale` fits; 1 of other data IDs\n"
    );
    assert!(explain("item=a", &[]).text().starts_with("copy item=a: there is quantum "));
    let found = explain("item=b", &["--json"]).json();
    assert_eq!(found["finding"]["kind"], "missing_prerequisites", "{found}");
    before.assert_same(&project.picture(), "after what failed and was explained");

    // What has all is built; of the rest, only what is asked for counts.
    workspace(&project, "build", &["--task", "copy", "--where", "item = 'a'"]).expect(0);
    workspace(&project, "run", &[]).expect(0);
    put_scale(&project, "b");
    let failed = workspace(&project, "build", &[]).expect(1);
    assert!(failed.stderr.contains("1 quantum has no dataset"), "{}", failed.stderr);
    workspace(&project, "build", &["--where", "item IN ('a', 'b')"]).expect(0);
    put_scale(&project, "c");
    let whole = workspace(&project, "build", &["--task", "copy"]).expect(0);
    assert!(whole.text().contains("4 quanta"), "{whole:?}");
    workspace(&project, "run", &[]).expect(0);
    workspace(&project, "commit", &[]).expect(0);
    assert_eq!(total(&project), "3\n");
}

#[test]
fn a_run_that_lacks_one_opens_nothing() {
    let project = scaled(&["a", "b"]);
    let pipeline = project.path().join("pipeline.yaml");
    let run = |options: &[&str]| {
        let args = ["run", pipeline.as_str(), "-i", "raw", "-o", "trial"];
        project.pantler(&[&args[..], options].concat())
    };
    let before = project.picture();
    for options in [&[] as &[&str], &["--dry-run"]] {
        let failed = run(options).expect(1);
        assert!(failed.stderr.contains("prerequisite `scale`: item=c\n"), "{}", failed.stderr);
        before.assert_same(&project.picture(), "after a run that lacks a prerequisite");
    }
    // Without its number there is no quantum that could lack anything.
    let number = datasets(&project, &["number", "item=c", "--collections", "raw"]).remove(0);
    project.pantler(&["remove", number["id"].as_str().unwrap()]).expect(0);
    run(&[]).expect(0);
    assert_eq!(total(&project), "3\n");
    assert_eq!(datasets(&project, &["copy", "--collections", "trial"]).len(), 2);
}

#[test]
fn no_task_makes_one() {
    let project = scaled(&[]);
    project.write(
        "pipeline.yaml",
        SCALED.replace(
            "type: copy, multiple: true",
            "type: copy, multiple: true, prerequisite: true",
        ),
    );
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["--pipeline", pipeline.as_str(), "-i", "raw"];
    let refused = workspace(&project, "create", &create).expect(1);
    let says = "pipeline.yaml:10: tasks.total.inputs.copies: `copy` is made by task `copy`";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
}

#[test]
fn graphs_mark_them() {
    let project = scaled(&["a", "b", "c"]);
    created(&project);
    workspace(&project, "build", &[]).expect(0);
    let shown = project.pantler(&["graph", "show", "trial"]).expect(0).text();
    let of = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(of("scale ").ends_with("existing, prerequisite"), "{shown}");
    assert!(of("number ").ends_with("existing"), "{shown}");
    let shown = project.pantler(&["graph", "show", "trial", "--json"]).expect(0).json();
    let marked = |all: &Value| -> Vec<String> {
        let all = all.as_array().unwrap().iter().filter(|own| own["prerequisite"] == true);
        all.map(|own| own["dataset_type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(marked(&shown["dataset_types"]), ["scale"], "{shown}");
    let export = |args: &[&str]| project.pantler(&[&["graph", "export", "trial"], args].concat());
    let exported = export(&["--format", "json"]).expect(0).json();
    let inputs = &exported["tasks"][0]["inputs"];
    assert_eq!(inputs["scale"]["prerequisite"], true, "{inputs}");
    assert_eq!(inputs["number"]["prerequisite"], Value::Null, "{inputs}");
    let pipeline = export(&["--pipeline", "--format", "dot"]).expect(0).text();
    assert!(pipeline.contains(", prerequisite"), "{pipeline}");
    workspace(&project, "revert", &[]).expect(0);
}

#[test]
fn an_external_workspace_takes_them_along() {
    let mut project = scaled(&["a", "b"]);
    let outside = tempfile::tempdir().unwrap();
    let outside = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let (root, pipeline) = (outside.join("ext"), project.path().join("pipeline.yaml"));
    let create = ["--pipeline", pipeline.as_str(), "-i", "raw", "--external", root.as_str()];
    workspace(&project, "create", &create).expect(0);
    let verb = |verb: &str, args: &[&str]| {
        program().run(&[&["workspace", verb, root.as_str()], args].concat())
    };
    let failed = verb("build", &[]).expect(1);
    assert!(failed.stderr.contains("prerequisite `scale`: item=c\n"), "{}", failed.stderr);
    verb("build", &["--where", "item < 'c'"]).expect(0);
    verb("transfer-inputs", &[]).expect(0);
    project.rename("gone");
    verb("run", &[]).expect(0);
    verb("convert", &[]).expect(0);
    let ran = |args: &[&str]| program().run(&[args, &["--repo", root.as_str()]].concat());
    ran(&["check", "--checksum"]).expect(0);
    let scales = ran(&["query", "datasets", "scale", "--json"]).expect(0).json();
    assert_eq!(scales.as_array().unwrap().len(), 2, "{scales}");
    assert_eq!(ran(&["get", "total", "--collections", "trial"]).expect(0).text(), "3\n");
}
