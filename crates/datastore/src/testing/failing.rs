//! A storage that fails when it is told to.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;

use crate::{Entry, Flusher, ReadSeek, StagedWrite, Storage, StorageError, Written};

/// What a storage can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Storage::stage`].
    Stage,
    /// [`Write::write`] to what is staged; half of the data is written before it fails.
    Write,
    /// [`StagedWrite::finish`].
    Finish,
    /// [`Storage::publish`].
    Publish,
    /// [`Storage::discard`].
    Discard,
    /// [`Storage::adopt`].
    Adopt,
    /// [`Storage::open`].
    Open,
    /// [`Storage::size`].
    Size,
    /// [`Storage::delete`].
    Delete,
    /// [`Storage::walk`].
    Walk,
    /// [`Storage::prune`].
    Prune,
    /// [`Storage::flusher`].
    Flusher,
    /// Each of the methods of [`Flusher`].
    Flush,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Nth(u64),
    From(u64),
    /// Does it, and then says that it failed.
    AfterNth(u64),
}

#[derive(Debug)]
struct Rule {
    operation: Operation,
    when: When,
    kind: io::ErrorKind,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    calls: BTreeMap<Operation, u64>,
}

/// How one call ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Goes,
    Fails(io::ErrorKind),
    /// It is done, but the answer is lost.
    Lost(io::ErrorKind),
}

/// Forwards everything to another storage, except what it was told to fail.
///
/// Calls are counted from 1 for each operation, from the beginning.
#[derive(Debug)]
pub struct FailingStorage {
    inner: Arc<dyn Storage>,
    plan: Arc<Mutex<Plan>>,
}

impl FailingStorage {
    /// Forwards everything to `inner` until told otherwise.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// The `n`-th call of `operation` fails, and does nothing.
    pub fn fail_at(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().rules.push(Rule { operation, when: When::Nth(n), kind });
    }

    /// The `n`-th call of `operation` and all later ones fail, as on a full disk.
    pub fn fail_from(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().rules.push(Rule { operation, when: When::From(n), kind });
    }

    /// The `n`-th call of `operation` does its work and fails all the same: its answer is lost.
    pub fn lose_answer_at(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().rules.push(Rule { operation, when: When::AfterNth(n), kind });
    }

    /// From now on everything succeeds; counting goes on.
    pub fn heal(&self) {
        self.plan().rules.clear();
    }

    /// How often `operation` was called.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().calls.get(&operation).copied().unwrap_or(0)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        lock(&self.plan)
    }

    fn run<T>(
        &self,
        operation: Operation,
        path: &str,
        action: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        run(&self.plan, operation, path, action)
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fate(plan: &Mutex<Plan>, operation: Operation) -> Fate {
    let mut plan = lock(plan);
    let n = plan.calls.entry(operation).or_default();
    *n += 1;
    let n = *n;
    plan.rules
        .iter()
        .filter(|rule| rule.operation == operation)
        .find_map(|rule| match rule.when {
            When::Nth(at) if at == n => Some(Fate::Fails(rule.kind)),
            When::From(at) if at <= n => Some(Fate::Fails(rule.kind)),
            When::AfterNth(at) if at == n => Some(Fate::Lost(rule.kind)),
            _ => None,
        })
        .unwrap_or(Fate::Goes)
}

fn run<T>(
    plan: &Mutex<Plan>,
    operation: Operation,
    path: &str,
    action: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let planned = |kind: io::ErrorKind| StorageError::io("reach (as planned)", path, kind.into());
    match fate(plan, operation) {
        Fate::Goes => action(),
        Fate::Fails(kind) => Err(planned(kind)),
        Fate::Lost(kind) => {
            drop(action()?);
            Err(planned(kind))
        }
    }
}

impl Storage for FailingStorage {
    fn stage(&self, key: &ArtifactKey) -> Result<Box<dyn StagedWrite + '_>, StorageError> {
        self.run(Operation::Stage, key.as_str(), || {
            let inner = self.inner.stage(key)?;
            let (plan, path) = (Arc::clone(&self.plan), key.to_string());
            Ok(Box::new(FailingWrite { inner, plan, path }) as Box<dyn StagedWrite + '_>)
        })
    }

    fn publish(&self, key: &ArtifactKey) -> Result<(), StorageError> {
        self.run(Operation::Publish, key.as_str(), || self.inner.publish(key))
    }

    fn discard(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        self.run(Operation::Discard, key.as_str(), || self.inner.discard(key))
    }

    fn adopt(&self, file: &Utf8Path, key: &ArtifactKey) -> Result<(), StorageError> {
        self.run(Operation::Adopt, file.as_str(), || self.inner.adopt(file, key))
    }

    fn open(&self, key: &ArtifactKey) -> Result<Box<dyn ReadSeek>, StorageError> {
        self.run(Operation::Open, key.as_str(), || self.inner.open(key))
    }

    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StorageError> {
        self.run(Operation::Size, key.as_str(), || self.inner.size(key))
    }

    fn delete(&self, key: &ArtifactKey) -> Result<bool, StorageError> {
        self.run(Operation::Delete, key.as_str(), || self.inner.delete(key))
    }

    fn walk(
        &self,
        prefix: Option<&str>,
        visit: &mut dyn FnMut(Entry) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.run(Operation::Walk, prefix.unwrap_or_default(), || self.inner.walk(prefix, visit))
    }

    fn prune(&self, prefix: &str) -> Result<(), StorageError> {
        self.run(Operation::Prune, prefix, || self.inner.prune(prefix))
    }

    fn flusher(&self) -> Result<Box<dyn Flusher>, StorageError> {
        self.run(Operation::Flusher, "the storage", || {
            let inner = self.inner.flusher()?;
            let plan = Arc::clone(&self.plan);
            Ok(Box::new(FailingFlusher { inner, plan }) as Box<dyn Flusher>)
        })
    }

    fn local_path(&self, key: &ArtifactKey) -> Option<Utf8PathBuf> {
        self.inner.local_path(key)
    }
}

struct FailingWrite<'a> {
    inner: Box<dyn StagedWrite + 'a>,
    plan: Arc<Mutex<Plan>>,
    path: String,
}

