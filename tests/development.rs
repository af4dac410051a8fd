//! Development mode: the pipeline of an open workspace is replaced, through the program.

use std::os::unix::process::ExitStatusExt as _;

use pantler_testkit::{Project, Ran};

use crate::toy::{COPY, PIPELINE, datasets, killed_at, open_names, toy, toy_with};

/// A workspace in which everything has run.
fn complete() -> (Project, String) {
    let project = toy(&["a", "b", "c"]);
    killed_at(&project, "exec.spawn:1", &["-j1"]);
    let name = open_names(&project, "workspace").remove(0);
    project.pantler(&["workspace", "run", &name]).expect(0);
    (project, name)
}

fn verb(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

/// The total with something added to the sum.
fn write_changed(project: &Project) -> String {
    let changed = PIPELINE.replace(
        "    command: [sh, \"{pipeline_dir}/total.sh\"",
        "    env: {PLUS: \"100\"}\n    command: [sh, \"{pipeline_dir}/total.sh\"",
    );
    assert_ne!(changed, PIPELINE);
    project.write("changed.yaml", changed);
    project.write(
        "total.sh",
        "out=$1\nshift\nawk -v plus=\"${PLUS:-0}\" '{ sum += $1 } END { print sum + plus }' \"$@\" > \"$out\"\n",
    );
    project.path().join("changed.yaml").to_string()
}

fn total(project: &Project, name: &str) -> String {
    project.pantler(&["get", "total", "--collections", name]).expect(0).text()
}

fn succeeded(project: &Project, name: &str) -> Vec<u64> {
    let status = verb(project, "status", name, &["--json"]).expect(0).json();
    let tasks = status["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["succeeded"].as_u64().unwrap()).collect()
}

fn outputs(project: &Project, dataset_type: &str) -> usize {
    let files = project.picture().files;
    files.keys().filter(|file| file.contains(&format!("/{dataset_type}/"))).count()
}

#[test]
fn a_task_is_changed_and_what_others_made_stays() {
    let (project, name) = complete();
    let changed = write_changed(&project);
    let replace = ["--pipeline", changed.as_str()];
    let refused = verb(&project, "pipeline", &name, &replace).expect(1);
    assert!(refused.stderr.contains("is not in development mode"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("workspace dev {name}")), "{}", refused.stderr);

    verb(&project, "dev", &name, &[]).expect(0);
    let again = verb(&project, "dev", &name, &[]).expect(0).text();
    assert!(again.contains("was in development mode before"), "{again}");
    let said = verb(&project, "pipeline", &name, &replace).expect(0).text();
    let says = format!("replaced the pipeline of {name}: total changed, 1 quantum reset\n");
    assert!(said.starts_with(&says), "{said}");
    assert_eq!((outputs(&project, "copy"), outputs(&project, "total")), (3, 0));
    let status = verb(&project, "status", &name, &[]).expect(0).text();
    assert!(status.starts_with("in development mode: no provenance is stored\n"), "{status}");
    assert!(status.contains("has no quantum graph yet"), "{status}");

    verb(&project, "build", &name, &[]).expect(0);
    assert_eq!(succeeded(&project, &name), [3, 0]);
    let status = verb(&project, "status", &name, &["--json"]).expect(0).json();
    assert_eq!(status["development"], true);
    let ran = verb(&project, "run", &name, &[]).expect(0);
    assert!(ran.stderr.contains("3 quanta done before"), "{}", ran.stderr);
    let same = verb(&project, "pipeline", &name, &replace).expect(0).text();
    assert!(same.contains("is the same; no quantum was reset"), "{same}");
    assert_eq!(succeeded(&project, &name), [3, 1], "it is built still");
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "106\n");
    let types = project.pantler(&["dataset-type", "list"]).expect(0).text();
    assert!(types.contains("total") && !types.contains("run_provenance"), "{types}");
    assert_eq!(outputs(&project, "run_provenance"), 0);
}

#[test]
fn a_task_is_not_changed_under_what_was_made_from_it() {
    let (project, name) = complete();
    let changed = PIPELINE.replacen("    command: [sh", "    env: {X: \"1\"}\n    command: [sh", 1);
    project.write("changed.yaml", &changed);
    let file = project.path().join("changed.yaml");
    let replace = ["--pipeline", file.as_str()];
    verb(&project, "dev", &name, &[]).expect(0);
    let before = project.picture();
    let refused = verb(&project, "pipeline", &name, &replace).expect(1);
    assert!(
        refused.stderr.contains("task copy has changed, and quanta of total in workspace"),
        "{}",
        refused.stderr
    );
    let next = format!("workspace reset {name} --task total");
    assert!(refused.stderr.contains(&next), "{}", refused.stderr);
    before.assert_same(&project.picture(), "after it was refused");
    assert_eq!(succeeded(&project, &name), [3, 1]);

    verb(&project, "reset", &name, &["--task", "total"]).expect(0);
    verb(&project, "pipeline", &name, &replace).expect(0);
    assert_eq!(outputs(&project, "copy"), 0);
    verb(&project, "build", &name, &[]).expect(0);
    verb(&project, "run", &name, &[]).expect(0);
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(total(&project, &name), "6\n");
}

#[test]
fn a_task_that_goes_takes_its_outputs_along() {
    let (project, name) = complete();
    verb(&project, "dev", &name, &[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml#copy");
    let said = verb(&project, "pipeline", &name, &["--pipeline", pipeline.as_str()]).expect(0);
    assert!(said.text().contains("total changed, 1 quantum reset"), "{}", said.text());
    verb(&project, "build", &name, &[]).expect(0);
    verb(&project, "commit", &name, &[]).expect(0);
    assert_eq!(datasets(&project, &["copy", "--collections", &name]).len(), 3);
    assert_eq!(outputs(&project, "total"), 0);
}

#[test]
fn a_workspace_is_created_in_development_mode() {
    let project = toy_with(&["a"], COPY);
    project.run(&[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let runs = project.pantler(&["query", "datasets", "number", "--json"]).expect(0).json();
    let input = runs[0]["run"].as_str().unwrap().to_owned();
    let create =
        ["workspace", "create", "trial", "--pipeline", pipeline.as_str(), "-i", &input, "--dev"];
    project.pantler(&create).expect(0);
    let status = verb(&project, "status", "trial", &["--json"]).expect(0).json();
    assert_eq!(status["development"], true);
    // A pipeline with a fault changes nothing.
    project.write("bad.yaml", "version: 1\ntasks: 3\n");
    let bad = project.path().join("bad.yaml");
    let refused = verb(&project, "pipeline", "trial", &["--pipeline", bad.as_str()]);
    assert_eq!(refused.code(), Some(1), "{}", refused.stderr);
    verb(&project, "build", "trial", &[]).expect(0);
    verb(&project, "revert", "trial", &[]).expect(0);
    let ledger = ["workspace", "create", "x", "--ledger", "--dev"];
    assert_eq!(project.pantler(&ledger).code(), Some(2));
}

#[test]
fn a_replacement_that_is_killed_is_done_by_the_same_call() {
    let (project, name) = complete();
    verb(&project, "dev", &name, &[]).expect(0);
    let changed = write_changed(&project);
    let log = project.path().join("steps.log");
    let args = ["workspace", "pipeline", &name, "--pipeline", &changed];
    let armed = |project: &Project, variable: &str, value: &str| {
        let mut command = project.program().command(&args);
        command.args(["--repo", project.repo().as_str()]).env(variable, value);
        Ran::of(command)
    };
    armed(&project.duplicate(), "PANTLER_CRASH_LOG", log.as_str()).expect(0);
    let steps = std::fs::read_to_string(&log).unwrap();
    for step in ["exec.transition.appended", "development.graph.drop", "development.replaced"] {
        assert!(steps.contains(step), "{steps}");
    }
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for step in steps.lines() {
        let n = seen.entry(step).or_default();
        *n += 1;
        let at = format!("{step}:{n}");
        let copy = project.duplicate();
        let ran = armed(&copy, "PANTLER_CRASH", &at);
        assert_eq!(ran.status.signal(), Some(9), "{at}: {}{}", ran.text(), ran.stderr);
        copy.check();
        // As it stands it can be built, of the one pipeline or the other, and committed.
        let other = copy.duplicate();
        verb(&other, "build", &name, &[]).expect(0);
        verb(&other, "run", &name, &[]).expect(0);
        verb(&other, "commit", &name, &[]).expect(0);
        let total_of = total(&other, &name);
        let is_new = step == "development.replaced";
        assert!(is_new || total_of == "6\n" || total_of == "106\n", "{at}: {total_of}");
        assert!(!is_new || total_of == "106\n", "{at}: {total_of}");

        copy.pantler(&args).expect(0);
        verb(&copy, "build", &name, &[]).expect(0);
        verb(&copy, "run", &name, &[]).expect(0);
        verb(&copy, "commit", &name, &[]).expect(0);
        assert_eq!(total(&copy, &name), "106\n", "{at}");
    }
}

#[test]
fn a_damaged_note_is_named_and_a_revert_needs_none() {
    let (project, name) = complete();
    verb(&project, "dev", &name, &[]).expect(0);
    let status = verb(&project, "status", &name, &["--json"]).expect(0).json();
    let note = format!("{}/development.json", status["root"].as_str().unwrap());
    for (text, says) in [
        ("{\"version\": 1, \"pipe", "development.json is damaged: "),
        ("{\"version\": 9}", "development.json has version 9, but this program reads version 1"),
    ] {
        std::fs::write(&note, text).unwrap();
        let ran = verb(&project, "run", &name, &[]).expect(1);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    verb(&project, "revert", &name, &[]).expect(0);
}

#[test]
fn entering_the_mode_is_done_or_not_when_killed() {
    let (project, name) = complete();
    let mut command = project.program().command(&["workspace", "dev", &name, "--repo"]);
    command.arg(project.repo().as_str()).env("PANTLER_CRASH", "development.enter:1");
    assert_eq!(Ran::of(command).status.signal(), Some(9));
    let status = verb(&project, "status", &name, &["--json"]).expect(0).json();
    assert_eq!(status["development"], false);
    verb(&project, "dev", &name, &[]).expect(0);
    verb(&project, "commit", &name, &[]).expect(0);
}
