use std::{sync::mpsc, thread, time::Instant};

use super::*;

#[test]
fn the_second_writer_waits() -> Tested {
    let fixture = empty();
    let second = fixture.second(&OpenOptions::default());
    let (started, wait) = mpsc::channel();
    let held = Duration::from_millis(300);
    thread::scope(|scope| {
        scope.spawn(|| {
            fixture
                .write(|w| {
                    w.apply(&[Change::InsertRun(collection("first"))], Tai::from_nanos(1))?;
                    started.send(()).unwrap();
                    thread::sleep(held);
                    Ok::<_, RegistryError>(())
                })
                .unwrap();
        });
        wait.recv()?;
        let begin = Instant::now();
        second.write(|w| {
            assert!(w.collection(&collection("first"))?.is_some());
            w.apply(&[Change::InsertRun(collection("second"))], Tai::from_nanos(1))
        })?;
        assert!(begin.elapsed() > held / 2, "{:?}", begin.elapsed());
        Ok(())
    })
}

#[test]
fn a_writer_that_waits_too_long_says_so_and_readers_do_not_wait() -> Tested {
    let fixture = empty();
    let second = fixture.second(&impatient());
    fixture.write(|w| {
        w.apply(&[Change::InsertRun(collection("first"))], Tai::from_nanos(1))?;
        match second.write(|_| Ok::<_, RegistryError>(())) {
            Err(RegistryError::Busy { path, waited }) => {
                assert_eq!(path, fixture.path());
                assert!(waited >= impatient().busy_timeout / 2, "{waited:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(second.read(Reader::collections)?.is_empty());
        Ok::<_, RegistryError>(())
    })?;
    assert_eq!(second.read(Reader::collections)?.len(), 1);
    Ok(())
}

#[test]
fn a_full_database_changes_nothing() -> Tested {
    let fixture = filled();
    let pages: u32 = fixture.raw().pragma_query_value(None, "page_count", |row| row.get(0))?;
    let before = fixture.dump();
    let full =
        fixture.second(&OpenOptions { max_page_count: Some(pages + 3), ..OpenOptions::default() });
    let runs: Vec<_> =
        (0..5000).map(|i| Change::InsertRun(collection(&format!("run/{i}")))).collect();
    let result = full.write(|w| w.apply(&runs, Tai::from_nanos(1)));
    assert!(matches!(result, Err(RegistryError::Full { .. })), "{result:?}");
    assert_eq!(fixture.dump(), before);
    // And the connection goes on working.
    full.write(|w| w.apply(&runs[..1], Tai::from_nanos(1)))?;
    assert!(full.read(|r| r.collection(&collection("run/0")))?.is_some());
    Ok(())
}

#[test]
fn an_old_program_refuses_a_newer_schema() -> Tested {
    let fixture = filled();
    fixture
        .raw()
        .execute_batch("UPDATE attributes SET value = '2' WHERE name = 'schema_version'")?;
    let is_newer = |result: Result<(), RegistryError>| {
        matches!(result, Err(RegistryError::NewerSchema { found: 2, supported: 1 }))
    };
    let before = fixture.dump();
    assert!(is_newer(fixture.apply(&[Change::InsertRun(collection("x"))])));
    assert!(is_newer(fixture.read(Reader::collections).map(drop)));
    assert!(is_newer(Registry::open(&fixture.path(), &OpenOptions::default()).map(drop)));
    assert!(is_newer(
        Registry::create(&fixture.path(), &survey(), &DatastoreConfig::default(), Uuid::nil())
            .map(drop)
    ));
    assert_eq!(fixture.dump(), before);
    Ok(())
}

#[test]
fn an_error_or_a_panic_undoes_everything() -> Tested {
    let fixture = filled();
    let before = fixture.dump();
    let result: Result<(), RegistryError> = fixture.write(|w| {
        w.apply(&[Change::DiscardDatasets(vec![dataset_id(1)])], Tai::from_nanos(1))?;
        Err(RegistryError::UnknownCollection { name: collection("x") })
    });
    assert!(result.is_err());
    assert_eq!(fixture.dump(), before);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fixture.write(|w| -> Result<(), RegistryError> {
            w.apply(&[Change::DiscardDatasets(vec![dataset_id(1)])], Tai::from_nanos(1))?;
            panic!("inside of a writer")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(fixture.dump(), before);
    fixture.apply(&[Change::DiscardDatasets(vec![dataset_id(1)])])?;
    Ok(())
}

#[test]
fn reading_only_is_kept_to() -> Tested {
    let fixture = filled();
    let reader = fixture.second(&OpenOptions { read_only: true, ..OpenOptions::default() });
    assert_eq!(reader.read(Reader::collections)?.len(), 2);
    assert!(matches!(
        reader.write(|w| w.apply(&[Change::InsertRun(collection("x"))], Tai::from_nanos(1))),
        Err(RegistryError::ReadOnly { .. })
    ));
    Ok(())
}

#[test]
fn damage_is_called_damage() -> Tested {
    let fixture = filled();
    fixture.raw().execute_batch("UPDATE collection SET type = 'CALIBRATION' WHERE name = 'a'")?;
    assert!(matches!(
        fixture.read(Reader::collections),
        Err(RegistryError::Corrupt { detail, .. }) if detail.contains("CALIBRATION")
    ));
    Ok(())
}

#[test]
fn a_registry_is_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Registry>();
}
