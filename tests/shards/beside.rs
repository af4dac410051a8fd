//! Commits of shards beside runners and builds, one before the other and the other way round;
//! each order is made by pausing processes at named steps.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Stdio},
    time::{Duration, SystemTime},
};

use camino::Utf8PathBuf;
use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process};

use super::{NAME, build_and_run, create, ingested, sharded, shards, there, verb};
use crate::{
    toy::{Gate, datasets, until},
    zombies::{go_on, paused},
};

/// Waits at the gate while there is a file `slow.<item>`.
const COPY: &str = "\
if test -e \"$1/slow.$4\"; then read _ < \"$1/gate\"; fi
cat \"$2\" > \"$3\"
";

/// A workspace whose copies can be held up.
fn gated(items: &[&str]) -> (Project, Gate) {
    let project = ingested(items, COPY);
    let gate = Gate::at(&project.path().join("gate"));
    create(&project, &["--shard-by", "item"]).expect(0);
    (project, gate)
}

fn start(project: &Project, args: &[&str]) -> Child {
    let repo = project.repo();
    project.program().start(&[args, &["--repo", repo.as_str()]].concat())
}

fn root(project: &Project) -> Utf8PathBuf {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    Utf8PathBuf::from(status["root"].as_str().unwrap())
}

/// How many markers there are; one that was being written has another name.
fn frozen(project: &Project) -> usize {
    let Ok(entries) = root(project).join("frozen").read_dir_utf8() else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("json")).count()
}

