//! A repository in a place of its own, with a pretended process at work on it, whose
//! storage and database fail and die as they are told to.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write as _},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{NewDataset, NoProgress, PutItem, PutRequest, StoreOptions},
    core::{
        CollectionName, DataId, DatasetRef, DatasetType, DatasetTypeName, DatastoreConfig,
        DimensionRecord, Durability, StorageClass, Universe, changes::Change, transaction::Process,
    },
    datastore::{Datastore, Storage},
    direct::{
        ButlerError, CloseError, CreateOptions, DirectButler, Environment, RemoveError, StoreError,
        SystemClock, create,
    },
    registry::{OpenOptions, RegistryError},
};
use pantler_testkit::{
    copy_tree,
    faults::{FailingStorage, Faults, Life, Operation},
};
use tempfile::TempDir;

use super::operation::{CITIES, Cell, Failing, Fault, RUNS};

const UNIVERSE: &str = "version: 1\nname: climate\nelements:\n  city: {key: string}\n";

/// The name of a city.
pub(super) fn city(number: u8) -> String {
    format!("c{number}")
}

/// The name of a RUN.
pub(super) fn run(number: u8) -> String {
    format!("r{number}")
}

pub(super) fn run_name(number: u8) -> CollectionName {
    CollectionName::new(run(number)).unwrap()
}

/// The number at the end of a name.
pub(super) fn number(name: &str) -> u8 {
    name[1..].parse().unwrap()
}

pub(super) fn cell(dataset: &DatasetRef) -> Cell {
    let city = dataset.data_id.values()[0].to_string();
    (number(dataset.run.as_str()), number(&city))
}

/// Contents: the first two have the same size.
pub(super) fn content(number: u8) -> Vec<u8> {
    match number {
        0 => b"1,2\n".to_vec(),
        1 => b"3,4\n".to_vec(),
        2 => b"1,2\n5,6\n".to_vec(),
        _ => b"0\n".to_vec(),
    }
}

pub(super) fn dataset_type(universe: &Universe) -> Arc<DatasetType> {
    Arc::new(DatasetType {
        name: DatasetTypeName::new("daily").unwrap(),
        dimensions: universe.group(["city"]).unwrap(),
        storage_class: StorageClass::Csv,
    })
}

pub(super) fn data_id(universe: &Universe, number: u8) -> DataId {
    let values = BTreeMap::from([("city".to_owned(), city(number).as_str().into())]);
    DataId::new(universe, &universe.group(["city"]).unwrap(), values).unwrap()
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// All files below a folder.
pub(super) fn files(top: &Utf8Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Utf8Path, at: &Utf8Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in at.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                walk(top, &path, files);
            } else {
                let content = std::fs::read(&path).unwrap();
                files.insert(path.strip_prefix(top).unwrap().to_string(), content);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(top, top, &mut found);
    found
}

/// Whether a file in the storage is the unfinished form of an artifact.
pub(super) fn is_unfinished(path: &str) -> bool {
    Utf8Path::new(path).extension() == Some("tmp")
}

/// Puts new content in the place of a file, as another file.
pub(super) fn replace(path: &Utf8Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut other = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    other.write_all(content).unwrap();
    other.persist(path).unwrap();
}

/// The folder for repositories: in memory, if there is such a thing.
fn scratch() -> TempDir {
    let memory = Utf8Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.as_std_path() } else { &std::env::temp_dir() };
    tempfile::Builder::new().prefix("pantler-model-").tempdir_in(place).unwrap()
}

fn path(dir: &TempDir) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap()
}

fn process(host: u32, boot: u32) -> Process {
    Process { host: format!("host{host}"), boot_id: format!("boot{boot}"), pid: 1 }
}

fn open(root: &Utf8Path, process: Process) -> DirectButler {
    let environment = Environment { owner: "tester".into(), process, clock: Arc::new(SystemClock) };
    DirectButler::open(root, environment, &OpenOptions::default()).unwrap()
}

/// Two repositories to be copied: one without datasets, and one to transfer from.
pub(super) struct Template {
    dir: TempDir,
}

