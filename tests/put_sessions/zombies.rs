//! Processes of a session that were paused while others ended it, and then go on.

use pantler::core::transaction::Closing;
use rayon::prelude::*;

use super::{RUN, Session, line, only_open, put_each, stored};
use crate::players::{Depot, Order, item};

/// What ends a session of another process that is not known to be dead.
const CLOSINGS: [Closing; 2] = [Closing::Commit, Closing::Abandon];

/// Ends `s` as a user would.
#[track_caller]
fn ended(depot: &Depot, closing: Closing) {
    depot.pantler(&["transaction", closing.verb(), "s", "--take-over"]).expect(0);
}

/// A revert is refused, and claims nothing.
#[track_caller]
fn revert_is_refused(depot: &Depot) {
    let before = only_open(depot);
    for args in [&[][..], &["--take-over"]] {
        let revert = [&["transaction", "revert", "s"], args].concat();
        let told = depot.pantler(&revert).expect(4).stderr;
        assert!(told.contains("each put of a session is committed by itself"), "{told}");
        assert!(told.contains("next: pantler transaction commit s "), "{told}");
        assert!(told.contains("or: pantler transaction abandon s "), "{told}");
    }
    let mut after = only_open(depot);
    after["age_seconds"] = before["age_seconds"].clone();
    assert_eq!(after, before);
}

#[test]
fn a_writer_that_wakes_up_in_an_ended_session_stores_nothing_and_says_so() {
    let steps = [
        "datastore.stage:2",
        "datastore.write.half:2",
        "datastore.rename:2",
        "puts.artifact.written:2",
    ];
    let every = steps.into_iter().flat_map(|step| CLOSINGS.map(|closing| (step, closing)));
    every.collect::<Vec<_>>().into_par_iter().for_each(|(step, closing)| {
        let what = format!("paused at {step}, then {closing:?}");
        let depot = Depot::new(4);
        let mut session = Session::named_and_armed(&depot, "s", &[("PANTLER_PAUSE", step)]);
        session.put(&depot, &item(0), "answered");
        session.ask(&depot, &item(1), "of a zombie");
        session.wait_for_pause();
        revert_is_refused(&depot);
        ended(&depot, closing);
        assert_eq!(depot.artifacts().len(), 1, "{what}");
        // The data ID is free for others.
        put_each(&depot, &line(&depot, &item(1), "of another"), &[]).expect(0);
        let ran = session.go_on();
        assert_eq!((ran.code(), ran.text().as_str()), (Some(1), "-\n"), "{what}: {}", ran.stderr);
        let said = "put session s was ended by another process";
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
        let contents = [stored(&item(0), "answered"), stored(&item(1), "of another")];
        assert_eq!(depot.contents(RUN), contents, "{what}");
        assert_eq!(depot.open_names(), [""; 0], "{what}");
        assert_eq!(depot.artifacts().len(), 2, "{what}");
    });
}

#[test]
fn a_writer_that_wakes_up_after_its_rows_has_stored_its_dataset() {
    for closing in CLOSINGS {
        let depot = Depot::new(3);
        let pause = [("PANTLER_PAUSE", "puts.rows.done:1")];
        let mut session = Session::named_and_armed(&depot, "s", &pause);
        session.ask(&depot, &item(0), "stored");
        session.wait_for_pause();
        ended(&depot, closing);
        let ran = session.go_on().expect(0);
        let id = depot.rows(RUN)[0].dataset.id.to_string();
        assert_eq!(ran.text().trim(), id);
        assert_eq!(depot.contents(RUN), [stored(&item(0), "stored")]);
    }
}

#[test]
fn a_writer_killed_after_it_woke_up_leaves_an_orphan_at_most() {
    let depot = Depot::new(3);
    // It writes its artifact after the session was ended, and dies before it deletes it.
    let plan = [("PANTLER_PAUSE", "datastore.stage:1"), ("PANTLER_CRASH", "datastore.delete:1")];
    let mut session = Session::named_and_armed(&depot, "s", &plan);
    session.ask(&depot, &item(0), "of a zombie");
    session.wait_for_pause();
    ended(&depot, Closing::Commit);
    assert_eq!(session.go_on().code(), None);
    assert_eq!(depot.findings(), ["orphan"]);
    put_each(&depot, &line(&depot, &item(0), "of another"), &[]).expect(0);
    depot.sweep_orphans();
    assert_eq!(depot.contents(RUN), [stored(&item(0), "of another")]);
}

#[test]
fn a_writer_that_wakes_up_after_its_run_was_removed_leaves_nothing() {
    for step in ["datastore.stage:1", "datastore.rename:1", "puts.artifact.written:1"] {
        for again in [false, true] {
            let depot = Depot::new(3);
            let mut session = Session::named_and_armed(&depot, "s", &[("PANTLER_PAUSE", step)]);
            session.ask(&depot, &item(0), "of a zombie");
            session.wait_for_pause();
            ended(&depot, Closing::Commit);
            depot.pantler(&["remove-run", RUN]).expect(0);
            if again {
                depot.put(RUN, &item(0), "of another RUN of that name");
            }
            let ran = session.go_on().expect(1);
            let said = "put session s was ended by another process";
            assert!(ran.stderr.contains(said), "{step}: {}", ran.stderr);
            let rows = depot.contents(RUN);
            let expected = again.then(|| stored(&item(0), "of another RUN of that name"));
            assert_eq!(rows, Vec::from_iter(expected), "{step}");
            assert_eq!(depot.artifacts().len(), usize::from(again), "{step}");
        }
    }
}

