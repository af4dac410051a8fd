//! Quanta accepted, poisoned and reset, through the program.

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::toy::{Gate, datasets, open_names, toy_with, until};

/// Fails for the items for which a file `broken.<item>` is there.
const COPY: &str = "\
echo \"copying $4\"
test ! -e \"$1/broken.$4\" || exit 3
cat \"$2\" > \"$3\"
";

/// Three numbers; the copy of `b` has failed, so the total has not run.
fn failed() -> (Project, String) {
    let project = toy_with(&["a", "b", "c"], COPY);
    project.write("broken.b", "");
    project.run(&["-j1"]).expect(3);
    let mut names = open_names(&project, "workspace");
    assert_eq!(names.len(), 1, "{names:?}");
    (project, names.remove(0))
}

/// Everything has run.
fn complete() -> (Project, String) {
    let (project, name) = failed();
    std::fs::remove_file(project.path().join("broken.b")).unwrap();
    project.pantler(&["workspace", "run", &name, "-j1"]).expect(0);
    (project, name)
}

fn verb(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

fn status(project: &Project, name: &str) -> Value {
    verb(project, "status", name, &["--json"]).expect(0).json()
}

/// Of each task, its name and built, succeeded, accepted, failed, poisoned, blocked.
fn counts(project: &Project, name: &str) -> Vec<String> {
    let status = status(project, name);
    let tasks = status["tasks"].as_array().unwrap().iter();
    let line = |task: &Value| {
        let keys = ["task", "built", "succeeded", "accepted", "failed", "poisoned", "blocked"];
        keys.map(|key| task[key].to_string().replace('"', "")).join(" ")
    };
    tasks.map(line).collect()
}

/// The ids of what a verb would change in a task.
fn quanta(project: &Project, transition: &str, name: &str, task: &str) -> Vec<String> {
    let args = ["--task", task, "--dry-run", "--json"];
    let found = verb(project, transition, name, &args).expect(0).json();
    let changed = found["changed"].as_array().unwrap().iter();
    let of_task = changed.filter(|change| change["task"] == task);
    of_task.map(|change| change["quantum"].as_str().unwrap().to_owned()).collect()
}

fn segments(project: &Project, name: &str) -> usize {
    let root = status(project, name)["root"].as_str().unwrap().to_owned();
    std::fs::read_dir(format!("{root}/journal")).unwrap().count()
}

fn total(project: &Project, collection: &str) -> String {
    project.pantler(&["get", "total", "--collections", collection]).expect(0).text()
}

#[test]
fn a_failure_is_accepted_and_the_rest_is_run_and_committed() {
    let (project, name) = failed();
    assert_eq!(counts(&project, &name), ["copy 0 2 0 1 0 0", "total 0 0 0 0 0 1"]);
    let dry = verb(&project, "accept", &name, &["--failed", "--dry-run"]).expect(0);
    assert!(dry.text().starts_with("would accept 1 quantum\n"), "{}", dry.text());
    assert_eq!(segments(&project, &name), 1, "a dry run writes nothing");

    let ran = verb(&project, "accept", &name, &["--failed"]).expect(0).text();
    assert!(ran.starts_with("accepted 1 quantum\n"), "{ran}");
    assert!(ran.contains("copy item=b (was failed; 0 of 1 output there)"), "{ran}");
    assert!(ran.contains(&format!("next: pantler workspace run {name} --repo ")), "{ran}");
    assert_eq!(counts(&project, &name), ["copy 0 3 1 0 0 0", "total 1 0 0 0 0 0"]);
    let said = verb(&project, "status", &name, &[]).expect(0).text();
    assert!(said.contains("1 quantum counted as succeeded since accepted"), "{said}");
    assert!(said.contains("accepted: copy item=b (attempt 1): "), "the failure is known: {said}");

    let again = verb(&project, "accept", &name, &["--failed"]).expect(0).text();
    assert!(again.starts_with("nothing to do"), "{again}");
    assert_eq!(segments(&project, &name), 2, "again writes nothing");

    verb(&project, "run", &name, &[]).expect(0);
    let accept = verb(&project, "accept", &name, &["--failed", "--json"]).expect(0).json();
    assert_eq!((&accept["complete"], &accept["changed"]), (&true.into(), &Value::Array(vec![])));
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "4\n", "without the 2 of b");
    assert_eq!(datasets(&project, &["copy", "--collections", &name]).len(), 2);
    // What it said is kept.
    assert_eq!(datasets(&project, &["copy_log", "--collections", &name]).len(), 3);
}

