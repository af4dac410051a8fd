//! TAGGED collections, chains as they are set, and what may be removed.

use pantler_core::{CollectionType, transaction::RunLocks};

use super::*;
use crate::{DatasetQuery, LockKind};

fn tagged(name: &str) -> Change {
    Change::EnsureCollection { name: collection(name), collection_type: CollectionType::Tagged }
}

fn ids(numbers: &[u128]) -> Vec<DatasetId> {
    numbers.iter().copied().map(dataset_id).collect()
}

fn tag(name: &str, datasets: &[u128]) -> Change {
    Change::Associate { collection: collection(name), datasets: ids(datasets) }
}

fn untag(name: &str, datasets: &[u128]) -> Change {
    Change::Disassociate { collection: collection(name), datasets: ids(datasets) }
}

fn chain(name: &str, children: &[&str]) -> Change {
    Change::SetChain {
        chain: collection(name),
        children: children.iter().map(|child| collection(child)).collect(),
    }
}

fn found(fixture: &Fixture, collections: &[&str], find_first: bool) -> Vec<u128> {
    let query = DatasetQuery {
        runs: Some(collections.iter().map(|name| collection(name)).collect()),
        find_first,
        ..DatasetQuery::default()
    };
    let rows = fixture.read(|r| r.datasets(&query)).unwrap();
    rows.iter().map(|row| row.dataset.id.as_uuid().as_u128()).collect()
}

/// `filled`, with the same data IDs in `b` as 11 to 14, not stored, a summary 20 in `b`,
/// and the TAGGED collections `t`, which names 12, 3 and 20, and `empty`.
fn with_tags() -> Fixture {
    let fixture = filled();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let summary = fixture.dataset_type("summary", &[]);
    fixture
        .apply(&[
            Change::InsertDatasets(images(&image, "b", 11)),
            Change::InsertDatasets(vec![dataset_ref(20, &summary, vec![], "b")]),
            tagged("t"),
            tagged("empty"),
            tag("t", &[12, 3, 20]),
        ])
        .unwrap();
    fixture
}

fn open(fixture: &Fixture, name: &str, n: u128, locks: &RunLocks) {
    fixture.write(|w| w.insert_transaction(&transaction_row(name, n), locks, None)).unwrap();
}

fn refused(fixture: &Fixture, change: Change) -> RegistryError {
    let before = fixture.dump();
    let error = fixture.apply(&[change]).unwrap_err();
    assert_eq!(fixture.dump(), before, "{error}");
    error
}

#[track_caller]
fn sound(fixture: &Fixture) {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method alone is not general over the lifetime of `CheckRows`"
    )]
    let findings = fixture.check(|c| c.findings()).unwrap();
    assert_eq!(findings, []);
}

