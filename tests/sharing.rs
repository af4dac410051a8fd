//! What several need, or what is a user's own, is not deleted before its time; and how the
//! three states of a dataset look from outside.

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::TransferMode,
    core::{DatasetId, DatasetTypeName, transaction::Closing},
    registry::{DatasetQuery, DatasetRow},
};
use serde_json::Value;

use crate::{
    library::butler,
    players::{Depot, Order},
    scenes::{CLOSINGS, NAME, Scene},
    toy,
};

const MODES: [TransferMode; 6] = [
    TransferMode::Copy,
    TransferMode::Move,
    TransferMode::Hardlink,
    TransferMode::Symlink,
    TransferMode::InPlace,
    TransferMode::Direct,
];

/// Of each dataset: item, state, the transaction that manages it.
fn states(depot: &Depot, run: &str) -> Vec<(String, String, Option<String>)> {
    let ran = depot.pantler(&["query", "datasets", "--collections", run, "--json"]).expect(0);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rows = ran.json();
    let state = |row: &Value| {
        let item = text(&row["data_id"]["item"]).unwrap();
        (item, text(&row["state"]).unwrap(), text(&row["transaction"]))
    };
    rows.as_array().unwrap().iter().map(state).collect()
}

fn ids(rows: &[DatasetRow]) -> Vec<DatasetId> {
    rows.iter().map(|row| row.dataset.id).collect()
}

/// A repository in whose RUN `r` three datasets lie in one file, of four bytes each.
fn three_in_one_file() -> (Depot, Vec<DatasetId>) {
    let depot = Depot::new(10);
    let file = depot.file("three.txt", "aaa\nbbb\nccc\n");
    let items = ["i0000", "i0001", "i0002"];
    depot.did(&Order::ingest_slices("r", &file, &items, 4, TransferMode::Copy));
    assert_eq!(depot.artifacts().len(), 1);
    let ids = ids(&depot.rows("r"));
    (depot, ids)
}

fn held(item: &str, content: Option<&str>) -> (String, Option<String>) {
    (item.to_owned(), content.map(str::to_owned))
}

#[test]
fn registered_only_and_managed_datasets_are_visible_as_such() {
    let scene = Scene::killed_at("put", "close.storage.done:1");
    let depot = &scene.depot;
    let state = |item: &str, state: &str, by: Option<&str>| {
        (item.to_owned(), state.to_owned(), by.map(str::to_owned))
    };
    assert_eq!(
        states(depot, "r"),
        [
            state("i0000", "stored", None),
            state("i0001", "stored", None),
            state("i0002", "registered", None),
            state("i0003", "registered", None),
            state("i0004", "managed", Some(NAME)),
            state("i0005", "managed", Some(NAME)),
        ]
    );
    // All its artifacts are whole, and it is not to be had.
    let rows = depot.rows("r");
    assert!(rows[4].records.is_empty());
    let ran = depot.pantler(&["get", &rows[4].dataset.id.to_string()]).expect(1);
    assert!(ran.stderr.contains(NAME), "{}", ran.stderr);
    let counts = depot.pantler(&["check", "--json"]).expect(0).json();
    for (count, expected) in
        [("datasets", 7), ("stored", 3), ("registered_only", 2), ("managed", 2)]
    {
        let found = counts.get(count).or_else(|| counts["counts"].get(count));
        assert_eq!(found.and_then(Value::as_u64), Some(expected), "{count}: {counts}");
    }
    depot.close(NAME, Closing::Abandon, false).unwrap();
    assert_eq!(states(depot, "r")[4], state("i0004", "stored", None));
}

