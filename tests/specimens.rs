//! Files of every format version written so far, in `workspaces/`: each is opened, read
//! in full, and where something is open in it, closed. Always on a copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Cursor,
    process::Command,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::graph::{GraphNode, GraphReader, ProvenanceReader, read, write};
use pantler_testkit::{Project, Ran, copy_tree};
use serde_json::json;

use crate::{program, source_root, toy::datasets};

/// The folder of a specimen.
fn specimen(name: &str) -> Utf8PathBuf {
    let path = source_root().join("workspaces").join(name);
    assert!(path.is_dir(), "there is no specimen {name}");
    path
}

/// A copy of a specimen that is a repository.
fn repository(from: &Utf8Path) -> Project {
    let project = Project::empty(&program());
    copy_tree(from, &project.repo(), &|_| true);
    project
}

/// A copy of the project, with nothing run yet.
fn project_files() -> Project {
    let project = Project::empty(&program());
    let parts = ["universe-v1", "records-v1", "pipeline-v1", "project-v1"];
    let from = [
        specimen("universe-v1"),
        specimen("records-v1"),
        specimen("pipeline-v1"),
        specimen("project-v1"),
    ];
    for (part, from) in parts.iter().zip(from) {
        copy_tree(&from, &project.path().join(part), &|_| true);
    }
    project
}

/// A copy of the project with a specimen as its repository.
fn project_with(from: &Utf8Path) -> Project {
    let project = project_files();
    copy_tree(from, &project.repo(), &|_| true);
    project
}

fn run(project: &Project, args: &[&str]) -> Ran {
    let dir = project.path().join("project-v1");
    let mut all = vec!["run", dir.as_str()];
    all.extend(args);
    project.program().run(&all)
}

fn open_names(project: &Project, noun: &str) -> Vec<String> {
    let rows = project.pantler(&[noun, "list", "--json"]).expect(0).json();
    rows.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

fn the_workspace(project: &Project) -> String {
    let names = open_names(project, "workspace");
    let [name] = names.as_slice() else { panic!("not one workspace: {names:?}") };
    name.clone()
}

/// The one workspace of a specimen without a database, by its folder.
fn workspace_on_disk(project: &Project) -> String {
    let mut names = Vec::new();
    for entry in project.repo().join("workspaces").read_dir_utf8().unwrap() {
        names.extend(entry.unwrap().file_name().strip_prefix("specimen%2F").map(str::to_owned));
    }
    let [name] = names.as_slice() else { panic!("not one workspace: {names:?}") };
    format!("specimen/{name}")
}

/// Reads every dataset; its bytes are compared with its checksum on the way.
fn read_all(project: &Project) -> usize {
    let rows = project.pantler(&["query", "datasets", "--json"]).expect(0).json();
    let rows = rows.as_array().unwrap();
    for row in rows {
        let ran = project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0);
        assert_eq!(Some(ran.stdout.len() as u64), row["size"].as_u64(), "{row}");
    }
    rows.len()
}

/// What a finished run of the specimen project has in its chain: what it had when
/// `repository-v1` was made, and provenance, which commits store since.
fn finished() -> Vec<String> {
    let mut contents = repository(&specimen("repository-v1")).contents("specimen");
    contents.push("\"run_provenance\" {} null".to_owned());
    contents.sort();
    contents
}

/// Fails unless an error says all of this.
#[track_caller]
fn assert_says(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code(), Some(code), "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in:\n{}", ran.stderr);
    }
}

#[test]
fn every_specimen_has_a_test() {
    let names = |folder: &str, prefix: &str| -> BTreeSet<String> {
        let entries = source_root().join(folder).read_dir_utf8().unwrap().map(Result::unwrap);
        let folders = entries.filter(|e| e.file_type().unwrap().is_dir());
        folders.map(|e| format!("{prefix}{}", e.file_name())).collect()
    };
    let mut found = names("workspaces", "");
    assert!(found.remove("broken"));
    found.extend(names("workspaces/broken", "broken/"));
    assert!(found.len() > 15, "{found:?}");
    let tests = include_str!("specimens.rs");
    for name in found {
        assert!(tests.contains(&format!("specimen(\"{name}\")")), "no test opens {name}");
    }
}

#[test]
fn files_written_by_hand_are_read_and_run() {
    let project = project_files();
    run(&project, &[]).expect(0);
    let records =
        |element: &str| project.pantler(&["query", "records", element, "--json"]).expect(0).json();
    let oslo = &records("city")[1];
    assert_eq!(oslo["implied"], json!({"country": "norway"}));
    let metadata =
        json!({"title": "Oslo", "latitude": 59.9139, "people": 700_000, "coastal": true});
    assert_eq!(oslo["metadata"], metadata);
    assert_eq!(records("district")[0]["data_id"], json!({"city": "oslo", "district": 7}));
    assert_eq!(records("season")[0]["metadata"], json!({"note": "dark"}));
    let report = project.pantler(&["get", "report", "--collections", "specimen"]).expect(0);
    assert_eq!(report.text(), "2 cities\n");
    assert_eq!(project.contents("specimen"), finished());
}