#[test]
fn tags_are_found_in_search_order_and_once() -> Tested {
    let fixture = with_tags();
    assert_eq!(found(&fixture, &["t"], false), [12, 3, 20]);
    assert_eq!(found(&fixture, &["empty"], false), [0; 0]);
    assert_eq!(found(&fixture, &["t", "a"], true), [12, 3, 20, 1, 4]);
    assert_eq!(found(&fixture, &["a", "t"], true), [1, 2, 3, 4, 20]);
    assert_eq!(found(&fixture, &["t", "a"], false), [12, 3, 20, 1, 2, 4]);
    assert_eq!(found(&fixture, &["b", "t"], false), [11, 12, 13, 14, 20, 3]);
    fixture.apply(&[chain("inner", &["t", "b"]), chain("c", &["empty", "inner", "a"])])?;
    assert_eq!(found(&fixture, &["c"], true), [12, 3, 20, 11, 14]);
    let resolved = fixture.read(|r| r.resolve(&[collection("c")]))?;
    let names: Vec<_> = resolved.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["empty", "t", "b", "a"]);

    // Rows say the RUN that owns a dataset, records included, wherever it was found.
    let query = DatasetQuery { runs: Some(vec![collection("t")]), ..DatasetQuery::default() };
    let rows = fixture.read(|r| r.datasets(&query))?;
    let owners: Vec<_> = rows.iter().map(|r| (r.dataset.run.as_str(), r.records.len())).collect();
    assert_eq!(owners, [("b", 0), ("a", 1), ("b", 0)]);
    // Without collections, every dataset once, in its RUN.
    assert_eq!(fixture.read(|r| r.datasets(&DatasetQuery::default()))?.len(), 9);
    let by_id = |runs: Option<&str>| {
        let query = DatasetQuery {
            ids: Some(ids(&[3, 4, 12])),
            runs: runs.map(|name| vec![collection(name)]),
            ..DatasetQuery::default()
        };
        fixture.read(|r| r.datasets(&query)).map(|rows| rows.len())
    };
    assert_eq!((by_id(None)?, by_id(Some("t"))?, by_id(Some("a"))?), (3, 2, 2));

    assert_eq!(fixture.read(|r| r.owning_runs(&collection("t")))?, ["a", "b"].map(collection));
    assert_eq!(fixture.read(|r| r.owning_runs(&collection("a")))?, [collection("a")]);
    assert_eq!(
        fixture.read(|r| r.count_datasets(&collection("t")))?,
        [(type_name("image"), 2), (type_name("summary"), 1)]
    );
    sound(&fixture);
    Ok(())
}

#[test]
fn a_dataset_with_several_records_and_tags_comes_whole() -> Tested {
    let fixture = with_tags();
    fixture.apply(&[
        Change::InsertRecords(vec![file_record(dataset_id(3), "mask")]),
        tag("empty", &[3]),
    ])?;
    let query = DatasetQuery {
        ids: Some(ids(&[3])),
        runs: Some(["t", "empty", "a"].map(collection).to_vec()),
        ..DatasetQuery::default()
    };
    let rows = fixture.read(|r| r.datasets(&query))?;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].records,
        [file_record(dataset_id(3), ""), file_record(dataset_id(3), "mask")]
    );
    Ok(())
}

#[test]
fn tagging_and_untagging_again_is_nothing() -> Tested {
    let fixture = with_tags();
    let before = fixture.dump();
    fixture.apply(&[tagged("t"), tag("t", &[3, 12, 3, 20])])?;
    assert_eq!(fixture.dump(), before);
    fixture.apply(&[untag("t", &[12, 12, 999]), untag("t", &[12])])?;
    assert_eq!(found(&fixture, &["t"], false), [3, 20]);
    // It stays in its RUN, and the place is free.
    fixture.apply(&[tag("t", &[2])])?;
    assert_eq!(found(&fixture, &["t"], false), [2, 3, 20]);
    sound(&fixture);
    Ok(())
}

#[test]
fn a_place_that_is_taken_names_both() {
    let fixture = with_tags();
    match refused(&fixture, tag("t", &[1, 2])) {
        RegistryError::TagConflict { collection, wanted, existing } => {
            assert_eq!(
                (collection.as_str(), wanted.id, existing.id),
                ("t", dataset_id(2), dataset_id(12))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        refused(&fixture, tag("t", &[1, 999])),
        RegistryError::UnknownDataset { dataset } if dataset == dataset_id(999)
    ));
    for change in [tag("a", &[1]), untag("a", &[1])] {
        assert!(matches!(
            refused(&fixture, change),
            RegistryError::WrongCollectionType { found: CollectionType::Run, .. }
        ));
    }
    for change in [tag("x", &[1]), untag("x", &[1])] {
        assert!(matches!(refused(&fixture, change), RegistryError::UnknownCollection { .. }));
    }
}

#[test]
fn what_a_transaction_manages_is_not_tagged() -> Tested {
    let fixture = with_tags();
    let lock = |modified: &[&str], insert_only: &[&str], inputs: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| collection(name)).collect();
        RunLocks {
            modified: names(modified),
            insert_only: names(insert_only),
            inputs: names(inputs),
        }
    };
    // Read by a workspace: neither stored nor managed, and free to be tagged.
    open(&fixture, "reader", 1, &lock(&[], &[], &["b"]));
    fixture.apply(&[tag("empty", &[11])])?;
    for (n, locks) in [(2, lock(&["b"], &[], &[])), (3, lock(&[], &["b"], &[]))] {
        let name = format!("w{n}");
        open(&fixture, &name, n, &locks);
        match refused(&fixture, tag("empty", &[2, 13])) {
            RegistryError::UnstoredInLockedRun { dataset, transaction } => {
                assert_eq!((dataset.id, transaction.as_str()), (dataset_id(13), &*name));
            }
            other => panic!("{other:?}"),
        }
        fixture.write(|w| {
            w.close_transaction(
                &transaction(&name),
                opening(n),
                1,
                pantler_core::transaction::Closing::Commit,
                Tai::from_nanos(1),
            )
        })?;
    }
    // Stored datasets of a RUN that others insert into can be tagged.
    open(&fixture, "inserter", 4, &lock(&[], &["a"], &[]));
    fixture.apply(&[tag("empty", &[4])])?;
    Ok(())
}

