//! Runs of small graphs in a temporary directory.

mod commands;
mod resuming;
mod rust_tasks;
mod stopping;
mod transitions;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName, DatastoreConfig,
    DimensionRecord, Durability, ElementName, IdSeed, KeyValue, OpeningId, RunId, StorageClass,
    Tai, Universe, transaction::Process,
};
use pantler_datastore::{Datastore, RunPrefix, key::run_prefix};
use pantler_graph::{
    BuildSource, GraphMetadata, InputArtifact, InputDataset, Pipeline, QuantumGraph, build,
};
use uuid::Uuid;

use super::{Beside, RunError, RunRequest, run};
use crate::{
    Clock, Environment, JournalState, NoObserver, Observer, Outcome, RunSummary, RunnerLock,
    Selection, StopFlag, TaskRegistry, WorkspaceStatus, layout,
};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const UNIVERSE: &str = "version: 1\nname: u\nelements:\n  item: {key: integer}\n";

/// A repository and a workspace in it.
struct Fixture {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    datastore: Datastore,
    prefix: RunPrefix,
    tasks: TaskRegistry,
    stop: StopFlag,
    jobs: usize,
    /// What runs.
    selection: Selection,
    /// How many `item`s there are.
    items: i64,
    /// Datasets of type `number` that are there before, by item.
    numbers: Vec<(i64, InputArtifact)>,
}

impl Fixture {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        let root = path.join("workspace");
        std::fs::create_dir(&root)?;
        let config = DatastoreConfig { durability: Durability::None, ..DatastoreConfig::default() };
        Ok(Self {
            datastore: Datastore::local(path, &config)?,
            prefix: run_prefix(&CollectionName::new("out")?, RunId::new(1)),
            root,
            tasks: TaskRegistry::new(),
            stop: StopFlag::new(),
            jobs: 2,
            selection: Selection::default(),
            items: 3,
            numbers: Vec::new(),
            _dir: dir,
        })
    }

    /// Builds the graph of a pipeline with these tasks.
    fn graph(&self, tasks: &str) -> Result<QuantumGraph> {
        let universe = Universe::from_yaml(UNIVERSE)?;
        let text = format!("version: 1\nconfig: {{unit: C}}\ntasks:\n{tasks}");
        let pipeline = Pipeline::from_yaml(&text, "pipeline.yaml".into())?;
        let number = Arc::new(DatasetType {
            name: DatasetTypeName::new("number")?,
            dimensions: universe.group(["item"])?,
            storage_class: StorageClass::Text,
        });
        let registered =
            |name: &DatasetTypeName| (*name == number.name).then(|| Arc::clone(&number));
        let resolved = pipeline.resolve(&universe, &registered)?;
        let metadata = GraphMetadata {
            scope: None,
            seed: IdSeed { opening: opening(), generation: 0 },
            output_run: CollectionName::new("out")?,
            created_at: Tai::from_nanos(0),
        };
        let source = Source { universe, items: self.items, numbers: &self.numbers };
        Ok(build(&Arc::new(resolved), &source, metadata)?)
    }

    fn run(&self, graph: &QuantumGraph) -> Result<RunSummary> {
        self.try_run(graph, &mut NoObserver)?.map_err(Into::into)
    }

    fn try_run(
        &self,
        graph: &QuantumGraph,
        observer: &mut dyn Observer,
    ) -> Result<Result<RunSummary, RunError>> {
        let lock = RunnerLock::share(&self.root, &process())?;
        Ok(run(RunRequest {
            beside: &Beside::default(),
            selection: &self.selection,
            graph,
            lock: &lock,
            datastore: &self.datastore,
            opening: opening(),
            run_prefix: &self.prefix,
            tasks: &self.tasks,
            environment: &environment(),
            jobs: NonZeroUsize::new(self.jobs),
            stop: &self.stop,
            observer,
            clock: &Ticks::default(),
            process: &process(),
            concerns: &|_| true,
            reuse: None,
        }))
    }

    fn journal(&self) -> Result<JournalState> {
        Ok(JournalState::read(&layout::journal_dir(&self.root))?)
    }

    fn status(&self, graph: &QuantumGraph) -> Result<WorkspaceStatus> {
        Ok(WorkspaceStatus::of(graph, &self.journal()?))
    }

    /// The contents of all stored outputs by (task, data ID, output), as text.
    fn outputs(&self, graph: &QuantumGraph) -> Result<BTreeMap<String, String>> {
        let journal = self.journal()?;
        let mut contents = BTreeMap::new();
        for index in graph.quanta() {
            let view = graph.quantum(index);
            let last = journal.quantum(view.id).and_then(|history| history.last());
            if let Some(Outcome::Succeeded { outputs }) = last.map(|finish| &finish.outcome) {
                for output in outputs {
                    let content = self.datastore.read_key(
                        &output.key,
                        None,
                        output.size,
                        &output.checksum,
                    )?;
                    let name = format!("{} {} {}", view.task.label, view.data_id, output.name);
                    contents.insert(name, String::from_utf8(content)?);
                }
            }
        }
        Ok(contents)
    }

    /// How many artifacts, unfinished ones included, lie in the output RUN.
    fn artifacts(&self) -> Result<usize> {
        Ok(self.datastore.list(&self.prefix)?.len())
    }

    /// Stores an artifact before the run.
    fn store(&self, key: &str, content: &[u8]) -> Result<InputArtifact> {
        let key = pantler_core::ArtifactKey::new(key)?;
        let written = self.datastore.write(&key, content)?;
        let (size, checksum) = (written.size, written.checksum);
        Ok(InputArtifact { location: key.into(), offset: None, size, checksum })
    }
}