#[test]
fn a_committed_repository_is_read_and_gone_on_with() {
    let project = project_with(&specimen("repository-v1"));
    assert_eq!(read_all(&project), 18);
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    let before = finished();
    let ran = run(&project, &[]).expect(0);
    assert!(ran.stderr.contains("4 files there already"), "{}", ran.stderr);
    assert_eq!(read_all(&project), 18 + 14 + 1);
    assert_eq!(project.contents("specimen"), before);
    let rows = project.pantler(&["query", "collections", "--json"]).expect(0).json();
    let chain = rows.as_array().unwrap().iter().find(|row| row["name"] == "specimen").unwrap();
    assert_eq!(chain["children"].as_array().unwrap().len(), 3, "{chain}");
}

#[test]
fn an_open_ingest_can_be_ended() {
    let open = repository(&specimen("open-transaction-v1"));
    assert_eq!(open_names(&open, "transaction"), ["specimen/raw/ingest"]);
    let close = |project: &Project, verb: &str| {
        project.pantler(&["transaction", verb, "specimen/raw/ingest", "--take-over"])
    };
    // Held by a process of another host, as far as can be known here.
    let held = open.pantler(&["transaction", "commit", "specimen/raw/ingest"]);
    assert_says(&held, 4, &["on specimen", "--take-over"]);
    let refused = close(&open, "commit");
    let missing = "readings city=oslo month=1, readings city=oslo month=2";
    assert_says(&refused, 4, &["2 artifacts are missing", missing]);

    let reverted = open.duplicate();
    close(&reverted, "revert").expect(0);
    let picture = reverted.picture();
    assert_eq!((picture.rows["dataset"].len(), picture.files.len()), (0, 0));

    close(&open, "abandon").expect(0);
    let rows = open.pantler(&["query", "datasets", "--json"]).expect(0).json();
    let stored: Vec<_> = rows.as_array().unwrap().iter().map(|r| r["stored"].as_bool()).collect();
    assert_eq!(stored, [Some(true), Some(true), Some(false), Some(false)]);
}

#[test]
fn an_external_workspace_is_converted_or_goes_on_into_its_parent() {
    let from = specimen("external-v1");
    let open = repository(&from.join("repo"));
    let (root, copy) = (open.path().join("root"), open.path().join("copy"));
    for to in [&root, &copy] {
        copy_tree(&from.join("root"), to, &|_| true);
    }
    let verb = |verb: &str, root: &Utf8Path, args: &[&str]| {
        program().run(&[&["workspace", verb, root.as_str()], args].concat())
    };
    let status = verb("status", &root, &["--json"]).expect(0).json();
    assert_eq!((&status["built"], &status["complete"]), (&true.into(), &true.into()));
    verb("convert", &copy, &[]).expect(0);
    let query = |project: &Project, repo: Option<&Utf8Path>| {
        let args = ["query", "datasets", "--collections", "outside", "--json"];
        match repo {
            Some(repo) => program().run(&[&args[..], &["--repo", repo.as_str()]].concat()),
            None => project.pantler(&args),
        }
    };
    program().run(&["check", "--checksum", "--repo", copy.as_str()]).expect(0);
    let ids = |ran: Ran| {
        let rows = ran.expect(0).json();
        let ids = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<String>>()
    };
    let converted = ids(query(&open, Some(&copy)));
    // The transfer is held by a process of another host, as far as can be known here.
    let repo = open.repo();
    let held = verb("commit", &root, &["--parent", repo.as_str()]);
    assert_says(&held, 4, &["on specimen", "--take-over"]);
    let other = open.duplicate();
    let name = open_names(&other, "transaction").remove(0);
    other.pantler(&["transaction", "revert", &name, "--take-over"]).expect(0);
    assert_eq!(query(&other, None).code(), Some(1), "no chain was made");
    verb("commit", &root, &["--parent", repo.as_str(), "--take-over"]).expect(0);
    assert!(!root.exists());
    assert_eq!(ids(query(&open, None)), converted);
    assert_eq!(converted.len(), 4 + 14 + 1);
}

