//! Projects that stand just before an operation.

use std::time::{Duration, SystemTime};

use pantler_testkit::Project;

use super::{
    arms::was_killed,
    operation::{Copy, Stage},
};
use crate::{
    program,
    toy::{COPY, PIPELINE, PROJECT, UNIVERSE},
};

/// `pantler run` of a project that ingests two files, copies each and adds them up.
pub(crate) const RUN: &str = "run {project} -j1";

const INIT: &str = "init {repo} --universe {project}/universe.yaml";

/// Files, and no repository.
fn files() -> Project {
    let project = Project::in_memory(&program());
    project.write("universe.yaml", UNIVERSE);
    for item in ["a", "b"] {
        project.write(&format!("data/{item}.txt"), format!("the content of {item}\n"));
    }
    project
}

/// Runs commands that prepare a project.
fn after(project: Project, commands: &[&str]) -> Project {
    let copy = Stage::of(project).into_copy();
    for command in commands {
        let ran = copy.run(command, &[]);
        assert_eq!(ran.code(), Some(0), "{command}: {}{}", ran.text(), ran.stderr);
    }
    copy.project
}

/// A repository `repo` (or another) with the dataset type `number` and records for `a`
/// to `c`; the RUN `calm` holds datasets that no operation is about.
fn with_types(project: Project) -> Project {
    let project = after(
        project,
        &[
            INIT,
            "dataset-type register number --dimensions item --storage-class Text",
            "record insert item item=a",
            "record insert item item=b",
            "record insert item item=c",
        ],
    );
    after(
        project,
        &[
            "put {project}/data/a.txt number item=a --run calm",
            "put {project}/universe.yaml number item=b --run calm",
        ],
    )
}

const STORE: [&str; 2] = [
    "put {project}/data/a.txt number item=a --run lab",
    "put {project}/data/b.txt number item=b --run lab",
];

/// Files only.
pub(crate) fn nothing() -> Stage {
    Stage::of(files())
}

/// A repository with a dataset type, and nothing in the RUN `lab`.
pub(crate) fn types() -> Stage {
    Stage::of(with_types(files()))
}

/// A repository without a dataset type.
pub(crate) fn bare() -> Stage {
    Stage::of(after(files(), &[INIT]))
}

fn stored_project() -> Project {
    after(with_types(files()), &STORE)
}

/// The RUN `lab` holds the datasets `a` and `b`.
pub(crate) fn stored() -> Stage {
    Stage::of(stored_project())
}

/// Of these, `a` is registered only.
pub(crate) fn unstored() -> Stage {
    Stage::of(after(stored_project(), &["remove {a}"]))
}

/// Of these, the artifact of `a` is another one of the same size.
pub(crate) fn rotten() -> Stage {
    let project = stored_project();
    let path = artifact(&project);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, "THE content of a\n").unwrap();
    Stage::of(project)
}

/// Of these, the artifact of `a` is gone.
pub(crate) fn vanished() -> Stage {
    let project = stored_project();
    std::fs::remove_file(artifact(&project)).unwrap();
    Stage::of(project)
}

/// One is gone, another one has another size, and a third one belongs to nobody.
pub(crate) fn damaged() -> Stage {
    let project = after(stored_project(), &["put {project}/universe.yaml number item=c --run lab"]);
    let path = artifact(&project);
    std::fs::copy(&path, path.with_extension("stray")).unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = path.parent().unwrap().read_dir_utf8().unwrap();
    for entry in other.map(|entry| entry.unwrap().into_path()) {
        if entry.as_str().contains("item=b") {
            std::fs::remove_file(&entry).unwrap();
            std::fs::write(&entry, "short").unwrap();
        }
    }
    Stage::of(project)
}

/// Unfinished artifacts of a transaction that is closed, the root of a workspace that is,
/// and an old unfinished file.
pub(crate) fn littered() -> Stage {
    let stage = ingested();
    let copy = stage.copy();
    let ran = copy.run(RUN, &[("PANTLER_CRASH", "close.rows.committed:1")]);
    assert!(was_killed(&ran), "{ran:?}");
    let key = artifact_below(&copy.project, "number");
    let unfinished = |number: u32| {
        let (stem, write) = key.as_str().split_once('~').unwrap();
        let digits = write.split_once('.').map_or(write, |(digits, _)| digits);
        let other = format!("{}{number}", &digits[..digits.len() - 1]);
        format!("{stem}~{}.tmp", write.replacen(digits, &other, 1))
    };
    for number in 2..5 {
        std::fs::write(unfinished(number), "unfin").unwrap();
    }
    let old = copy.project.repo().join("pantler.yaml.0.tmp");
    let file = std::fs::File::create(old).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    Stage::of(copy.project)
}

fn artifact(project: &Project) -> camino::Utf8PathBuf {
    let rows = project
        .pantler(&["query", "datasets", "number", "item=a", "--collections", "lab", "--json"])
        .expect(0)
        .json();
    rows[0]["path"].as_str().unwrap().into()
}

