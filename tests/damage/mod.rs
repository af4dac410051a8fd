//! Damage from outside, one line each: what `check` says, what `--repair` does, and what
//! is left then. Another program keeps ingesting and running into RUNs of its own all the
//! while: nothing of it is called a fault, and nothing of it is lost.

mod repair;
mod table;
mod vacuum;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::Project;
use rayon::prelude::*;

use crate::toy::{COPY, PIPELINE, PROJECT, datasets, killed_at, toy};

/// A damage, what `check` is to say of it, and what `--repair` is to do.
struct Damage {
    name: &'static str,
    make: Make,
    /// Whether it takes `--checksum` to see it.
    checksum: bool,
    /// Whether nobody can write any more.
    alone: bool,
    /// The codes of the findings, sorted, each once.
    found: &'static [&'static str],
    /// What the repair does, sorted.
    actions: &'static [&'static str],
    /// The codes of what is left after it, sorted, each once.
    left: &'static [&'static str],
}

/// How to make it.
enum Make {
    /// With a function.
    Code(fn(&Project)),
    /// With SQL, in which `{A}` and `{B}` stand for the rows of the numbers `a` and `b`.
    Sql(&'static str),
    /// The same, with an ingest of one more number left open before.
    Open(&'static str),
}

const NOTHING: &[&str] = &[];
const QUARANTINED: &[&str] = &["quarantined"];
const DROPPED: &[&str] = &["records-dropped"];
const BOTH: &[&str] = &["quarantined", "records-dropped"];

/// The row of the number `a`, and of `b`.
const A: &str = "(SELECT dataset FROM membership_1 WHERE d_item = 'a' AND collection = (SELECT id FROM collection WHERE name = 'toy/raw'))";
const B: &str = "(SELECT dataset FROM membership_1 WHERE d_item = 'b' AND collection = (SELECT id FROM collection WHERE name = 'toy/raw'))";

#[test]
fn each_damage_is_found_and_repaired_as_far_as_it_can_be() {
    let sound = sound();
    let failures: Vec<String> = table::DAMAGES
        .par_iter()
        .filter_map(|damage| {
            let result = std::panic::catch_unwind(|| try_damage(&sound, damage));
            let said = result.err()?;
            let said = said.downcast::<String>().map_or_else(|_| String::new(), |said| *said);
            Some(format!("{}: {said}", damage.name))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Three numbers, copied and added up: what is damaged.
fn sound() -> Project {
    let project = toy(&["a", "b", "c"]);
    project.run(&[]).expect(0);
    // The writer: a project of its own on the same repository.
    let rename = |text: &str| {
        text.replace("number", "sample").replace("copy", "twin").replace("total", "sum")
    };
    project.write("writer/universe.yaml", project.read("universe.yaml"));
    project.write(
        "writer/project.yaml",
        rename(PROJECT)
            .replace("name: toy", "name: writer")
            .replace("repository: repo", "repository: ../repo"),
    );
    project.write("writer/pipeline.yaml", rename(PIPELINE));
    project.write("writer/twin.sh", COPY);
    project.write("writer/sum.sh", project.read("total.sh"));
    project
}

fn try_damage(sound: &Project, damage: &Damage) {
    let Damage { name, make, checksum, alone, found, actions, left } = damage;
    let mut project = sound.duplicate();
    project.expect_damage();
    match make {
        Make::Code(damage) => damage(&project),
        Make::Sql(sql) => run_sql(&project, sql),
        Make::Open(sql) => {
            leave_open(&project);
            run_sql(&project, sql);
        }
    }
    let writing = AtomicBool::new(!alone);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_on(&project, &writing));
        // Ends the writer also if an assertion fails.
        let stop = Stop(&writing);
        let full: &[&str] = if *checksum { &["--checksum"] } else { &[] };
        let code = |left: &[&str]| if left.is_empty() { 0 } else { 6 };
        if *checksum {
            assert_eq!(codes(&check(&project, &[], 0)), NOTHING, "{name}: by sizes");
        }
        let said = check(&project, full, code(found));
        assert_eq!(codes(&said), *found, "{name}: {said:#}");

        let before = Files::of(&project);
        let dry = check(&project, &[full, &["--repair", "--dry-run"]].concat(), code(found));
        assert_eq!(done(&dry), *actions, "{name}: what would be done: {dry:#}");
        before.assert_kept(&Files::of(&project), name);

        let repaired = check(&project, &[full, &["--repair"]].concat(), code(left));
        assert_eq!(done(&repaired), *actions, "{name}: what was done: {repaired:#}");
        // Only where it may write does SQLite look at the constraints of single rows, too.
        let mut still = codes(&repaired);
        still.retain(|code| code != "integrity" || left.contains(&"integrity"));
        assert_eq!(still, *left, "{name}: what is left: {repaired:#}");
        // What it moved away, it kept.
        let kept = Files::quarantined(&project);
        assert_eq!(
            kept,
            actions.iter().filter(|action| **action == "quarantined").count(),
            "{name}"
        );

        assert_eq!(codes(&check(&project, full, code(left))), *left, "{name}: checked again");
        let again = check(&project, &[full, &["--repair"]].concat(), code(left));
        assert_eq!(done(&again), NOTHING, "{name}: repaired again");

        drop(stop);
        let written = writer.join().unwrap();
        if *alone {
            return;
        }
        let rows = datasets(&project, &["--collections", "writer/raw"]);
        let stored = rows.iter().filter(|row| row["stored"] == true).count();
        assert_eq!(stored, written, "{name}: what the writer was told is stored");
        for row in rows {
            project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0);
        }
    });
}

/// Ingests one file after the other, and runs, until it is told to stop. Returns how many.
fn write_on(project: &Project, writing: &AtomicBool) -> usize {
    let folder = project.path().join("writer");
    let mut written = 0;
    while writing.load(Ordering::SeqCst) {
        project.write(&format!("writer/data/w{written}.txt"), format!("{written}\n"));
        project.program().run(&["run", folder.as_str(), "-j1"]).expect(0);
        written += 1;
    }
    written
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// `check --json` with more arguments.
#[track_caller]
fn check(project: &Project, args: &[&str], code: i32) -> serde_json::Value {
    project.pantler(&[&["check", "--json"], args].concat()).expect(code).json()
}

fn texts(rows: &serde_json::Value, field: &str) -> Vec<String> {
    let rows = rows.as_array().into_iter().flatten();
    let mut texts: Vec<String> = rows.map(|row| row[field].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

fn codes(report: &serde_json::Value) -> Vec<String> {
    let mut codes = texts(&report["findings"], "code");
    codes.dedup();
    codes
}

/// The actions of a repair, but for what it left as it is.
fn done(report: &serde_json::Value) -> Vec<String> {
    let mut done = texts(&report["repair"]["actions"], "action");
    done.retain(|action| action != "skipped");
    done
}

/// The names of all that is in the storage, but for what the writer makes there.
struct Files(BTreeSet<String>);

impl Files {
    fn of(project: &Project) -> Self {
        let mut names = BTreeSet::new();
        let mut folders = vec![storage(project).into_std_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path().to_string_lossy().into_owned();
                if path.contains("/writer%2F") {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    names.insert(path);
                }
            }
        }
        Self(names)
    }

    fn assert_kept(&self, now: &Self, name: &str) {
        assert_eq!(self.0, now.0, "{name}: a dry run moves nothing");
    }

    fn quarantined(project: &Project) -> usize {
        fn count(folder: &Utf8Path) -> usize {
            let Ok(entries) = folder.read_dir_utf8() else { return 0 };
            let entries = entries.map(Result::unwrap);
            entries.map(|e| if e.file_type().unwrap().is_dir() { count(e.path()) } else { 1 }).sum()
        }
        count(&project.repo().join("quarantine"))
    }
}

fn storage(project: &Project) -> Utf8PathBuf {
    project.repo().join("artifacts")
}

/// The artifact of an ingested number.
fn number(project: &Project, item: &str) -> Utf8PathBuf {
    artifact(project, &format!("toy%2Fraw@1/number/item={item}~"))
}

/// The artifact that the logs of the copies share.
fn log(project: &Project) -> Utf8PathBuf {
    artifact(project, "/copy_log/all~")
}

/// The one artifact whose path has this in it, read from the storage.
fn artifact(project: &Project, part: &str) -> Utf8PathBuf {
    let files = Files::of(project).0;
    let mut found = files.into_iter().filter(|path| path.contains(part));
    let path = found.next().unwrap_or_else(|| panic!("there is no {part}"));
    assert_eq!(found.next(), None);
    path.into()
}

fn remove(path: &Utf8Path) {
    std::fs::remove_file(path).unwrap();
}

/// Artifacts are read-only: another file takes its place.
fn rewrite(path: &Utf8Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn append(path: &Utf8Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.push(b'x');
    rewrite(path, &bytes);
}

fn flip(path: &Utf8Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    rewrite(path, &bytes);
}

fn write(path: &Utf8Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

fn make_dir(path: &Utf8Path) {
    std::fs::create_dir_all(path).unwrap();
}

/// Runs SQL that may leave rows that point nowhere.
fn run_sql(project: &Project, sql: &str) {
    let sql = sql.replace("{A}", A).replace("{B}", B);
    project.sql(&format!("PRAGMA foreign_keys = OFF; {sql};"));
}

/// Leaves an ingest of one more number open.
fn leave_open(project: &Project) {
    project.write("data/d.txt", "4\n");
    killed_at(project, "datastore.rename:1", &[]);
    assert_eq!(codes(&check(project, &[], 0)), NOTHING);
}
