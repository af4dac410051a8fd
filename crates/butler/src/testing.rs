//! An artifact storage of 60 lines, for the rules of the kinds.

use std::{cell::RefCell, collections::BTreeMap, io::Read as _};

use pantler_core::{ArtifactKey, Checksum, Location, OpeningId, WriteId};
use uuid::Uuid;

use crate::{
    artifacts::{ArtifactError, Artifacts, Content, Found, NewArtifact},
    transaction::{Claim, ClosingFacts, KindError, Verify},
};

#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) RefCell<BTreeMap<String, Vec<u8>>>);

impl Memory {
    pub(crate) fn with(entries: &[&ArtifactKey]) -> Self {
        let entries = entries.iter().map(|k| (k.as_str().to_owned(), k.as_str().into())).collect();
        Self(RefCell::new(entries))
    }

    pub(crate) fn names(&self) -> Vec<String> {
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
    fn size_at(&self, location: &Location) -> Result<Option<u64>, ArtifactError> {
        Ok(self.measure_at(location)?.map(|content| content.size))
    }
    fn measure_at(&self, location: &Location) -> Result<Option<Content>, ArtifactError> {
        location.key().map_or(Ok(None), |key| self.measure(key))
    }
    fn list(&self, prefix: &str) -> Result<Vec<Found>, ArtifactError> {
        let found = |(name, content): (&String, &Vec<u8>)| {
            let (key, unfinished) = match name.strip_suffix(".tmp") {
                Some(key) => (key, true),
                None => (&**name, false),
            };
            let key = ArtifactKey::new(key).expect("a key");
            if unfinished {
                Found::Unfinished { key }
            } else {
                Found::Artifact { key, size: content.len() as u64 }
            }
        };
        let entries = self.0.borrow();
        let below = entries.iter().filter(|(name, _)| name.starts_with(&format!("{prefix}/")));
        Ok(below.map(found).collect())
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
    fn rekey(&self, moves: &[(ArtifactKey, ArtifactKey)]) -> Result<Vec<bool>, ArtifactError> {
        let mut entries = self.0.borrow_mut();
        let mut moved = Vec::new();
        for (from, to) in moves {
            let content = entries.remove(from.as_str());
            moved.push(content.is_some());
            if let Some(content) = content {
                assert!(entries.insert(to.to_string(), content).is_none(), "{to} is replaced");
            }
        }
        Ok(moved)
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
    fn flush_removals(&self, _: &str, _: &[ArtifactKey]) -> Result<(), ArtifactError> {
        Ok(())
    }
    fn prune(&self, _: &str) -> Result<(), ArtifactError> {
        Ok(())
    }
}

/// A claim that nobody else takes.
#[derive(Debug)]
pub(crate) struct Mine;

impl Claim for Mine {
    fn confirm(&self) -> Result<Vec<pantler_core::FileRecord>, KindError> {
        Ok(Vec::new())
    }

    fn confirm_unnamed(&self, keys: Vec<ArtifactKey>) -> Result<Vec<ArtifactKey>, KindError> {
        Ok(keys)
    }
}

pub(crate) fn opening() -> OpeningId {
    OpeningId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
}

pub(crate) fn key(item: u128, attempt: u32) -> ArtifactKey {
    let write = WriteId::of_opening(opening(), attempt);
    ArtifactKey::new(format!("r@1/t/n={item}~{write}.csv")).expect("a key")
}

pub(crate) fn facts(attempt: u32, past_the_door: bool) -> ClosingFacts<'static> {
    ClosingFacts {
        opening: opening(),
        attempt,
        past_the_door,
        partial: false,
        verify: Verify::Size,
        run_prefix: "r@1",
        root: None,
    }
}
