//! The rules of an ingest over an artifact storage of 60 lines.

use std::{cell::RefCell, io::Read as _};

use pantler_core::{Checksum, OpeningId, changes::Change};
use uuid::Uuid;

use super::*;
use crate::{
    artifacts::{ArtifactError, Artifacts, Found, NewArtifact},
    transaction::{Claim, ClosingFacts, Kinds},
};

#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn with(entries: &[&ArtifactKey]) -> Self {
        let entries = entries.iter().map(|k| (k.as_str().to_owned(), k.as_str().into())).collect();
        Self(RefCell::new(entries))
    }

    fn names(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }
}

impl Artifacts for Memory {
    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, ArtifactError> {
        Ok(self.measure(key)?.map(|content| content.size))
    }
    fn measure(&self, key: &ArtifactKey) -> Result<Option<Content>, ArtifactError> {
        let entries = self.0.borrow();
        let content = |c: &Vec<u8>| Content { size: c.len() as u64, checksum: Checksum::of(c) };
        Ok(entries.get(key.as_str()).map(content))
    }
    fn list(&self, _: &str) -> Result<Vec<Found>, ArtifactError> {
        Ok(Vec::new())
    }
    fn store(&self, new: Vec<NewArtifact<'_>>) -> Result<Vec<Content>, ArtifactError> {
        let mut stored = Vec::new();
        for mut artifact in new {
            let mut content = Vec::new();
            artifact
                .content
                .read_to_end(&mut content)
                .map_err(|e| ArtifactError::new("reading", e))?;
            stored.push(Content { size: content.len() as u64, checksum: Checksum::of(&content) });
            self.0.borrow_mut().insert(artifact.key.as_str().to_owned(), content);
        }
        Ok(stored)
    }
    fn flush(&self, _: &[ArtifactKey]) -> Result<(), ArtifactError> {
        Ok(())
    }
    fn unstore(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        for key in keys {
            self.0.borrow_mut().remove(key.as_str());
        }
        self.discard_unfinished(keys)
    }
    fn discard_unfinished(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        for key in keys {
            self.0.borrow_mut().remove(&format!("{key}.tmp"));
        }
        Ok(())
    }
    fn prune(&self, _: &str) -> Result<(), ArtifactError> {
        Ok(())
    }
}

/// A claim that nobody else takes.
struct Mine;

impl Claim for Mine {
    fn confirm(&self) -> Result<Vec<ArtifactKey>, KindError> {
        Ok(Vec::new())
    }
}

fn opening() -> OpeningId {
    OpeningId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
}

fn key(item: u128, attempt: u32) -> ArtifactKey {
    let write = WriteId::of_opening(opening(), attempt);
    ArtifactKey::new(format!("r@1/t/n={item}~{write}.csv")).expect("a key")
}

fn ingest() -> Ingest {
    let item = |n: u128| IngestItem {
        dataset: DatasetId::from_uuid(Uuid::from_u128(n)),
        label: format!("t n={n}"),
        key: key(n, 1),
        storage_class: StorageClass::Csv,
        source: format!("/data/{n}.csv"),
        size: 3,
        modified: 0,
    };
    Ingest::new(CollectionName::new("r").expect("a name"), true, vec![item(1), item(2)], vec![])
}

fn facts(attempt: u32, past_the_door: bool) -> ClosingFacts<'static> {
    ClosingFacts {
        opening: opening(),
        attempt,
        past_the_door,
        partial: false,
        run_prefix: "r@1",
        root: None,
    }
}

fn stored(changes: &[Change]) -> Vec<&str> {
    let mut keys = Vec::new();
    for change in changes {
        if let Change::InsertRecords(records) = change {
            keys.extend(records.iter().map(|record| record.key.as_str()));
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
    assert_eq!(memory.names(), [key(1, 2).to_string(), key(2, 1).to_string()]);
    assert_eq!(stored(&context.into_parts().0), [key(1, 2).as_str(), key(2, 1).as_str()]);
}

#[test]
fn what_this_process_wrote_must_still_have_its_size() {
    let memory = Memory::with(&[&key(1, 1), &key(2, 1)]);
    let mut ingest = ingest();
    for n in [1, 2] {
        let content = Content { size: 1, checksum: Checksum::of(b"x") };
        ingest.note_written(DatasetId::from_uuid(Uuid::from_u128(n)), key(n, 1), content);
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
    assert_eq!(memory.names(), [key(1, 1).to_string()]);
    assert_eq!(stored(&context.into_parts().0), [key(1, 1).as_str()]);

    let mut context = CloseContext::new(facts(3, true), &memory, &Mine);
    ingest().abandon(&mut context).expect("the storage works");
    assert_eq!(memory.names(), [""; 0]);
    assert!(stored(&context.into_parts().0).is_empty());
}

#[test]
fn a_stored_ingest_is_decoded_by_its_kind() {
    let kinds = Kinds::new().with::<Ingest>();
    let ingest = ingest();
    let (data, manifest) = (ingest.data(), ingest.manifest().unwrap_or_default());
    let decoded = kinds.decode("ingest", &data, &manifest).expect("it decodes");
    assert_eq!(decoded.data(), data);
    assert!(matches!(kinds.decode("put", &data, &manifest), Err(DecodeError::UnknownKind { .. })));
    let newer = data.replace("\"version\":1", "\"version\":9");
    assert!(matches!(
        kinds.decode("ingest", &newer, &manifest),
        Err(DecodeError::Version { found: 9, .. })
    ));
    assert!(matches!(
        kinds.decode("ingest", &data, &manifest[1..]),
        Err(DecodeError::Damaged { .. })
    ));
}

#[test]
fn the_same_files_in_another_folder_are_adopted_and_changed_ones_are_not() {
    let mut planned = ingest().items().to_vec();
    for item in &mut planned {
        item.source = item.source.replace("/data/", "/moved/");
    }
    let mut left = ingest();
    assert!(left.adopt_sources(&planned));
    assert_eq!(left.items()[0].source, "/moved/1.csv");
    planned[1].modified = 9;
    assert!(!left.adopt_sources(&planned));
    planned.pop();
    assert!(!left.adopt_sources(&planned));
}
