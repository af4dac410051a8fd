//! Several processes run quanta of one workspace at a time.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::process::ExitStatusExt as _,
    process::Child,
    time::{Duration, SystemTime},
};

use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    toy::{Gate, killed_at, open_names, toy_with, until},
    zombies::{go_on, paused},
};

/// Notes each time it runs, and waits at the gate while there is a file `slow` or
/// `slow.<item>`.
const COPY: &str = "\
echo ran >> \"$1/ran.$4\"
if test -e \"$1/slow\" || test -e \"$1/slow.$4\"; then read _ < \"$1/gate\"; fi
cat \"$2\" > \"$3\"
";

/// A project with a workspace that is built, its name, and the ids of its quanta by item
/// (`""` for the total).
fn built(items: &[&str]) -> (Project, String, BTreeMap<String, String>) {
    let project = toy_with(items, COPY);
    killed_at(&project, "build.graph.write:1", &[]);
    let name = open_names(&project, "workspace").remove(0);
    project.pantler(&["workspace", "build", &name]).expect(0);
    let graph = project.pantler(&["graph", "export", &name, "--format", "json"]).expect(0).json();
    let item = |quantum: &Value| {
        let item = quantum["data_id"]["item"].as_str().unwrap_or_default().to_owned();
        (item, quantum["id"].as_str().unwrap().to_owned())
    };
    let quanta = graph["quanta"].as_array().unwrap().iter().map(item).collect();
    (project, name, quanta)
}

fn start(project: &Project, name: &str, args: &[&str]) -> Child {
    let repo = project.repo();
    let all = [&["workspace", "run", name, "--repo", repo.as_str()], args].concat();
    project.program().start(&all)
}

