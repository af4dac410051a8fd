//! Workspaces in folders of their own: cut off from their parent, run, and made a repository
//! or brought back.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Picture, Project, Ran, copy_tree};
use serde_json::Value;

use crate::{
    program,
    toy::{COPY, open_names, toy_with},
};

const RUN: &str = "toy/out";

/// A parent with three numbers ingested into `toy/raw`, and what lies beside it.
struct Scene {
    parent: Project,
    outside: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(COPY)
    }

    fn with(copy: &str) -> Self {
        let parent = toy_with(&["a", "b", "c"], copy);
        parent
            .program()
            .run(&[
                "init",
                parent.repo().as_str(),
                "--universe",
                parent.path().join("universe.yaml").as_str(),
            ])
            .expect(0);
        let files = parent.path().join("data/{item}.txt");
        parent
            .pantler(&[
                "dataset-type",
                "register",
                "number",
                "--dimensions",
                "item",
                "--storage-class",
                "Text",
            ])
            .expect(0);
        parent
            .pantler(&[
                "ingest",
                "--type",
                "number",
                "--run",
                "toy/raw",
                "--register",
                files.as_str(),
            ])
            .expect(0);
        let outside = tempfile::tempdir().unwrap();
        Self { parent, outside }
    }

    /// A place outside of the parent.
    fn at(&self, name: &str) -> Utf8PathBuf {
        let outside = Utf8Path::from_path(self.outside.path()).unwrap();
        outside.canonicalize_utf8().unwrap().join(name)
    }

    fn create(&self, to: &Utf8Path, args: &[&str]) -> Ran {
        let pipeline = self.parent.path().join("pipeline.yaml");
        let all = [
            "workspace",
            "create",
            RUN,
            "--pipeline",
            pipeline.as_str(),
            "-i",
            "toy/raw",
            "--external",
            to.as_str(),
        ];
        self.parent.pantler(&[&all, args].concat())
    }

    /// A workspace that is built.
    fn built(&self, name: &str) -> Utf8PathBuf {
        let root = self.at(name);
        self.create(&root, &["--chain", "toy"]).expect(0);
        verb("build", &root, &[]).expect(0);
        root
    }

    /// One that has all that it needs.
    fn cut_off(&self, name: &str) -> Utf8PathBuf {
        let root = self.built(name);
        verb("transfer-inputs", &root, &[]).expect(0);
        root
    }

    /// One that has run.
    fn complete(&self, name: &str) -> Utf8PathBuf {
        let root = self.cut_off(name);
        verb("run", &root, &["-j1"]).expect(0);
        root
    }

    /// Copies a folder, modes of files included.
    fn copied(&self, root: &Utf8Path, name: &str) -> Utf8PathBuf {
        let to = self.at(name);
        copy_tree(root, &to, &|_| true);
        to
    }
}

fn verb(verb: &str, root: &Utf8Path, args: &[&str]) -> Ran {
    program().run(&[&["workspace", verb, root.as_str()], args].concat())
}

/// A verb that kills itself at a step.
fn killed(step: &str, args: &[&str]) {
    let mut command = program().command(args);
    command.env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
}

/// The steps that a verb reaches, each with how often it was reached by then.
fn steps(log: &Utf8Path, args: &[&str]) -> Vec<String> {
    let mut command = program().command(args);
    command.env("PANTLER_CRASH_LOG", log);
    Ran::of(command).expect(0);
    let text = std::fs::read_to_string(log).unwrap();
    std::fs::remove_file(log).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut steps = Vec::new();
    for step in text.lines() {
        let count = counts.entry(step).or_default();
        *count += 1;
        steps.push(format!("{step}:{count}"));
    }
    assert!(steps.len() > 5, "{steps:?}");
    steps
}

fn query(repo: &Utf8Path, args: &[&str]) -> Vec<Value> {
    let args = [&["query", "datasets", "--json", "--repo", repo.as_str()], args].concat();
    program().run(&args).expect(0).json().as_array().unwrap().clone()
}

