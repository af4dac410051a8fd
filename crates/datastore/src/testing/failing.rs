//! A storage that fails when it is told to.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_seam::rules::{Calls, Fate, Life, Rules};

use crate::{Entry, Flusher, LinkKind, ReadSeek, StagedWrite, Storage, StorageError, Written};

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
    /// [`Storage::link`].
    Link,
    /// [`Storage::open`].
    Open,
    /// [`Storage::size`].
    Size,
    /// [`Storage::delete`].
    Delete,
    /// [`Storage::rekey`].
    Rekey,
    /// [`Storage::walk`].
    Walk,
    /// [`Storage::prune`].
    Prune,
    /// [`Storage::flusher`].
    Flusher,
    /// Each of the methods of [`Flusher`].
    Flush,
}

/// How a call is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing is done.
    Fails(io::ErrorKind),
    /// It is done, but the answer is lost.
    Lost(io::ErrorKind),
    /// It takes a while, and then goes well.
    Slow(Duration),
}

type Plan = Arc<Mutex<Rules<Operation, Fault>>>;

/// What a dead process is told; nobody is there to hear it.
const DEAD: io::ErrorKind = io::ErrorKind::NotConnected;

/// Forwards everything to another storage, except what it was told to fail.
///
/// Calls are counted from 1 for each operation, from the beginning.
#[derive(Debug)]
pub struct FailingStorage {
    inner: Arc<dyn Storage>,
    plan: Plan,
}

impl FailingStorage {
    /// Forwards everything to `inner` until told otherwise.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self::living(inner, &Life::new())
    }

    /// The same for a pretended process whose other parts die with this storage.
    pub fn living(inner: Arc<dyn Storage>, life: &Life) -> Self {
        Self { inner, plan: Arc::new(Mutex::new(Rules::new(life.clone()))) }
    }

    /// The `n`-th call of `operation` fails, and does nothing; but [`Operation::Write`]
    /// writes half of the data before, as on a disk that becomes full.
    pub fn fail_at(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().add(operation, Calls::Nth(n), Fault::Fails(kind));
    }

    /// The `n`-th call of `operation` and all later ones fail, as on a full disk.
    pub fn fail_from(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().add(operation, Calls::From(n), Fault::Fails(kind));
    }

    /// The `n`-th call of `operation` does its work and fails all the same: its answer is lost.
    pub fn lose_answer_at(&self, operation: Operation, n: u64, kind: io::ErrorKind) {
        self.plan().add(operation, Calls::Nth(n), Fault::Lost(kind));
    }

    /// The `n`-th call of `operation` takes this much longer, and goes well.
    pub fn delay_at(&self, operation: Operation, n: u64, delay: Duration) {
        self.plan().add(operation, Calls::Nth(n), Fault::Slow(delay));
    }

    /// From now on nothing can be deleted, unfinished forms included.
    pub fn deny_deletes(&self) {
        for operation in [Operation::Delete, Operation::Discard] {
            self.fail_from(operation, 1, io::ErrorKind::PermissionDenied);
        }
    }

    /// The `n`-th call of any operation and all later ones fail, and do nothing: this
    /// process died there.
    pub fn die_at(&self, n: u64) {
        self.plan().life().die_at(n);
    }

    /// From now on everything succeeds; counting goes on. What shares the [`Life`] of this
    /// storage lives again too.
    pub fn heal(&self) {
        self.plan().heal();
    }

    /// How often `operation` was called.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().count(operation)
    }

    /// How often anything was called; of everything that shares the [`Life`] of this storage.
    pub fn operations(&self) -> u64 {
        self.plan().life().operations()
    }

    fn plan(&self) -> MutexGuard<'_, Rules<Operation, Fault>> {
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

