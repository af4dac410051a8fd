//! The repository that the benches work in: visits of an instrument with four detectors.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8Path;
use pantler::{
    core::{
        CollectionName, DataId, DatasetType, DatasetTypeName, DimensionRecord, KeyValue,
        StorageClass, Universe, changes::Change,
    },
    direct::{
        CreateOptions, DirectButler, Environment,
        check::{CheckReport, check},
        create,
    },
    registry::{OpenOptions, RegistryError},
    workspace::open_butler,
};

use crate::measure::Fault;

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
    let mut data_ids = Vec::new();
    for visit in 1..=visits {
        for detector in 1..=DETECTORS {
            let values: Vec<KeyValue> = vec!["cam".into(), visit.into(), detector.into()];
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