#[test]
fn a_session_whose_closing_another_has_begun_puts_nothing_more() {
    let depot = Depot::new(4);
    let mut session = Session::named(&depot, "s");
    session.put(&depot, &item(0), "answered");
    let closer = Order::close("s", Closing::Abandon, true);
    let closer = depot.paused(&closer, "close.claimed:1");
    revert_is_refused(&depot);
    session.ask(&depot, &item(1), "too late");
    let ran = session.end().expect(4);
    assert!(ran.stderr.contains("put session s was ended by another process"), "{}", ran.stderr);
    assert!(ran.stderr.contains("another process has taken over"), "{}", ran.stderr);
    assert_eq!(depot.open_names(), ["s"]);
    assert_eq!(closer.go_on().unwrap()["closed"], "Now");
    assert_eq!(depot.contents(RUN), [stored(&item(0), "answered")]);
    assert_eq!(depot.artifacts().len(), 1);
}

/// A depot with a session `s` whose process was killed inside its second put.
fn with_dead_session() -> Depot {
    let depot = Depot::new(6);
    let crash = [("PANTLER_CRASH", "puts.artifact.written:2")];
    let mut session = Session::named_and_armed(&depot, "s", &crash);
    session.put(&depot, &item(0), "answered");
    session.ask(&depot, &item(1), "never answered");
    session.wait_for_kill();
    assert_eq!(depot.artifacts().len(), 2);
    depot
}

#[test]
fn a_closer_that_wakes_up_after_another_ended_the_session_changes_nothing() {
    let steps = ["close.claimed:1", "close.storage.done:1"];
    let late = steps.into_iter().flat_map(|step| CLOSINGS.map(|late| (step, late)));
    let every = late.flat_map(|(step, late)| CLOSINGS.map(|other| (step, late, other)));
    every.collect::<Vec<_>>().into_par_iter().for_each(|(step, late, other)| {
        let what = format!("{late:?} paused at {step}, then {other:?}");
        let depot = with_dead_session();
        revert_is_refused(&depot);
        let zombie = depot.paused(&Order::close("s", late, false), step);
        revert_is_refused(&depot);
        let closed = depot.close("s", other, true);
        if closed.is_err() {
            // After an abandon began there is only that way.
            assert_eq!((late, other), (Closing::Abandon, Closing::Commit), "{what}: {closed:?}");
            depot.close("s", Closing::Abandon, true).unwrap();
        }
        let other = if closed.is_ok() { other } else { Closing::Abandon };
        // The same data ID, of the same name of a session.
        let lines = [("never answered", 1), ("of another", 2)];
        let lines = lines.map(|(content, n)| line(&depot, &item(n), content)).concat();
        put_each(&depot, &lines, &["--name", "s"]).expect(0);
        let before = depot.picture();
        let told = zombie.go_on();
        before.assert_same(&depot.picture(), &what);
        if late == other {
            assert_eq!(told.unwrap()["closed"], "Before", "{what}");
        } else {
            let expected = format!("transaction s was {} already", other.outcome());
            assert_eq!(told.unwrap_err(), expected, "{what}");
        }
        let contents = [
            stored(&item(0), "answered"),
            stored(&item(1), "never answered"),
            stored(&item(2), "of another"),
        ];
        assert_eq!(depot.contents(RUN), contents, "{what}");
        assert_eq!(depot.artifacts().len(), 3, "{what}");
    });
}

#[test]
fn a_closer_that_wakes_up_beside_an_open_session_leaves_it_alone() {
    for step in ["close.claimed:1", "close.storage.done:1"] {
        let depot = with_dead_session();
        let zombie = depot.paused(&Order::close("s", Closing::Commit, false), step);
        // Whoever claimed it is alive: the new one opens beside it.
        let pause = [("PANTLER_PAUSE", "puts.artifact.written:2")];
        let mut session = Session::named_and_armed(&depot, "later", &pause);
        session.put(&depot, &item(1), "of the later one");
        session.ask(&depot, &item(2), "in the midst of it");
        session.wait_for_pause();
        assert_eq!(zombie.go_on().unwrap()["closed"], "Now", "{step}");
        assert_eq!(depot.open_names(), ["later"], "{step}");
        assert_eq!(depot.artifacts().len(), 3, "{step}");
        session.go_on().expect(0);
        let contents = [
            stored(&item(0), "answered"),
            stored(&item(1), "of the later one"),
            stored(&item(2), "in the midst of it"),
        ];
        assert_eq!(depot.contents(RUN), contents, "{step}");
    }
}

#[test]
fn a_revert_is_refused_while_the_session_is_at_work() {
    let depot = Depot::new(3);
    let mut session = Session::named(&depot, "s");
    revert_is_refused(&depot);
    session.put(&depot, &item(0), "answered");
    revert_is_refused(&depot);
    session.put(&depot, &item(1), "answered too");
    session.end().expect(0);
    assert_eq!(depot.rows(RUN).len(), 2);
}
