use super::*;

fn create_at(path: &Utf8Path, universe: &Universe) -> Result<Registry, RegistryError> {
    Registry::create(path, universe, &DatastoreConfig::default(), Uuid::from_u128(1))
}

#[test]
fn what_was_created_is_opened_again() -> Tested {
    let fixture = empty();
    let again = fixture.second(&OpenOptions::default());
    assert_eq!(**again.universe(), survey());
    assert_eq!(again.datastore_config()?, DatastoreConfig::default());
    assert_eq!(again.repository()?, Uuid::from_u128(99));
    Ok(())
}

#[test]
fn a_killed_creation_is_run_again() -> Tested {
    let directory = tempfile::tempdir()?;
    let path = path_in(&directory);
    // Killed before the first byte; and after the journal mode was set.
    std::fs::File::create(&path)?;
    assert!(matches!(
        Registry::open(&path, &OpenOptions::default()),
        Err(RegistryError::NotARegistry { .. })
    ));
    let connection = rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::default())?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Killed inside of the transaction: the tables are there for nobody else.
    connection.execute_batch("BEGIN IMMEDIATE; CREATE TABLE attributes (name, value);")?;
    drop(connection);
    let registry = create_at(&path, &survey())?;
    assert!(registry.read(Reader::collections)?.is_empty());
    Ok(())
}

#[test]
fn creating_twice_keeps_what_is_there() -> Tested {
    let fixture = filled();
    let before = fixture.dump();
    let again = create_at(&fixture.path(), &survey())?;
    assert_eq!(again.repository()?, Uuid::from_u128(99));
    drop(again);
    assert_eq!(fixture.dump(), before);
    let other = Universe::from_yaml("version: 1\nname: survey\nelements: {}\n")?;
    assert!(matches!(create_at(&fixture.path(), &other), Err(RegistryError::OtherUniverse { .. })));
    Ok(())
}

#[test]
fn files_of_others_are_refused() -> Tested {
    let directory = tempfile::tempdir()?;
    let path = path_in(&directory);
    let options = OpenOptions::default();
    assert!(matches!(Registry::open(&path, &options), Err(RegistryError::Missing { .. })));
    assert!(!path.exists());
    let mut file = std::fs::File::create(&path)?;
    std::io::Write::write_all(
        &mut file,
        &b"not a database, but long enough to be one ".repeat(50),
    )?;
    assert!(matches!(Registry::open(&path, &options), Err(RegistryError::NotADatabase { .. })));
    assert!(matches!(create_at(&path, &survey()), Err(RegistryError::NotADatabase { .. })));
    std::fs::remove_file(&path)?;
    rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::default())?
        .execute_batch("CREATE TABLE their_own (x)")?;
    assert!(matches!(Registry::open(&path, &options), Err(RegistryError::NotARegistry { .. })));
    assert!(matches!(create_at(&path, &survey()), Err(RegistryError::NotARegistry { .. })));
    Ok(())
}

#[test]
fn dimensions_may_have_the_names_of_columns() -> Tested {
    let universe = Universe::from_yaml(
        "version: 1\nname: u\nelements:\n  dataset: {key: string}\n  collection: {key: integer}\n  \
         m_x: {key: string, requires: [dataset], metadata: {x: {type: integer}, select: {type: string}}}\n",
    )?;
    let fixture = of_universe(&universe);
    let wanted = fixture.dataset_type("order", &["dataset", "collection", "m_x"]);
    let key: Vec<KeyValue> = vec!["d".into(), 3.into(), "m".into()];
    let row = dataset_ref(1, &wanted, key, "r");
    fixture.apply(&[
        Change::EnsureDatasetType(Arc::clone(&wanted)),
        Change::EnsureDimensionRecords(vec![
            fixture.record("dataset", vec!["d".into()], &[], &[]),
            fixture.record("collection", vec![3.into()], &[], &[]),
            fixture.record(
                "m_x",
                vec!["d".into(), "m".into()],
                &[],
                &[("select", MetadataValue::String("'\"".to_owned()))],
            ),
        ]),
        Change::InsertRun(collection("r")),
        Change::InsertDatasets(vec![row.clone()]),
    ])?;
    assert_eq!(fixture.read(|r| r.dataset(row.id))?.map(|d| d.dataset), Some(row));
    Ok(())
}

#[test]
fn a_relative_path_is_never_a_uri() {
    let options = OpenOptions::default();
    for path in [":memory:", "file::memory:", ""] {
        assert!(Registry::open(Utf8Path::new(path), &options).is_err(), "{path:?}");
    }
}
