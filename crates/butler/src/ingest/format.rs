//! An ingest as it stands in the database, version 1: a JSON object with the RUN
//! and a digest of the manifest; the manifest is one JSON array a line, one line a
//! file.

use pantler_core::{ArtifactKey, Checksum, CollectionName, DatasetId, StorageClass};
use serde::{Deserialize, Serialize};

use super::{Ingest, IngestItem};
use crate::transaction::{DecodeError, TransactionKind as _};

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct DataV1 {
    version: u32,
    run: CollectionName,
    made_run: bool,
    files: usize,
    manifest: Checksum,
}

#[derive(Serialize, Deserialize)]
struct ItemV1(DatasetId, String, ArtifactKey, StorageClass, String, u64, i64);

pub(super) fn data(ingest: &Ingest) -> String {
    let data = DataV1 {
        version: VERSION,
        run: ingest.run.clone(),
        made_run: ingest.made_run,
        files: ingest.items.len(),
        manifest: Checksum::of(&manifest(&ingest.items)),
    };
    serde_json::to_string(&data).expect("names and numbers serialize")
}

pub(super) fn manifest(items: &[IngestItem]) -> Vec<u8> {
    let mut text = Vec::with_capacity(items.len() * 200);
    for item in items {
        let IngestItem { dataset, label, key, storage_class, source, size, modified } =
            item.clone();
        let item = ItemV1(dataset, label, key, storage_class, source, size, modified);
        serde_json::to_writer(&mut text, &item).expect("memory takes bytes");
        text.push(b'\n');
    }
    text
}

pub(super) fn decode(data: &str, manifest: &[u8]) -> Result<Ingest, DecodeError> {
    let damaged = |reason: String| DecodeError::Damaged { kind: Ingest::KIND, reason };
    let version: VersionOnly = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    if version.version != VERSION {
        return Err(DecodeError::Version {
            kind: Ingest::KIND,
            found: version.version,
            supported: VERSION,
        });
    }
    let data: DataV1 = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    if Checksum::of(manifest) != data.manifest {
        return Err(damaged("the manifest has another checksum".to_owned()));
    }
    let mut items = Vec::with_capacity(data.files);
    for line in manifest.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let ItemV1(dataset, label, key, storage_class, source, size, modified) =
            serde_json::from_slice(line).map_err(|e| damaged(format!("manifest: {e}")))?;
        if !key.has_write_id() {
            return Err(damaged(format!("manifest: key {key} carries no write id")));
        }
        items.push(IngestItem { dataset, label, key, storage_class, source, size, modified });
    }
    Ok(Ingest::new(data.run, data.made_run, items, Vec::new()))
}
