//! The bare loops: what the work costs with no bookkeeping at all, which is the limit.
//!
//! The same bytes through a temporary file and a rename, with the same checksum, on as
//! many threads, in the same flush groups; the same rows into the same tables in one SQL
//! transaction of prepared statements. Names, ids and keys are made beforehand. What a
//! bare loop leaves out is what makes it worthless: it opens and claims nothing, it
//! overwrites whatever stands at a name, looks nothing up, and after a kill nobody can
//! tell what is there.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::core::{DatasetRef, FileRecord, KeyValue};
use rayon::prelude::*;
use rusqlite::{Connection, OpenFlags};

use super::measure::Fault;

/// The flush groups of a run: how many outputs at most, and how long the oldest waits.
const GROUP: usize = 512;
const WAIT: Duration = Duration::from_millis(500);

/// Brings everything on the file system of `handle` to stable storage.
pub(crate) fn flush(handle: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::syncfs(handle)?);
    #[cfg(not(target_os = "linux"))]
    handle.sync_all()
}

/// Writes and hashes `content` at `path` with the ending `.tmp`.
fn stage(path: &Utf8Path, content: &[u8]) -> io::Result<[u8; 32]> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(unfinished(path))?;
    file.write_all(content)?;
    Ok(*blake3::hash(content).as_bytes())
}

fn unfinished(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.tmp"))
}

