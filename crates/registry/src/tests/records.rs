use super::*;

#[test]
fn records_come_back_as_they_went() -> Tested {
    let fixture = empty();
    let mut records = fixture.records();
    records[0].metadata.insert(element_name("title"), MetadataValue::String("it's".to_owned()));
    records[0].metadata.insert(element_name("good"), MetadataValue::Boolean(false));
    let region =
        fixture.record("visit_detector_region", vec!["cam".into(), 1.into(), 0.into()], &[], &[]);
    records.push(region.clone());
    fixture.apply(&[Change::EnsureDimensionRecords(records.clone())])?;
    let universe = Arc::clone(fixture.universe());
    let visit = universe.element("visit")?;
    let visits = fixture.read(|r| r.dimension_records(visit))?;
    assert_eq!(visits, records[..2]);
    let of_region = fixture.read(|r| r.dimension_record(visit, &region.data_id))?;
    assert_eq!(of_region.as_ref(), Some(&records[0]));
    let instrument = universe.element("instrument")?;
    assert!(matches!(
        fixture.read(|r| r.dimension_record(visit, &fixture.records()[4].data_id)),
        Err(RegistryError::WrongDimensions { .. })
    ));
    assert_eq!(fixture.read(|r| r.dimension_records(instrument))?.len(), 1);
    // The same again is fine, also with a null where there was nothing.
    records[1].metadata.insert(element_name("good"), MetadataValue::Null);
    records[1].metadata.insert(element_name("exposure"), MetadataValue::Integer(30));
    fixture.apply(&[Change::EnsureDimensionRecords(records)])?;
    Ok(())
}

#[test]
fn a_record_with_other_content_is_refused() {
    let fixture = filled();
    let before = fixture.dump();
    let conflict = |change: &dyn Fn(&mut DimensionRecord)| {
        let mut record = fixture.records().swap_remove(0);
        change(&mut record);
        match fixture.apply(&[Change::EnsureDimensionRecords(vec![record])]) {
            Err(RegistryError::RecordConflict { element, data_id, field }) => {
                format!("{element} {data_id} {field}")
            }
            other => format!("{other:?}"),
        }
    };
    assert_eq!(
        conflict(&|r| drop(
            r.metadata.insert(element_name("title"), MetadataValue::String("x".into()))
        )),
        "visit instrument=cam visit=1 title"
    );
    assert_eq!(
        conflict(&|r| drop(r.implied.insert(element_name("physical_filter"), "r1".into()))),
        "visit instrument=cam visit=1 physical_filter"
    );
    assert_eq!(fixture.dump(), before);
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let fixture = filled();
    let invalid = |change: &dyn Fn(&mut DimensionRecord)| {
        let exposure = [("exposure", MetadataValue::Float(1.0))];
        let mut record = fixture.record(
            "visit",
            vec!["cam".into(), 9.into()],
            &[("physical_filter", "g1")],
            &exposure,
        );
        change(&mut record);
        match fixture.apply(&[Change::EnsureDimensionRecords(vec![record])]) {
            Err(RegistryError::InvalidRecord { reason, .. }) => reason,
            other => format!("{other:?}"),
        }
    };
    assert_eq!(invalid(&|r| r.metadata.clear()), "metadata `exposure` is required");
    assert_eq!(invalid(&|r| r.implied.clear()), "the implied `physical_filter` has no value");
    assert_eq!(
        invalid(&|r| drop(r.implied.insert(element_name("band"), "g".into()))),
        "it gives `band`, which it does not imply"
    );
    assert_eq!(
        invalid(&|r| drop(r.metadata.insert(element_name("x"), MetadataValue::Null))),
        "there is no metadata `x`"
    );
    assert_eq!(
        invalid(&|r| drop(
            r.metadata.insert(element_name("exposure"), MetadataValue::Float(f64::NAN))
        )),
        "metadata `exposure` is not a number"
    );
    assert!(invalid(&|_| ()).starts_with("Ok"), "the record itself is valid");
}

#[test]
fn records_name_records_that_exist() -> Tested {
    let fixture = empty();
    let mut records = fixture.records();
    records.retain(|r| r.element.as_str() != "band");
    match fixture.apply(&[Change::EnsureDimensionRecords(records)]) {
        Err(RegistryError::MissingDimensionRecord { element, data_id }) => {
            assert_eq!((element.as_str(), data_id.to_string().as_str()), ("band", "band=g"));
        }
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

/// `late` implies `x`, which requires `y`, which only `z` knows: the data ID of
/// {late, z} does not name the key of `late` itself.
#[test]
fn keys_that_follow_from_other_records_are_looked_up() -> Tested {
    let universe = Universe::from_yaml(
        "version: 1\nname: u\nelements:\n  y: {key: integer}\n  x: {key: string, requires: [y]}\n  \
         late: {key: string, implies: [x]}\n  z: {key: string, implies: [y]}\n",
    )?;
    let fixture = of_universe(&universe);
    let dataset_type = fixture.dataset_type("t", &["late", "z"]);
    let names: Vec<_> =
        dataset_type.dimensions.required().iter().map(ElementName::as_str).collect();
    assert_eq!(names, ["late", "z"]);
    let mut z = fixture.record("z", vec!["z1".into()], &[], &[]);
    z.implied.insert(element_name("y"), 5.into());
    let mut late = fixture.record("late", vec![5.into(), "l".into()], &[("x", "x1")], &[]);
    let setup = |y_of_late: i64| {
        late.data_id =
            DataId::from_values(late.data_id.group(), vec![y_of_late.into(), "l".into()]).unwrap();
        let records = vec![
            fixture.record("y", vec![5.into()], &[], &[]),
            fixture.record("y", vec![6.into()], &[], &[]),
            fixture.record("x", vec![5.into(), "x1".into()], &[], &[]),
            fixture.record("x", vec![6.into(), "x1".into()], &[], &[]),
            z.clone(),
            late.clone(),
        ];
        vec![
            Change::EnsureRun(collection("r")),
            Change::EnsureDimensionRecords(records),
            Change::EnsureDatasetType(Arc::clone(&dataset_type)),
        ]
    };
    let insert = |n, run| {
        let refs = vec![dataset_ref(n, &dataset_type, vec!["l".into(), "z1".into()], run)];
        Change::InsertDatasets(refs)
    };
    let mut setup = setup;
    fixture.apply(&setup(6))?;
    assert!(matches!(
        fixture.apply(&[insert(1, "r")]),
        Err(RegistryError::MissingDimensionRecord { element, .. }) if element.as_str() == "late"
    ));
    fixture.apply(&setup(5))?;
    fixture.apply(&[insert(1, "r")])?;
    let query = crate::DatasetQuery {
        data_id: constraint(&[("x", "x1".into()), ("y", 5.into())]),
        ..Default::default()
    };
    assert_eq!(fixture.read(|r| r.datasets(&query))?.len(), 1);
    Ok(())
}
