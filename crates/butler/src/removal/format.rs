//! A removal as it stands in the database, version 2: a JSON object with the RUNs and a
//! digest of the manifest. The manifest is lines of JSON: the datasets, one an array of
//! id and label, then, after an empty line, the artifacts. Version 1 has the key that an
//! artifact gets if it survives in every line.

use std::borrow::Cow;

use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DatasetId, FileRecord, Location, StorageClass,
};
use serde::{Deserialize, Serialize};

use super::{Extent, Fate, Removal, RemovedArtifact, RemovedDataset};
use crate::transaction::DecodeError;

const VERSION: u32 = 2;

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Of versions 1 and 2.
#[derive(Serialize, Deserialize)]
struct DataV1 {
    version: u32,
    runs: Vec<CollectionName>,
    purge: bool,
    datasets: usize,
    artifacts: usize,
    manifest: Checksum,
}

/// Id, label.
#[derive(Serialize, Deserialize)]
struct DatasetV1<'a>(DatasetId, #[serde(borrow)] Cow<'a, str>);

/// Location, key if it survives, records.
#[derive(Deserialize)]
struct ArtifactV1<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    #[serde(borrow)] Vec<RecordV1<'a>>,
);

/// Location, fate, records.
#[derive(Serialize, Deserialize)]
struct ArtifactV2<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] FateV2<'a>,
    #[serde(borrow)] Vec<RecordV1<'a>>,
);

/// Whether it goes, or the key that it gets if it survives.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FateV2<'a> {
    Goes(bool),
    Moves(#[serde(borrow)] Cow<'a, str>),
}

/// Dataset, component, offset, formatter, storage class, size, checksum.
#[derive(Serialize, Deserialize)]
struct RecordV1<'a>(
    DatasetId,
    #[serde(borrow)] Cow<'a, str>,
    Option<u64>,
    #[serde(borrow)] Cow<'a, str>,
    StorageClass,
    u64,
    Checksum,
);

pub(super) fn data(removal: &Removal, manifest: &[u8]) -> String {
    let data = DataV1 {
        version: VERSION,
        runs: removal.runs.clone(),
        purge: removal.extent == Extent::Purge,
        datasets: removal.datasets.len(),
        artifacts: removal.artifacts.len(),
        manifest: Checksum::of(manifest),
    };
    serde_json::to_string(&data).expect("names and numbers serialize")
}

pub(super) fn manifest(removal: &Removal) -> Vec<u8> {
    let mut text = Vec::with_capacity(removal.datasets.len() * 400);
    for dataset in &removal.datasets {
        line(&mut text, &DatasetV1(dataset.id, (&*dataset.label).into()));
    }
    text.push(b'\n');
    for artifact in &removal.artifacts {
        let fate = match &artifact.fate {
            Fate::Stays => FateV2::Goes(false),
            Fate::Goes => FateV2::Goes(true),
            Fate::GoesOrMoves(key) => FateV2::Moves(key.as_str().into()),
        };
        let records = artifact.records.iter().map(RecordV1::of).collect();
        line(&mut text, &ArtifactV2(artifact.location.as_str().into(), fate, records));
    }
    text
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *text, value).expect("memory takes bytes");
    text.push(b'\n');
}

impl<'a> RecordV1<'a> {
    fn of(record: &'a FileRecord) -> Self {
        Self(
            record.dataset,
            (&*record.component).into(),
            record.offset,
            (&*record.formatter).into(),
            record.storage_class,
            record.size,
            record.checksum,
        )
    }
}

pub(super) fn decode(
    kind: &'static str,
    data: &str,
    manifest: &[u8],
) -> Result<Removal, DecodeError> {
    let damaged = |reason: String| DecodeError::Damaged { kind, reason };
    let found: VersionOnly = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    if !(1..=VERSION).contains(&found.version) {
        return Err(DecodeError::Version { kind, found: found.version, supported: VERSION });
    }
    let data: DataV1 = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    if Checksum::of(manifest) != data.manifest {
        return Err(damaged("the manifest has another checksum".to_owned()));
    }
    lines(data, manifest).map_err(|reason| damaged(format!("manifest: {reason}")))
}

fn artifact(version: u32, line: &[u8]) -> Result<(Location, Fate, Vec<RecordV1<'_>>), String> {
    let in_words = |error: serde_json::Error| error.to_string();
    let (location, fate, records) = if version == 1 {
        let ArtifactV1(location, survivor, records) =
            serde_json::from_slice(line).map_err(in_words)?;
        (location, survivor.map_or(FateV2::Goes(false), FateV2::Moves), records)
    } else {
        let ArtifactV2(location, fate, records) = serde_json::from_slice(line).map_err(in_words)?;
        (location, fate, records)
    };
    let location = Location::new(&location).map_err(|e| e.to_string())?;
    let fate = match fate {
        FateV2::Goes(false) => Fate::Stays,
        FateV2::Goes(true) => Fate::Goes,
        FateV2::Moves(key) => {
            Fate::GoesOrMoves(ArtifactKey::new(key.into_owned()).map_err(|e| e.to_string())?)
        }
    };
    let survivor = match &fate {
        Fate::Stays => return Ok((location, fate, records)),
        Fate::Goes => location.key(),
        Fate::GoesOrMoves(key) => Some(key),
    };
    if survivor.is_none_or(|key| !key.has_write_id()) {
        return Err(format!("{location} cannot survive: its key carries no write id"));
    }
    Ok((location, fate, records))
}

fn lines(data: DataV1, manifest: &[u8]) -> Result<Removal, String> {
    let mut lines = manifest.split(|b| *b == b'\n');
    let mut datasets = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let DatasetV1(id, label) = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        datasets.push(RemovedDataset { id, label: label.into() });
    }
    let mut artifacts = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (location, fate, records) = artifact(data.version, line)?;
        let record =
            |RecordV1(dataset, component, offset, formatter, class, size, checksum)| FileRecord {
                dataset,
                component: component.into(),
                location: location.clone(),
                offset,
                formatter: formatter.into_owned().into(),
                storage_class: class,
                size,
                checksum,
            };
        let records: Vec<FileRecord> = records.into_iter().map(record).collect();
        artifacts.push(RemovedArtifact { location, fate, records });
    }
    if datasets.len() != data.datasets || artifacts.len() != data.artifacts {
        return Err(format!(
            "{} datasets and {} artifacts of {} and {}",
            datasets.len(),
            artifacts.len(),
            data.datasets,
            data.artifacts
        ));
    }
    let extent = if data.purge { Extent::Purge } else { Extent::Unstore };
    Ok(Removal::new(data.runs, extent, datasets, artifacts))
}