#[test]
fn an_open_transaction_of_each_kind_can_be_ended() {
    let open = repository(&specimen("open-kinds-v1"));
    open.check();
    let rows = open.pantler(&["transaction", "list", "--json"]).expect(0).json();
    let mut kinds: Vec<(String, String)> = Vec::new();
    for row in rows.as_array().unwrap() {
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        kinds.push((text("kind"), text("name")));
    }
    kinds.sort();
    let names: Vec<&str> = kinds.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        names,
        ["ingest", "put", "remove", "remove", "remove-run", "restore", "transfer"],
        "{kinds:?}"
    );
    let close = |project: &Project, verb: &str, name: &str| {
        project.pantler(&["transaction", verb, name, "--take-over"])
    };
    for (kind, name) in &kinds {
        open.pantler(&["transaction", "show", name]).expect(0);
        // What was deleted cannot come back, what was not written cannot be committed.
        let reverted = open.duplicate();
        let ran = close(&reverted, "revert", name);
        let purged = reverted.pantler(&["transaction", "show", name]).text().contains("purged");
        let gone = kind == "remove" && purged;
        assert_eq!(ran.code(), Some(if gone { 4 } else { 0 }), "{name}: {}", ran.stderr);
        reverted.check();

        let committed = open.duplicate();
        let ran = close(&committed, "commit", name);
        let unwritten = ["put", "ingest", "transfer"].contains(&kind.as_str());
        assert_eq!(ran.code(), Some(if unwritten { 4 } else { 0 }), "{name}: {}", ran.stderr);
        committed.check();

        close(&open, "abandon", name).expect(0);
        open.check();
    }
    assert_eq!(open_names(&open, "transaction"), [""; 0]);
    // Abandoned, what is whole is stored, and the rest is registered only.
    let rows = open.pantler(&["query", "datasets", "--json"]).expect(0).json();
    let mut states: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for row in rows.as_array().unwrap() {
        let run = row["run"].as_str().unwrap().split('/').next().unwrap().to_owned();
        *states.entry((run, row["state"] == "stored")).or_default() += 1;
    }
    let states: Vec<_> = states.iter().map(|((run, s), n)| (run.as_str(), *s, *n)).collect();
    assert_eq!(
        states,
        [
            ("dropped", true, 2),
            ("elsewhere", false, 1),
            ("ingested", false, 2),
            ("ingested", true, 8),
            ("purged", false, 2),
            ("put", false, 1),
            ("restored", true, 2),
            ("specimen", true, 18),
            ("unstored", true, 2),
        ]
    );
}

#[test]
fn open_removals_know_where_survivors_go() {
    let open = repository(&specimen("open-removals-v2"));
    open.check();
    let rows = open.pantler(&["transaction", "list", "--json"]).expect(0).json();
    let named = |kind: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap();
        row["name"].as_str().unwrap().to_owned()
    };
    let close = |project: &Project, verb: &str, name: &str| {
        project.pantler(&["transaction", verb, name, "--take-over"])
    };
    let (remove, remove_run) = (named("remove"), named("remove-run"));
    let place = "kept/oslo/m1.csv";
    // Nothing was deleted yet; the file in place survives below its RUN's prefix.
    let reverted = open.duplicate();
    for name in [&remove, &remove_run] {
        close(&reverted, "revert", name).expect(0);
    }
    assert!(!reverted.repo().join("artifacts").join(place).exists());
    assert_eq!(stored_and_not(&reverted, "placed"), (1, 0));
    assert_eq!(stored_and_not(&reverted, "unstored"), (2, 0));
    reverted.check();
    for name in [&remove, &remove_run] {
        close(&open, "commit", name).expect(0);
    }
    assert_eq!(stored_and_not(&open, "placed"), (0, 0));
    assert_eq!(stored_and_not(&open, "unstored"), (0, 2));
    assert!(!open.repo().join("artifacts").join(place).exists());
    open.check();
}

#[test]
fn an_open_put_session_can_be_ended_and_gone_on_with() {
    let open = repository(&specimen("open-put-session-v1"));
    open.check();
    assert_eq!(stored_and_not(&open, "put"), (1, 0));
    let artifacts = |project: &Project| {
        let files = project.picture().files;
        files.keys().filter(|path| path.contains("/put@")).count()
    };
    assert_eq!(artifacts(&open), 2);
    open.pantler(&["transaction", "revert", "camera", "--take-over"]).expect(4);
    for verb in ["commit", "abandon"] {
        let ended = open.duplicate();
        ended.pantler(&["transaction", verb, "camera", "--take-over"]).expect(0);
        assert_eq!((stored_and_not(&ended, "put"), artifacts(&ended)), ((1, 0), 1), "{verb}");
        ended.check();
    }
}

/// How many datasets of a RUN are stored, and how many are not.
fn stored_and_not(project: &Project, run: &str) -> (usize, usize) {
    let rows = project.pantler(&["query", "datasets", "--json"]).json();
    let rows = rows.as_array().unwrap().iter().filter(|row| row["run"] == run);
    let (stored, not): (Vec<_>, Vec<_>) = rows.partition(|row| row["state"] == "stored");
    (stored.len(), not.len())
}

