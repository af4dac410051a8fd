//! No room: in the storage at every write, and in the database. What was there stays
//! as it was; what is open is listed; with room again, the same call finishes it.

use std::{collections::BTreeMap, io::ErrorKind};

use pantler::{
    core::{TransactionName, transaction::Closing},
    datastore::testing::Operation,
    direct::{CloseError, CloseOptions, Closed, StoreError, SystemClock},
    exec::{Environment, LockError, NoObserver, RunSummary, Selection, StopFlag, TaskRegistry},
    registry::RegistryError,
    workspace::{RunOptions, WorkspaceClient, WorkspaceError},
};
use pantler_testkit::Project;

use crate::{
    library::{
        butler, butler_on_full_disk, close_workspace, collection, failing, files_of, ingest,
    },
    toy::{killed_at, open_names, toy, until},
};

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// What takes room, or may find that there is none.
const WRITING: [Operation; 7] = [
    Operation::Stage,
    Operation::Write,
    Operation::Finish,
    Operation::Publish,
    Operation::Adopt,
    Operation::Flusher,
    Operation::Flush,
];

/// What an undisturbed run gives.
fn expected() -> Vec<String> {
    let calm = toy(&ITEMS);
    calm.run(&[]).expect(0);
    calm.contents("toy")
}

fn open_workspace(project: &Project) -> String {
    open_names(project, "workspace").remove(0)
}

#[test]
fn an_ingest_without_room_is_undone() {
    let prepared = toy(&ITEMS);
    killed_at(&prepared, "ingest.prepared:1", &[]);
    let before = prepared.picture();
    let mut failures = BTreeMap::new();
    for operation in WRITING {
        for n in 1.. {
            let project = prepared.duplicate();
            let butler = butler(&project);
            let (datastore, storage) = failing(butler.datastore());
            let butler = butler.with_datastore(datastore);
            // For good: nothing else is written any more, though things can be deleted.
            storage.fail_from(operation, n, ErrorKind::StorageFull);
            let result = ingest(&butler, &files_of(&project, &ITEMS));
            if storage.calls(operation) < n {
                result.unwrap();
                break;
            }
            let error = result.unwrap_err();
            let at = format!("{operation:?} {n}");
            project.check();
            // To undo it for good takes a flush as well.
            if matches!(operation, Operation::Flusher | Operation::Flush) {
                assert!(matches!(error, StoreError::LeftOpen { .. }), "{at}: {error:?}");
                storage.heal();
                let name = TransactionName::new(open_names(&project, "transaction").remove(0));
                butler.close(&name.unwrap(), Closing::Revert, CloseOptions::default()).unwrap();
            } else {
                assert!(matches!(error, StoreError::Undone { .. }), "{at}: {error:?}");
                storage.heal();
            }
            before.assert_same(&project.picture(), &at);
            ingest(&butler, &files_of(&project, &ITEMS)).unwrap();
            *failures.entry(operation).or_insert(0) += 1;
        }
    }
    for operation in [Operation::Stage, Operation::Write, Operation::Finish, Operation::Publish] {
        assert!(failures[&operation] >= ITEMS.len(), "{failures:?}");
    }
    assert!(failures.contains_key(&Operation::Flush), "{failures:?}");
}

fn run(client: &WorkspaceClient) -> Result<RunSummary, WorkspaceError> {
    let options = RunOptions {
        selection: &Selection::default(),
        jobs: std::num::NonZeroUsize::new(1),
        tasks: &TaskRegistry::new(),
        environment: &Environment {
            path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            home: "/nonexistent".to_owned(),
            variables: BTreeMap::new(),
            pipeline_dir: client.pipeline().parent().unwrap().to_owned(),
            pantler: "pantler".into(),
        },
        stop: &StopFlag::new(),
        clock: &SystemClock,
    };
    let graph = client.graph()?;
    let mut ran = None;
    until("the lock is free of what other tests start", || {
        let tried = client.run(&graph, &options, &mut NoObserver);
        let locked = matches!(tried, Err(WorkspaceError::Lock(LockError::Locked { .. })));
        ran = Some(tried);
        !locked
    });
    ran.unwrap()
}

#[test]
fn a_run_without_room_keeps_what_was_finished_and_is_run_again() {
    let expected = expected();
    let built = toy(&ITEMS);
    killed_at(&built, "exec.spawn:1", &["-j1"]);
    let name = open_workspace(&built);
    let mut failures = BTreeMap::new();
    for operation in WRITING {
        // Groups of flushes depend on time: there may be fewer the next time.
        for n in 1..=4 {
            let project = built.duplicate();
            let client = WorkspaceClient::find(&project.repo(), &collection(&name));
            let client = client.unwrap().unwrap();
            let (datastore, storage) = failing(butler(&project).datastore());
            let client = client.with_datastore(datastore);
            storage.fail_at(operation, n, ErrorKind::StorageFull);
            let result = run(&client);
            let at = format!("{operation:?} {n}");
            if storage.calls(operation) >= n {
                *failures.entry(operation).or_insert(0) += 1;
                match result {
                    Ok(summary) => {
                        assert_eq!(summary.total().failed, 1, "{at}");
                        let reason = summary.failures[0].reason.to_string();
                        assert!(reason.starts_with("cannot write: "), "{at}: {reason}");
                    }
                    Err(WorkspaceError::Run(_)) => {}
                    Err(error) => panic!("{at}: {error}"),
                }
            }
            project.check();
            storage.heal();
            assert!(run(&client).unwrap().is_complete(), "{at}");
            let butler = butler(&project);
            close_workspace(&butler, &name, Closing::Commit).unwrap();
            drop(butler);
            assert_eq!(project.contents("toy"), expected, "{at}");
        }
    }
    assert_eq!(failures.get(&Operation::Adopt), Some(&4), "{failures:?}");
    assert!(failures.contains_key(&Operation::Flush), "{failures:?}");
}