fn verb(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

fn status(project: &Project, name: &str) -> Value {
    verb(project, "status", name, &["--json"]).expect(0).json()
}

/// Numbers and states of the runners.
fn runners(project: &Project, name: &str) -> Vec<(u64, String)> {
    let status = status(project, name);
    let runners = status["runners"].as_array().unwrap().iter();
    let state = |one: &Value| one["state"].as_str().unwrap().to_owned();
    runners.map(|one| (one["runner"].as_u64().unwrap(), state(one))).collect()
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

/// A runner that is stopped with its first quantum (of item `a`) at the gate, and looks as
/// if it had been for long.
fn stopped(project: &Project, name: &str, args: &[&str]) -> Child {
    project.write("slow.a", "");
    let runner = start(project, name, args);
    until("it runs", || times(project, "a") == 1);
    until("it has beaten", || alive(project, name, 1).exists());
    signal(&runner, Signal::STOP);
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    make_old(project, name, 1);
    runner
}

fn alive(project: &Project, name: &str, runner: u32) -> camino::Utf8PathBuf {
    let root = status(project, name)["root"].as_str().unwrap().to_owned();
    camino::Utf8PathBuf::from(root).join(format!("journal/{runner}.alive"))
}

fn make_old(project: &Project, name: &str, runner: u32) {
    let file = File::options().write(true).open(alive(project, name, runner)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

#[track_caller]
fn commit(project: &Project, name: &str, total: &str) {
    verb(project, "commit", name, &[]).expect(0);
    let got = project.pantler(&["get", "total", "--collections", name]).expect(0).text();
    assert_eq!(got, total);
}

#[test]
fn four_run_disjoint_quanta_and_wait_for_each_other() {
    let items = ["a", "b", "c", "d", "e", "f", "g"];
    let (project, name, ids) = built(&items);
    // What is downstream is there first, and waits for a runner to come.
    let mut children = vec![start(&project, &name, &["--task", "total", "--wait", "60"])];
    until("it waits", || runners(&project, &name).len() == 1);
    for part in [&items[..3], &items[3..5], &items[5..]] {
        let mut args: Vec<&str> = part.iter().map(|item| ids[*item].as_str()).collect();
        args.push("-j1");
        children.push(start(&project, &name, &args));
    }
    let ran: Vec<Ran> = children.into_iter().map(|child| Ran::finish(child).expect(0)).collect();
    assert!(ran[0].stderr.contains("waiting "), "{}", ran[0].stderr);
    assert!(ran[0].text().contains("were run by other runners meanwhile"), "{}", ran[0].text());
    for item in items {
        assert_eq!(times(&project, item), 1, "{item}");
    }
    assert_eq!(status(&project, &name)["complete"], true);
    let states = runners(&project, &name);
    assert!(states.len() == 4 && states.iter().all(|(_, state)| state == "ended"), "{states:?}");
    commit(&project, &name, "28\n");
}

#[test]
fn two_with_the_same_selection_run_each_quantum_once() {
    let items = ["a", "b", "c", "d"];
    let (project, name, _) = built(&items);
    project.write("slow", "");
    let gate = Gate::at(&project.path().join("gate"));
    let first = start(&project, &name, &["-j2"]);
    until("the first runs", || times(&project, "a") == 1);
    let second = start(&project, &name, &["-j2"]);
    let live = |n: u64| (n, "live".to_owned());
    until("both run", || runners(&project, &name) == [live(1), live(2)]);
    let said = verb(&project, "status", &name, &[]).expect(0).text();
    assert!(said.contains("last heartbeat") && said.contains("live"), "{said}");
    gate.open(items.len());
    let (pid, first) = (first.id(), Ran::finish(first).expect(0));
    let second = Ran::finish(second).expect(0);
    assert!(first.text().contains("all succeeded"), "{}", first.text());
    assert!(second.text().contains("all succeeded"), "{}", second.text());
    let whom = format!("of runner 1 (process {pid} on ");
    assert!(second.stderr.contains(&whom), "{}", second.stderr);
    for item in items {
        assert_eq!(times(&project, item), 1, "{item}");
    }
    commit(&project, &name, "10\n");
}

#[test]
fn what_fails_in_one_runner_is_not_tried_by_the_other() {
    let (project, name, ids) = built(&["a", "b"]);
    project.write("copy.sh", "echo ran >> \"$1/ran.$4\"\nread _ < \"$1/gate\"\nexit 7\n");
    let gate = Gate::at(&project.path().join("gate"));
    let first = start(&project, &name, &[&ids["a"], &ids["b"]]);
    until("the first runs", || times(&project, "a") == 1);
    let second = start(&project, &name, &[]);
    until("both run", || runners(&project, &name).len() == 2);
    gate.open(2);
    Ran::finish(first).expect(3);
    let second = Ran::finish(second).expect(3);
    assert!(second.text().contains("failed: copy"), "{}", second.text());
    assert_eq!((times(&project, "a"), times(&project, "b")), (1, 1));
    verb(&project, "revert", &name, &[]).expect(0);
}

#[test]
fn what_a_killed_runner_leaves_is_run_by_the_one_that_waits() {
    let items = ["a", "b", "c"];
    let (project, name, _) = built(&items);
    project.write("slow", "");
    let gate = Gate::at(&project.path().join("gate"));
    let mut first = start(&project, &name, &["-j1"]);
    until("the first runs", || times(&project, "a") == 1);
    let second = start(&project, &name, &[]);
    until("both run", || runners(&project, &name).len() == 2);
    std::fs::remove_file(project.path().join("slow")).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let second = Ran::finish(second).expect(0);
    assert!(second.text().contains("all succeeded"), "{}", second.text());
    let states = runners(&project, &name);
    assert_eq!(states, [(1, "dead".to_owned()), (2, "ended".to_owned())]);
    assert_eq!(items.map(|item| times(&project, item)), [2, 1, 1], "a was cut off");
    gate.open(1);
    commit(&project, &name, "6\n");
}

#[test]
fn what_nobody_makes_any_more_is_reported_with_who_was_to_make_it() {
    let (project, name, ids) = built(&["a", "b"]);
    project.write("slow.a", "");
    let gate = Gate::at(&project.path().join("gate"));
    let mut first = start(&project, &name, &[&ids["a"], &ids["b"], "-j2"]);
    until("the first runs", || times(&project, "a") == 1 && times(&project, "b") == 1);
    let second = start(&project, &name, &["--task", "total"]);
    until("both run", || runners(&project, &name).len() == 2);
    let pid = first.id();
    first.kill().unwrap();
    first.wait().unwrap();
    let second = Ran::finish(second).expect(3);
    let whom = format!("of runner 1 (process {pid} on ");
    assert!(second.text().contains(&whom) && second.text().contains(", dead) not finished"));
    gate.open(1);
    // Waiting is bounded, also for one that lives.
    project.write("slow.b", "");
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    let third = start(&project, &name, &[&ids["b"]]);
    until("it runs", || times(&project, "b") == 2);
    let waited = verb(&project, "run", &name, &[&ids["a"], &ids[""], "--wait", "1"]).expect(3);
    let whom = format!("of runner 3 (process {} on ", third.id());
    assert!(waited.stderr.contains(&whom), "{}", waited.stderr);
    assert!(waited.text().contains(", live) not finished"), "{}", waited.text());
    gate.open(1);
    Ran::finish(third).expect(0);
    verb(&project, "run", &name, &[]).expect(0);
    commit(&project, &name, "3\n");
}

#[test]
fn a_runner_that_lives_is_not_taken_over() {
    let (project, name, _) = built(&["a", "b"]);
    project.write("slow", "");
    let gate = Gate::at(&project.path().join("gate"));
    let first = start(&project, &name, &["-j1"]);
    until("it runs", || times(&project, "a") == 1);
    let refused = verb(&project, "run", &name, &["--take-over", "1"]).expect(1);
    assert!(refused.stderr.contains("runner 1 (process "), "{}", refused.stderr);
    assert!(refused.stderr.contains("is alive"), "{}", refused.stderr);
    let unknown = verb(&project, "run", &name, &["--take-over", "7"]).expect(1);
    assert!(unknown.stderr.contains("no runner 7"), "{}", unknown.stderr);
    let refused = verb(&project, "commit", &name, &["--assume-dead", "1"]).expect(1);
    assert!(refused.stderr.contains("is alive"), "{}", refused.stderr);
    gate.open(2);
    Ran::finish(first).expect(0);
    // Of one that has ended nothing is to be taken over.
    verb(&project, "run", &name, &["--take-over", "1"]).expect(0);
    commit(&project, &name, "3\n");
}

#[test]
fn a_stopped_runner_is_taken_over_and_what_it_does_later_does_not_count() {
    let (project, name, _) = built(&["a", "b", "c"]);
    let gate = Gate::at(&project.path().join("gate"));
    project.write("slow.a", "");
    let first = start(&project, &name, &["-j1"]);
    until("it runs", || times(&project, "a") == 1);
    signal(&first, Signal::STOP);
    std::fs::remove_file(project.path().join("slow.a")).unwrap();
    // Its heartbeats are awaited in vain.
    let second = verb(&project, "run", &name, &["--take-over", "1"]).expect(0);
    assert!(second.text().contains("all succeeded"), "{}", second.text());
    let taken = (1, "taken over".to_owned());
    assert_eq!(runners(&project, &name), [taken, (2, "ended".to_owned())]);
    assert_eq!(times(&project, "a"), 2);
    gate.open(1);
    let first = go_on(first);
    assert_eq!(first.code(), Some(4), "{}{}", first.text(), first.stderr);
    assert!(first.stderr.contains("has taken over from this runner"), "{}", first.stderr);
    assert_eq!(status(&project, &name)["complete"], true);
    assert_eq!(times(&project, "a"), 2);
    assert_eq!(times(&project, "b"), 1);
    commit(&project, &name, "6\n");
}

#[test]
fn a_take_over_that_is_killed_is_done_by_the_same_call() {
    for step in ["exec.takeover.flush:1", "exec.takeover.write:1", "exec.takeover.written:1"] {
        let (project, name, _) = built(&["a", "b"]);
        let gate = Gate::at(&project.path().join("gate"));
        let first = stopped(&project, &name, &["-j1"]);
        let mut command = project.program().command(&["workspace", "run", &name]);
        command.args(["--take-over", "1", "--repo", project.repo().as_str()]);
        command.env("PANTLER_CRASH", step);
        assert_eq!(Ran::of(command).status.signal(), Some(9), "{step}");
        verb(&project, "run", &name, &["--take-over", "1"]).expect(0);
        gate.open(1);
        assert_eq!(go_on(first).code(), Some(4), "{step}");
        commit(&project, &name, "3\n");
    }
}

#[test]
fn two_that_take_over_the_same_runner_agree() {
    let items = ["a", "b", "c", "d"];
    let (project, name, _) = built(&items);
    let gate = Gate::at(&project.path().join("gate"));
    let first = stopped(&project, &name, &["-j1"]);
    let others = [(); 2].map(|()| start(&project, &name, &["--take-over", "1", "-j1"]));
    for other in others {
        Ran::finish(other).expect(0);
    }
    gate.open(1);
    assert_eq!(go_on(first).code(), Some(4));
    assert_eq!(items.map(|item| times(&project, item)), [2, 1, 1, 1], "a was cut off");
    commit(&project, &name, "10\n");
}

#[test]
fn many_that_start_at_once_run_each_quantum_once() {
    let items = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let (project, name, ids) = built(&items);
    let part = |range: std::ops::Range<usize>| -> Vec<&str> {
        items[range].iter().map(|item| ids[*item].as_str()).chain(["-j1"]).collect()
    };
    // Some overlap, some are for all.
    let parts = [part(0..5), part(3..8), vec!["-j1"], part(2..6), vec!["-j2"]];
    let children = parts.each_ref().map(|args| start(&project, &name, args));
    for child in children {
        Ran::finish(child).expect(0);
    }
    for item in items {
        assert_eq!(times(&project, item), 1, "{item}");
    }
    assert_eq!(status(&project, &name)["complete"], true);
    commit(&project, &name, "36\n");
}

#[test]
fn a_commit_lets_nobody_start_and_waits_for_all() {
    let (project, name, ids) = built(&["a", "b", "c"]);
    project.write("slow", "");
    let gate = Gate::at(&project.path().join("gate"));
    let first = start(&project, &name, &[&ids["a"]]);
    until("the first runs", || times(&project, "a") == 1);
    let rest = [ids["b"].as_str(), &ids["c"], &ids[""], "-j2"];
    let second = start(&project, &name, &rest);
    until("the second runs", || times(&project, "b") == 1 && times(&project, "c") == 1);
    let repo = project.repo();
    let commit = ["workspace", "commit", &name, "--take-over", "--repo", repo.as_str()];
    let closer = project.program().start(&commit);
    let root = status(&project, &name)["root"].as_str().unwrap().to_owned();
    until("it waits", || camino::Utf8Path::new(&root).join("closing").exists());
    let refused = verb(&project, "run", &name, &[]).expect(4);
    assert!(refused.stderr.contains("a closing of workspace"), "{}", refused.stderr);
    let working = verb(&project, "reopen", &name, &["--take-over"]).expect(1);
    assert!(working.stderr.contains("closes the workspace"), "{}", working.stderr);
    gate.open(3);
    let pids = [first.id(), second.id()];
    Ran::finish(first).expect(0);
    Ran::finish(second).expect(0);
    let closed = Ran::finish(closer).expect(0);
    for pid in pids {
        assert!(closed.stderr.contains(&format!("process {pid} on ")), "{}", closed.stderr);
    }
    let got = project.pantler(&["get", "total", "--collections", &name]).expect(0).text();
    assert_eq!(got, "6\n");
}

#[test]
fn a_commit_does_not_wait_for_a_runner_that_is_assumed_dead() {
    let (project, name, ids) = built(&["a", "b"]);
    let _gate = Gate::at(&project.path().join("gate"));
    verb(&project, "run", &name, &[&ids["b"]]).expect(0);
    project.write("slow.a", "");
    let late = start(&project, &name, &["-j1"]);
    until("it runs", || times(&project, "a") == 1);
    until("it has beaten", || alive(&project, &name, 2).exists());
    signal(&late, Signal::STOP);
    make_old(&project, &name, 2);
    let commit = ["--partial", "--assume-dead", "2", "--take-over"];
    verb(&project, "commit", &name, &commit).expect(0);
    let before = project.contents(&name);
    let late = go_on(late);
    assert_ne!(late.code(), Some(0), "{}{}", late.text(), late.stderr);
    assert!(late.stderr.contains("was closed"), "{}", late.stderr);
    assert_eq!(project.contents(&name), before);
}

/// The steps of a command up to the one at which it closes the transaction.
fn steps(project: &Project, args: &[&str]) -> Vec<String> {
    let log = project.path().join("steps.log");
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]).env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let mut seen = BTreeMap::<&str, u32>::new();
    let name = |step| {
        let n = seen.entry(step).or_default();
        *n += 1;
        format!("{step}:{n}")
    };
    let open = text.lines().take_while(|step| *step != "close.rows.committed");
    open.map(name).collect()
}

fn killed(project: &Project, args: &[&str], step: &str) {
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]).env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
}

