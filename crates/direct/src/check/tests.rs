use std::{collections::BTreeMap, io::Write as _, os::unix::fs::symlink, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    request::{IngestFile, IngestRequest, NoProgress},
    storing::{Ingest, Item, ItemDataset, StoringRun},
};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DataId, DatasetId, DatasetRef, DatasetType,
    DatasetTypeName, DatastoreConfig, Durability, FileRecord, OpeningId, StorageClass,
    TransactionName, Universe, WriteId,
    changes::{Change, Changes},
};
use pantler_datastore::key;
use pantler_registry::{DatasetQuery, OpenOptions, RegistryError};

use super::{CheckOptions, CheckReport, check, check_with};
use crate::{Begun, CreateOptions, DirectButler, Environment, create};

const UNIVERSE: &str = "version: 1\nname: climate\nelements:\n  city: {key: string}\n";

struct Repository {
    butler: DirectButler,
    _dir: tempfile::TempDir,
}

impl Repository {
    /// A repository with the files `oslo` and `bern` ingested into the RUN `raw`.
    fn new(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let root = base.join("repo");
        let universe = Universe::from_yaml(UNIVERSE).unwrap();
        let datastore = DatastoreConfig { durability, ..DatastoreConfig::default() };
        create(&root, &universe, &CreateOptions { datastore }).unwrap();
        let environment = Environment::of_this_process("tester");
        let butler = DirectButler::open(&root, environment, &OpenOptions::default()).unwrap();
        let repository = Self { butler, _dir: dir };
        let files = ["oslo", "bern"].map(|city| {
            let source = base.join(city);
            write(&source, b"1,2\n");
            let dataset_type = repository.dataset_type();
            let data_id = repository.data_id(city);
            IngestFile::one(dataset_type, data_id, source)
        });
        let name = TransactionName::new("raw/ingest").unwrap();
        let request = IngestRequest::new(name, raw(), files.into()).registering();
        repository.butler.ingest(&request, &NoProgress).unwrap();
        repository
    }

    fn dataset_type(&self) -> Arc<DatasetType> {
        Arc::new(DatasetType {
            name: DatasetTypeName::new("daily").unwrap(),
            dimensions: self.butler.universe().group(["city"]).unwrap(),
            storage_class: StorageClass::Csv,
        })
    }

    fn data_id(&self, city: &str) -> DataId {
        let group = self.butler.universe().group(["city"]).unwrap();
        let values = BTreeMap::from([("city".to_owned(), city.into())]);
        DataId::new(self.butler.universe(), &group, values).unwrap()
    }

    fn artifacts(&self) -> Utf8PathBuf {
        self.butler.root().join("artifacts")
    }

    /// The key of the artifact of a city.
    fn key(&self, city: &str) -> ArtifactKey {
        let rows = self.butler.query_datasets(&DatasetQuery::default()).unwrap();
        let row = rows.iter().find(|row| row.dataset.data_id == self.data_id(city)).unwrap();
        row.records[0].location.key().unwrap().clone()
    }

    fn apply(&self, changes: &Changes) {
        let now = self.butler.environment().clock.now();
        self.butler
            .registry()
            .write(|writer| writer.apply(changes, now))
            .map_err(|e: RegistryError| e)
            .unwrap();
    }

    /// Opens an ingest of one more city and returns its opening, dataset and key.
    fn open_ingest(&self, city: &str) -> (OpeningId, DatasetId, ArtifactKey) {
        let opening = self.butler.environment().new_opening();
        let run = self.butler.registry().read(|reader| reader.collection(&raw())).unwrap();
        let prefix = key::run_prefix(&raw(), run.unwrap().id);
        let dataset = DatasetRef {
            id: self.butler.environment().new_dataset(),
            dataset_type: self.dataset_type(),
            data_id: self.data_id(city),
            run: raw(),
        };
        let write = WriteId::of_opening(opening, 1);
        let id = dataset.id;
        let key =
            key::dataset_key(&prefix, &dataset.dataset_type.name, &dataset.data_id, &write, "csv");
        let managed = ItemDataset {
            id,
            label: "daily".into(),
            storage_class: StorageClass::Csv,
            slice: None,
            registered: false,
        };
        let item = Item::written_at(key.clone(), vec![managed]);
        self.apply(&vec![Change::EnsureDimensionRecords(vec![pantler_core::DimensionRecord {
            element: "city".parse().unwrap(),
            data_id: self.data_id(city),
            implied: BTreeMap::new(),
            metadata: BTreeMap::new(),
        }])]);
        let run = StoringRun { name: raw(), made: false, modified: false };
        let ingest = Ingest::new(vec![run], vec![item], vec![dataset]);
        let name = TransactionName::new("raw/more").unwrap();
        let Begun::Opened(open) = self.butler.begin(&name, opening, ingest).unwrap() else {
            panic!("nothing of that name was open");
        };
        drop(open);
        (opening, id, key)
    }

