//! Processes that were paused while others closed, and then go on: they may leave an
//! orphan, and never change what is stored.

use std::process::Child;

use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process};

use crate::small_weather;

/// Starts the program so that it pauses at a step, and waits until it has.
fn paused(project: &Project, args: &[&str], step: &str) -> Child {
    let repo = project.repo();
    let mut all = args.to_vec();
    if args[0] != "run" {
        all.extend(["--repo", repo.as_str()]);
    }
    let mut command = project.program().command(&all);
    command.env("PANTLER_PAUSE", step);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    loop {
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        match text.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]) {
            Some(b'T') => return child,
            Some(b'Z') | None => {
                panic!("it ended before {step}: {:?}", child.wait_with_output())
            }
            Some(_) => assert!(child.try_wait().unwrap().is_none(), "it ended before {step}"),
        }
        std::thread::yield_now();
    }
}

/// Lets a paused program go on to its end.
fn go_on(child: Child) -> Ran {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    Ran::finish(child)
}

/// `pantler … --repo`, killed at a step.
fn killed(project: &Project, args: &[&str], step: &str) {
    let repo = project.repo();
    let mut all = args.to_vec();
    all.extend(["--repo", repo.as_str()]);
    let mut command = project.program().command(&all);
    command.env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.code(), None, "it was killed: {}{}", ran.text(), ran.stderr);
}

/// A project with an open workspace whose quanta have all succeeded.
fn with_open_workspace() -> (Project, String) {
    let project = small_weather();
    project.run(&["--no-commit"]).expect(0);
    let rows = project.pantler(&["workspace", "list", "--json"]).expect(0).json();
    let name = rows[0]["name"].as_str().unwrap().to_owned();
    (project, name)
}

#[test]
fn a_closer_that_wakes_up_after_another_committed_deletes_nothing() {
    let (project, name) = with_open_workspace();
    let late = paused(&project, &["workspace", "commit", &name], "close.claimed:1");
    let commit = ["workspace", "commit", &name, "--take-over"];
    killed(&project, &commit, "close.rows.committed:1");
    let before = project.contents("weather");
    let ran = go_on(late).expect(0);
    assert!(ran.text().contains("before"), "{}", ran.text());
    assert_eq!(project.contents("weather"), before);
    assert!(before.iter().any(|row| row.contains("_log")), "{before:?}");
}

#[test]
fn a_closer_that_waits_for_the_lock_of_another_deletes_nothing() {
    let (project, name) = with_open_workspace();
    // The first has claimed and has not asked for the lock; the second holds it, with
    // its storage work done and its rows not in.
    let late = paused(&project, &["workspace", "commit", &name], "close.claimed:1");
    let commit = ["workspace", "commit", &name, "--take-over"];
    let second = paused(&project, &commit, "close.storage.done:1");
    let pid = Pid::from_raw(i32::try_from(late.id()).unwrap()).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    go_on(second).expect(0);
    Ran::finish(late).expect(0);
    project.check();
    assert!(project.contents("weather").iter().any(|row| row.contains("_log")));
}

#[test]
fn a_reverter_that_wakes_up_leaves_a_later_workspace_of_the_same_name_alone() {
    let (project, name) = with_open_workspace();
    let late = paused(&project, &["workspace", "revert", &name], "close.claimed:1");
    project.pantler(&["workspace", "revert", &name, "--take-over"]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let create =
        ["workspace", "create", &name, "--pipeline", pipeline.as_str(), "-i", "weather/raw"];
    project.pantler(&create).expect(0);
    project.pantler(&["workspace", "build", &name]).expect(0);
    project.pantler(&["workspace", "run", &name]).expect(0);
    go_on(late).expect(0);
    project.pantler(&["workspace", "commit", &name]).expect(0);
    assert!(!project.contents(&name).is_empty());
}

#[test]
fn a_runner_that_wakes_up_in_a_closed_workspace_runs_nothing() {
    let (project, name) = with_open_workspace();
    let late = paused(&project, &["workspace", "run", &name], "workspace.run.begin:1");
    killed(&project, &["workspace", "revert", &name], "fs.remove_tree:2");
    let ran = go_on(late);
    assert_ne!(ran.code(), Some(0), "{}", ran.text());
    assert!(ran.stderr.contains("closed meanwhile"), "{}", ran.stderr);
    project.pantler(&["workspace", "vacuum"]).expect(0);
}

#[test]
fn a_writer_that_wakes_up_after_a_revert_stores_nothing() {
    let mut project = small_weather();
    let path = project.path();
    let late = paused(&project, &["run", path.as_str(), "-j1"], "datastore.rename:2");
    let name = "weather/raw/ingest";
    project.pantler(&["transaction", "revert", name]).expect(4);
    project.pantler(&["transaction", "revert", name, "--take-over"]).expect(0);
    let ran = go_on(late);
    assert_ne!(ran.code(), Some(0), "{}", ran.text());
    let rows = project.pantler(&["query", "datasets", "--json"]).expect(0).json();
    assert_eq!(rows.as_array().unwrap().len(), 0);
    // What it may have renamed after the revert is an orphan, and nothing else is wrong.
    let report = project.pantler(&["check", "--json"]).json();
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(finding["code"], "orphan", "{finding}");
    }
    project.expect_damage();
}

#[test]
fn a_committer_that_wakes_up_after_another_took_over_is_told() {
    let project = small_weather();
    let path = project.path();
    // All files are at their keys, the rows are not in.
    let late = paused(&project, &["run", path.as_str(), "-j1"], "close.storage.done:1");
    project.pantler(&["transaction", "commit", "weather/raw/ingest", "--take-over"]).expect(0);
    let ran = go_on(late);
    // The same outcome by another process: the run goes on with it.
    ran.expect(0);
    assert!(!project.contents("weather").is_empty());
}