#[test]
fn what_is_not_stored_is_tagged_only_where_nobody_is_at_work() {
    let scene = Scene::killed_at("put", "close.storage.done:1");
    let depot = &scene.depot;
    depot.pantler(&["collection", "create", "best"]).expect(0);
    let rows = depot.rows("r");
    let tag =
        |n: usize| depot.pantler(&["collection", "tag", "best", &rows[n].dataset.id.to_string()]);
    tag(0).expect(0);
    let picture = depot.picture();
    // One that the transaction manages, and one that it does not, of its RUN.
    for n in [4, 2] {
        let ran = tag(n).expect(1);
        assert!(ran.stderr.contains("it is not stored"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("the open transaction `t` is at work on its RUN"),
            "{}",
            ran.stderr
        );
        picture.assert_same(&depot.picture(), "after a refusal");
    }
    depot.close(NAME, Closing::Commit, false).unwrap();
    tag(4).expect(0);
    tag(2).expect(0);
}

#[test]
fn what_is_tagged_is_not_purged_and_nothing_is_touched() {
    let depot = Depot::new(10);
    let tagged = depot.put("r", "i0000", "zero");
    let other = depot.put("r", "i0001", "one");
    depot.pantler(&["collection", "create", "best"]).expect(0);
    depot.pantler(&["collection", "tag", "best", &tagged.to_string()]).expect(0);
    let picture = depot.picture();
    for order in [Order::purge(&[other, tagged]), Order::remove_run("r")] {
        let told = depot.does(&order).unwrap_err();
        assert!(told.contains(&tagged.to_string()) && told.contains("best"), "{told}");
        picture.assert_same(&depot.picture(), "after a refusal");
    }
    // Unstored it may be, and restored.
    depot.did(&Order::remove(&[tagged]));
    depot.did(&Order::restore(tagged, "zero"));
    depot.pantler(&["collection", "untag", "best", &tagged.to_string()]).expect(0);
    depot.did(&Order::purge(&[other, tagged]));
    assert_eq!(depot.artifacts(), [""; 0]);
}

#[test]
fn a_shared_artifact_goes_with_the_last_dataset_in_it() {
    for purge in [false, true] {
        let (depot, ids) = three_in_one_file();
        let remove = |ids: &[DatasetId]| {
            let order = if purge { Order::purge(ids) } else { Order::remove(ids) };
            let report = depot.did(&order);
            (report["artifacts"].as_u64().unwrap(), report["kept"].as_u64().unwrap())
        };
        let stored = || {
            let contents = depot.contents("r");
            contents.into_iter().filter_map(|(_, content)| content).collect::<Vec<_>>()
        };
        assert_eq!(remove(&ids[..1]), (0, 1));
        assert_eq!(stored(), ["bbb\n", "ccc\n"]);
        assert_eq!(remove(&ids[2..]), (0, 1));
        assert_eq!(stored(), ["bbb\n"]);
        assert_eq!((depot.artifacts().len(), remove(&ids[1..2])), (1, (1, 0)));
        assert_eq!((stored(), depot.artifacts()), (vec![], vec![]));
        assert_eq!(depot.rows("r").len(), if purge { 0 } else { 3 });
    }
    // All at once.
    let (depot, _) = three_in_one_file();
    assert_eq!(depot.did(&Order::remove_run("r"))["artifacts"], 1);
    assert_eq!(depot.artifacts(), [""; 0]);
}

#[test]
fn a_removal_from_a_shared_artifact_is_closed_in_each_way() {
    for (some, all) in [(1, 3), (2, 3), (3, 3)] {
        for closing in CLOSINGS {
            let (depot, ids) = three_in_one_file();
            let before = depot.contents("r");
            depot.killed(&Order::remove(&ids[..some]).named(NAME), "open.row.committed:1");
            depot.close(NAME, closing, false).unwrap();
            let after = depot.contents("r");
            if closing == Closing::Commit {
                let gone = after.iter().filter(|(_, content)| content.is_none()).count();
                assert_eq!((gone, &after[some..]), (some, &before[some..]));
                assert_eq!(depot.artifacts().len(), usize::from(some < all));
            } else {
                assert_eq!(after, before, "{some} {closing:?}");
                assert_eq!(depot.artifacts().len(), 1);
            }
        }
    }
}

#[test]
fn a_transfer_from_a_shared_artifact_leaves_it_to_its_own_repository() {
    for mode in [TransferMode::Copy, TransferMode::Direct] {
        let (source, ids) = three_in_one_file();
        let before = source.contents("r");
        let depot = Depot::new(10);
        depot.did(&Order::transfer(&source.repo(), &ids[..2], mode));
        assert_eq!(depot.contents("r"), before[..2], "{mode}");
        let copies = if mode == TransferMode::Direct { 0 } else { 2 };
        assert_eq!(depot.artifacts().len(), copies);
        depot.did(&Order::remove(&ids[..1]));
        assert_eq!(depot.contents("r")[1..], before[1..2]);
        depot.did(&Order::remove_run("r"));
        assert_eq!(source.contents("r"), before, "{mode}");
        source.check();
    }
}

#[test]
fn logs_of_a_workspace_share_an_artifact_and_some_are_purged() {
    let project = toy::toy(&["a", "b", "c"]);
    project.run(&[]).expect(0);
    let butler = butler(&project);
    let logs = || {
        let types = Some(vec![DatasetTypeName::new("copy_log").unwrap()]);
        let query = DatasetQuery { dataset_types: types, ..DatasetQuery::default() };
        butler.query_datasets(&query).unwrap()
    };
    let text = |row: &DatasetRow| String::from_utf8(butler.get(row).unwrap().unwrap()).unwrap();
    let before = logs();
    assert_eq!(before.len(), 3);
    let place = before[0].records[0].location.clone();
    assert!(before.iter().all(|row| row.records[0].location == place));
    let file = butler.datastore().local_path_of(&place).unwrap();
    let purge = |ids: &[DatasetId]| {
        let order = pantler::butler::request::RemoveRequest {
            name: None,
            datasets: ids.to_vec(),
            purge: true,
            force: false,
        };
        butler.remove_datasets(&order).unwrap();
        project.check();
    };
    purge(&ids(&before)[..1]);
    assert_eq!(logs().iter().map(text).collect::<Vec<_>>(), ["copying b\n", "copying c\n"]);
    purge(&ids(&before)[2..]);
    assert_eq!(logs().iter().map(text).collect::<Vec<_>>(), ["copying b\n"]);
    assert!(file.exists());
    purge(&ids(&before)[1..2]);
    assert!(!file.exists());
}

/// A repository, a user's file in the place that the mode needs, and its ingest.
fn about_to_ingest(mode: TransferMode) -> (Depot, Utf8PathBuf, Order) {
    let depot = Depot::new(10);
    let name = match mode {
        TransferMode::InPlace => "repo/artifacts/mine/file.txt",
        _ => "mine/file.txt",
    };
    let file = depot.file(name, "the user's");
    let order = Order::ingest("r", &[("i0000", file.clone())], mode).named(NAME);
    (depot, file, order)
}

#[track_caller]
fn is_untouched(file: &Utf8Path, what: &str) {
    let content = std::fs::read_to_string(file);
    assert_eq!(content.ok().as_deref(), Some("the user's"), "{what}");
    let own = std::fs::symlink_metadata(file).unwrap();
    assert!(own.is_file(), "{what}");
}

#[test]
fn a_revert_never_deletes_a_users_file() {
    for mode in MODES {
        for step in ["open.row.committed:1", "close.storage.done:1"] {
            let (mut depot, file, order) = about_to_ingest(mode);
            let before = depot.picture();
            depot.killed(&order, step);
            is_untouched(&file, "while it is open");
            depot.check();
            depot.close(NAME, Closing::Revert, false).unwrap();
            is_untouched(&file, &format!("{mode} {step}"));
            before.assert_same(&depot.picture(), "after the revert");
            if mode == TransferMode::InPlace {
                // Nobody's again.
                assert_eq!(depot.findings(), ["orphan"]);
                depot.expect_damage();
            }
        }
    }
}

#[test]
fn an_abandon_never_deletes_a_users_file() {
    for mode in MODES {
        let (depot, file, order) = about_to_ingest(mode);
        depot.killed(&order, "close.storage.done:1");
        depot.close(NAME, Closing::Abandon, false).unwrap();
        is_untouched(&file, mode.name());
        assert_eq!(depot.contents("r"), [held("i0000", Some("the user's"))], "{mode}");

        // After a revert began nothing becomes stored, and nothing of the user's goes.
        let (mut other, file, order) = about_to_ingest(mode);
        other.killed(&order, "close.storage.done:1");
        other.killed(&Order::close(NAME, Closing::Revert, false), "close.claimed:1");
        other.close(NAME, Closing::Abandon, false).unwrap();
        is_untouched(&file, mode.name());
        assert_eq!(other.contents("r"), [held("i0000", None)], "{mode}");
        if mode == TransferMode::InPlace {
            assert_eq!(other.findings(), ["orphan"]);
            other.expect_damage();
        }
    }
}

#[test]
fn a_removal_leaves_what_is_a_users_own() {
    for mode in MODES {
        for removal in ["remove", "purge", "remove-run"] {
            let (depot, file, order) = about_to_ingest(mode);
            depot.did(&order);
            assert_eq!(depot.contents("r"), [held("i0000", Some("the user's"))], "{mode}");
            assert_eq!(file.exists(), mode != TransferMode::Move, "{mode}");
            let id = depot.rows("r")[0].dataset.id;
            depot.did(&match removal {
                "remove" => Order::remove(&[id]),
                "purge" => Order::purge(&[id]),
                _ => Order::remove_run("r"),
            });
            match mode {
                // It was moved, or belongs to the repository since.
                TransferMode::Move | TransferMode::InPlace => assert!(!file.exists(), "{mode}"),
                _ => is_untouched(&file, &format!("{mode} {removal}")),
            }
            assert_eq!(depot.artifacts(), [""; 0], "{mode} {removal}");
        }
    }
}

#[test]
fn a_removal_of_a_users_own_is_closed_in_each_way() {
    for mode in MODES {
        for closing in CLOSINGS {
            let (depot, file, order) = about_to_ingest(mode);
            depot.did(&order);
            let id = depot.rows("r")[0].dataset.id;
            depot.killed(&Order::remove(&[id]).named("removal"), "open.row.committed:1");
            depot.close("removal", closing, false).unwrap();
            let content = (closing != Closing::Commit).then_some("the user's");
            assert_eq!(depot.contents("r"), [held("i0000", content)], "{mode} {closing:?}");
            if !matches!(mode, TransferMode::Move | TransferMode::InPlace) {
                is_untouched(&file, &format!("{mode} {closing:?}"));
            }
        }
    }
}

#[test]
fn a_direct_file_serves_several_runs_and_none_takes_it_away() {
    let depot = Depot::new(10);
    let file = depot.file("mine.txt", "the user's");
    for run in ["r", "s"] {
        depot.did(&Order::ingest(run, &[("i0000", file.clone())], TransferMode::Direct));
    }
    depot.did(&Order::remove_run("r"));
    assert_eq!(depot.contents("s"), [held("i0000", Some("the user's"))]);
    // Nor does a move, which would leave the other dataset without its content.
    let report = depot.did(&Order::ingest("t", &[("i0000", file.clone())], TransferMode::Move));
    assert_eq!(report["sources_left"], 1);
    is_untouched(&file, "after a move");
    assert_eq!(depot.contents("s"), [held("i0000", Some("the user's"))]);
}

#[test]
fn an_artifact_of_another_dataset_is_no_source_that_goes() {
    let depot = Depot::new(10);
    let id = depot.put("r", "i0000", "zero");
    let artifact = depot.repo().join("artifacts").join(&depot.artifacts()[0]);
    let picture = depot.picture();
    for mode in
        [TransferMode::Move, TransferMode::Symlink, TransferMode::InPlace, TransferMode::Direct]
    {
        let order = Order::ingest("s", &[("i0000", artifact.clone())], mode);
        depot.does(&order).unwrap_err();
        picture.assert_same(&depot.picture(), mode.name());
    }
    for (item, mode) in [("i0001", TransferMode::Copy), ("i0002", TransferMode::Hardlink)] {
        depot.did(&Order::ingest("s", &[(item, artifact.clone())], mode).named(item));
    }
    depot.did(&Order::purge(&[id]));
    let zero = Some("zero");
    assert_eq!(depot.contents("s"), [held("i0001", zero), held("i0002", zero)]);
}

#[test]
fn a_file_in_place_belongs_to_one_transaction() {
    let depot = Depot::new(10);
    let file = depot.file("repo/artifacts/mine/file.txt", "the user's");
    let order = |run: &str| Order::ingest(run, &[("i0000", file.clone())], TransferMode::InPlace);
    depot.did(&order("r"));
    let told = depot.does(&order("s")).unwrap_err();
    let id = depot.rows("r")[0].dataset.id.to_string();
    assert!(told.contains(&id), "{told}");
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.rows("s").len(), 0);
    is_untouched(&file, "after a refusal");
}