fn lock(plan: &Plan) -> MutexGuard<'_, Rules<Operation, Fault>> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a call and says how it fails; waits, if that is what was planned.
fn fate(plan: &Plan, operation: Operation) -> Fate<Fault> {
    let fate = lock(plan).reach(operation);
    if let Fate::Fails(Fault::Slow(delay)) = fate {
        std::thread::sleep(delay);
        return Fate::Goes;
    }
    fate
}

fn run<T>(
    plan: &Plan,
    operation: Operation,
    path: &str,
    action: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let planned = |kind: io::ErrorKind| StorageError::io("reach (as planned)", path, kind.into());
    match fate(plan, operation) {
        Fate::Goes | Fate::Fails(Fault::Slow(_)) => action(),
        Fate::Dead => Err(planned(DEAD)),
        Fate::Fails(Fault::Fails(kind)) => Err(planned(kind)),
        Fate::Fails(Fault::Lost(kind)) => {
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

    fn link(&self, file: &Utf8Path, key: &ArtifactKey, kind: LinkKind) -> Result<(), StorageError> {
        self.run(Operation::Link, file.as_str(), || self.inner.link(file, key, kind))
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

    fn rekey(&self, from: &ArtifactKey, to: &ArtifactKey) -> Result<bool, StorageError> {
        self.run(Operation::Rekey, from.as_str(), || self.inner.rekey(from, to))
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
    plan: Plan,
    path: String,
}

impl Write for FailingWrite<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match fate(&self.plan, Operation::Write) {
            Fate::Goes | Fate::Fails(Fault::Slow(_)) => self.inner.write(data),
            Fate::Dead => Err(DEAD.into()),
            Fate::Fails(Fault::Fails(kind)) => {
                self.inner.write_all(&data[..data.len() / 2])?;
                self.inner.flush()?;
                Err(kind.into())
            }
            Fate::Fails(Fault::Lost(kind)) => {
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
    plan: Plan,
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

    fn flush_removals(&self, keys: &[ArtifactKey]) -> Result<(), StorageError> {
        self.run(|| self.inner.flush_removals(keys))
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

    #[test]
    fn half_is_written_and_deleting_denied() {
        let storage = FailingStorage::new(Arc::new(ObjectStorage::in_memory()));
        let key = ArtifactKey::new("a").unwrap();
        storage.fail_at(Operation::Write, 1, io::ErrorKind::StorageFull);
        let mut staged = storage.stage(&key).unwrap();
        assert_eq!(staged.write(b"1234").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(staged.finish().unwrap().size, 2);
        storage.publish(&key).unwrap();
        storage.deny_deletes();
        assert!(matches!(storage.delete(&key), Err(StorageError::Denied { .. })));
        assert!(matches!(storage.discard(&key), Err(StorageError::Denied { .. })));
        storage.heal();
        assert!(storage.delete(&key).unwrap());
    }

    #[test]
    fn slow_is_slow_and_goes_well() {
        let storage = FailingStorage::new(Arc::new(ObjectStorage::in_memory()));
        let delay = Duration::from_millis(20);
        storage.delay_at(Operation::Size, 1, delay);
        let begin = std::time::Instant::now();
        assert_eq!(storage.size(&ArtifactKey::new("a").unwrap()).unwrap(), None);
        assert!(begin.elapsed() >= delay);
    }

    #[test]
    fn the_dead_do_nothing_any_more() {
        let life = Life::new();
        let storage = FailingStorage::living(Arc::new(ObjectStorage::in_memory()), &life);
        let key = ArtifactKey::new("a").unwrap();
        let mut staged = storage.stage(&key).unwrap();
        storage.die_at(3);
        staged.write_all(b"1").unwrap();
        assert!(staged.write_all(b"2").is_err());
        assert!(staged.finish().is_err() && storage.publish(&key).is_err());
        assert!(storage.flusher().is_err());
        assert_eq!((storage.operations(), life.operations()), (6, 6));
        storage.heal();
        assert_eq!(storage.size(&key).unwrap(), None);
        assert!(storage.discard(&key).unwrap(), "what was staged before is still there");
    }
}
