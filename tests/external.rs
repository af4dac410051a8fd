//! Workspaces in folders of their own: cut off from their parent, run, and made a repository
//! or brought back.

mod again;
mod full_disk;
mod kills;
mod refused;

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Picture, Project, Ran, copy_tree};
use serde_json::Value;

use crate::{
    program,
    toy::{COPY, open_names, toy_with},
};

pub(crate) const RUN: &str = "toy/out";

/// A parent with three numbers ingested into `toy/raw`, and what lies beside it.
pub(crate) struct Scene {
    pub(crate) parent: Project,
    outside: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(COPY)
    }

    /// With the other places in memory, where the system has that, for tests that need many.
    pub(crate) fn in_memory() -> Self {
        let memory = Utf8Path::new("/dev/shm");
        let outside =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { outside: outside.unwrap(), ..Self::new() }
    }

    pub(crate) fn with(copy: &str) -> Self {
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
    pub(crate) fn at(&self, name: &str) -> Utf8PathBuf {
        let outside = Utf8Path::from_path(self.outside.path()).unwrap();
        outside.canonicalize_utf8().unwrap().join(name)
    }

    pub(crate) fn create(&self, to: &Utf8Path, args: &[&str]) -> Ran {
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
    pub(crate) fn built(&self, name: &str) -> Utf8PathBuf {
        let root = self.at(name);
        self.create(&root, &["--chain", "toy"]).expect(0);
        verb("build", &root, &[]).expect(0);
        root
    }

    /// One that has all that it needs.
    pub(crate) fn cut_off(&self, name: &str) -> Utf8PathBuf {
        let root = self.built(name);
        verb("transfer-inputs", &root, &[]).expect(0);
        root
    }

    /// One that has run.
    pub(crate) fn complete(&self, name: &str) -> Utf8PathBuf {
        let root = self.cut_off(name);
        verb("run", &root, &["-j1"]).expect(0);
        root
    }

    /// Copies a folder, modes of files included.
    pub(crate) fn copied(&self, root: &Utf8Path, name: &str) -> Utf8PathBuf {
        let to = self.at(name);
        copy_tree(root, &to, &|_| true);
        to
    }
}

pub(crate) fn verb(verb: &str, root: &Utf8Path, args: &[&str]) -> Ran {
    program().run(&[&["workspace", verb, root.as_str()], args].concat())
}

/// A verb that kills itself at a step.
pub(crate) fn killed(step: &str, args: &[&str]) {
    let mut command = program().command(args);
    command.env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
}

/// The steps that a verb reaches, each with how often it was reached by then.
pub(crate) fn steps(log: &Utf8Path, args: &[&str]) -> Vec<String> {
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
    assert!(steps.len() > 3, "{steps:?}");
    steps
}

/// Runs `args` with a kill at each step that it reaches, each time on a new copy of what
/// `stage` makes, and hands the copy to `settle`.
pub(crate) fn at_every_step<S>(
    scene: &Scene,
    stage: impl Fn(&str) -> S,
    args: impl Fn(&S) -> Vec<String>,
    settle: impl Fn(S, &str),
) -> Vec<String> {
    fn texts(args: &[String]) -> Vec<&str> {
        args.iter().map(String::as_str).collect()
    }
    let calm = stage("calm");
    let log = scene.at("steps.log");
    let reached = steps(&log, &texts(&args(&calm)));
    drop(calm);
    for (n, step) in reached.iter().enumerate() {
        let staged = stage(&format!("at-{n}"));
        killed(step, &texts(&args(&staged)));
        settle(staged, step);
    }
    reached
}

pub(crate) fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

pub(crate) fn query(repo: &Utf8Path, args: &[&str]) -> Vec<Value> {
    let args = [&["query", "datasets", "--json", "--repo", repo.as_str()], args].concat();
    program().run(&args).expect(0).json().as_array().unwrap().clone()
}

/// Type, data ID, UUID and checksum of all datasets, sorted.
pub(crate) fn contents(repo: &Utf8Path, collection: &str) -> Vec<String> {
    let rows = query(repo, &["--collections", collection]);
    let line = |row: &Value| {
        format!("{} {} {} {}", row["dataset_type"], row["data_id"], row["id"], row["checksum"])
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.sort();
    lines
}

pub(crate) fn check(repo: &Utf8Path) {
    program().run(&["check", "--checksum", "--repo", repo.as_str()]).expect(0);
}

pub(crate) fn total(repo: &Utf8Path) -> String {
    let args = ["get", "total", "--collections", RUN, "--repo", repo.as_str()];
    program().run(&args).expect(0).text()
}

/// That `total` was made from the copies, and they from `inputs` numbers, is told by a
/// repository.
pub(crate) fn expect_provenance(repo: &Utf8Path, inputs: usize) {
    let args = ["query", "provenance", "..total", "--collections", RUN, "--json"];
    let found = program().run(&[&args[..], &["--repo", repo.as_str()]].concat()).expect(0).json();
    let count = |list: &str, key: &str, name: &str| {
        found[list].as_array().unwrap().iter().filter(|node| node[key] == name).count()
    };
    assert_eq!(count("quanta", "task", "copy"), inputs, "{found}");
    assert_eq!(count("quanta", "task", "total"), 1, "{found}");
    assert_eq!(count("datasets", "dataset_type", "number"), inputs, "{found}");
    let total = query(repo, &["total", "--collections", RUN]);
    assert!(found.to_string().contains(total[0]["id"].as_str().unwrap()), "{found}");
}

/// Three copies, a total, and what was said by the copies.
pub(crate) const OUTPUTS: usize = 8;

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
    assert!(said.contains("8 outputs and 3 inputs (3 stored)"), "{said}");
    check(&away);
    assert_eq!(total(&away), "6\n");
    assert_eq!(contents(&away, RUN).len(), OUTPUTS);
    assert_eq!(contents(&away, "toy/raw"), contents(&scene.parent.repo(), "toy/raw"));
    let chain = contents(&away, "toy");
    assert_eq!(chain.len(), OUTPUTS + 3, "{chain:?}");
    expect_provenance(&away, 3);
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
        assert!(said.contains("8 datasets"), "{said}");
        assert_eq!(total(&repo), "6\n");
        expect_provenance(&repo, 3);
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
        // The provenance is made by the closing, and is not in the graph.
        if row["dataset_type"] != "run_provenance" {
            assert!(text.contains(row["id"].as_str().unwrap()), "{row} is not in {text}");
        }
    }
    check(&copy);
}

