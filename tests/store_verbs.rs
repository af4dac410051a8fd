//! Storing and removing from the command line: put, get, ingest, restore, remove,
//! remove-run, transfer.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
};

use pantler_testkit::{Project, Ran};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    program,
    toy::{Gate, datasets, open_names, path_of, tidy, until},
};

mod bad_input;

const UNIVERSE: &str = "\
version: 1
name: climate
elements:
  city: {key: string}
  month: {key: integer}
  site: {key: string, metadata: {height: {type: float, required: true}}}
";

/// A repository with the type `daily`, of city and month, and records for oslo in 1 and 2.
fn climate() -> Project {
    let project = Project::empty(&program());
    project.write("universe.yaml", UNIVERSE);
    init(&project, &project.repo().into_string());
    register(&project);
    project.pantler(&["record", "insert", "city", "city=oslo"]).expect(0);
    for month in ["month=1", "month=2"] {
        project.pantler(&["record", "insert", "month", month]).expect(0);
    }
    for (file, text) in [("one.csv", "1\n"), ("two.csv", "22\n")] {
        project.write(file, text);
    }
    project
}

fn register(project: &Project) {
    let args = ["dataset-type", "register", "daily", "--dimensions", "city,month"];
    project.pantler(&[&args[..], &["--storage-class", "Csv"]].concat()).expect(0);
}

fn init(project: &Project, place: &str) {
    let universe = project.path().join("universe.yaml");
    project.program().run(&["init", place, "--universe", universe.as_str()]).expect(0);
}

/// Another repository of the same universe, checked like the first at the end.
fn beside(project: &Project) -> Project {
    let other = Project::empty(project.program());
    other.write("universe.yaml", project.read("universe.yaml"));
    init(&other, other.repo().as_str());
    other
}

/// A command on the project's repository, run in its folder.
fn command(project: &Project, args: &[&str]) -> std::process::Command {
    let mut command = project.program().command(args);
    command.current_dir(project.path()).env("PANTLER_REPO", project.repo());
    command
}

fn pantler(project: &Project, args: &[&str]) -> Ran {
    Ran::of(command(project, args))
}

