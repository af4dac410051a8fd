//! One transaction with very many datasets: put, killed, and reverted by another client
//! that knows nothing but what is in the database; or put, listed and committed, and then
//! removed. Each in a process of its own, since memory that was given back is not always
//! given to the next one.
#![allow(dead_code, reason = "a bench and a test use it")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler::{
    butler::request::{
        NewDataset, PutItem, PutRequest, RemoveRequest, StoreOptions, StoreProgress,
    },
    core::{
        DatasetId, TransactionName,
        transaction::{Closing, TransactionRow},
    },
    datastore::{Datastore, ObjectStorage},
    direct::{CloseOptions, DirectButler, Environment},
    registry::OpenOptions,
    workspace::open_butler,
};

use super::{
    bare,
    measure::{Fault, expect},
    survey,
};

/// No row of a manifest may be larger, in bytes.
const ROW: i64 = 1_000_000;

/// The last phase: it lists what the others left, which is more than one of them.
const REMOVED: &str = "removed (purged)";

/// Where the artifacts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Into the memory of this process.
    Memory,
    /// Into files.
    Files,
}

/// What becomes of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Killed and reverted.
    Reverted,
    /// Committed; its datasets are then removed.
    Committed,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) refs: usize,
    pub(crate) phases: Vec<Phase>,
    /// The largest row of the open transactions, and all their rows, in bytes.
    pub(crate) largest_row: i64,
    pub(crate) manifest: i64,
}

/// A part of the work.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    /// The most memory that the process held meanwhile, in bytes.
    pub(crate) memory: u64,
}

impl Measured {
    /// The most memory that the process held for the put, its commit and its revert, in
    /// bytes.
    pub(crate) fn memory(&self) -> u64 {
        let phases = self.phases.iter().filter(|phase| phase.name != REMOVED);
        phases.map(|phase| phase.memory).max().unwrap_or(0)
    }

    fn phase<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // From now on the peak counts anew.
        #[expect(clippy::disallowed_methods, reason = "not a file: the kernel takes a command")]
        std::fs::write("/proc/self/clear_refs", "5")?;
        let begin = Instant::now();
        let value = work()?;
        self.phases.push(Phase { name, took: begin.elapsed(), memory: peak()? });
        Ok(value)
    }
}

/// The most memory that this process held since the peak was reset, in bytes.
fn peak() -> Result<u64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("there is no VmHWM")?;
    Ok(text.trim().parse::<u64>()? * 1024)
}

/// Looks at the open transaction, and dies when the last artifact was written, if it
/// is to.
#[derive(Debug)]
struct Witness<'a> {
    butler: &'a DirectButler,
    fatal: bool,
    artifacts: usize,
    written: AtomicUsize,
    seen: Mutex<Option<Result<Seen, String>>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    open: usize,
    largest_row: i64,
    manifest: i64,
}

impl<'a> Witness<'a> {
    fn new(butler: &'a DirectButler, artifacts: usize, fatal: bool) -> Self {
        Self { butler, fatal, artifacts, written: AtomicUsize::new(0), seen: Mutex::default() }
    }

    fn seen(self) -> Result<Seen, Fault> {
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.ok_or("nothing was written")??)
    }

    fn look(&self) -> Result<Seen, Fault> {
        let open = self.butler.list_transactions()?.len();
        let connection = bare::connect(self.butler.registry().path())?;
        let sql = "WITH size (bytes) AS (
                SELECT length(body) FROM artifact_transaction_chunk
                UNION ALL SELECT octet_length(data) FROM artifact_transaction
            ) SELECT max(bytes), sum(bytes) FROM size";
        let (largest_row, manifest) =
            connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Seen { open, largest_row, manifest })
    }
}

impl StoreProgress for Witness<'_> {
    fn resuming(&self, _: &TransactionRow) {}

    fn start(&self, _: usize) {
        let seen = self.look().map_err(|error| error.to_string());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    fn copied(&self, _: u64) {
        if self.written.fetch_add(1, Ordering::Relaxed) + 1 == self.artifacts && self.fatal {
            resume_unwind(Box::new("killed"));
        }
    }
}

