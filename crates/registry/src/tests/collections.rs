use pantler_core::CollectionType;

use super::*;
use crate::LockKind;
use pantler_core::transaction::RunLocks;

fn extend(chain: &str, first: &str, last: &[&str]) -> Change {
    Change::ExtendChain {
        chain: collection(chain),
        first: collection(first),
        last: last.iter().map(|name| collection(name)).collect(),
    }
}

fn runs(fixture: &Fixture, names: &[&str]) {
    let changes: Vec<_> = names.iter().map(|name| Change::InsertRun(collection(name))).collect();
    fixture.apply(&changes).unwrap();
}

fn children(fixture: &Fixture, chain: &str) -> Vec<String> {
    let chain = fixture.read(|r| r.collection(&collection(chain))).unwrap().unwrap();
    chain.children.iter().map(ToString::to_string).collect()
}

#[test]
fn runs_are_new_once() -> Tested {
    let fixture = empty();
    runs(&fixture, &["a"]);
    assert!(matches!(
        fixture.apply(&[Change::InsertRun(collection("a"))]),
        Err(RegistryError::CollectionExists { .. })
    ));
    fixture.apply(&[Change::EnsureRun(collection("a")), extend("c", "a", &[])])?;
    assert!(matches!(
        fixture.apply(&[Change::EnsureRun(collection("c"))]),
        Err(RegistryError::WrongCollectionType { found: CollectionType::Chained, .. })
    ));
    let all = fixture.read(Reader::collections)?;
    assert_eq!(all.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(all[1].children, [collection("a")]);
    Ok(())
}

#[test]
fn chains_keep_their_order() -> Tested {
    let fixture = empty();
    runs(&fixture, &["raw", "r1", "r2", "r3"]);
    fixture.apply(&[extend("c", "r1", &["raw"])])?;
    assert_eq!(children(&fixture, "c"), ["r1", "raw"]);
    fixture.apply(&[extend("c", "r2", &["raw"]), extend("c", "r3", &[])])?;
    assert_eq!(children(&fixture, "c"), ["r3", "r2", "r1", "raw"]);
    // Older than r2, which stays in front.
    fixture.apply(&[extend("c", "r1", &["raw", "r3"])])?;
    assert_eq!(children(&fixture, "c"), ["r2", "r1", "raw", "r3"]);
    Ok(())
}

#[test]
fn chains_do_not_contain_themselves() -> Tested {
    let fixture = empty();
    runs(&fixture, &["r"]);
    fixture.apply(&[extend("inner", "r", &[]), extend("outer", "inner", &["r"])])?;
    let before = fixture.dump();
    for change in [extend("inner", "outer", &[]), extend("inner", "r", &["inner"])] {
        assert!(matches!(fixture.apply(&[change]), Err(RegistryError::ChainCycle { .. })));
    }
    assert!(matches!(
        fixture.apply(&[extend("outer", "nothing", &[])]),
        Err(RegistryError::UnknownCollection { name }) if name.as_str() == "nothing"
    ));
    assert!(matches!(
        fixture.apply(&[extend("r", "inner", &[])]),
        Err(RegistryError::WrongCollectionType { .. })
    ));
    assert_eq!(fixture.dump(), before);
    Ok(())
}

#[test]
fn chains_are_flattened_in_order() -> Tested {
    let fixture = empty();
    runs(&fixture, &["r1", "r2", "r3"]);
    fixture.apply(&[extend("inner", "r2", &["r1"]), extend("outer", "r3", &["inner", "r2"])])?;
    let resolve = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| collection(name)).collect();
        fixture
            .read(|r| r.resolve(&names))
            .map(|runs| runs.iter().map(|run| run.name.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(resolve(&["outer", "r1"])?, ["r3", "r2", "r1"]);
    assert_eq!(resolve(&["r1", "outer"])?, ["r1", "r3", "r2"]);
    assert!(matches!(resolve(&["r1", "x"]), Err(RegistryError::UnknownCollection { .. })));
    // A loop made by somebody else does not hang the reader.
    fixture.raw().execute_batch(
        "INSERT INTO collection_child SELECT a.id, 9, b.id FROM collection a, collection b
        WHERE a.name = 'inner' AND b.name = 'outer'",
    )?;
    assert_eq!(resolve(&["outer"])?, ["r3", "r2", "r1"]);
    Ok(())
}

#[test]
fn used_runs_are_not_discarded() -> Tested {
    let fixture = filled();
    runs(&fixture, &["free", "chained", "locked", "read"]);
    fixture.apply(&[extend("c", "chained", &[])])?;
    let locks = RunLocks {
        modified: vec![collection("locked")],
        insert_only: vec![],
        inputs: vec![collection("read")],
    };
    fixture.write(|w| w.insert_transaction(&transaction_row("t", 1), &locks, None))?;
    let discards: Vec<_> = ["a", "free", "chained", "locked", "read", "c", "missing"]
        .iter()
        .map(|name| Change::DiscardRunIfUnused(collection(name)))
        .collect();
    fixture.apply(&discards)?;
    let names: Vec<_> =
        fixture.read(Reader::collections)?.into_iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c", "chained", "locked", "read"]);
    Ok(())
}

#[test]
fn a_transaction_discards_the_run_that_it_locks_itself() -> Tested {
    let fixture = empty();
    runs(&fixture, &["r"]);
    let locks = RunLocks { modified: vec![collection("r")], ..RunLocks::default() };
    fixture.write(|w| w.insert_transaction(&transaction_row("t", 1), &locks, None))?;
    assert_eq!(
        fixture.read(|r| r.locks_of_run(&collection("r")))?,
        [(transaction("t"), LockKind::Modified)]
    );
    fixture.write(|w| {
        w.apply(&[Change::DiscardRunIfUnused(collection("r"))], Tai::from_nanos(1))?;
        w.close_transaction(
            &transaction("t"),
            opening(1),
            1,
            pantler_core::transaction::Closing::Revert,
            Tai::from_nanos(2),
        )
    })?;
    assert!(fixture.read(Reader::collections)?.is_empty());
    Ok(())
}

#[test]
fn a_run_discarded_and_made_again_has_another_id() -> Tested {
    let fixture = empty();
    runs(&fixture, &["r"]);
    let id =
        |fixture: &Fixture| fixture.read(|r| r.collection(&collection("r"))).map(|c| c.unwrap().id);
    let before = id(&fixture)?;
    let discard = Change::DiscardRunIfUnused(collection("r"));
    fixture.apply(&[discard.clone(), Change::EnsureRun(collection("r"))])?;
    assert_eq!(id(&fixture)?, before);
    fixture.apply(&[discard, Change::InsertRun(collection("r"))])?;
    assert_ne!(id(&fixture)?, before);
    Ok(())
}
