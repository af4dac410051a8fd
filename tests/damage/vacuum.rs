//! Vacuum: what it removes, and what it never does.

use std::{
    fs::{FileTimes, OpenOptions},
    os::unix::process::ExitStatusExt as _,
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};

use super::{Files, NOTHING, check, codes, make_dir, number, sound, storage, write};
use crate::toy::killed_at;

/// Sets when a file was written to last.
fn written_ago(path: &Utf8Path, ago: Duration) {
    write(path);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(SystemTime::now() - ago)).unwrap();
}

fn unfinished_in(files: &Files) -> usize {
    files.0.iter().filter(|path| Utf8Path::new(path).extension() == Some("tmp")).count()
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
    for path in &stale {
        written_ago(path, LONG_AGO);
    }
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
    for path in &kept[1..] {
        written_ago(path, LONG_AGO);
    }
    make_dir(&storage(&project).join("own/x"));
    let before = Files::of(&project);
    let mine = unfinished_in(&before);

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
    let left = unfinished_in(&Files::of(&project));
    assert_eq!(left, mine - 2, "what the open ingest owns is there");
    assert_eq!(rows(&[]), []);
    // The ingest goes on where it was killed.
    project.run(&[]).expect(0);
    assert_eq!(codes(&check(&project, &["--repair"], 0)), NOTHING);
}

#[test]
fn a_vacuum_that_is_killed_anywhere_is_finished_by_the_next() {
    let sound = sound();
    let repo = sound.repo();
    written_ago(&repo.join("pantler.yaml.0.tmp"), Duration::from_secs(7200));
    write(&number(&sound, "a").with_extension("txt.tmp"));
    make_dir(&storage(&sound).join("gone@99/t"));
    write(&repo.join("workspaces/old/01a20054-c8ee-7529-945b-ed3e82131190/journal/1.jsonl"));
    let vacuum = |project: &Project, variable: (&str, &str)| {
        let repo = project.repo();
        let mut command = project.program().command(&["vacuum", "--repo", repo.as_str()]);
        command.env(variable.0, variable.1);
        Ran::of(command)
    };
    // What was written to long ago must stay so in a copy.
    let copy = || {
        let copy = sound.duplicate();
        written_ago(&copy.repo().join("pantler.yaml.0.tmp"), Duration::from_secs(7200));
        make_dir(&storage(&copy).join("gone@99/t"));
        copy
    };
    let calm = copy();
    let log = calm.path().join("steps.log");
    vacuum(&calm, ("PANTLER_CRASH_LOG", log.as_str())).expect(0);
    let steps = calm.read("steps.log");
    for own in ["vacuum.file", "datastore.discard", "datastore.prune", "fs.remove_tree"] {
        assert!(steps.lines().any(|step| step == own), "{steps}");
    }
    let after = calm.picture();
    for (n, step) in steps.lines().enumerate() {
        let count = steps.lines().take(n + 1).filter(|name| *name == step).count();
        let project = copy();
        let at = format!("{step}:{count}");
        assert_eq!(vacuum(&project, ("PANTLER_CRASH", &at)).status.signal(), Some(9), "{at}");
        project.pantler(&["vacuum"]).expect(0);
        after.assert_same(&project.picture(), &at);
        assert!(!project.repo().join("pantler.yaml.0.tmp").exists(), "{at}");
        assert!(!storage(&project).join("gone@99").exists(), "{at}");
        project.check();
    }
    calm.check();
    sound.pantler(&["vacuum"]).expect(0);
}