#[test]
fn a_move_removes_the_source_only_after_the_rows_and_if_it_is_unchanged() {
    // Killed between the rows and the source: stored, and the source is there twice.
    let (depot, file, order) = about_to_ingest(TransferMode::Move);
    depot.killed(&order, "store.source.remove:1");
    is_untouched(&file, "after a kill");
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.contents("r"), [held("i0000", Some("the user's"))]);

    // Replaced in between: the new file stays.
    let (depot, file, order) = about_to_ingest(TransferMode::Move);
    let mover = depot.paused(&order, "store.source.remove:1");
    assert_eq!(depot.contents("r"), [held("i0000", Some("the user's"))]);
    let new = depot.file("new.txt", "written meanwhile");
    std::fs::rename(new, &file).unwrap();
    let report = mover.go_on().unwrap();
    assert_eq!(report["sources_left"], 1);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "written meanwhile");
    assert_eq!(depot.contents("r"), [held("i0000", Some("the user's"))]);
}

#[test]
fn a_link_to_a_users_file_is_removed_and_the_file_is_not() {
    for mode in [TransferMode::Hardlink, TransferMode::Symlink] {
        let (depot, file, order) = about_to_ingest(mode);
        depot.did(&order);
        let key = depot.artifacts().remove(0);
        let link = std::fs::symlink_metadata(depot.repo().join("artifacts").join(key)).unwrap();
        assert_eq!(link.is_symlink(), mode == TransferMode::Symlink);
        depot.did(&Order::remove(&[depot.rows("r")[0].dataset.id]));
        is_untouched(&file, mode.name());
    }
}