#[test]
fn inputs_are_read_from_the_parent_where_it_is_now() {
    let mut scene = Scene::new();
    let root = scene.built("ext");
    scene.parent.rename("away");
    for args in [["run", root.as_str()], ["transfer-inputs", root.as_str()]] {
        let ran = program().run(&[&["workspace"], &args[..]].concat());
        assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
        let named =
            ran.stderr.contains("the parent repository") && ran.stderr.contains("--parent REPO");
        assert!(named, "{}", ran.stderr);
    }
    let repo = scene.parent.repo();
    verb("run", &root, &["-j1", "--parent", repo.as_str()]).expect(0);
    // Not transferred: registered only.
    verb("convert", &root, &[]).expect(0);
    check(&root);
    assert_eq!(query(&root, &["--collections", "toy/raw"]).len(), 3);
    let get = program().run(&[
        "get",
        "number",
        "item=a",
        "--collections",
        "toy/raw",
        "--repo",
        root.as_str(),
    ]);
    assert!(get.stderr.contains("not stored"), "{}", get.stderr);
}

#[test]
fn no_link_is_followed_when_it_goes() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    let precious = scene.at("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("copy.sh"), "precious").unwrap();
    std::fs::write(precious.join("1.log"), "precious").unwrap();
    let link = |to: &str| {
        drop(std::fs::remove_dir_all(root.join(to)));
        std::os::unix::fs::symlink(&precious, root.join(to)).unwrap();
    };
    link("scratch");
    link("pipeline/data");
    link("artifacts/toy%2Fout@1/mine");
    verb("commit", &root, &["--transfer", "move"]).expect(0);
    assert_eq!(std::fs::read_to_string(precious.join("copy.sh")).unwrap(), "precious");
    assert_eq!(precious.read_dir_utf8().unwrap().count(), 2);
    assert!(root.join("pipeline/data").is_symlink(), "it is not Pantler's");
}

