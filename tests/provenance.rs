//! What a commit says of what happened, asked for through the program; and quanta of a
//! workspace meant by an expression.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt as _};

use pantler_testkit::{Project, Ran};
use serde_json::Value;

use crate::toy::{datasets, open_names, path_of, toy_with};

/// Fails for the items for which a file `broken.<item>` is there.
const COPY: &str = "\
echo \"copying $4\"
test ! -e \"$1/broken.$4\" || exit 3
cat \"$2\" > \"$3\"
";

const SECOND: &str = "\
version: 1
tasks:
  double:
    dimensions: []
    inputs: {total: {type: total}}
    outputs: {doubled: {type: doubled, storage_class: Text}}
    command: [sh, -c, 'cat \"$1\" \"$1\" > \"$2\"', double, \"{inputs.total}\", \"{outputs.doubled}\"]
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

/// All of it committed: the RUN.
fn committed() -> (Project, String) {
    let (project, name) = failed();
    std::fs::remove_file(project.path().join("broken.b")).unwrap();
    workspace(&project, "run", &name, &["-j1"]).expect(0);
    workspace(&project, "commit", &name, &[]).expect(0);
    (project, name)
}

fn workspace(project: &Project, verb: &str, name: &str, args: &[&str]) -> Ran {
    project.pantler(&[&["workspace", verb, name], args].concat())
}

fn query(project: &Project, args: &[&str]) -> Ran {
    project.pantler(&[&["query", "provenance"], args].concat())
}

fn document(project: &Project, expression: &str) -> Value {
    query(project, &[expression, "--json"]).expect(0).json()
}

/// What an expression means, in short.
fn meant(project: &Project, expression: &str) -> Vec<String> {
    let found = document(project, expression);
    let name = |node: &Value, key: &str| {
        let item = node["data_id"]["item"].as_str().unwrap_or("");
        format!("{} {item}", node[key].as_str().unwrap()).trim_end().to_owned()
    };
    let quanta = found["quanta"].as_array().unwrap().iter().map(|q| name(q, "task"));
    let sets = found["datasets"].as_array().unwrap().iter().map(|d| name(d, "dataset_type"));
    quanta.chain(sets).collect()
}

fn quantum(project: &Project, expression: &str) -> Value {
    let mut found = document(project, expression);
    let quanta = found["quanta"].as_array_mut().unwrap();
    assert_eq!(quanta.len(), 1, "{expression}");
    quanta.remove(0)
}

#[test]
fn a_commit_tells_what_was_made_from_what() {
    let (project, name) = committed();
    let listed = datasets(&project, &["run_provenance"]);
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["run"], &listed[0]["state"]), (&name.clone().into(), &"stored".into()));
    assert_eq!(
        meant(&project, "..total & quanta - total"),
        ["copy a", "copy b", "copy c"],
        "the total is made from the copies"
    );
    assert_eq!(
        meant(&project, "number@{item=a}.. - *_log"),
        ["copy a", "total", "number a", "copy a", "total"]
    );
    assert_eq!(meant(&project, "(number@{item=b}..total) & datasets & copy"), ["copy b"]);
    // Datasets by UUID; sizes and checksums are those of the repository.
    let total = &datasets(&project, &["total"])[0];
    let id = total["id"].as_str().unwrap();
    assert_eq!(meant(&project, &format!("..{id} & total & quanta")), ["total"]);
    let found = document(&project, id);
    let dataset = &found["datasets"][0];
    assert_eq!((&dataset["size"], &dataset["checksum"]), (&total["size"], &total["checksum"]));
    assert_eq!(dataset["producer"], quantum(&project, "total & quanta")["id"]);
    let number = &document(&project, "number@{item=a}")["datasets"][0];
    assert_eq!((number["state"].as_str(), number["producer"].is_null()), (Some("present"), true));
    assert_ne!(number["run"], name.as_str(), "an input keeps its RUN");

    let text = query(&project, &["total & quanta", "--collections", "toy"]).expect(0).text();
    assert!(text.contains("quantum  total  {}") && text.contains("succeeded"), "{text}");
}