#[test]
fn tagged_datasets_are_not_removed() -> Tested {
    let fixture = with_tags();
    for change in [Change::DiscardDatasets(ids(&[1, 3])), Change::ExpectUntagged(ids(&[1, 3]))] {
        assert!(matches!(
            refused(&fixture, change),
            RegistryError::Tagged { dataset, collection }
                if dataset == dataset_id(3) && collection.as_str() == "t"
        ));
    }
    fixture.apply(&[
        Change::ExpectUntagged(ids(&[1, 2, 4, 999])),
        // To unstore is not to remove.
        Change::DiscardRecords(ids(&[3])),
        untag("t", &[3]),
        Change::ExpectUntagged(ids(&[3])),
        Change::DiscardDatasets(ids(&[1, 2, 3, 4])),
        Change::DiscardRunIfUnused(collection("a")),
    ])?;
    assert_eq!(found(&fixture, &["t"], false), [12, 20]);
    assert_eq!(fixture.read(|r| r.collection(&collection("a")))?, None);
    sound(&fixture);
    Ok(())
}

#[test]
fn collections_are_removed_without_their_datasets() -> Tested {
    let fixture = with_tags();
    fixture.apply(&[chain("c", &["t", "a"]), chain("d", &["c"])])?;
    for (name, expected) in [("t", "c"), ("c", "d"), ("a", "c")] {
        assert!(matches!(
            refused(&fixture, Change::RemoveCollection(collection(name))),
            RegistryError::InChain { chain, .. } if chain.as_str() == expected
        ));
    }
    assert!(matches!(
        refused(&fixture, Change::RemoveCollection(collection("b"))),
        RegistryError::RemovesRun { .. }
    ));
    assert!(matches!(
        refused(&fixture, Change::RemoveCollection(collection("x"))),
        RegistryError::UnknownCollection { .. }
    ));
    fixture.apply(&["d", "c", "t"].map(|name| Change::RemoveCollection(collection(name))))?;
    let left = fixture.read(Reader::collections)?;
    assert_eq!(left.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "b", "empty"]);
    assert_eq!(fixture.read(|r| r.datasets(&DatasetQuery::default()))?.len(), 9);
    fixture.apply(&[Change::ExpectUntagged(ids(&[3, 12, 20]))])?;
    sound(&fixture);
    Ok(())
}

