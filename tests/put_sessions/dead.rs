//! Sessions whose processes have died.

use pantler::core::transaction::Closing;

use super::{RUN, Session, line, only_open, put_each, stored};
use crate::players::{Depot, Order, item};

/// A session `s` that has put one number, and was killed; `step` is one of its second put.
fn killed_at(step: &str) -> Depot {
    let depot = Depot::new(6);
    let mut session = Session::named_and_armed(&depot, "s", &[("PANTLER_CRASH", step)]);
    session.put(&depot, &item(0), "answered");
    session.ask(&depot, &item(1), "never answered");
    session.wait_for_kill();
    depot
}

/// Neither of them takes anything away that a session owns.
#[track_caller]
fn tidied_in_vain(depot: &Depot) {
    let before = depot.picture();
    depot.check();
    depot.pantler(&["check", "--repair"]).expect(0);
    depot.pantler(&["vacuum"]).expect(0);
    before.assert_same(&depot.picture(), "after check --repair and vacuum");
}

#[test]
fn what_a_killed_session_leaves_is_listed_and_ended_by_the_next_one() {
    let steps = [
        "datastore.write.half:2",
        "datastore.rename:2",
        "puts.artifact.written:2",
        "registry.commit.before:3",
        "puts.rows.done:2",
    ];
    for step in steps {
        let depot = killed_at(step);
        let open = only_open(&depot);
        assert_eq!((&open["name"], &open["kind"]), (&"s".into(), &"put-session".into()), "{step}");
        assert_eq!(depot.artifacts().len(), 2, "{step}");
        tidied_in_vain(&depot);
        // It ends what was left, and then begins.
        put_each(&depot, "", &[]).expect(0);
        assert_eq!(depot.open_names(), [""; 0], "{step}");
        let mut contents = vec![stored(&item(0), "answered")];
        if step == "puts.rows.done:2" {
            contents.push(stored(&item(1), "never answered"));
        }
        assert_eq!(depot.contents(RUN), contents, "{step}");
        assert_eq!(depot.artifacts().len(), contents.len(), "{step}");
        // The same command goes on.
        let lines = [("answered", 0), ("never answered", 1)];
        let lines = lines.map(|(content, n)| line(&depot, &item(n), content)).concat();
        put_each(&depot, &lines, &["--name", "s"]).expect(0);
        assert_eq!(depot.contents(RUN)[1], stored(&item(1), "never answered"), "{step}");
        assert_eq!(depot.artifacts().len(), 2, "{step}");
    }
}

#[test]
fn a_session_killed_between_two_puts_keeps_what_it_answered() {
    let depot = Depot::new(4);
    let mut session = Session::start(&depot, &[]);
    let id = session.put(&depot, &item(0), "answered");
    session.kill();
    assert_eq!(only_open(&depot)["kind"], "put-session");
    tidied_in_vain(&depot);
    let ran = put_each(&depot, &line(&depot, &item(0), "answered"), &[]).expect(0);
    assert_eq!(ran.text().trim(), id.to_string());
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.artifacts().len(), 1);
}

#[test]
fn a_session_killed_as_it_opens_or_ends_is_ended_by_the_next_one() {
    for (step, open) in
        [("open.row.committed:1", 1), ("close.storage.done:1", 1), ("close.rows.committed:1", 0)]
    {
        let depot = Depot::new(3);
        let mut session = Session::armed(&depot, &[], &[("PANTLER_CRASH", step)]);
        // It may be dead already.
        drop(std::io::Write::write_all(
            session.input.as_mut().unwrap(),
            line(&depot, &item(0), "x").as_bytes(),
        ));
        session.wait_for_kill();
        assert_eq!(depot.open_names().len(), open, "{step}");
        tidied_in_vain(&depot);
        put_each(&depot, &line(&depot, &item(0), "x"), &[]).expect(0);
        assert_eq!(depot.open_names(), [""; 0], "{step}");
        assert_eq!(depot.contents(RUN), [stored(&item(0), "x")], "{step}");
    }
}

#[test]
fn check_and_vacuum_leave_a_living_writer_alone() {
    for step in ["datastore.write.half:1", "datastore.rename:1", "puts.artifact.written:1"] {
        let depot = killed_at("puts.artifact.written:2");
        // The dead one is ended by it, so that this is of a living one only.
        let mut session = Session::armed(&depot, &[], &[("PANTLER_PAUSE", step)]);
        session.ask(&depot, &item(1), "of a living one");
        session.wait_for_pause();
        assert_eq!(depot.artifacts().len(), 2, "{step}");
        tidied_in_vain(&depot);
        session.go_on().expect(0);
        let contents = [stored(&item(0), "answered"), stored(&item(1), "of a living one")];
        assert_eq!(depot.contents(RUN), contents, "{step}");
    }
}

