//! What is refused, or goes well, before anything runs: chains, inputs, edited
//! pipelines, folders of other people.

use camino::Utf8Path;
use pantler_testkit::{Program, Project};

use crate::{program, small_weather};

fn pipeline(project: &Project) -> String {
    project.path().join("pipeline.yaml").into_string()
}

fn open_transactions(project: &Project) -> usize {
    project.pantler(&["transaction", "list", "--json"]).expect(0).json().as_array().unwrap().len()
}

fn killed(project: &Project, step: &str) {
    let path = project.path();
    let program: Program = program();
    let mut command = program.command(&["run", path.as_str(), "-j1"]);
    command.env("PANTLER_CRASH", step);
    assert_eq!(pantler_testkit::Ran::of(command).code(), None, "it is killed at {step}");
}

#[test]
fn a_chain_can_be_the_input_of_what_it_gets() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let file = pipeline(&project);
    let args = ["run", &file, "-i", "weather", "-o", "again/{time}", "--chain", "weather"];
    project.pantler(&args).expect(0);
    let rows = project.pantler(&["query", "collections", "--json"]).expect(0).json();
    let chain = rows.as_array().unwrap().iter().find(|r| r["name"] == "weather").unwrap();
    let children = chain["children"].as_array().unwrap();
    assert_eq!(children.len(), 3, "{children:?}");
    assert!(children[0].as_str().unwrap().starts_with("again/"));
    assert_eq!(children[2], "weather/raw");
}

#[test]
fn what_could_not_be_committed_is_refused_before_it_runs() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let file = pipeline(&project);
    let chain = ["run", &file, "-i", "weather/raw", "-o", "x/{time}", "--chain", "weather/raw"];
    let ran = project.pantler(&chain).expect(1);
    assert!(ran.stderr.contains("weather/raw cannot be the chain"), "{}", ran.stderr);
    assert_eq!(open_transactions(&project), 0);

    let create = ["workspace", "create", "open", "--pipeline", &file, "-i", "weather/raw"];
    project.pantler(&create).expect(0);
    let before = project.picture();
    let second =
        ["workspace", "create", "v", "--pipeline", &file, "-i", "weather/raw", "-i", "open"];
    let ran = project.pantler(&second).expect(1);
    assert!(ran.stderr.contains("`open`"), "{}", ran.stderr);
    before.assert_same(&project.picture(), "a refused workspace");
    project.pantler(&["workspace", "revert", "open"]).expect(0);
}

/// One of an earlier program, which kept nothing of its pipeline but the digest.
#[test]
fn an_edited_pipeline_is_not_built_into_a_workspace_of_the_old_one() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let file = pipeline(&project);
    let create = ["workspace", "create", "w", "--pipeline", &file, "-i", "weather/raw"];
    project.pantler(&create).expect(0);
    let status = project.pantler(&["workspace", "status", "w", "--json"]).expect(0).json();
    let root = Utf8Path::new(status["root"].as_str().unwrap());
    std::fs::remove_file(root.join("pipeline.json")).unwrap();
    project.sql("DELETE FROM artifact_transaction_chunk");
    let text = project.read("pipeline.yaml");
    project.write("pipeline.yaml", text.replace("config:", "config:\n      more: 1"));
    let ran = project.pantler(&["workspace", "build", "w"]).expect(4);
    assert!(ran.stderr.contains("is not the pipeline"), "{}", ran.stderr);
    project.write("pipeline.yaml", &text);
    project.pantler(&["workspace", "build", "w"]).expect(0);
    project.pantler(&["workspace", "abandon", "w"]).expect(0);
}

#[test]
fn vacuum_leaves_what_is_not_pantlers() {
    let project = small_weather();
    project.run(&[]).expect(0);
    project.write("repo/workspaces/mine/notes/precious.txt", "mine");
    project.pantler(&["workspace", "vacuum"]).expect(0);
    assert_eq!(project.read("repo/workspaces/mine/notes/precious.txt"), "mine");
}

#[test]
fn a_dry_run_after_a_killed_ingest_says_what_is_left() {
    let project = small_weather();
    killed(&project, "datastore.rename:2");
    let ran = project.run(&["--dry-run"]).expect(0);
    assert!(ran.text().contains("would ingest 4 files"), "{}", ran.text());
    assert_eq!(open_transactions(&project), 1);
    project.run(&[]).expect(0);
}

