#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method alone is not general over the lifetime of `CheckRows`"
)]

use pantler_core::transaction::RunLocks;

use super::*;
use crate::check::RecordRow;

fn codes(fixture: &Fixture) -> Vec<&'static str> {
    let mut codes: Vec<_> =
        fixture.check(|c| c.findings()).unwrap().into_iter().map(|f| f.code).collect();
    codes.dedup();
    codes
}

/// `filled`, with the TAGGED collection 3 that names the datasets 2 and 3.
fn with_tagged() -> Fixture {
    let fixture = filled();
    let collection = collection("tagged");
    let changes = [
        Change::EnsureCollection {
            name: collection.clone(),
            collection_type: pantler_core::CollectionType::Tagged,
        },
        Change::Associate { collection, datasets: vec![dataset_id(2), dataset_id(3)] },
    ];
    fixture.apply(&changes).unwrap();
    fixture
}

#[test]
fn a_sound_registry_has_no_findings() -> Tested {
    let fixture = with_tagged();
    let locks = RunLocks {
        modified: vec![collection("a"), collection("later")],
        insert_only: vec![collection("b")],
        inputs: vec![],
    };
    let row = TransactionRow { kind: "workspace".to_owned(), ..transaction_row("t", 1) };
    fixture.write(|w| w.insert_transaction(&row, &locks, Some(b"x")))?;
    assert_eq!(fixture.check(|c| c.findings())?, []);
    let locked = fixture.check(|c| c.locked_runs())?;
    let seen: Vec<_> =
        locked.iter().map(|l| (l.run.as_str(), l.run_id, l.modified, l.is_workspace())).collect();
    assert_eq!(
        seen,
        [("a", Some(1), true, true), ("b", Some(2), false, true), ("later", None, true, true)]
    );
    let open = fixture.check(|c| c.open_transactions())?;
    assert_eq!((open[0].name.as_str(), open[0].manifest.as_slice()), ("t", &b"x"[..]));
    Ok(())
}

#[test]
fn records_come_in_the_order_of_their_uris() -> Tested {
    let fixture = filled();
    let mut rows: Vec<RecordRow> = Vec::new();
    fixture.check(|c| {
        c.records(|row| {
            rows.push(row);
            Ok::<_, RegistryError>(())
        })
    })?;
    assert_eq!(rows.len(), 4);
    assert!(rows.is_sorted_by_key(|row| row.uri.clone()));
    let first = &rows[0];
    assert_eq!((first.size, first.run.as_deref(), first.run_id), (10, Some("a"), Some(1)));
    assert_eq!(first.dataset, Some(*dataset_id(1).as_uuid()));
    assert_eq!(first.checksum, Checksum::of(b"x").as_bytes());
    assert_eq!(first.dataset_type.as_deref(), Some("image"));
    Ok(())
}

#[test]
fn each_damage_is_found() {
    let damages = [
        ("DELETE FROM membership_1 WHERE dataset = 1", vec!["dataset-without-membership"]),
        (
            "DELETE FROM dataset WHERE id = 1",
            vec!["foreign-key", "record-without-dataset", "membership-without-dataset"],
        ),
        (
            "UPDATE membership_1 SET collection = 2 WHERE dataset = 1",
            vec!["dataset-without-membership", "membership-mismatch"],
        ),
        (
            "INSERT INTO membership_1 SELECT dataset_type, 3, d_instrument, d_visit, 9, dataset
            FROM membership_1 WHERE dataset = 1",
            vec!["tag-mismatch", "membership-without-dimension-record"],
        ),
        (
            "INSERT INTO membership_1 SELECT dataset_type, 3, d_instrument, d_visit, d_detector, 99
            FROM membership_1 WHERE dataset = 1",
            vec!["foreign-key", "tag-without-dataset"],
        ),
        (
            "UPDATE collection SET type = 'CHAINED' WHERE name = 'tagged'",
            vec!["membership-mismatch"],
        ),
        (
            "DELETE FROM element_detector WHERE d_detector = 1",
            vec!["membership-without-dimension-record"],
        ),
        ("DELETE FROM element_band WHERE d_band = 'g'", vec!["foreign-key"]),
        ("UPDATE collection SET type = 'CHAINED' WHERE name = 'a'", vec!["dataset-without-run"]),
        (
            "UPDATE dataset SET dataset_type = 9 WHERE id = 1",
            vec!["dataset-without-type", "membership-mismatch"],
        ),
        (
            "UPDATE file_datastore_record SET uri = 'same', size = dataset",
            vec!["artifact-used-twice"],
        ),
        ("UPDATE file_datastore_record SET uri = 'same'", vec![]),
        ("INSERT INTO collection_child VALUES (1, 0, 2)", vec!["chain-broken"]),
        (
            "INSERT INTO collection VALUES (8, 'c', 'CHAINED'), (9, 'd', 'CHAINED');
            INSERT INTO collection_child VALUES (8, 0, 9), (9, 0, 8)",
            vec!["chain-cycle"],
        ),
        (
            "INSERT INTO artifact_transaction_modified_run VALUES ('a', 't');
            INSERT INTO artifact_transaction_insert_only_run VALUES ('t', 'a')",
            vec!["foreign-key", "locks-not-disjoint", "lock-without-transaction"],
        ),
        (
            "INSERT INTO artifact_transaction_chunk VALUES (zeroblob(16), 0, x'')",
            vec!["foreign-key", "chunk-without-transaction"],
        ),
        (
            "INSERT INTO artifact_transaction VALUES
            ('t', 'put', '{}', 'me', zeroblob(16), 1, NULL, 'h', 'b', 1, 1, 3);
            INSERT INTO artifact_transaction_closed VALUES (zeroblob(16), 't', 'committed', 1)",
            vec!["open-and-closed", "transaction-of-other-config"],
        ),
        ("DROP TABLE membership_2", vec!["group-without-table"]),
    ];
    for (sql, expected) in damages {
        let fixture = with_tagged();
        let raw = fixture.raw();
        raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        raw.execute_batch(sql).unwrap();
        assert_eq!(codes(&fixture), expected, "{sql}");
    }
}