/// One line per task: succeeded, failed, blocked, skipped, not run.
fn table(summary: &RunSummary) -> Vec<String> {
    let line = |task: &crate::TaskCounts| {
        let c = task.counts;
        assert_eq!(
            c.total,
            c.succeeded + c.failed + c.blocked + c.skipped + c.not_run + c.excluded
        );
        format!(
            "{} {} {} {} {} {}",
            task.task, c.succeeded, c.failed, c.blocked, c.skipped, c.not_run
        )
    };
    summary.tasks.iter().map(line).collect()
}

fn reasons(summary: &RunSummary) -> Vec<String> {
    summary.failures.iter().map(|failure| failure.reason.to_string()).collect()
}

fn opening() -> OpeningId {
    OpeningId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
}

fn process() -> Process {
    Process { host: "here".to_owned(), boot_id: "b".to_owned(), pid: 1 }
}

fn environment() -> Environment {
    Environment {
        path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
        home: "/nowhere".to_owned(),
        variables: BTreeMap::from([("PASSED".to_owned(), "on".to_owned())]),
        pipeline_dir: "/pipeline".into(),
        pantler: "/bin/pantler".into(),
    }
}

/// A clock that counts how often it was asked.
#[derive(Debug, Default)]
struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Tai {
        Tai::from_nanos(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct Source<'a> {
    universe: Universe,
    items: i64,
    numbers: &'a [(i64, InputArtifact)],
}

impl Source<'_> {
    fn item(&self, item: i64) -> DataId {
        let group = self.universe.group(["item"]).expect("it is in the universe");
        DataId::from_values(&group, vec![KeyValue::Integer(item)]).expect("one dimension")
    }
}

impl BuildSource for Source<'_> {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        let numbers = (0_u128..).zip(self.numbers).map(|(n, (item, artifact))| InputDataset {
            id: DatasetId::from_uuid(Uuid::from_u128(n)),
            run: CollectionName::new("in").expect("a name"),
            dataset_type: dataset_type.clone(),
            data_id: self.item(*item),
            artifact: artifact.clone(),
        });
        Ok(numbers.collect())
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        let records = (0..self.items).map(|item| DimensionRecord {
            element: element.clone(),
            data_id: self.item(item),
            implied: BTreeMap::new(),
            metadata: BTreeMap::new(),
        });
        Ok(records.collect())
    }
}
