//! The table: one line for each damage.

use std::{
    fs::File,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::Project;

use super::{
    A, BOTH, DROPPED, Damage,
    Make::{self, Code, Open, Sql},
    NOTHING, QUARANTINED, append, flip, log, make_dir, number, remove, rewrite, run_sql, storage,
    write,
};

const fn files(
    name: &'static str,
    make: Make,
    found: &'static [&'static str],
    actions: &'static [&'static str],
    left: &'static [&'static str],
) -> Damage {
    Damage { name, make, checksum: false, alone: false, found, actions, left }
}

/// Damage of rows, which no command repairs.
const fn rows(name: &'static str, make: Make, found: &'static [&'static str]) -> Damage {
    files(name, make, found, NOTHING, found)
}

/// Damage that leaves the size of a file as it was.
const fn content(name: &'static str, make: Make, actions: &'static [&'static str]) -> Damage {
    let damage = files(name, make, &["artifact-checksum"], actions, NOTHING);
    Damage { checksum: true, ..damage }
}

pub(super) const DAMAGES: &[Damage] = &[
    // Files of the storage.
    files(
        "a file is deleted",
        Code(|p| remove(&number(p, "a"))),
        &["artifact-missing"],
        DROPPED,
        NOTHING,
    ),
    files(
        "a file is cut",
        Code(|p| rewrite(&number(p, "a"), b"")),
        &["artifact-size"],
        BOTH,
        NOTHING,
    ),
    files("a file grows", Code(|p| append(&number(p, "a"))), &["artifact-size"], BOTH, NOTHING),
    files(
        "a file of many datasets is deleted",
        Code(|p| remove(&log(p))),
        &["artifact-missing"],
        &["records-dropped", "records-dropped", "records-dropped"],
        NOTHING,
    ),
    content("a byte changes", Code(|p| flip(&number(p, "a"), 0)), BOTH),
    content(
        "a byte of a file of many datasets changes",
        Code(|p| flip(&log(p), 1)),
        &["quarantined", "records-dropped", "records-dropped", "records-dropped"],
    ),
    Damage {
        found: &["artifact-checksum"],
        ..content(
            "two files change places",
            Code(swap),
            &["quarantined", "quarantined", "records-dropped", "records-dropped"],
        )
    },
    files(
        "a file becomes a directory",
        Code(|p| replace(&number(p, "a"), make_dir)),
        &["artifact-not-regular"],
        DROPPED,
        NOTHING,
    ),
    files(
        "a file becomes a FIFO",
        Code(|p| replace(&number(p, "a"), fifo)),
        &["artifact-not-regular"],
        DROPPED,
        &["foreign"],
    ),
    files(
        "a file becomes a link to nowhere",
        Code(|p| replace(&number(p, "a"), |path| link("/nowhere", path))),
        &["artifact-missing"],
        BOTH,
        NOTHING,
    ),
    files(
        "a file becomes a link to the same",
        Code(|p| {
            let a = number(p, "a");
            let elsewhere = p.path().join("elsewhere");
            std::fs::rename(&a, &elsewhere).unwrap();
            link(elsewhere.as_str(), &a);
        }),
        NOTHING,
        NOTHING,
        NOTHING,
    ),
    files(
        "a stray file",
        Code(|p| write(&storage(p).join("stray.txt"))),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray file of a RUN",
        Code(|p| write(&number(p, "a").with_file_name("stray.txt"))),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray file of a RUN that is gone",
        Code(|p| write(&storage(p).join("gone@99/t/stray.txt"))),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray unfinished file",
        Code(|p| write(&number(p, "a").with_extension("txt.tmp"))),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray directory",
        Code(|p| make_dir(&storage(p).join("stray/x"))),
        NOTHING,
        NOTHING,
        NOTHING,
    ),
    files(
        "a stray link to a file",
        Code(|p| link("/etc/hostname", &storage(p).join("link"))),
        &["foreign"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray link to nowhere",
        Code(|p| link("/nowhere", &storage(p).join("link"))),
        &["foreign"],
        QUARANTINED,
        NOTHING,
    ),
    files(
        "a stray link to a directory",
        Code(|p| link("/etc", &storage(p).join("link"))),
        &["foreign"],
        NOTHING,
        &["foreign"],
    ),
    files(
        "a stray FIFO",
        Code(|p| fifo(&storage(p).join("fifo"))),
        &["foreign"],
        NOTHING,
        &["foreign"],
    ),
    files("a name that is not UTF-8", Code(not_utf8), &["foreign"], NOTHING, &["foreign"]),
    // Files outside of it.
    files(
        "a direct file is gone",
        Code(|p| remove(&direct(p))),
        &["direct-missing"],
        DROPPED,
        NOTHING,
    ),
    files("a direct file grows", Code(|p| append(&direct(p))), &["direct-size"], DROPPED, NOTHING),
    files(
        "a direct file becomes a directory",
        Code(|p| replace(&direct(p), make_dir)),
        &["direct-not-regular"],
        DROPPED,
        NOTHING,
    ),
    content("a direct file changes", Code(|p| flip(&direct(p), 0)), DROPPED),
    // Rows of datasets.
    files(
        "a record is gone",
        Sql("DELETE FROM file_datastore_record WHERE dataset = {A}"),
        &["orphan"],
        QUARANTINED,
        NOTHING,
    ),
    rows(
        "a dataset is gone",
        Sql("DELETE FROM dataset WHERE id = {A}"),
        &["foreign-key", "membership-without-dataset", "record-without-dataset"],
    ),
    rows(
        "a membership is gone",
        Sql("DELETE FROM membership_1 WHERE dataset = {A}"),
        &["dataset-without-membership"],
    ),
    rows(
        "a membership is in another RUN",
        Sql(
            "UPDATE membership_1 SET collection = (SELECT run FROM dataset WHERE id <> {A} ORDER BY run DESC LIMIT 1) WHERE dataset = {A}",
        ),
        &["dataset-without-membership", "membership-mismatch"],
    ),
    rows(
        "a dimension record is gone",
        Sql("DELETE FROM element_item WHERE d_item = 'a'"),
        &["membership-without-dimension-record"],
    ),
    rows(
        "a RUN is gone",
        Sql("DELETE FROM collection WHERE name = 'toy/raw'"),
        &["chain-broken", "dataset-without-run", "foreign-key", "membership-mismatch"],
    ),
    rows(
        "a RUN is no RUN",
        Sql("UPDATE collection SET type = 'CHAINED' WHERE name = 'toy/raw'"),
        &["dataset-without-run"],
    ),
    rows(
        "a dataset type is gone",
        Sql("DELETE FROM dataset_type WHERE name = 'number'"),
        &["dataset-without-type", "foreign-key"],
    ),
    Damage {
        alone: true,
        ..rows(
            "a table of memberships is gone",
            Sql("DROP TABLE membership_1"),
            &["group-without-table"],
        )
    },
    Damage {
        alone: true,
        ..rows(
            "a dimension group is of no universe",
            Sql("UPDATE dimension_group SET key = 'item,moon' WHERE id = 1"),
            &["group-not-of-universe"],
        )
    },
    rows(
        "a tag of no dataset",
        Sql(
            "INSERT INTO collection (name, type) VALUES ('good', 'TAGGED'); INSERT INTO membership_1 SELECT dataset_type, (SELECT id FROM collection WHERE name = 'good'), d_item, 99999 FROM membership_1 LIMIT 1",
        ),
        &["foreign-key", "tag-without-dataset"],
    ),
    rows(
        "a chain contains itself",
        Sql(
            "INSERT INTO collection (name, type) VALUES ('x', 'CHAINED'), ('y', 'CHAINED'); INSERT INTO collection_child SELECT p.id, 0, c.id FROM collection p, collection c WHERE (p.name, c.name) IN (('x', 'y'), ('y', 'x'))",
        ),
        &["chain-cycle"],
    ),
    rows(
        "an index is gone",
        Sql("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'dataset_run'"),
        &["integrity"],
    ),
    // Records.
    rows(
        "a record of no dataset",
        Sql(
            "INSERT INTO file_datastore_record SELECT 99999, component, uri, byte_offset, formatter, storage_class, size, checksum FROM file_datastore_record WHERE dataset = {A}",
        ),
        &["foreign-key", "record-without-dataset"],
    ),
    rows(
        "a record with a bad URI",
        Sql("UPDATE file_datastore_record SET uri = '../x' WHERE dataset = {A}"),
        &["orphan", "record-key"],
    ),
    rows(
        "a record with a short checksum",
        Sql(
            "PRAGMA ignore_check_constraints = ON; UPDATE file_datastore_record SET checksum = x'00' WHERE dataset = {A}",
        ),
        &["record-checksum"],
    ),
    rows(
        "a record of a negative size",
        Sql(
            "PRAGMA ignore_check_constraints = ON; UPDATE file_datastore_record SET size = -1 WHERE dataset = {A}",
        ),
        &["record-extent"],
    ),
    rows("an artifact in another RUN", Code(elsewhere), &["record-outside-run"]),
    rows(
        "two records that overlap",
        Sql(
            "UPDATE file_datastore_record SET byte_offset = byte_offset - 1 WHERE byte_offset = (SELECT max(byte_offset) FROM file_datastore_record)",
        ),
        &["artifact-overlap"],
    ),
    rows(
        "two datasets that say other things of an artifact",
        Sql(
            "UPDATE file_datastore_record SET uri = (SELECT uri FROM file_datastore_record WHERE dataset = {A}) WHERE dataset = {B}",
        ),
        &["artifact-overlap", "artifact-used-twice", "orphan"],
    ),
    files(
        "a record of a path that nobody can look at",
        Sql(
            "WITH RECURSIVE long (path, n) AS (SELECT 'x', 0 UNION ALL SELECT path || '/' || hex(zeroblob(100)), n + 1 FROM long WHERE n < 30) UPDATE file_datastore_record SET uri = (SELECT path FROM long WHERE n = 30) WHERE dataset = {A}",
        ),
        &["artifact-unreadable", "orphan"],
        QUARANTINED,
        &["artifact-unreadable"],
    ),
    files(
        "a record of a direct file that nobody can look at",
        Sql(
            "UPDATE file_datastore_record SET uri = 'file:///' || hex(zeroblob(200)) WHERE dataset = {A}",
        ),
        &["direct-unreadable", "orphan"],
        QUARANTINED,
        &["direct-unreadable"],
    ),
    rows(
        "a tag with another data ID",
        Sql(
            "INSERT INTO collection (name, type) VALUES ('good', 'TAGGED'); INSERT INTO membership_1 SELECT dataset_type, (SELECT id FROM collection WHERE name = 'good'), 'b', dataset FROM membership_1 WHERE dataset = {A}",
        ),
        &["tag-mismatch"],
    ),
    // Transactions.
    rows(
        "locks of no transaction",
        Sql(
            "INSERT INTO artifact_transaction_modified_run VALUES ('toy/raw', 'gone'); INSERT INTO artifact_transaction_insert_only_run VALUES ('gone', 'x'); INSERT INTO artifact_transaction_input_run VALUES ('gone', 'y')",
        ),
        &["foreign-key", "lock-without-transaction"],
    ),
    rows(
        "a manifest of no transaction",
        Sql(
            "INSERT INTO artifact_transaction_chunk VALUES (zeroblob(16), 0, x'28b52ffd0000010000')",
        ),
        &["chunk-without-transaction", "foreign-key"],
    ),
    rows(
        "a transaction with damaged JSON",
        Open("UPDATE artifact_transaction SET data = substr(data, 2)"),
        &["transaction-damaged"],
    ),
    rows(
        "a transaction of unknown kind",
        Open("UPDATE artifact_transaction SET kind = 'hologram'"),
        &["transaction-unknown-kind"],
    ),
    rows(
        "a transaction of a newer version",
        Open("UPDATE artifact_transaction SET data = json_set(data, '$.version', 99)"),
        &["transaction-newer"],
    ),
    rows(
        "a manifest that is cut",
        Open(
            "INSERT INTO artifact_transaction_chunk SELECT opening_id, 99, x'28b5' FROM artifact_transaction",
        ),
        &["database-damaged"],
    ),
    rows(
        "locks that are not disjoint",
        Open(
            "INSERT INTO artifact_transaction_modified_run SELECT run_name, transaction_name FROM artifact_transaction_insert_only_run",
        ),
        &["locks-not-disjoint"],
    ),
    rows(
        "a transaction that is open and closed",
        Open(
            "INSERT INTO artifact_transaction_closed SELECT opening_id, name, 'committed', 1 FROM artifact_transaction",
        ),
        &["open-and-closed"],
    ),
    rows(
        "a transaction of another configuration",
        Open("UPDATE artifact_transaction SET config_version = 99"),
        &["transaction-of-other-config"],
    ),
    rows(
        "a managed dataset with a record",
        Open(
            "INSERT INTO file_datastore_record SELECT (SELECT max(id) FROM dataset), component, uri, byte_offset, formatter, storage_class, size, checksum FROM file_datastore_record WHERE dataset = {A}",
        ),
        &["managed-with-record"],
    ),
];

fn replace(path: &Utf8Path, by: impl FnOnce(&Utf8Path)) {
    remove(path);
    by(path);
}

fn swap(project: &Project) {
    let (a, b) = (number(project, "a"), number(project, "b"));
    let (in_a, in_b) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    assert_eq!(in_a.len(), in_b.len());
    rewrite(&a, &in_b);
    rewrite(&b, &in_a);
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

/// Puts the number `a` into a file outside of the storage, as an ingest that leaves its
/// sources where they are does.
fn direct(project: &Project) -> Utf8PathBuf {
    let outside = project.path().join("outside.txt");
    std::fs::rename(number(project, "a"), &outside).unwrap();
    run_sql(
        project,
        &format!("UPDATE file_datastore_record SET uri = 'file://{outside}' WHERE dataset = {A}"),
    );
    outside
}

/// Puts the number `a` below the prefix of no RUN, its record with it.
fn elsewhere(project: &Project) {
    let from = number(project, "a");
    let name = from.file_name().unwrap();
    let to = storage(project).join("elsewhere@9").join(name);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(&from, &to).unwrap();
    run_sql(
        project,
        &format!("UPDATE file_datastore_record SET uri = 'elsewhere@9/{name}' WHERE dataset = {A}"),
    );
}
