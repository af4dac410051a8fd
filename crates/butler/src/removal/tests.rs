//! The rules of removing, over an artifact storage in memory.

use pantler_core::{Checksum, OpeningId, StorageClass, changes::Change};
use uuid::Uuid;

use super::*;
use crate::testing::{Memory, Mine, facts, key};

/// The key that another opening wrote.
fn old(n: u128) -> ArtifactKey {
    let opening = OpeningId::from_uuid(Uuid::from_u128(n + 77));
    ArtifactKey::new(format!("r@1/t/n={n}~{}.csv", WriteId::of_opening(opening, 1))).expect("a key")
}

fn record(n: u128) -> FileRecord {
    FileRecord {
        dataset: DatasetId::from_uuid(Uuid::from_u128(n)),
        component: Box::default(),
        location: old(n).into(),
        offset: None,
        formatter: "text".into(),
        storage_class: StorageClass::Csv,
        size: old(n).as_str().len() as u64,
        checksum: Checksum::of(old(n).as_str().as_bytes()),
    }
}

fn removal(extent: Extent) -> Removal {
    let dataset = |n: u128| RemovedDataset {
        id: DatasetId::from_uuid(Uuid::from_u128(n)),
        label: format!("t n={n}").into(),
    };
    let artifact = |n: u128| RemovedArtifact {
        location: old(n).into(),
        fate: Fate::Goes,
        records: vec![record(n)],
    };
    let runs = vec![CollectionName::new("r").expect("a name")];
    Removal::new(runs, extent, vec![dataset(1), dataset(2)], vec![artifact(1), artifact(2)])
}

fn records(changes: &[Change]) -> Vec<String> {
    let mut keys = Vec::new();
    for change in changes {
        if let Change::InsertRecords(records) = change {
            keys.extend(records.iter().map(|record| record.location.to_string()));
        }
    }
    keys
}

#[test]
fn commit_deletes_and_a_purge_forgets() {
    for (extent, forgotten) in [(Extent::Unstore, 0), (Extent::Purge, 1)] {
        let memory = Memory::with(&[&old(1), &key(9, 1)]);
        let mut context = CommitContext::new(facts(1, false), &memory, &Mine);
        removal(extent).commit(&mut context).expect("missing is fine");
        assert_eq!(memory.names(), [key(9, 1).to_string()]);
        assert_eq!(context.into_parts().0.len(), forgotten);
    }
}

#[test]
fn survivors_get_keys_that_stand_in_no_delete_list() {
    let memory = Memory::with(&[&old(1)]);
    let mut context = CloseContext::new(facts(2, false), &memory, &Mine);
    removal(Extent::Purge).abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [key(1, 2).to_string()]);
    assert_eq!(records(&context.into_parts().0), [key(1, 2).to_string()]);
    // Killed before the rows, and again.
    let mut context = CloseContext::new(facts(3, false), &memory, &Mine);
    removal(Extent::Purge).abandon(&mut context).expect("the storage works");
    assert_eq!(records(&context.into_parts().0), [key(1, 3).to_string()]);
}

#[test]
fn a_revert_is_all_or_nothing() {
    let memory = Memory::with(&[&old(1)]);
    let mut context = RevertContext::new(facts(2, false), &memory, &Mine);
    let error = ArtifactTransaction::revert(&removal(Extent::Unstore), &mut context);
    assert!(matches!(error, Err(KindError::Deleted(lost)) if lost == [old(2).to_string()]));
    let memory = Memory::with(&[&old(1), &old(2)]);
    let mut context = RevertContext::new(facts(2, false), &memory, &Mine);
    ArtifactTransaction::revert(&removal(Extent::Unstore), &mut context).expect("all survive");
    assert_eq!(records(&context.into_parts().0), [key(1, 2).to_string(), key(2, 2).to_string()]);
}

#[test]
fn what_others_need_is_not_deleted() {
    let mut removal = removal(Extent::Unstore);
    removal.artifacts[0].fate = Fate::Stays;
    let memory = Memory::with(&[&old(1), &old(2)]);
    let mut context = CommitContext::new(facts(1, false), &memory, &Mine);
    removal.commit(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [old(1).to_string()]);
    let mut context = CloseContext::new(facts(2, false), &memory, &Mine);
    ArtifactTransaction::abandon(&removal, &mut context).expect("the storage works");
    assert_eq!(records(&context.into_parts().0), [old(1).to_string()]);
}

#[test]
fn a_removal_is_decoded_as_it_was() {
    let removal = removal(Extent::Purge);
    let manifest = removal.manifest().expect("it has one");
    let data = removal.data(Some(&manifest));
    assert_eq!(Removal::decode(&data, &manifest).expect("it decodes"), removal);
    let run = RunRemoval::decode(&data, &manifest).expect("it decodes");
    assert_eq!(run.removal(), &removal);
    let damaged = Removal::decode(&data, &manifest[1..]);
    assert!(matches!(damaged, Err(DecodeError::Damaged { kind: "remove", .. })));
}