#[test]
fn a_name_is_one_kind_of_collection() -> Tested {
    let fixture = with_tags();
    fixture.apply(&[chain("c", &[])])?;
    for (name, collection_type) in
        [("a", CollectionType::Tagged), ("t", CollectionType::Chained), ("c", CollectionType::Run)]
    {
        let change = Change::EnsureCollection { name: collection(name), collection_type };
        assert!(matches!(
            refused(&fixture, change.clone()),
            RegistryError::WrongCollectionType { wanted, .. } if wanted == collection_type
        ));
    }
    let before = fixture.dump();
    for (name, collection_type) in
        [("a", CollectionType::Run), ("t", CollectionType::Tagged), ("c", CollectionType::Chained)]
    {
        fixture.apply(&[Change::EnsureCollection { name: collection(name), collection_type }])?;
    }
    assert_eq!(fixture.dump(), before);
    // A RUN that is still to be made keeps its name free.
    let locks = RunLocks { modified: vec![collection("later")], ..RunLocks::default() };
    open(&fixture, "w", 1, &locks);
    for change in [tagged("later"), chain("later", &["a"])] {
        assert!(matches!(
            refused(&fixture, change),
            RegistryError::RunLocked { lock: LockKind::Modified, .. }
        ));
    }
    fixture.apply(&[Change::EnsureRun(collection("later"))])?;
    Ok(())
}

#[test]
fn chains_are_set_as_a_whole() -> Tested {
    let fixture = with_tags();
    let children = |name: &str| {
        let chain = fixture.read(|r| r.collection(&collection(name))).unwrap().unwrap();
        chain.children.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    fixture.apply(&[chain("c", &["b", "t", "b", "a"])])?;
    assert_eq!(children("c"), ["b", "t", "a"]);
    fixture.apply(&[chain("c", &["a", "b"]), chain("d", &["c", "t"])])?;
    assert_eq!(children("c"), ["a", "b"]);
    assert!(matches!(refused(&fixture, chain("c", &["c"])), RegistryError::ChainCycle { .. }));
    assert!(matches!(refused(&fixture, chain("c", &["a", "d"])), RegistryError::ChainCycle { .. }));
    assert!(matches!(
        refused(&fixture, chain("c", &["a", "x"])),
        RegistryError::UnknownCollection { .. }
    ));
    assert!(matches!(
        refused(&fixture, chain("t", &["a"])),
        RegistryError::WrongCollectionType { .. }
    ));
    let locks = RunLocks { modified: vec![collection("a")], ..RunLocks::default() };
    open(&fixture, "w", 1, &locks);
    assert!(matches!(
        refused(&fixture, chain("c", &["b", "a"])),
        RegistryError::RunLocked { run, .. } if run.as_str() == "a"
    ));
    fixture.apply(&[chain("c", &["b"]), chain("d", &[])])?;
    assert_eq!(children("d"), [""; 0]);
    sound(&fixture);
    Ok(())
}

#[test]
fn dataset_types_are_removed_when_nothing_needs_them() -> Tested {
    let fixture = with_tags();
    let remove = |name: &str| Change::RemoveDatasetType(type_name(name));
    assert!(matches!(
        refused(&fixture, remove("summary")),
        RegistryError::TypeInUse { dataset, .. } if dataset == dataset_id(20)
    ));
    assert!(matches!(refused(&fixture, remove("x")), RegistryError::UnknownDatasetType { .. }));
    fixture.apply(&[untag("t", &[20]), Change::DiscardDatasets(ids(&[20]))])?;
    open(&fixture, "w", 1, &RunLocks::default());
    assert!(matches!(
        refused(&fixture, remove("summary")),
        RegistryError::TypeMayBeUsed { transaction, .. } if transaction.as_str() == "w"
    ));
    fixture.write(|w| {
        w.close_transaction(
            &transaction("w"),
            opening(1),
            1,
            pantler_core::transaction::Closing::Revert,
            Tai::from_nanos(1),
        )
    })?;
    fixture.apply(&[remove("summary")])?;
    assert_eq!(fixture.read(|r| r.dataset_type(&type_name("summary")))?, None);
    // The name is free for another definition, also within one database transaction.
    let other = fixture.dataset_type("summary", &["visit"]);
    fixture.apply(&[Change::EnsureDatasetType(Arc::clone(&other)), remove("summary")])?;
    fixture.apply(&[Change::EnsureDatasetType(other)])?;
    sound(&fixture);
    Ok(())
}
