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

use crate::toy::{COPY, PIPELINE, PROJECT, datasets, killed_at, path_of, toy, until};

/// What `check` is to say and `--repair` to do.
struct Damage {
    name: &'static str,
    make: fn(&Project),
    /// Whether it takes `--checksum` to see it.
    checksum: bool,
    /// The codes of the findings, sorted.
    found: &'static [&'static str],
    /// What the repair does, sorted.
    actions: &'static [&'static str],
    /// The codes of what is left after it, sorted.
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
    Damage { name, make, checksum: false, found, actions, left }
}

/// Damage of rows, which no command repairs.
const fn rows(name: &'static str, make: fn(&Project), found: &'static [&'static str]) -> Damage {
    Damage { name, make, checksum: false, found, actions: NOTHING, left: found }
}

/// Damage that leaves the size of a file as it was.
const fn content(
    name: &'static str,
    make: fn(&Project),
    actions: &'static [&'static str],
) -> Damage {
    Damage { name, make, checksum: true, found: &["artifact-checksum"], actions, left: NOTHING }
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
        found: &["artifact-checksum", "artifact-checksum"],
        ..content(
            "two files change places",
            swap,
            &["quarantined", "quarantined", "records-dropped", "records-dropped"],
        )
    },
    files(
        "a file becomes a directory",
        |p| {
            remove(&number(p, "a"));
            make_dir(&number(p, "a"));
        },
        &["artifact-not-regular"],
        DROPPED,
        NOTHING,
    ),
    files(
        "a file becomes a FIFO",
        |p| {
            remove(&number(p, "a"));
            fifo(&number(p, "a"));
        },
        &["artifact-not-regular"],
        DROPPED,
        &["foreign"],
    ),
    files(
        "a file becomes a link to nowhere",
        |p| {
            remove(&number(p, "a"));
            link("/nowhere", &number(p, "a"));
        },
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
        |p| {
            let path = direct(p);
            remove(&path);
            make_dir(&path);
        },
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
        &["foreign-key", "foreign-key", "membership-without-dataset", "record-without-dataset"],
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
        &[
            "membership-without-dimension-record",
            "membership-without-dimension-record",
            "membership-without-dimension-record",
        ],
    ),
    rows(
        "a RUN is gone",
        |p| sql(p, "DELETE FROM collection WHERE name = 'toy/raw'"),
        &["chain-broken"],
    ),
    rows(
        "a RUN is no RUN",
        |p| sql(p, "UPDATE collection SET type = 'CHAINED' WHERE name = 'toy/raw'"),
        &["dataset-without-run"],
    ),
    rows(
        "a dataset type is gone",
        |p| sql(p, "DELETE FROM dataset_type WHERE name = 'number'"),
        &["dataset-without-type"],
    ),
    rows(
        "a table of memberships is gone",
        |p| sql(p, "DROP TABLE membership_1"),
        &["group-without-table"],
    ),
    rows(
        "a dimension group is of no universe",
        |p| sql(p, "UPDATE dimension_group SET key = 'item,moon' WHERE id = 1"),
        &["group-not-of-universe"],
    ),
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
        &["chain-cycle", "chain-cycle"],
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
        &[
            "foreign-key",
            "lock-without-transaction",
            "lock-without-transaction",
            "lock-without-transaction",
        ],
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
        |p| open_and(p, "UPDATE artifact_transaction_chunk SET body = substr(body, 1, 9)"),
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
            result.err().map(|_| damage.name.to_owned())
        })
        .collect();
    assert!(failures.is_empty(), "failed, see above: {failures:#?}");
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
    let Damage { name, make, checksum, found, actions, left } = damage;
    let mut project = sound.duplicate();
    project.expect_damage();
    make(&project);
    let writing = AtomicBool::new(true);
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
        assert_eq!(codes(&repaired), *left, "{name}: what is left: {repaired:#}");
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
    while writing.load(Ordering::SeqCst) || written == 0 {
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
    texts(&report["findings"], "code")
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