#[test]
fn only_what_commands_need_is_copied_if_that_is_said() {
    let scene = Scene::new();
    let big = scene.parent.path().join("big.bin");
    std::fs::File::create(&big).unwrap().set_len(65 << 20).unwrap();
    let root = scene.at("ext");
    let ran = scene.create(&root, &[]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("holds more than") && ran.stderr.contains("--include"),
        "{}",
        ran.stderr
    );
    assert!(!root.exists(), "nothing is left");
    let path = |name: &str| scene.parent.path().join(name).into_string();
    let outside = scene.create(&root, &["--include", "/etc/passwd"]);
    assert!(outside.stderr.contains("is not below the pipeline's folder"), "{}", outside.stderr);
    scene.create(&root, &["--include", &path("copy.sh"), "--include", &path("total.sh")]).expect(0);
    let mut copied: Vec<_> = root
        .join("pipeline")
        .read_dir_utf8()
        .unwrap()
        .map(|e| e.unwrap().file_name().to_owned())
        .collect();
    copied.sort();
    assert_eq!(copied, ["copy.sh", "pipeline.yaml", "total.sh"]);
    verb("build", &root, &[]).expect(0);
    verb("run", &root, &["-j1"]).expect(0);
    verb("commit", &root, &[]).expect(0);
}

#[test]
fn an_internal_workspace_is_exported_and_stays() {
    let scene = Scene::in_memory();
    let parent = &scene.parent;
    let pipeline = parent.path().join("pipeline.yaml");
    let args = [
        "workspace",
        "create",
        RUN,
        "--pipeline",
        pipeline.as_str(),
        "-i",
        "toy/raw",
        "--chain",
        "toy",
    ];
    parent.pantler(&args).expect(0);
    parent.pantler(&["workspace", "build", RUN]).expect(0);
    parent.pantler(&["workspace", "run", RUN, "--task", "copy", "-j1"]).expect(0);
    let early = scene.at("early");
    parent.pantler(&["workspace", "export", RUN, "--to", early.as_str()]).expect(0);
    assert_eq!(contents(&early, RUN).len(), 7, "three copies, what was said, and provenance");
    check(&early);
    parent.pantler(&["workspace", "run", RUN, "-j1"]).expect(0);
    let repo = parent.repo();
    let args = |to: &Utf8PathBuf| {
        owned(&[
            "workspace",
            "export",
            RUN,
            "--to",
            to.as_str(),
            "--with-inputs",
            "--repo",
            repo.as_str(),
        ])
    };
    let reached = at_every_step(
        &scene,
        |name| scene.at(name),
        args,
        |to, step| {
            if to.join("pantler.yaml").exists() {
                check(&to);
            } else {
                let args = args(&to);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                program().run(&args).expect(0);
            }
            assert_eq!(total(&to), "6\n", "{step}");
            assert_eq!(contents(&to, "toy").len(), OUTPUTS + 3, "{step}");
            check(&to);
        },
    );
    assert!(reached.iter().any(|step| step == "export.made:1"), "{reached:?}");
    let taken = parent.pantler(&["workspace", "export", RUN, "--to", early.as_str()]);
    assert!(taken.stderr.contains("is not empty"), "{}", taken.stderr);
    assert_eq!(open_names(parent, "workspace"), [RUN]);
    parent.pantler(&["workspace", "commit", RUN]).expect(0);
    let number = ["get", "number", "item=a", "--collections", "toy/raw"];
    let exported = scene.at("calm");
    let got = program().run(&[&number[..], &["--repo", exported.as_str()]].concat()).expect(0);
    assert_eq!(got.text(), "1\n");
    expect_provenance(&exported, 3);
    assert_eq!(contents(&exported, RUN), contents(&repo, RUN));
}

