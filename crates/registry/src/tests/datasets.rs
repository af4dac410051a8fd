use super::*;
use crate::DatasetQuery;

fn ids(fixture: &Fixture, query: &DatasetQuery) -> Result<Vec<u128>, RegistryError> {
    let rows = fixture.read(|r| r.datasets(query))?;
    Ok(rows.iter().map(|row| row.dataset.id.as_uuid().as_u128()).collect())
}

/// `filled`, with the same data IDs in `b` as 11 to 14, a summary 20 in `b`, and
/// the chain `c` of `b` and `a`.
fn two_runs() -> Fixture {
    let fixture = filled();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let summary = fixture.dataset_type("summary", &[]);
    let summaries = vec![dataset_ref(20, &summary, vec![], "b")];
    fixture
        .apply(&[
            Change::InsertDatasets(images(&image, "b", 11)),
            Change::InsertDatasets(summaries),
            Change::ExtendChain {
                chain: collection("c"),
                first: collection("b"),
                last: vec![collection("a")],
            },
        ])
        .unwrap();
    fixture
}

#[test]
fn rows_hold_everything() -> Tested {
    let fixture = filled();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let wanted = images(&image, "a", 1);
    fixture.apply(&[Change::InsertRecords(vec![file_record(dataset_id(2), "mask")])])?;
    let rows = fixture.read(|r| r.datasets(&DatasetQuery::default()))?;
    assert_eq!(rows.iter().map(|r| r.dataset.clone()).collect::<Vec<_>>(), wanted);
    assert_eq!(
        rows[1].records,
        [file_record(dataset_id(2), ""), file_record(dataset_id(2), "mask")]
    );
    assert_eq!(rows[0].records, [file_record(dataset_id(1), "")]);
    assert_eq!(rows[0].ingested_at, Tai::from_nanos(7));
    let by_key = fixture
        .read(|r| r.dataset_by_key(&type_name("image"), &collection("a"), &wanted[1].data_id))?;
    assert_eq!(by_key.as_ref(), Some(&rows[1]));
    let mut streamed = Vec::new();
    fixture.read(|r| {
        r.for_each_in_run(&type_name("image"), &collection("a"), |id, data_id| {
            streamed.push((id, data_id));
        })
    })?;
    assert_eq!(streamed, wanted.iter().map(|r| (r.id, r.data_id.clone())).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn queries_select_and_order() -> Tested {
    let fixture = two_runs();
    let all = DatasetQuery::default();
    assert_eq!(ids(&fixture, &all)?, [1, 2, 3, 4, 11, 12, 13, 14, 20]);
    let in_chain = DatasetQuery { runs: Some(vec![collection("c")]), ..all.clone() };
    assert_eq!(ids(&fixture, &in_chain)?, [11, 12, 13, 14, 20, 1, 2, 3, 4]);
    let first = DatasetQuery { find_first: true, ..in_chain.clone() };
    assert_eq!(ids(&fixture, &first)?, [11, 12, 13, 14, 20]);
    fixture.apply(&[Change::DiscardDatasets(vec![dataset_id(12)])])?;
    assert_eq!(ids(&fixture, &first)?, [11, 13, 14, 20, 2]);
    let summaries = DatasetQuery { dataset_types: Some(vec![type_name("summary")]), ..all.clone() };
    assert_eq!(ids(&fixture, &summaries)?, [20]);
    let some = DatasetQuery {
        ids: Some([4, 20, 11, 999].map(dataset_id).to_vec()),
        runs: Some(vec![collection("b"), collection("a")]),
        ..all.clone()
    };
    assert_eq!(ids(&fixture, &some)?, [11, 20, 4]);
    let only_a = DatasetQuery { runs: Some(vec![collection("a")]), ..some };
    assert_eq!(ids(&fixture, &only_a)?, [4]);
    let nothing = DatasetQuery { runs: Some(vec![]), ..all };
    assert!(ids(&fixture, &nothing)?.is_empty());
    Ok(())
}

#[test]
fn constraints_may_be_required_or_implied() -> Tested {
    let fixture = two_runs();
    let with = |pairs: &[(&str, KeyValue)]| DatasetQuery {
        data_id: constraint(pairs),
        runs: Some(vec![collection("a")]),
        ..DatasetQuery::default()
    };
    assert_eq!(ids(&fixture, &with(&[("detector", 1.into())]))?, [2, 4]);
    assert_eq!(ids(&fixture, &with(&[("band", "r".into())]))?, [3, 4]);
    assert_eq!(ids(&fixture, &with(&[("band", "r".into()), ("detector", 0.into())]))?, [3]);
    let by_ids = DatasetQuery {
        ids: Some([1, 3, 11].map(dataset_id).to_vec()),
        runs: None,
        ..with(&[("band", "g".into())])
    };
    assert_eq!(ids(&fixture, &by_ids)?, [1, 11]);
    Ok(())
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let fixture = two_runs();
    let asked = |query: DatasetQuery| ids(&fixture, &query).map_err(|e| e.to_string());
    let all = DatasetQuery::default();
    assert_eq!(
        asked(DatasetQuery { dataset_types: Some(vec![type_name("x")]), ..all.clone() }),
        Err("there is no dataset type `x`".to_owned())
    );
    assert_eq!(
        asked(DatasetQuery { runs: Some(vec![collection("x")]), ..all.clone() }),
        Err("there is no collection `x`".to_owned())
    );
    assert_eq!(
        asked(DatasetQuery {
            dataset_types: Some(vec![type_name("summary")]),
            data_id: constraint(&[("visit", 1.into())]),
            ..all.clone()
        }),
        Err("none of the dataset types asked for has the dimension `visit`".to_owned())
    );
    for pairs in [("visit", "one".into()), ("tract", 1.into()), ("visit_detector_region", 1.into())]
    {
        let query = DatasetQuery { data_id: constraint(&[pairs]), ..all.clone() };
        assert!(matches!(
            fixture.read(|r| r.datasets(&query)),
            Err(RegistryError::UniverseMismatch { .. })
        ));
    }
}

#[test]
fn duplicates_are_compared_and_reported() -> Tested {
    let fixture = filled();
    let before = fixture.dump();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let same_key = dataset_ref(77, &image, vec!["cam".into(), 2.into(), 0.into()], "a");
    match fixture.apply(&[Change::InsertDatasets(vec![same_key.clone()])]) {
        Err(RegistryError::Conflict { wanted, existing }) => {
            assert_eq!((*wanted, existing.id), (same_key, dataset_id(3)));
        }
        other => return Err(format!("{other:?}").into()),
    }
    let same_id = dataset_ref(3, &image, vec!["cam".into(), 2.into(), 0.into()], "b");
    match fixture.apply(&[Change::InsertDatasets(vec![same_id])]) {
        Err(RegistryError::Conflict { existing, .. }) => assert_eq!(existing.run, collection("a")),
        other => return Err(format!("{other:?}").into()),
    }
    assert_eq!(fixture.dump(), before);
    Ok(())
}

#[test]
fn datasets_name_what_exists() {
    let fixture = filled();
    let before = fixture.dump();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let insert = |dataset| fixture.apply(&[Change::InsertDatasets(vec![dataset])]);
    let key = |visit: i64, detector: i64| vec!["cam".into(), visit.into(), detector.into()];
    assert!(matches!(
        insert(dataset_ref(50, &image, key(3, 0), "b")),
        Err(RegistryError::MissingDimensionRecord { element, data_id })
            if element.as_str() == "visit" && data_id.to_string() == "instrument=cam visit=3"
    ));
    assert!(matches!(
        insert(dataset_ref(50, &image, key(1, 9), "b")),
        Err(RegistryError::MissingDimensionRecord { element, .. }) if element.as_str() == "detector"
    ));
    assert!(matches!(
        insert(dataset_ref(50, &image, key(1, 0), "x")),
        Err(RegistryError::UnknownCollection { .. })
    ));
    let unknown = fixture.dataset_type("unknown", &["visit"]);
    assert!(matches!(
        insert(dataset_ref(50, &unknown, vec!["cam".into(), 1.into()], "b")),
        Err(RegistryError::UnknownDatasetType { .. })
    ));
    let other = fixture.dataset_type("image", &["visit"]);
    assert!(matches!(
        insert(dataset_ref(50, &other, vec!["cam".into(), 1.into()], "b")),
        Err(RegistryError::DatasetType(_))
    ));
    let mut wrong = dataset_ref(50, &unknown, vec!["cam".into(), 1.into()], "b");
    wrong.dataset_type = image;
    assert!(matches!(insert(wrong), Err(RegistryError::WrongDimensions { .. })));
    assert!(matches!(
        fixture.apply(&[Change::InsertRecords(vec![file_record(dataset_id(50), "")])]),
        Err(RegistryError::UnknownDataset { .. })
    ));
    assert!(matches!(
        fixture.apply(&[Change::InsertRecords(vec![file_record(dataset_id(1), "")])]),
        Err(RegistryError::RecordExists { .. })
    ));
    assert_eq!(fixture.dump(), before);
}

#[test]
fn types_are_defined_once() -> Tested {
    let fixture = filled();
    let same = fixture.dataset_type("image", &["visit", "detector"]);
    fixture.apply(&[Change::EnsureDatasetType(Arc::clone(&same))])?;
    let other = fixture.dataset_type("image", &["visit"]);
    assert!(matches!(
        fixture.apply(&[Change::EnsureDatasetType(other)]),
        Err(RegistryError::DatasetType(_))
    ));
    let all = fixture.read(Reader::dataset_types)?;
    assert_eq!(all.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["image", "summary"]);
    assert_eq!(all[0], same);
    assert_eq!(fixture.read(|r| r.dataset_type(&type_name("x")))?, None);
    Ok(())
}

#[test]
fn discarding_takes_records_and_memberships_along() -> Tested {
    let fixture = filled();
    let stored = |n| fixture.read(|r| r.dataset(dataset_id(n)));
    let some = vec![dataset_id(2), dataset_id(999), dataset_id(4)];
    fixture.apply(&[Change::DiscardRecords(some.clone())])?;
    assert_eq!(stored(2)?.map(|d| d.records.len()), Some(0));
    assert_eq!(stored(1)?.map(|d| d.records.len()), Some(1));
    let all = [1, 2, 3, 4].map(dataset_id).to_vec();
    fixture.apply(&[Change::DiscardDatasets(some.clone()), Change::DiscardDatasets(some)])?;
    assert_eq!(stored(2)?, None);
    assert_eq!(ids(&fixture, &DatasetQuery::default())?, [1, 3]);
    fixture.apply(&[Change::DiscardDatasets(all)])?;
    let dump = fixture.dump();
    assert!(
        !dump.lines().any(|l| l.starts_with("membership")
            || l.starts_with("dataset [")
            || l.starts_with("file_datastore_record")),
        "{dump}"
    );
    fixture.apply(&[Change::DiscardRunIfUnused(collection("a"))])?;
    assert_eq!(fixture.read(|r| r.collection(&collection("a")))?, None);
    Ok(())
}

#[test]
fn a_snapshot_does_not_change() -> Tested {
    let fixture = filled();
    let other = fixture.second(&OpenOptions::default());
    fixture.read(|reader| {
        let before = reader.datasets(&DatasetQuery::default())?;
        other.write(|w| {
            w.apply(&[Change::DiscardDatasets(vec![dataset_id(1)])], Tai::from_nanos(1))
        })?;
        assert_eq!(reader.datasets(&DatasetQuery::default())?, before);
        Ok::<_, RegistryError>(())
    })?;
    assert_eq!(ids(&fixture, &DatasetQuery::default())?, [2, 3, 4]);
    Ok(())
}