/// Writes every output with `content`, by its position, on `threads` threads; a thread
/// beside them flushes in groups.
pub(crate) fn run(
    root: &Utf8Path,
    outputs: &[Utf8PathBuf],
    content: impl Fn(usize) -> String + Sync,
    threads: usize,
) -> Result<(), Fault> {
    let handle = File::open(root)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let (handle, written) = (&handle, &AtomicUsize::new(0));
    let (full, groups) = channel();
    std::thread::scope(|scope| {
        let flushing = scope.spawn(move || flush_in_groups(handle, written, &groups));
        let done: io::Result<()> = pool.install(|| {
            outputs.par_iter().enumerate().try_for_each_with(full, |full, (i, path)| {
                stage(path, content(i).as_bytes())?;
                std::fs::rename(unfinished(path), path)?;
                if (written.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(GROUP) {
                    full.send(()).map_err(io::Error::other)?;
                }
                Ok(())
            })
        });
        let flushed = flushing.join().map_err(|_| "the flushing thread panicked")?;
        Ok(done.and(flushed)?)
    })
}

/// Flushes when a group is full or waited enough, until nobody writes any more; groups
/// that became full during a flush go together.
fn flush_in_groups(handle: &File, written: &AtomicUsize, groups: &Receiver<()>) -> io::Result<()> {
    let mut flushed = 0;
    loop {
        let ended = groups.recv_timeout(WAIT) == Err(RecvTimeoutError::Disconnected);
        while groups.try_recv().is_ok() {}
        let now = written.load(Ordering::Relaxed);
        if now > flushed {
            flush(handle)?;
            flushed = now;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Copies every source to its target: all staged, one flush, all renamed, one flush.
/// Returns size and checksum of each.
pub(crate) fn copy(
    root: &Utf8Path,
    files: &[(Utf8PathBuf, Utf8PathBuf)],
) -> Result<Vec<(u64, [u8; 32])>, Fault> {
    store(root, files, |source| Ok(std::fs::read(source)?.into()))
}

/// Writes every content to its target, as [`copy`] does.
pub(crate) fn write(
    root: &Utf8Path,
    files: &[(Vec<u8>, Utf8PathBuf)],
) -> Result<Vec<(u64, [u8; 32])>, Fault> {
    store(root, files, |content| Ok(content.into()))
}

fn store<S: Sync>(
    root: &Utf8Path,
    files: &[(S, Utf8PathBuf)],
    content: impl for<'s> Fn(&'s S) -> io::Result<Cow<'s, [u8]>> + Sync,
) -> Result<Vec<(u64, [u8; 32])>, Fault> {
    let handle = File::open(root)?;
    let stored: io::Result<Vec<_>> = files
        .par_iter()
        .map(|(source, target)| {
            let content = content(source)?;
            Ok((content.len() as u64, stage(target, &content)?))
        })
        .collect();
    flush(&handle)?;
    for (_, target) in files {
        std::fs::rename(unfinished(target), target)?;
    }
    flush(&handle)?;
    Ok(stored?)
}

/// Writes one file, flushed by itself, and then the directories that lead to it, up to
/// the one that holds `root`.
pub(crate) fn write_one(
    root: &Utf8Path,
    content: &[u8],
    target: &Utf8Path,
) -> Result<(u64, [u8; 32]), Fault> {
    let checksum = stage(target, content)?;
    File::open(unfinished(target))?.sync_all()?;
    std::fs::rename(unfinished(target), target)?;
    let above = root.parent().ok_or("the root has a parent")?;
    for directory in target.ancestors().skip(1).take_while(|at| at.starts_with(above)) {
        File::open(directory)?.sync_all()?;
    }
    Ok((content.len() as u64, checksum))
}

/// Deletes files that are in one directory, and flushes that.
pub(crate) fn remove(files: &[Utf8PathBuf]) -> Result<(), Fault> {
    for file in files {
        std::fs::remove_file(file)?;
    }
    let directory = files.first().and_then(|file| file.parent()).ok_or("there are files")?;
    Ok(File::open(directory)?.sync_all()?)
}

/// A connection with the pragmas of the registry.
pub(crate) fn connect(database: &Utf8Path) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(
        database,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA foreign_keys = ON;
        PRAGMA temp_store = MEMORY",
    )?;
    Ok(connection)
}

/// Database ids that rows need, looked up beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    dataset_type: i64,
    group: i64,
    run: i64,
}

pub(crate) fn ids(connection: &Connection, dataset: &DatasetRef) -> Result<Ids, Fault> {
    let name = dataset.dataset_type.name.as_str();
    let sql = "SELECT id, dimension_group FROM dataset_type WHERE name = ?1";
    let (dataset_type, group) =
        connection.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT id FROM collection WHERE name = ?1";
    let run = connection.query_row(sql, [dataset.run.as_str()], |row| row.get(0))?;
    Ok(Ids { dataset_type, group, run })
}

/// Inserts datasets, memberships and records in one database transaction; all datasets
/// are of one type and RUN and have three dimensions, the first of which is a string.
/// Database ids count from `first`.
pub(crate) fn insert(
    connection: &Connection,
    ids: Ids,
    first: i64,
    datasets: &[DatasetRef],
    records: &[FileRecord],
    now: i64,
) -> Result<(), Fault> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    insert_rows(connection, ids, first, datasets, records, now)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// The rows of [`insert`], in the database transaction of the caller.
pub(crate) fn insert_rows(
    connection: &Connection,
    Ids { dataset_type, group, run }: Ids,
    first: i64,
    datasets: &[DatasetRef],
    records: &[FileRecord],
    now: i64,
) -> Result<(), Fault> {
    let mut dataset =
        connection.prepare_cached("INSERT INTO dataset VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let sql = format!("INSERT INTO membership_{group} VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    let mut membership = connection.prepare_cached(&sql)?;
    for (id, wanted) in (first..).zip(datasets) {
        let uuid = &wanted.id.as_uuid().as_bytes()[..];
        dataset.execute((id, uuid, dataset_type, run, now))?;
        let [KeyValue::String(a), KeyValue::Integer(b), KeyValue::Integer(c)] =
            wanted.data_id.values()
        else {
            return Err("the data ID has other dimensions".into());
        };
        membership.execute((dataset_type, run, &**a, b, c, id))?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO file_datastore_record VALUES (?1, '', ?2, NULL, ?3, ?4, ?5, ?6)",
    )?;
    for (id, record) in (first..).zip(records) {
        insert.execute((
            id,
            record.location.as_str(),
            &record.formatter,
            record.storage_class.name(),
            i64::try_from(record.size)?,
            &record.checksum.as_bytes()[..],
        ))?;
    }
    Ok(())
}

/// Deletes the records of the datasets with the database ids from 1 to `last` in one
/// database transaction, and, if it is a purge, the datasets with them.
pub(crate) fn delete(
    connection: &Connection,
    Ids { group, run, .. }: Ids,
    last: i64,
    purge: bool,
) -> Result<(), Fault> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    {
        let mut record =
            connection.prepare("DELETE FROM file_datastore_record WHERE dataset = ?1")?;
        let sql = format!("DELETE FROM membership_{group} WHERE dataset = ?1 AND collection = ?2");
        let mut membership = connection.prepare(&sql)?;
        let mut dataset = connection.prepare("DELETE FROM dataset WHERE id = ?1")?;
        for id in 1..=last {
            record.execute([id])?;
            if purge {
                membership.execute([id, run])?;
                dataset.execute([id])?;
            }
        }
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// How many datasets, memberships and records there are.
pub(crate) fn rows(connection: &Connection, ids: Ids) -> Result<[i64; 3], Fault> {
    let membership = format!("membership_{}", ids.group);
    let mut rows = [0; 3];
    for (table, count) in
        ["dataset", &membership, "file_datastore_record"].into_iter().zip(&mut rows)
    {
        let sql = format!("SELECT count(*) FROM {table}");
        *count = connection.query_row(&sql, (), |row| row.get(0))?;
    }
    Ok(rows)
}
