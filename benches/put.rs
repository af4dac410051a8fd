//! `cargo bench --bench put`: 300 small datasets put one by one, each flushed and
//! acknowledged before the next, against the bare loop that writes and flushes the same
//! files and inserts the rows of each in a database transaction of its own. First in a put
//! session, which is opened and finished within the time taken; then with a transaction for
//! each; then what the protocol of the latter costs by itself: the bare loop with the rows
//! that open and close a transaction around each file, in two database transactions, and
//! nothing else.

mod bare;
mod measure;
mod survey;

use std::time::{Duration, Instant};

use camino::Utf8Path;
use pantler::direct::DirectButler;

use crate::measure::{Fault, Place, alternate, expect, settle};

const VISITS: i64 = 75;
const PUTS: usize = 300;
const SIZE: usize = 1_000;
const BOUND: f64 = 2.0;

fn main() -> Result<(), Fault> {
    let puts = format!("{PUTS} datasets of {SIZE} bytes put one by one");
    alternate(&format!("{puts} in a session"), BOUND, session, bare)?;
    alternate(&format!("{puts}, a transaction for each"), BOUND, ours, bare)?;
    let title =
        "the same, files and rows of the protocol in prepared statements, instead of Pantler";
    alternate(title, BOUND, protocol, bare)
}

fn contents() -> Vec<Vec<u8>> {
    (0..PUTS).map(|n| survey::content(n, SIZE)).collect()
}

fn session(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let (image, run) = (survey::image(&butler)?, survey::run()?);
    let data_ids = survey::data_ids(&image, VISITS)?;
    let contents = contents();
    settle(folder)?;
    let begin = Instant::now();
    let puts = butler.put_session(&run, None, false)?;
    for (data_id, content) in data_ids.iter().zip(&contents) {
        puts.put(content, &image.name, data_id)?;
    }
    puts.finish()?;
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

fn ours(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let (image, run) = (survey::image(&butler)?, survey::run()?);
    let data_ids = survey::data_ids(&image, VISITS)?;
    let contents = contents();
    settle(folder)?;
    let begin = Instant::now();
    for (data_id, content) in data_ids.iter().zip(&contents) {
        butler.put(content, &image.name, data_id, &run)?;
    }
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

fn bare(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let mut made = survey::prepared(&butler, VISITS)?;
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    let now = butler.environment().clock.now().as_nanos();
    let contents = contents();
    settle(folder)?;
    let begin = Instant::now();
    for (id, content) in (1..).zip(&contents) {
        let at = usize::try_from(id)? - 1;
        let written = bare::write_one(&made.root, content, &made.paths[at])?;
        made.note(at, written);
        let only = at..=at;
        let (datasets, records) = (&made.datasets[only.clone()], &made.records[only]);
        bare::insert(&connection, ids, id, datasets, records, now)?;
    }
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

fn protocol(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let mut made = survey::prepared(&butler, VISITS)?;
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    let environment = butler.environment();
    let (now, run) = (environment.clock.now().as_nanos(), survey::run()?);
    let contents = contents();
    settle(folder)?;
    let begin = Instant::now();
    for (id, content) in (1..).zip(&contents) {
        let at = usize::try_from(id)? - 1;
        let only = at..=at;
        let opening = environment.new_opening();
        let opening_id = &opening.as_uuid().as_bytes()[..];
        let name = format!("put/{opening}");
        let data = format!("{:?}", made.records[at].location);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let datasets = &made.datasets[only.clone()];
        bare::insert_rows(&connection, ids, id, datasets, &[], now)?;
        let insert = "INSERT INTO artifact_transaction
            VALUES (?1, 'put', ?2, ?3, ?4, 1, NULL, ?5, ?6, ?7, ?8, 1)";
        let process = &environment.process;
        connection.prepare_cached(insert)?.execute((
            &name,
            data,
            &environment.owner,
            opening_id,
            &process.host,
            &process.boot_id,
            process.pid,
            now,
        ))?;
        let lock = "INSERT INTO artifact_transaction_insert_only_run VALUES (?1, ?2)";
        connection.prepare_cached(lock)?.execute((&name, run.as_str()))?;
        connection.execute_batch("COMMIT")?;

        let written = bare::write_one(&made.root, content, &made.paths[at])?;
        made.note(at, written);

        connection.execute_batch("BEGIN IMMEDIATE")?;
        let unlock = "DELETE FROM artifact_transaction_insert_only_run WHERE transaction_name = ?1";
        connection.prepare_cached(unlock)?.execute([&name])?;
        let close = "DELETE FROM artifact_transaction WHERE opening_id = ?1 AND attempt = 1";
        connection.prepare_cached(close)?.execute([opening_id])?;
        let closed = "INSERT INTO artifact_transaction_closed VALUES (?1, ?2, 'committed', ?3)";
        connection.prepare_cached(closed)?.execute((opening_id, &name, now))?;
        bare::insert_rows(&connection, ids, id, &[], &made.records[only], now)?;
        connection.execute_batch("COMMIT")?;
    }
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

fn verify(butler: &DirectButler) -> Result<(), Fault> {
    let report = survey::check_clean(butler)?;
    expect("stored", &(report.counts.stored, report.counts.artifacts), &(PUTS, PUTS))?;
    expect("bytes", &report.counts.bytes, &((PUTS * SIZE) as u64))
}
