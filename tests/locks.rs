//! Who may open what beside which open transaction, what cannot be decoded, who may close,
//! and a clock that is set back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use pantler::{
    butler::{removal::Removal, storing::Put, transaction::Kinds},
    core::{
        DatastoreConfig, Tai,
        transaction::{Closing, Process},
    },
    direct::{Clock, CloseOptions, Environment, SystemClock, check::check},
    registry::RegistryError,
};

use crate::{
    players::{Depot, Order, name, told},
    scenes::{CLOSINGS, NAME, Scene},
};

#[test]
fn many_insert_into_a_run_and_nobody_modifies_it() {
    let depot = Depot::new(10);
    let id = depot.put("r", "i0000", "zero");
    let gone = depot.put("r", "i0001", "one");
    depot.did(&Order::remove(&[gone]));
    depot.killed(&Order::put("r", &[("i0002", "x")]).named("first"), "datastore.rename:1");
    depot.killed(&Order::put("r", &[("i0003", "x")]).named("second"), "datastore.rename:1");
    // Others insert all the same; another RUN is free.
    depot.put("r", "i0004", "four");
    let elsewhere = depot.put("s", "i0000", "zero");
    depot.did(&Order::purge(&[elsewhere]));
    let picture = depot.picture();
    for order in [
        Order::remove(&[id]),
        Order::purge(&[id]),
        Order::remove_run("r"),
        Order::restore(gone, "again"),
        // What is registered only is stored again: that is no insertion.
        Order::put("r", &[("i0001", "again")]),
    ] {
        let told = depot.does(&order).unwrap_err();
        assert_eq!(told, "run `r` is inserted into by the open transaction `first`", "{order:?}");
        picture.assert_same(&depot.picture(), "after a refusal");
    }
    for name in ["first", "second"] {
        depot.close(name, Closing::Revert, false).unwrap();
    }
    depot.did(&Order::restore(gone, "again"));
}

#[test]
fn a_run_that_is_modified_is_left_alone_by_all_others() {
    for kind in ["remove", "purge", "remove-run", "restore"] {
        let scene = Scene::killed_at(kind, "open.row.committed:1");
        let depot = &scene.depot;
        let rows = depot.rows("r");
        let picture = depot.picture();
        for order in [
            Order::put("r", &[("i0008", "x")]),
            Order::remove(&[rows[1].dataset.id]),
            Order::purge(&[rows[1].dataset.id]),
            Order::remove_run("r"),
        ] {
            let told = depot.does(&order).unwrap_err();
            let expected = "run `r` is modified by the open transaction `t`";
            assert_eq!(told, expected, "{kind} {order:?}");
            picture.assert_same(&depot.picture(), "after a refusal");
        }
        depot.put("bystander", "i0008", "x");
        depot.close(NAME, Closing::Revert, false).unwrap();
        assert_eq!(scene.now(), scene.before, "{kind}");
        depot.put("r", "i0008", "x");
    }
}

#[test]
fn what_an_open_transaction_manages_is_refused_by_its_name() {
    for kind in ["put", "ingest", "transfer", "restore", "remove", "purge"] {
        let scene = Scene::killed_at(kind, "open.row.committed:1");
        let depot = &scene.depot;
        let item = match kind {
            "restore" => "i0002",
            "remove" | "purge" => "i0000",
            _ => "i0004",
        };
        let rows = depot.rows("r");
        let of_item = |row: &&pantler::registry::DatasetRow| {
            row.dataset.data_id.get("item").unwrap().to_string() == item
        };
        let id = rows.iter().find(of_item).unwrap().dataset.id;
        let picture = depot.picture();
        let expected = format!(
            "r has number item={item} ({id}) registered but not stored: transaction t is open on it"
        );
        let told = depot.does(&Order::put("r", &[(item, "other")])).unwrap_err();
        // Of a RUN that is modified, the lock says no before the dataset is looked at.
        let locked = "run `r` is modified by the open transaction `t`";
        let modified = ["restore", "remove", "purge"].contains(&kind);
        assert_eq!(told, if modified { locked } else { expected.as_str() }, "{kind}");
        let told = depot.does(&Order::restore(id, "other")).unwrap_err();
        assert_eq!(told, expected, "{kind}");
        picture.assert_same(&depot.picture(), "after a refusal");
        depot.close(NAME, Closing::Revert, false).unwrap();
    }
}