impl Template {
    pub(super) fn new() -> Self {
        let template = Self { dir: scratch() };
        for name in ["repo", "source"] {
            let root = path(&template.dir).join(name);
            let universe = Universe::from_yaml(UNIVERSE).unwrap();
            let datastore =
                DatastoreConfig { durability: Durability::None, ..DatastoreConfig::default() };
            create(&root, &universe, &CreateOptions { datastore }).unwrap();
            let butler = open(&root, process(0, 0));
            let records = (0..CITIES).map(|number| DimensionRecord {
                element: "city".parse().unwrap(),
                data_id: data_id(&universe, number),
                implied: BTreeMap::new(),
                metadata: BTreeMap::new(),
            });
            let changes = [
                Change::EnsureDatasetType(dataset_type(&universe)),
                Change::EnsureDimensionRecords(records.collect()),
            ];
            let now = butler.environment().clock.now();
            butler
                .registry()
                .write(|writer| writer.apply(&changes, now))
                .map_err(|e: RegistryError| e)
                .unwrap();
            if name == "source" {
                fill(&butler);
            }
        }
        template
    }

    /// The repository to transfer from: each RUN and city, with the content of
    /// [`source_content`].
    pub(super) fn source(&self) -> DirectButler {
        open(&path(&self.dir).join("source"), process(0, 0))
    }
}

pub(super) fn source_content((run, city): Cell) -> Vec<u8> {
    // Mostly what others put there as well.
    content(u8::from((run + city) % 3 == 2))
}

fn fill(butler: &DirectButler) {
    for run in 0..RUNS {
        let item = |city| PutItem {
            dataset: NewDataset::new(
                dataset_type(butler.universe()),
                data_id(butler.universe(), city),
            ),
            content: source_content((run, city)).into(),
        };
        let items = (0..CITIES).map(item).collect();
        let options = StoreOptions::default();
        let request = PutRequest { name: None, run: run_name(run), items, options };
        butler.put_many(&request, &NoProgress).unwrap();
    }
}

/// The repository under test.
pub(super) struct World {
    pub(super) base: Utf8PathBuf,
    butler: Option<DirectButler>,
    life: Life,
    storage: Arc<FailingStorage>,
    faults: Faults,
    host: u32,
    boot: u32,
    strays: u32,
    _dir: TempDir,
}

/// How many operations of a pretended process come before the one in which it dies.
pub(super) type Death = Option<u64>;

impl World {
    pub(super) fn new(template: &Template) -> Self {
        let dir = scratch();
        let base = path(&dir);
        copy_tree(&path(&template.dir).join("repo"), &base.join("repo"), &|_| true);
        let butler = open(&base.join("repo"), process(0, 0));
        let (life, storage, faults, butler) = failing(butler);
        let (host, boot, strays) = (0, 0, 0);
        Self { base, butler: Some(butler), life, storage, faults, host, boot, strays, _dir: dir }
    }

    pub(super) fn butler(&self) -> &DirectButler {
        self.butler.as_ref().unwrap()
    }

    pub(super) fn root(&self) -> Utf8PathBuf {
        self.base.join("repo")
    }

    pub(super) fn artifact(&self, location: &str) -> Utf8PathBuf {
        self.root().join("artifacts").join(location)
    }

    pub(super) fn process(&self) -> &Process {
        &self.butler().environment().process
    }

    pub(super) fn next_stray(&mut self) -> u32 {
        self.strays += 1;
        self.strays
    }

    /// This process ends, and another one opens the repository.
    pub(super) fn reopen(&mut self, elsewhere: bool) {
        self.boot += 1;
        self.host += u32::from(elsewhere);
        drop(self.butler.take());
        let butler = open(&self.root(), process(self.host, self.boot));
        let (life, storage, faults, butler) = failing(butler);
        (self.life, self.storage, self.faults, self.butler) = (life, storage, faults, Some(butler));
    }