impl Write for FailingWrite<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match fate(&self.plan, Operation::Write) {
            Fate::Goes => self.inner.write(data),
            Fate::Fails(kind) => {
                // A disk becomes full in the middle.
                self.inner.write_all(&data[..data.len() / 2])?;
                self.inner.flush()?;
                Err(kind.into())
            }
            Fate::Lost(kind) => {
                self.inner.write_all(data)?;
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl StagedWrite for FailingWrite<'_> {
    fn finish(self: Box<Self>) -> Result<Written, StorageError> {
        let Self { inner, plan, path } = *self;
        run(&plan, Operation::Finish, &path, || inner.finish())
    }
}

#[derive(Debug)]
struct FailingFlusher {
    inner: Box<dyn Flusher>,
    plan: Arc<Mutex<Plan>>,
}

impl FailingFlusher {
    fn run(&self, action: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        run(&self.plan, Operation::Flush, "the storage", action)
    }
}

impl Flusher for FailingFlusher {
    fn flush_data(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.run(|| self.inner.flush_data(keys))
    }

    fn flush_entries(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.run(|| self.inner.flush_entries(keys))
    }

    fn flush(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.run(|| self.inner.flush(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ObjectStorage, testing::conformance};

    #[test]
    fn forwards_everything() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        let storage = FailingStorage::new(Arc::new(ObjectStorage::in_memory()));
        conformance::suite(&storage, scratch).unwrap();
        for operation in [Operation::Stage, Operation::Walk, Operation::Flush, Operation::Prune] {
            assert!(storage.calls(operation) > 0, "{operation:?}");
        }
    }

    #[test]
    fn fails_as_planned() {
        let storage = FailingStorage::new(Arc::new(ObjectStorage::in_memory()));
        let key = ArtifactKey::new("a").unwrap();
        storage.fail_at(Operation::Size, 2, io::ErrorKind::StorageFull);
        storage.lose_answer_at(Operation::Discard, 1, io::ErrorKind::TimedOut);
        assert!(storage.size(&key).is_ok());
        assert!(matches!(storage.size(&key), Err(StorageError::Full { .. })));
        assert!(storage.size(&key).is_ok());
        drop(storage.stage(&key).unwrap());
        assert!(matches!(storage.discard(&key), Err(StorageError::Io { .. })));
        assert!(!storage.discard(&key).unwrap(), "it was done all the same");
        storage.fail_from(Operation::Size, 1, io::ErrorKind::PermissionDenied);
        assert!(storage.size(&key).is_err() && storage.size(&key).is_err());
        storage.heal();
        assert!(storage.size(&key).is_ok());
    }
}