#[test]
fn what_is_poisoned_is_not_committed_and_its_outputs_are_deleted() {
    let (project, name) = complete();
    let copy = quanta(&project, "poison", &name, "copy").remove(0);
    let ran = verb(&project, "poison", &name, &[&copy]).expect(0).text();
    assert!(ran.starts_with("poisoned 2 quanta\n") && ran.contains("; downstream)"), "{ran}");
    assert_eq!(counts(&project, &name), ["copy 0 2 0 1 1 0", "total 0 0 0 1 1 0"]);
    let refused = verb(&project, "commit", &name, &[]);
    assert_eq!(refused.code(), Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("2 of 4 quanta succeeded, 2 failed"), "{}", refused.stderr);
    verb(&project, "commit", &name, &["--partial"]).expect(0);
    assert_eq!(datasets(&project, &["copy", "--collections", &name]).len(), 2);
    assert!(datasets(&project, &["total", "--collections", &name]).is_empty());
    let stored = project.picture().files;
    assert!(!stored.keys().any(|file| file.contains("/total/")), "{:?}", stored.keys());
    let copies = stored.keys().filter(|file| file.contains("/copy/")).count();
    assert_eq!(copies, 2, "{:?}", stored.keys());
}

#[test]
fn what_is_poisoned_runs_again() {
    let (project, name) = complete();
    verb(&project, "poison", &name, &["--task", "copy"]).expect(0);
    let said = verb(&project, "status", &name, &[]).expect(0).text();
    assert!(said.contains("4 quanta counted as failed since poisoned"), "{said}");
    let again = verb(&project, "poison", &name, &["--task", "copy"]).expect(0).text();
    assert!(again.starts_with("nothing to do"), "{again}");
    verb(&project, "run", &name, &[]).expect(0);
    assert_eq!(counts(&project, &name), ["copy 0 3 0 0 0 0", "total 0 1 0 0 0 0"]);
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "6\n");
}

#[test]
fn what_is_reset_runs_again_and_so_does_what_is_downstream() {
    let (project, name) = complete();
    let copy = quanta(&project, "reset", &name, "copy").remove(0);
    let reset = verb(&project, "reset", &name, &[&copy, "--json"]).expect(0).json();
    let deleted = reset["changed"][0]["deleted"][0].as_str().unwrap().to_owned();
    assert!(!project.repo().join("artifacts").join(&deleted).exists(), "{deleted}");
    assert_eq!(counts(&project, &name), ["copy 1 2 0 0 0 0", "total 1 0 0 0 0 0"]);
    let (before, again) = (segments(&project, &name), verb(&project, "reset", &name, &[&copy]));
    assert!(again.expect(0).text().starts_with("nothing to do"));
    assert_eq!(segments(&project, &name), before);
    let ran = verb(&project, "run", &name, &[]).expect(0);
    assert!(ran.stderr.contains("2 quanta done before"), "two ran: {}", ran.stderr);
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "6\n");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_changes() {
    let (project, name) = failed();
    let before = project.picture();
    let refused = |args: &[&str], code: i32, says: &str| {
        let (first, rest) = args.split_first().unwrap();
        let ran = verb(&project, first, &name, rest).expect(code);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
        if code == 1 {
            assert!(ran.stderr.contains("now: nothing has changed"), "{}", ran.stderr);
        }
    };
    let bad = quanta(&project, "accept", &name, "copy").remove(0);
    let good = quanta(&project, "poison", &name, "copy").remove(0);
    refused(&["accept", &good], 1, "copy item=a");
    refused(&["accept", &good], 1, "cannot be accepted: it did not fail, it is succeeded");
    refused(&["accept", &bad, &good], 1, "cannot be accepted");
    refused(&["poison", &bad], 1, "cannot be poisoned: it did not succeed, it is failed");
    let unknown = "00000000-0000-7000-8000-000000000001";
    for verb in ["accept", "poison", "reset"] {
        refused(&[verb, unknown], 1, &format!("the graph has no quantum {unknown}"));
        refused(&[verb, "--task", "nothing"], 1, "it has: copy, total");
        refused(&[verb], 2, "no quantum is named");
        refused(&[verb, "x"], 2, "invalid value 'x'");
        refused(&[verb, &bad, "--task", "copy"], 2, "cannot be used with");
    }
    before.assert_same(&project.picture(), "after what was refused");
    let other = project.pantler(&["workspace", "reset", "nowhere", "--failed"]).expect(1);
    assert!(other.stderr.contains("no open workspace is called nowhere"), "{}", other.stderr);
}