#[test]
fn the_datastore_configuration_stays_while_a_transaction_is_open() {
    let scene = Scene::killed_at("put", "close.storage.done:1");
    let depot = &scene.depot;
    let before = depot.butler();
    let next = DatastoreConfig { version: 2, ..before.datastore().config().clone() };
    let change = || before.registry().write(|writer| writer.set_datastore_config(&next));
    let refused = change().unwrap_err();
    assert!(
        matches!(&refused, RegistryError::TransactionsOpen { transaction } if *transaction == name(NAME)),
        "{refused}"
    );
    // It closes under the configuration that it was opened with.
    depot.close(NAME, Closing::Commit, false).unwrap();
    change().unwrap();
    // A butler that was opened before does not write under the old one.
    let id = pantler::core::DatasetTypeName::new("number").unwrap();
    let data_id = crate::players::data_id(&before, "i0009");
    let run = crate::library::collection("r");
    let refused = before.put(b"x", &id, &data_id, &run).unwrap_err();
    let text = told(&refused);
    assert!(text.contains("configuration version 1 does not fit"), "{text}");
    depot.put("r", "i0009", "under the new one");
}

/// A clock that a test sets.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Tai {
        Tai::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn a_clock_that_is_set_back_confuses_nothing() {
    const DAY: i64 = 86_400_000_000_000;
    let depot = Depot::new(10);
    let now = SystemClock.now().as_nanos();
    let clock = Arc::new(Hands(AtomicI64::new(now)));
    let shared: Arc<dyn Clock> = Arc::<Hands>::clone(&clock);
    let environment = Environment { clock: shared, ..Environment::of_this_process("tester") };
    let butler = depot.butler_of(environment);
    let number = pantler::core::DatasetTypeName::new("number").unwrap();
    let run = crate::library::collection("r");
    // The clock stands still, and then goes back a day: ids and keys are new all the same.
    let mut ids = BTreeSet::new();
    for (n, offset) in [0, 0, -DAY, -DAY, -DAY, 0].into_iter().enumerate() {
        clock.0.store(now + offset, Ordering::SeqCst);
        let data_id = crate::players::data_id(&butler, &crate::players::item(n));
        ids.insert(butler.put(b"x", &number, &data_id, &run).unwrap().id);
    }
    assert_eq!(ids.len(), 6);
    let keys: BTreeSet<_> = depot.artifacts().into_iter().collect();
    assert_eq!(keys.len(), 6);
    let writes: BTreeSet<_> = keys.iter().map(|key| key.rsplit_once('~').unwrap().1).collect();
    assert_eq!(writes.len(), 6, "{keys:?}");

    // Of several of one name, the one that was closed last answers, whatever its time says.
    let closings = [(0, Closing::Revert), (-DAY, Closing::Abandon), (-2 * DAY, Closing::Commit)];
    for (n, (offset, closing)) in closings.into_iter().enumerate() {
        let order = Order::put("r", &[(&format!("i000{}", 7 + n), "x")]).named(NAME);
        depot.killed(&order, "close.storage.done:1");
        clock.0.store(now + offset, Ordering::SeqCst);
        butler.close(&name(NAME), closing, CloseOptions::default()).unwrap();
        for again in CLOSINGS {
            let outcome = butler.close(&name(NAME), again, CloseOptions::default());
            let same = outcome.is_ok();
            assert_eq!(same, again == closing, "{closing:?} then {again:?}: {outcome:?}");
        }
    }
    let closed = butler.registry().read(|reader| reader.closed_named(&name(NAME))).unwrap();
    let order: Vec<Closing> = closed.iter().map(|row| row.closing).collect();
    assert_eq!(order, [Closing::Commit, Closing::Abandon, Closing::Revert], "the newest first");
    // What was opened in the future is not of a negative age.
    depot.killed(&Order::put("r", &[("i0007", "x")]).named(NAME), "open.row.committed:1");
    depot.sql(&format!("UPDATE artifact_transaction SET opened_at = {}", now + DAY));
    let listed = depot.pantler(&["transaction", "list", "--json"]).expect(0).json();
    assert_eq!(listed[0]["age_seconds"].as_f64(), Some(0.0), "{listed}");
    depot.close(NAME, Closing::Revert, false).unwrap();
}

