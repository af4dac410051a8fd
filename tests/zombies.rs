//! Processes that were paused while others closed, and then go on: they may leave an
//! orphan, and never change what is stored.

use std::process::Child;

use pantler::core::transaction::Closing;
use pantler_testkit::{Project, Ran};
use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    players::Order,
    scenes::{CLOSINGS, NAME, REMOVING, STORING, Scene, kinds},
    small_weather,
};

/// Starts the program so that it pauses at a step, and waits until it has.
pub(crate) fn paused(project: &Project, args: &[&str], step: &str) -> Child {
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
pub(crate) fn go_on(child: Child) -> Ran {
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

/// The kinds, each with every way to close it in this process while a closer is paused.
fn every_pair_of_closers() -> Vec<(&'static str, Closing, Closing)> {
    let closings = |kind| {
        let pairs = CLOSINGS.into_iter().flat_map(|a| CLOSINGS.into_iter().map(move |b| (a, b)));
        pairs.map(move |(late, other)| (kind, late, other))
    };
    kinds().flat_map(closings).collect()
}

/// A closer is paused at a step, another one closes, and the first wakes up.
fn a_closer_wakes_up_after_another(kind: &str, late: Closing, other: Closing, step: &str) {
    let what = format!("{kind}: {late:?} paused at {step}, then {other:?}");
    let left =
        if STORING.contains(&kind) { "close.storage.done:1" } else { "open.row.committed:1" };
    let scene = Scene::killed_at(kind, left);
    let depot = &scene.depot;
    let zombie = depot.paused(&Order::close(NAME, late, false), step);
    let closed = depot.close(NAME, other, true);
    let between = scene.now();
    if closed.is_ok() {
        // What was whole when it closed is as this closing leaves it, unless the late one
        // had gone further.
        let mut allowed = vec![scene.after(kind, other)];
        if other == Closing::Abandon {
            // A revert, or a removal's commit, had begun.
            allowed.push(scene.nothing_stored(kind));
        }
        assert!(allowed.contains(&between), "{what}: {between:?}");
    }
    let woken = zombie.go_on();
    // It changed nothing that is stored.
    let now = scene.now();
    match (&closed, &woken) {
        (Ok(_), Ok(report)) => {
            assert_eq!((late, &report["closed"]), (other, &"Before".into()), "{what}");
            assert_eq!(now, between, "{what}");
        }
        (Ok(_), Err(told)) => {
            let expected = format!("transaction t was {} already", other.outcome());
            assert_eq!((told.as_str(), &now), (expected.as_str(), &between), "{what}");
        }
        // The door was shut: the late one finishes.
        (Err(_), Ok(_)) => assert_eq!(now, scene.after(kind, late), "{what}"),
        // Each was overtaken: the claim of the other holds.
        (Err(closed), Err(woken)) => {
            assert!(woken.contains("another process has taken over"), "{what}: {closed}; {woken}");
            assert_eq!(depot.open_names(), [NAME], "{what}");
            depot.close(NAME, Closing::Abandon, true).unwrap();
        }
    }
    assert_eq!(depot.open_names(), [""; 0], "{what}");
    scene.bystander_is_whole();
    depot.sweep_orphans();
}

#[test]
fn a_closer_that_wakes_up_before_its_storage_work_changes_nothing() {
    every_pair_of_closers().into_par_iter().for_each(|(kind, late, other)| {
        a_closer_wakes_up_after_another(kind, late, other, "close.claimed:1");
    });
}

#[test]
fn a_closer_that_wakes_up_before_its_rows_changes_nothing() {
    every_pair_of_closers().into_par_iter().for_each(|(kind, late, other)| {
        a_closer_wakes_up_after_another(kind, late, other, "close.storage.done:1");
    });
}

#[test]
fn a_deleter_that_wakes_up_after_an_abandon_or_revert_leaves_the_survivors_whole() {
    let steps = ["open.row.committed:1", "datastore.delete:1", "datastore.delete:2"];
    let every = REMOVING.into_iter().flat_map(|kind| steps.map(|step| (kind, step)));
    every.collect::<Vec<_>>().into_par_iter().for_each(|(kind, step)| {
        for closing in [Closing::Abandon, Closing::Revert] {
            let what = format!("{kind} paused at {step}, then {closing:?}");
            let scene = Scene::new(kind);
            let depot = &scene.depot;
            let deleter = depot.paused(&scene.order, step);
            let gone = usize::from(step == "datastore.delete:2");
            let closed = depot.close(NAME, closing, true);
            if closing == Closing::Revert && gone > 0 {
                assert!(closed.unwrap_err().contains("1 artifact is deleted already"), "{what}");
                depot.close(NAME, Closing::Abandon, true).unwrap();
            } else {
                closed.unwrap();
            }
            let stored = scene.now();
            let count = stored.iter().filter(|(_, content)| content.is_some()).count();
            assert_eq!((stored.len(), count), (4, 2 - gone), "{what}: {stored:?}");
            let told = deleter.go_on().unwrap_err();
            assert!(
                told.contains("was abandoned already") || told.contains("was reverted already"),
                "{what}: {told}"
            );
            assert_eq!(scene.now(), stored, "{what}");
            depot.check();
        }
    });
}

#[test]
fn a_writer_that_wakes_up_after_a_closing_leaves_an_orphan_at_most() {
    let steps = ["datastore.write.half:1", "datastore.rename:1", "datastore.rename:2"];
    let every = STORING.into_iter().flat_map(|kind| steps.map(|step| (kind, step)));
    every.collect::<Vec<_>>().into_par_iter().for_each(|(kind, step)| {
        for closing in [Closing::Revert, Closing::Abandon] {
            let what = format!("{kind} paused at {step}, then {closing:?}");
            let scene = Scene::new(kind);
            let depot = &scene.depot;
            let writer = depot.paused(&scene.order, step);
            depot.close(NAME, closing, true).unwrap();
            let closed = scene.now();
            if closing == Closing::Revert {
                assert_eq!(closed, scene.before, "{what}");
            }
            let told = writer.go_on().unwrap_err();
            assert!(!told.is_empty());
            assert_eq!(scene.now(), closed, "{what}");
            assert_eq!(depot.open_names(), [""; 0], "{what}");
            scene.bystander_is_whole();
            depot.sweep_orphans();
            assert_eq!(scene.now(), closed, "{what}");
        }
    });
}

#[test]
fn a_writer_that_wakes_up_after_another_took_its_work_over_changes_nothing() {
    let steps = ["datastore.write.half:1", "datastore.rename:1", "close.storage.done:1"];
    let every = STORING.into_iter().flat_map(|kind| steps.map(|step| (kind, step)));
    every.collect::<Vec<_>>().into_par_iter().for_each(|(kind, step)| {
        let what = format!("{kind} paused at {step}");
        let scene = Scene::new(kind);
        let depot = &scene.depot;
        let writer = depot.paused(&scene.order, step);
        let told = depot.does(&scene.order).unwrap_err();
        assert!(told.contains("is held by process "), "{what}: {told}");
        depot.did(&scene.order.clone().taking_over());
        let taken = scene.now();
        assert_eq!(taken, scene.after(kind, Closing::Commit), "{what}");
        drop(writer.go_on());
        assert_eq!(scene.now(), taken, "{what}");
        depot.sweep_orphans();
        assert_eq!(scene.now(), taken, "{what}");
    });
}

#[test]
fn a_writer_that_wakes_up_leaves_a_later_transaction_of_the_same_name_alone() {
    for step in ["datastore.rename:1", "close.storage.done:1"] {
        let scene = Scene::new("put");
        let depot = &scene.depot;
        let writer = depot.paused(&scene.order, step);
        depot.close(NAME, Closing::Revert, true).unwrap();
        let later = Order::put("r", &[("i0006", "later")]).named(NAME);
        depot.killed(&later, "close.storage.done:1");
        writer.go_on().unwrap_err();
        assert_eq!(depot.open_names(), [NAME]);
        depot.close(NAME, Closing::Commit, false).unwrap();
        let last = scene.now().pop().unwrap();
        assert_eq!(last, ("i0006".to_owned(), Some("later".to_owned())), "{step}");
        depot.sweep_orphans();
    }
}