/// The states of all runners, by number.
fn runners(project: &Project) -> Vec<String> {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    let runners = status["runners"].as_array().unwrap().iter();
    runners.map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

const RUN_A: [&str; 5] = ["workspace", "run", NAME, "--shard", "item=a"];
const COMMIT_A: [&str; 5] = ["workspace", "commit", NAME, "--shard", "item=a"];

#[test]
fn a_shard_that_is_being_run_is_not_committed_and_others_are() {
    let (project, gate) = gated(&["a", "b"]);
    verb(&project, "build", &[]).expect(0);
    project.write("slow.a", "");
    let runner = start(&project, &RUN_A);
    until("it runs", || runners(&project) == ["live"]);
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("runner 1 (process "), "{}", refused.stderr);
    assert!(refused.stderr.contains("is to run quanta of shard item=a"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--assume-dead 1"), "{}", refused.stderr);
    assert_eq!(frozen(&project), 0);
    let refused = verb(&project, "commit", &["--shard", "item=a", "--assume-dead", "1"]).expect(1);
    assert!(refused.stderr.contains("runner 1 "), "{}", refused.stderr);
    assert!(refused.stderr.contains("is alive"), "{}", refused.stderr);
    verb(&project, "run", &["--shard", "item=b"]).expect(0);
    verb(&project, "commit", &["--shard", "item=b"]).expect(0);
    gate.open(1);
    Ran::finish(runner).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    assert_eq!(shards(&project), ["a 2/2 committed", "b 2/2 committed"]);
}

#[test]
fn a_shard_of_a_runner_that_is_declared_dead_is_committed() {
    let (project, gate) = gated(&["a", "b"]);
    verb(&project, "build", &[]).expect(0);
    project.write("slow.b", "");
    let both = [&RUN_A[..], &["--shard", "item=b", "-j2"]].concat();
    let runner = start(&project, &both);
    until("a is done", || shards(&project)[0] == "a 2/2 open");
    let alive = root(&project).join("journal/1.alive");
    until("it has beaten", || alive.exists());
    let pid = Pid::from_raw(i32::try_from(runner.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // As if it had been stopped for long.
    let file = File::options().write(true).open(&alive).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("is to run quanta of shard item=a"), "{}", refused.stderr);
    verb(&project, "commit", &["--shard", "item=a", "--assume-dead", "1"]).expect(0);
    assert_eq!(runners(&project), ["taken over"]);
    std::fs::remove_file(project.path().join("slow.b")).unwrap();
    gate.open(1);
    let ran = go_on(runner);
    assert_ne!(ran.code(), Some(0), "{}", ran.text());
    // What it still wrote does not count.
    assert_eq!(shards(&project), ["a 2/2 committed", "b 0/2 open"]);
    verb(&project, "run", &["--shard", "item=b"]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(there(&project, "again"), 2);
}

#[test]
fn a_runner_that_has_said_what_it_runs_comes_before_a_commit() {
    let project = sharded(&["a"]);
    verb(&project, "build", &[]).expect(0);
    let runner = paused(&project, &RUN_A, "exec.journal.created:1");
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("is to run quanta of shard item=a"), "{}", refused.stderr);
    assert_eq!(frozen(&project), 0);
    go_on(runner).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
}

#[test]
fn a_runner_that_begins_when_its_shard_is_frozen_leaves_it() {
    let project = sharded(&["a", "b"]);
    verb(&project, "build", &[]).expect(0);
    verb(&project, "run", &["--task", "copy"]).expect(0);
    // Both have seen the markers before there was one, and have not said what they run.
    let named = paused(&project, &RUN_A, "exec.journal.create:1");
    let all = paused(&project, &["workspace", "run", NAME], "exec.journal.create:1");
    let partial = [&COMMIT_A[..], &["--partial"]].concat();
    let commit = paused(&project, &partial, "shard.frozen:1");
    let refused = go_on(named).expect(1);
    assert!(refused.stderr.contains("shard item=a of workspace toy/trial is frozen"));
    let ran = go_on(all).expect(0);
    assert!(ran.text().contains("all that can run has succeeded"), "{}", ran.text());
    go_on(commit).expect(0);
    assert_eq!(shards(&project), ["a 1/2 committed", "b 2/2 open"]);
    assert_eq!((there(&project, "copy"), there(&project, "again")), (1, 0));
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((there(&project, "copy"), there(&project, "again")), (2, 1));
}

#[test]
fn a_commit_that_freezes_after_a_runner_has_begun_gives_up() {
    let (project, gate) = gated(&["a"]);
    verb(&project, "build", &[]).expect(0);
    project.write("slow.a", "");
    let runner = paused(&project, &RUN_A, "exec.journal.create:1");
    // It has seen no runner, and there is no marker yet.
    let commit = paused(&project, &COMMIT_A, "shard.freeze:1");
    let pid = Pid::from_raw(i32::try_from(runner.id()).unwrap()).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    let started = || {
        let status = verb(&project, "status", &["--json"]).expect(0).json();
        status["tasks"][0]["started"] == 1
    };
    until("its quantum is started", started);
    let refused = go_on(commit).expect(1);
    assert!(refused.stderr.contains("is to run quanta of shard item=a"), "{}", refused.stderr);
    assert_eq!(frozen(&project), 0, "the marker is taken away again");
    gate.open(1);
    Ran::finish(runner).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    assert_eq!(there(&project, "again"), 1);
}

#[test]
fn nothing_is_built_into_a_frozen_shard() {
    let project = sharded(&["a", "b"]);
    verb(&project, "build", &["--shard", "item=a", "--task", "copy"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    // It has let the lock go that a build needs.
    let commit = paused(&project, &COMMIT_A, "part.storage.done:1");
    let is_refused = |args: &[&str]| {
        let refused = verb(&project, "build", args).expect(1);
        let told = "shard item=a of workspace toy/trial is frozen";
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    };
    is_refused(&["--shard", "item=a"]);
    is_refused(&[]);
    verb(&project, "build", &["--shard", "item=b"]).expect(0);
    go_on(commit).expect(0);
    is_refused(&["--shard", "item=a"]);
    is_refused(&["--task", "again"]);
    // What is there already is no change.
    verb(&project, "build", &["--shard", "item=a", "--task", "copy"]).expect(0);
    assert_eq!(shards(&project), ["a 1/1 committed", "b 0/2 open"]);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((there(&project, "copy"), there(&project, "again")), (2, 1));
}

#[test]
fn a_shard_that_a_failed_commit_left_frozen_is_thawed_by_reopening() {
    let project = sharded(&["a", "b"]);
    verb(&project, "build", &[]).expect(0);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &["--shard", "item=b"]).expect(0);
    let commit = paused(&project, &COMMIT_A, "part.storage.done:1");
    assert_eq!(frozen(&project), 2);
    // One that is at work is left alone.
    let refused = verb(&project, "reopen", &[]);
    assert_ne!(refused.code(), Some(0), "{}", refused.text());
    assert_eq!(frozen(&project), 2);
    let pid = Pid::from_raw(i32::try_from(commit.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    drop(Ran::finish(commit));
    let refused = verb(&project, "reset", &["--task", "copy"]);
    assert_eq!(frozen(&project), 2, "{}{}", refused.text(), refused.stderr);
    let refused = verb(&project, "run", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("workspace reopen toy/trial"), "{}", refused.stderr);
    let said = verb(&project, "reopen", &[]).expect(0).text();
    assert!(said.contains("is open again"), "{said}");
    assert_eq!((frozen(&project), shards(&project)[0].as_str()), (1, "a 2/2 open"));
    let said = verb(&project, "reopen", &[]).expect(0).text();
    assert!(said.contains("nothing to do"), "{said}");
    verb(&project, "reset", &["--task", "again"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((there(&project, "copy"), there(&project, "again")), (2, 2));
    project.check();
}

#[test]
fn what_is_being_built_is_part_of_the_shard_that_is_committed() {
    let project = sharded(&["a"]);
    verb(&project, "build", &["--shard", "item=a", "--task", "copy"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    // It has looked for the marker, and holds the lock that the marker needs.
    let build = ["workspace", "build", NAME, "--shard", "item=a"];
    let build = paused(&project, &build, "build.graph.write:1");
    let log = project.path().join("steps.log");
    let repo = project.repo();
    let mut commit =
        project.program().command(&[&COMMIT_A[..], &["--repo", repo.as_str()]].concat());
    commit.env("PANTLER_CRASH_LOG", log.as_str()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let commit = commit.spawn().unwrap();
    let steps = || std::fs::read_to_string(&log).unwrap_or_default();
    until("the commit has begun", || steps().contains("shard.locked"));
    assert!(!steps().contains("shard.freeze"), "{}", steps());
    go_on(build).expect(0);
    let refused = Ran::finish(commit).expect(3);
    assert!(
        refused.stderr.contains("of shard item=a, 1 of 2 quanta succeeded"),
        "{}",
        refused.stderr
    );
    std::fs::remove_file(&log).unwrap();
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    assert_eq!(there(&project, "again"), 1);
}

/// A workspace with the shards `a` and `b`, where one task of `a` fails while there is a
/// file `broken.a`.
fn broken() -> Project {
    let project = ingested(&["a", "b"], super::COPY);
    let again = "test ! -e \"$1/broken.$4\" || exit 3\ncp \"$2\" \"$3\"\n";
    project.write("again.sh", again);
    let command = "command: [sh, \"{pipeline_dir}/again.sh\", \"{pipeline_dir}\", \
                   \"{inputs.copy}\", \"{outputs.again}\", \"{data_id.item}\"]";
    let cp = "command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]";
    assert!(super::PIPELINE.contains(cp));
    project.write("pipeline.yaml", super::PIPELINE.replace(cp, command));
    create(&project, &["--shard-by", "item"]).expect(0);
    project.write("broken.a", "");
    verb(&project, "build", &[]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(3);
    project
}

#[test]
fn what_succeeded_in_a_shard_is_committed_if_told_so() {
    let project = broken();
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(3);
    assert!(refused.stderr.contains("1 of 2 quanta succeeded, 1 failed"), "{}", refused.stderr);
    let said = verb(&project, "commit", &["--shard", "item=a", "--partial"]).expect(0).text();
    assert!(said.contains("shard item=a of workspace toy/trial committed: 3 datasets"), "{said}");
    assert_eq!((there(&project, "copy"), there(&project, "copy_log")), (1, 1));
    assert_eq!(there(&project, "again"), 0);
    assert_eq!(shards(&project), ["a 1/2 committed", "b 0/2 open"]);
    // It is done with: what failed is not tried again, and the rest needs no --partial.
    std::fs::remove_file(project.path().join("broken.a")).unwrap();
    let refused = verb(&project, "run", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains("is frozen"), "{}", refused.stderr);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!((there(&project, "copy"), there(&project, "again")), (2, 1));
}

fn armed(project: &Project, args: &[&str], (name, value): (&str, &str)) -> Ran {
    let repo = project.repo();
    let mut command = project.program().command(&[args, &["--repo", repo.as_str()]].concat());
    command.env(name, value);
    Ran::of(command)
}

/// Each step of a log with how often it was reached by then; these must be among them.
fn steps(log: &str, named: &[&str]) -> Vec<String> {
    for step in named {
        assert!(log.lines().any(|line| line == *step), "{step}: {log}");
    }
    let mut seen = BTreeMap::<&str, u32>::new();
    let mut count = |step| {
        let n = seen.entry(step).or_default();
        *n += 1;
        *n
    };
    log.lines().map(|step| format!("{step}:{}", count(step))).collect()
}

/// A copy of the project in which the program was killed at a step.
fn killed(project: &Project, args: &[&str], step: &str) -> Project {
    let copy = project.duplicate();
    let killed = armed(&copy, args, ("PANTLER_CRASH", step));
    assert_eq!(killed.status.signal(), Some(9), "{step}: {}", killed.stderr);
    copy.check();
    copy
}

#[test]
fn a_failing_commit_of_a_shard_that_is_killed_fails_again_and_the_shard_runs_on() {
    let project = broken();
    let log = project.path().join("steps.log");
    let copy = project.duplicate();
    armed(&copy, &COMMIT_A, ("PANTLER_CRASH_LOG", log.as_str())).expect(3);
    verb(&copy, "revert", &[]).expect(0);
    for step in steps(&std::fs::read_to_string(&log).unwrap(), &["shard.frozen", "shard.thawed"]) {
        let copy = killed(&project, &COMMIT_A, &step);
        assert!(datasets(&copy, &["--collections", NAME]).is_empty(), "{step}");
        verb(&copy, "commit", &["--shard", "item=a"]).expect(3);
        assert_eq!(frozen(&copy), 0, "{step}");
        std::fs::remove_file(copy.path().join("broken.a")).unwrap();
        verb(&copy, "run", &["--shard", "item=a"]).expect(0);
        verb(&copy, "commit", &["--shard", "item=a"]).expect(0);
        assert_eq!((there(&copy, "copy"), there(&copy, "again")), (1, 1), "{step}");
        verb(&copy, "abandon", &[]).expect(0);
    }
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn a_killed_build_of_a_shard_is_done_by_the_same_call() {
    let project = sharded(&["a", "b"]);
    build_and_run(&project, "item=a");
    let log = project.path().join("steps.log");
    let copy = project.duplicate();
    let build = ["workspace", "build", NAME, "--shard", "item=b"];
    armed(&copy, &build, ("PANTLER_CRASH_LOG", log.as_str())).expect(0);
    verb(&copy, "revert", &[]).expect(0);
    let named = ["build.graph.write", "shard.part.note", "shard.part.noted"];
    for step in steps(&std::fs::read_to_string(&log).unwrap(), &named) {
        let copy = killed(&project, &build, &step);
        // The other shard is not concerned.
        verb(&copy, "commit", &["--shard", "item=a"]).expect(0);
        build_and_run(&copy, "item=b");
        verb(&copy, "commit", &["--shard", "item=b"]).expect(0);
        assert_eq!(shards(&copy), ["a 2/2 committed", "b 2/2 committed"], "{step}");
        verb(&copy, "commit", &[]).expect(0);
    }
    verb(&project, "revert", &[]).expect(0);
}
