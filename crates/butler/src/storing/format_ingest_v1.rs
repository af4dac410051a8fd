//! Version 1 of `ingest`: one RUN, one dataset an artifact, always by copy.

use pantler_core::{ArtifactKey, Checksum, CollectionName, DatasetId, StorageClass};
use serde::Deserialize;

use super::{Item, ItemDataset, Role, Source, Storing, StoringRun};

#[derive(Deserialize)]
struct DataV1 {
    run: CollectionName,
    made_run: bool,
    files: usize,
    manifest: Checksum,
}

#[derive(Deserialize)]
struct ItemV1(DatasetId, Box<str>, ArtifactKey, StorageClass, Box<str>, u64, i64);

/// Decodes it; the error says what is wrong.
pub(super) fn decode<R: Role>(data: &str, manifest: &[u8]) -> Result<Storing<R>, String> {
    let data: DataV1 = serde_json::from_str(data).map_err(|e| e.to_string())?;
    if Checksum::of(manifest) != data.manifest {
        return Err("the manifest has another checksum".to_owned());
    }
    let mut items = Vec::with_capacity(data.files.min(manifest.len()));
    for line in manifest.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let ItemV1(id, label, key, storage_class, path, size, modified) =
            serde_json::from_slice(line).map_err(|e| format!("manifest: {e}"))?;
        if !key.has_write_id() {
            return Err(format!("manifest: key {key} carries no write id"));
        }
        let dataset = ItemDataset { id, label, storage_class, slice: None, registered: false };
        let mut item = Item::written_at(key, vec![dataset]);
        item.source = Some(Box::new(Source { path, size, modified }));
        items.push(item);
    }
    let run = StoringRun { name: data.run, made: data.made_run, modified: false };
    Ok(Storing::new(vec![run], items, Vec::new()))
}
