use pantler_core::transaction::{ClosedRow, Closing, RunLocks};

use super::*;
use crate::{LockKind, Standing};

fn locks(modified: &[&str], insert_only: &[&str], inputs: &[&str]) -> RunLocks {
    let names = |names: &[&str]| names.iter().map(|name| collection(name)).collect();
    RunLocks { modified: names(modified), insert_only: names(insert_only), inputs: names(inputs) }
}

fn open(fixture: &Fixture, name: &str, id: u128, locks: &RunLocks) -> Result<(), RegistryError> {
    fixture.write(|w| w.insert_transaction(&transaction_row(name, id), locks, Some(b"manifest")))
}

#[test]
fn an_open_transaction_comes_back_as_it_went() -> Tested {
    let fixture = empty();
    let locks = locks(&["m"], &["i", "j"], &["m", "r"]);
    let row = TransactionRow { closing: Some(Closing::Commit), ..transaction_row("t/1", 1) };
    fixture.write(|w| w.insert_transaction(&row, &locks, Some(b"manifest")))?;
    fixture.read(|r| {
        assert_eq!(r.transactions()?, std::slice::from_ref(&row));
        assert_eq!(r.transaction(&row.name)?, Some(row.clone()));
        assert_eq!(r.opening(row.opening)?, Some(row.clone()));
        assert_eq!(r.run_locks(&row.name)?, locks);
        assert_eq!(r.manifest(row.opening)?, b"manifest");
        assert_eq!(r.closed(row.opening)?, None);
        Ok::<_, RegistryError>(())
    })?;
    match open(&fixture, "t/1", 2, &RunLocks::default()) {
        Err(RegistryError::TransactionExists { row: found }) => assert_eq!(*found, row),
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

#[test]
fn a_run_is_modified_by_one_or_inserted_into_by_many() -> Tested {
    let fixture = empty();
    open(&fixture, "modifies", 1, &locks(&["m"], &[], &[]))?;
    open(&fixture, "inserts", 2, &locks(&[], &["i"], &["m"]))?;
    open(&fixture, "inserts_too", 3, &locks(&[], &["i"], &[]))?;
    let refused = |l: RunLocks| match open(&fixture, "late", 4, &l) {
        Err(RegistryError::RunLocked { run, transaction, lock }) => {
            format!("{run} {transaction} {lock:?}")
        }
        other => format!("{other:?}"),
    };
    assert_eq!(refused(locks(&["m"], &[], &[])), "m modifies Modified");
    assert_eq!(refused(locks(&[], &["x", "m"], &[])), "m modifies Modified");
    assert_eq!(refused(locks(&["i"], &[], &[])), "i inserts InsertOnly");
    assert_eq!(fixture.read(Reader::transactions)?.len(), 3);
    assert_eq!(
        fixture.read(|r| r.locks_of_run(&collection("m")))?,
        [(transaction("modifies"), LockKind::Modified), (transaction("inserts"), LockKind::Input)]
    );
    // To modify includes to insert; and the tables stay disjoint.
    open(&fixture, "both", 5, &locks(&["n", "n"], &["n", "o"], &[]))?;
    assert_eq!(fixture.read(|r| r.run_locks(&transaction("both")))?, locks(&["n"], &["o"], &[]));
    Ok(())
}

#[test]
fn a_transaction_reads_more_runs_later() -> Tested {
    let fixture = empty();
    open(&fixture, "reads", 1, &locks(&["m"], &[], &["a"]))?;
    open(&fixture, "modifies", 2, &locks(&["x"], &[], &[]))?;
    let add = |runs: &[&str]| {
        let runs: Vec<_> = runs.iter().map(|run| collection(run)).collect();
        fixture.write(|w| w.add_inputs(&transaction("reads"), &runs))
    };
    add(&["b", "a"])?;
    add(&["b"])?;
    match add(&["c", "x"]) {
        Err(RegistryError::RunLocked { run, .. }) => assert_eq!(run, collection("x")),
        other => return Err(format!("{other:?}").into()),
    }
    let held = fixture.read(|r| r.run_locks(&transaction("reads")))?;
    assert_eq!(held, locks(&["m"], &[], &["a", "b"]), "of what is refused nothing stays");
    Ok(())
}

#[test]
fn a_claim_supersedes_the_attempt_before() -> Tested {
    let fixture = empty();
    open(&fixture, "t", 1, &locks(&["m"], &[], &[]))?;
    let other = Process { pid: 43, ..process() };
    let name = transaction("t");
    let claim = |expected, manifest| {
        fixture.write(|w| {
            w.claim(&name, opening(1), expected, Some(Closing::Revert), &other, manifest)
        })
    };
    assert_eq!(claim(1, None)?, 2);
    assert_eq!(fixture.read(|r| r.manifest(opening(1)))?, b"manifest");
    assert_eq!(claim(2, Some(&b"new"[..]))?, 3);
    assert_eq!(fixture.read(|r| r.manifest(opening(1)))?, b"new");
    let row = fixture.read(|r| r.transaction(&name))?.ok_or("it is open")?;
    assert_eq!((row.attempt, row.closing, row.process), (3, Some(Closing::Revert), other.clone()));

    let is_superseded = |result: Result<(), RegistryError>, attempt, now| match result {
        Err(RegistryError::Superseded {
            name: found,
            opening: id,
            attempt: held,
            now: standing,
        }) => {
            assert_eq!((found.as_ref(), id), (Some(&name), opening(1)));
            assert_eq!((held, standing), (attempt, now));
        }
        other => panic!("{other:?}"),
    };
    let at = Tai::from_nanos(9);
    is_superseded(claim(2, Some(b"x")).map(drop), 2, Standing::Attempt(3));
    is_superseded(fixture.write(|w| w.check_attempt(opening(1), 1)), 1, Standing::Attempt(3));
    is_superseded(
        fixture.write(|w| w.set_closing(opening(1), 1, Some(Closing::Commit))),
        1,
        Standing::Attempt(3),
    );
    is_superseded(
        fixture.write(|w| w.close_transaction(&name, opening(1), 2, Closing::Commit, at)),
        2,
        Standing::Attempt(3),
    );
    fixture.write(|w| w.check_attempt(opening(1), 3))?;
    fixture.write(|w| w.set_closing(opening(1), 3, None))?;
    assert_eq!(fixture.read(|r| r.transaction(&name))?.and_then(|row| row.closing), None);
    fixture.write(|w| w.close_transaction(&name, opening(1), 3, Closing::Abandon, at))?;
    is_superseded(
        fixture.write(|w| w.close_transaction(&name, opening(1), 3, Closing::Abandon, at)),
        3,
        Standing::Closed(Closing::Abandon),
    );
    assert!(matches!(
        fixture.write(|w| w.check_attempt(opening(8), 1)),
        Err(RegistryError::Superseded { name: None, now: Standing::Gone, .. })
    ));
    Ok(())
}

#[test]
fn closing_leaves_one_line() -> Tested {
    let fixture = empty();
    let close = |id, at| {
        fixture.write(|w| {
            w.close_transaction(
                &transaction("t"),
                opening(id),
                1,
                Closing::Commit,
                Tai::from_nanos(at),
            )
        })
    };
    open(&fixture, "t", 1, &locks(&["m"], &["i"], &["r"]))?;
    close(1, 10)?;
    open(&fixture, "t", 2, &locks(&["m"], &["i"], &["r"]))?;
    close(2, 20)?;
    let row = |id, at| ClosedRow {
        opening: opening(id),
        name: transaction("t"),
        closing: Closing::Commit,
        at: Tai::from_nanos(at),
    };
    assert_eq!(fixture.read(|r| r.closed_named(&transaction("t")))?, [row(2, 20), row(1, 10)]);
    assert_eq!(fixture.read(|r| r.closed(opening(1)))?, Some(row(1, 10)));
    let dump = fixture.dump();
    let left: Vec<_> = dump.lines().filter(|l| l.starts_with("artifact_transaction")).collect();
    assert_eq!(left.len(), 2, "{dump}");
    Ok(())
}

#[test]
fn rows_and_closing_are_one() -> Tested {
    let fixture = filled();
    open(&fixture, "t", 1, &locks(&["a"], &[], &[]))?;
    let before = fixture.dump();
    let result = fixture.write(|w| {
        w.apply(&[Change::DiscardDatasets(vec![dataset_id(1)])], Tai::from_nanos(1))?;
        w.close_transaction(&transaction("t"), opening(1), 7, Closing::Commit, Tai::from_nanos(1))
    });
    assert!(matches!(result, Err(RegistryError::Superseded { .. })));
    assert_eq!(fixture.dump(), before);
    Ok(())
}

#[test]
fn the_configuration_holds_while_a_transaction_is_open() -> Tested {
    let fixture = empty();
    let next =
        DatastoreConfig { version: 2, root: "elsewhere".to_owned(), ..DatastoreConfig::default() };
    open(&fixture, "t", 1, &RunLocks::default())?;
    assert!(matches!(
        fixture.write(|w| w.set_datastore_config(&next)),
        Err(RegistryError::TransactionsOpen { transaction: open }) if open == transaction("t")
    ));
    fixture.write(|w| {
        w.close_transaction(&transaction("t"), opening(1), 1, Closing::Commit, Tai::from_nanos(1))
    })?;
    assert!(matches!(
        fixture.write(|w| w.set_datastore_config(&DatastoreConfig { version: 3, ..next.clone() })),
        Err(RegistryError::ConfigVersion { current: 1, given: 3 })
    ));
    fixture.write(|w| w.set_datastore_config(&next))?;
    assert_eq!(fixture.datastore_config()?, next);
    assert!(matches!(
        open(&fixture, "t", 2, &RunLocks::default()),
        Err(RegistryError::ConfigVersion { current: 2, given: 1 })
    ));
    Ok(())
}