/// With this on standard input.
fn fed(project: &Project, args: &[&str], input: &str) -> Ran {
    let mut command = command(project, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::finish(child)
}

/// Runs it with a step at which it kills itself.
#[track_caller]
fn killed(project: &Project, step: &str, args: &[&str]) {
    let mut command = command(project, args);
    command.env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
}

/// What a command prints whose dry run changes nothing and says `would`.
#[track_caller]
fn done(project: &Project, args: &[&str]) -> String {
    let before = project.picture();
    let dry = pantler(project, &[args, &["--dry-run"]].concat()).expect(0);
    before.assert_same(&project.picture(), "after a dry run");
    let ran = pantler(project, args).expect(0);
    if project.picture() != before {
        assert!(dry.text().contains("would"), "{}", dry.text());
    }
    ran.text().trim_end().to_owned()
}

/// `pantler put` of a file to oslo in this month; its UUID.
#[track_caller]
fn put(project: &Project, file: &str, month: &str) -> String {
    done(project, &["put", file, "daily", "city=oslo", month, "--run", "raw"])
}

fn content(project: &Project, id: &str) -> String {
    pantler(project, &["get", id]).expect(0).text()
}

fn state(project: &Project, id: &str) -> String {
    let row = row(project, id);
    row["state"].as_str().unwrap().to_owned()
}

fn row(project: &Project, id: &str) -> Value {
    datasets(project, &[]).into_iter().find(|row| row["id"] == id).unwrap()
}

#[test]
fn put_prints_the_uuid_and_only_that() {
    let project = climate();
    let id = put(&project, "one.csv", "month=1");
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(content(&project, &id), "1\n");
    assert_eq!(row(&project, &id)["run"], "raw");

    let again =
        pantler(&project, &["put", "one.csv", "daily", "city=oslo", "month=1", "--run", "raw"])
            .expect(0);
    assert_eq!(again.text().trim_end(), id);
    assert_eq!(again.stderr, "there already, with this content\n");

    let args = ["put", "-", "daily", "city=oslo", "month=2", "--run", "raw", "--json"];
    let piped = fed(&project, &args, "2\n").expect(0).json();
    assert_eq!(
        piped,
        json!({
            "id": piped["id"],
            "run": "raw",
            "dataset_type": "daily",
            "data_id": {"city": "oslo", "month": 2},
            "outcome": "stored",
        })
    );
    assert_eq!(content(&project, piped["id"].as_str().unwrap()), "2\n");
    assert_eq!(fed(&project, &args, "2\n").expect(0).json()["outcome"], "there");
}

#[test]
fn put_stores_again_what_is_registered_only_or_lost() {
    let project = climate();
    let id = put(&project, "one.csv", "month=1");
    done(&project, &["remove", &id]);
    assert_eq!(state(&project, &id), "registered");
    assert_eq!(put(&project, "two.csv", "month=1"), id, "registered only: any content will do");
    assert_eq!(content(&project, &id), "22\n");

    std::fs::write(path_of(&row(&project, &id)), "33\n").unwrap();
    assert_eq!(put(&project, "two.csv", "month=1"), id);
    assert_eq!(content(&project, &id), "22\n");
    std::fs::remove_file(path_of(&row(&project, &id))).unwrap();
    let args = ["put", "two.csv", "daily", "city=oslo", "month=1", "--run", "raw"];
    let ran = pantler(&project, &args).expect(0);
    assert_eq!(
        (ran.text().trim_end(), ran.stderr.as_str()),
        (&*id, "its artifact was lost, and is stored again\n")
    );
}

/// The steps of a command, as an undisturbed run of a copy logs them: of each, the first
/// and the last time that it comes to it.
fn steps(project: &Project, args: &[&str]) -> Vec<String> {
    let copy = project.duplicate();
    let log = copy.path().join("steps");
    let mut command = command(&copy, args);
    command.env("PANTLER_CRASH_LOG", &log);
    Ran::of(command).expect(0);
    let mut counts = BTreeMap::<String, usize>::new();
    for name in std::fs::read_to_string(log).unwrap().lines() {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    let mut steps = Vec::new();
    for (name, count) in counts {
        steps.push(format!("{name}:1"));
        if count > 1 {
            steps.push(format!("{name}:{count}"));
        }
    }
    steps
}

/// Kills a command at each of its steps, on a copy each time; the same command again must
/// end as an undisturbed one does.
#[track_caller]
fn survives_kills(project: &Project, args: &[&str]) {
    let undisturbed = project.duplicate();
    pantler(&undisturbed, args).expect(0);
    let steps = steps(project, args);
    assert!(steps.len() > 5, "{steps:?}");
    for step in steps {
        let copy = project.duplicate();
        killed(&copy, &step, args);
        copy.check();
        let ran = pantler(&copy, args);
        // What was purged is not found a second time.
        let gone = ran.code() == Some(1) && open_names(&copy, "transaction").is_empty();
        assert!(ran.code() == Some(0) || gone, "{step}: {}", ran.stderr);
        let ends = |project: &Project| {
            let rows = datasets(project, &[]);
            rows.iter()
                .map(|r| format!("{} {} {} {}", r["run"], r["data_id"], r["state"], r["checksum"]))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(&copy), ends(&undisturbed), "{step}");
        assert_eq!(open_names(&copy, "transaction"), Vec::<String>::new(), "{step}");
        let checked = copy.pantler(&["check", "--checksum"]);
        assert_eq!(checked.code(), Some(0), "{step}: {}", checked.text());
    }
}

#[test]
fn a_killed_put_is_finished_by_the_same_command() {
    let project = climate();
    let args = ["put", "one.csv", "daily", "city=oslo", "month=1", "--run", "raw"];
    survives_kills(&project, &args);
    // Also one that first takes away what has rotted.
    let id = put(&project, "one.csv", "month=1");
    std::fs::write(path_of(&row(&project, &id)), "9\n").unwrap();
    survives_kills(&project, &args);
    put(&project, "one.csv", "month=1");
}

#[test]
fn a_killed_removal_is_finished_by_the_same_command() {
    let project = climate();
    let (one, two) = (put(&project, "one.csv", "month=1"), put(&project, "two.csv", "month=2"));
    survives_kills(&project, &["remove", &one]);
    survives_kills(&project, &["remove", &one, &two, "--purge"]);
    survives_kills(&project, &["remove", "--type", "daily", "--collections", "raw", "month=2"]);
    done(&project, &["collection", "chain", "all", "raw"]);
    survives_kills(&project, &["remove-run", "raw", "--unlink"]);
    // Its dry run says that there is something to go on with; another removal is refused.
    killed(&project, "removal.deleted:1", &["remove", &one]);
    let dry = pantler(&project, &["remove", &one, "--dry-run"]).expect(0);
    assert!(dry.text().contains("an earlier call began it"), "{}", dry.text());
    let other = pantler(&project, &["remove", &two]).expect(1);
    assert!(other.stderr.contains("remove-"), "{}", other.stderr);
    done(&project, &["remove", &one]);
    assert_eq!(state(&project, &one), "registered");
}

#[test]
fn files_are_ingested_by_pattern() {
    let project = climate();
    for (city, month) in [("oslo", 1), ("oslo", 2), ("bergen", 3)] {
        project.write(&format!("data/{city}/{month}.csv"), format!("{city} {month}\n"));
    }
    let args = ["ingest", "--type", "daily", "--run", "raw", "data/{city}/{month}.csv"];
    let missing = pantler(&project, &args).expect(1);
    assert!(
        missing.stderr.contains("there is no city record for city=bergen"),
        "{}",
        missing.stderr
    );
    let args = [&args[..], &["--register"]].concat();
    let dry = pantler(&project, &[&args[..], &["--dry-run"]].concat()).expect(0).text();
    insta::assert_snapshot!(tidy(&project, &dry), @r#"
    would ingest 3 datasets (23 B)
      daily city=bergen month=3  <- <project>/data/bergen/3.csv
      daily city=oslo month=1  <- <project>/data/oslo/1.csv
      daily city=oslo month=2  <- <project>/data/oslo/2.csv
    would make 2 dimension records from keys
    "#);
    assert_eq!(done(&project, &args), "ingested 3 datasets (23 B)");
    assert_eq!(done(&project, &args), "ingested nothing new, 3 there already");
    project.write("data/oslo/03.csv", "oslo 3\n");
    assert_eq!(done(&project, &args), "ingested 1 dataset (7 B), 3 there already");
    // Records and types stay if the storing is undone; kills leave the same.
    let fresh = climate();
    fresh.write("data/bergen/7.csv", "7\n");
    fresh.write("data/bergen/8.csv", "8\n");
    survives_kills(&fresh, &args);
}

#[test]
fn a_type_is_registered_by_its_first_ingest() {
    let project = climate();
    project.write("notes/oslo.txt", "rain\n");
    let args = ["ingest", "--type", "note", "--run", "notes", "notes/{city}.txt"];
    let unknown = pantler(&project, &args).expect(1);
    insta::assert_snapshot!(tidy(&project, &unknown.stderr), @r#"
    error: there is no dataset type `note`
    now: nothing has changed
    next: pantler dataset-type register note --dimensions A,B --storage-class CLASS --repo <project>/repo
      or: the same command with --register --dimensions A,B --storage-class CLASS
    "#);
    let more = ["--register", "--dimensions", "city", "--storage-class", "Text"];
    assert_eq!(done(&project, &[&args[..], &more].concat()), "ingested 1 dataset (5 B)");
    assert_eq!(done(&project, &args), "ingested nothing new, 1 there already");
}

#[test]
fn files_are_ingested_by_index() {
    let project = climate();
    project.write("lists/all.txt", "aaaabb");
    project.write("lists/alone.csv", "cc\n");
    project.write(
        "lists/index.csv",
        "file,type,city,month,offset,size\n\
         all.txt,,oslo,1,0,4\nall.txt,,oslo,2,4,2\nalone.csv,daily,bergen,1,,\n",
    );
    let args =
        ["ingest", "--run", "raw", "--index", "lists/index.csv", "--type", "daily", "--register"];
    assert_eq!(done(&project, &args), "ingested 3 datasets (9 B)");
    let rows = datasets(&project, &[]);
    let contents: Vec<String> =
        rows.iter().map(|row| content(&project, row["id"].as_str().unwrap())).collect();
    assert_eq!(contents, ["cc\n", "aaaa", "bb"]);
    assert_eq!(path_of(&rows[1]), path_of(&rows[2]), "two datasets in one artifact");
    assert_eq!(done(&project, &args), "ingested nothing new, 3 there already");

    // The artifact goes with the last of them.
    let (first, last) = (rows[1]["id"].as_str().unwrap(), rows[2]["id"].as_str().unwrap());
    let kept = done(&project, &["remove", first, "--purge"]);
    assert_eq!(
        kept,
        "purged 1 dataset: 0 artifacts (0 B); 1 artifact stay: other datasets need them, or they lie outside"
    );
    assert_eq!(content(&project, last), "bb");
    assert_eq!(done(&project, &["remove", last, "--purge"]), "purged 1 dataset: 1 artifact (2 B)");
    assert!(!path_of(&rows[2]).exists());
}

#[test]
fn what_can_be_stored_is_when_it_keeps_going() {
    let project = climate();
    put(&project, "one.csv", "month=1");
    project.write("new/1.csv", "other content\n");
    project.write("new/2.csv", "22\n");
    project.write(
        "index.csv",
        "file,city,month\nnew/1.csv,oslo,1\nnew/2.csv,oslo,2\nnew/3.csv,bergen,1\n",
    );
    let args = ["ingest", "--run", "raw", "--index", "index.csv", "--type", "daily", "--register"];
    let before = project.picture();
    pantler(&project, &args).expect(1);
    before.assert_same(&project.picture(), "all or nothing");
    let going = [&args[..], &["--keep-going"]].concat();
    let dry = pantler(&project, &[&going[..], &["--dry-run"]].concat()).expect(1);
    before.assert_same(&project.picture(), "after a dry run");
    assert!(dry.text().starts_with("would ingest 1 dataset (3 B)\n"), "{}", dry.text());
    let ran = pantler(&project, &going).expect(1);
    let id = row_of(&project, "city=oslo", "month=1")["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(tidy(&project, &ran.stderr).replace(&id, "<uuid>"), @r#"
    failed: daily city=oslo month=1: <project>/new/1.csv differs from what raw has as daily city=oslo month=1 (<uuid>): a dataset never changes
    failed: <project>/new/3.csv: cannot read <project>/new/3.csv: No such file or directory (os error 2)
    error: 2 datasets could not be stored
    now: 1 other dataset stored; what failed is as it was before
    next: the same command again, when the reasons are gone
    "#);
    assert_eq!(ran.text(), "ingested 1 dataset (3 B)\n");
    let json = pantler(&project, &[&going[..], &["--json"]].concat()).expect(1).json();
    assert_eq!(json["skipped"], 1);
    assert_eq!(json["failed"].as_array().unwrap().len(), 2);
}

fn row_of(project: &Project, city: &str, month: &str) -> Value {
    let rows = datasets(project, &[city, month]);
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

#[test]
fn each_transfer_mode_does_what_it_says_to_the_file() {
    let modes = ["auto", "copy", "move", "hardlink", "symlink", "direct"];
    for mode in modes {
        let project = climate();
        project.write("data/oslo/1.csv", "1\n");
        let file = project.path().join("data/oslo/1.csv");
        let args = [
            "ingest",
            "--type",
            "daily",
            "--run",
            "raw",
            "--transfer",
            mode,
            "data/{city}/{month}.csv",
        ];
        assert_eq!(done(&project, &args), "ingested 1 dataset (2 B)", "{mode}");
        let row = row_of(&project, "city=oslo", "month=1");
        let path = path_of(&row);
        assert_eq!(file.exists(), mode != "move", "{mode}");
        assert_eq!(path.is_symlink(), mode == "symlink", "{mode}");
        assert_eq!(path == file, mode == "direct", "{mode}");
        let uri = pantler(&project, &["get", row["id"].as_str().unwrap(), "--uri"]).expect(0);
        assert_eq!(uri.text(), format!("file://{path}\n"), "{mode}");
        // Removing never takes the user's file.
        done(&project, &["remove", row["id"].as_str().unwrap(), "--purge"]);
        assert_eq!(file.exists(), mode != "move", "{mode}");
    }
    // A file in the storage that no record names is an orphan until it is ingested.
    let project = climate();
    put(&project, "one.csv", "month=1");
    project.write("repo/artifacts/mine/2.csv", "22\n");
    let pattern = "repo/artifacts/*/mine/{month}.csv";
    let refused =
        pantler(&project, &["ingest", "--type", "daily", "--run", "raw", pattern]).expect(2);
    assert!(refused.stderr.contains("it has no `{city}`"), "{}", refused.stderr);
    project.write("index.csv", "file,city,month\nrepo/artifacts/mine/2.csv,oslo,2\n");
    let args = ["ingest", "--type", "daily", "--run", "raw", "--index", "index.csv"];
    assert_eq!(done(&project, &args), "ingested 1 dataset (3 B)");
    let path = path_of(&row_of(&project, "city=oslo", "month=2"));
    assert_eq!(path, project.path().join("repo/artifacts/mine/2.csv"));
}

#[test]
fn derived_ids_are_the_same_in_every_repository() {
    let (one, two) = (climate(), climate());
    let ids = |project: &Project, scheme: &str, run: &str| {
        project.write("data/oslo/1.csv", "1\n");
        let args = [
            "ingest",
            "--type",
            "daily",
            "--run",
            run,
            "--ids",
            scheme,
            "data/{city}/{month}.csv",
            "--json",
        ];
        pantler(project, &args).expect(0).json()["ids"].clone()
    };
    assert_eq!(ids(&one, "dataid-type-run", "raw"), ids(&two, "dataid-type-run", "raw"));
    assert_ne!(ids(&one, "dataid-type-run", "b"), ids(&two, "dataid-type-run", "c"));
    assert_ne!(ids(&one, "unique", "d"), ids(&two, "unique", "d"));
}

#[test]
fn a_registered_dataset_is_restored() {
    let project = climate();
    let id = put(&project, "one.csv", "month=1");
    let there = done(&project, &["restore", &id, "one.csv"]);
    assert_eq!(there, format!("{id} is stored already, with that content"));
    let refused = pantler(&project, &["restore", &id, "two.csv"]).expect(1);
    assert!(refused.stderr.contains("a dataset never changes"), "{}", refused.stderr);
    assert_eq!(done(&project, &["remove", &id]), "unstored 1 dataset: 1 artifact (2 B)");
    survives_restore(&project, &id);
    assert_eq!(done(&project, &["restore", &id, "two.csv"]), format!("restored {id} (3 B)"));
    assert_eq!(content(&project, &id), "22\n");
    done(&project, &["remove", &id]);
    fed(&project, &["restore", &id, "-"], "piped\n").expect(0);
    assert_eq!(content(&project, &id), "piped\n");
}

/// As for other commands, but once it is stored, a restore says so.
fn survives_restore(project: &Project, id: &str) {
    let args = ["restore", id, "two.csv"];
    for step in steps(project, &args) {
        let copy = project.duplicate();
        killed(&copy, &step, &args);
        let ran = pantler(&copy, &args);
        assert!(matches!(ran.code(), Some(0 | 1)), "{step}: {}", ran.stderr);
        assert_eq!(content(&copy, id), "22\n", "{step}");
        assert_eq!(open_names(&copy, "transaction"), Vec::<String>::new(), "{step}");
    }
}

#[test]
fn several_datasets_are_read_into_a_folder() {
    let project = climate();
    let (one, two) = (put(&project, "one.csv", "month=1"), put(&project, "two.csv", "month=2"));
    let said = |args: &[&str]| pantler(&project, args).expect(0).text();
    let path = project.path();
    assert_eq!(said(&["get", &one, &two, "-d", "out"]), format!("wrote 2 files to {path}/out\n"));
    assert_eq!(project.read("out/daily/city=oslo,month=1.csv"), "1\n");
    assert_eq!(project.read("out/daily/city=oslo,month=2.csv"), "22\n");
    said(&["get", "--type", "daily", "--collections", "raw", "city=oslo", "-d", "again"]);
    assert_eq!(project.read("again/daily/city=oslo,month=2.csv"), "22\n");
    let uris = said(&["get", "daily", "--collections", "raw", "--uri"]);
    assert_eq!(uris.lines().count(), 2);
    assert!(
        uris.lines().all(|line| line.starts_with(&format!("file://{path}/repo/artifacts/raw")))
    );

    let refused = |args: &[&str]| tidy(&project, &pantler(&project, args).stderr);
    insta::assert_snapshot!(refused(&["get", &one, &two]), @"error: several datasets go into a folder: name it with -d DIR");
    insta::assert_snapshot!(refused(&["get", &one, "daily", "--collections", "raw"]), @"error: name datasets by UUID or by their type, not both");
    insta::assert_snapshot!(refused(&["get", "city=oslo"]), @"error: values go with a dataset type and --collections");
    // What is registered only is said before anything is written.
    done(&project, &["remove", &two]);
    pantler(&project, &["get", &one, &two, "-d", "none"]).expect(1);
    assert!(!path.join("none").exists());
}

#[test]
fn a_run_is_removed_and_unlinked() {
    let project = climate();
    put(&project, "one.csv", "month=1");
    done(&project, &["collection", "chain", "all", "raw"]);
    done(&project, &["collection", "chain", "more", "raw", "all"]);
    let before = project.picture();
    let refused = pantler(&project, &["remove-run", "raw"]).expect(1);
    before.assert_same(&project.picture(), "after what was refused");
    insta::assert_snapshot!(tidy(&project, &refused.stderr), @r#"
    error: run `raw` is in the chains `all`, `more`
    now: nothing has changed
    next: pantler remove-run raw --unlink --repo <project>/repo
    "#);
    let args = ["remove-run", "raw", "--unlink"];
    assert_eq!(done(&project, &args), "removed raw with 1 dataset: 1 artifact (2 B)");
    let names: Vec<String> =
        crate::toy::names(&pantler(&project, &["collection", "list", "--json"]));
    assert_eq!(names, ["all", "more"]);
    assert!(project.picture().files.is_empty());
}

#[test]
fn chains_stay_if_the_removal_is_refused() {
    let project = climate();
    let id = put(&project, "one.csv", "month=1");
    done(&project, &["collection", "create", "good"]);
    done(&project, &["collection", "tag", "good", &id]);
    done(&project, &["collection", "chain", "all", "raw"]);
    let before = project.picture();
    let refused = pantler(&project, &["remove-run", "raw", "--unlink"]).expect(1);
    before.assert_same(&project.picture(), "after what was refused");
    assert!(refused.stderr.contains("`good`"), "{}", refused.stderr);
}

#[test]
fn datasets_are_transferred() {
    let project = climate();
    let one = put(&project, "one.csv", "month=1");
    put(&project, "two.csv", "month=2");
    for mode in ["copy", "hardlink", "symlink", "direct"] {
        let other = beside(&project);
        let source = project.repo();
        let args = [
            "transfer",
            source.as_str(),
            "--type",
            "daily",
            "--collections",
            "raw",
            "--mode",
            mode,
        ];
        assert_eq!(done(&other, &args), "transferred 2 datasets (5 B)", "{mode}");
        assert_eq!(done(&other, &args), "transferred nothing new, 2 there already", "{mode}");
        assert_eq!(content(&other, &one), "1\n");
        assert_eq!(row(&other, &one)["run"], "raw");
    }
    let other = beside(&project);
    survives_kills(&other, &["transfer", project.repo().as_str(), &one]);
}

/// Whether SIGSTOP has stopped a process.
fn is_paused(child: &std::process::Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    status.rsplit(") ").next().unwrap().starts_with('T')
}

#[test]
fn being_interrupted_reverts() {
    let project = climate();
    for month in 1..=2 {
        project.write(&format!("data/oslo/{month}.csv"), format!("{month}\n"));
    }
    let args = ["ingest", "--type", "daily", "--run", "raw", "data/{city}/{month}.csv"];
    for signal in [Signal::INT, Signal::TERM] {
        let before = project.picture();
        // The opening waits until the test lets go of the database.
        let database = rusqlite::Connection::open(project.repo().join("registry.sqlite3")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let log = project.path().join(format!("steps-{}", signal.as_raw()));
        let mut command = command(&project, &args);
        command.env("PANTLER_CRASH_LOG", &log).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let waits = || std::fs::read_to_string(&log).is_ok_and(|s| s.contains("registry.begin"));
        until("it opens its transaction", waits);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(
            lines.next().unwrap().unwrap(),
            "stopping, and undoing what was begun; once more ends at once"
        );
        database.execute_batch("ROLLBACK").unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(
            rest,
            ["error: the ingest was stopped and undone", "now: the repository is as it was before"]
        );
        Ran::finish(child).expect(130);
        before.assert_same(&project.picture(), "after what was interrupted");
        assert_eq!(open_names(&project, "transaction"), Vec::<String>::new());
    }
}