#[test]
fn a_commit_that_was_killed_anywhere_is_undone() {
    let (project, name, _) = built(&["a"]);
    verb(&project, "run", &name, &[]).expect(0);
    let commit_args = ["workspace", "commit", &name];
    let steps = steps(&project.duplicate(), &commit_args);
    assert!(steps.len() > 10, "{steps:?}");
    let mut marked = 0;
    for step in steps {
        let copy = project.duplicate();
        killed(&copy, &commit_args, &step);
        if open_names(&copy, "workspace").is_empty() {
            verb(&copy, "reopen", &name, &[]).expect(1);
            continue;
        }
        let root = status(&copy, &name)["root"].as_str().unwrap().to_owned();
        let marker = camino::Utf8Path::new(&root).join("closing");
        marked += usize::from(marker.exists());
        verb(&copy, "reopen", &name, &[]).expect(0);
        assert!(!marker.exists(), "{step}");
        let again = verb(&copy, "reopen", &name, &[]).expect(0).text();
        assert!(again.contains("nothing to do"), "{step}: {again}");
        // The workspace can be worked with.
        verb(&copy, "reset", &name, &["--task", "total"]).expect(0);
        verb(&copy, "run", &name, &[]).expect(0);
        commit(&copy, &name, "1\n");
    }
    assert!(marked > 3, "{marked}");
    verb(&project, "revert", &name, &[]).expect(0);
}

