//! Damage from outside, one line each: what `check` says, what `--repair` does, and what
//! is left then. Another program keeps ingesting and running into RUNs of its own all the
//! while: nothing of it is called a fault, and nothing of it is lost.

use std::{
    collections::BTreeSet,
    fs::{File, FileTimes, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::symlink, process::ExitStatusExt as _},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};
use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::toy::{COPY, PIPELINE, PROJECT, datasets, killed_at, toy, until};

/// What `check` is to say and `--repair` to do.
struct Damage {
    name: &'static str,
    make: fn(&Project),
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

const NOTHING: &[&str] = &[];
const QUARANTINED: &[&str] = &["quarantined"];
const DROPPED: &[&str] = &["records-dropped"];
const BOTH: &[&str] = &["quarantined", "records-dropped"];

const fn files(
    name: &'static str,
    make: fn(&Project),
    found: &'static [&'static str],
    actions: &'static [&'static str],
    left: &'static [&'static str],
) -> Damage {
    Damage { name, make, checksum: false, alone: false, found, actions, left }
}

/// Damage of rows, which no command repairs.
const fn rows(name: &'static str, make: fn(&Project), found: &'static [&'static str]) -> Damage {
    Damage { name, make, checksum: false, alone: false, found, actions: NOTHING, left: found }
}

/// Damage that leaves the size of a file as it was.
const fn content(
    name: &'static str,
    make: fn(&Project),
    actions: &'static [&'static str],
) -> Damage {
    Damage {
        name,
        make,
        checksum: true,
        alone: false,
        found: &["artifact-checksum"],
        actions,
        left: NOTHING,
    }
}