/// Type, data ID, UUID and checksum of all datasets, sorted.
fn contents(repo: &Utf8Path, collection: &str) -> Vec<String> {
    let rows = query(repo, &["--collections", collection]);
    let line = |row: &Value| {
        format!("{} {} {} {}", row["dataset_type"], row["data_id"], row["id"], row["checksum"])
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.sort();
    lines
}

fn check(repo: &Utf8Path) {
    program().run(&["check", "--checksum", "--repo", repo.as_str()]).expect(0);
}

fn total(repo: &Utf8Path) -> String {
    let args = ["get", "total", "--collections", RUN, "--repo", repo.as_str()];
    program().run(&args).expect(0).text()
}

/// Three copies, a total, and what was said by the copies.
const OUTPUTS: usize = 7;

#[test]
fn cut_off_from_its_parent_it_becomes_a_repository() {
    let mut scene = Scene::new();
    let before = scene.parent.picture();
    let root = scene.cut_off("ext");
    assert_eq!(scene.parent.picture(), before, "nothing is written to the parent");
    let away = scene.copied(&root, "elsewhere");
    std::fs::remove_dir_all(&root).unwrap();
    scene.parent.rename("away");
    let status = verb("status", &away, &["--json"]).expect(0).json();
    assert_eq!(status["built"], true);
    verb("run", &away, &["-j1"]).expect(0);
    let said = verb("convert", &away, &[]).expect(0).text();
    assert!(said.contains("7 outputs and 3 inputs (3 stored)"), "{said}");
    check(&away);
    assert_eq!(total(&away), "6\n");
    assert_eq!(contents(&away, RUN).len(), OUTPUTS);
    assert_eq!(contents(&away, "toy/raw"), contents(&scene.parent.repo(), "toy/raw"));
    let chain = contents(&away, "toy");
    assert_eq!(chain.len(), OUTPUTS + 3, "{chain:?}");
    let again = verb("convert", &away, &[]).expect(0).text();
    assert!(again.contains("is a repository already"), "{again}");
    // It is used like any other.
    let pipeline = away.join("pipeline/pipeline.yaml");
    let args =
        ["run", pipeline.as_str(), "-i", "toy/raw", "-o", "toy/again", "--repo", away.as_str()];
    program().run(&args).expect(0);
    assert_eq!(contents(&away, "toy/again").len(), OUTPUTS);
    check(&away);
}

#[test]
fn brought_back_to_its_parent_it_is_a_run_like_any_other() {
    for mode in ["copy", "hardlink", "move"] {
        let mut scene = Scene::new();
        let root = scene.cut_off("ext");
        let away = scene.copied(&root, "elsewhere");
        scene.parent.rename("away");
        verb("run", &away, &["-j1"]).expect(0);
        let gone = verb("commit", &away, &[]);
        assert_eq!(gone.code(), Some(1), "{}", gone.stderr);
        assert!(
            gone.stderr.contains("the parent repository") && gone.stderr.contains("--parent"),
            "{}",
            gone.stderr
        );
        std::fs::write(away.join("notes.txt"), "mine").unwrap();
        let repo = scene.parent.repo();
        let said = verb("commit", &away, &["--transfer", mode, "--parent", repo.as_str()])
            .expect(0)
            .text();
        assert!(said.contains("7 datasets"), "{said}");
        assert_eq!(total(&repo), "6\n");
        assert_eq!(contents(&repo, RUN).len(), OUTPUTS);
        assert_eq!(contents(&repo, "toy").len(), OUTPUTS + 3);
        check(&repo);
        let left: Vec<_> =
            away.read_dir_utf8().unwrap().map(|e| e.unwrap().file_name().to_owned()).collect();
        assert_eq!(left, ["notes.txt"], "only what Pantler made is gone");
        // A copy of it that has made the same is not needed any more.
        scene.parent.rename("project");
        let again = verb("run", &root, &["-j1"]).expect(0);
        drop(again);
        let again = verb("commit", &root, &[]).expect(0).text();
        assert!(again.contains("was committed before"), "{again}");
        assert!(!root.exists());
    }
}

#[test]
fn ids_are_the_same_all_the_way() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let exported =
        program().run(&["graph", "export", root.as_str(), "--format", "json"]).expect(0).json();
    let copy = scene.copied(&root, "copy");
    verb("convert", &copy, &[]).expect(0);
    verb("commit", &root, &[]).expect(0);
    let parent = contents(&scene.parent.repo(), RUN);
    assert_eq!(contents(&copy, RUN), parent);
    let text = exported.to_string();
    for row in query(&copy, &["--collections", RUN]) {
        assert!(text.contains(row["id"].as_str().unwrap()), "{row} is not in {text}");
    }
    check(&copy);
}