fn artifact_below(project: &Project, dataset_type: &str) -> camino::Utf8PathBuf {
    let rows = project.pantler(&["query", "datasets", dataset_type, "--json"]).expect(0).json();
    rows[0]["path"].as_str().unwrap().into()
}

/// Lines that name the files `a` and `b`, and `universe.yaml` as `c`.
fn with_lines(project: Project) -> Project {
    let line = |file: &str, item: &str| format!("{{\"file\": \"{file}\", \"item\": \"{item}\"}}\n");
    let lines = [line("data/a.txt", "a"), line("data/b.txt", "b"), line("universe.yaml", "c")];
    project.write("lines.json", lines.concat());
    project
}

/// Lines that name three files, and nothing in the RUN `lab`.
pub(crate) fn lined() -> Stage {
    Stage::of(with_lines(with_types(files())))
}

/// The same lines, of which the RUN `lab` holds one.
pub(crate) fn lined_in_part() -> Stage {
    Stage::of(after(with_lines(with_types(files())), &STORE[1..]))
}

/// A file that lies in the storage and belongs to nobody.
pub(crate) fn in_place() -> Stage {
    let project = with_types(files());
    for item in ["a", "b"] {
        project.write(&format!("repo/artifacts/mine/{item}.txt"), format!("mine: {item}\n"));
    }
    Stage::of(project)
}

/// A file that holds several datasets, with the index that says where.
pub(crate) fn indexed() -> Stage {
    let project = with_types(files());
    project.write("all.txt", "the first, and the second");
    project.write("all.csv", "file,item,offset,size\nall.txt,a,0,9\nall.txt,b,11,14\n");
    Stage::of(project)
}

/// The same file with its datasets in the RUN `lab`.
pub(crate) fn shared() -> Stage {
    Stage::of(after(
        indexed().into_copy().project,
        &["ingest --type number --run lab --index {project}/all.csv"],
    ))
}

/// A repository, and beside it another one whose RUN `lab` holds two datasets.
pub(crate) fn two() -> Stage {
    let mut project = with_types(files());
    project.expect_damage();
    let source = stored_project();
    pantler_testkit::copy_tree(&source.repo(), &project.path().join("source"), &|_| true);
    Stage::of(project)
}

/// A RUN in a chain and a tag.
pub(crate) fn tagged() -> Stage {
    Stage::of(after(
        stored_project(),
        &["collection create best", "collection tag best {b}", "collection chain all calm"],
    ))
}

/// What `command` leaves of a stage if it is killed at a step.
pub(crate) fn killed(
    stage: fn() -> Stage,
    command: &'static str,
    step: &'static str,
) -> impl Fn() -> Stage {
    move || {
        let before = stage();
        let copy = before.copy();
        let ran = copy.run(command, &[("PANTLER_CRASH", step)]);
        assert!(was_killed(&ran), "{command} at {step}: {}{}", ran.text(), ran.stderr);
        Stage {
            ground: before.ground,
            ground_state: before.ground_state,
            ..Stage::of(copy.project)
        }
    }
}

/// A project that is run.
pub(crate) fn fresh() -> Stage {
    let project = Project::in_memory(&program());
    project.write("universe.yaml", UNIVERSE);
    project.write("project.yaml", PROJECT);
    project.write("pipeline.yaml", PIPELINE);
    project.write("copy.sh", COPY);
    project.write(
        "total.sh",
        "out=$1\nshift\nawk '{ sum += $1 } END { print sum }' \"$@\" > \"$out\"\n",
    );
    project.write("data/a.txt", "1\n");
    project.write("data/b.txt", "2\n");
    Stage::of(project)
}

/// The same with a repository, and nothing ingested.
pub(crate) fn prepared() -> Stage {
    Stage::of(killed(fresh, RUN, "ingest.prepared:1")().into_copy().project)
}

/// The same with its files ingested, and no workspace.
pub(crate) fn ingested() -> Stage {
    Stage::of(killed(prepared, RUN, "close.rows.committed:1")().into_copy().project)
}

/// The same in the middle of its quanta.
pub(crate) fn running() -> Stage {
    killed(ingested, RUN, "exec.spawn:2")()
}

/// The same with all quanta done.
pub(crate) fn ran() -> Stage {
    let before = ingested();
    let copy = before.copy();
    let done = copy.run("run {project} -j1 --no-commit", &[]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    Stage { ground: before.ground, ground_state: before.ground_state, ..Stage::of(copy.project) }
}

/// The same, with an output of a quantum that was killed before it finished, and then ran
/// again.
pub(crate) fn ran_twice() -> Stage {
    let before = killed(ingested, RUN, "exec.outputs.moved:1")();
    let copy = before.copy();
    let done = copy.run("run {project} -j1 --no-commit", &[]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    Stage { ground: before.ground, ground_state: before.ground_state, ..Stage::of(copy.project) }
}

impl Stage {
    /// The project itself, to go on with.
    pub(crate) fn into_copy(self) -> Copy {
        self.copy()
    }
}
