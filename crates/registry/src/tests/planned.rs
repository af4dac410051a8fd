//! Faults that are planned, and what the registry makes of them.

use super::*;
use crate::testing::{Faults, How, Life, Point};

fn insert_run(registry: &Registry, name: &str) -> Result<(), RegistryError> {
    registry.write(|w| w.apply(&[Change::InsertRun(collection(name))], Tai::from_nanos(1)))
}

fn is_expected(point: Point, how: How, error: &RegistryError) -> bool {
    match (point, how) {
        (_, How::Locked) => matches!(error, RegistryError::Busy { .. }),
        (_, How::Denied) => matches!(error, RegistryError::ReadOnly { .. }),
        (_, How::Full) => matches!(error, RegistryError::Full { .. }),
        (_, How::Serialization) => matches!(error, RegistryError::Serialization { .. }),
        (Point::Commit, _) => matches!(error, RegistryError::CommitUnknown { .. }),
        _ => matches!(error, RegistryError::Sql { .. }),
    }
}

#[test]
fn every_fault_is_named_and_changes_nothing_but_a_lost_answer() -> Tested {
    for point in Point::ALL {
        for &how in point.hows() {
            let fixture = filled();
            let before = fixture.dump();
            let faults = Faults::new();
            fixture.set_faults(&faults);
            faults.fail_at(point, 1, how);
            let result = insert_run(&fixture, "new");
            assert!(faults.calls(point) > 0, "{point:?} is reached");
            let is_there = fixture.dump() != before;
            match how {
                How::Slow => assert!(result.is_ok() && is_there, "{point:?}: {result:?}"),
                How::Lost => assert!(
                    matches!(result, Err(RegistryError::CommitUnknown { .. })) && is_there,
                    "{point:?}: {result:?}"
                ),
                how => {
                    let error = result.unwrap_err();
                    assert!(is_expected(point, how, &error), "{point:?} {how}: {error:?}");
                    assert!(!is_there, "{point:?} {how}");
                    // The connection goes on working, and so does another one.
                    insert_run(&fixture, "again")?;
                }
            }
            insert_run(&fixture.second(&impatient()), "other")?;
        }
    }
    Ok(())
}

#[test]
fn every_call_of_a_writer_can_fail() -> Tested {
    let change = |registry: &Registry| {
        registry.write(|w| {
            let ids = vec![dataset_id(1)];
            w.apply(
                &[Change::DiscardRecords(ids.clone()), Change::DiscardDatasets(ids)],
                Tai::from_nanos(1),
            )
        })
    };
    let calm = filled();
    let counted = Faults::new();
    calm.set_faults(&counted);
    change(&calm)?;
    for point in Point::ALL {
        assert!(counted.calls(point) > 0, "{point:?}");
        for n in 1..=counted.calls(point) {
            let fixture = filled();
            let before = fixture.dump();
            let faults = Faults::new();
            fixture.set_faults(&faults);
            faults.fail_from(point, n, How::Connection);
            assert!(change(&fixture).is_err(), "{point:?} {n}");
            assert_eq!(fixture.dump(), before, "{point:?} {n}");
            faults.heal();
            change(&fixture)?;
            assert_eq!(fixture.dump(), calm.dump(), "{point:?} {n}");
        }
    }
    Ok(())
}

#[test]
fn the_dead_change_nothing_and_block_nobody() -> Tested {
    let calm = filled();
    let counted = Faults::new();
    calm.set_faults(&counted);
    insert_run(&calm, "new")?;
    for n in 1..=counted.operations() {
        let fixture = filled();
        let before = fixture.dump();
        let life = Life::new();
        let faults = Faults::living(&life);
        fixture.set_faults(&faults);
        faults.die_at(n);
        assert!(insert_run(&fixture, "new").is_err(), "{n}");
        assert!(!life.is_alive() && fixture.read(Reader::collections).is_err(), "{n}");
        assert_eq!(fixture.dump(), before, "{n}");
        insert_run(&fixture.second(&impatient()), "new")?;
    }
    Ok(())
}

#[test]
fn a_changed_snapshot_is_a_serialization_failure() -> Tested {
    let fixture = filled();
    let late = fixture.raw();
    late.execute_batch("BEGIN; SELECT count(*) FROM collection")?;
    insert_run(&fixture, "between")?;
    let path = fixture.path();
    let db = crate::sqlite::Db::new(&late, &path, Duration::ZERO);
    let result = db.execute("DELETE FROM collection_child", ());
    assert!(matches!(result, Err(RegistryError::Serialization { .. })), "{result:?}");
    Ok(())
}

#[test]
fn a_fault_that_makes_no_sense_is_refused() {
    let faults = Faults::new();
    let refused = std::panic::catch_unwind(|| faults.fail_at(Point::Query, 1, How::Lost));
    assert!(refused.is_err());
}