    fn found(&self) -> Vec<(&'static str, String)> {
        let report = check(&self.butler).unwrap();
        report.findings.into_iter().map(|f| (f.code, f.subject)).collect()
    }
}

fn raw() -> CollectionName {
    CollectionName::new("raw").unwrap()
}

fn write(path: &Utf8Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().write_all(content).unwrap();
}

#[test]
fn a_sound_repository_has_no_findings() {
    let repository = Repository::new(Durability::Flushed);
    let CheckReport { findings, counts, leftover_roots, durability } =
        check(&repository.butler).unwrap();
    assert!(leftover_roots.is_empty());
    assert_eq!(findings, []);
    assert_eq!((counts.datasets, counts.stored, counts.artifacts, counts.bytes), (2, 2, 2, 8));
    assert_eq!((counts.registered_only, counts.managed, counts.open_transactions), (0, 0, 0));
    assert_eq!(durability, Durability::Flushed);
}

#[test]
fn durability_off_is_reported() {
    let repository = Repository::new(Durability::None);
    let report = check(&repository.butler).unwrap();
    assert!(report.is_clean());
    assert_eq!(report.durability, Durability::None);
}

#[test]
fn what_is_missing_or_cut_is_found() {
    let repository = Repository::new(Durability::Flushed);
    let (oslo, bern) = (repository.key("oslo"), repository.key("bern"));
    std::fs::remove_file(repository.artifacts().join(oslo.as_str())).unwrap();
    write(&repository.artifacts().join(bern.as_str()), b"1");
    assert_eq!(
        repository.found(),
        [("artifact-missing", oslo.to_string()), ("artifact-size", bern.to_string())]
    );
}

#[test]
fn a_link_in_the_place_of_an_artifact_counts_as_what_it_leads_to() {
    let repository = Repository::new(Durability::Flushed);
    let oslo = repository.key("oslo");
    let path = repository.artifacts().join(oslo.as_str());
    let outside = repository.butler.root().join("outside");
    let expect = |content: &[u8], options: CheckOptions, codes: &[&str]| {
        if outside.exists() {
            std::fs::remove_file(&outside).unwrap();
        }
        write(&outside, content);
        let report = check_with(&repository.butler, options).unwrap();
        let found: Vec<_> = report.findings.iter().map(|f| (f.code, &*f.subject)).collect();
        let expected: Vec<_> = codes.iter().map(|code| (*code, oslo.as_str())).collect();
        assert_eq!(found, expected);
    };
    std::fs::remove_file(&path).unwrap();
    symlink(&outside, &path).unwrap();
    let (sizes, full) = (CheckOptions::default(), CheckOptions { checksum: true });
    expect(b"1,2\n", full, &[]);
    expect(b"1,3\n", sizes, &[]);
    expect(b"1,3\n", full, &["artifact-checksum"]);
    expect(b"1", sizes, &["artifact-size"]);
    std::fs::remove_file(&outside).unwrap();
    assert_eq!(repository.found(), [("artifact-missing", oslo.to_string())]);
    std::fs::create_dir(&outside).unwrap();
    assert_eq!(repository.found(), [("artifact-not-regular", oslo.to_string())]);
}

#[test]
fn links_that_no_record_names_are_foreign() {
    let repository = Repository::new(Durability::Flushed);
    let storage = repository.artifacts();
    for (target, name) in [("/etc/hostname", "file"), ("/nowhere", "dangling"), ("/etc", "folder")]
    {
        symlink(target, storage.join(name)).unwrap();
    }
    let report = check(&repository.butler).unwrap();
    let said: Vec<_> = report.findings.iter().map(|f| (f.code, f.message.as_str())).collect();
    assert_eq!(
        said,
        [
            ("foreign", "not an artifact: a symbolic link that leads nowhere"),
            ("foreign", "not an artifact: a symbolic link to a file"),
            ("foreign", "not an artifact: a symbolic link to a directory"),
        ]
    );
    assert!(report.findings[2].next.starts_with("move it away: "));
}

