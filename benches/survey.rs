//! The repository that the benches work in: visits of an instrument with four detectors.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::{
        Checksum, CollectionName, DataId, DatasetRef, DatasetType, DatasetTypeName,
        DimensionRecord, FileRecord, KeyValue, StorageClass, Universe, WriteId, changes::Change,
    },
    datastore::key::{dataset_key, run_prefix},
    direct::{
        CreateOptions, DirectButler, Environment,
        check::{CheckReport, check},
        create,
    },
    registry::{OpenOptions, RegistryError},
    workspace::open_butler,
};

use super::{bare, measure::Fault};

const UNIVERSE: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  visit: {key: integer, requires: [instrument]}
  detector: {key: integer, requires: [instrument]}
";

pub(crate) const DETECTORS: i64 = 4;

/// Makes a repository with the records of `visits` visits, the type `image` and the RUN
/// `bench`.
pub(crate) fn repository(root: &Utf8Path, visits: i64) -> Result<DirectButler, Fault> {
    let universe = Universe::from_yaml(UNIVERSE)?;
    create(root, &universe, &CreateOptions::default())?;
    let butler = open_butler(root, Environment::of_this_process("bench"), &OpenOptions::default())?;
    let record = |element: &str, values| {
        let element = universe.element(element)?;
        Ok::<_, Fault>(DimensionRecord {
            element: element.name.clone(),
            data_id: DataId::from_values(&universe.group_of(element), values)?,
            implied: BTreeMap::new(),
            metadata: BTreeMap::new(),
        })
    };
    let mut records = vec![record("instrument", vec!["cam".into()])?];
    for detector in 1..=DETECTORS {
        records.push(record("detector", vec!["cam".into(), detector.into()])?);
    }
    for visit in 1..=visits {
        records.push(record("visit", vec!["cam".into(), visit.into()])?);
    }
    let changes = [
        Change::EnsureDimensionRecords(records),
        Change::EnsureDatasetType(image(&butler)?),
        Change::EnsureRun(run()?),
    ];
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&changes, now).map_err(Fault::from))?;
    Ok(butler)
}

pub(crate) fn run() -> Result<CollectionName, Fault> {
    Ok(CollectionName::new("bench")?)
}

pub(crate) fn image(butler: &DirectButler) -> Result<Arc<DatasetType>, Fault> {
    Ok(Arc::new(DatasetType {
        name: DatasetTypeName::new("image")?,
        dimensions: butler.universe().group(["visit", "detector"])?,
        storage_class: StorageClass::Text,
    }))
}

/// A data ID for each detector of each visit, in order.
pub(crate) fn data_ids(dataset_type: &DatasetType, visits: i64) -> Result<Vec<DataId>, Fault> {
    let camera = KeyValue::from("cam");
    let mut data_ids = Vec::with_capacity(usize::try_from(visits * DETECTORS)?);
    for visit in 1..=visits {
        for detector in 1..=DETECTORS {
            let values: Vec<KeyValue> = vec![camera.clone(), visit.into(), detector.into()];
            data_ids.push(DataId::from_values(&dataset_type.dimensions, values)?);
        }
    }
    Ok(data_ids)
}

/// Fails if database and storage disagree.
pub(crate) fn check_clean(butler: &DirectButler) -> Result<CheckReport, Fault> {
    let report = check(butler)?;
    match report.findings.first() {
        None => Ok(report),
        Some(first) => Err(format!("{}: {}", first.subject, first.message).into()),
    }
}

/// The id of the RUN `bench`.
pub(crate) fn run_id(butler: &DirectButler) -> Result<pantler::core::RunId, Fault> {
    let run = run()?;
    let found = butler.registry().read(|reader| reader.collection(&run))?;
    let found = found.ok_or_else(|| RegistryError::UnknownCollection { name: run })?;
    Ok(found.id)
}

/// What a bare loop inserts and writes: made beforehand, as Pantler would make it.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The storage root.
    pub(crate) root: Utf8PathBuf,
    pub(crate) datasets: Vec<DatasetRef>,
    /// Without size and checksum.
    pub(crate) records: Vec<FileRecord>,
    /// Where the artifacts come to lie, in one directory, which is there.
    pub(crate) paths: Vec<Utf8PathBuf>,
}

/// A dataset for each detector of each visit.
pub(crate) fn prepared(butler: &DirectButler, visits: i64) -> Result<Prepared, Fault> {
    let (image, run) = (image(butler)?, run()?);
    let prefix = run_prefix(&run, run_id(butler)?);
    let environment = butler.environment();
    let write = WriteId::of_opening(environment.new_opening(), 1);
    let root = butler.root().join(&butler.datastore().config().root);
    let class = image.storage_class;
    let (mut datasets, mut records, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for data_id in data_ids(&image, visits)? {
        let id = environment.new_dataset();
        let key = dataset_key(&prefix, &image.name, &data_id, &write, class.extension());
        paths.push(root.join(key.as_str()));
        records.push(FileRecord {
            dataset: id,
            component: Box::default(),
            location: key.into(),
            offset: None,
            formatter: class.formatter().into(),
            storage_class: class,
            size: 0,
            checksum: Checksum::of(b""),
        });
        let dataset_type = Arc::clone(&image);
        datasets.push(DatasetRef { id, dataset_type, data_id, run: run.clone() });
    }
    let first: &Utf8PathBuf = paths.first().ok_or("there is a visit")?;
    std::fs::create_dir_all(first.parent().ok_or("a key has a directory")?)?;
    Ok(Prepared { root, datasets, records, paths })
}

impl Prepared {
    /// Notes what was written.
    pub(crate) fn written(&mut self, written: Vec<(u64, [u8; 32])>) {
        written.into_iter().enumerate().for_each(|(at, written)| self.note(at, written));
    }

    /// Notes size and checksum of one artifact.
    pub(crate) fn note(&mut self, at: usize, (size, checksum): (u64, [u8; 32])) {
        let record = &mut self.records[at];
        record.size = size;
        record.checksum = Checksum::from_bytes(checksum);
    }
}

/// A repository with so many visits, and a stored dataset of `size` bytes for each
/// detector of each, made by the bare loop.
pub(crate) fn stored(
    root: &Utf8Path,
    visits: i64,
    size: usize,
) -> Result<(DirectButler, Prepared), Fault> {
    let butler = repository(root, visits)?;
    let mut made = prepared(&butler, visits)?;
    let files: Vec<_> =
        made.paths.iter().enumerate().map(|(n, path)| (content(n, size), path.clone())).collect();
    made.written(bare::write(&made.root, &files)?);
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    let now = butler.environment().clock.now().as_nanos();
    bare::insert(&connection, ids, 1, &made.datasets, &made.records, now)?;
    Ok((butler, made))
}

/// So many bytes, a multiple of 20, that no other number gives.
pub(crate) fn content(number: usize, size: usize) -> Vec<u8> {
    format!("{number:019}\n").repeat(size / 20).into_bytes()
}
