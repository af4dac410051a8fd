//! `cargo bench --bench ingest`: ingest of 10,000 small files by copy, from planning to
//! commit, against the bare loop that copies the same files and inserts the same rows.

mod bare;
mod measure;
mod survey;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{IngestFile, IngestRequest, NoProgress},
    core::TransactionName,
    direct::DirectButler,
};

use crate::measure::{Fault, Place, alternate, expect, settle};

const VISITS: i64 = 2_500;
const FILES: usize = 10_000;
const SIZE: usize = 1_000;
const BOUND: f64 = 2.0;

fn main() -> Result<(), Fault> {
    alternate(&format!("ingest of {FILES} files of {SIZE} bytes by copy"), BOUND, ours, bare)
}

/// Writes the source files into `folder`, each with bytes of its own.
fn sources(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Fault> {
    let folder = folder.join("sources");
    std::fs::create_dir(&folder)?;
    let mut sources = Vec::with_capacity(FILES);
    for n in 0..FILES {
        let path = folder.join(format!("{n:05}.txt"));
        let content = survey::content(n, SIZE);
        std::io::Write::write_all(&mut std::fs::File::create_new(&path)?, &content)?;
        sources.push(path);
    }
    Ok(sources)
}

fn ours(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let image = survey::image(&butler)?;
    let files = survey::data_ids(&image, VISITS)?
        .into_iter()
        .zip(sources(folder)?)
        .map(|(data_id, source)| IngestFile::one(Arc::clone(&image), data_id, source))
        .collect();
    let name = TransactionName::new("bench/ingest")?;
    let request = IngestRequest::new(name, survey::run()?, files);
    settle(folder)?;
    let begin = Instant::now();
    let report = butler.ingest(&request, &NoProgress)?;
    let took = begin.elapsed();
    expect("ingested", &report.stored, &FILES)?;
    verify(&butler)?;
    Ok(took)
}

fn bare(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let mut made = survey::prepared(&butler, VISITS)?;
    let files: Vec<_> = sources(folder)?.into_iter().zip(made.paths.iter().cloned()).collect();
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    let now = butler.environment().clock.now().as_nanos();
    settle(folder)?;
    let begin = Instant::now();
    made.written(bare::copy(&made.root, &files)?);
    bare::insert(&connection, ids, 1, &made.datasets, &made.records, now)?;
    let took = begin.elapsed();
    verify(&butler)?;
    Ok(took)
}

/// The bare loop has to leave a repository that is as whole as Pantler's.
fn verify(butler: &DirectButler) -> Result<(), Fault> {
    let report = survey::check_clean(butler)?;
    expect("stored", &(report.counts.stored, report.counts.artifacts), &(FILES, FILES))?;
    expect("bytes", &report.counts.bytes, &((FILES * SIZE) as u64))
}
