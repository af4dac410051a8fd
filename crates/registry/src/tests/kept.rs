//! What a connection keeps from one database transaction to the next.

use super::*;

fn known(registry: &Registry, name: &str) -> Result<bool, RegistryError> {
    registry.read(|r| Ok(r.dataset_type(&type_name(name))?.is_some()))
}

fn register(fixture: &Fixture, name: &str) -> Change {
    Change::EnsureDatasetType(fixture.dataset_type(name, &["visit"]))
}

#[test]
fn types_of_other_connections_are_seen_and_their_removal_too() -> Tested {
    let fixture = filled();
    let other = fixture.second(&OpenOptions::default());
    assert!(!known(&fixture, "late")?);
    other.write(|w| w.apply(&[register(&fixture, "late")], Tai::from_nanos(8)))?;
    assert!(known(&fixture, "late")?);
    // It gets the same database id, with other dimensions.
    other
        .write(|w| w.apply(&[Change::RemoveDatasetType(type_name("late"))], Tai::from_nanos(8)))?;
    let again = fixture.dataset_type("late", &["detector"]);
    other
        .write(|w| w.apply(&[Change::EnsureDatasetType(Arc::clone(&again))], Tai::from_nanos(9)))?;
    let found = fixture.read(|r| r.dataset_type(&again.name))?;
    assert_eq!(found.as_deref(), Some(&*again));
    Ok(())
}

#[test]
fn types_registered_in_what_was_undone_are_forgotten() -> Tested {
    let fixture = filled();
    let undone: Result<(), RegistryError> = fixture.write(|w| {
        w.apply(&[register(&fixture, "late")], Tai::from_nanos(8))?;
        assert!(w.dataset_type(&type_name("late"))?.is_some());
        Err(RegistryError::UnknownCollection { name: collection("nowhere") })
    });
    assert!(undone.is_err());
    assert!(!known(&fixture, "late")?);
    fixture.apply(&[register(&fixture, "late")])?;
    assert!(known(&fixture, "late")?);
    Ok(())
}
