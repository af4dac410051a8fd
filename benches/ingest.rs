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
    core::{
        Checksum, DatasetRef, FileRecord, TransactionName, WriteId, transaction::TransactionRow,
    },
    datastore::key::{dataset_key, run_prefix},
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
        let text = format!("{n:019}\n").repeat(SIZE / 20);
        std::io::Write::write_all(&mut std::fs::File::create_new(&path)?, text.as_bytes())?;
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
    let (image, run) = (survey::image(&butler)?, survey::run()?);
    let prefix = run_prefix(&run, survey::run_id(&butler)?);
    let environment = butler.environment();
    let write = WriteId::of_opening(environment.new_opening(), 1);
    let root = butler.root().join(&butler.datastore().config().root);
    let class = image.storage_class;
    let (mut datasets, mut records, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for (data_id, source) in survey::data_ids(&image, VISITS)?.into_iter().zip(sources(folder)?) {
        let id = environment.new_dataset();
        let key = dataset_key(&prefix, &image.name, &data_id, &write, class.extension());
        files.push((source, root.join(key.as_str())));
        records.push(FileRecord {
            dataset: id,
            component: String::new(),
            location: key.into(),
            offset: None,
            formatter: class.formatter().to_owned(),
            storage_class: class,
            size: 0,
            checksum: Checksum::of(b""),
        });
        let dataset_type = Arc::clone(&image);
        datasets.push(DatasetRef { id, dataset_type, data_id, run: run.clone() });
    }
    std::fs::create_dir_all(files[0].1.parent().ok_or("a key has a directory")?)?;
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &datasets[0])?;
    let now = environment.clock.now().as_nanos();
    settle(folder)?;
    let begin = Instant::now();
    let written = bare::copy(&root, &files)?;
    for (record, (size, checksum)) in records.iter_mut().zip(written) {
        record.size = size;
        record.checksum = Checksum::from_bytes(checksum);
    }
    bare::insert(&connection, ids, 1, &datasets, &records, now)?;
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