#[test]
fn a_reopening_that_is_killed_is_done_by_the_same_call() {
    let (project, name, _) = built(&["a"]);
    verb(&project, "run", &name, &[]).expect(0);
    killed(&project, &["workspace", "commit", &name], "commit.leftovers.deleted:1");
    let reopen = ["workspace", "reopen", &name];
    let steps = steps(&project.duplicate(), &reopen);
    assert!(steps.iter().any(|step| step.starts_with("workspace.reopen:")), "{steps:?}");
    for step in steps {
        let copy = project.duplicate();
        killed(&copy, &reopen, &step);
        copy.check();
        copy.pantler(&reopen).expect(0);
        verb(&copy, "run", &name, &[]).expect(0);
        commit(&copy, &name, "1\n");
    }
    // A revert that has begun to delete can only be finished.
    killed(&project, &["workspace", "revert", &name], "datastore.delete:1");
    let refused = verb(&project, "reopen", &name, &[]).expect(4);
    assert!(refused.stderr.contains("revert"), "{}", refused.stderr);
    verb(&project, "revert", &name, &[]).expect(0);
    verb(&project, "reopen", &name, &[]).expect(1);
}

#[test]
fn a_closing_at_work_is_not_undone() {
    let (project, name, _) = built(&["a"]);
    verb(&project, "run", &name, &[]).expect(0);
    let closer = paused(&project, &["workspace", "commit", &name], "commit.leftovers.deleted:1");
    let refused = verb(&project, "reopen", &name, &[]).expect(1);
    assert!(refused.stderr.contains("closes the workspace"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("process {} on", closer.id())), "{}", refused.stderr);
    go_on(closer).expect(0);
}

