//! The registry on a real database in a temporary directory.

mod check;
mod chunks;
mod collections;
mod creating;
mod datasets;
mod faults;
mod kept;
mod planned;
mod plans;
mod records;
mod tags;
mod transactions;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DataId, DatasetId, DatasetRef, DatasetType,
    DatasetTypeName, DatastoreConfig, DimensionRecord, ElementName, FileRecord, KeyValue,
    MetadataValue, OpeningId, StorageClass, Tai, TransactionName, Universe,
    changes::Change,
    transaction::{Process, TransactionRow},
};
use uuid::Uuid;

use crate::{OpenOptions, Reader, Registry, RegistryError};

const SURVEY: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  band: {key: string}
  physical_filter: {key: string, requires: [instrument], implies: [band]}
  visit:
    key: integer
    requires: [instrument]
    implies: [physical_filter]
    metadata:
      exposure: {type: float, required: true}
      title: {type: string}
      good: {type: boolean}
  detector: {key: integer, requires: [instrument]}
  visit_detector_region: {requires: [visit, detector]}
";

type Tested = Result<(), Box<dyn std::error::Error>>;

struct Fixture {
    directory: tempfile::TempDir,
    registry: Registry,
}

impl std::ops::Deref for Fixture {
    type Target = Registry;
    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl Fixture {
    fn path(&self) -> Utf8PathBuf {
        path_in(&self.directory)
    }

    /// A second connection, as another process has it.
    fn second(&self, options: &OpenOptions) -> Registry {
        Registry::open(&self.path(), options).unwrap()
    }

    /// A connection that bypasses the registry.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open_with_flags(self.path(), rusqlite::OpenFlags::default()).unwrap()
    }

    fn apply(&self, changes: &[Change]) -> Result<(), RegistryError> {
        self.write(|writer| writer.apply(changes, Tai::from_nanos(7)))
    }

    fn group(&self, names: &[&str]) -> Arc<pantler_core::DimensionGroup> {
        self.universe().group(names).unwrap()
    }

    fn dataset_type(&self, name: &str, dimensions: &[&str]) -> Arc<DatasetType> {
        Arc::new(DatasetType {
            name: DatasetTypeName::new(name).unwrap(),
            dimensions: self.group(dimensions),
            storage_class: StorageClass::Csv,
        })
    }

    fn record(
        &self,
        element: &str,
        key: Vec<KeyValue>,
        implied: &[(&str, &str)],
        metadata: &[(&str, MetadataValue)],
    ) -> DimensionRecord {
        let universe = self.universe();
        let group = universe.group_of(universe.element(element).unwrap());
        DimensionRecord {
            element: ElementName::new(element).unwrap(),
            data_id: DataId::from_values(&group, key).unwrap(),
            implied: implied.iter().map(|(n, v)| (element_name(n), KeyValue::from(*v))).collect(),
            metadata: metadata.iter().map(|(n, v)| (element_name(n), v.clone())).collect(),
        }
    }

    /// Instrument, bands, filters, two visits (`g` and `r`), four detectors.
    fn records(&self) -> Vec<DimensionRecord> {
        let exposure = [("exposure", MetadataValue::Float(30.0))];
        let visit = |visit: i64, filter| {
            self.record(
                "visit",
                vec!["cam".into(), visit.into()],
                &[("physical_filter", filter)],
                &exposure,
            )
        };
        let mut records = vec![
            visit(1, "g1"),
            visit(2, "r1"),
            self.record("physical_filter", vec!["cam".into(), "g1".into()], &[("band", "g")], &[]),
            self.record("physical_filter", vec!["cam".into(), "r1".into()], &[("band", "r")], &[]),
            self.record("instrument", vec!["cam".into()], &[], &[]),
            self.record("band", vec!["g".into()], &[], &[]),
            self.record("band", vec!["r".into()], &[], &[]),
        ];
        records.extend(
            (0..4).map(|i: i64| self.record("detector", vec!["cam".into(), i.into()], &[], &[])),
        );
        records
    }

    /// Everything in the database as text, to compare before and after.
    fn dump(&self) -> String {
        let tables = crate::testing::dump(&self.path()).unwrap();
        let rows = tables.iter().flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)));
        rows.fold(String::new(), |text, (table, row)| text + table + " " + row + "\n")
    }
}

