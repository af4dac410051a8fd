//! Sessions of this process: shared by threads, on a storage and a database that fail.

use std::{io::ErrorKind, sync::Arc};

use pantler::{
    core::{DatasetRef, DatasetTypeName, transaction::Closing},
    datastore::testing::{FailingStorage, Operation},
    direct::{ButlerError, CloseError, DirectButler, Puts, StoreError},
    registry::RegistryError,
};
use pantler_testkit::faults::{Faults, How, Point};

use super::{RUN, stored};
use crate::{
    library::{collection, failing},
    players::{Depot, Order, data_id, item, name, told},
};

fn number() -> DatasetTypeName {
    DatasetTypeName::new("number").unwrap()
}

fn put(
    butler: &DirectButler,
    puts: &Puts<'_>,
    n: usize,
    content: &str,
) -> Result<DatasetRef, StoreError> {
    puts.put(content.as_bytes(), &number(), &data_id(butler, &item(n)))
}

/// A butler whose storage and database fail as they are told to.
fn doubles(depot: &Depot) -> (DirectButler, Arc<FailingStorage>) {
    let butler = depot.butler();
    let (datastore, storage) = failing(butler.datastore());
    (butler.with_datastore(datastore), storage)
}

/// Faults whose calls are counted from now on.
fn faults(butler: &DirectButler) -> Faults {
    let faults = Faults::new();
    butler.registry().set_faults(&faults);
    faults
}

#[test]
fn threads_share_a_session() {
    const THREADS: usize = 4;
    const PUTS: usize = 100;
    let depot = Depot::new(THREADS * PUTS);
    let butler = depot.butler();
    let puts = butler.put_session(&collection(RUN), None, false).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (butler, puts) = (&butler, &puts);
            scope.spawn(move || {
                for n in thread * PUTS..(thread + 1) * PUTS {
                    let dataset = put(butler, puts, n, &n.to_string()).unwrap();
                    // It is stored for everybody.
                    let row = butler.registry().read(|reader| reader.dataset(dataset.id)).unwrap();
                    assert_eq!(row.unwrap().dataset.id, dataset.id);
                }
            });
        }
    });
    puts.finish().unwrap();
    let expected = (0..THREADS * PUTS).map(|n| stored(&item(n), &n.to_string()));
    assert_eq!(depot.contents(RUN), expected.collect::<Vec<_>>());
    assert_eq!(depot.artifacts().len(), THREADS * PUTS);
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn threads_that_put_the_same_data_id_get_one_dataset_or_the_reason() {
    const THREADS: usize = 4;
    const PUTS: usize = 20;
    let depot = Depot::new(PUTS);
    let butler = depot.butler();
    let puts = butler.put_session(&collection(RUN), None, false).unwrap();
    let outcomes: Vec<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (butler, puts) = (&butler, &puts);
                // Two put the one content, two the other.
                let content = ["even", "odd"][thread % 2];
                scope.spawn(move || (0..PUTS).map(|n| put(butler, puts, n, content)).collect())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    puts.finish().unwrap();
    let rows = depot.rows(RUN);
    assert_eq!((rows.len(), depot.artifacts().len()), (PUTS, PUTS));
    for (n, row) in rows.iter().enumerate() {
        let content = String::from_utf8(butler.get(row).unwrap().unwrap()).unwrap();
        for (thread, outcomes) in outcomes.iter().enumerate() {
            match &outcomes[n] {
                Ok(dataset) => {
                    assert_eq!(dataset.id, row.dataset.id);
                    assert_eq!(content, ["even", "odd"][thread % 2]);
                }
                Err(StoreError::Differs { existing, .. }) => {
                    assert_eq!(*existing, row.dataset.id);
                    assert_ne!(content, ["even", "odd"][thread % 2]);
                }
                Err(other) => panic!("{}", told(other)),
            }
        }
    }
}