#[test]
fn nothing_is_changed_while_quanta_run_or_the_workspace_is_closing() {
    let script = format!("test \"$4\" != b || read _ < \"$1/gate\"\n{COPY}");
    let (project, name) = failed();
    project.write("copy.sh", script);
    let gate = Gate::at(&project.path().join("gate"));
    let repo = project.repo();
    let args = ["workspace", "run", &name, "--repo", repo.as_str()];
    let runner = project.program().start(&args);
    let started = || status(&project, &name)["tasks"][0]["started"] == 1;
    until("the quantum is started", started);
    let held = verb(&project, "reset", &name, &["--task", "copy"]).expect(1);
    assert!(held.stderr.contains("copy item=b"), "{}", held.stderr);
    let holder = format!("is started: process {} on ", runner.id());
    assert!(held.stderr.contains(&holder), "{}", held.stderr);
    let held = verb(&project, "poison", &name, &["--task", "copy"]).expect(1);
    assert!(held.stderr.contains("runs quanta in "), "{}", held.stderr);
    gate.open(1);
    Ran::finish(runner).expect(3);

    let mut command = project.program().command(&["workspace", "revert", &name, "--repo"]);
    command.arg(repo.as_str()).env("PANTLER_CRASH", "workspace.marker.set:1");
    assert_eq!(Ran::of(command).status.signal(), Some(9));
    for transition in ["accept", "reset"] {
        for dry in [&["--failed"][..], &["--failed", "--dry-run"]] {
            let ran = verb(&project, transition, &name, dry).expect(4);
            assert!(ran.stderr.contains("a closing of workspace"), "{}", ran.stderr);
        }
    }
    verb(&project, "revert", &name, &[]).expect(0);
}

/// The steps of an operation, each with how often it is reached.
fn steps(project: &Project, args: &[&str]) -> Vec<String> {
    let log = project.path().join("steps.log");
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]).env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let name = |step| {
        let n = seen.entry(step).or_default();
        *n += 1;
        format!("{step}:{n}")
    };
    text.lines().map(name).collect()
}

/// Kills a verb at each of its steps; the same call again, a run and a commit then give
/// what they give without a kill.
fn killed_at_each_step(before: &(Project, String), transition: &str, least: usize, result: &str) {
    let (project, name) = before;
    let id = quanta(project, transition, name, "copy").remove(0);
    let args = ["workspace", transition, name, &id];
    let steps = steps(&project.duplicate(), &args);
    assert!(steps.len() >= least, "{steps:?}");
    for step in steps {
        let copy = project.duplicate();
        let mut command = copy.program().command(&args);
        command.args(["--repo", copy.repo().as_str()]).env("PANTLER_CRASH", &step);
        let ran = Ran::of(command);
        assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
        copy.check();
        status(&copy, name);
        // It can be closed as it stands.
        let other = copy.duplicate();
        verb(&other, "revert", name, &[]).expect(0);
        copy.pantler(&args).expect(0);
        let again = copy.pantler(&args).expect(0).text();
        assert!(again.starts_with("nothing to do"), "{step}: {again}");
        verb(&copy, "run", name, &[]).expect(0);
        verb(&copy, "commit", name, &[]).expect(0);
        assert_eq!(total(&copy, name), result, "{step}");
    }
    verb(project, "revert", name, &[]).expect(0);
}