#[test]
fn attempts_logs_and_metadata_of_a_quantum_are_kept() {
    let (project, _) = committed();
    let copy = quantum(&project, "copy@{item=b} & quanta");
    let attempts = copy["attempts"].as_array().unwrap();
    let brief: Vec<_> = attempts
        .iter()
        .map(|a| (a["attempt"].as_u64(), a["exit"].as_i64(), a["failure"].as_str()))
        .collect();
    let failure = "the command ended with exit status 3";
    assert_eq!(brief, [(Some(1), Some(3), Some(failure)), (Some(2), Some(0), None)]);
    assert!(attempts.iter().all(|a| a["host"].is_string() && a["pid"].is_u64()), "{copy}");
    assert_ne!(attempts[0]["pid"], attempts[1]["pid"]);
    assert!(attempts[0]["ended_at"].as_str() <= attempts[1]["started_at"].as_str());
    let id = copy["id"].as_str().unwrap();
    let metadata = query(&project, &["--quantum", id, "--metadata"]).expect(0).json();
    assert_eq!(metadata, copy);
    assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying b\n");
    // It is the log that is a dataset, too; also without that.
    let log = copy["outputs"]["_log"].as_str().unwrap();
    assert_eq!(project.pantler(&["get", log]).expect(0).text(), "copying b\n");
    project.pantler(&["remove", log]).expect(0);
    assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying b\n");
    let silent = quantum(&project, "total & quanta");
    let ran = query(&project, &["--quantum", silent["id"].as_str().unwrap(), "--log"]).expect(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("said nothing"), "{}", ran.stderr);
}

#[test]
fn a_partial_commit_tells_what_failed_and_what_did_not_run() {
    let (project, name) = failed();
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    assert_eq!(meant(&project, "failed"), ["copy b"]);
    assert_eq!(meant(&project, "blocked"), ["total"]);
    assert_eq!(meant(&project, "succeeded"), ["copy a", "copy c"]);
    assert_eq!(meant(&project, "predicted"), ["copy b", "total", "total_log"]);
    let failed = quantum(&project, "failed");
    assert_eq!(failed["attempts"][0]["failure"], "the command ended with exit status 3");
    let id = failed["id"].as_str().unwrap();
    assert_eq!(query(&project, &["--quantum", id, "--log"]).expect(0).text(), "copying b\n");
    let unrun = quantum(&project, "blocked");
    assert_eq!((&unrun["begun"], &unrun["attempts"]), (&0.into(), &Value::Array(vec![])));
}

#[test]
fn what_was_accepted_or_poisoned_stays_known() {
    let (project, name) = failed();
    workspace(&project, "accept", &name, &["--expr", "failed"]).expect(0);
    workspace(&project, "run", &name, &[]).expect(0);
    workspace(&project, "poison", &name, &["--expr", "copy@{item=c}"]).expect(0);
    workspace(&project, "commit", &name, &["--partial"]).expect(0);
    assert_eq!(meant(&project, "accepted"), ["copy b"]);
    assert_eq!(meant(&project, "poisoned"), ["copy c", "total"]);
    assert_eq!(
        meant(&project, "failed"),
        ["copy c", "total"],
        "what was poisoned counts as failed"
    );
    assert_eq!(meant(&project, "succeeded"), ["copy a", "copy b"]);
    assert_eq!(meant(&project, "invalidated"), ["copy c", "total"]);
    let accepted = quantum(&project, "accepted");
    assert_eq!(accepted["attempts"][0]["failure"], "the command ended with exit status 3");
}