#[test]
fn dimension_records_chains_and_tags_come_along() {
    let project = crate::small_weather();
    project.run(&[]).expect(0);
    let cities = [
        "collection",
        "tag",
        "some",
        "--type",
        "hourly",
        "--collections",
        "weather/raw",
        "month=1",
    ];
    project.pantler(&["collection", "create", "some", "--type", "tagged"]).expect(0);
    project.pantler(&cities).expect(0);
    project.pantler(&["collection", "chain", "all", "some", "weather"]).expect(0);
    let outside = tempfile::tempdir().unwrap();
    let root =
        Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap().join("ext");
    let pipeline = project.path().join("pipeline.yaml");
    let args = [
        "workspace",
        "create",
        "weather/ext",
        "--pipeline",
        pipeline.as_str(),
        "-i",
        "all",
        "--chain",
        "weather",
        "--external",
        root.as_str(),
    ];
    let refused = project.pantler(&args);
    assert!(refused.stderr.contains("an input collection contains it"), "{}", refused.stderr);
    let args: Vec<&str> =
        args.into_iter().map(|arg| if arg == "weather" { "new" } else { arg }).collect();
    project.pantler(&args).expect(0);
    verb("build", &root, &[]).expect(0);
    verb("transfer-inputs", &root, &[]).expect(0);
    verb("run", &root, &[]).expect(0);
    let copy = root.with_file_name("copy");
    copy_tree(&root, &copy, &|_| true);
    verb("convert", &copy, &[]).expect(0);
    check(&copy);
    let tagged = |repo: &Utf8Path| contents(repo, "some");
    assert_eq!(tagged(&copy), tagged(&project.repo()));
    let records = |repo: &Utf8Path| {
        let args = ["record", "list", "city", "--json", "--repo", repo.as_str()];
        program().run(&args).expect(0).json()
    };
    assert_eq!(records(&copy), records(&project.repo()));
    assert!(!records(&copy)[0].to_string().is_empty());
    // A parent that has other records, or none.
    let other = project.duplicate();
    other.sql("UPDATE element_city SET m_title = 'Elsewhere'");
    let repo = other.repo();
    let ran = verb("commit", &root, &["--parent", repo.as_str()]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("city"), "{}", ran.stderr);
    assert_eq!(
        other
            .pantler(&["query", "collections", "--json"])
            .expect(0)
            .json()
            .to_string()
            .matches("weather/ext")
            .count(),
        0
    );
    verb("commit", &root, &[]).expect(0);
    let ours = contents(&project.repo(), "weather/ext");
    assert_eq!(contents(&copy, "weather/ext"), ours);
    // What the chain finds besides is not an input, and stays with the parent.
    let (own, all) = (contents(&copy, "new"), contents(&project.repo(), "new"));
    assert!(own.len() > ours.len() && own.iter().all(|row| all.contains(row)), "{own:?}");
}

#[test]
fn missing_dimension_records_come_along() {
    let project = crate::small_weather();
    project.run(&[]).expect(0);
    let outside = tempfile::tempdir().unwrap();
    let place = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let (root, repo) = (place.join("ext"), place.join("repo"));
    let pipeline = project.path().join("pipeline.yaml");
    let args = [
        "workspace",
        "create",
        "x",
        "--pipeline",
        pipeline.as_str(),
        "-i",
        "weather/raw",
        "--external",
        root.as_str(),
    ];
    project.pantler(&args).expect(0);
    verb("build", &root, &[]).expect(0);
    verb("run", &root, &[]).expect(0);
    // A repository that has nothing but the inputs, and no title of any city.
    let universe = project.path().join("universe.yaml");
    program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let from = project.repo();
    let args = ["transfer", from.as_str(), "--type", "hourly", "--collections", "weather/raw"];
    program().run(&[&args[..], &["--repo", repo.as_str()]].concat()).expect(0);
    verb("commit", &root, &["--parent", repo.as_str(), "--force-repository"]).expect(0);
    check(&repo);
    assert!(contents(&repo, "x").len() > 7);
}

#[test]
fn two_commits_at_once_store_it_once() {
    let scene = Scene::new();
    let complete = scene.complete("ext");
    for n in 0..5 {
        let root = scene.copied(&complete, &format!("both-{n}"));
        let repo = scene.copied(&scene.parent.repo(), &format!("repo-{n}"));
        let args = ["workspace", "commit", root.as_str(), "--parent", repo.as_str()];
        let children = [0, 1].map(|_| program().start(&args));
        let codes = children.map(|child| child.wait_with_output().unwrap().status.code());
        assert!(codes.contains(&Some(0)), "{codes:?}");
        assert!(!root.exists());
        assert_eq!(contents(&repo, "toy").len(), OUTPUTS + 3);
        check(&repo);
    }
}