#[test]
fn what_cannot_be_taken_back_is_deleted_by_the_finish() {
    for healed in [true, false] {
        let depot = Depot::new(3);
        let (butler, storage) = doubles(&depot);
        let puts = butler.put_session(&collection(RUN), Some(&name("s")), false).unwrap();
        put(&butler, &puts, 0, "stored").unwrap();
        let database = faults(&butler);
        database.fail_at(Point::Commit, 1, How::Full);
        storage.deny_deletes();
        let error = put(&butler, &puts, 1, "refused").unwrap_err();
        let is_full = |error: &StoreError| {
            let StoreError::Butler(ButlerError::Registry(error)) = error else { return false };
            matches!(error, RegistryError::Full { .. })
        };
        assert!(is_full(&error), "{}", told(&error));
        assert_eq!((depot.artifacts().len(), depot.rows(RUN).len()), (2, 1));
        // What is left is the open session's.
        depot.check();
        // Deletes that fail keep nobody from putting.
        put(&butler, &puts, 2, "stored too").unwrap();
        if healed {
            storage.heal();
            puts.finish().unwrap();
        } else {
            let error = puts.finish().unwrap_err();
            let StoreError::SessionOpen { name, source } = &error else {
                panic!("{}", told(&error))
            };
            assert_eq!(name.as_str(), "s");
            assert!(matches!(**source, CloseError::StillOpen { .. }), "{}", told(&error));
            assert_eq!(depot.open_names(), ["s"]);
            depot.check();
            storage.heal();
            drop(butler);
            depot.close("s", Closing::Commit, false).unwrap();
        }
        assert_eq!(depot.open_names(), [""; 0]);
        assert_eq!(
            depot.contents(RUN),
            [stored(&item(0), "stored"), stored(&item(2), "stored too")]
        );
        assert_eq!(depot.artifacts().len(), 2);
    }
}

#[test]
fn a_write_that_fails_leaves_nothing_and_the_session_goes_on() {
    use Operation::{Delete, Finish, Flush, Flusher, Publish, Stage, Write};
    for operation in [Stage, Write, Finish, Publish, Flusher, Flush, Delete] {
        for lost in [false, true] {
            let depot = Depot::new(3);
            let (butler, storage) = doubles(&depot);
            let puts = butler.put_session(&collection(RUN), None, false).unwrap();
            put(&butler, &puts, 0, "before").unwrap();
            let next = storage.calls(operation) + 1;
            if lost && operation != Stage {
                storage.lose_answer_at(operation, next, ErrorKind::TimedOut);
            } else {
                storage.fail_at(operation, next, ErrorKind::StorageFull);
            }
            let failed = put(&butler, &puts, 1, "in between");
            // Nothing is deleted by a put that goes well.
            assert_eq!(failed.is_ok(), operation == Delete, "{operation:?}");
            if let Err(error) = &failed {
                assert!(matches!(error, StoreError::Undone { .. }), "{}", told(error));
                assert_eq!(depot.artifacts().len(), 1, "{operation:?}, lost: {lost}");
            }
            put(&butler, &puts, 1, "in between").unwrap();
            put(&butler, &puts, 2, "after").unwrap();
            puts.finish().unwrap();
            assert_eq!(depot.artifacts().len(), 3, "{operation:?}, lost: {lost}");
        }
    }
}

#[test]
fn what_is_there_needs_no_room_and_is_not_written_again() {
    let depot = Depot::new(3);
    let (butler, storage) = doubles(&depot);
    let puts = butler.put_session(&collection(RUN), None, false).unwrap();
    let first = put(&butler, &puts, 0, "first").unwrap();
    let second = put(&butler, &puts, 1, "second").unwrap();
    let staged = || storage.calls(Operation::Stage);
    storage.fail_at(Operation::Stage, staged() + 1, ErrorKind::StorageFull);
    assert_eq!(put(&butler, &puts, 0, "first").unwrap().id, first.id);
    // From now on it looks first, until something is new.
    let before = staged();
    assert_eq!(put(&butler, &puts, 1, "second").unwrap().id, second.id);
    assert_eq!(staged(), before);
    let other = put(&butler, &puts, 1, "other").unwrap_err();
    assert!(matches!(other, StoreError::Differs { .. }), "{}", told(&other));
    put(&butler, &puts, 2, "third").unwrap();
    assert_eq!(staged(), before + 1);
    puts.finish().unwrap();
    assert_eq!(depot.artifacts().len(), 3);
}

#[test]
fn a_lost_answer_of_the_database_is_found_out() {
    let depot = Depot::new(3);
    let (butler, _) = doubles(&depot);
    let puts = butler.put_session(&collection(RUN), None, false).unwrap();
    let database = faults(&butler);
    database.fail_at(Point::Commit, 1, How::Lost);
    let id = put(&butler, &puts, 0, "stored all the same").unwrap().id;
    assert_eq!(depot.rows(RUN)[0].dataset.id, id);
    database.fail_at(Point::Commit, 2, How::Serialization);
    put(&butler, &puts, 1, "at the second try").unwrap();
    puts.finish().unwrap();
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.artifacts().len(), 2);
}

