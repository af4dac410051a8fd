//! `cargo bench --bench commit`: the closing database transaction of a workspace with
//! 100,000 datasets, against prepared statements that insert the same rows.

mod bare;
mod measure;
mod survey;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler::{
    core::{
        Checksum, CollectionName, DatasetRef, FileRecord, IdSeed, OpeningId, TransactionName,
        WriteId,
        changes::Change,
        transaction::{Closing, RunLocks, TransactionRow},
    },
    datastore::key::{dataset_key, run_prefix},
    direct::DirectButler,
};

use crate::measure::{Fault, Place, alternate, expect, settle};

const VISITS: i64 = 25_000;
const DATASETS: usize = 100_000;
const BOUND: f64 = 1.5;

fn main() -> Result<(), Fault> {
    alternate(&format!("commit of {DATASETS} datasets, rows only"), BOUND, ours, bare)
}

/// The rows as a workspace of `opening` collects them: predicted ids, which are random
/// but for their time, in the order of data IDs.
fn rows(
    butler: &DirectButler,
    opening: OpeningId,
) -> Result<(Vec<DatasetRef>, Vec<FileRecord>), Fault> {
    let (image, run) = (survey::image(butler)?, survey::run()?);
    let seed = IdSeed { opening, generation: 0 };
    let prefix = run_prefix(&run, survey::run_id(butler)?);
    let write = WriteId::of_quantum(opening, 1, 1);
    let class = image.storage_class;
    let (mut datasets, mut records) = (Vec::new(), Vec::new());
    for data_id in survey::data_ids(&image, VISITS)? {
        let id = seed.dataset(image.name.as_str(), &data_id);
        records.push(FileRecord {
            dataset: id,
            component: Box::default(),
            location: dataset_key(&prefix, &image.name, &data_id, &write, class.extension()).into(),
            offset: None,
            formatter: class.formatter().into(),
            storage_class: class,
            size: 1_000,
            checksum: Checksum::of(id.as_uuid().as_bytes()),
        });
        let dataset_type = Arc::clone(&image);
        datasets.push(DatasetRef { id, dataset_type, data_id, run: run.clone() });
    }
    Ok((datasets, records))
}

fn ours(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let (environment, run) = (butler.environment(), survey::run()?);
    let opening = environment.new_opening();
    let row = TransactionRow {
        name: TransactionName::new(run.as_str())?,
        kind: "workspace".to_owned(),
        data: "{}".to_owned(),
        owner: environment.owner.clone(),
        opening,
        attempt: 1,
        closing: None,
        process: environment.process.clone(),
        opened_at: environment.clock.now(),
        config_version: butler.datastore().config().version,
    };
    let locks = RunLocks { modified: vec![run.clone()], ..RunLocks::default() };
    butler
        .registry()
        .write(|writer| writer.insert_transaction(&row, &locks, None).map_err(Fault::from))?;
    let (datasets, records) = rows(&butler, opening)?;
    let first = datasets[0].clone();
    let changes = [
        Change::EnsureDatasetType(Arc::clone(&first.dataset_type)),
        Change::InsertDatasets(datasets),
        Change::InsertRecords(records),
        Change::ExtendChain { chain: CollectionName::new("chain")?, first: run, last: Vec::new() },
    ];
    settle(folder)?;
    let begin = Instant::now();
    let now = environment.clock.now();
    butler.registry().write(|writer| {
        writer.check_attempt(opening, 1)?;
        writer.close_transaction(&row.name, opening, 1, Closing::Commit, now)?;
        writer.apply(&changes, now).map_err(Fault::from)
    })?;
    let took = begin.elapsed();
    expect("open transactions", &butler.list_transactions()?.len(), &0)?;
    verify(&butler, &first)?;
    Ok(took)
}

fn bare(_: &Place, folder: &Utf8Path) -> Result<Duration, Fault> {
    let butler = survey::repository(&folder.join("repo"), VISITS)?;
    let (datasets, records) = rows(&butler, butler.environment().new_opening())?;
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &datasets[0])?;
    let now = butler.environment().clock.now().as_nanos();
    settle(folder)?;
    let begin = Instant::now();
    bare::insert(&connection, ids, 1, &datasets, &records, now)?;
    let took = begin.elapsed();
    verify(&butler, &datasets[0])?;
    Ok(took)
}

fn verify(butler: &DirectButler, first: &DatasetRef) -> Result<(), Fault> {
    let connection = bare::connect(butler.registry().path())?;
    let rows = bare::rows(&connection, bare::ids(&connection, first)?)?;
    expect("rows", &rows, &[i64::try_from(DATASETS)?; 3])
}