fn path_in(directory: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8Path::from_path(directory.path()).unwrap().join("registry.sqlite3")
}

fn survey() -> Universe {
    Universe::from_yaml(SURVEY).unwrap()
}

fn empty() -> Fixture {
    of_universe(&survey())
}

fn of_universe(universe: &Universe) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::create(
        &path_in(&directory),
        universe,
        &DatastoreConfig::default(),
        Uuid::from_u128(99),
    )
    .unwrap();
    Fixture { directory, registry }
}

/// With records, RUN `a` and `b`, types `image` (visit, detector) and `summary` (none),
/// and in RUN `a` the images 1 to 4 of visits 1 and 2 and detectors 0 and 1.
fn filled() -> Fixture {
    let fixture = empty();
    let image = fixture.dataset_type("image", &["visit", "detector"]);
    let summary = fixture.dataset_type("summary", &[]);
    let refs: Vec<_> = images(&image, "a", 1);
    let records = refs.iter().map(|r| file_record(r.id, "")).collect();
    fixture
        .apply(&[
            Change::EnsureDimensionRecords(fixture.records()),
            Change::EnsureDatasetType(image),
            Change::EnsureDatasetType(summary),
            Change::InsertRun(collection("a")),
            Change::EnsureRun(collection("b")),
            Change::InsertDatasets(refs),
            Change::InsertRecords(records),
        ])
        .unwrap();
    fixture
}

/// Visits 1 and 2, detectors 0 and 1, with ids from `first` on.
fn images(image: &Arc<DatasetType>, run: &str, first: u128) -> Vec<DatasetRef> {
    [(1, 0), (1, 1), (2, 0), (2, 1)]
        .into_iter()
        .zip(first..)
        .map(|((visit, detector), id)| {
            let key = vec!["cam".into(), visit.into(), detector.into()];
            dataset_ref(id, image, key, run)
        })
        .collect()
}

fn dataset_ref(
    n: u128,
    dataset_type: &Arc<DatasetType>,
    key: Vec<KeyValue>,
    run: &str,
) -> DatasetRef {
    DatasetRef {
        id: dataset_id(n),
        dataset_type: Arc::clone(dataset_type),
        data_id: DataId::from_values(&dataset_type.dimensions, key).unwrap(),
        run: collection(run),
    }
}

fn file_record(dataset: DatasetId, component: &str) -> FileRecord {
    FileRecord {
        dataset,
        component: component.into(),
        location: ArtifactKey::new(format!("a@1/image/{dataset}{component}.csv")).unwrap().into(),
        offset: None,
        formatter: "text".into(),
        storage_class: StorageClass::Csv,
        size: 10,
        checksum: Checksum::of(b"x"),
    }
}

fn dataset_id(n: u128) -> DatasetId {
    DatasetId::from_uuid(Uuid::from_u128(n))
}

fn opening(n: u128) -> OpeningId {
    OpeningId::from_uuid(Uuid::from_u128(n))
}

fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

fn type_name(name: &str) -> DatasetTypeName {
    DatasetTypeName::new(name).unwrap()
}

fn element_name(name: &str) -> ElementName {
    ElementName::new(name).unwrap()
}

fn transaction(name: &str) -> TransactionName {
    TransactionName::new(name).unwrap()
}

fn process() -> Process {
    Process { host: "h".to_owned(), boot_id: "b".to_owned(), pid: 42 }
}

fn transaction_row(name: &str, id: u128) -> TransactionRow {
    TransactionRow {
        name: transaction(name),
        kind: "put".to_owned(),
        data: "{}".to_owned(),
        owner: "me".to_owned(),
        opening: opening(id),
        attempt: 1,
        closing: None,
        process: process(),
        opened_at: Tai::from_nanos(5),
        config_version: 1,
    }
}

fn impatient() -> OpenOptions {
    OpenOptions { busy_timeout: Duration::from_millis(50), ..OpenOptions::default() }
}

fn constraint(pairs: &[(&str, KeyValue)]) -> BTreeMap<ElementName, KeyValue> {
    pairs.iter().map(|(name, value)| (element_name(name), value.clone())).collect()
}
