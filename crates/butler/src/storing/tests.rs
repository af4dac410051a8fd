//! The rules of storing, over an artifact storage in memory.

use pantler_core::{Checksum, StorageClass, changes::Change};
use uuid::Uuid;

use super::*;
use crate::{
    artifacts::Content,
    testing::{Memory, Mine, facts, key},
    transaction::Kinds,
};

fn dataset(n: u128, registered: bool) -> ItemDataset {
    ItemDataset {
        id: DatasetId::from_uuid(Uuid::from_u128(n)),
        label: format!("t n={n}").into(),
        storage_class: StorageClass::Csv,
        slice: None,
        registered,
    }
}

fn run(made: bool, modified: bool) -> StoringRun {
    StoringRun { name: CollectionName::new("r").expect("a name"), made, modified }
}

fn ingest() -> Ingest {
    let item = |n: u128| Item::written_at(key(n, 1), vec![dataset(n, false)]);
    Ingest::new(vec![run(true, false)], vec![item(1), item(2)], vec![])
}

fn stored(changes: &[Change]) -> Vec<&str> {
    let mut keys = Vec::new();
    for change in changes {
        if let Change::InsertRecords(records) = change {
            keys.extend(records.iter().map(|record| record.location.as_str()));
        }
    }
    keys
}

#[test]
fn commit_with_a_missing_artifact_lists_it_and_deletes_nothing() {
    let memory = Memory::with(&[&key(1, 1)]);
    let mut context = CommitContext::new(facts(2, false), &memory, &Mine);
    let error = ingest().commit(&mut context).expect_err("one is missing");
    assert_eq!(error.to_string(), "1 artifact is missing or damaged: t n=2");
    assert_eq!(memory.names(), [key(1, 1).to_string()]);
}

#[test]
fn commit_takes_the_newest_attempt_and_clears_the_older() {
    let memory = Memory::with(&[&key(1, 1), &key(1, 2), &key(2, 1)]);
    memory.0.borrow_mut().insert(format!("{}.tmp", key(2, 2)), vec![]);
    let mut context = CommitContext::new(facts(3, false), &memory, &Mine);
    ingest().commit(&mut context).expect("all are there");
    // At keys of its own attempt, which no other closer may delete.
    assert_eq!(memory.names(), [key(1, 3).to_string(), key(2, 3).to_string()]);
    assert_eq!(stored(&context.into_parts().0), [key(1, 3).as_str(), key(2, 3).as_str()]);
}

#[test]
fn what_this_process_wrote_must_still_have_its_size() {
    let memory = Memory::with(&[&key(1, 1), &key(2, 1)]);
    let mut ingest = ingest();
    for item in ingest.items_mut() {
        item.written = Some((1, Content { size: 1, checksum: Checksum::of(b"x") }));
    }
    let error = ingest.commit(&mut CommitContext::new(facts(1, false), &memory, &Mine));
    assert!(matches!(error, Err(KindError::Incomplete(missing)) if missing.len() == 2));
}

#[test]
fn revert_deletes_every_attempt_and_the_registrations() {
    let memory = Memory::with(&[&key(1, 1), &key(1, 2), &key(2, 1)]);
    let mut context = RevertContext::new(facts(3, false), &memory, &Mine);
    ingest().revert(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [""; 0]);
    let changes = context.into_parts().0;
    assert!(matches!(&changes[0], Change::DiscardDatasets(ids) if ids.len() == 2));
    assert!(matches!(&changes[1], Change::DiscardRunIfUnused(_)));
}

#[test]
fn abandon_keeps_what_is_whole_unless_a_revert_began() {
    let memory = Memory::with(&[&key(1, 1)]);
    memory.0.borrow_mut().insert(format!("{}.tmp", key(2, 1)), vec![]);
    let mut context = CloseContext::new(facts(2, false), &memory, &Mine);
    ingest().abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [key(1, 2).to_string()]);
    assert_eq!(stored(&context.into_parts().0), [key(1, 2).as_str()]);

    let mut context = CloseContext::new(facts(3, true), &memory, &Mine);
    ingest().abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [""; 0]);
    assert!(stored(&context.into_parts().0).is_empty());
}

#[test]
fn a_partial_commit_keeps_what_is_whole_and_forgets_the_rest() {
    let memory = Memory::with(&[&key(1, 1)]);
    let mut facts = facts(1, false);
    facts.partial = true;
    let mut context = CommitContext::new(facts, &memory, &Mine);
    ingest().commit(&mut context).expect("one is there");
    let changes = context.into_parts().0;
    assert_eq!(stored(&changes), [key(1, 1).as_str()]);
    assert!(changes.iter().any(|c| matches!(c, Change::DiscardDatasets(ids) if ids.len() == 1)));
}