/// Nobody but root can write to what is stored, so a task cannot by mistake.
#[test]
fn artifacts_are_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = small_weather();
    project.run(&[]).expect(0);
    let rows = project.pantler(&["query", "datasets", "--json"]).expect(0).json();
    for row in rows.as_array().unwrap() {
        let path = row["path"].as_str().unwrap();
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{path} has mode {mode:o}");
    }
}

/// The numbers of a task in the table that a run prints: quanta, succeeded, before.
fn row(text: &str, task: &str) -> Vec<u32> {
    let line = text.lines().find(|l| l.split_whitespace().next() == Some(task)).unwrap();
    line.split_whitespace().skip(1).take(3).map(|n| n.parse().unwrap()).collect()
}

#[test]
fn what_was_made_from_a_vanished_output_is_made_again() {
    let project = small_weather();
    project.run(&["--no-commit"]).expect(0);
    let rows = project.pantler(&["workspace", "list", "--json"]).expect(0).json();
    let name = rows[0]["name"].as_str().unwrap();
    let folder = std::fs::read_dir(project.repo().join("artifacts")).unwrap();
    let run =
        folder.map(|e| e.unwrap().path()).find(|p| !p.to_str().unwrap().contains("raw")).unwrap();
    let lost = std::fs::read_dir(run.join("daily")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(lost).unwrap();
    // Cut off between the new output and what is made from it, and run once more.
    let repo = project.repo();
    let mut command = project.program().command(&["workspace", "run", name, "-j1"]);
    command.env("PANTLER_CRASH", "exec.spawn:2").args(["--repo", repo.as_str()]);
    assert_eq!(pantler_testkit::Ran::of(command).code(), None);
    project.pantler(&["workspace", "commit", name]).expect(3);
    let ran = project.pantler(&["workspace", "run", name]).expect(0);
    let text = ran.text() + &ran.stderr;
    assert_eq!(row(&text, "year"), [2, 1, 1], "{text}");
    assert_eq!(row(&text, "compare"), [1, 1, 0], "{text}");
    project.pantler(&["workspace", "commit", name]).expect(0);
}

#[test]
fn a_command_that_writes_to_its_input_fails() {
    let project = small_weather();
    project.run(&[]).expect(0);
    let script = project.read("tasks/daily.sh");
    // Without damage, so that the repository stays sound.
    project.write("tasks/daily.sh", format!("touch \"$1\"\n{script}"));
    let ran = project.run(&[]).expect(3);
    let said = ran.text() + &ran.stderr;
    assert!(said.contains("changed its input `temperatures`"), "{said}");
    project.write("tasks/daily.sh", script);
    project.run(&[]).expect(0);
}

#[test]
fn status_shows_every_failed_quantum_with_its_log() {
    let project = small_weather();
    let script = project.read("tasks/daily.sh");
    project.write("tasks/daily.sh", "echo no such luck >&2\nexit 9\n");
    project.run(&[]).expect(3);
    let rows = project.pantler(&["workspace", "list", "--json"]).expect(0).json();
    let name = rows[0]["name"].as_str().unwrap();
    let text = project.pantler(&["workspace", "status", name]).expect(0).text();
    assert_eq!(text.matches("failed: daily city=").count(), 4, "{text}");
    assert_eq!(text.matches("| no such luck").count(), 4, "{text}");
    let json = project.pantler(&["workspace", "status", name, "--json"]).expect(0).json();
    let failures = json["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 4);
    assert!(failures[0]["reason"].as_str().unwrap().contains("exit status 9"), "{failures:?}");
    project.write("tasks/daily.sh", script);
    project.run(&[]).expect(0);
}

#[test]
fn an_older_workspace_that_is_committed_later_stays_behind_the_newer_results() {
    let project = small_weather();
    project.run(&["--no-commit"]).expect(0);
    let rows = project.pantler(&["workspace", "list", "--json"]).expect(0).json();
    let older = rows[0]["name"].as_str().unwrap();
    project.run(&["--new"]).expect(0);
    project.pantler(&["workspace", "commit", older]).expect(0);
    let rows = project.pantler(&["query", "collections", "--json"]).expect(0).json();
    let chain = rows.as_array().unwrap().iter().find(|r| r["name"] == "weather").unwrap();
    let children = chain["children"].as_array().unwrap();
    assert_eq!(children.len(), 3, "{children:?}");
    assert_eq!(children[1], older);
    assert_eq!(children[2], "weather/raw");
}