#[test]
fn a_commit_without_room_stays_open_and_is_done_again() {
    let expected = expected();
    let complete = toy(&ITEMS);
    complete.run(&["--no-commit"]).expect(0);
    let name = open_workspace(&complete);
    let before = complete.picture();
    let mut stayed = 0;
    for operation in
        [&WRITING[..], &[Operation::Walk, Operation::Delete, Operation::Prune]].concat()
    {
        for n in 1.. {
            let project = complete.duplicate();
            let butler = butler(&project);
            let (datastore, storage) = failing(butler.datastore());
            let butler = butler.with_datastore(datastore);
            storage.fail_from(operation, n, ErrorKind::StorageFull);
            let result = close_workspace(&butler, &name, Closing::Commit);
            let at = format!("{operation:?} {n}");
            if storage.calls(operation) < n {
                result.unwrap();
                break;
            }
            if let Err(error) = result {
                let still = matches!(error, WorkspaceError::Close(CloseError::StillOpen { .. }));
                assert!(still, "{at}: {error:?}");
                stayed += 1;
                project.check();
                assert_eq!(open_names(&project, "workspace"), [name.as_str()], "{at}");
                // Nothing entered; only who closes it has changed.
                let rows = |table: &str| project.picture().rows[table].clone();
                for table in ["dataset", "file_datastore_record", "collection_child"] {
                    assert_eq!(rows(table), before.rows[table], "{at}: {table}");
                }
                storage.heal();
                let closed = close_workspace(&butler, &name, Closing::Commit).unwrap();
                assert!(matches!(closed, Closed::Now { .. }), "{at}");
            }
            drop(butler);
            assert_eq!(project.contents("toy"), expected, "{at}");
        }
    }
    // The logs of two tasks at least: staged, written, finished, published.
    assert!(stayed >= 5, "{stayed}");
}

/// A toy project of so many files that their rows do not fit into the pages there are.
fn many() -> (Vec<String>, Project) {
    let items: Vec<String> = (0..120).map(|n| format!("an_item_with_a_long_name_{n:03}")).collect();
    let project = toy(&items.iter().map(String::as_str).collect::<Vec<_>>());
    (items, project)
}

#[test]
fn a_full_database_refuses_the_opening_of_an_ingest() {
    let (items, project) = many();
    killed_at(&project, "ingest.prepared:1", &[]);
    let before = project.picture();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let files = files_of(&project, &items);
    let error = ingest(&butler_on_full_disk(&project), &files).unwrap_err();
    let chain = format!("{error:?}");
    assert!(chain.contains("Full"), "{chain}");
    before.assert_same(&project.picture(), "after a refused opening");
    project.check();
    assert_eq!(ingest(&butler(&project), &files).unwrap().stored, items.len());
}

#[test]
fn a_full_database_at_the_closing_of_an_ingest_leaves_it_open() {
    let (items, project) = many();
    killed_at(&project, "close.storage.done:1", &[]);
    let name = TransactionName::new("toy/raw/ingest").unwrap();
    let commit = |butler: &pantler::direct::DirectButler| {
        butler.close(&name, Closing::Commit, CloseOptions::default())
    };
    let full = butler_on_full_disk(&project);
    let error = commit(&full).unwrap_err();
    assert!(
        matches!(error, CloseError::Rows { source: RegistryError::Full { .. }, .. }),
        "{error:?}"
    );
    drop(full);
    project.check();
    assert_eq!(open_names(&project, "transaction"), [name.as_str()]);
    assert!(matches!(commit(&butler(&project)).unwrap(), Closed::Now { .. }));
    let rows = project.pantler(&["query", "datasets", "number", "--json"]).expect(0).json();
    let stored = rows.as_array().unwrap().iter().filter(|row| row["stored"] == true).count();
    assert_eq!(stored, items.len());
}

#[test]
fn a_full_database_at_the_commit_of_a_workspace_leaves_it_open() {
    let (_, project) = many();
    project.run(&["--no-commit"]).expect(0);
    let name = open_workspace(&project);
    let full = butler_on_full_disk(&project);
    let error = close_workspace(&full, &name, Closing::Commit).unwrap_err();
    let rows = matches!(
        error,
        WorkspaceError::Close(CloseError::Rows { source: RegistryError::Full { .. }, .. })
    );
    assert!(rows, "{error:?}");
    drop(full);
    project.check();
    assert_eq!(open_names(&project, "workspace"), [name.as_str()]);
    close_workspace(&butler(&project), &name, Closing::Commit).unwrap();
    let total = project.pantler(&["get", "total", "--collections", "toy"]).expect(0);
    assert_eq!(total.text(), format!("{}\n", 120 * 121 / 2));
}