/// What it could not write is not taken for whole, whatever stands at its key.
#[test]
fn what_failed_is_neither_stored_nor_left() {
    let memory = Memory::with(&[&key(1, 1), &key(2, 1)]);
    let mut facts = facts(1, false);
    facts.partial = true;
    let mut ingest = ingest();
    ingest.items_mut()[1].failed = true;
    let mut context = CommitContext::new(facts, &memory, &Mine);
    ingest.commit(&mut context).expect("one is there");
    assert_eq!(stored(&context.into_parts().0), [key(1, 1).as_str()]);
    assert_eq!(memory.names(), [key(1, 1).to_string()]);
}

#[test]
fn what_was_registered_before_stays_registered() {
    let item = Item::written_at(key(1, 1), vec![dataset(1, true)]);
    let restore = Restore::new(vec![run(false, true)], vec![item], vec![]);
    assert_eq!(restore.locks().modified.len(), 1);
    let memory = Memory::with(&[&key(1, 1)]);
    let mut context = RevertContext::new(facts(1, false), &memory, &Mine);
    restore.revert(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [""; 0]);
    let changes = context.into_parts().0;
    assert!(matches!(&changes[..], [Change::DiscardDatasets(ids)] if ids.is_empty()));
}

#[test]
fn what_it_does_not_write_is_never_deleted() {
    let in_place = ArtifactKey::new("mine/a.csv").expect("a key");
    let item = Item::existing(in_place.clone().into(), vec![dataset(1, false)]);
    let ingest = Ingest::new(vec![run(true, false)], vec![item], vec![]);
    let memory = Memory::with(&[&in_place]);
    let mut context = RevertContext::new(facts(2, false), &memory, &Mine);
    ingest.revert(&mut context).expect("the storage works");
    let mut context = CloseContext::new(facts(3, true), &memory, &Mine);
    ingest.abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [in_place.to_string()]);
    let mut context = CommitContext::new(facts(1, false), &memory, &Mine);
    ingest.commit(&mut context).expect("it is there");
    let changes = context.into_parts().0;
    assert!(matches!(&changes[0], Change::ExpectUnnamed(locations) if locations.len() == 1));
    assert_eq!(stored(&changes), [in_place.as_str()]);
}

#[test]
fn content_that_is_not_what_it_must_be_is_not_stored() {
    let mut item = Item::written_at(key(1, 1), vec![dataset(1, false)]);
    item.expected = Some(Content { size: 3, checksum: Checksum::of(b"abc") });
    let transfer = Transfer::new(vec![run(false, false)], vec![item], vec![]);
    let memory = Memory::with(&[&key(1, 1)]);
    let mut context = CommitContext::new(facts(2, false), &memory, &Mine);
    assert!(matches!(transfer.commit(&mut context), Err(KindError::Incomplete(_))));
    assert_eq!(memory.names().len(), 1, "a commit that is refused deletes nothing");
    let mut context = CloseContext::new(facts(3, false), &memory, &Mine);
    transfer.abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [""; 0]);
}

#[test]
fn few_and_many_artifacts_are_decoded_as_they_were() {
    let kinds = Kinds::new().with::<Put>().with::<Ingest>();
    for count in [2_u128, 20] {
        let item = |n| {
            let mut item = Item::written_at(key(n, 1), vec![dataset(n, n % 2 == 0)]);
            item.expected = Some(Content { size: 3, checksum: Checksum::of(b"abc") });
            item.source =
                Some(Box::new(Source { path: "/data/é.csv".into(), size: 3, modified: -1 }));
            item.datasets[0].slice =
                (n == 3).then(|| Box::new((7, item.expected.expect("just set"))));
            item
        };
        let put = Put::new(vec![run(true, true)], (0..count).map(item).collect(), vec![]);
        let manifest = put.manifest();
        assert_eq!(manifest.is_some(), count == 20);
        let data = put.data(manifest.as_deref());
        let manifest = manifest.unwrap_or_default();
        let decoded = Put::decode(&data, &manifest).expect("it decodes");
        assert_eq!(decoded.items(), put.items());
        assert_eq!(decoded.runs(), put.runs());
        let unknown = kinds.decode("other", &data, &manifest);
        assert!(matches!(unknown, Err(DecodeError::UnknownKind { .. })));
        let newer = data.replace("\"version\":1", "\"version\":9");
        let newer = kinds.decode("put", &newer, &manifest);
        assert!(matches!(newer, Err(DecodeError::Version { found: 9, .. })));
        if count == 20 {
            let damaged = kinds.decode("put", &data, &manifest[1..]);
            assert!(matches!(damaged, Err(DecodeError::Damaged { .. })));
        }
    }
}