#[test]
fn what_nobody_owns_is_an_orphan() {
    let repository = Repository::new(Durability::Flushed);
    let unfinished = format!("{}.tmp", repository.key("oslo"));
    let mut paths = ["stray.txt", "gone@77/daily/all~90aabbcc-1.csv", &unfinished];
    paths.sort_unstable();
    for path in paths {
        write(&repository.artifacts().join(path), b"x");
    }
    assert_eq!(repository.found(), paths.map(|path| ("orphan", path.to_owned())));
    let report = check(&repository.butler).unwrap();
    assert!(report.findings[0].message.ends_with("no RUN has the prefix gone@77"));
}

#[test]
fn an_open_ingest_owns_its_keys_at_every_attempt() {
    let repository = Repository::new(Durability::Flushed);
    let (opening, _, key) = repository.open_ingest("lima");
    let second = key.at(&WriteId::of_opening(opening, 2)).unwrap();
    write(&repository.artifacts().join(key.as_str()), b"1");
    write(&repository.artifacts().join(format!("{second}.tmp")), b"1");
    assert_eq!(repository.found(), []);
    let counts = check(&repository.butler).unwrap().counts;
    assert_eq!((counts.datasets, counts.stored, counts.managed), (3, 2, 1));
    assert_eq!(counts.open_transactions, 1);

    let other = repository.butler.environment().new_opening();
    let foreign = key.at(&WriteId::of_opening(other, 1)).unwrap();
    write(&repository.artifacts().join(foreign.as_str()), b"1");
    assert_eq!(repository.found(), [("orphan", foreign.to_string())]);
}

#[test]
fn a_managed_dataset_must_not_have_records() {
    let repository = Repository::new(Durability::Flushed);
    let (_, dataset, _) = repository.open_ingest("lima");
    let key = ArtifactKey::new("elsewhere/x.csv").unwrap();
    write(&repository.artifacts().join(key.as_str()), b"1,2\n");
    repository.apply(&vec![Change::InsertRecords(vec![FileRecord {
        dataset,
        component: Box::default(),
        location: key.clone().into(),
        offset: None,
        formatter: "text".into(),
        storage_class: StorageClass::Csv,
        size: 4,
        checksum: Checksum::of(b"1,2\n"),
    }])]);
    // Its key carries no write id: it may have been ingested in place.
    assert_eq!(repository.found(), [("managed-with-record", dataset.to_string())]);
}

#[test]
fn slices_must_fill_their_artifact() {
    let repository = Repository::new(Durability::Flushed);
    let key = repository.key("oslo");
    let (_, dataset, _) = repository.open_ingest("lima");
    // Two whole-artifact records of one file: the second begins inside of the first.
    repository.apply(&vec![Change::InsertRecords(vec![FileRecord {
        dataset,
        component: Box::default(),
        location: key.clone().into(),
        offset: Some(2),
        formatter: "text".into(),
        storage_class: StorageClass::Csv,
        size: 4,
        checksum: Checksum::of(b"1,2\n"),
    }])]);
    let found = repository.found();
    assert!(found.contains(&("artifact-overlap", key.to_string())), "{found:?}");
    assert!(found.contains(&("artifact-size", key.to_string())), "{found:?}");
    assert!(found.contains(&("artifact-used-twice", key.to_string())), "{found:?}");
}

#[test]
fn workspace_roots_without_a_transaction_are_named_and_no_fault() {
    let repository = Repository::new(Durability::Flushed);
    let (opening, ..) = repository.open_ingest("lima");
    let workspaces = repository.butler.root().join("workspaces");
    let other = repository.butler.environment().new_opening();
    let owned = workspaces.join("a").join(opening.to_string());
    let leftover = workspaces.join("a").join(other.to_string());
    let stray = workspaces.join("b/no-opening");
    for root in [&owned, &leftover, &stray] {
        std::fs::create_dir_all(root).unwrap();
    }
    write(&workspaces.join("a/runner.lock"), b"");
    let report = check(&repository.butler).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.leftover_roots, [leftover]);
}
