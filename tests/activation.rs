//! Init steps: what tasks need and make once, before any of their quanta.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt as _,
    process::Command,
};

use pantler::{
    core::TaskLabel,
    direct::SystemClock,
    exec::{NoObserver, QuantumContext, Selection, StopFlag, TaskRegistry},
    graph::Pipeline,
    workspace::{
        BuildRequest, RunOptions, WorkspaceClient, WorkspaceError, build, prepare_activation,
    },
};
use pantler_testkit::{Project, Ran};
use serde_json::{Value, json};

use crate::{
    library::{butler, collection},
    source_root,
    toy::{Gate, datasets, killed_at, open_names, path_of, toy_with, until},
};

const PIPELINE: &str = "\
version: 1
config: {unit: m}
tasks:
  copy:
    dimensions: [item]
    config: {factor: 2}
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    init_outputs: {settings: {type: settings, storage_class: Json}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{inputs.settings}\", \"{inputs.number}\", \"{outputs.copy}\"]
  total:
    dimensions: []
    env: {UNIT: \"{config.unit}\", OUT: \"{outputs.total}\"}
    init_inputs: {settings: settings}
    init_outputs: {header: {type: header, storage_class: Text}}
    init_command: [sh, \"{pipeline_dir}/header.sh\", \"{pipeline_dir}\", \"{inputs.settings}\", \"{outputs.header}\"]
    inputs: {copies: {type: copy, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/total.sh\", \"{inputs.header}\", \"{inputs.settings}\", \"{inputs.copies}\"]
";

/// Multiplies by the factor in the settings.
const COPY: &str = "\
factor=$(sed -n 's/.*\"factor\": *\\([0-9]*\\).*/\\1/p' \"$1\")\n\
awk -v factor=\"$factor\" '{ print $1 * factor }' \"$2\" > \"$3\"\n";
const HEADER: &str = "\
echo \"a header\"\ntest ! -e \"$1/broken\" || exit 3\ntest -s \"$2\" || exit 4\n\
echo \"sum in ${UNIT}${OUT}\" > \"$3\"\n";
const TOTAL: &str = "\
header=$1\nshift 2\n{ cat \"$header\"; awk '{ sum += $1 } END { print sum }' \"$@\"; } > \"$OUT\"\n";

const NAME: &str = "toy/trial";

/// Two numbers, ingested into `raw`; nothing is open.
fn ingested() -> Project {
    ingested_with(PIPELINE)
}

fn ingested_with(pipeline: &str) -> Project {
    let project = project(pipeline);
    let universe = project.path().join("universe.yaml");
    let repo = project.repo();
    let init = ["init", repo.as_str(), "--universe", universe.as_str()];
    project.program().run(&init).expect(0);
    let pattern = format!("{}/data/{{item}}.txt", project.path());
    let ingest =
        ["ingest", "--type", "number", "--run", "raw", "--register", "--dimensions", "item"];
    project.pantler(&[&ingest[..], &["--storage-class", "Text", &pattern]].concat()).expect(0);
    project
}

fn project(pipeline: &str) -> Project {
    let project = toy_with(&["a", "b"], COPY);
    project.write("pipeline.yaml", pipeline);
    project.write("header.sh", HEADER);
    project.write("total.sh", TOTAL);
    project
}

fn create(project: &Project, args: &[&str]) -> Ran {
    let pipeline = project.path().join("pipeline.yaml");
    let create = ["workspace", "create", NAME, "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&[&create, args].concat())
}

/// The same with an open workspace.
fn opened() -> Project {
    let project = ingested();
    create(&project, &["--chain", "toy"]).expect(0);
    project
}

fn verb(project: &Project, verb: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, NAME], args].concat())
}

fn finish(project: &Project) {
    for step in ["build", "run", "commit"] {
        verb(project, step, &[]).expect(0);
    }
}

fn get(project: &Project, dataset_type: &str) -> String {
    project.pantler(&["get", dataset_type, "--collections", NAME]).expect(0).text()
}

fn total(project: &Project) -> String {
    get(project, "total")
}

/// The tasks that have init steps, and where these stand.
fn steps(project: &Project) -> BTreeMap<String, String> {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    let steps = status["init_steps"].as_array().unwrap().iter();
    let line = |one: &Value| {
        assert_eq!(one["active"] == true, one["status"] == "succeeded");
        let status = one["status"].as_str().unwrap_or("not built");
        (one["task"].as_str().unwrap().to_owned(), status.to_owned())
    };
    steps.map(line).collect()
}

fn quanta(project: &Project) -> BTreeMap<String, u64> {
    let shown = project.pantler(&["graph", "show", NAME, "--json"]).expect(0).json();
    let tasks = shown["tasks"].as_array().unwrap().iter();
    let count =
        |one: &Value| (one["task"].as_str().unwrap().to_owned(), one["quanta"].as_u64().unwrap());
    tasks.map(count).filter(|(_, quanta)| *quanta > 0).collect()
}

fn map<V: Copy>(of: &[(&str, V)]) -> BTreeMap<String, V> {
    of.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

fn stands(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_documented_pipeline_is_read() {
    let docs = std::fs::read_to_string(source_root().join("docs/activation.md")).unwrap();
    let (_, text) = docs.split_once("```yaml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let pipeline = Pipeline::from_yaml(text, "docs/pipeline.yaml".into()).unwrap();
    let labels: Vec<&str> = pipeline.tasks().keys().map(TaskLabel::as_str).collect();
    assert_eq!(labels, ["detect", "detect_init", "join", "join_init"]);
}

#[test]
fn tasks_are_activated_before_they_are_built() {
    let project = opened();
    assert_eq!(steps(&project), stands(&[("copy", "not built"), ("total", "not built")]));
    let status = verb(&project, "status", &[]).expect(0).text();
    assert!(status.contains("active: none; not active: copy, total"), "{status}");

    let said = verb(&project, "activate", &[]).expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    assert!(said.contains(&format!("next: pantler workspace build {NAME}")), "{said}");
    assert_eq!(steps(&project), stands(&[("copy", "succeeded"), ("total", "succeeded")]));
    assert_eq!(quanta(&project), map(&[("copy_init", 1), ("total_init", 1)]));
    let status = verb(&project, "status", &[]).expect(0).text();
    assert!(status.contains("active: copy, total\n"), "{status}");
    assert!(status.contains(&format!("next: pantler workspace build {NAME}")), "{status}");
    let before = project.picture();
    let said = verb(&project, "activate", &[]).expect(0).text();
    assert!(said.contains("active before: 2 init steps, nothing to do"), "{said}");
    before.assert_same(&project.picture(), "after it was activated again");
    let refused = verb(&project, "commit", &[]).expect(3);
    assert!(refused.stderr.contains("only init steps are built"), "{}", refused.stderr);
    let next = format!("next: pantler workspace build {NAME}");
    assert!(refused.stderr.contains(&next), "{}", refused.stderr);

    finish(&project);
    let settings: Value = serde_json::from_str(&get(&project, "settings")).unwrap();
    assert_eq!(settings, json!({"factor": 2, "unit": "m"}));
    assert_eq!(get(&project, "header"), "sum in m\n");
    assert_eq!(total(&project), "sum in m\n6\n");
    let log = project.pantler(&["get", "total_init_log", "--collections", NAME]).expect(0).text();
    assert_eq!(log, "a header\n");
    let found = |expression: &str| {
        let args = ["query", "provenance", expression, "--collections", NAME, "--json"];
        let mut found = project.pantler(&args).expect(0).json();
        let quanta = std::mem::take(found["quanta"].as_array_mut().unwrap());
        let mut names: Vec<String> =
            quanta.iter().map(|one| one["task"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(found("..total & quanta"), ["copy", "copy", "copy_init", "total", "total_init"]);
    assert_eq!(found("settings.. & *_init"), ["total_init"]);
}

#[test]
fn a_build_activates_the_tasks_that_it_is_about() {
    let project = opened();
    let said = verb(&project, "build", &["--task", "copy"]).expect(0).text();
    assert!(said.contains("active: 1 init step\n"), "{said}");
    assert_eq!(steps(&project), stands(&[("copy", "succeeded"), ("total", "not built")]));
    assert_eq!(quanta(&project), map(&[("copy_init", 1), ("copy", 2)]));
    let said = verb(&project, "build", &[]).expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    assert_eq!(steps(&project), stands(&[("copy", "succeeded"), ("total", "succeeded")]));
    let again = verb(&project, "build", &[]).expect(0).text();
    assert!(!again.contains("active"), "{again}");
    finish(&project);
    assert_eq!(total(&project), "sum in m\n6\n");
}

#[test]
fn a_run_from_files_to_run_does_it_as_well() {
    let project = project(PIPELINE);
    let said = project.run(&["--dry-run"]).expect(0).text();
    assert!(said.contains("would run 5 quanta"), "{said}");
    project.write("broken", "");
    let failed = project.run(&[]).expect(3);
    let said = failed.text();
    assert!(said.contains("failed: total_init {}"), "{said}");
    assert!(said.contains("| a header"), "{said}");
    assert!(said.contains("(tries again what failed)"), "{said}");
    let name = open_names(&project, "workspace").remove(0);
    std::fs::remove_file(project.path().join("broken")).unwrap();
    project.run(&[]).expect(0);
    assert!(open_names(&project, "workspace").is_empty());
    let text = project.pantler(&["get", "total", "--collections", &name]).expect(0).text();
    assert_eq!(text, "sum in m\n6\n", "the same workspace was gone on with");
    // What is the same is taken over, init steps included.
    let ran = project.run(&["--reuse", "toy"]).expect(0);
    let said = format!("{}{}", ran.text(), ran.stderr);
    assert!(said.contains("3 quanta did not run: outputs of earlier RUNs were taken"), "{said}");
    let settings = datasets(&project, &["settings"]);
    assert_eq!(settings.len(), 2, "each RUN has its own");
    let newest = settings.iter().find(|one| one["run"] != name.as_str()).unwrap();
    let run = newest["run"].as_str().unwrap();
    let args = ["query", "provenance", "copy_init", "--collections", run, "--json"];
    let found = project.pantler(&args).expect(0).json();
    assert_eq!(found["quanta"][0]["taken_over"]["run"], name.as_str(), "{found}");
}

#[test]
fn an_init_step_that_fails_keeps_its_task_from_being_built() {
    let project = opened();
    project.write("broken", "");
    let failed = verb(&project, "activate", &[]).expect(3).text();
    assert!(failed.contains("failed: total_init {} (attempt 1)"), "{failed}");
    assert!(failed.contains("not activated"), "{failed}");
    assert!(failed.contains(&format!("next: pantler workspace activate {NAME}")), "{failed}");
    assert_eq!(steps(&project), stands(&[("copy", "succeeded"), ("total", "failed")]));
    let status = verb(&project, "status", &[]).expect(0).text();
    assert!(status.contains("active: copy; not active: total (failed)"), "{status}");
    let failed = verb(&project, "build", &[]).expect(3).text();
    assert!(failed.contains("failed: total_init {} (attempt 2)"), "{failed}");
    assert_eq!(quanta(&project), map(&[("copy_init", 1), ("total_init", 1)]));
    // The task that is active can go on.
    verb(&project, "build", &["--task", "copy"]).expect(0);
    verb(&project, "run", &["--task", "copy"]).expect(0);
    std::fs::remove_file(project.path().join("broken")).unwrap();
    verb(&project, "activate", &["total"]).expect(0);
    finish(&project);
    assert_eq!(total(&project), "sum in m\n6\n");
}

#[test]
fn what_an_init_step_lacks_is_named() {
    let project = opened();
    let refused = verb(&project, "activate", &["total"]).expect(1);
    let says = "task `total` cannot be activated: its init-input `settings` is a `settings`, \
                which the init step of task `copy` makes, and that is not active";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    let next = format!("next: pantler workspace activate {NAME} copy ");
    assert!(refused.stderr.contains(&next), "{}", refused.stderr);
    let refused = verb(&project, "activate", &["tottal"]).expect(1);
    assert!(refused.stderr.contains("there is no task `tottal`"), "{}", refused.stderr);
    assert_eq!(steps(&project), stands(&[("copy", "not built"), ("total", "not built")]));
    verb(&project, "activate", &["copy"]).expect(0);
    verb(&project, "activate", &["total"]).expect(0);
    verb(&project, "revert", &[]).expect(0);

    // One that is registered, and that no input collection has.
    let only = PIPELINE
        .replace("    init_outputs: {settings: {type: settings, storage_class: Json}}\n", "");
    let only = only.replace(
        "\"{inputs.settings}\", \"{inputs.number}\"",
        "\"{inputs.number}\", \"{inputs.number}\"",
    );
    project.write("pipeline.yaml", only);
    let refused = create(&project, &[]).expect(1);
    assert!(refused.stderr.contains("no task makes `settings`"), "{}", refused.stderr);
    let register = ["dataset-type", "register", "settings", "--storage-class", "Json"];
    project.pantler(&register).expect(0);
    create(&project, &[]).expect(0);
    let refused = verb(&project, "build", &[]).expect(1);
    let says = "task `total` cannot be activated: its init-input `settings` is a `settings`, \
                and the input collections have none";
    assert!(refused.stderr.contains(says), "{}", refused.stderr);
    verb(&project, "revert", &[]).expect(0);
    // With one in an input collection.
    project.write("settings.json", "{\"factor\": 3}\n");
    let file = project.path().join("settings.json");
    project.pantler(&["put", file.as_str(), "settings", "--run", "raw"]).expect(0);
    create(&project, &[]).expect(0);
    verb(&project, "activate", &[]).expect(0);
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn closing_drops_what_was_made() {
    for closing in ["revert", "abandon"] {
        let project = opened();
        let before = project.picture();
        verb(&project, "activate", &[]).expect(0);
        let made = project.picture().files;
        assert!(made.keys().any(|file| file.contains("/settings/")), "{made:?}");
        verb(&project, closing, &[]).expect(0);
        let after = project.picture().files;
        assert!(!after.keys().any(|file| file.contains("trial")), "{after:?}");
        assert!(before.files.keys().any(|file| file.contains("trial")));
    }
}

#[test]
fn a_changed_configuration_is_made_again_in_development_mode() {
    let project = opened();
    for step in ["build", "run"] {
        verb(&project, step, &[]).expect(0);
    }
    verb(&project, "dev", &[]).expect(0);
    let pipeline = project.path().join("pipeline.yaml");
    let set = ["--pipeline", pipeline.as_str(), "--set", "copy:factor=5"];
    let refused = verb(&project, "pipeline", &set).expect(1);
    assert!(refused.stderr.contains("has changed, and quanta of total"), "{}", refused.stderr);
    for task in ["total", "total_init"] {
        verb(&project, "reset", &["--task", task]).expect(0);
    }
    let said = verb(&project, "pipeline", &set).expect(0).text();
    assert!(said.contains("copy, copy_init changed, 3 quanta reset"), "{said}");
    let said = verb(&project, "build", &[]).expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    for step in ["run", "commit"] {
        verb(&project, step, &[]).expect(0);
    }
    assert_eq!(total(&project), "sum in m\n15\n");
    let settings: Value = serde_json::from_str(&get(&project, "settings")).unwrap();
    assert_eq!(settings["factor"], 5);
}

#[test]
fn what_was_made_from_an_init_step_goes_with_it() {
    let project = opened();
    for step in ["build", "run"] {
        verb(&project, step, &[]).expect(0);
    }
    verb(&project, "reset", &["--task", "copy_init"]).expect(0);
    assert_eq!(steps(&project), stands(&[("copy", "built"), ("total", "built")]));
    let status = verb(&project, "status", &["--json"]).expect(0).json();
    assert_eq!(status["complete"], false);
    // A run makes it again, and then the rest: quanta wait for the init steps of their tasks.
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &[]).expect(0);
    assert_eq!(total(&project), "sum in m\n6\n");
}

#[test]
fn a_program_of_ones_own_is_told_to_activate_first() {
    let project = opened();
    let butler = butler(&project);
    let name = collection(NAME);
    let client = WorkspaceClient::find(&project.repo(), &name).unwrap().unwrap();
    let request = |task: &str| BuildRequest {
        tasks: [TaskLabel::new(task).unwrap()].into(),
        ..BuildRequest::default()
    };
    for request in [BuildRequest::default(), request("copy")] {
        let error = build(&butler, &client, &request).unwrap_err();
        let says =
            "task `copy` of workspace toy/trial is not active: its init step has not succeeded";
        assert_eq!(error.to_string(), says);
    }
    assert!(client.graph_if_built().unwrap().is_none(), "nothing was written");
    // Only built, its init step does not make it active.
    assert_eq!(prepare_activation(&butler, &client, &BTreeSet::new()).unwrap().pending(), 2);
    let error = build(&butler, &client, &request("copy")).unwrap_err();
    assert!(matches!(error, WorkspaceError::NotActive { .. }), "{error}");
    drop(butler);
    verb(&project, "revert", &[]).expect(0);
}

#[test]
fn rust_tasks_have_init_steps() {
    let project = ingested_with(
        "\
version: 1
tasks:
  copy:
    dimensions: [item]
    config: {factor: 2}
    inputs: {number: number}
    outputs: {copy: {type: copy, storage_class: Text}}
    init_outputs:
      settings: {type: settings, storage_class: Json}
      header: {type: header, storage_class: Text}
    init_task: prepare
    task: copy
",
    );
    create(&project, &[]).expect(0);
    let mut tasks = TaskRegistry::new();
    tasks.register_fn("prepare", |quantum: &mut QuantumContext<'_>| {
        let factor = quantum.config("factor").map(ToString::to_string).unwrap_or_default();
        quantum.write("settings", format!("{{\"times\": {factor}}}").as_bytes())?;
        quantum.write("header", b"made once\n")?;
        Ok(())
    });
    tasks.register_fn("copy", |quantum: &mut QuantumContext<'_>| {
        let text = [quantum.read("header")?, quantum.read("settings")?, quantum.read("number")?];
        quantum.write("copy", &text.concat())?;
        Ok(())
    });
    let environment = pantler::exec::Environment {
        path: String::new(),
        home: String::new(),
        variables: BTreeMap::new(),
        pipeline_dir: project.path(),
        pantler: project.program().path().to_owned(),
    };
    let (selection, stop) = (Selection::default(), StopFlag::new());
    let options = RunOptions {
        selection: &selection,
        jobs: None,
        tasks: &tasks,
        environment: &environment,
        stop: &stop,
        clock: &SystemClock,
    };
    let butler = butler(&project);
    let client = WorkspaceClient::find(&project.repo(), &collection(NAME)).unwrap().unwrap();
    let activation = prepare_activation(&butler, &client, &BTreeSet::new()).unwrap();
    let ran = client.activate(&activation, &options, &mut NoObserver).unwrap().unwrap();
    assert!(ran.is_done(), "{ran:?}");
    let again = prepare_activation(&butler, &client, &BTreeSet::new()).unwrap();
    assert!(client.activate(&again, &options, &mut NoObserver).unwrap().is_none());
    let graph = build(&butler, &client, &BuildRequest::default()).unwrap().graph;
    assert!(client.run(&graph, &options, &mut NoObserver).unwrap().is_complete());
    drop(butler);
    verb(&project, "commit", &["--take-over"]).expect(0);
    assert_eq!(get(&project, "settings"), "{\"times\": 2}");
    let copy = ["get", "copy", "item=b", "--collections", NAME];
    let text = project.pantler(&copy).expect(0).text();
    assert_eq!(text, "made once\n{\"times\": 2}2\n");
}

/// The steps of a command.
fn log_of(project: &Project, args: &[&str]) -> Vec<String> {
    let mut command = project.program().command(args);
    command.args(["--repo", project.repo().as_str()]);
    logged(project, command)
}

fn logged(project: &Project, mut command: Command) -> Vec<String> {
    let log = project.path().join("steps.log");
    command.env("PANTLER_CRASH_LOG", &log);
    Ran::of(command).expect(0);
    let steps = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    steps.lines().map(str::to_owned).collect()
}

/// A copy in which the command was killed, at each of its steps.
fn killed_everywhere(project: &Project, args: &[&str], mut then: impl FnMut(Project, &str)) {
    let mut seen = BTreeMap::<String, u32>::new();
    for step in log_of(&project.duplicate(), args) {
        let n = seen.entry(step.clone()).or_default();
        *n += 1;
        let at = format!("{step}:{n}");
        let copy = project.duplicate();
        let mut command = copy.program().command(args);
        command.args(["--repo", copy.repo().as_str()]).env("PANTLER_CRASH", &at);
        let ran = Ran::of(command);
        assert_eq!(ran.status.signal(), Some(9), "{at}: {}{}", ran.text(), ran.stderr);
        copy.check();
        then(copy, &at);
    }
}

#[test]
fn an_activation_that_is_killed_is_done_by_the_same_call() {
    let project = opened();
    let mut at_run = 0;
    killed_everywhere(&project, &["workspace", "activate", NAME, "-j1"], |copy, at| {
        at_run += usize::from(at.starts_with("exec."));
        let other = copy.duplicate();
        verb(&copy, "activate", &[]).expect(0);
        assert_eq!(steps(&copy), stands(&[("copy", "succeeded"), ("total", "succeeded")]), "{at}");
        finish(&copy);
        assert_eq!(total(&copy), "sum in m\n6\n", "{at}");
        let closing = if at_run % 2 == 0 { "revert" } else { "abandon" };
        verb(&other, closing, &[]).expect(0);
    });
    assert!(at_run > 10, "{at_run}");
}

const SHARDED: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    config: {factor: 2}
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    init_outputs: {settings: {type: settings, storage_class: Json}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{inputs.settings}\", \"{inputs.number}\", \"{outputs.copy}\"]
  again:
    dimensions: [item]
    init_inputs: {settings: settings}
    init_outputs: {header: {type: header, storage_class: Text}}
    init_command: [cp, \"{inputs.settings}\", \"{outputs.header}\"]
    inputs: {copy: {type: copy}}
    outputs: {again: {type: again, storage_class: Text}}
    command: [cp, \"{inputs.copy}\", \"{outputs.again}\"]
";

/// A workspace of one shard an item, the first of which has run.
fn sharded() -> Project {
    let project = ingested_with(SHARDED);
    create(&project, &["--shard-by", "item", "--chain", "toy"]).expect(0);
    verb(&project, "build", &["--shard", "item=a"]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    project
}

fn shards(project: &Project) -> Vec<String> {
    let status = verb(project, "status", &["--json"]).expect(0).json();
    let shards = status["shards"].as_array().unwrap().iter();
    let line = |one: &Value| format!("{} {}", one["shard"]["item"], one["state"]);
    shards.map(|one| line(one).replace('"', "")).collect()
}

fn there(project: &Project, dataset_type: &str) -> usize {
    // A dataset type that is not registered yet is no error then.
    let all = datasets(project, &["--collections", NAME]);
    all.iter().filter(|one| one["dataset_type"] == dataset_type).count()
}

#[test]
fn init_outputs_enter_with_the_first_shard() {
    let project = sharded();
    assert_eq!(steps(&project), stands(&[("again", "succeeded"), ("copy", "succeeded")]));
    assert_eq!(shards(&project), ["a open"]);
    assert_eq!((there(&project, "settings"), there(&project, "again")), (0, 0));
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    let types = ["settings", "header", "again"];
    assert_eq!(types.map(|one| there(&project, one)), [1, 1, 1]);
    project.check();
    assert_eq!(shards(&project), ["a committed"]);
    let none = verb(&project, "reset", &["--task", "copy_init"]).expect(0).text();
    let why = "nothing to do: no quantum changes\nnot changed, since committed or about to be: the init steps\n";
    assert!(none.starts_with(why), "{none}");
    let none = verb(&project, "reset", &["--task", "copy", "--json"]).expect(0).json();
    assert_eq!(none["frozen"], json!([{"item": "a"}]), "{none}");
    let refused = verb(&project, "revert", &[]).expect(4);
    assert!(refused.stderr.contains("1 of its shards are committed"), "{}", refused.stderr);

    verb(&project, "build", &["--shard", "item=b"]).expect(0);
    verb(&project, "run", &["--shard", "item=b"]).expect(0);
    let abandoned = project.duplicate();
    verb(&project, "commit", &["--shard", "item=b"]).expect(0);
    assert_eq!(types.map(|one| there(&project, one)), [1, 1, 2]);
    verb(&project, "commit", &[]).expect(0);
    let args = ["query", "provenance", "..again & *_init", "--collections", NAME, "--json"];
    let found = project.pantler(&args).expect(0).json();
    assert_eq!(found["quanta"].as_array().unwrap().len(), 2);

    verb(&abandoned, "abandon", &[]).expect(0);
    assert_eq!(types.map(|one| there(&abandoned, one)), [1, 1, 1], "what is committed stays");
}

#[test]
fn the_first_shard_is_refused_without_init_outputs() {
    let project = sharded();
    verb(&project, "poison", &["--task", "again_init"]).expect(0);
    for args in [&["--shard", "item=a"][..], &["--shard", "item=a", "--partial"]] {
        let refused = verb(&project, "commit", args).expect(1);
        assert!(
            refused.stderr.contains("`again` of workspace toy/trial is not active"),
            "{}",
            refused.stderr
        );
        assert_eq!(shards(&project), ["a open"]);
    }
    // Nothing is frozen after it.
    verb(&project, "reset", &["--task", "again_init"]).expect(0);
    verb(&project, "run", &[]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    assert_eq!((there(&project, "settings"), there(&project, "again")), (1, 1));
    verb(&project, "commit", &[]).expect(0);
}

#[test]
fn a_first_shard_that_is_killed_is_finished() {
    let project = sharded();
    killed_everywhere(&project, &["workspace", "commit", NAME, "--shard", "item=a"], |copy, at| {
        let counts = (there(&copy, "settings"), there(&copy, "again"));
        assert!(counts == (0, 0) || counts == (1, 1), "{at}: all or nothing: {counts:?}");
        let other = copy.duplicate();
        verb(&copy, "commit", &["--shard", "item=a"]).expect(0);
        verb(&copy, "build", &[]).expect(0);
        verb(&copy, "run", &[]).expect(0);
        verb(&copy, "commit", &[]).expect(0);
        assert_eq!((there(&copy, "settings"), there(&copy, "again")), (1, 2), "{at}");
        verb(&other, "abandon", &[]).expect(0);
        if counts == (0, 0) {
            let files = other.picture().files;
            assert!(!files.keys().any(|file| file.contains("trial")), "{at}: {files:?}");
        } else {
            assert_eq!((there(&other, "settings"), there(&other, "again")), counts, "{at}");
        }
    });
}

#[test]
fn builds_at_the_same_time_run_an_init_step_once() {
    let project = ingested();
    project.write(
        "header.sh",
        "echo begun >> \"$1/begun\"\nread line < \"$1/gate\"\necho header > \"$3\"\n",
    );
    let gate = Gate::at(&project.path().join("gate"));
    create(&project, &[]).expect(0);
    let repo = project.repo();
    let args = ["workspace", "build", NAME, "--repo", repo.as_str()];
    let first = project.program().start(&args);
    until("the init step runs", || project.path().join("begun").exists());
    let others: Vec<_> = (0..3).map(|_| project.program().start(&args)).collect();
    // The others come to their runs, and find that the first is at it.
    let status = || verb(&project, "status", &["--json"]).expect(0).json();
    until("all are there", || {
        status()["runners"].as_array().unwrap().iter().filter(|one| one["state"] == "live").count()
            == 4
    });
    gate.open(1);
    for child in std::iter::once(first).chain(others) {
        Ran::finish(child).expect(0);
    }
    assert_eq!(project.read("begun"), "begun\n");
    assert_eq!(
        quanta(&project),
        map(&[("copy_init", 1), ("copy", 2), ("total_init", 1), ("total", 1)])
    );
    finish(&project);
    assert_eq!(total(&project), "header\n6\n");
}

/// A run of everything, killed while it activates.
#[test]
fn a_run_that_is_killed_while_it_activates_goes_on() {
    let project = project(PIPELINE);
    project.run(&["--dry-run"]).expect(0);
    let calm = project.duplicate();
    let path = calm.path();
    let steps = logged(&calm, calm.program().command(&["run", path.as_str(), "-j1"]));
    let builds = steps.iter().enumerate().filter(|(_, step)| *step == "build.graph.write");
    let [first, second] = builds.map(|(n, _)| n).collect::<Vec<_>>()[..] else {
        panic!("{steps:?}")
    };
    assert!(second - first > 15, "{steps:?}");
    for n in first..=second {
        let step = &steps[n];
        let at = format!("{step}:{}", steps[..=n].iter().filter(|one| *one == step).count());
        let copy = project.duplicate();
        let path = copy.path();
        let mut command = copy.program().command(&["run", path.as_str(), "-j1"]);
        command.env("PANTLER_CRASH", &at);
        let ran = Ran::of(command);
        assert_eq!(ran.status.signal(), Some(9), "{at}: {}{}", ran.text(), ran.stderr);
        copy.check();
        let name = open_names(&copy, "workspace").remove(0);
        copy.run(&[]).expect(0);
        let text = copy.pantler(&["get", "total", "--collections", &name]).expect(0).text();
        assert_eq!(text, "sum in m\n6\n", "{at}");
    }
}

#[test]
fn an_external_workspace_is_activated() {
    let project = ingested();
    let outside = project.path().join("outside");
    create(&project, &["--chain", "toy", "--external", outside.as_str()]).expect(0);
    let of = |verb: &str| project.program().run(&["workspace", verb, outside.as_str()]);
    let said = of("activate").expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    for step in ["build", "transfer-inputs", "run", "commit"] {
        of(step).expect(0);
    }
    assert_eq!(total(&project), "sum in m\n6\n");
    assert_eq!(there(&project, "settings"), 1);
}

/// Frozen before they have succeeded, init steps could not be run any more.
#[test]
fn a_first_shard_waits_for_the_init_steps() {
    let project = sharded();
    verb(&project, "reset", &["--task", "copy_init"]).expect(0);
    let refused = verb(&project, "commit", &["--shard", "item=a"]).expect(1);
    assert!(refused.stderr.contains(&format!("workspace activate {NAME}")), "{}", refused.stderr);
    verb(&project, "activate", &[]).expect(0);
    verb(&project, "run", &["--shard", "item=a"]).expect(0);
    verb(&project, "commit", &["--shard", "item=a"]).expect(0);
    verb(&project, "abandon", &[]).expect(0);
}

#[test]
fn an_external_workspace_of_init_steps_only_is_not_closed() {
    let project = ingested();
    let outside = project.path().join("outside");
    create(&project, &["--external", outside.as_str()]).expect(0);
    let of = |verb: &[&str]| {
        project.program().run(&[&["workspace", verb[0], outside.as_str()], &verb[1..]].concat())
    };
    of(&["activate"]).expect(0);
    for closing in [&["convert"][..], &["commit"], &["commit", "--partial"]] {
        let refused = of(closing);
        assert_ne!(refused.code(), Some(0), "{closing:?}");
        assert!(refused.stderr.contains("only init steps are built"), "{}", refused.stderr);
        let next = format!("next: pantler workspace build {outside}");
        assert!(refused.stderr.contains(&next), "{}", refused.stderr);
    }
    of(&["build"]).expect(0);
    of(&["revert"]).expect(0);
}

/// Init steps are made anew where quanta are skipped, and the same command goes on.
#[test]
fn a_run_that_skips_makes_its_own_init_outputs_and_goes_on() {
    let project = ingested();
    let pipeline = project.path().join("pipeline.yaml");
    let run = ["run", pipeline.as_str(), "-i", "raw", "-o"];
    project.pantler(&[&run[..], &["first"]].concat()).expect(0);
    let made = datasets(&project, &["total", "--collections", "first"]);
    project.pantler(&["remove", made[0]["id"].as_str().unwrap()]).expect(0);
    let again = [&run[..], &["second", "--skip-existing-in", "first"]].concat();
    let script = project.read("total.sh");
    project.write("total.sh", "exit 3\n");
    project.pantler(&again).expect(3);
    project.write("total.sh", script);
    project.pantler(&again).expect(0);
    let count = |one: &str| datasets(&project, &[one, "--collections", "second"]).len();
    assert_eq!(["copy", "settings", "header", "total"].map(count), [0, 1, 1, 1]);
}

/// What was to happen has happened in between: as if it had not been begun.
#[test]
fn a_run_that_was_begun_ends_when_nothing_is_left() {
    let project = project(PIPELINE);
    project.run(&[]).expect(0);
    let made = datasets(&project, &["total"]).remove(0);
    let first = made["run"].as_str().unwrap();
    let file = project.path().join("made.txt");
    std::fs::copy(path_of(&made), &file).unwrap();
    project.pantler(&["remove", made["id"].as_str().unwrap()]).expect(0);
    let args = ["--skip-existing-in", first];
    // One of the two init steps succeeds, and nothing else is built.
    project.write("broken", "");
    project.run(&args).expect(3);
    let second = open_names(&project, "workspace").remove(0);
    std::fs::remove_file(project.path().join("broken")).unwrap();
    project.pantler(&["put", file.as_str(), "total", "--run", first]).expect(0);

    let calm = project.duplicate();
    let path = calm.path();
    let run = ["run", path.as_str(), "--skip-existing-in", first];
    let steps = logged(&calm, calm.program().command(&run));
    assert!(steps.len() > 5, "{steps:?}");
    for (n, step) in steps.iter().enumerate() {
        let at = format!("{step}:{}", steps[..=n].iter().filter(|one| *one == step).count());
        let copy = project.duplicate();
        killed_at(&copy, &at, &args);
        copy.check();
        let ran = copy.run(&args);
        if ran.code() != Some(0) {
            let says = format!("pantler workspace revert {second}");
            assert!(ran.stderr.contains(&says), "{at}: {}", ran.stderr);
            copy.pantler(&["workspace", "revert", &second]).expect(0);
            copy.run(&args).expect(0);
        }
        assert_eq!(open_names(&copy, "workspace"), [""; 0], "{at}");
    }
    let ran = project.run(&args).expect(0);
    let said = format!("{}{}", ran.text(), ran.stderr);
    let says = format!("{second} was begun and nothing is left to make in it: it is reverted");
    assert!(said.contains(&says), "{said}");
    assert!(said.contains("nothing is left to do: no RUN is made"), "{said}");
    let before = project.picture();
    project.run(&args).expect(0);
    before.assert_same(&project.picture(), "after nothing was left to do again");
    assert!(!project.pantler(&["query", "collections"]).expect(0).text().contains(&second));
}

/// What was made by another program than that of today is not passed off as its work.
#[test]
fn an_init_step_that_would_run_other_files_is_not_kept_in_silence() {
    // Its command names one file, and not the whole folder.
    let project = ingested_with(
        &PIPELINE.replace("\"{pipeline_dir}\", \"{inputs.settings}\"", "., \"{inputs.settings}\""),
    );
    create(&project, &["--chain", "toy"]).expect(0);
    verb(&project, "activate", &[]).expect(0);
    let script = project.read("header.sh");
    project.write("unrelated", "");
    project.write("header.sh", script.replace("sum in", "all in"));
    let before = project.picture();
    let refused = verb(&project, "activate", &[]).expect(1);
    for part in [
        "`total_init` succeeded with other files than those of today",
        "now: nothing has changed",
        &format!("next: pantler workspace reset {NAME} --task total_init"),
    ] {
        assert!(refused.stderr.contains(part), "{part:?} is not in {}", refused.stderr);
    }
    verb(&project, "activate", &["copy"]).expect(0);
    before.assert_same(&project.picture(), "after what was refused");
    // As it was, it is what it was.
    project.write("header.sh", &script);
    let said = verb(&project, "activate", &[]).expect(0).text();
    assert!(said.contains("active before: 2 init steps"), "{said}");

    project.write("header.sh", script.replace("sum in", "all in"));
    let kept = project.duplicate();
    let built = verb(&kept, "build", &[]).expect(0);
    assert!(built.stderr.contains("`total_init` succeeded with other files"), "{}", built.stderr);
    assert!(built.stderr.contains(&format!("workspace reset {NAME} --task total_init")));
    finish(&kept);
    assert_eq!(total(&kept), "sum in m\n6\n");

    verb(&project, "reset", &["--task", "total_init"]).expect(0);
    let said = verb(&project, "activate", &[]).expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    let built = verb(&project, "build", &[]).expect(0);
    assert!(!built.stderr.contains("other files"), "{}", built.stderr);
    finish(&project);
    assert_eq!(total(&project), "all in m\n6\n");
}

#[test]
fn a_run_says_that_an_init_step_was_made_by_other_files() {
    let project = project(
        &PIPELINE.replace("\"{pipeline_dir}\", \"{inputs.settings}\"", "., \"{inputs.settings}\""),
    );
    let total = project.read("total.sh");
    project.write("total.sh", "exit 3\n");
    project.run(&[]).expect(3);
    project.write("total.sh", total);
    project.write("header.sh", project.read("header.sh").replace("sum in", "all in"));
    let name = open_names(&project, "workspace").remove(0);
    let ran = project.run(&[]).expect(0);
    let says = format!(
        "`total_init` succeeded with other files than those of today; what was made is kept, unless it is reset (pantler workspace reset {name} --task total_init)"
    );
    assert!(ran.stderr.contains(&says), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_built_activates_nothing() {
    let project = opened();
    let before = project.picture();
    let refused = |args: &[&str], code: i32, says: &str| {
        let ran = verb(&project, "build", args).expect(code);
        assert!(ran.stderr.contains(says), "{says:?} is not in {}", ran.stderr);
        before.assert_same(&project.picture(), says);
    };
    refused(&["--skip-existing-in", NAME], 1, "the workspace makes toy/trial itself");
    refused(&["--skip-existing-in", "nowhere"], 1, "nowhere");
    refused(&["--task", "tottal"], 1, "there is no task `tottal`");
    let pipeline = project.path().join("pipeline.yaml");
    let other = ["workspace", "create", "other", "--pipeline", pipeline.as_str(), "-i", "raw"];
    project.pantler(&other).expect(0);
    let before = project.picture();
    let ran = verb(&project, "build", &["--skip-existing-in", "other"]).expect(1);
    assert!(ran.stderr.contains("pantler transaction show other"), "{}", ran.stderr);
    before.assert_same(&project.picture(), "after a RUN of another workspace was named");
    assert_eq!(steps(&project), stands(&[("copy", "not built"), ("total", "not built")]));
}