/// Does it with four datasets for each of so many visits.
pub(crate) fn one_transaction(
    folder: &Utf8Path,
    visits: i64,
    store: Store,
    ending: Ending,
) -> Result<Measured, Fault> {
    let repository = folder.join("repo");
    let mut butler = survey::repository(&repository, visits)?;
    if store == Store::Memory {
        let storage = Arc::new(ObjectStorage::in_memory());
        let datastore = Datastore::with_storage(storage, butler.datastore().config().clone());
        butler = butler.with_datastore(datastore);
    }
    let refs = usize::try_from(visits)? * 4;
    let mut measured = Measured { refs, ..Measured::default() };
    match ending {
        Ending::Reverted => reverted(butler, &repository, visits, &mut measured)?,
        Ending::Committed => committed(&butler, visits, store, &mut measured)?,
    }
    Ok(measured)
}

/// What another client needs to revert is in the database, and nowhere else.
fn reverted(
    butler: DirectButler,
    repository: &Utf8Path,
    visits: i64,
    measured: &mut Measured,
) -> Result<(), Fault> {
    let seen = measured.phase("put, killed before the renames", || {
        let request = request(&butler, visits, "scale/killed")?;
        let witness = Witness::new(&butler, request.items.len(), true);
        let put = catch_unwind(AssertUnwindSafe(|| butler.put_many(&request, &witness)));
        expect("killed", &put.is_err(), &true)?;
        witness.seen()
    })?;
    measured.rows(seen)?;
    let environment = Environment::of_this_process("other");
    let other = open_butler(repository, environment, &OpenOptions::default())?
        .with_datastore(butler.datastore().clone());
    drop(butler);
    measured.phase("reverted by another client", || {
        let options = CloseOptions { take_over: true, ..CloseOptions::default() };
        other.close(&TransactionName::new("scale/killed")?, Closing::Revert, options)?;
        Ok(())
    })?;
    empty(&other)
}

fn committed(
    butler: &DirectButler,
    visits: i64,
    store: Store,
    measured: &mut Measured,
) -> Result<(), Fault> {
    let refs = measured.refs;
    let (ids, seen) = measured.phase("put, listed, committed", || {
        let request = request(butler, visits, "scale/committed")?;
        let witness = Witness::new(butler, refs, false);
        let report = butler.put_many(&request, &witness)?;
        expect("stored", &report.stored, &refs)?;
        Ok((report.ids, witness.seen()?))
    })?;
    measured.rows(seen)?;
    if store == Store::Files {
        let report = survey::check_clean(butler)?;
        expect("stored", &(report.counts.stored, report.counts.artifacts), &(refs, refs))?;
    }
    measured.phase(REMOVED, || remove(butler, ids, refs))?;
    empty(butler)
}

impl Measured {
    fn rows(&mut self, seen: Seen) -> Result<(), Fault> {
        expect("open transactions", &seen.open, &1)?;
        if seen.largest_row > ROW {
            return Err(format!("a row of {} bytes", seen.largest_row).into());
        }
        self.largest_row = self.largest_row.max(seen.largest_row);
        self.manifest = self.manifest.max(seen.manifest);
        Ok(())
    }
}

fn request(butler: &DirectButler, visits: i64, name: &str) -> Result<PutRequest<'static>, Fault> {
    let image = survey::image(butler)?;
    let item = |(n, data_id)| PutItem {
        dataset: NewDataset::new(Arc::clone(&image), data_id),
        content: survey::content(n, 20).into(),
    };
    Ok(PutRequest {
        name: Some(TransactionName::new(name)?),
        run: survey::run()?,
        items: survey::data_ids(&image, visits)?.into_iter().enumerate().map(item).collect(),
        options: StoreOptions::default(),
    })
}

fn remove(butler: &DirectButler, datasets: Vec<DatasetId>, refs: usize) -> Result<(), Fault> {
    let request = RemoveRequest { name: None, datasets, purge: true, force: false };
    let report = butler.remove_datasets(&request)?;
    expect("removed", &(report.datasets, report.artifacts), &(refs, refs))
}

/// Nothing is left, neither in the database nor in the storage.
fn empty(butler: &DirectButler) -> Result<(), Fault> {
    let counts = survey::check_clean(butler)?.counts;
    expect("datasets", &(counts.datasets, counts.open_transactions), &(0, 0))?;
    let mut entries = 0;
    butler.datastore().walk_all(&mut |_| {
        entries += 1;
        Ok(())
    })?;
    expect("artifacts", &entries, &0)
}