#[test]
fn a_walk_goes_on_in_the_run_that_made_an_input() {
    let (project, first) = committed();
    project.write("second.yaml", SECOND);
    let file = project.path().join("second.yaml").into_string();
    project
        .pantler(&["workspace", "create", "second", "--pipeline", &file, "-i", &first])
        .expect(0);
    for verb in ["build", "run", "commit"] {
        workspace(&project, verb, "second", &[]).expect(0);
    }
    let quanta = ["copy a", "copy b", "copy c", "total", "double"];
    assert_eq!(meant(&project, "..doubled & quanta"), quanta);
    assert_eq!(meant(&project, "number@{item=a}.. & quanta"), ["copy a", "total", "double"]);
    assert_eq!(meant(&project, "copy@{item=a}..double & datasets"), ["copy a", "total"]);
    let runs: BTreeSet<String> = document(&project, "..doubled")["quanta"]
        .as_array()
        .unwrap()
        .iter()
        .map(|quantum| quantum["run"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(runs, BTreeSet::from([first.clone(), "second".to_owned()]));
    // Only where it is asked to look.
    let ran = query(&project, &["..doubled & quanta", "--collections", "second"]).expect(0);
    assert!(ran.text().contains("double") && !ran.text().contains("copy"), "{}", ran.text());
    let dot = query(&project, &["..doubled", "--format", "dot"]).expect(0).text();
    assert_eq!(dot.matches("shape=box").count(), 1);
    assert_eq!(dot.matches(" -> ").count(), 3 + 3 + 3 + 1 + 1 + 1, "{dot}");

    // The RUN that it was made from is gone: what is known of its output stays.
    project.pantler(&["remove-run", &first, "--unlink", "--force"]).expect(0);
    assert_eq!(meant(&project, "..doubled"), ["double", "total", "doubled"]);
}

#[test]
fn the_result_is_a_picture_or_a_file_for_other_programs() {
    let (project, _) = committed();
    let out = project.path().join("made.svg").into_string();
    query(&project, &["..total", "--format", "svg", "-o", &out]).expect(0);
    let picture = project.read("made.svg");
    assert!(picture.starts_with("<svg") && picture.contains("item=b"), "{picture}");
    let again = query(&project, &["..total", "--format", "svg", "-o", &out]).expect(1);
    assert!(again.stderr.contains("--force replaces it"), "{}", again.stderr);
    let graphml = query(&project, &["..total", "--format", "graphml"]).expect(0).text();
    assert!(graphml.contains("<graphml") && graphml.contains("succeeded"), "{graphml}");
    assert_eq!(graphml.matches("<node ").count(), 4 + 3 + 3 + 1, "{graphml}");
    let mermaid = query(&project, &["..total", "--format", "mermaid"]).expect(0).text();
    assert!(mermaid.starts_with("flowchart LR"), "{mermaid}");
    let json = query(&project, &["..total", "--format", "json"]).expect(0).json();
    assert_eq!(json, document(&project, "..total"));
}

#[test]
fn what_cannot_be_meant_is_said() {
    let empty = toy_with(&["a"], COPY);
    empty.run(&["--no-commit"]).expect(0);
    let none = query(&empty, &["quanta"]).expect(1);
    assert!(none.stderr.contains("no RUN has provenance"), "{}", none.stderr);

    let (project, name) = committed();
    let refused = |args: &[&str], code: i32, says: &[&str]| {
        let ran = query(&project, args).expect(code);
        for part in says {
            assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        }
    };
    refused(&["copy | | total"], 2, &["expected a UUID", "  copy | | total\n         ^"]);
    refused(&["copie.."], 1, &["is called `copie`; there are `copy`, ", "  copie..\n  ^^^^^"]);
    refused(&["copy@{itm=a}"], 1, &["dimensions are {item}", "        ^^^"]);
    refused(&["failed"], 1, &["\"failed\" means no quantum and no dataset", "of 1 RUN"]);
    let unknown = "00000000-0000-7000-8000-000000000001";
    refused(&[unknown], 1, &["no quantum and no dataset has the id", "^^^^"]);
    refused(&["--quantum", unknown, "--log"], 1, &["there is no quantum 00000000-"]);
    refused(&["quanta", "--collections", "nowhere"], 1, &["nowhere"]);
    refused(&[], 2, &["EXPR"]);
    let numbers = datasets(&project, &["number"])[0]["run"].as_str().unwrap().to_owned();
    refused(&["quanta", "--collections", &numbers], 1, &["has no provenance"]);
    let total = datasets(&project, &["total"])[0]["id"].as_str().unwrap().to_owned();
    refused(&["--quantum", &total], 1, &["there is no quantum"]);

    // Damage inside of a block is found where it is read.
    let row = datasets(&project, &["run_provenance"]).remove(0);
    let path = path_of(&row);
    let whole = std::fs::read(&path).unwrap();
    project.pantler(&["remove", row["id"].as_str().unwrap()]).expect(0);
    refused(&["quanta"], 1, &["cannot open the provenance of", "not stored"]);
    std::fs::write(project.path().join("cut.zip"), &whole[..whole.len() / 2]).unwrap();
    let cut = project.path().join("cut.zip").into_string();
    project.pantler(&["restore", row["id"].as_str().unwrap(), &cut]).expect(0);
    refused(
        &["quanta", "--collections", &name],
        1,
        &["cannot use the provenance of", "not a whole graph file"],
    );
}

#[test]
fn quanta_are_meant_by_expression_in_a_workspace() {
    let (project, name) = failed();
    let listed = workspace(&project, "status", &name, &["--expr", "..total", "--json"]).expect(0);
    let statuses: Vec<String> = listed.json()["quanta"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| format!("{} {}", q["task"].as_str().unwrap(), q["status"].as_str().unwrap()))
        .collect();
    assert_eq!(statuses, ["copy succeeded", "copy failed", "copy succeeded", "total blocked"]);
    let text = workspace(&project, "status", &name, &["--expr", "blocked"]).expect(0).text();
    assert!(text.contains("total") && !text.contains("copy"), "{text}");

    let refused = |verb: &str, args: &[&str], code: i32, says: &str| {
        let ran = workspace(&project, verb, &name, args).expect(code);
        assert!(ran.stderr.contains(says), "{verb} {args:?}: {}", ran.stderr);
    };
    for verb in ["run", "accept", "poison", "reset", "status"] {
        refused(verb, &["--expr", "copy@{item=a"], 2, "expected `,` or `}`, found the end");
        refused(verb, &["--expr", "nothing"], 1, "is called `nothing`");
        refused(verb, &["--expr", "poisoned"], 1, "no quantum is \"poisoned\"");
        refused(verb, &["--expr", "number"], 1, "it means 3 datasets only");
    }
    refused("accept", &["--expr", "failed", "--failed"], 2, "cannot be used with");

    std::fs::remove_file(project.path().join("broken.b")).unwrap();
    let ran = workspace(&project, "run", &name, &["--expr", "..copy@{item=b}"]).expect(0);
    assert!(ran.text().contains("all that was asked for succeeded"), "{}", ran.text());
    workspace(&project, "run", &name, &["--expr", "built"]).expect(0);
    // Those to which it can happen: what has not run is passed over.
    let reset = ["--expr", "copy@{item=b}.. | copy@{item=a}", "--json"];
    let reset = workspace(&project, "reset", &name, &reset).expect(0).json();
    assert_eq!(reset["changed"].as_array().unwrap().len(), 3, "{reset}");
    let again = workspace(&project, "reset", &name, &["--expr", "built"]).expect(0).text();
    assert!(again.starts_with("nothing to do"), "{again}");
    workspace(&project, "run", &name, &[]).expect(0);
    workspace(&project, "commit", &name, &[]).expect(0);
    // The reset is one of the numbers that attempts have.
    assert_eq!(quantum(&project, "copy@{item=a} & quanta")["begun"], 3);
}

#[test]
fn the_name_is_reserved() {
    let (project, name) = failed();
    workspace(&project, "revert", &name, &[]).expect(0);
    let pipeline = project.read("pipeline.yaml");
    project.write("bad.yaml", pipeline.replace("type: total,", "type: run_provenance,"));
    let file = project.path().join("bad.yaml").into_string();
    let create = ["workspace", "create", "bad", "--pipeline", &file, "-i", "toy/number"];
    let ran = project.pantler(&create);
    assert_ne!(ran.code(), Some(0));
    assert!(ran.stderr.contains("`run_provenance` cannot be written by a task"), "{}", ran.stderr);

    let register = ["dataset-type", "register", "run_provenance", "--storage-class", "Text"];
    project.pantler(&register).expect(0);
    let ran = project.run(&["-j1"]);
    assert_ne!(ran.code(), Some(0));
    assert!(ran.stderr.contains("provenance of RUNs cannot be stored"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`run_provenance` is Text"), "{}", ran.stderr);
    assert!(open_names(&project, "transaction").is_empty(), "before anything is run");
}

/// Kills and failures between the logs and the rows: the same commit again finishes, and
/// one artifact is there in the end.
#[test]
fn a_commit_that_is_cut_off_stores_provenance_once() {
    let (project, name) = failed();
    std::fs::remove_file(project.path().join("broken.b")).unwrap();
    workspace(&project, "run", &name, &["-j1"]).expect(0);
    let log = project.path().join("steps.log");
    let calm = project.duplicate();
    let mut command = calm.program().command(&["workspace", "commit", &name, "--repo"]);
    command.arg(calm.repo().as_str()).env("PANTLER_CRASH_LOG", log.as_str());
    Ran::of(command).expect(0);
    let steps = std::fs::read_to_string(&log).unwrap();
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let mut between = Vec::new();
    for step in steps.lines() {
        let n = seen.entry(step).or_default();
        *n += 1;
        between.push(format!("{step}:{n}"));
    }
    let from = between.iter().position(|step| step == "commit.logs.stored:1").unwrap();
    assert!(between.contains(&"commit.provenance.write:1".to_owned()), "{between:?}");
    assert!(between.contains(&"commit.provenance.stored:1".to_owned()), "{between:?}");
    let commit = |copy: &Project, variable: &str, value: &str| {
        let mut command = copy.program().command(&["workspace", "commit", &name, "--repo"]);
        command.arg(copy.repo().as_str()).env(variable, value);
        Ran::of(command)
    };
    let settle = |copy: &Project, at: &str| {
        copy.check();
        workspace(copy, "commit", &name, &[]).expect(0);
        assert_eq!(meant(copy, "..total & quanta").len(), 4, "{at}");
        let stored = copy.picture().files;
        let found = stored.keys().filter(|file| file.contains("/run_provenance/")).count();
        assert_eq!(found, 1, "{at}: {:?}", stored.keys());
    };
    for step in &between[from..] {
        let copy = project.duplicate();
        let ran = commit(&copy, "PANTLER_CRASH", step);
        assert_eq!(ran.status.signal(), Some(9), "{step}: {}", ran.stderr);
        let other = copy.duplicate();
        if open_names(&other, "workspace").is_empty() {
            continue;
        }
        workspace(&other, "revert", &name, &[]).expect(0);
        let left = other.picture().files;
        assert!(!left.keys().any(|file| file.contains("run_provenance")), "{step}: {left:?}");
        settle(&copy, step);
    }
    for fault in ["commit.provenance.write:1:full", "commit.provenance.write:1:lost"] {
        let copy = project.duplicate();
        let ran = commit(&copy, "PANTLER_FAULT", fault);
        assert_eq!(ran.code(), Some(4), "{fault}: {}", ran.stderr);
        assert!(ran.stderr.contains("provenance of the RUN was not written"), "{}", ran.stderr);
        settle(&copy, fault);
    }
}