/// A transaction that this program cannot decode is listed, shown, found by a check, not
/// closed, and goes on holding its RUNs.
fn cannot_be_decoded(kind: &str, damage: &str, code: &str, says: &str) {
    let scene = Scene::killed_at(kind, "open.row.committed:1");
    let depot = &scene.depot;
    let row = &depot.butler().list_transactions().unwrap()[0];
    depot.sql(&format!("UPDATE artifact_transaction SET {damage}"));
    let listed = depot.pantler(&["transaction", "list", "--json"]).expect(0).json();
    assert_eq!(listed[0]["name"], NAME);
    let shown = depot.pantler(&["transaction", "show", NAME]).expect(0).text();
    assert!(shown.contains("t is open: "), "{shown}");
    let picture = depot.picture();
    for verb in ["commit", "revert", "abandon"] {
        let ran = depot.pantler(&["transaction", verb, NAME, "--take-over"]).expect(4);
        assert!(ran.stderr.contains("transaction t stays open"), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let told = depot.does(&Order::remove_run("r")).unwrap_err();
    assert!(told.contains("by the open transaction `t`"), "{told}");
    picture.assert_same(&depot.picture(), "after nothing could be done");
    let report = depot.pantler(&["check", "--json"]).json();
    let findings: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|f| f["code"].clone()).collect();
    assert_eq!(findings, [code], "{report}");
    // The program that knows it closes it.
    let data = row.data.replace('\'', "''");
    depot.sql(&format!("UPDATE artifact_transaction SET kind = '{}', data = '{data}'", row.kind));
    depot.close(NAME, Closing::Revert, false).unwrap();
    assert_eq!(scene.now(), scene.before);
}

#[test]
fn a_transaction_of_unknown_kind_stays_open() {
    let says = "unknown kind of transaction \"teleport\": this program knows ingest, put, put-session, remove";
    for kind in ["put", "remove"] {
        cannot_be_decoded(kind, "kind = 'teleport'", "transaction-unknown-kind", says);
    }
}

#[test]
fn a_transaction_of_a_newer_format_stays_open() {
    for (kind, says) in [
        ("put", "put transaction of format version 9: this program reads up to 1"),
        ("ingest", "ingest transaction of format version 9: this program reads up to 2"),
        ("remove", "remove transaction of format version 9: this program reads up to 2"),
        ("remove-run", "remove-run transaction of format version 9: this program reads up to 2"),
    ] {
        let newer = "data = json_set(data, '$.version', 9)";
        cannot_be_decoded(kind, newer, "transaction-newer", says);
    }
}

#[test]
fn a_transaction_with_a_damaged_description_stays_open() {
    for (kind, damage) in [
        ("put", "data = substr(data, 1, length(data) / 2)"),
        ("restore", "data = '[]'"),
        ("remove", "data = json_remove(data, '$.runs')"),
        ("transfer", "data = ''"),
    ] {
        let says = format!("the description of a {kind} transaction is damaged: ");
        cannot_be_decoded(kind, damage, "transaction-damaged", &says);
    }
}

#[test]
fn an_older_program_without_a_kind_leaves_it_to_a_newer_one() {
    let scene = Scene::killed_at("restore", "close.storage.done:1");
    let depot = &scene.depot;
    let older = depot.butler().with_kinds(|_| Kinds::new().with::<Put>().with::<Removal>());
    let refused = older.close(&name(NAME), Closing::Commit, CloseOptions::default()).unwrap_err();
    assert!(refused.stays_open());
    let text = told(&refused);
    assert!(text.contains("unknown kind of transaction \"restore\""), "{text}");
    assert!(text.contains("this program knows put, remove;"), "{text}");
    let report = check(&older).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["transaction-unknown-kind"], "its artifacts are no orphans");
    depot.close(NAME, Closing::Commit, false).unwrap();
    assert_eq!(scene.now(), scene.after("restore", Closing::Commit));
}

#[test]
fn a_transaction_of_another_user_or_machine_is_closed_knowingly() {
    let scene = Scene::killed_at("put", "close.storage.done:1");
    let depot = &scene.depot;
    let listed = depot.pantler(&["transaction", "list", "--json"]).expect(0).json();
    assert_eq!((&listed[0]["owner"], &listed[0]["process"]), (&"player".into(), &"dead".into()));
    // From another machine nobody can tell whether its process lives.
    let here = Environment::of_this_process("somebody");
    let process = Process { host: "elsewhere".to_owned(), ..here.process.clone() };
    let elsewhere = depot.butler_of(Environment { process, ..here });
    let close = |take_over| {
        let options = CloseOptions { take_over, ..CloseOptions::default() };
        elsewhere.close(&name(NAME), Closing::Commit, options)
    };
    let refused = close(false).unwrap_err();
    assert!(refused.stays_open());
    assert!(refused.to_string().contains("may still be at work"), "{refused}");
    close(true).unwrap();
    assert_eq!(scene.now(), scene.after("put", Closing::Commit));
}