#[test]
fn a_workspace_that_several_ran_in_is_taken_over_from_another_machine() {
    let project = repository(&specimen("runners-v3"));
    let name = the_workspace(&project);
    let status = || project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let before = status();
    let runners = before["runners"].as_array().unwrap().iter();
    let states: Vec<_> = runners.map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["silent", "ended", "silent"], "{before}");
    assert_eq!(before["runners"][0]["host"], "specimen");
    let kept = |task: usize| before["tasks"][task]["succeeded"].as_u64().unwrap();
    assert!(kept(0) >= 2, "{before}");
    // Only a person can know that they are dead.
    let run = ["workspace", "run", &name, "--wait", "0"];
    let waited = project.pantler(&run).expect(3).text();
    assert!(waited.contains("of runner 1 (process ") && waited.contains("on specimen"), "{waited}");
    let dead = ["--take-over", "1", "--take-over", "3"];
    project.pantler(&[&run[..], &dead].concat()).expect(0);
    let after = status();
    assert_eq!(after["complete"], true, "{after}");
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    project.check();
}

#[test]
fn a_workspace_whose_quanta_were_accepted_poisoned_and_reset_is_run_on_and_committed() {
    let project = repository(&specimen("changed-v2"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let counts = |task: usize| {
        let task = &status["tasks"][task];
        ["total", "succeeded", "accepted", "failed", "poisoned", "built", "blocked"]
            .map(|n| task[n].as_u64().unwrap())
    };
    assert_eq!(counts(0), [4, 2, 1, 1, 1, 1, 0], "{status}");
    assert_eq!(counts(1), [2, 0, 0, 1, 1, 1, 0], "{status}");
    assert_eq!(counts(2), [1, 0, 0, 1, 1, 0, 0], "{status}");
    let commit = ["workspace", "commit", &name, "--take-over"];
    assert_says(&project.pantler(&commit), 3, &["2 of 7 quanta succeeded, 3 failed"]);
    let reset = project.pantler(&["workspace", "reset", &name, "--failed", "--json"]).expect(0);
    // The accepted quantum is none of them; the one whose reset was cut off is.
    assert_eq!(reset.json()["changed"].as_array().unwrap().len(), 4, "{}", reset.text());
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&commit).expect(0);
    assert_eq!(datasets(&project, &["daily", "--collections", &name]).len(), 3);
}

#[test]
fn a_workspace_that_took_something_over_is_run_on_and_committed() {
    let project = project_with(&specimen("reuse-v1"));
    let name = the_workspace(&project);
    let status = || project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let taken_over = |status: &serde_json::Value| -> Vec<u64> {
        let tasks = status["tasks"].as_array().unwrap().iter();
        tasks.map(|task| task["taken_over"].as_u64().unwrap()).collect()
    };
    assert_eq!(taken_over(&status()), [4, 0, 0]);
    project.pantler(&["workspace", "run", &name]).expect(0);
    assert_eq!(taken_over(&status()), [4, 2, 1], "what its file says can be taken over still");
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    let found =
        project.pantler(&["query", "provenance", "quanta", "--collections", &name, "--json"]);
    let quanta = found.expect(0).json()["quanta"].as_array().unwrap().clone();
    assert!(quanta.iter().all(|quantum| quantum["taken_over"]["run"].is_string()), "{quanta:?}");
}

#[test]
fn a_pipeline_of_several_files_is_read_and_run() {
    let project = project_with(&specimen("repository-v1"));
    let to = project.path().join("pipelines-v1");
    copy_tree(&specimen("pipelines-v1"), &to, &|_| true);
    let pipeline = to.join("pipeline.yaml#all");
    let args = ["run", pipeline.as_str(), "-i", "specimen/raw", "-o", "several"];
    project.pantler(&args).expect(0);
    let got = ["get", "summary", "city=oslo", "--collections", "several"];
    assert_eq!(project.pantler(&got).expect(0).text(), "[4, \"in C\"]\n");
}

#[test]
fn a_workspace_is_built_from_the_pipeline_that_it_keeps() {
    let kept = repository(&specimen("kept-pipeline-v1"));
    let lost = kept.duplicate();
    let root = lost.pantler(&["workspace", "status", "specimen/kept", "--json"]).expect(0).json();
    let file = Utf8Path::new(root["root"].as_str().unwrap()).join("pipeline.json");
    std::fs::remove_file(file).unwrap();
    for project in [kept, lost] {
        // The user's files are not there at all.
        project.pantler(&["workspace", "build", "specimen/kept"]).expect(0);
        let args = ["graph", "show", "specimen/kept", "--json"];
        let graph = project.pantler(&args).expect(0).json();
        assert_eq!(graph["quanta"], 6, "{graph}");
        project.pantler(&["workspace", "revert", "specimen/kept", "--take-over"]).expect(0);
    }
}

#[test]
fn a_workspace_in_development_mode_is_built_from_its_new_pipeline() {
    let project = repository(&specimen("development-v1"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    assert_eq!((&status["development"], &status["built"]), (&true.into(), &false.into()));
    project.pantler(&["workspace", "build", &name]).expect(0);
    let graph = project.pantler(&["graph", "show", &name, "--json"]).expect(0).json();
    assert_eq!(graph["quanta"], 7, "{graph}");
    // Its runner was killed on another machine: only a person can know that it is dead.
    let revert = ["workspace", "revert", &name, "--take-over"];
    let refused = project.pantler(&revert).expect(4);
    assert!(refused.stderr.contains("--assume-dead 1"), "{}", refused.stderr);
    project.pantler(&[&revert[..], &["--assume-dead", "1"]].concat()).expect(0);
    project.check();
}

#[test]
fn a_ledger_is_written_on_and_committed() {
    let project = repository(&specimen("ledger-v1"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let counts = ["done", "begun", "writers"].map(|key| status["ledger"][key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 2], "{status}");
    project.write("more", "more\n");
    let more = project.path().join("more");
    let put = ["workspace", "put", &name, more.as_str(), "readings", "city=oslo", "month=2"];
    project.pantler(&put).expect(0);
    // The one that was cut off was on another machine: only a person can know that it is dead.
    let dead = ["workspace", "commit", &name, "--take-over", "--assume-dead", "2"];
    project.pantler(&dead).expect(0);
    let query = ["query", "datasets", "readings", "--collections", "notes", "--json"];
    let found = project.pantler(&query).expect(0).json();
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    project.check();
}

#[test]
fn a_workspace_whose_graph_was_built_in_parts_is_built_on_run_and_committed() {
    let project = repository(&specimen("parts-v2"));
    let name = the_workspace(&project);
    let tasks = |project: &Project| {
        let shown = project.pantler(&["graph", "show", &name, "--json"]).expect(0).json();
        let tasks = shown["tasks"].as_array().unwrap().clone();
        tasks.iter().map(|task| task["quanta"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tasks(&project), [3, 1, 0]);
    let built = project.pantler(&["workspace", "build", &name]).expect(0);
    assert!(built.text().contains(": 7 quanta"), "{built:?}");
    assert_eq!(tasks(&project), [4, 2, 1]);
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    assert_eq!(datasets(&project, &["daily", "--collections", &name]).len(), 4);
}

#[test]
fn a_workspace_that_skips_what_exists_is_run_and_committed() {
    let project = repository(&specimen("skipped-v3"));
    let name = the_workspace(&project);
    let shown = project.pantler(&["graph", "show", &name, "--json"]).expect(0).json();
    let tasks = shown["tasks"].as_array().unwrap();
    let counts: Vec<_> = tasks.iter().map(|task| task["quanta"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 1, 1], "{shown}");
    let types = shown["dataset_types"].as_array().unwrap();
    let daily: Vec<_> = types.iter().filter(|own| own["dataset_type"] == "daily").collect();
    let counts = daily.iter().map(|own| (own["datasets"].as_u64().unwrap(), &own["predicted"]));
    assert_eq!(counts.collect::<Vec<_>>(), [(1, &json!(false)), (1, &json!(true))], "{shown}");
    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    let report = project.pantler(&["get", "report", "--collections", &name]).expect(0);
    assert_eq!(report.text(), "2 cities\n");
    let upstream = ["query", "provenance", "..report & succeeded", "--json"];
    let found = project.pantler(&upstream).expect(0).json();
    assert_eq!(found["quanta"].as_array().unwrap().len(), 4 + 2 + 1, "of both RUNs: {found}");
}

#[test]
fn a_half_run_workspace_is_run_on_and_committed() {
    let project = repository(&specimen("internal-v1"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let counts = |task: usize| {
        let task = &status["tasks"][task];
        ["total", "succeeded", "failed", "started", "built"].map(|n| task[n].as_u64().unwrap())
    };
    assert_eq!(counts(0), [4, 3, 0, 1, 0], "{status}");
    assert_eq!(counts(1), [2, 1, 0, 1, 0], "{status}");
    assert_eq!(counts(2), [1, 0, 0, 0, 1], "{status}");
    let commit = ["workspace", "commit", &name, "--take-over"];
    assert_says(&project.pantler(&commit), 3, &["4 of 7 quanta succeeded"]);

    let partial = project.duplicate();
    partial.pantler(&[&commit[..], &["--partial"]].concat()).expect(0);
    assert_eq!(read_all(&partial), 4 + 3 + 3 + 2 + 1);

    let reverted = project.duplicate();
    reverted.pantler(&["workspace", "revert", &name, "--take-over"]).expect(0);
    assert_eq!(read_all(&reverted), 4);

    project.pantler(&["workspace", "run", &name]).expect(0);
    project.pantler(&commit).expect(0);
    assert_eq!(project.contents("specimen"), finished());
}

#[test]
fn a_half_committed_workspace_is_committed() {
    let project = repository(&specimen("closing-v1"));
    let name = the_workspace(&project);
    assert_says(&project.pantler(&["workspace", "run", &name]), 4, &["a closing of workspace"]);
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    assert_eq!(project.contents("specimen"), finished());
    assert_eq!(open_names(&project, "workspace"), [""; 0]);
}

#[test]
fn a_graph_file_is_read_in_full_and_by_quantum() {
    let path = specimen("graph-v1").join("graph-1.qg");
    let graph = read(File::open(&path).unwrap()).unwrap();
    let counts: Vec<_> = graph.counts().map(|(t, n)| format!("{} {n}", t.label)).collect();
    assert_eq!(counts, ["daily 4", "year 2", "compare 1"]);
    let mut reader = GraphReader::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.producer(), "pantler 0.1.0");
    for quantum in graph.quanta() {
        let stored = reader.quantum(graph.quantum_id(quantum)).unwrap().unwrap();
        let view = graph.quantum(quantum);
        assert_eq!((&stored.task, &stored.data_id), (&view.task.label, &view.data_id));
        let inputs = view.inputs.iter().map(|i| i.datasets.len());
        assert!(inputs.eq(stored.inputs.iter().map(|i| i.datasets.len())));
    }
    // The writer may change within a version; what it writes is read as the same graph.
    let mut again = Cursor::new(Vec::new());
    write(&graph, &mut again).unwrap();
    let again = read(Cursor::new(again.into_inner())).unwrap();
    let datasets = |g: &pantler::graph::QuantumGraph| -> Vec<_> {
        g.datasets().map(|d| g.dataset(d)).collect()
    };
    assert_eq!(datasets(&graph), datasets(&again));
}

#[test]
fn a_truncated_graph_file_is_an_error() {
    let path = specimen("broken/graph-truncated").join("graph-1.qg");
    for error in [
        read(File::open(&path).unwrap()).map(|_| ()).unwrap_err(),
        GraphReader::open(File::open(&path).unwrap()).map(|_| ()).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("this is not a whole graph file: "), "{error}");
    }
}

#[test]
fn a_provenance_file_is_read_node_by_node() {
    let path = specimen("provenance-v1").join("provenance.zip");
    let mut reader = ProvenanceReader::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(reader.producer(), "pantler 0.1.0");
    let counts = reader.counts();
    assert_eq!((counts.quanta, counts.datasets), (7, 21));
    let (mut statuses, mut attempts, mut logs) = (Vec::new(), 0, 0);
    for task in 0..reader.tasks().len() {
        for index in reader.tasks()[task].indices() {
            let quantum = reader.quantum(index).unwrap();
            let found = reader.find(*quantum.id.as_uuid()).unwrap();
            assert_eq!(found, Some(GraphNode::Quantum(index)));
            for input in quantum.inputs.iter().flatten() {
                assert!(reader.readers(*input).unwrap().contains(&index));
            }
            for output in &quantum.outputs {
                assert_eq!(reader.dataset(*output).unwrap().producer, Some(index));
            }
            statuses.push(format!("{} {}", quantum.task, quantum.status.name()));
            for attempt in reader.execution(index).unwrap().attempts {
                attempts += 1;
                let runner = reader.runner(attempt.runner).unwrap();
                assert_eq!(runner.process.as_ref().unwrap().host, "specimen");
            }
            let mut log = Vec::new();
            reader.copy_log(index, &mut log).unwrap();
            logs += log.len();
        }
    }
    // As the journal of `changed-v2` says.
    let expected = [
        "daily poisoned",
        "daily succeeded",
        "daily built",
        "daily accepted",
        "year poisoned",
        "year built",
        "compare poisoned",
    ];
    assert_eq!(statuses, expected);
    assert_eq!((attempts, logs), (7, 61));
}

#[test]
fn a_graph_file_of_a_newer_version_is_refused() {
    let path = specimen("broken/graph-newer").join("graph-1.qg");
    for error in [
        read(File::open(&path).unwrap()).map(|_| ()).unwrap_err(),
        GraphReader::open(File::open(&path).unwrap()).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "graph file version 9: this program reads versions 1 to 3; a newer pantler may read it"
        );
    }
}

#[test]
fn a_repository_of_a_newer_format_is_refused() {
    for (from, says) in [
        (specimen("broken/repository-from-the-future"), "pantler.yaml has format version 9"),
        (specimen("broken/registry-from-the-future"), "the database has schema version 9"),
    ] {
        let mut project = repository(&from);
        project.expect_damage();
        let before = std::fs::read(project.repo().join("registry.sqlite3")).ok();
        for args in [&["check"][..], &["query", "datasets"], &["workspace", "vacuum"]] {
            let ran = project.pantler(args);
            assert_says(&ran, 1, &[says, "use a newer pantler", "nothing has changed"]);
        }
        assert_eq!(std::fs::read(project.repo().join("registry.sqlite3")).ok(), before);
    }
}

#[test]
fn a_transaction_file_that_cannot_be_used_is_named() {
    for (from, says) in [
        (specimen("broken/transaction-from-the-future"), "transaction.json has format version 9"),
        (specimen("broken/transaction-damaged"), "transaction.json is damaged: "),
    ] {
        let mut project = repository(&from);
        project.expect_damage();
        let name = workspace_on_disk(&project);
        for verb in ["run", "status"] {
            assert_says(&project.pantler(&["workspace", verb, &name]), 1, &[says]);
        }
    }
}

#[test]
fn a_damaged_journal_stops_run_and_commit_and_not_revert() {
    let project = repository(&specimen("broken/journal-damaged"));
    let name = the_workspace(&project);
    let place = "journal/1.jsonl:3: the journal is damaged: the checksum does not fit the line";
    let ran = project.pantler(&["workspace", "run", &name]);
    assert_says(&ran, 4, &[place, "pantler workspace revert"]);
    let commit = project.pantler(&["workspace", "commit", &name, "--take-over"]);
    assert_says(&commit, 4, &[place]);
    let abandoned = project.duplicate();
    for (project, verb) in [(&project, "revert"), (&abandoned, "abandon")] {
        project.pantler(&["workspace", verb, &name, "--take-over"]).expect(0);
        assert_eq!(read_all(project), 4);
    }
}

/// The one finding of a check: its code and what it is about.
fn finding(from: &Utf8Path) -> (String, String, Project) {
    let mut project = repository(from);
    project.expect_damage();
    let report = project.pantler(&["check", "--json"]).expect(6).json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report}");
    let text = |field: &str| findings[0][field].as_str().unwrap().to_owned();
    assert!(!text("next").is_empty());
    (text("code"), text("subject"), project)
}

#[test]
fn a_missing_artifact_is_found() {
    let (code, subject, _) = finding(&specimen("broken/artifact-missing"));
    assert_eq!(code, "artifact-missing");
    assert!(subject.starts_with("specimen%2Fraw@1/readings/city=oslo,month=1~"), "{subject}");
}

#[test]
fn an_artifact_of_wrong_size_is_found() {
    let (code, subject, project) = finding(&specimen("broken/artifact-wrong-size"));
    assert_eq!(code, "artifact-size");
    assert!(subject.starts_with("specimen%2Fraw@1/readings/city=oslo,month=1~"), "{subject}");
    let get = ["get", "readings", "city=oslo", "month=1", "--collections", "specimen/raw"];
    assert_eq!(project.pantler(&get).code(), Some(1));
}

#[test]
fn an_orphan_is_found() {
    let (code, subject, project) = finding(&specimen("broken/orphan"));
    assert_eq!((&*code, &*subject), ("orphan", "specimen%2Fraw@1/readings/stray.csv"));
    std::fs::remove_file(project.repo().join("artifacts").join(subject)).unwrap();
    project.check();
}

/// A damage in `broken/damages`: what it is made on, and the codes that a check then gives.
fn damage(path: &Utf8Path) -> (String, Vec<String>, bool) {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().next().unwrap();
    let (base, gives) =
        line[2..].trim().strip_prefix("On ").unwrap().split_once(", gives: ").unwrap();
    let codes = gives.trim_end_matches(" (with --checksum)");
    (base.to_owned(), codes.split(' ').map(str::to_owned).collect(), gives != codes)
}

/// All damages, by code.
fn damages() -> BTreeMap<String, Utf8PathBuf> {
    let entries = specimen("broken/damages").read_dir_utf8().unwrap().map(Result::unwrap);
    entries.map(|e| (e.path().file_stem().unwrap().to_owned(), e.path().to_owned())).collect()
}

#[test]
fn each_damage_gives_its_codes() {
    for (code, path) in damages() {
        let (base, mut expected, checksum) = damage(&path);
        let mut project = repository(&specimen(&base));
        project.expect_damage();
        if path.extension() == Some("sql") {
            project.sql(&std::fs::read_to_string(&path).unwrap());
        } else {
            let mut shell = Command::new("sh");
            assert!(
                shell.arg("-e").arg(&path).current_dir(project.repo()).status().unwrap().success()
            );
        }
        let args: &[&str] =
            if checksum { &["check", "--json", "--checksum"] } else { &["check", "--json"] };
        let report = project.pantler(args).expect(6).json();
        let findings = report["findings"].as_array().unwrap();
        let mut found: Vec<_> =
            findings.iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
        found.sort();
        found.dedup();
        expected.sort();
        assert_eq!(found, expected, "{code}: {report:#}");
        assert!(expected.contains(&code), "{code}");
    }
}

#[test]
fn each_code_of_a_check_has_a_damage_and_a_line_in_its_page() {
    let page = std::fs::read_to_string(source_root().join("docs/check.md")).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .filter(|code| !code.contains(' '))
        .map(str::to_owned)
        .collect();
    let mut shown: BTreeSet<String> = damages().into_keys().collect();
    for (code, whole) in [
        ("artifact-missing", "broken/artifact-missing"),
        ("artifact-size", "broken/artifact-wrong-size"),
        ("orphan", "broken/orphan"),
    ] {
        assert!(specimen(whole).is_dir());
        shown.insert(code.to_owned());
    }
    let mut written = BTreeSet::new();
    for file in
        ["crates/registry/src/check.rs", "crates/direct/src/check.rs", "crates/direct/src/check"]
    {
        let path = source_root().join(file);
        let files = match path.read_dir_utf8() {
            Ok(entries) => entries.map(|e| e.unwrap().into_path()).collect(),
            Err(_) => vec![path],
        };
        for file in files.iter().filter(|file| file.file_name() != Some("tests.rs")) {
            let text = std::fs::read_to_string(file).unwrap();
            let code = |part: &&str| {
                part.contains('-') && part.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            };
            written.extend(text.split('"').filter(code).map(str::to_owned));
        }
    }
    written.extend(["orphan", "foreign", "integrity"].map(str::to_owned));
    assert!(written.len() > 35, "{written:?}");
    assert_eq!(written, documented, "codes in the source, and in docs/check.md");
    assert_eq!(written, shown, "codes in the source, and in workspaces/broken");
}

#[test]
fn a_workspace_with_a_committed_and_a_frozen_shard_is_committed() {
    let project = repository(&specimen("shards-v2"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let shards = status["shards"].as_array().unwrap().iter();
    let states: Vec<_> = shards.map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["committed", "frozen"], "{status}");
    let summaries = || datasets(&project, &["summary", "--collections", &name]).len();
    assert_eq!(summaries(), 1);
    let commit = ["workspace", "commit", &name, "--shard", "city=oslo", "--take-over"];
    project.pantler(&commit).expect(0);
    assert_eq!(summaries(), 2);
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    assert_eq!(summaries(), 2);
    project.check();
}

#[test]
fn notes_say_which_part_is_of_which_shard() {
    let project = repository(&specimen("shard-parts-v1"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let root = Utf8PathBuf::from(status["root"].as_str().unwrap());
    assert_eq!(root.join("shards").read_dir_utf8().unwrap().count(), 2);
    // The note keeps it from being opened for another shard.
    std::fs::write(root.join("graph-2.qg"), "nothing").unwrap();
    let verb =
        |verb: &str, shard: &str| project.pantler(&["workspace", verb, &name, "--shard", shard]);
    let refused = verb("run", "city=oslo").expect(1);
    assert!(refused.stderr.contains("graph-2.qg"), "{}", refused.stderr);
    verb("run", "city=bergen").expect(0);
    verb("commit", "city=bergen").expect(0);
    project.pantler(&["workspace", "abandon", &name, "--take-over"]).expect(0);
    assert_eq!(datasets(&project, &["summary", "--collections", &name]).len(), 1);
}

#[test]
fn a_workspace_with_init_steps_is_committed() {
    let from = specimen("activation-v1");
    let project = repository(&from.join("repo"));
    let name = the_workspace(&project);
    let status = project.pantler(&["workspace", "status", &name, "--json"]).expect(0).json();
    let steps: Vec<_> = status["init_steps"].as_array().unwrap().iter().collect();
    assert!(steps.len() == 2 && steps.iter().all(|one| one["active"] == true), "{status}");
    let made = || {
        let there = |one| datasets(&project, &[one, "--collections", &name]).len();
        ["settings", "schema", "copy"].map(there)
    };
    assert_eq!(made(), [1, 1, 1]);
    project.pantler(&["workspace", "commit", &name, "--take-over"]).expect(0);
    assert_eq!(made(), [1, 1, 2]);
    let settings = project.pantler(&["get", "settings", "--collections", &name]).expect(0).json();
    assert_eq!(settings, json!({"decimals": 2, "unit": "C"}));
    // The file by hand is read as it was then.
    let pipeline = from.join("pipeline.yaml");
    let create = ["workspace", "create", "specimen/new", "-i", "specimen/raw", "--pipeline"];
    project.pantler(&[&create[..], &[pipeline.as_str()]].concat()).expect(0);
    let said = project.pantler(&["workspace", "activate", "specimen/new"]).expect(0).text();
    assert!(said.contains("active: 2 init steps"), "{said}");
    project.pantler(&["workspace", "revert", "specimen/new"]).expect(0);
    project.check();
}