#[test]
fn a_runner_killed_at_any_step_costs_the_other_nothing() {
    let (project, name, _) = built(&["a", "b"]);
    let run = ["workspace", "run", &name, "-j1"];
    let steps = steps(&project.duplicate(), &run);
    for step in steps {
        let copy = project.duplicate();
        let mut command = copy.program().command(&run);
        command.args(["--repo", copy.repo().as_str()]).env("PANTLER_CRASH", &step);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let first = command.spawn().unwrap();
        let second = start(&copy, &name, &["-j1"]);
        Ran::finish(first);
        Ran::finish(second).expect(0);
        assert_eq!(status(&copy, &name)["complete"], true, "{step}");
        commit(&copy, &name, "3\n");
    }
    verb(&project, "revert", &name, &[]).expect(0);
}

#[test]
fn a_damaged_take_over_stops_run_and_commit_and_not_revert() {
    let (project, name, _) = built(&["a", "b"]);
    let gate = Gate::at(&project.path().join("gate"));
    let first = stopped(&project, &name, &["-j1"]);
    verb(&project, "run", &name, &["--take-over", "1"]).expect(0);
    gate.open(1);
    go_on(first);
    let over = alive(&project, &name, 1).with_extension("over");
    let text = std::fs::read_to_string(&over).unwrap();
    std::fs::write(&over, text.replace("\"lines\":", "\"lines\":9")).unwrap();
    for verb_ in ["run", "commit"] {
        let ran = verb(&project, verb_, &name, &[]);
        assert_ne!(ran.code(), Some(0));
        assert!(ran.stderr.contains("journal/1.over:1: the journal is damaged"), "{}", ran.stderr);
    }
    verb(&project, "revert", &name, &[]).expect(0);
}
