//! A kind of artifact transaction of one's own: publishing a report.
//!
//! `cargo run --release --example own_kind [REPOSITORY]`
//!
//! A *publication* stores a small report and tags it, together with the datasets that it is
//! about: either all of that is there, or nothing. What the kind says in a few functions
//! over values, the repository keeps through kills and races, as for the built-in kinds.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeMap, error::Error, sync::Arc};

use camino::Utf8PathBuf;
use pantler::{
    butler::{
        artifacts::Content,
        transaction::{
            ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, Kinds,
            Managed, Open, OpenContext, RevertContext, TransactionKind,
        },
    },
    core::{
        ArtifactKey, Checksum, CollectionName, CollectionType, DataId, DatasetId, DatasetRef,
        DatasetType, DatasetTypeName, DimensionRecord, ElementName, FileRecord, KeyValue,
        StorageClass, TransactionName, Universe, WriteId,
        changes::Change,
        transaction::{Closing, RunLocks},
    },
    datastore::key,
    direct::{Begun, CloseOptions, CreateOptions, DirectButler, Environment, check::check, create},
    registry::{DatasetQuery, OpenOptions},
};
use serde_json::{Value, json};

const UNIVERSE: &str = "
version: 1
name: lake
elements:
  station: {key: string}
";

/// Stores a report and tags it with the datasets that it is about.
#[derive(Debug)]
struct Publication {
    /// The RUN that gets the report.
    run: CollectionName,
    /// The TAGGED collection.
    tag: CollectionName,
    /// The datasets that the report is about.
    about: Vec<DatasetId>,
    /// The report's id.
    report: DatasetId,
    /// Its key at the first attempt.
    key: ArtifactKey,
    /// What it will be.
    content: Content,
    /// The report, for the opening alone: it is registered then.
    dataset: Option<DatasetRef>,
}

impl Publication {
    const VERSION: u64 = 1;

    /// The report at the newest attempt's key, if it is whole.
    fn find(&self, context: &CloseContext<'_>) -> Result<Option<ArtifactKey>, KindError> {
        for key in self.keys(&context.write_ids()) {
            if context.artifacts().measure(&key)? == Some(self.content) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn keys(&self, writes: &[WriteId]) -> Vec<ArtifactKey> {
        writes.iter().filter_map(|write| self.key.at(write)).collect()
    }

    fn record(&self, key: ArtifactKey) -> FileRecord {
        FileRecord {
            dataset: self.report,
            component: Box::default(),
            location: key.into(),
            offset: None,
            formatter: StorageClass::Text.formatter().into(),
            storage_class: StorageClass::Text,
            size: self.content.size,
            checksum: self.content.checksum,
        }
    }
}

impl ArtifactTransaction for Publication {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, _: Option<&[u8]>) -> String {
        json!({
            "version": Self::VERSION, "run": self.run, "tag": self.tag, "about": self.about,
            "report": self.report, "key": self.key.as_str(),
            "size": self.content.size, "checksum": self.content.checksum.to_string(),
        })
        .to_string()
    }

    fn locks(&self) -> RunLocks {
        RunLocks { insert_only: vec![self.run.clone()], ..RunLocks::default() }
    }

    fn managed(&self) -> Managed {
        Managed { datasets: vec![self.report], keys: vec![self.key.clone()] }
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        let dataset = self.dataset.clone();
        let dataset = dataset.ok_or_else(|| KindError::Invalid("it was open before".to_owned()))?;
        context.insert_datasets(vec![dataset]);
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        let Some(key) = self.find(context)? else {
            return Err(KindError::Incomplete(vec![format!("the report {}", self.report)]));
        };
        context.artifacts().flush(std::slice::from_ref(&key))?;
        context.insert_records(vec![self.record(key)]);
        context.ensure_collection(self.tag.clone(), CollectionType::Tagged);
        let tagged = self.about.iter().copied().chain([self.report]);
        context.associate(self.tag.clone(), tagged.collect());
        Ok(())
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        context.artifacts().unstore(&self.keys(&context.write_ids()))?;
        context.discard_datasets(vec![self.report]);
        Ok(())
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        let mut unwanted = self.keys(&context.write_ids());
        // After a revert began, nothing of it may become stored.
        if !context.facts().past_the_door
            && let Some(key) = self.find(context)?
        {
            context.artifacts().flush(std::slice::from_ref(&key))?;
            context.artifacts().discard_unfinished(&unwanted)?;
            unwanted.retain(|other| *other != key);
            context.insert_records(vec![self.record(key)]);
        }
        context.artifacts().unstore(&unwanted)?;
        Ok(())
    }
}

impl TransactionKind for Publication {
    const KIND: &'static str = "example.publication";