#[test]
fn the_answer_to_the_finish_is_found_out_too() {
    for unsettled in [false, true] {
        let depot = Depot::new(3);
        let (butler, storage) = doubles(&depot);
        let puts = butler.put_session(&collection(RUN), None, false).unwrap();
        put(&butler, &puts, 0, "stored").unwrap();
        let database = faults(&butler);
        let mut commit = 1;
        if unsettled {
            storage.deny_deletes();
            database.fail_at(Point::Commit, commit, How::Full);
            put(&butler, &puts, 1, "refused").unwrap_err();
            storage.heal();
            // The claim comes before the rows.
            commit += 2;
        }
        database.fail_at(Point::Commit, commit, How::Lost);
        puts.finish().unwrap();
        assert_eq!(depot.open_names(), [""; 0], "unsettled: {unsettled}");
        assert_eq!(depot.artifacts().len(), 1, "unsettled: {unsettled}");
    }
}

#[test]
fn what_the_database_does_not_say_is_found_out_by_the_finish() {
    let depot = Depot::new(3);
    let (butler, _) = doubles(&depot);
    let puts = butler.put_session(&collection(RUN), Some(&name("s")), false).unwrap();
    let database = faults(&butler);
    database.fail_at(Point::Commit, 1, How::Connection);
    let error = put(&butler, &puts, 0, "not committed").unwrap_err();
    assert!(matches!(error, StoreError::PutUnknown { .. }), "{}", told(&error));
    let said = told(&error);
    let names = "it is not known whether number item=i0000 was stored in put session s";
    assert!(said.starts_with(names), "{said}");
    // What a put asks before its commit.
    let queries = database.calls(Point::Query);
    put(&butler, &puts, 1, "stored").unwrap();
    let queries = 2 * database.calls(Point::Query) - queries;
    database.fail_at(Point::Commit, 3, How::Lost);
    database.fail_from(Point::Query, queries + 1, How::Connection);
    let error = put(&butler, &puts, 2, "committed").unwrap_err();
    assert!(matches!(error, StoreError::PutUnknown { .. }), "{}", told(&error));
    database.heal();
    assert_eq!(depot.artifacts().len(), 3, "nothing is deleted because of that");
    depot.check();
    puts.finish().unwrap();
    assert_eq!(depot.contents(RUN), [stored(&item(1), "stored"), stored(&item(2), "committed")]);
    assert_eq!(depot.artifacts().len(), 2);
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn what_was_dropped_stays_open_and_is_ended_by_name() {
    let depot = Depot::new(2);
    let butler = depot.butler();
    let puts = butler.put_session(&collection(RUN), Some(&name("s")), false).unwrap();
    put(&butler, &puts, 0, "stored").unwrap();
    drop(puts);
    assert_eq!(depot.open_names(), ["s"]);
    // The process lives: another session opens beside it.
    let other = butler.put_session(&collection(RUN), None, false).unwrap();
    put(&butler, &other, 1, "of another").unwrap();
    other.finish().unwrap();
    assert_eq!(depot.open_names(), ["s"]);
    let error = butler.put_session(&collection(RUN), Some(&name("s")), false).unwrap_err();
    assert!(told(&error).contains("transaction `s` is open already"), "{}", told(&error));
    let again = butler.put_session(&collection(RUN), Some(&name("s")), true).unwrap();
    again.finish().unwrap();
    assert_eq!(depot.rows(RUN).len(), 2);
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn a_put_that_is_refused_leaves_nothing() {
    let depot = Depot::new(2);
    depot.did(&Order::put("other", &[(&item(0), "bystander")]));
    let butler = depot.butler();
    let puts = butler.put_session(&collection(RUN), None, false).unwrap();
    // A type that nobody registered is refused before anything is written.
    let missing = DatasetTypeName::new("nothing").unwrap();
    let error = puts.put(b"x", &missing, &data_id(&butler, &item(0))).unwrap_err();
    assert!(told(&error).contains("there is no dataset type `nothing`"), "{}", told(&error));
    // So is a data ID without record; its artifact was written, and is gone.
    let error = put(&butler, &puts, 7, "x").unwrap_err();
    assert!(told(&error).contains("there is no item record for item=i0007"), "{}", told(&error));
    assert_eq!(depot.artifacts().len(), 1);
    puts.finish().unwrap();
    assert_eq!(depot.contents("other"), [stored(&item(0), "bystander")]);
}