const DAMAGES: &[Damage] = &[
    // Files of the storage.
    files(
        "a file is deleted",
        |p| remove(&number(p, "a")),
        &["artifact-missing"],
        DROPPED,
        NOTHING,
    ),
    files("a file is cut", |p| rewrite(&number(p, "a"), b""), &["artifact-size"], BOTH, NOTHING),
    files("a file grows", |p| append(&number(p, "a")), &["artifact-size"], BOTH, NOTHING),
    files(
        "a file of many datasets is deleted",
        |p| remove(&log(p)),
        &["artifact-missing"],
        &["records-dropped", "records-dropped", "records-dropped"],
        NOTHING,
    ),
    content("a byte changes", |p| flip(&number(p, "a"), 0), BOTH),
    content(
        "a byte of a file of many datasets changes",
        |p| flip(&log(p), 1),
        &["quarantined", "records-dropped", "records-dropped", "records-dropped"],
    ),
    Damage {
        found: &["artifact-checksum"],
        ..content(
            "two files change places",
            swap,
            &["quarantined", "quarantined", "records-dropped", "records-dropped"],
        )
    },
    files(
        "a file becomes a directory",
        |p| replace(&number(p, "a"), make_dir),
        &["artifact-not-regular"],
        DROPPED,
        NOTHING,
    ),
    files(
        "a file becomes a FIFO",
        |p| replace(&number(p, "a"), fifo),
        &["artifact-not-regular"],
        DROPPED,
        &["foreign"],
    ),
    files(
        "a file becomes a link to nowhere",
        |p| replace(&number(p, "a"), |path| link("/nowhere", path)),
        &["artifact-missing"],
        BOTH,
        NOTHING,
    ),
    files(
        "a file becomes a link to the same",
        |p| {
            let a = number(p, "a");
            let elsewhere = p.path().join("elsewhere");
            std::fs::rename(&a, &elsewhere).unwrap();
            link(elsewhere.as_str(), &a);
        },
        NOTHING,
        NOTHING,
        NOTHING,
    ),
    files(
        "a stray file",
        |p| write(&storage(p).join("stray.txt")),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray file of a RUN",
        |p| write(&number(p, "a").with_file_name("stray.txt")),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray file of a RUN that is gone",
        |p| write(&storage(p).join("gone@99/t/stray.txt")),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray unfinished file",
        |p| write(&number(p, "a").with_extension("txt.tmp")),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray directory",
        |p| make_dir(&storage(p).join("stray/x")),
        NOTHING,
        NOTHING,
        NOTHING,
    ),
    files(
        "a stray link to a file",
        |p| link("/etc/hostname", &storage(p).join("link")),
        &["foreign"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray link to nowhere",
        |p| link("/nowhere", &storage(p).join("link")),
        &["foreign"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray link to a directory",
        |p| link("/etc", &storage(p).join("link")),
        &["foreign"],
        NOTHING,
        &["foreign"],
    ),
    files("a stray FIFO", |p| fifo(&storage(p).join("fifo")), &["foreign"], NOTHING, &["foreign"]),
    files("a name that is not UTF-8", not_utf8, &["foreign"], NOTHING, &["foreign"]),
    // Files outside of it.
    files("a direct file is gone", |p| remove(&direct(p)), &["direct-missing"], DROPPED, NOTHING),
    files("a direct file grows", |p| append(&direct(p)), &["direct-size"], DROPPED, NOTHING),
    files(
        "a direct file becomes a directory",
        |p| replace(&direct(p), make_dir),
        &["direct-not-regular"],
        DROPPED,
        NOTHING,
    ),
    content("a direct file changes", |p| flip(&direct(p), 0), DROPPED),
    // Rows of datasets.
    files(
        "a record is gone",
        |p| sql(p, &format!("DELETE FROM file_datastore_record WHERE dataset = {A}")),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    rows(
        "a dataset is gone",
        |p| sql(p, &format!("DELETE FROM dataset WHERE id = {A}")),
        &["foreign-key", "membership-without-dataset", "record-without-dataset"],
    ),
    rows(
        "a membership is gone",
        |p| sql(p, &format!("DELETE FROM membership_1 WHERE dataset = {A}")),
        &["dataset-without-membership"],
    ),
    rows(
        "a membership is in another RUN",
        |p| {
            sql(
                p,
                &format!(
                    "UPDATE membership_1 SET collection = (SELECT run FROM dataset WHERE id <> {A} ORDER BY run DESC LIMIT 1) WHERE dataset = {A}"
                ),
            )
        },
        &["dataset-without-membership", "membership-mismatch"],
    ),
    rows(
        "a dimension record is gone",
        |p| sql(p, "DELETE FROM element_item WHERE d_item = 'a'"),
        &["membership-without-dimension-record"],
    ),
    rows(
        "a RUN is gone",
        |p| sql(p, "DELETE FROM collection WHERE name = 'toy/raw'"),
        &["chain-broken", "dataset-without-run", "foreign-key", "membership-mismatch"],
    ),
    rows(
        "a RUN is no RUN",
        |p| sql(p, "UPDATE collection SET type = 'CHAINED' WHERE name = 'toy/raw'"),
        &["dataset-without-run"],
    ),
    rows(
        "a dataset type is gone",
        |p| sql(p, "DELETE FROM dataset_type WHERE name = 'number'"),
        &["dataset-without-type", "foreign-key"],
    ),
    Damage {
        alone: true,
        ..rows(
            "a table of memberships is gone",
            |p| sql(p, "DROP TABLE membership_1"),
            &["group-without-table"],
        )
    },
    Damage {
        alone: true,
        ..rows(
            "a dimension group is of no universe",
            |p| sql(p, "UPDATE dimension_group SET key = 'item,moon' WHERE id = 1"),
            &["group-not-of-universe"],
        )
    },
    rows(
        "a tag of no dataset",
        |p| {
            sql(
                p,
                "INSERT INTO collection (name, type) VALUES ('good', 'TAGGED'); INSERT INTO membership_1 SELECT dataset_type, (SELECT id FROM collection WHERE name = 'good'), d_item, 99999 FROM membership_1 LIMIT 1",
            )
        },
        &["foreign-key", "tag-without-dataset"],
    ),
    rows(
        "a chain contains itself",
        |p| {
            sql(
                p,
                "INSERT INTO collection (name, type) VALUES ('x', 'CHAINED'), ('y', 'CHAINED'); INSERT INTO collection_child SELECT p.id, 0, c.id FROM collection p, collection c WHERE (p.name, c.name) IN (('x', 'y'), ('y', 'x'))",
            )
        },
        &["chain-cycle"],
    ),
    rows(
        "an index is gone",
        |p| {
            sql(
                p,
                "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'dataset_run'",
            )
        },
        &["integrity"],
    ),
    // Records.
    rows(
        "a record of no dataset",
        |p| {
            sql(
                p,
                &format!(
                    "INSERT INTO file_datastore_record SELECT 99999, component, uri, byte_offset, formatter, storage_class, size, checksum FROM file_datastore_record WHERE dataset = {A}"
                ),
            )
        },
        &["foreign-key", "record-without-dataset"],
    ),
    rows(
        "a record with a bad URI",
        |p| sql(p, &format!("UPDATE file_datastore_record SET uri = '../x' WHERE dataset = {A}")),
        &["orphan", "record-key"],
    ),
    rows(
        "a record with a short checksum",
        |p| {
            sql(
                p,
                &format!(
                    "PRAGMA ignore_check_constraints = ON; UPDATE file_datastore_record SET checksum = x'00' WHERE dataset = {A}"
                ),
            )
        },
        &["record-checksum"],
    ),
    rows(
        "a record of a negative size",
        |p| {
            sql(
                p,
                &format!(
                    "PRAGMA ignore_check_constraints = ON; UPDATE file_datastore_record SET size = -1 WHERE dataset = {A}"
                ),
            )
        },
        &["record-extent"],
    ),
    rows("an artifact in another RUN", elsewhere, &["record-outside-run"]),
    rows(
        "two records that overlap",
        |p| {
            sql(
                p,
                "UPDATE file_datastore_record SET byte_offset = byte_offset - 1 WHERE byte_offset = (SELECT max(byte_offset) FROM file_datastore_record)",
            )
        },
        &["artifact-overlap"],
    ),
    rows(
        "two datasets that say other things of an artifact",
        |p| {
            sql(
                p,
                &format!(
                    "UPDATE file_datastore_record SET uri = (SELECT uri FROM file_datastore_record WHERE dataset = {A}) WHERE dataset = {B}"
                ),
            )
        },
        &["artifact-overlap", "artifact-used-twice", "orphan"],
    ),
    // Transactions.
    rows(
        "locks of no transaction",
        |p| {
            sql(
                p,
                "INSERT INTO artifact_transaction_modified_run VALUES ('toy/raw', 'gone'); INSERT INTO artifact_transaction_insert_only_run VALUES ('gone', 'x'); INSERT INTO artifact_transaction_input_run VALUES ('gone', 'y')",
            )
        },
        &["foreign-key", "lock-without-transaction"],
    ),
    rows(
        "a manifest of no transaction",
        |p| {
            sql(
                p,
                "INSERT INTO artifact_transaction_chunk VALUES (zeroblob(16), 0, x'28b52ffd0000010000')",
            )
        },
        &["chunk-without-transaction", "foreign-key"],
    ),
    rows(
        "a transaction with damaged JSON",
        |p| open_and(p, "UPDATE artifact_transaction SET data = substr(data, 2)"),
        &["transaction-damaged"],
    ),
    rows(
        "a transaction of unknown kind",
        |p| open_and(p, "UPDATE artifact_transaction SET kind = 'hologram'"),
        &["transaction-unknown-kind"],
    ),
    rows(
        "a transaction of a newer version",
        |p| open_and(p, "UPDATE artifact_transaction SET data = json_set(data, '$.version', 99)"),
        &["transaction-newer"],
    ),
    rows(
        "a manifest that is cut",
        |p| {
            open_and(
                p,
                "INSERT INTO artifact_transaction_chunk SELECT opening_id, 99, x'28b5' FROM artifact_transaction",
            )
        },
        &["database-damaged"],
    ),
    rows(
        "locks that are not disjoint",
        |p| {
            open_and(
                p,
                "INSERT INTO artifact_transaction_modified_run SELECT run_name, transaction_name FROM artifact_transaction_insert_only_run",
            )
        },
        &["locks-not-disjoint"],
    ),
    rows(
        "a transaction that is open and closed",
        |p| {
            open_and(
                p,
                "INSERT INTO artifact_transaction_closed SELECT opening_id, name, 'committed', 1 FROM artifact_transaction",
            )
        },
        &["open-and-closed"],
    ),
    rows(
        "a transaction of another configuration",
        |p| open_and(p, "UPDATE artifact_transaction SET config_version = 99"),
        &["transaction-of-other-config"],
    ),
    rows(
        "a managed dataset with a record",
        |p| {
            open_and(
                p,
                &format!(
                    "INSERT INTO file_datastore_record SELECT (SELECT max(id) FROM dataset), component, uri, byte_offset, formatter, storage_class, size, checksum FROM file_datastore_record WHERE dataset = {A}"
                ),
            )
        },
        &["managed-with-record"],
    ),
];

/// The row of the number `a`, and of `b`.
const A: &str = "(SELECT dataset FROM membership_1 WHERE d_item = 'a' AND collection = (SELECT id FROM collection WHERE name = 'toy/raw'))";
const B: &str = "(SELECT dataset FROM membership_1 WHERE d_item = 'b' AND collection = (SELECT id FROM collection WHERE name = 'toy/raw'))";

#[test]
fn each_damage_is_found_and_repaired_as_far_as_it_can_be() {
    let sound = sound();
    let failures: Vec<String> = DAMAGES
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
    make(&project);
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

fn replace(path: &Utf8Path, by: impl FnOnce(&Utf8Path)) {
    remove(path);
    by(path);
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

fn swap(project: &Project) {
    let (a, b) = (number(project, "a"), number(project, "b"));
    let (in_a, in_b) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    assert_eq!(in_a.len(), in_b.len());
    rewrite(&a, &in_b);
    rewrite(&b, &in_a);
}

fn write(path: &Utf8Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

fn make_dir(path: &Utf8Path) {
    std::fs::create_dir_all(path).unwrap();
}

fn link(target: &str, path: &Utf8Path) {
    symlink(target, path).unwrap();
}

fn fifo(path: &Utf8Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn not_utf8(project: &Project) {
    let name = std::ffi::OsStr::from_bytes(b"not\xffutf8");
    File::create(storage(project).as_std_path().join(name)).unwrap();
}

fn sql(project: &Project, sql: &str) {
    project.sql(&format!("PRAGMA foreign_keys = OFF; {sql};"));
}

/// Puts the number `a` into a file outside of the storage, as an ingest that leaves its
/// sources where they are does.
fn direct(project: &Project) -> Utf8PathBuf {
    let outside = project.path().join("outside.txt");
    std::fs::rename(number(project, "a"), &outside).unwrap();
    sql(
        project,
        &format!("UPDATE file_datastore_record SET uri = 'file://{outside}' WHERE dataset = {A}"),
    );
    assert_eq!(codes(&check(project, &["--checksum"], 0)), NOTHING);
    outside
}

/// Puts the number `a` below the prefix of no RUN, its record with it.
fn elsewhere(project: &Project) {
    let from = number(project, "a");
    let name = from.file_name().unwrap();
    let to = storage(project).join("elsewhere@9").join(name);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(&from, &to).unwrap();
    sql(
        project,
        &format!("UPDATE file_datastore_record SET uri = 'elsewhere@9/{name}' WHERE dataset = {A}"),
    );
}

/// Leaves an ingest of one more number open, and then damages it.
fn open_and(project: &Project, damage: &str) {
    project.write("data/d.txt", "4\n");
    killed_at(project, "datastore.rename:1", &[]);
    assert_eq!(codes(&check(project, &[], 0)), NOTHING);
    sql(project, damage);
}

#[test]
fn a_byte_in_the_middle_of_a_large_file_is_found() {
    const SIZE: u64 = 200_000_000;
    let mut project = toy(&["large"]);
    File::create(project.path().join("data/large.txt")).unwrap().set_len(SIZE).unwrap();
    killed_at(&project, "close.rows.committed:1", &[]);
    let path = number(&project, "large");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), SIZE);
    assert_eq!(codes(&check(&project, &["--checksum"], 0)), NOTHING);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(SIZE / 2)).unwrap();
    file.write_all(&[1]).unwrap();
    drop(file);
    assert_eq!(codes(&check(&project, &[], 0)), NOTHING);
    project.expect_damage();
    let report = check(&project, &["--checksum"], 6);
    assert_eq!(codes(&report), ["artifact-checksum"]);
    let subject = report["findings"][0]["subject"].as_str().unwrap();
    assert!(path.as_str().ends_with(subject), "{subject}");
}

/// A repository with one of each that a repair can put right.
fn broken() -> Project {
    let mut project = sound();
    project.expect_damage();
    remove(&number(&project, "a"));
    append(&number(&project, "b"));
    flip(&number(&project, "c"), 0);
    write(&storage(&project).join("stray.txt"));
    write(&storage(&project).join("gone@99/t/stray.txt"));
    project
}

const REPAIR: [&str; 4] = ["check", "--checksum", "--repair", "--json"];

/// The repair of a project, with a variable that arms it.
fn armed(project: &Project, variable: (&str, &str)) -> std::process::Command {
    let repo = project.repo();
    let args = [&REPAIR[..], &["--repo", repo.as_str()]].concat();
    let mut command = project.program().command(&args);
    command.env(variable.0, variable.1);
    command
}

#[test]
fn a_repair_that_is_killed_anywhere_is_finished_by_the_next() {
    let broken = broken();
    let calm = broken.duplicate();
    let log = calm.path().join("steps.log");
    Ran::of(armed(&calm, ("PANTLER_CRASH_LOG", log.as_str()))).expect(0);
    let steps = calm.read("steps.log");
    let after = calm.picture();
    let moved = Files::quarantined(&calm);
    assert_eq!(moved, 4);
    let mut named = BTreeSet::new();
    let mut points: Vec<(&str, usize)> = Vec::new();
    for step in steps.lines() {
        let count = points.iter().filter(|(name, _)| *name == step).count() + 1;
        points.push((step, count));
        named.extend(step.strip_prefix("repair."));
    }
    for own in ["quarantine", "quarantined", "records", "records.dropped"] {
        assert!(named.contains(own), "{named:?}");
    }
    println!("killing `pantler check --repair` at {} points", points.len());
    points.par_iter().for_each(|(step, count)| {
        let project = broken.duplicate();
        let at = format!("{step}:{count}");
        let ran = Ran::of(armed(&project, ("PANTLER_CRASH", &at)));
        assert_eq!(ran.status.signal(), Some(9), "{at}: {}", ran.stderr);
        project.pantler(&REPAIR).expect(0);
        after.assert_same(&project.picture(), &at);
        assert_eq!(Files::quarantined(&project), moved, "{at}");
        project.check();
    });
}

#[test]
fn a_repair_that_fails_anywhere_says_so_and_is_finished_by_the_next() {
    let broken = broken();
    let calm = broken.duplicate();
    calm.pantler(&REPAIR).expect(0);
    let after = calm.picture();
    for how in ["denied", "full", "io", "lost"] {
        for n in 1..=4 {
            let project = broken.duplicate();
            let fault = format!("repair.quarantine:{n}:{how}");
            let ran = Ran::of(armed(&project, ("PANTLER_FAULT", &fault)));
            let said = ran.json();
            assert!(matches!(ran.code(), Some(0 | 6)), "{fault}: {}", ran.stderr);
            let skipped = texts(&said["repair"]["actions"], "action");
            assert!(skipped.iter().any(|action| action == "skipped"), "{fault}: {said:#}");
            project.pantler(&REPAIR).expect(0);
            after.assert_same(&project.picture(), &fault);
        }
    }
}

const OWN: &str = "toy%2Fraw@1/own.txt";

/// A repository in which the number `a` is registered only, and a user's own file lies in
/// the storage that nobody names yet.
fn with_own_file() -> Project {
    let project = sound();
    remove(&number(&project, "a"));
    project.pantler(&["check", "--repair"]).expect(0);
    std::fs::remove_dir_all(project.repo().join("quarantine")).ok();
    write(&storage(&project).join(OWN));
    project
}

/// Makes the user's file the number `a`, as an ingest in place does.
fn name_own_file(project: &Project) {
    let checksum = blake3::hash(b"x").to_hex();
    sql(
        project,
        &format!(
            "INSERT INTO file_datastore_record
        SELECT {A}, component, '{OWN}', NULL, formatter, storage_class, 1, x'{checksum}'
        FROM file_datastore_record WHERE dataset = {B}"
        ),
    );
}

fn own_file_is_back(project: &Project) {
    assert_eq!(std::fs::read(storage(project).join(OWN)).unwrap(), b"x");
    assert_eq!(codes(&check(project, &["--checksum"], 0)), NOTHING);
    let get = ["get", "number", "item=a", "--collections", "toy/raw"];
    assert_eq!(project.pantler(&get).expect(0).text(), "x");
    assert_eq!(Files::quarantined(project), 0);
}

#[test]
fn what_is_ingested_in_place_while_it_is_moved_away_is_moved_back() {
    let project = with_own_file();
    let mut command = armed(&project, ("PANTLER_PAUSE", "repair.quarantined:1"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    until("the repair pauses", || {
        let text = std::fs::read_to_string(&stat).unwrap();
        text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    });
    name_own_file(&project);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    let said = Ran::finish(child).expect(0).json();
    assert_eq!(done(&said), ["put-back", "quarantined"]);
    own_file_is_back(&project);
}

#[test]
fn what_is_ingested_in_place_after_a_repair_was_killed_is_moved_back() {
    let project = with_own_file();
    let ran = Ran::of(armed(&project, ("PANTLER_CRASH", "repair.quarantined:1")));
    assert_eq!(ran.status.signal(), Some(9));
    name_own_file(&project);
    assert_eq!(codes(&check(&project, &[], 6)), ["artifact-missing"]);
    assert_eq!(done(&check(&project, &["--repair"], 0)), ["put-back"]);
    own_file_is_back(&project);
}

/// What a removal has locked is left to it.
#[test]
fn records_of_a_run_that_a_transaction_modifies_stay() {
    let mut project = sound();
    append(&number(&project, "a"));
    let open = "INSERT INTO artifact_transaction
        VALUES ('other', 'hologram', '{}', 'x', zeroblob(16), 1, NULL, 'h', 'b', 1, 1, 1);
        INSERT INTO artifact_transaction_modified_run VALUES ('toy/raw', 'other')";
    sql(&project, open);
    project.expect_damage();
    let before = project.picture();
    let said = check(&project, &["--repair"], 6);
    assert_eq!(texts(&said["repair"]["actions"], "action"), ["skipped"], "{said:#}");
    assert_eq!(codes(&said), ["artifact-size", "transaction-unknown-kind"]);
    before.assert_same(&project.picture(), "skipped");
    sql(
        &project,
        "DELETE FROM artifact_transaction_modified_run; DELETE FROM artifact_transaction",
    );
    assert_eq!(done(&check(&project, &["--repair"], 0)), BOTH);
}

#[test]
fn a_repaired_dataset_is_registered_only_and_ingested_again() {
    let project = sound();
    remove(&number(&project, "a"));
    let dry = project.pantler(&["check", "--repair", "--dry-run"]).expect(6).text();
    assert!(dry.starts_with("would drop the records of number "), "{dry}");
    let ran = project.pantler(&["check", "--repair"]).expect(0).text();
    assert!(ran.starts_with("dropped the records of number "), "{ran}");
    assert!(ran.contains(" 1 registered only"), "{ran}");
    let get = ["get", "number", "item=a", "--collections", "toy/raw"];
    let ran = project.pantler(&get).expect(1);
    assert!(ran.stderr.contains("is registered, but not stored"), "{}", ran.stderr);
    let again = project.pantler(&["check", "--repair"]).expect(0).text();
    assert!(again.starts_with("nothing to repair"), "{again}");
}

#[test]
fn dry_run_goes_with_repair_alone() {
    let project = sound();
    project.pantler(&["check", "--dry-run"]).expect(2);
}

/// Sets when a file was written to last.
fn written_ago(path: &Utf8Path, ago: Duration) {
    write(path);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(SystemTime::now() - ago)).unwrap();
}

#[test]
fn vacuum_removes_what_nobody_can_need_and_nothing_else() {
    const LONG_AGO: Duration = Duration::from_secs(3700);
    const NOT_LONG_AGO: Duration = Duration::from_secs(3500);
    let mut project = sound();
    project.expect_damage();
    // An open ingest with unfinished artifacts of its own, and an open workspace.
    project.write("data/d.txt", "4\n");
    project.write("data/e.txt", "5\n");
    killed_at(&project, "datastore.rename:2", &[]);
    let repo = project.repo();
    let stale = [
        repo.join("pantler.yaml.0.tmp"),
        repo.join("workspaces/x.3.tmp"),
        repo.join("workspaces/toy/transaction.json.0.tmp"),
    ];
    stale.iter().for_each(|path| written_ago(path, LONG_AGO));
    let unfinished = number(&project, "a").with_extension("txt.tmp");
    write(&unfinished);
    let gone = storage(&project).join("gone@99");
    make_dir(&gone.join("t/x"));
    let gone_too = storage(&project).join("gone@98");
    write(&gone_too.join("t/all~0123456789abcdef01234567-1.txt.tmp"));
    let root = repo.join("workspaces/old/01a20054-c8ee-7529-945b-ed3e82131190");
    write(&root.join("transaction.json"));
    let kept = [
        repo.join("pantler.yaml.1.tmp"),
        repo.join("own.tmp"),
        storage(&project).join("own.txt.tmp"),
        storage(&project).join("gone@97/own.txt"),
    ];
    written_ago(&kept[0], NOT_LONG_AGO);
    kept[1..].iter().for_each(|path| written_ago(path, LONG_AGO));
    make_dir(&storage(&project).join("own/x"));
    let before = Files::of(&project);
    let mine = before.0.iter().filter(|path| path.ends_with(".tmp")).count();

    let rows = |args: &[&str]| {
        let ran = project.pantler(&[&["vacuum", "--json"], args].concat()).expect(0).json();
        let mut rows: Vec<_> = ran
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["kind"].as_str().unwrap().to_owned(),
                    Utf8PathBuf::from(row["path"].as_str().unwrap()),
                )
            })
            .collect();
        rows.sort();
        rows
    };
    let mut expected = vec![
        ("workspace-root".to_owned(), root.clone()),
        ("unfinished-artifact".to_owned(), unfinished),
        (
            "unfinished-artifact".to_owned(),
            gone_too.join("t/all~0123456789abcdef01234567-1.txt.tmp"),
        ),
        ("run-directory".to_owned(), gone.clone()),
        ("run-directory".to_owned(), gone_too.clone()),
    ];
    expected.extend(stale.iter().map(|path| ("unfinished-file".to_owned(), path.clone())));
    expected.sort();
    assert_eq!(rows(&["--dry-run"]), expected);
    before.assert_kept(&Files::of(&project), "vacuum --dry-run");
    assert_eq!(rows(&[]), expected);
    for (_, path) in &expected {
        assert!(!path.exists(), "{path}");
    }
    assert!(!repo.join("workspaces/old").exists());
    assert!(kept.iter().all(|path| path.exists()));
    assert!(storage(&project).join("own/x").is_dir());
    let left = Files::of(&project).0.iter().filter(|path| path.ends_with(".tmp")).count();
    assert_eq!(left, mine - 2, "what the open ingest owns is there");
    assert_eq!(rows(&[]), []);
    // The ingest goes on where it was killed.
    project.run(&[]).expect(0);
    assert_eq!(codes(&check(&project, &["--repair"], 0)), NOTHING);
}