#[test]
fn a_transfer_that_somebody_else_closed_in_the_parent_is_seen() {
    let scene = Scene::new();
    let complete = scene.complete("complete");
    for closing in ["commit", "revert", "abandon"] {
        let root = scene.copied(&complete, closing);
        let repo = scene.copied(&scene.parent.repo(), &format!("{closing}-parent"));
        let parent = |args: &[&str]| program().run(&[args, &["--repo", repo.as_str()]].concat());
        let args = ["workspace", "commit", root.as_str(), "--parent", repo.as_str()];
        // All artifacts are there, and no row.
        killed("close.storage.done:1", &args);
        let open = crate::toy::names(&parent(&["transaction", "list", "--json"]).expect(0));
        assert_eq!(open.len(), 1, "it is named by the workspace");
        // The marker says where it went, which is not the recorded parent.
        let discarded = verb("revert", &root, &[]);
        assert_eq!(discarded.code(), Some(1), "{}", discarded.stderr);
        assert!(discarded.stderr.contains("is open: it transfers"), "{}", discarded.stderr);
        parent(&["transaction", closing, &open[0]]).expect(0);
        let ran = program().run(&["workspace", "commit", root.as_str(), "--parent", repo.as_str()]);
        ran.expect(0);
        assert!(!root.exists());
        assert_eq!(contents(&repo, "toy").len(), OUTPUTS + 3, "{closing}");
        check(&repo);
    }
}

#[test]
fn what_is_open_in_the_parent_is_not_discarded() {
    let scene = Scene::new();
    let root = scene.complete("ext");
    killed("open.row.committed:1", &["workspace", "commit", root.as_str()]);
    for closing in ["revert", "abandon"] {
        let ran = verb(closing, &root, &[]);
        assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("is open: it transfers"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("workspace commit {root}")), "{}", ran.stderr);
    }
    let again = verb("commit", &root, &[]).expect(0).text();
    assert!(again.contains("finishing what was begun"), "{again}");
}

#[test]
fn inputs_of_a_transfer_that_did_not_end_do_not_get_into_a_repository() {
    let scene = Scene::new();
    let root = scene.built("ext");
    killed("datastore.rename:2", &["workspace", "transfer-inputs", root.as_str()]);
    assert!(root.join("inputs").exists());
    verb("run", &root, &[]).expect(0);
    verb("convert", &root, &[]).expect(0);
    check(&root);
    let stored = query(&root, &["--collections", "toy/raw"]);
    assert!(stored.iter().all(|row| row["stored"] == false), "{stored:?}");
}

#[test]
fn a_folder_beside_the_pipeline_is_not_copied_into_itself() {
    let scene = Scene::new();
    let root = scene.parent.path().join("ext");
    let there = scene.parent.path().join("sub/../ext");
    std::fs::create_dir(scene.parent.path().join("sub")).unwrap();
    scene.create(&there, &[]).expect(0);
    assert!(!root.join("pipeline/ext").exists());
    assert!(!root.join("pipeline/repo").exists());
    assert!(root.join("pipeline/data/a.txt").exists());
    let second = scene.parent.path().join("ext2");
    scene.create(&second, &[]).expect(0);
    assert!(!second.join("pipeline/ext").exists());
}

#[test]
fn two_creations_in_one_place_make_one() {
    let scene = Scene::new();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let repo = scene.parent.repo();
    for n in 0..8 {
        let root = scene.at(&format!("both-{n}"));
        let args = [
            "workspace",
            "create",
            RUN,
            "--pipeline",
            pipeline.as_str(),
            "-i",
            "toy/raw",
            "--external",
            root.as_str(),
            "--repo",
            repo.as_str(),
        ];
        let children = [0, 1].map(|_| program().start(&args));
        let codes = children.map(|child| child.wait_with_output().unwrap().status.code());
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        verb("build", &root, &[]).expect(0);
        verb("run", &root, &[]).expect(0);
        verb("revert", &root, &[]).expect(0);
        assert!(!root.exists());
    }
}
