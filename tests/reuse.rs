//! Quanta that take over what another RUN has made.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _};

use camino::Utf8PathBuf;
use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::{
    small_weather,
    toy::{Gate, datasets, killed_at, open_names, path_of, toy_with, until},
};

const COPY: &str = "echo \"copying $3\"\ncat \"$1\" > \"$2\"\n";

/// Names no folder, so that each script is of one task.
const PIPELINE: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
  total:
    dimensions: []
    inputs: {copies: {type: copy, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    config: {unit: m}
    command: [sh, \"{pipeline_dir}/sum.sh\", \"{outputs.total}\", \"{config.unit}\", \"{inputs.copies}\"]
";
const SUM: &str = "\
out=$1 unit=$2\nshift 2\nawk -v unit=\"$unit\" '{ sum += $1 } END { print sum, unit }' \"$@\" > \"$out\"\n";

const ALL: [&str; 4] = ["copy a", "copy b", "copy c", "total"];

/// Three numbers, not run yet.
fn project() -> Project {
    let project = toy_with(&["a", "b", "c"], COPY);
    project.write("pipeline.yaml", PIPELINE);
    project.write("sum.sh", SUM);
    project
}

/// All of it committed: the RUN.
fn committed() -> (Project, String) {
    let project = project();
    project.run(&[]).expect(0);
    let run = newest(&project, "toy");
    (project, run)
}

/// The RUN that a chain begins with.
fn newest(project: &Project, chain: &str) -> String {
    let shown = project.pantler(&["collection", "show", chain, "--json"]).expect(0).json();
    shown["children"][0].as_str().unwrap().to_owned()
}

fn quanta(project: &Project, run: &str) -> Vec<Value> {
    let args = ["query", "provenance", "quanta", "--collections", run, "--json"];
    let mut found = project.pantler(&args).expect(0).json();
    std::mem::take(found["quanta"].as_array_mut().unwrap())
}

fn name(quantum: &Value) -> String {
    let item = quantum["data_id"]["item"].as_str().unwrap_or("");
    format!("{} {item}", quantum["task"].as_str().unwrap()).trim_end().to_owned()
}

/// The quanta of a RUN that ran themselves.
fn ran_in(project: &Project, run: &str) -> Vec<String> {
    let quanta = quanta(project, run);
    let own = quanta.iter().filter(|quantum| quantum["taken_over"].is_null());
    let mut names: Vec<String> = own.map(name).collect();
    names.sort();
    names
}

/// The RUNs that those of a RUN were taken from which were.
fn taken_from(project: &Project, run: &str) -> BTreeMap<String, String> {
    let quanta = quanta(project, run);
    let from =
        |quantum: &Value| Some((name(quantum), quantum["taken_over"]["run"].as_str()?.to_owned()));
    quanta.iter().filter_map(from).collect()
}

/// Runs again with what RUNs of the chain have made; gives the new RUN.
fn again(project: &Project, args: &[&str]) -> String {
    project.run(&[&["--reuse", "toy"], args].concat()).expect(0);
    newest(project, "toy")
}

fn workspace(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

/// A workspace `trial` that reuses the chain, and is built.
fn built(project: &Project) {
    let pipeline = project.path().join("pipeline.yaml");
    let args = ["--pipeline", pipeline.as_str(), "-i", "toy/raw", "--reuse", "toy"];
    workspace(project, "create", "trial", &args).expect(0);
    let said = workspace(project, "build", "trial", &[]).expect(0).text();
    assert!(said.contains("4 quanta may be there already in earlier RUNs"), "{said}");
}

fn total(project: &Project, run: &str) -> String {
    project.pantler(&["get", "total", "--collections", run]).expect(0).text()
}

#[test]
fn a_second_run_takes_over_everything() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let first = newest(&project, "weather");
    let ran = project.run(&["--reuse", "weather"]).expect(0);
    let said = format!("{}{}", ran.text(), ran.stderr);
    assert!(said.contains("7 quanta may be there already in earlier RUNs"), "{said}");
    assert!(said.contains("7 quanta did not run: outputs of earlier RUNs were taken"), "{said}");
    let second = newest(&project, "weather");
    assert_ne!(first, second);
    assert_eq!(project.contents(&first), project.contents(&second));
    let from = quanta(&project, &first);
    for quantum in quanta(&project, &second) {
        let same = |other: &&Value| {
            (&other["task"], &other["data_id"]) == (&quantum["task"], &quantum["data_id"])
        };
        let source = from.iter().find(same).unwrap();
        let expected = serde_json::json!({"run": first, "quantum": source["id"]});
        assert_eq!(quantum["taken_over"], expected, "{quantum}");
        assert_ne!(quantum["id"], source["id"]);
    }
    let table = project.pantler(&["query", "provenance", "quanta", "--collections", &second]);
    let table = table.expect(0).text();
    assert!(table.contains(&format!("succeeded, taken over from {first}")), "{table}");
    // Each RUN has artifacts of its own: the second stays whole without the first.
    let before = project.contents(&second);
    project.pantler(&["collection", "chain", "weather", &second]).expect(0);
    project.pantler(&["remove-run", &first]).expect(0);
    assert_eq!(project.contents(&second), before);
    project.pantler(&["check", "--checksum"]).expect(0);
    // And what was taken over can be taken over.
    project.run(&["--reuse", "weather"]).expect(0);
    let third = newest(&project, "weather");
    assert!(ran_in(&project, &third).is_empty());
    assert!(taken_from(&project, &third).values().all(|run| *run == second));
}

#[test]
fn without_asking_everything_runs() {
    let (project, _) = committed();
    project.run(&[]).expect(0);
    assert_eq!(ran_in(&project, &newest(&project, "toy")), ALL);
}

#[test]
fn what_depends_on_a_change_runs() {
    let (project, first) = committed();
    // The script of one task.
    project.write("sum.sh", format!("# with units\n{SUM}"));
    let second = again(&project, &[]);
    assert_eq!(ran_in(&project, &second), ["total"]);
    // Configuration; and back to what an older RUN has made.
    let third = again(&project, &["--set", "total:unit=km"]);
    assert_eq!(ran_in(&project, &third), ["total"]);
    assert_eq!(total(&project, &third), "6 km\n");
    project.write("sum.sh", SUM);
    let fourth = again(&project, &[]);
    assert!(ran_in(&project, &fourth).is_empty());
    assert_eq!(taken_from(&project, &fourth)["total"], first);
    assert_eq!(total(&project, &fourth), "6 m\n");
    // Run anew upstream, with the same outcome.
    project.write("copy.sh", format!("# as before\n{COPY}"));
    let fifth = again(&project, &[]);
    assert_eq!(ran_in(&project, &fifth), ["copy a", "copy b", "copy c"]);
    // With another.
    project.write("copy.sh", COPY.replace("cat \"$1\"", "sed s/2/20/ \"$1\""));
    let sixth = again(&project, &[]);
    assert_eq!(ran_in(&project, &sixth), ALL);
    assert_eq!(total(&project, &sixth), "24 m\n");
    // Another input.
    project.write("data/d.txt", "4\n");
    let seventh = again(&project, &[]);
    assert_eq!(ran_in(&project, &seventh), ["copy d", "total"]);
    assert_eq!(total(&project, &seventh), "28 m\n");
    // What the pipeline says of a version.
    let versioned = PIPELINE.replace("    config: {unit", "    version: 2\n    config: {unit");
    project.write("pipeline.yaml", versioned);
    assert_eq!(ran_in(&project, &again(&project, &[])), ["total"]);
}

#[test]
fn what_is_rotten_or_gone_runs() {
    let (project, first) = committed();
    let copies = datasets(&project, &["copy", "--collections", &first]);
    let path = path_of(copies.iter().find(|row| row["data_id"]["item"] == "b").unwrap());
    let sound = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "7\n").unwrap();
    let second = again(&project, &[]);
    assert_eq!(ran_in(&project, &second), ["copy b"]);
    assert_eq!(total(&project, &second), "6 m\n");
    std::fs::write(&path, sound).unwrap();
    // Gone when it is looked up.
    project.pantler(&["collection", "chain", "toy", &second]).expect(0);
    let gone = &datasets(&project, &["total", "--collections", &second])[0];
    project.pantler(&["remove", gone["id"].as_str().unwrap()]).expect(0);
    let third = again(&project, &[]);
    assert_eq!(ran_in(&project, &third), ["total"]);
    // Gone between that and the run.
    project.pantler(&["collection", "chain", "toy", &third]).expect(0);
    built(&project);
    project.pantler(&["collection", "remove", "toy"]).expect(0);
    project.pantler(&["remove-run", &third]).expect(0);
    workspace(&project, "run", "trial", &[]).expect(0);
    workspace(&project, "commit", "trial", &[]).expect(0);
    assert_eq!(ran_in(&project, "trial"), ALL);
}

#[test]
fn what_failed_or_was_poisoned_is_not_taken_over() {
    let project = project();
    project.write("copy.sh", format!("test \"$3\" != b || exit 3\n{COPY}"));
    project.run(&[]).expect(3);
    let name = open_names(&project, "workspace").remove(0);
    workspace(&project, "poison", &name, &["--expr", "copy@{item=c}"]).expect(0);
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    project.run(&["--reuse", "toy"]).expect(3);
    let name = open_names(&project, "workspace").remove(0);
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    assert_eq!(taken_from(&project, &name).into_keys().collect::<Vec<_>>(), ["copy a"]);
}

#[test]
fn what_was_taken_over_and_then_poisoned_or_reset_runs() {
    for verb in ["poison", "reset"] {
        let (project, _) = committed();
        built(&project);
        workspace(&project, "run", "trial", &[]).expect(0);
        let status = workspace(&project, "status", "trial", &["--json"]).expect(0).json();
        let taken_over = |n: usize| status["tasks"][n]["taken_over"].as_u64().unwrap();
        assert_eq!((taken_over(0), taken_over(1)), (3, 1), "{status}");
        let said = workspace(&project, "status", "trial", &[]).expect(0).text();
        assert!(said.contains("4 quanta taken over from earlier RUNs"), "{said}");
        workspace(&project, verb, "trial", &["--expr", "copy@{item=a}"]).expect(0);
        workspace(&project, "run", "trial", &[]).expect(0);
        workspace(&project, "commit", "trial", &[]).expect(0);
        let ran = ran_in(&project, "trial");
        assert!(
            ran.contains(&"copy a".to_owned()) && !ran.contains(&"copy b".to_owned()),
            "{ran:?}"
        );
    }
}

#[test]
fn a_script_that_is_changed_while_it_runs_is_nobodys() {
    let project = project();
    let gate = project.path().join("gate");
    project.write("copy.sh", format!("read _ < '{gate}'\n{COPY}"));
    let script = project.read("copy.sh");
    let gate = Gate::at(&gate);
    let path = project.path();
    let runner = project.program().start(&["run", path.as_str(), "-j3"]);
    let started = || {
        let is_made = project.repo().join("pantler.yaml").exists();
        let names = if is_made { open_names(&project, "workspace") } else { Vec::new() };
        names.first().is_some_and(|name| {
            let status = workspace(&project, "status", name, &["--json"]).json();
            status["tasks"][0]["started"] == 3
        })
    };
    until("three quanta are started", started);
    project.write("copy.sh", format!("{script}# more\n"));
    gate.open(3);
    Ran::finish(runner).expect(0);
    project.write("copy.sh", &script);
    gate.open(3);
    let second = again(&project, &["-j3"]);
    assert_eq!(ran_in(&project, &second), ["copy a", "copy b", "copy c"]);
    let third = again(&project, &[]);
    assert!(ran_in(&project, &third).is_empty(), "of the second it is known");
}

#[test]
fn a_run_that_is_killed_at_any_step_of_it_goes_on() {
    let (project, first) = committed();
    let log = project.path().join("steps.log");
    let measured = project.duplicate();
    let path = measured.path();
    let mut command = measured.program().command(&["run", path.as_str(), "--reuse", "toy", "-j1"]);
    command.env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    for step in text.lines().filter(|step| step.contains(".reuse.")) {
        *reached.entry(step).or_default() += 1;
    }
    let names: Vec<&str> = reached.keys().copied().collect();
    let all = [
        "build.reuse.write",
        "build.reuse.written",
        "exec.reuse.copied",
        "exec.reuse.copy",
        "exec.reuse.move",
        "exec.reuse.moved",
    ];
    assert_eq!(names, all);
    let contents = project.contents(&first);
    for (step, times) in reached {
        for n in 1..=times {
            let copy = project.duplicate();
            killed_at(&copy, &format!("{step}:{n}"), &["--reuse", "toy", "-j1"]);
            copy.check();
            // It can be closed as it stands.
            let other = copy.duplicate();
            let name = open_names(&other, "workspace").remove(0);
            workspace(&other, "revert", &name, &[]).expect(0);
            let run = again(&copy, &[]);
            assert_eq!(copy.contents(&run), contents, "{step}:{n}");
            assert!(ran_in(&copy, &run).is_empty(), "{step}:{n}");
        }
    }
}

#[test]
fn a_damaged_file_of_it_is_named_and_written_again() {
    let (project, _) = committed();
    built(&project);
    let status = workspace(&project, "status", "trial", &["--json"]).expect(0).json();
    let root = Utf8PathBuf::from(status["root"].as_str().unwrap());
    let file = root.join("reuse-1.jsonl.zst");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let ran = workspace(&project, "run", "trial", &[]).expect(1);
    assert!(ran.stderr.contains("reuse-1.jsonl.zst cannot be used"), "{}", ran.stderr);
    assert!(ran.stderr.contains("remove it, and the next build writes it"), "{}", ran.stderr);
    std::fs::remove_file(&file).unwrap();
    workspace(&project, "build", "trial", &[]).expect(0);
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    workspace(&project, "run", "trial", &[]).expect(0);
    workspace(&project, "commit", "trial", &[]).expect(0);
    assert!(ran_in(&project, "trial").is_empty());
}

#[test]
fn provenance_that_cannot_be_read_is_left_out() {
    let (mut project, first) = committed();
    let provenance = &datasets(&project, &["run_provenance", "--collections", &first])[0];
    let path = path_of(provenance);
    let sound = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let ran = project.run(&["--reuse", "toy"]).expect(0);
    let says = format!("nothing can be taken over from {first}: ");
    assert!(ran.stderr.contains(&says), "{}", ran.stderr);
    assert_eq!(ran_in(&project, &newest(&project, "toy")), ALL);
    project.expect_damage();
}

#[test]
fn what_is_not_there_cannot_be_reused() {
    let project = project();
    let ran = project.run(&["--reuse", "toy"]).expect(1);
    assert!(ran.stderr.contains("there is nothing to reuse"), "{}", ran.stderr);
    assert!(!project.repo().exists());
    project.run(&[]).expect(0);
    let before = project.picture();
    let ran = project.run(&["--reuse", "nowhere"]).expect(1);
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
    assert!(ran.stderr.contains("now: nothing has changed"), "{}", ran.stderr);
    let pipeline = project.path().join("pipeline.yaml").into_string();
    let create = |more: &[&str]| {
        let args = ["--pipeline", &pipeline, "-i", "toy/raw"];
        workspace(&project, "create", "trial", &[&args, more].concat())
    };
    let ran = create(&["--reuse", "nowhere"]).expect(1);
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
    create(&["--reuse", "no name"]).expect(2);
    create(&["--reuse", "toy", "--external", "x"]).expect(2);
    before.assert_same(&project.picture(), "after what was refused");
    // A RUN without provenance is one of which nothing can be taken over.
    create(&["--reuse", "toy/raw"]).expect(0);
    let said = workspace(&project, "build", "trial", &[]).expect(0).text();
    assert!(said.contains("0 quanta may be there already"), "{said}");
    workspace(&project, "revert", "trial", &[]).expect(0);
}

#[test]
fn an_open_workspace_that_reuses_something_else_is_not_gone_on_with() {
    let (project, first) = committed();
    project.run(&["--reuse", "toy", "--no-commit"]).expect(0);
    let ran = project.run(&["--reuse", &first]);
    assert!(ran.stderr.contains("list of collections to reuse"), "{}", ran.stderr);
    assert_ne!(ran.status.code(), Some(0));
    assert_eq!(ran.status.signal(), None);
    again(&project, &[]);
}
