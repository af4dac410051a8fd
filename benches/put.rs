//! `cargo bench --bench put`: 300 small datasets put one by one, each flushed and
//! acknowledged before the next, against the bare loop that writes and flushes the same
//! files and inserts the rows of each in a database transaction of its own.

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
    alternate(&format!("{PUTS} datasets of {SIZE} bytes put one by one"), BOUND, ours, bare)
}

fn contents() -> Vec<Vec<u8>> {
    (0..PUTS).map(|n| survey::content(n, SIZE)).collect()
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

fn verify(butler: &DirectButler) -> Result<(), Fault> {
    let report = survey::check_clean(butler)?;
    expect("stored", &(report.counts.stored, report.counts.artifacts), &(PUTS, PUTS))?;
    expect("bytes", &report.counts.bytes, &((PUTS * SIZE) as u64))
}
