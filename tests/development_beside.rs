//! Development mode beside runners: one that waits, one that is stopped, one that takes over.

use std::{os::unix::process::ExitStatusExt as _, process::Child};

use camino::Utf8PathBuf;
use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    toy::{Gate, PIPELINE, toy_with, until},
    zombies::{go_on, paused},
};

/// Notes each time it runs, and waits at the gate while there is a file `slow.<item>`.
const COPY: &str = "\
echo ran >> \"$1/ran.$4\"
if test -e \"$1/slow.$4\"; then read _ < \"$1/gate\"; fi
cat \"$2\" > \"$3\"
";

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// A workspace in development mode that is built.
fn developed() -> (Project, Gate) {
    let project = toy_with(&ITEMS, COPY);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let create =
        ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "raw", "--dev"];
    project.pantler(&create).expect(0);
    verb(&project, "build", &[]).expect(0);
    // The copies are made in another way, and the total is as it was.
    let changed = PIPELINE.replacen("    command: [sh", "    env: {X: \"1\"}\n    command: [sh", 1);
    assert_ne!(changed, PIPELINE);
    project.write("changed.yaml", changed);
    let gate = Gate::at(&project.path().join("gate"));
    (project, gate)
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, "w"], args].concat())
}

fn start(project: &Project, args: &[&str]) -> Child {
    let repo = project.repo();
    project
        .program()
        .start(&[&["workspace", "run", "w", "-j1", "--repo", repo.as_str()], args].concat())
}

fn changed(project: &Project) -> Utf8PathBuf {
    project.path().join("changed.yaml")
}

fn replace(project: &Project) -> Ran {
    verb(project, "pipeline", &["--pipeline", changed(project).as_str()])
}

/// How often the copy of an item was run.
fn times(project: &Project, item: &str) -> usize {
    let path = project.path().join(format!("ran.{item}"));
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A runner with the copy of `a` at the gate.
fn at_the_gate(project: &Project) -> Child {
    project.write("slow.a", "");
    let runner = start(project, &["--task", "copy"]);
    until("it runs", || times(project, "a") == 1);
    runner
}

fn runners(project: &Project) -> usize {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    status["runners"].as_array().unwrap().len()
}

#[track_caller]
fn finish(project: &Project) {
    verb(project, "build", &[]).expect(0);
    verb(project, "run", &[]).expect(0);
    verb(project, "commit", &[]).expect(0);
    let total = project.pantler(&["get", "total", "--collections", "w"]).expect(0).text();
    assert_eq!(total, "6\n");
}

#[track_caller]
fn is_refused_for_a_runner(ran: Ran) {
    let ran = ran.expect(1);
    assert!(ran.stderr.contains("now: nothing has changed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the same command again when that has ended"), "{}", ran.stderr);
}

#[test]
fn a_pipeline_is_not_replaced_under_a_run_that_waits() {
    let (project, gate) = developed();
    let first = at_the_gate(&project);
    let waiting = start(&project, &["--task", "total"]);
    until("the other waits", || runners(&project) == 2);
    is_refused_for_a_runner(replace(&project));
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    gate.open(1);
    Ran::finish(first).expect(0);
    Ran::finish(waiting).expect(0);
    // On what the copies have made before, the total has been made.
    let refused = replace(&project).expect(1);
    assert!(refused.stderr.contains("task copy has changed"), "{}", refused.stderr);
    verb(&project, "reset", &["--task", "total"]).expect(0);
    let said = replace(&project).expect(0).text();
    assert!(said.contains("copy changed, 3 quanta reset"), "{said}");
    finish(&project);
    assert_eq!(ITEMS.map(|item| times(&project, item)), [2, 2, 2]);
}

#[test]
fn a_run_that_waits_for_a_killed_one_goes_on_and_then_the_pipeline_is_replaced() {
    let (project, gate) = developed();
    let first = at_the_gate(&project);
    let waiting = start(&project, &[]);
    until("the other waits", || runners(&project) == 2);
    signal(&first, Signal::KILL);
    assert_eq!(Ran::finish(first).status.signal(), Some(9));
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    // The command that outlives its runner, if it does.
    gate.open(1);
    Ran::finish(waiting).expect(0);
    verb(&project, "reset", &["--task", "total"]).expect(0);
    replace(&project).expect(0);
    finish(&project);
}

#[test]
fn what_a_stopped_runner_had_is_taken_over_and_it_keeps_the_pipeline_until_it_ends() {
    let (project, gate) = developed();
    let first = at_the_gate(&project);
    signal(&first, Signal::STOP);
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    // Its heartbeats are awaited in vain.
    let ran = verb(&project, "run", &["--take-over", "1", "--task", "copy"]).expect(0);
    assert_eq!(times(&project, "a"), 2, "{}", ran.text());
    // It may wake up at any moment.
    is_refused_for_a_runner(replace(&project));
    gate.open(1);
    let first = go_on(first);
    assert_eq!(first.code(), Some(4), "{}{}", first.text(), first.stderr);
    let said = replace(&project).expect(0).text();
    assert!(said.contains("copy changed, 3 quanta reset"), "{said}");
    finish(&project);
}

#[test]
fn a_take_over_that_comes_after_the_pipeline_was_replaced_runs_nothing_of_the_old_one() {
    let (project, gate) = developed();
    let first = at_the_gate(&project);
    signal(&first, Signal::KILL);
    assert_eq!(Ran::finish(first).status.signal(), Some(9));
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    gate.open(1);
    // It has read the graph that is dropped next.
    let args = ["workspace", "run", "w", "--take-over", "1"];
    let late = paused(&project, &args, "workspace.run.begin:1");
    let said = replace(&project).expect(0).text();
    assert!(said.contains("copy changed"), "{said}");
    let refused = go_on(late).expect(1);
    assert!(refused.stderr.contains("was replaced while this began"), "{}", refused.stderr);
    assert_eq!(ITEMS.map(|item| times(&project, item)), [1, 0, 0]);
    verb(&project, "build", &[]).expect(0);
    // What is dead is taken over in the new graph as in the old.
    verb(&project, "run", &["--take-over", "1"]).expect(0);
    assert_eq!(ITEMS.map(|item| times(&project, item)), [2, 1, 1]);
    finish(&project);
}
