//! Repairs: killed and failing at every step, with others coming in between.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
};

use pantler::{
    butler::storing::{Ingest, Item, ItemDataset, StoringRun},
    core::{ArtifactKey, TransactionName, transaction::Closing},
    direct::{Begun, CloseOptions},
    registry::DatasetQuery,
};
use pantler_testkit::{Project, Ran};
use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    A, B, BOTH, Files, NOTHING, append, check, codes, done, flip, number, remove, run_sql, sound,
    storage, texts, write,
};
use crate::{
    library::butler,
    toy::{killed_at, toy, until},
};

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
    write(&storage(&project).join(OWN));
    project
}

/// Makes the user's file the number `a`, as an ingest in place does.
fn name_own_file(project: &Project) {
    let checksum = blake3::hash(b"x").to_hex();
    run_sql(
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
    let ran = Ran::of(armed(&project, ("PANTLER_CRASH", "repair.put_back:1")));
    assert_eq!(ran.status.signal(), Some(9));
    assert_eq!(codes(&check(&project, &[], 6)), ["artifact-missing"]);
    assert_eq!(done(&check(&project, &["--repair"], 0)), ["put-back"]);
    own_file_is_back(&project);
}

#[test]
fn what_an_open_transaction_names_after_a_repair_was_killed_is_moved_back() {
    let project = with_own_file();
    let ran = Ran::of(armed(&project, ("PANTLER_CRASH", "repair.quarantined:1")));
    assert_eq!(ran.status.signal(), Some(9));
    // An ingest in place that was planned before the file was moved.
    let butler = butler(&project);
    let rows = butler.query_datasets(&DatasetQuery::default()).unwrap();
    let unstored = rows.into_iter().find(|row| row.records.is_empty()).unwrap().dataset;
    let run = StoringRun { name: unstored.run.clone(), made: false, modified: true };
    let managed = ItemDataset {
        id: unstored.id,
        label: "number a".into(),
        storage_class: unstored.dataset_type.storage_class,
        slice: None,
        registered: true,
    };
    let item = Item::existing(ArtifactKey::new(OWN).unwrap().into(), vec![managed]);
    let name = TransactionName::new("own").unwrap();
    let opening = butler.environment().new_opening();
    let begun = butler.begin(&name, opening, Ingest::new(vec![run], vec![item], Vec::new()));
    assert!(matches!(begun, Ok(Begun::Opened(_))));
    assert!(butler.close(&name, Closing::Commit, CloseOptions::default()).is_err());
    assert_eq!(done(&check(&project, &["--repair"], 0)), ["put-back"]);
    butler.close(&name, Closing::Commit, CloseOptions::default()).unwrap();
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
    run_sql(&project, open);
    project.expect_damage();
    let before = project.picture();
    let said = check(&project, &["--repair"], 6);
    assert_eq!(texts(&said["repair"]["actions"], "action"), ["skipped"], "{said:#}");
    assert_eq!(codes(&said), ["artifact-size", "transaction-unknown-kind"]);
    before.assert_same(&project.picture(), "skipped");
    run_sql(
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