    /// From now on things go wrong as planned.
    pub(super) fn arm(&self, fault: Fault) -> Death {
        match fault {
            Fault::None => {}
            Fault::Dies { n } => {
                let end = self.life.operations() + 1 + u64::from(n);
                self.life.die_at(end);
                return Some(end);
            }
            Fault::Storage { at, n, how } => {
                let call = self.storage.calls(at) + 1 + u64::from(n);
                match how {
                    Failing::Once => self.storage.fail_at(at, call, ErrorKind::TimedOut),
                    Failing::Always => self.storage.fail_from(at, call, ErrorKind::StorageFull),
                    Failing::Lost if at == Operation::Stage => {
                        self.storage.fail_at(at, call, ErrorKind::PermissionDenied);
                    }
                    Failing::Lost => self.storage.lose_answer_at(at, call, ErrorKind::TimedOut),
                }
            }
            Fault::Database { at, n, how, persistent } => {
                let call = self.faults.calls(at) + 1 + u64::from(n);
                if persistent {
                    self.faults.fail_from(at, call, how);
                } else {
                    self.faults.fail_at(at, call, how);
                }
            }
            Fault::NoDeletes => {
                for at in [Operation::Delete, Operation::Discard] {
                    self.storage.fail_from(at, 1, ErrorKind::PermissionDenied);
                }
            }
        }
        None
    }

    /// Everything works again; after a death in another process. Says whether it died.
    pub(super) fn heal(&mut self, death: Death) -> bool {
        let died = death.is_some_and(|end| self.life.operations() >= end);
        self.storage.heal();
        self.faults.heal();
        if died {
            self.reopen(false);
        }
        died
    }
}

fn failing(butler: DirectButler) -> (Life, Arc<FailingStorage>, Faults, DirectButler) {
    let life = Life::new();
    let datastore = butler.datastore();
    let storage = Arc::new(FailingStorage::living(Arc::clone(datastore.storage()), &life));
    let faults = Faults::living(&life);
    let shared: Arc<dyn Storage> = Arc::<FailingStorage>::clone(&storage);
    let datastore = Datastore::with_storage(shared, datastore.config().clone());
    let butler = butler.with_datastore(datastore);
    butler.registry().set_faults(&faults);
    (life, storage, faults, butler)
}

/// Whether an earlier closing, or another holder, was in the way.
fn is_refusal(error: &CloseError) -> bool {
    matches!(error, CloseError::Held { .. } | CloseError::Door { .. })
}

/// What an operation says that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    /// Nothing, or what it did was undone.
    Failed(String),
    /// A transaction is open.
    LeftOpen(String),
    /// It does not know.
    Unclear(String),
}

impl Said {
    pub(super) fn of_store(error: &StoreError) -> Self {
        let text = chain(error);
        match error {
            StoreError::LeftOpen { source, .. } if source.stays_open() => Self::LeftOpen(text),
            StoreError::NotClosed { source, .. } if is_refusal(source) => Self::Failed(text),
            StoreError::SessionOpen { source, .. } if source.stays_open() => Self::LeftOpen(text),
            StoreError::LeftOpen { .. }
            | StoreError::NotClosed { .. }
            | StoreError::SessionOpen { .. } => Self::Unclear(text),
            StoreError::Butler(error) => Self::of_butler(error),
            _ => Self::Failed(text),
        }
    }

    pub(super) fn of_remove(error: &RemoveError) -> Self {
        let text = chain(error);
        match error {
            RemoveError::NotClosed { source } if is_refusal(source) => Self::Failed(text),
            RemoveError::NotClosed { source } if source.stays_open() => Self::LeftOpen(text),
            RemoveError::NotClosed { .. } => Self::Unclear(text),
            RemoveError::Butler(error) => Self::of_butler(error),
            _ => Self::Failed(text),
        }
    }

    pub(super) fn of_close(error: &CloseError) -> Self {
        let text = chain(error);
        match error {
            CloseError::Superseded(_) | CloseError::Unknown { .. } => Self::Unclear(text),
            _ => Self::Failed(text),
        }
    }

    pub(super) fn of_butler(error: &ButlerError) -> Self {
        match error {
            ButlerError::Registry(error) => Self::of_registry(error),
            ButlerError::OpenUnknown { .. } => Self::Unclear(chain(error)),
            _ => Self::Failed(chain(error)),
        }
    }

    pub(super) fn of_registry(error: &RegistryError) -> Self {
        match error {
            RegistryError::CommitUnknown { .. } => Self::Unclear(chain(error)),
            _ => Self::Failed(chain(error)),
        }
    }
}
