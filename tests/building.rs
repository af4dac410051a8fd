//! Graphs built part by part, through the program.

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};

use crate::toy::{datasets, open_names, toy};

/// A workspace without a graph, over a few numbers.
fn created(items: &[&str]) -> (Project, String) {
    let project = toy(items);
    project.run(&[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let args = ["workspace", "create", "trial", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
    project.pantler(&args).expect(0);
    (project, "trial".to_owned())
}

fn build(project: &Project, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", "build", "trial"], args].concat())
}

fn counts(project: &Project) -> Vec<String> {
    let shown = project.pantler(&["graph", "show", "trial", "--json"]).expect(0).json();
    let tasks = shown["tasks"].as_array().unwrap().iter();
    tasks.map(|task| format!("{} {}", task["task"].as_str().unwrap(), task["quanta"])).collect()
}

fn files(project: &Project) -> Vec<String> {
    let folder = project.repo().join("workspaces/trial");
    let opening = folder.read_dir_utf8().unwrap().next().unwrap().unwrap();
    let entries = opening.path().read_dir_utf8().unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_owned()).collect();
    names.retain(|name| name.starts_with("graph"));
    names.sort();
    names
}

#[test]
fn a_graph_is_built_by_task_and_by_data_id() {
    let (project, name) = created(&["a", "b", "c"]);
    let one = build(&project, &["--task", "copy", "--where", "item = 'b'"]).expect(0);
    assert!(one.text().contains("built the graph of trial: 1 quantum"), "{one:?}");
    project.pantler(&["workspace", "run", &name]).expect(0);
    let more = build(&project, &["--task", "copy", "--where", "item IN ('a', 'b')"]).expect(0);
    assert!(more.text().contains("added 1 quantum to the graph of trial: 2 quanta"), "{more:?}");
    let again = build(&project, &["--task", "copy", "--where", "item IN ('a', 'b')"]).expect(0);
    assert!(again.text().contains("trial has a graph already: 2 quanta"), "{again:?}");
    build(&project, &["--task", "copy"]).expect(0);
    assert_eq!(counts(&project), ["copy 3", "total 0"]);
    let rest = build(&project, &[]).expect(0);
    assert!(rest.text().contains("added 1 quantum to the graph of trial: 4 quanta"), "{rest:?}");
    assert_eq!(files(&project), ["graph-1.qg", "graph-2.qg", "graph-3.qg", "graph-4.qg"]);
    let run = project.pantler(&["workspace", "run", &name]).expect(0);
    assert!(run.text().contains("all succeeded"), "{run:?}");
    project.pantler(&["workspace", "commit", &name]).expect(0);
    let total = datasets(&project, &["total", "--collections", "trial"]);
    assert_eq!(std::fs::read_to_string(crate::toy::path_of(&total[0])).unwrap(), "6\n");
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
}

#[test]
fn what_was_built_for_all_stays_when_inputs_come() {
    let (project, _) = created(&["a", "b"]);
    build(&project, &[]).expect(0);
    project.write("more.txt", "9\n");
    let file = project.path().join("more.txt");
    project.pantler(&["record", "insert", "item", "item=z"]).expect(0);
    project.pantler(&["put", file.as_str(), "number", "item=z", "--run", "toy/raw"]).expect(0);
    let again = build(&project, &[]).expect(0);
    assert!(again.text().contains("trial has a graph already: 3 quanta"), "{again:?}");
    // What is named is looked for.
    let named = build(&project, &["--task", "copy", "--where", "item = 'z'"]).expect(0);
    assert!(named.text().contains("already: 3 quanta"), "all of the task was built: {named:?}");
    project.pantler(&["workspace", "abandon", "trial"]).expect(0);
}

#[test]
fn parts_that_cannot_be_built_are_named() {
    let (project, name) = created(&["a", "b"]);
    let none = build(&project, &["--task", "total"]).expect(1);
    assert!(none.stderr.contains("task `copy` makes no `copy` for input `copies`"), "{none:?}");
    let unknown = build(&project, &["--task", "cpy"]).expect(1);
    let text = "there is no task `cpy` in the pipeline; there are: `copy`, `total`";
    assert!(unknown.stderr.contains(text), "{unknown:?}");
    let place = build(&project, &["--where", "item = 'a' ADN item = 'b'"]).expect(2);
    let text = "expected AND, OR or the end here\n  item = 'a' ADN item = 'b'\n             ^";
    assert!(place.stderr.contains(text), "{place:?}");
    build(&project, &["--where", "item = 'a'"]).expect(0);
    let nothing = build(&project, &["--where", "item = 'nope'"]).expect(0);
    assert!(nothing.text().contains("trial has a graph already: 2 quanta"), "{nothing:?}");
    project.pantler(&["workspace", "revert", &name]).expect(0);
    let closed = build(&project, &[]).expect(1);
    assert!(closed.stderr.contains("no open workspace is called trial"), "{closed:?}");
}

#[test]
fn why_there_is_no_quantum_is_explained() {
    let (project, name) = created(&["a", "b"]);
    let explain = |args: &[&str]| build(&project, &[&["--explain"], args].concat());
    project.pantler(&["record", "insert", "item", "item=z"]).expect(0);
    let missing = explain(&["copy", "item=z"]).expect(0);
    let text = "copy item=z: no quantum\n  input `number`: no dataset of type `number` fits; 2 of other data IDs\n";
    assert_eq!(missing.text(), text);
    let there = explain(&["copy", "item=a"]).expect(0);
    assert!(there.text().starts_with("copy item=a: there is quantum "), "{there:?}");
    assert!(there.text().contains("\n  not built yet: "), "{there:?}");
    let not_meant = explain(&["copy", "item=a", "--where", "item = 'b'"]).expect(0);
    assert_eq!(not_meant.text(), "copy item=a: not asked for\n");
    assert_eq!(files(&project), [""; 0], "nothing was built");
    build(&project, &["--where", "item = 'b'"]).expect(0);
    for (item, built) in [("item=a", false), ("item=b", true)] {
        let text = explain(&["copy", item]).expect(0).text();
        assert_eq!(text.contains("not built yet"), !built, "{text}");
        let document = explain(&["copy", item, "--json"]).expect(0).json();
        let not_built =
            if built { &[][..] } else { document["finding"]["quanta"].as_array().unwrap() };
        assert_eq!(document["not_built"].as_array().unwrap(), not_built, "{document}");
    }
    let upstream = explain(&["total", "--where", "item = 'z'"]).expect(0);
    assert!(upstream.text().starts_with("total {}: there is quantum "), "{upstream:?}");
    let wrong = explain(&["copy", "town=x"]).expect(1);
    assert!(wrong.stderr.contains("town"), "{wrong:?}");
    let wrong = explain(&["cpy"]).expect(1);
    assert!(wrong.stderr.contains("there is no task `cpy`"), "{wrong:?}");
    project.pantler(&["workspace", "revert", &name]).expect(0);
}

#[test]
fn a_build_that_is_killed_is_run_again() {
    for step in
        ["build.graph.write:1", "fs.write.half:1", "fs.write_new.tmp:1", "fs.write_new.renamed:1"]
    {
        let (project, _) = created(&["a", "b"]);
        build(&project, &["--task", "copy"]).expect(0);
        let repo = project.repo();
        let args = ["workspace", "build", "trial", "--repo", repo.as_str()];
        let mut command = project.program().command(&args);
        command.env("PANTLER_CRASH", step);
        let killed = Ran::of(command);
        assert_eq!(killed.status.signal(), Some(9), "{step}: {killed:?}");
        let built = build(&project, &[]).expect(0);
        assert!(built.text().contains(": 3 quanta"), "{built:?}");
        assert_eq!(counts(&project), ["copy 2", "total 1"]);
        project.pantler(&["workspace", "run", "trial"]).expect(0);
        project.pantler(&["workspace", "commit", "trial"]).expect(0);
    }
}

#[test]
fn two_that_build_at_once_both_count() {
    let (project, _) = created(&["a", "b", "c", "d"]);
    let build = |item: &str| {
        let expression = format!("item = '{item}'");
        let repo = project.repo();
        let args = ["workspace", "build", "trial", "--task", "copy", "--where", &expression];
        project.program().start(&[&args[..], &["--repo", repo.as_str()]].concat())
    };
    let children = ["a", "b", "c", "d"].map(build);
    for child in children {
        Ran::finish(child).expect(0);
    }
    assert_eq!(counts(&project), ["copy 4", "total 0"]);
    assert_eq!(files(&project).len(), 4);
    project.pantler(&["workspace", "build", "trial"]).expect(0);
    project.pantler(&["workspace", "run", "trial"]).expect(0);
    project.pantler(&["workspace", "commit", "trial"]).expect(0);
}

/// Quanta keep the inputs that they were built with: it is said if these may be a part.
#[test]
fn reading_what_is_built_in_part_is_said() {
    let (project, name) = created(&["a", "b"]);
    build(&project, &["--task", "copy", "--where", "item = 'a'"]).expect(0);
    let part = build(&project, &["--task", "total"]).expect(0);
    assert!(part.stderr.contains("total reads what is built of copy"), "{}", part.stderr);
    project.pantler(&["workspace", "revert", &name]).expect(0);
    let (project, name) = created(&["a", "b"]);
    build(&project, &["--task", "copy"]).expect(0);
    let whole = build(&project, &["--task", "total"]).expect(0);
    assert!(!whole.stderr.contains("in part"), "{}", whole.stderr);
    project.pantler(&["workspace", "revert", &name]).expect(0);
}
