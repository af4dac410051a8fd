//! `cargo bench --bench put_many`: 10,000 small datasets put together, against the bare
//! loop that writes the same content and inserts the same rows.

mod bare;
mod measure;
mod survey;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler::{
    butler::request::{NewDataset, NoProgress, PutItem, PutRequest, StoreOptions},
    direct::DirectButler,
};

use crate::measure::{Fault, Place, alternate, expect, settle};

const VISITS: i64 = 2_500;
const PUTS: usize = 10_000;
const SIZE: usize = 1_000;
const BOUND: f64 = 2.0;

fn main() -> Result<(), Fault> {
    alternate(&format!("{PUTS} datasets of {SIZE} bytes put together"), BOUND, ours, bare)
}

fn ours(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let image = survey::image(&butler)?;
    let data_ids = survey::data_ids(&image, VISITS)?;
    let item = |(n, data_id)| PutItem {
        dataset: NewDataset::new(Arc::clone(&image), data_id),
        content: survey::content(n, SIZE).into(),
    };
    let request = PutRequest {
        name: None,
        run: survey::run()?,
        items: data_ids.into_iter().enumerate().map(item).collect(),
        options: StoreOptions::default(),
    };
    settle(folder)?;
    let begin = Instant::now();
    let report = butler.put_many(&request, &NoProgress)?;
    let took = begin.elapsed();
    expect("put", &report.stored, &PUTS)?;
    verify(&butler)?;
    Ok(took)
}

fn bare(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let mut made = survey::prepared(&butler, VISITS)?;
    let path = |(n, path)| (survey::content(n, SIZE), path);
    let files: Vec<_> = made.paths.iter().cloned().enumerate().map(path).collect();
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    let now = butler.environment().clock.now().as_nanos();
    settle(folder)?;
    let begin = Instant::now();
    made.written(bare::write(&made.root, &files)?);
    bare::insert(&connection, ids, 1, &made.datasets, &made.records, now)?;
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

fn verify(butler: &DirectButler) -> Result<(), Fault> {
    let report = survey::check_clean(butler)?;
    expect("stored", &(report.counts.stored, report.counts.artifacts), &(PUTS, PUTS))?;
    expect("bytes", &report.counts.bytes, &((PUTS * SIZE) as u64))
}