#[test]
fn an_accept_that_is_killed_is_done_by_the_same_call() {
    killed_at_each_step(&failed(), "accept", 7, "4\n");
}

#[test]
fn a_poison_that_is_killed_is_done_by_the_same_call() {
    killed_at_each_step(&complete(), "poison", 7, "6\n");
}

#[test]
fn a_reset_that_is_killed_is_done_by_the_same_call() {
    killed_at_each_step(&complete(), "reset", 10, "6\n");
}

#[test]
fn a_run_between_the_two_halves_of_a_reset_is_kept() {
    let (project, name) = complete();
    let id = quanta(&project, "reset", &name, "copy").remove(0);
    let mut command = project.program().command(&["workspace", "reset", &name, &id]);
    command.args(["--repo", project.repo().as_str()]);
    command.env("PANTLER_CRASH", "exec.transition.appended:1");
    assert_eq!(Ran::of(command).status.signal(), Some(9));
    verb(&project, "run", &name, &[]).expect(0);
    assert_eq!(counts(&project, &name), ["copy 0 3 0 0 0 0", "total 0 1 0 0 0 0"]);
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "6\n");
    let copies = project.picture().files.keys().filter(|f| f.contains("/copy/")).count();
    assert_eq!(copies, 3, "what the reset had not deleted is gone too");
}

/// What `query provenance` says of a committed RUN, it says of an open workspace.
#[test]
fn what_was_made_so_far_is_asked_for_by_expression_and_uuid() {
    let (project, name) = failed();
    let ask = |args: &[&str]| {
        project.pantler(&[&["query", "provenance", "--workspace", &name], args].concat())
    };
    let found = ask(&["datasets", "--json"]).expect(0).json();
    let mut states: Vec<String> = found["datasets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dataset| {
            let of = |key: &str| dataset[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", of("dataset_type"), dataset["data_id"]["item"], of("state"))
        })
        .filter(|line| line.starts_with("copy \"") || line.starts_with("total "))
        .collect();
    states.sort();
    assert_eq!(
        states,
        [
            "copy \"a\" present",
            "copy \"b\" predicted",
            "copy \"c\" present",
            "total null predicted"
        ]
    );
    let broken = ask(&["failed", "--json"]).expect(0).json();
    let quantum = &broken["quanta"][0];
    assert_eq!(quantum["attempts"][0]["exit"], 3, "{quantum}");
    let id = quantum["id"].as_str().unwrap();
    assert_eq!(ask(&["--quantum", id, "--log"]).expect(0).text(), "copying b\n");
    ask(&["..total", "--format", "svg"]).expect(0);
    std::fs::remove_file(project.path().join("broken.b")).unwrap();
    project.pantler(&["workspace", "run", &name, "-j1"]).expect(0);
    let again = ask(&["--quantum", id]).expect(0).json();
    assert_eq!(again["attempts"].as_array().unwrap().len(), 2, "{again}");
    verb(&project, "poison", &name, &["--task", "copy"]).expect(0);
    let found = ask(&["copy & datasets", "--json"]).expect(0).json();
    assert!(
        found["datasets"].as_array().unwrap().iter().all(|d| d["state"] == "invalidated"),
        "{found}"
    );
    verb(&project, "revert", &name, &[]).expect(0);
    ask(&["datasets"]).expect(1);
}
