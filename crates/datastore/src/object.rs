//! Artifacts as objects.
//!
//! An object store has no unfinished forms: a put is whole or is not there. So what is
//! staged is kept here, in memory, until it is published by one put that is told to
//! create; nothing of it is left when the process ends.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, memory::InMemory, path::Path,
};
use pantler_core::ArtifactKey;
use pantler_seam::step;

use crate::{
    Entry, Flusher, LinkKind, ReadSeek, StagedWrite, Storage, StorageError, Written, bridge,
    copy::{CopyError, copy, kind_name},
    local::NoFlush,
    storage::check_prefix,
};

/// Artifacts in an object store.
#[derive(Debug)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    staged: Mutex<BTreeMap<ArtifactKey, Bytes>>,
}

impl ObjectStorage {
    /// Artifacts in the memory of this process.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), staged: Mutex::default() }
    }

    fn staged(&self) -> MutexGuard<'_, BTreeMap<ArtifactKey, Bytes>> {
        // No code that could panic half-way runs under the lock.
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are there, and are the same.
    fn same_content(&self, a: &ArtifactKey, b: &ArtifactKey) -> Result<bool, StorageError> {
        let size = self.size(a)?;
        if size.is_none() || a == b || size != self.size(b)? {
            return Ok(false);
        }
        let get = |key| bridge::wait(async { self.store.get(&path(key)).await?.bytes().await });
        let failed = |key: &ArtifactKey, error| failed("open", key.as_str(), error);
        Ok(get(a).map_err(|e| failed(a, e))? == get(b).map_err(|e| failed(b, e))?)
    }

    fn create(&self, key: &ArtifactKey, content: Bytes) -> Result<(), StorageError> {
        step("datastore.put");
        let options = PutOptions::from(PutMode::Create);
        bridge::wait(self.store.put_opts(&path(key), content.into(), options))
            .map(|_| ())
            .map_err(|error| failed("create", key.as_str(), error))
    }
}

impl Storage for ObjectStorage {
    fn stage(&self, key: &ArtifactKey) -> Result<Box<dyn StagedWrite + '_>, StorageError> {
        self.staged().insert(key.clone(), Bytes::new());
        Ok(Box::new(StagedObject { storage: self, key: key.clone(), content: Vec::new() }))
    }

    fn publish(&self, key: &ArtifactKey) -> Result<(), StorageError> {
        let Some(content) = self.staged().get(key).cloned() else {
            return Err(StorageError::Missing { path: format!("{key} (unfinished)") });
        };
        self.create(key, content)?;
        self.staged().remove(key);
        Ok(())
    }

    fn discard(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        Ok(self.staged().remove(key).is_some())
    }

    fn adopt(&self, file: &Utf8Path, key: &ArtifactKey) -> Result<(), StorageError> {
        let io_failed = |error| StorageError::io("adopt", file.as_str(), error);
        let there = std::fs::symlink_metadata(file).map_err(io_failed)?;
        if !there.is_file() {
            let kind = kind_name(there.file_type());
            return Err(StorageError::NotRegular { path: file.to_string(), kind });
        }
        let mut content = Vec::new();
        let mut source = File::open(file).map_err(io_failed)?;
        copy(&mut source, &mut content).map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => io_failed(error),
        })?;
        self.create(key, content.into())?;
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failed(error)),
            _ => Ok(()),
        }
    }

    fn link(
        &self,
        _source: &Utf8Path,
        key: &ArtifactKey,
        _kind: LinkKind,
    ) -> Result<(), StorageError> {
        Err(StorageError::Unsupported { operation: "make a link at", path: key.to_string() })
    }

    fn open(&self, key: &ArtifactKey) -> Result<Box<dyn ReadSeek>, StorageError> {
        let content = bridge::wait(async { self.store.get(&path(key)).await?.bytes().await })
            .map_err(|error| failed("open", key.as_str(), error))?;
        Ok(Box::new(io::Cursor::new(content)))
    }

    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StorageError> {
        match bridge::wait(self.store.head(&path(key))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at", key.as_str(), error)),
        }
    }

    fn delete(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        // Some stores say that a missing object was deleted, so it is looked at first.
        if self.size(key)?.is_none() {
            return Ok(false);
        }
        match bridge::wait(self.store.delete(&path(key))) {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("delete", key.as_str(), error)),
        }
    }

    fn rekey(&self, from: &ArtifactKey, to: &ArtifactKey) -> Result<bool, StorageError> {
        match bridge::wait(self.store.copy_if_not_exists(&path(from), &path(to))) {
            Ok(()) => {}
            Err(Error::NotFound { .. }) => return Ok(false),
            // As an earlier call leaves it that was interrupted before it deleted.
            Err(Error::AlreadyExists { .. }) if self.same_content(from, to)? => {}
            Err(error) => return Err(failed("move an artifact to", to.as_str(), error)),
        }
        self.delete(from)?;
        Ok(true)
    }

    fn walk(
        &self,
        prefix: Option<&str>,
        visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        prefix.map_or(Ok(()), check_prefix)?;
        let below = prefix.map(prefix_path).transpose()?;
        for object in bridge::iterate(self.store.list(below.as_ref())) {
            let object =
                object.map_err(|error| failed("list", prefix.unwrap_or_default(), error))?;
            let name = String::from(object.location);
            visit(match ArtifactKey::new(name.as_str()) {
                Ok(key) => Entry::Artifact { key, size: object.size },
                Err(_) => Entry::Foreign { path: name },
            })?;
        }
        // Gathered first: who visits may discard.
        let inside = |key: &ArtifactKey| {
            prefix.is_none_or(|prefix| {
                key.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let staged: Vec<_> = self
            .staged()
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(key, content)| (key.clone(), content.len() as u64))
            .collect();
        for (key, size) in staged {
            visit(Entry::Unfinished { key, size })?;
        }
        Ok(())
    }

    fn prune(&self, prefix: &str) -> Result<(), StorageError> {
        check_prefix(prefix)
    }

    fn flusher(&self) -> Result<Box<dyn Flusher>, StorageError> {
        Ok(Box::new(NoFlush))
    }

    fn local_path(&self, _key: &ArtifactKey) -> Option<Utf8PathBuf> {
        None
    }
}

/// Content on its way into [`ObjectStorage`].
struct StagedObject<'a> {
    storage: &'a ObjectStorage,
    key: ArtifactKey,
    content: Vec<u8>,
}

