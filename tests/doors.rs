//! What a closing may do after another one began, for every kind: deleting is a one-way
//! door.

use pantler::core::transaction::Closing;

use crate::{
    players::Depot,
    scenes::{CLOSINGS, NAME, REMOVING, STORING, Scene, kinds},
};

/// A process claims a closing, and is killed there.
fn began(depot: &Depot, closing: Closing, step: &str) {
    depot.killed(&crate::players::Order::close(NAME, closing, false), step);
    assert_eq!(depot.open_names(), [NAME]);
}

#[test]
fn what_is_whole_can_be_closed_in_each_way_and_again_in_the_same() {
    for kind in kinds() {
        let step =
            if STORING.contains(&kind) { "close.storage.done:1" } else { "open.row.committed:1" };
        for closing in CLOSINGS {
            let scene = Scene::killed_at(kind, step);
            let depot = &scene.depot;
            let done = depot.close(NAME, closing, false).unwrap();
            assert_eq!(done["closed"], "Now", "{kind} {closing:?}");
            assert_eq!(scene.now(), scene.after(kind, closing), "{kind} {closing:?}");
            depot.check();
            // Again: the same does nothing, another is refused and does nothing.
            let picture = depot.picture();
            for again in CLOSINGS {
                let outcome = depot.close(NAME, again, false);
                if again == closing {
                    assert_eq!(outcome.unwrap()["closed"], "Before");
                } else {
                    let expected = format!("transaction t was {} already", closing.outcome());
                    assert_eq!(outcome.unwrap_err(), expected);
                }
                picture.assert_same(&depot.picture(), "after closing it again");
            }
            scene.bystander_is_whole();
        }
    }
}

#[test]
fn after_a_revert_began_nothing_of_it_becomes_stored() {
    for kind in STORING {
        let scene = Scene::killed_at(kind, "close.storage.done:1");
        let depot = &scene.depot;
        began(depot, Closing::Revert, "close.claimed:1");
        let told = depot.close(NAME, Closing::Commit, false).unwrap_err();
        assert!(told.contains("a revert of it has begun, so it cannot be committed"), "{told}");
        // All artifacts are whole, and the abandon stores none of them all the same.
        depot.close(NAME, Closing::Abandon, false).unwrap();
        assert_eq!(scene.now(), scene.nothing_stored(kind), "{kind}");
        depot.check();

        let scene = Scene::killed_at(kind, "close.storage.done:1");
        began(&scene.depot, Closing::Revert, "datastore.delete:2");
        scene.depot.close(NAME, Closing::Revert, false).unwrap();
        assert_eq!(scene.now(), scene.before, "{kind}");
    }
}

#[test]
fn after_an_abandon_began_no_commit() {
    for kind in kinds() {
        let step =
            if STORING.contains(&kind) { "close.storage.done:1" } else { "open.row.committed:1" };
        for then in [Closing::Abandon, Closing::Revert] {
            let scene = Scene::killed_at(kind, step);
            let depot = &scene.depot;
            began(depot, Closing::Abandon, "close.storage.done:1");
            let told = depot.close(NAME, Closing::Commit, false).unwrap_err();
            assert!(
                told.contains("an abandon of it has begun")
                    || told.contains("a abandon of it has begun"),
                "{told}"
            );
            depot.close(NAME, then, false).unwrap();
            assert_eq!(scene.now(), scene.after(kind, then), "{kind} {then:?}");
        }
    }
}

#[test]
fn another_process_finishes_a_removal() {
    for kind in REMOVING {
        for step in [
            "open.row.committed:1",
            "datastore.delete:1",
            "datastore.delete:2",
            "removal.deleted:1",
            "close.storage.done:1",
        ] {
            let scene = Scene::killed_at(kind, step);
            // Nothing of it is to be had any more, and all of it is still there to be listed.
            let while_open = scene.now();
            assert!(while_open[..2].iter().all(|(_, content)| content.is_none()), "{kind} {step}");
            scene.depot.close(NAME, Closing::Commit, false).unwrap();
            assert_eq!(scene.now(), scene.after(kind, Closing::Commit), "{kind} {step}");
            scene.bystander_is_whole();
        }
    }
}

#[test]
fn a_removal_is_reverted_while_all_artifacts_are_there() {
    for kind in REMOVING {
        let scene = Scene::killed_at(kind, "open.row.committed:1");
        let keys = scene.depot.artifacts();
        scene.depot.close(NAME, Closing::Revert, false).unwrap();
        assert_eq!(scene.now(), scene.before, "{kind}");
        // At keys of their own: a deleter that wakes up does not know them.
        let now = scene.depot.artifacts();
        assert_eq!(now.len(), keys.len());
        assert_eq!(now.iter().filter(|key| keys.contains(key)).count(), 1, "the bystander");
    }
}

#[test]
fn a_removal_that_has_deleted_is_not_reverted_and_an_abandon_keeps_the_rest() {
    for kind in REMOVING {
        let scene = Scene::killed_at(kind, "datastore.delete:2");
        let depot = &scene.depot;
        let told = depot.close(NAME, Closing::Revert, false).unwrap_err();
        assert!(told.contains("transaction t stays open: it could not be reverted"), "{told}");
        assert!(told.contains("1 artifact is deleted already: r@"), "{told}");
        assert!(told.contains("abandon keeps what survives"), "{told}");
        // It began: from here on it must not delete.
        let told = depot.close(NAME, Closing::Commit, false).unwrap_err();
        assert!(told.contains("a revert of it has begun"), "{told}");
        depot.close(NAME, Closing::Abandon, false).unwrap();
        let now = scene.now();
        let stored = |contents: &[(String, Option<String>)]| {
            contents.iter().filter(|(_, content)| content.is_some()).cloned().collect::<Vec<_>>()
        };
        assert_eq!(now.len(), scene.before.len(), "{kind}: all are registered");
        let survivors = stored(&now);
        assert_eq!(survivors.len(), 1, "{kind}");
        assert!(stored(&scene.before).contains(&survivors[0]), "{kind}: {survivors:?}");
        depot.check();
    }
}

#[test]
fn a_claim_over_a_process_that_lives_needs_take_over() {
    for (kind, step) in [("put", "datastore.rename:1"), ("remove", "datastore.delete:1")] {
        let scene = Scene::new(kind);
        let depot = &scene.depot;
        let holder = depot.paused(&scene.order, step);
        for closing in [Closing::Revert, Closing::Abandon] {
            let told = depot.close(NAME, closing, false).unwrap_err();
            assert!(told.contains("transaction t is held by process "), "{told}");
            assert!(told.contains("it stays open"), "{told}");
        }
        holder.kill();
        depot.close(NAME, Closing::Revert, false).unwrap();
        assert_eq!(scene.now(), scene.before, "{kind}");
    }
}