#[test]
fn a_closing_that_was_killed_is_gone_on_with_by_the_next_session() {
    for closing in [Closing::Commit, Closing::Abandon] {
        for step in ["close.claimed:1", "datastore.delete:1", "close.storage.done:1"] {
            let what = format!("{closing:?} killed at {step}");
            let depot = killed_at("puts.artifact.written:2");
            depot.killed(&Order::close("s", closing, false), step);
            let open = only_open(&depot);
            assert_eq!(open["closing"], closing.verb(), "{what}: {open}");
            tidied_in_vain(&depot);
            put_each(&depot, &line(&depot, &item(1), "of the next"), &[]).expect(0);
            assert_eq!(depot.open_names(), [""; 0], "{what}");
            let shown = depot.pantler(&["transaction", "show", "s", "--json"]).expect(0).json();
            assert_eq!(shown["history"][0]["outcome"], closing.outcome(), "{what}: {shown}");
            let contents = [stored(&item(0), "answered"), stored(&item(1), "of the next")];
            assert_eq!(depot.contents(RUN), contents, "{what}");
            assert_eq!(depot.artifacts().len(), 2, "{what}");
        }
    }
}

#[test]
fn a_dead_session_of_a_newer_program_keeps_nobody_from_putting() {
    let depot = killed_at("puts.artifact.written:2");
    let rewrite = |from: u32, to: u32| {
        depot.sql(&format!(
            "UPDATE artifact_transaction SET data = replace(data, '\"version\":{from}', '\"version\":{to}')"
        ));
    };
    rewrite(1, 2);
    assert_eq!(depot.findings(), ["transaction-newer"]);
    let told = depot.pantler(&["check"]).expect(6).text();
    assert!(told.contains("newer pantler"), "{told}");
    let told = depot.pantler(&["transaction", "commit", "s"]);
    assert_eq!(told.code(), Some(4), "{}", told.stderr);
    put_each(&depot, &line(&depot, &item(1), "of this program"), &[]).expect(0);
    // A name that it has is in use.
    let told = put_each(&depot, "", &["--name", "s"]).expect(1).stderr;
    assert!(told.contains("transaction `s` is open already"), "{told}");
    assert_eq!(depot.open_names(), ["s"]);
    assert_eq!(depot.artifacts().len(), 3, "what it owns is left alone");
    let contents = [stored(&item(0), "answered"), stored(&item(1), "of this program")];
    assert_eq!(depot.contents(RUN), contents);
    rewrite(2, 1);
    put_each(&depot, "", &[]).expect(0);
    assert_eq!((depot.contents(RUN), depot.artifacts().len()), (contents.to_vec(), 2));
}

#[test]
fn a_dead_session_that_somebody_else_ends_meanwhile_is_left_to_them() {
    for (closing, gone_on) in
        [(Closing::Commit, false), (Closing::Abandon, false), (Closing::Abandon, true)]
    {
        let what = format!("{closing:?}, done: {gone_on}");
        let depot = Depot::new(6);
        // Both are open before either dies, else the second would end the first.
        let crash = [("PANTLER_CRASH", "puts.artifact.written:2")];
        let mut both = ["a", "b"].map(|name| Session::named_and_armed(&depot, name, &crash));
        for (n, session) in both.iter_mut().enumerate() {
            session.put(&depot, &item(n), "answered");
            session.ask(&depot, &item(2 + n), "never answered");
        }
        both.into_iter().for_each(Session::wait_for_kill);
        assert_eq!(depot.open_names(), ["a", "b"], "{what}");
        // It has seen both, and is about to claim the first.
        let pause = [("PANTLER_PAUSE", "registry.begin:1")];
        let mut session = Session::armed(&depot, &[], &pause);
        session.ask(&depot, &item(4), "new");
        session.wait_for_pause();
        let closer = depot.paused(&Order::close("b", closing, false), "close.claimed:1");
        let closer = if gone_on {
            closer.go_on().unwrap();
            None
        } else {
            Some(closer)
        };
        let ran = session.go_on();
        assert_eq!(ran.code(), Some(0), "{what}: {}", ran.stderr);
        if let Some(closer) = closer {
            assert_eq!(depot.open_names(), ["b"], "{what}");
            closer.go_on().unwrap();
        }
        assert_eq!(depot.open_names(), [""; 0], "{what}");
        let contents =
            [(0, "answered"), (1, "answered"), (4, "new")].map(|(n, text)| stored(&item(n), text));
        assert_eq!(depot.contents(RUN), contents, "{what}");
        assert_eq!(depot.artifacts().len(), 3, "{what}");
    }
}

#[test]
fn many_that_begin_at_once_end_all_dead_ones_between_them() {
    let depot = Depot::new(20);
    let crash = [("PANTLER_CRASH", "puts.artifact.written:1")];
    let mut dead: Vec<_> =
        (0..5).map(|n| Session::named_and_armed(&depot, &format!("dead{n}"), &crash)).collect();
    for (n, session) in dead.iter_mut().enumerate() {
        session.ask(&depot, &item(n), "never answered");
    }
    dead.into_iter().for_each(Session::wait_for_kill);
    assert_eq!((depot.open_names().len(), depot.artifacts().len()), (5, 5));
    let mut begun: Vec<_> = (0..6).map(|_| Session::start(&depot, &[])).collect();
    for (n, session) in begun.iter_mut().enumerate() {
        session.ask(&depot, &item(10 + n), "new");
    }
    for session in begun {
        session.end().expect(0);
    }
    assert_eq!(depot.open_names(), [""; 0]);
    let contents: Vec<_> = (10..16).map(|n| stored(&item(n), "new")).collect();
    assert_eq!(depot.contents(RUN), contents);
    assert_eq!(depot.artifacts().len(), 6);
}