impl Write for StagedObject<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.content.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StagedWrite for StagedObject<'_> {
    fn finish(self: Box<Self>) -> Result<Written, StorageError> {
        let written = Written::of(&self.content);
        self.storage.staged().insert(self.key, self.content.into());
        Ok(written)
    }
}

fn path(key: &ArtifactKey) -> Path {
    // `parse`, not `from`: that would encode what is encoded already.
    Path::parse(key.as_str()).expect("the rules of artifact keys include those of object paths")
}

fn prefix_path(text: &str) -> Result<Path, StorageError> {
    Path::parse(text).map_err(|_| StorageError::InvalidPrefix { prefix: text.to_owned() })
}

fn failed(operation: &'static str, path: &str, error: Error) -> StorageError {
    let path = path.to_owned();
    match error {
        Error::AlreadyExists { .. } => StorageError::AlreadyExists { path },
        Error::NotFound { .. } => StorageError::Missing { path },
        Error::PermissionDenied { source, .. } | Error::Unauthenticated { source, .. } => {
            StorageError::Denied { operation, path, source: io::Error::other(source) }
        }
        error => StorageError::Object { operation, path, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance;

    #[test]
    fn conforms() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        conformance::suite(&ObjectStorage::in_memory(), scratch).unwrap();
    }

    #[test]
    fn names_that_are_no_keys_are_foreign() {
        let storage = ObjectStorage::in_memory();
        for name in ["a@1/x.tmp", "a@1/x\\y"] {
            let name = Path::parse(name).unwrap();
            bridge::wait(storage.store.put(&name, Bytes::from_static(b"x").into())).unwrap();
        }
        let mut found = Vec::new();
        storage
            .walk(Some("a@1"), &mut |entry| {
                found.push(entry);
                Ok(())
            })
            .unwrap();
        let foreign = |path: &str| Entry::Foreign { path: path.to_owned() };
        assert_eq!(found, [foreign("a@1/x.tmp"), foreign("a@1/x\\y")]);
    }
}
