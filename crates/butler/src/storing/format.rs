//! A storing transaction as it stands in the database: a JSON object with the RUNs,
//! and one JSON array for each artifact. A few artifacts stand in the object itself;
//! many are the manifest, one a line, and the object holds its digest.
//!
//! Version 1 of `put`, `restore` and `transfer`, version 2 of `ingest`. A transfer that
//! extends a chain has version 2, which differs in that alone.

use pantler_core::{Checksum, CollectionName, DatasetId, Location, StorageClass};
use serde::{Deserialize, Serialize};

use super::{Item, ItemDataset, Role, Source, Storing, StoringChain, StoringRun, format_ingest_v1};
use crate::{artifacts::Content, transaction::DecodeError};

/// Up to how many datasets stand in the object itself.
const FEW: usize = 8;

fn is_few(items: &[Item]) -> bool {
    items.iter().map(|item| item.datasets.len()).sum::<usize>() <= FEW
}

const INGEST: &str = "ingest";
const TRANSFER: &str = "transfer";

/// The version that a kind writes.
fn version(kind: &str, has_chain: bool) -> u32 {
    if kind == INGEST || has_chain { 2 } else { 1 }
}

/// The newest version of a kind.
fn newest(kind: &str) -> u32 {
    version(kind, kind == TRANSFER)
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Data<'a> {
    version: u32,
    runs: Vec<RunData>,
    artifacts: usize,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ItemData<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Checksum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<ChainData>,
}

#[derive(Serialize, Deserialize)]
struct ChainData {
    name: CollectionName,
    first: CollectionName,
    last: Vec<CollectionName>,
}

#[derive(Serialize, Deserialize)]
struct RunData {
    name: CollectionName,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    made: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    modified: bool,
}

/// Location, whether it is written, source, expected content, datasets.
#[derive(Serialize, Deserialize)]
struct ItemData<'a>(
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    bool,
    #[serde(borrow)] Option<SourceData<'a>>,
    Option<ContentData>,
    #[serde(borrow)] Vec<DatasetData<'a>>,
);

/// Path, size, modification time.
#[derive(Serialize, Deserialize)]
struct SourceData<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>, u64, i64);

/// Size, checksum.
#[derive(Serialize, Deserialize)]
struct ContentData(u64, Checksum);

/// Id, label, storage class, slice (offset, content), whether it was registered.
#[derive(Serialize, Deserialize)]
struct DatasetData<'a>(
    DatasetId,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    StorageClass,
    Option<(u64, ContentData)>,
    bool,
);

impl<'a> ItemData<'a> {
    fn of(item: &'a Item) -> Self {
        let content = |content: Content| ContentData(content.size, content.checksum);
        let dataset = |d: &'a ItemDataset| {
            let slice = d.slice.as_deref().map(|(offset, own)| (*offset, content(*own)));
            DatasetData(d.id, (&*d.label).into(), d.storage_class, slice, d.registered)
        };
        Self(
            item.location.as_str().into(),
            item.is_written(),
            item.source.as_ref().map(|s| SourceData((&*s.path).into(), s.size, s.modified)),
            item.expected.map(content),
            item.datasets.iter().map(dataset).collect(),
        )
    }

    fn into_item(self) -> Result<Item, String> {
        let Self(location, written, source, expected, datasets) = self;
        let location = Location::new(&location).map_err(|e| e.to_string())?;
        let content = |ContentData(size, checksum)| Content { size, checksum };
        let datasets: Vec<ItemDataset> = datasets
            .into_iter()
            .map(|DatasetData(id, label, storage_class, slice, registered)| ItemDataset {
                id,
                label: label.into(),
                storage_class,
                slice: slice.map(|(offset, own)| Box::new((offset, content(own)))),
                registered,
            })
            .collect();
        if datasets.is_empty() {
            return Err(format!("{location} holds no dataset"));
        }
        let mut item = match location {
            Location::Artifact(key) if written => {
                if !key.has_write_id() {
                    return Err(format!("key {key} carries no write id"));
                }
                Item::written_at(key, datasets)
            }
            location => Item::existing(location, datasets),
        };
        item.source = source.map(|SourceData(path, size, modified)| {
            Box::new(Source { path: path.into(), size, modified })
        });
        item.expected = expected.map(content);
        Ok(item)
    }
}

pub(super) fn data<R: Role>(storing: &Storing<R>, manifest: &[u8]) -> String {
    let few = is_few(&storing.items);
    let run = |run: &StoringRun| RunData {
        name: run.name.clone(),
        made: run.made,
        modified: run.modified,
    };
    let data = Data {
        version: version(R::KIND, storing.chain.is_some()),
        runs: storing.runs.iter().map(run).collect(),
        artifacts: storing.items.len(),
        items: few.then(|| storing.items.iter().map(ItemData::of).collect()),
        manifest: (!few).then(|| Checksum::of(manifest)),
        chain: storing.chain.clone().map(|StoringChain { name, first, last }| ChainData {
            name,
            first,
            last,
        }),
    };
    serde_json::to_string(&data).expect("names and numbers serialize")
}

pub(super) fn manifest(items: &[Item]) -> Option<Vec<u8>> {
    if is_few(items) {
        return None;
    }
    let mut text = Vec::with_capacity(items.len() * 220);
    for item in items {
        serde_json::to_writer(&mut text, &ItemData::of(item)).expect("memory takes bytes");
        text.push(b'\n');
    }
    Some(text)
}

fn lines(manifest: &[u8]) -> Result<Vec<Item>, String> {
    let lines = || manifest.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let mut items = Vec::with_capacity(lines().count());
    for line in lines() {
        let item: ItemData<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        items.push(item.into_item()?);
    }
    Ok(items)
}

pub(super) fn decode<R: Role>(data: &str, manifest: &[u8]) -> Result<Storing<R>, DecodeError> {
    let damaged = |reason: String| DecodeError::Damaged { kind: R::KIND, reason };
    let found: VersionOnly = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    if R::KIND == INGEST && found.version == 1 {
        return format_ingest_v1::decode(data, manifest).map_err(damaged);
    }
    let known = [version(R::KIND, false), newest(R::KIND)];
    if !known.contains(&found.version) {
        let supported = newest(R::KIND);
        return Err(DecodeError::Version { kind: R::KIND, found: found.version, supported });
    }
    let data: Data<'_> = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
    let items = match (data.items, data.manifest) {
        (Some(items), None) => items.into_iter().map(ItemData::into_item).collect(),
        (None, Some(digest)) if digest == Checksum::of(manifest) => lines(manifest),
        (None, Some(_)) => Err("the manifest has another checksum".to_owned()),
        _ => Err("it must have either artifacts or a manifest".to_owned()),
    };
    let items: Vec<Item> = items.map_err(damaged)?;
    if items.len() != data.artifacts {
        return Err(damaged(format!("{} artifacts of {}", items.len(), data.artifacts)));
    }
    let runs = data.runs.into_iter().map(|run| StoringRun {
        name: run.name,
        made: run.made,
        modified: run.modified,
    });
    let chain =
        data.chain.map(|ChainData { name, first, last }| StoringChain { name, first, last });
    if version(R::KIND, chain.is_some()) != found.version {
        return Err(damaged("a chain stands in version 2 alone".to_owned()));
    }
    Ok(Storing::new(runs.collect(), items, Vec::new()).with_chain(chain))
}