    fn decode(data: &str, _: &[u8]) -> Result<Self, DecodeError> {
        let damaged = |reason: String| DecodeError::Damaged { kind: Self::KIND, reason };
        let value: Value = serde_json::from_str(data).map_err(|e| damaged(e.to_string()))?;
        let field = |name: &str| value.get(name).ok_or_else(|| damaged(format!("no {name}")));
        let version = field("version")?.as_u64();
        if version != Some(Self::VERSION) {
            return Err(DecodeError::Version {
                kind: Self::KIND,
                found: version.and_then(|version| version.try_into().ok()).unwrap_or(0),
                supported: 1,
            });
        }
        let text = |name: &str| Ok(field(name)?.as_str().unwrap_or_default().to_owned());
        let about = serde_json::from_value(field("about")?.clone());
        Ok(Self {
            run: CollectionName::new(text("run")?).map_err(|e| damaged(e.to_string()))?,
            tag: CollectionName::new(text("tag")?).map_err(|e| damaged(e.to_string()))?,
            about: about.map_err(|e| damaged(e.to_string()))?,
            report: text("report")?.parse().map_err(|e| damaged(format!("{e}")))?,
            key: ArtifactKey::new(text("key")?).map_err(|e| damaged(e.to_string()))?,
            content: Content {
                size: field("size")?.as_u64().ok_or_else(|| damaged("no size".to_owned()))?,
                checksum: text("checksum")?.parse().map_err(|e| damaged(format!("{e}")))?,
            },
            dataset: None,
        })
    }
}

/// Opens a publication: the report is registered, and not yet written.
fn open(
    butler: &DirectButler,
    name: &TransactionName,
    about: Vec<DatasetId>,
    text: &str,
) -> Result<Open<Publication>, Box<dyn Error>> {
    let run = CollectionName::new("lake/reports")?;
    let now = butler.environment().clock.now();
    let (id, dataset_type) = butler.registry().write(|writer| {
        writer.apply(&[Change::EnsureRun(run.clone())], now)?;
        Ok::<_, pantler::registry::RegistryError>((
            writer.collection(&run)?.map(|collection| collection.id),
            writer.dataset_type(&DatasetTypeName::new("report").expect("a good name"))?,
        ))
    })?;
    let prefix = key::run_prefix(&run, id.ok_or("the RUN was just made")?);
    let dataset_type = dataset_type.ok_or("the type is registered")?;
    let values = [("station".to_owned(), KeyValue::from("all"))];
    let data_id = DataId::new(butler.universe(), &dataset_type.dimensions, values.into())?;
    let opening = butler.environment().new_opening();
    let write = WriteId::of_opening(opening, 1);
    let report = butler.environment().new_dataset();
    let publication = Publication {
        run: run.clone(),
        tag: CollectionName::new("lake/published")?,
        about,
        report,
        key: key::dataset_key(&prefix, &dataset_type.name, &data_id, &write, "txt"),
        content: Content { size: text.len() as u64, checksum: Checksum::of(text.as_bytes()) },
        dataset: Some(DatasetRef { id: report, dataset_type, data_id, run }),
    };
    match butler.begin(name, opening, publication)? {
        Begun::Opened(open) => Ok(open),
        Begun::Joined(row) => Err(format!("{} is open already", row.name).into()),
    }
}

/// Writes the report to its key.
fn write(
    butler: &DirectButler,
    open: &Open<Publication>,
    text: &str,
) -> Result<(), Box<dyn Error>> {
    let batch = butler.datastore().begin_batch()?;
    batch.write(&open.transaction().key, &mut text.as_bytes())?;
    batch.publish()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let repository = match std::env::args().nth(1) {
        Some(path) => Utf8PathBuf::from(path),
        None => Utf8PathBuf::try_from(scratch.path().join("repository"))?,
    };
    create(&repository, &Universe::from_yaml(UNIVERSE)?, &CreateOptions::default())?;
    let environment = Environment::of_this_process("example");
    let plain = DirectButler::open(&repository, environment.clone(), &OpenOptions::default())?;
    // A butler that knows the kind.
    let butler = DirectButler::open(&repository, environment, &OpenOptions::default())?
        .with_kinds(Kinds::with::<Publication>);
    let levels = put_levels(&butler)?;
    let text = "The water is low everywhere.\n";

    // One that is interrupted after its opening: listed, and closed by whoever knows it.
    let name = TransactionName::new("publish/first")?;
    drop(open(&butler, &name, levels.clone(), text)?);
    for row in butler.list_transactions()? {
        println!("open: {} ({}), by {}", row.name, row.kind, row.owner);
    }
    let revert =
        |butler: &DirectButler| butler.close(&name, Closing::Revert, CloseOptions::default());
    let refused = revert(&plain).err().ok_or("a butler without the kind cannot close it")?;
    println!("without the kind: {}", refused.source().ok_or("it says why")?);
    revert(&butler)?;
    println!("reverted; open now: {}", butler.list_transactions()?.len());

    // One that goes well.
    let publication = open(&butler, &name, levels, text)?;
    let publication = match butler.close_open(publication, Closing::Commit, CloseOptions::default())
    {
        Ok(_) => return Err("the report is not there yet".into()),
        Err(failure) => {
            println!("too early: {}", failure.error.source().ok_or("it says why")?);
            failure.open.ok_or("it stays open")?
        }
    };
    write(&butler, &publication, text)?;
    butler.close_open(publication, Closing::Commit, CloseOptions::default())?;

    let published = vec![CollectionName::new("lake/published")?];
    let query = DatasetQuery { runs: Some(published), ..DatasetQuery::default() };
    for row in butler.query_datasets(&query)? {
        let content = String::from_utf8(butler.get(&row)?.ok_or("it is stored")?)?;
        println!("{} {}: {}", row.dataset.dataset_type.name, row.dataset.data_id, content.trim());
    }
    let report = check(&butler)?;
    println!("{} findings", report.findings.len());
    if report.is_clean() { Ok(()) } else { Err("the repository is not consistent".into()) }
}

/// Puts a level for each of two stations.
fn put_levels(butler: &DirectButler) -> Result<Vec<DatasetId>, Box<dyn Error>> {
    let dimensions = butler.universe().group(["station"])?;
    let mut data_ids = Vec::new();
    let mut records = Vec::new();
    for station in ["north", "south", "all"] {
        let values = BTreeMap::from([("station".to_owned(), KeyValue::from(station))]);
        let data_id = DataId::new(butler.universe(), &dimensions, values)?;
        records.push(DimensionRecord {
            element: ElementName::new("station")?,
            data_id: data_id.clone(),
            implied: BTreeMap::new(),
            metadata: BTreeMap::new(),
        });
        data_ids.push(data_id);
    }
    let mut changes = vec![Change::EnsureDimensionRecords(records)];
    for name in ["level", "report"] {
        changes.push(Change::EnsureDatasetType(Arc::new(DatasetType {
            name: DatasetTypeName::new(name)?,
            dimensions: Arc::clone(&dimensions),
            storage_class: StorageClass::Text,
        })));
    }
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&changes, now))?;
    let (run, level) = (CollectionName::new("lake/raw")?, DatasetTypeName::new("level")?);
    let mut ids = Vec::new();
    for (data_id, level_text) in data_ids.iter().zip(["1.2 m", "0.9 m"]) {
        ids.push(butler.put(level_text.as_bytes(), &level, data_id, &run)?.id);
    }
    Ok(ids)
}
