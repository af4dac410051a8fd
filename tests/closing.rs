//! Closing transactions: how often the database commits, by whom they may be closed,
//! and what each closing makes of an ingest that was killed half-way.

use std::sync::atomic::Ordering;

use pantler::{
    core::{TransactionName, transaction::Closing},
    direct::{CloseOptions, Closed},
    graph::Choices,
    registry::RegistryError,
    workspace::{WorkspaceRequest, create},
};
use pantler_testkit::{Project, Ran};

use crate::{
    library::{butler, close_workspace, collection, files_of, ingest},
    toy::{datasets, killed_at, open_names, toy, until},
};

fn items(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("item{i:03}")).collect()
}

fn toy_of(items: &[String]) -> Project {
    toy(&items.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_commit_is_one_closing_database_transaction_whatever_the_number_of_quanta() {
    for n in [6, 26, 100] {
        let project = toy_of(&items(n));
        project.run(&["--no-commit"]).expect(0);
        let name = open_names(&project, "workspace").remove(0);
        let butler = butler(&project);
        let commits = butler.registry().count_commits().unwrap();
        let closed = close_workspace(&butler, &name, Closing::Commit).unwrap();
        assert_eq!(closed, Closed::Now { stored: n + 1 + n + 1 });
        // The claim, which goes before the first delete, and the closing one.
        assert_eq!(commits.load(Ordering::SeqCst), 2, "{n} copies");
        // Closing again commits nothing.
        let closed = close_workspace(&butler, &name, Closing::Commit).unwrap();
        assert_eq!((closed, commits.load(Ordering::SeqCst)), (Closed::Before, 2));
        drop(butler);
        // Outputs, a log for each quantum that said something, and provenance.
        assert_eq!(datasets(&project, &["--collections", &name]).len(), n + 1 + n + 1);
    }
}

#[test]
fn an_ingest_takes_as_many_database_transactions_for_many_files_as_for_few() {
    let counts = [3, 150].map(|n| {
        let items = items(n);
        let project = toy_of(&items);
        killed_at(&project, "init.folders.made:1", &[]);
        let universe = project.path().join("universe.yaml");
        let repo = project.repo();
        project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
        let butler = butler(&project);
        let commits = butler.registry().count_commits().unwrap();
        let names: Vec<&str> = items.iter().map(String::as_str).collect();
        assert_eq!(ingest(&butler, &files_of(&project, &names)).unwrap().stored, n);
        commits.load(Ordering::SeqCst)
    });
    // RUN, types and records; the opening; the closing.
    assert_eq!(counts, [3, 3]);
}

/// A repository with an ingest of five files that was killed when some stood at their
/// keys, and the same repository before that was opened.
fn half_ingested() -> (Project, Project) {
    let before = toy_of(&items(5));
    killed_at(&before, "ingest.prepared:1", &[]);
    let project = before.duplicate();
    killed_at(&project, "datastore.rename:3", &[]);
    (before, project)
}

const NAME: &str = "toy/raw/ingest";

fn stored(project: &Project) -> (usize, usize) {
    let rows = datasets(project, &["number"]);
    let stored = rows.iter().filter(|row| row["stored"] == true).count();
    (stored, rows.len() - stored)
}

#[test]
fn a_half_ingest_is_listed_and_shown() {
    let (_before, project) = half_ingested();
    let rows = project.pantler(&["transaction", "list", "--json"]).expect(0).json();
    let [row] = &rows.as_array().unwrap()[..] else { panic!("{rows}") };
    assert_eq!(row["name"], NAME);
    assert_eq!(row["kind"], "ingest");
    assert_eq!(row["owner"], "tester");
    assert_eq!(row["process"], "dead");
    let shown = project.pantler(&["transaction", "show", NAME, "--json"]).expect(0).json();
    assert_eq!(shown["locks"]["insert_only"], serde_json::json!(["toy/raw"]));
    let text = project.pantler(&["transaction", "show", NAME]).expect(0).text();
    assert!(text.contains("transaction commit|revert|abandon toy/raw/ingest --repo "), "{text}");
    // Its files are its own: no fault, and not to be had.
    project.check();
    assert_eq!(stored(&project), (0, 5));
    let id = datasets(&project, &["number"])[0]["id"].as_str().unwrap().to_owned();
    let ran = project.pantler(&["get", &id]).expect(1);
    assert!(
        ran.stderr.contains(&format!("transaction {NAME} is open on its RUN")),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_half_ingest_cannot_be_committed_and_says_what_is_missing() {
    let (_before, project) = half_ingested();
    let ran = project.pantler(&["transaction", "commit", NAME]).expect(4);
    assert!(
        ran.stderr.contains("3 artifacts are missing or damaged: number item=item"),
        "{}",
        ran.stderr
    );
    assert_eq!(open_names(&project, "transaction"), [NAME]);
    assert_eq!(stored(&project), (0, 5));
    // The job itself knows where to get them from.
    project.run(&[]).expect(0);
    assert_eq!(stored(&project), (5, 0));
}

#[test]
fn reverting_a_half_ingest_gives_what_was_before() {
    let (before, project) = half_ingested();
    project.pantler(&["transaction", "revert", NAME]).expect(0);
    before.picture().assert_same(&project.picture(), "after the revert");
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    let other = project.pantler(&["transaction", "abandon", NAME]).expect(1);
    assert!(other.stderr.contains("was reverted already"), "{}", other.stderr);
    project.run(&[]).expect(0);
    assert_eq!(stored(&project), (5, 0));
}

#[test]
fn abandoning_a_half_ingest_stores_what_is_whole_and_keeps_the_rest_registered() {
    let (_before, project) = half_ingested();
    project.pantler(&["transaction", "abandon", NAME]).expect(0);
    assert_eq!(open_names(&project, "transaction"), [""; 0]);
    assert_eq!(stored(&project), (2, 3));
    for row in datasets(&project, &["number"]) {
        let got = project.pantler(&["get", row["id"].as_str().unwrap()]);
        if row["stored"] == true {
            let item = row["data_id"]["item"].as_str().unwrap();
            assert_eq!(got.expect(0).text(), project.read(&format!("data/{item}.txt")));
        } else {
            assert!(got.expect(1).stderr.contains("is registered, but not stored"));
        }
    }
    let artifacts =
        project.picture().files.into_keys().filter(|path| path.starts_with("artifacts"));
    assert_eq!(artifacts.count(), 2);
}

#[test]
fn what_a_living_process_holds_is_closed_only_when_taken_over() {
    let project = toy(&["a"]);
    project.run(&[]).expect(0);
    let before = project.picture();
    let butler = butler(&project);
    let request = WorkspaceRequest {
        run: collection("trial"),
        chain: None,
        inputs: vec![collection("toy/raw")],
        pipeline: project.path().join("pipeline.yaml"),
        choices: Choices::default(),
        reuse: Vec::new(),
        project: None,
        shard_by: Vec::new(),
    };
    drop(create(&butler, butler.environment().new_opening(), &request).unwrap());
    for noun in ["workspace", "transaction"] {
        let ran = project.pantler(&[noun, "revert", "trial"]).expect(4);
        for part in [&format!("{} ", std::process::id()), "stays open", "--take-over"] {
            assert!(ran.stderr.contains(part), "{part:?} in {}", ran.stderr);
        }
    }
    assert_eq!(open_names(&project, "workspace"), ["trial"]);
    project.pantler(&["workspace", "revert", "trial", "--take-over"]).expect(0);
    before.assert_same(&project.picture(), "after the revert");
    // The one that it was taken from learns how it ended.
    let name = TransactionName::new("trial").unwrap();
    let late = butler.close(&name, Closing::Commit, CloseOptions::default()).unwrap_err();
    assert_eq!(late.to_string(), "transaction trial was reverted already");
}

#[test]
fn writers_wait_for_the_lock_of_another_process() {
    let project = toy(&["a", "b"]);
    killed_at(&project, "init.folders.made:1", &[]);
    let (universe, repo, path) =
        (project.path().join("universe.yaml"), project.repo(), project.path());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);

    // An ingest, and with it all that follows.
    let log = path.join("steps.log");
    let run = held_back(&project, &["run", path.as_str(), "--no-commit"], &log);
    run.expect(0);
    let name = open_names(&project, "workspace").remove(0);

    // A commit.
    std::fs::remove_file(&log).unwrap();
    let args = ["workspace", "commit", &name, "--repo", repo.as_str()];
    held_back(&project, &args, &log).expect(0);
    assert_eq!(datasets(&project, &["total"]).len(), 1);
}

/// Runs the program while this process holds the database's write lock, which it gives
/// up when the program has come to its first write.
fn held_back(project: &Project, args: &[&str], log: &camino::Utf8Path) -> Ran {
    let butler = butler(project);
    let child = butler
        .registry()
        .write(|_| {
            let mut command = project.program().command(args);
            command.env("PANTLER_CRASH_LOG", log);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let steps = || std::fs::read_to_string(log).unwrap_or_default();
            until("it is about to write", || {
                assert!(child.try_wait().unwrap().is_none(), "it did not wait:\n{}", steps());
                steps().lines().any(|step| step == "registry.begin")
            });
            assert!(!steps().contains("registry.commit"), "{}", steps());
            Ok::<_, RegistryError>(child)
        })
        .unwrap();
    Ran::finish(child)
}
