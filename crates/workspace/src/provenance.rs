//! The provenance of a RUN: written when its workspace is committed, found again by RUN.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::{
    artifacts::NewArtifact,
    transaction::{CommitContext, KindError},
};
use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DataId, DatasetId, DatasetRef, DatasetType,
    DatasetTypeName, DimensionGroup, FileRecord, QuantumId, StorageClass, WriteId,
};
use pantler_datastore::{RunPrefix, key};
use pantler_direct::DirectButler;
use pantler_exec::{
    Finish, JournalError, JournalState, LogSlice, Outcome, dataset_states, execution_statuses,
};
use pantler_graph::{
    Attempt, AttemptEnd, DatasetIndex, DatasetState, EvaluateError, ExecutionRecords,
    ExecutionStatus, Expression, ExpressionError, GraphFileError, GraphNode, PredictedGraph,
    ProvenanceGraph, ProvenanceSource, QuantumExecution, QuantumGraph, QuantumIndex,
    RUN_PROVENANCE, Runner, write_provenance,
};
use pantler_registry::{DatasetQuery, RegistryError};

use crate::{WorkspaceClient, WorkspaceError, layout};

/// The dataset type of provenance: one dataset a RUN.
pub fn dataset_type() -> Arc<DatasetType> {
    Arc::new(DatasetType {
        name: DatasetTypeName::new(RUN_PROVENANCE).expect("the name follows the rules"),
        dimensions: Arc::new(DimensionGroup::empty()),
        storage_class: StorageClass::Bytes,
    })
}

/// Provenance could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot write {path}")]
    Write { path: Utf8PathBuf, source: io::Error },
}

/// Writes what happened in the workspace at `root` into an artifact of the RUN. `stored` is
/// what the commit keeps, by dataset of the graph. The file is made in the root first: it
/// is not written from its beginning to its end. A kill leaves it there, and goes with the
/// root; the next commit writes it again.
pub(crate) fn store(
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
    context: &CommitContext<'_>,
) -> Result<(DatasetRef, FileRecord), KindError> {
    let unwritten = |error: WriteError| {
        KindError::Unreadable("the provenance of the RUN was not written".to_owned(), error.into())
    };
    let path = layout::provenance_file(root);
    let failed = |source| unwritten(WriteError::Write { path: path.clone(), source });
    prepare(&path, root, graph, journal, stored).map_err(unwritten)?;

    let facts = context.facts();
    let prefix =
        RunPrefix::parse(facts.run_prefix).map_err(|e| KindError::Invalid(e.to_string()))?;
    let write = WriteId::of_opening(facts.opening, facts.attempt);
    let key = key_below(&prefix, &write);
    let file = File::open(&path).map_err(failed)?;
    let new = NewArtifact { key: key.clone(), content: Box::new(BufReader::new(file)) };
    let contents = context.artifacts().store(vec![new])?;
    pantler_seam::step("commit.provenance.stored");
    let Some(content) = contents.first() else {
        return Err(KindError::Invalid(format!("{key}: it was not stored")));
    };
    // It has been stored under its key; what stays goes with the root.
    drop(std::fs::remove_file(&path));
    Ok(row(graph, key, content.size, content.checksum))
}

/// Writes what happened in the workspace at `root` into the file `path`.
pub(crate) fn prepare(
    path: &Utf8Path,
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
) -> Result<(), WriteError> {
    let mut executed = Executed::new(root, graph, journal, stored)?;
    pantler_seam::around("commit.provenance.write", || write(path, &mut executed))
        .map_err(|source| WriteError::Write { path: path.to_owned(), source })
}

/// The key of the provenance of a RUN.
pub(crate) fn key_below(prefix: &RunPrefix, write: &WriteId) -> ArtifactKey {
    key::dataset_key(prefix, &dataset_type().name, &DataId::empty(), write, "zip")
}

/// The provenance of a graph's RUN as rows.
pub(crate) fn row(
    graph: &QuantumGraph,
    key: ArtifactKey,
    size: u64,
    checksum: Checksum,
) -> (DatasetRef, FileRecord) {
    let id = graph.seed().dataset(RUN_PROVENANCE, &DataId::empty());
    let record = FileRecord {
        dataset: id,
        component: Box::default(),
        location: key.into(),
        offset: None,
        formatter: StorageClass::Bytes.formatter().into(),
        storage_class: StorageClass::Bytes,
        size,
        checksum,
    };
    let (data_id, run) = (DataId::empty(), graph.output_run().clone());
    (DatasetRef { id, dataset_type: dataset_type(), data_id, run }, record)
}

fn write(path: &Utf8Path, executed: &mut Executed<'_>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, File::create(path)?);
    let graph = executed.graph;
    write_provenance(graph, executed, &mut out).map_err(|error| match error {
        GraphFileError::Io { source, .. } => source,
        error => io::Error::other(error),
    })?;
    out.flush()
}

/// What a workspace's journal and its commit say, as provenance takes it.
struct Executed<'a> {
    root: &'a Utf8Path,
    graph: &'a QuantumGraph,
    journal: &'a JournalState,
    statuses: Vec<ExecutionStatus>,
    states: Vec<DatasetState>,
    stored: &'a [(DatasetIndex, FileRecord)],
    /// Where each dataset stands in `stored`.
    places: HashMap<DatasetIndex, u32>,
    /// Of quanta with more than one attempt.
    attempts: HashMap<QuantumId, Vec<Attempt>>,
    /// The log file that was read last.
    log: Option<(u32, File)>,
}

impl<'a> Executed<'a> {
    fn new(
        root: &'a Utf8Path,
        graph: &'a QuantumGraph,
        journal: &'a JournalState,
        stored: &'a [(DatasetIndex, FileRecord)],
    ) -> Result<Self, JournalError> {
        let mut attempts: HashMap<QuantumId, Vec<Attempt>> = HashMap::new();
        // The journal is read a second time only if it has more than the state keeps.
        if journal.quanta().any(|(_, history)| history.attempts > 1) {
            journal.visit_finishes(&layout::journal_dir(root), |quantum, finish| {
                if journal.quantum(quantum).is_some_and(|history| history.attempts > 1) {
                    attempts.entry(quantum).or_default().push(attempt(finish));
                }
            })?;
        }
        for list in attempts.values_mut() {
            list.sort_by_key(|attempt| (attempt.number, attempt.runner));
        }
        let places = stored.iter().map(|(index, _)| *index).zip(0..).collect();
        Ok(Self {
            root,
            graph,
            journal,
            statuses: execution_statuses(graph, journal),
            states: dataset_states(graph, journal),
            stored,
            places,
            attempts,
            log: None,
        })
    }
}

fn attempt(finish: &Finish) -> Attempt {
    Attempt {
        number: finish.attempt,
        runner: finish.runner,
        started: finish.started,
        ended: finish.ended,
        exit: finish.exit,
        end: match &finish.outcome {
            Outcome::Succeeded { .. } => AttemptEnd::Succeeded,
            Outcome::Failed { reason } => AttemptEnd::Failed { reason: reason.to_string() },
        },
        task_changed: finish.task_changed,
    }
}

impl ExecutionRecords for Executed<'_> {
    fn runners(&self) -> Vec<Runner> {
        let runner = |segment: &pantler_exec::SegmentInfo| {
            let header = segment.header.as_ref();
            Runner {
                number: segment.runner,
                process: header.map(|header| header.process.clone()),
                started: header.map(|header| header.started),
                tasks: header.map(|header| header.tasks.clone()).unwrap_or_default(),
            }
        };
        self.journal.segments().iter().map(runner).collect()
    }

    fn status(&self, quantum: QuantumIndex) -> ExecutionStatus {
        self.statuses[quantum.get()]
    }

    fn execution(&self, quantum: QuantumIndex) -> QuantumExecution {
        let id = self.graph.quantum_id(quantum);
        let Some(history) = self.journal.quantum(id) else { return QuantumExecution::default() };
        let attempts = match self.attempts.get(&id) {
            Some(attempts) => attempts.clone(),
            None => history.finish.iter().map(|finish| attempt(finish)).collect(),
        };
        let taken_over = history.last().and_then(|finish| finish.taken_over.as_deref().cloned());
        QuantumExecution { attempts, begun: history.attempts, taken_over }
    }

    fn output(&self, dataset: DatasetIndex) -> (DatasetState, Option<(u64, Checksum)>) {
        match self.places.get(&dataset) {
            Some(place) => {
                let record = &self.stored[*place as usize].1;
                (DatasetState::Present, Some((record.size, record.checksum)))
            }
            None => match self.states[dataset.get()] {
                DatasetState::Invalidated => (DatasetState::Invalidated, None),
                DatasetState::Present | DatasetState::Predicted => (DatasetState::Predicted, None),
            },
        }
    }

    fn copy_log(&mut self, quantum: QuantumIndex, out: &mut dyn Write) -> io::Result<()> {
        let history = self.journal.quantum(self.graph.quantum_id(quantum));
        let slice = history.and_then(|history| history.last()).and_then(|finish| finish.log);
        let Some(LogSlice { runner, offset, len }) = slice else { return Ok(()) };
        if self.log.as_ref().is_none_or(|(open, _)| *open != runner) {
            let path = layout::logs_dir(self.root).join(format!("{runner}.log"));
            let file = File::open(&path)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot read {path}: {e}")))?;
            self.log = Some((runner, file));
        }
        let Some((_, file)) = &self.log else { return Ok(()) };
        let mut buffer = [0; 8192];
        let mut done = 0;
        while done < len {
            let want = buffer.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
            let read = file.read_at(&mut buffer[..want], offset + done)?;
            if read == 0 {
                let reason = format!("the log of runner {runner} ends early");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
            }
            out.write_all(&buffer[..read])?;
            done += read as u64;
        }
        Ok(())
    }
}

/// The provenance of RUNs of a repository.
#[derive(Debug)]
pub struct RunProvenances {
    pub(crate) runs: Vec<CollectionName>,
    pub(crate) files: HashMap<CollectionName, (DatasetId, Option<Utf8PathBuf>)>,
    pub(crate) without: Vec<CollectionName>,
    /// Holds the file of an open workspace while it is read.
    pub(crate) _place: Option<tempfile::TempDir>,
}

/// The provenance of a RUN is not where it can be read.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(
        "dataset {0} is registered, but not stored: its artifact was removed, or a transaction is open"
    )]
    NotStored(DatasetId),
    #[error("cannot read {path}")]
    Io { path: Utf8PathBuf, source: io::Error },
}

/// Opens the provenance of all RUNs that these collections lead to; of all RUNs if there
/// are none.
///
/// # Errors
/// [`RegistryError::UnknownCollection`], or what else the database says.
pub fn open_provenance(
    butler: &DirectButler,
    collections: &[CollectionName],
) -> Result<ProvenanceGraph<RunProvenances>, RegistryError> {
    let provenance = dataset_type();
    let (rows, searched) = butler.registry().read(|reader| {
        let mut searched: Vec<CollectionName> = Vec::new();
        for found in reader.resolve(collections)? {
            for run in reader.owning_runs(&found.name)? {
                if !searched.contains(&run) {
                    searched.push(run);
                }
            }
        }
        if !reader.dataset_types()?.contains(&provenance) {
            return Ok((Vec::new(), searched));
        }
        let query = DatasetQuery {
            dataset_types: Some(vec![provenance.name.clone()]),
            runs: (!collections.is_empty()).then(|| searched.clone()),
            ..DatasetQuery::default()
        };
        Ok::<_, RegistryError>((reader.datasets(&query)?, searched))
    })?;
    let mut files = HashMap::new();
    let mut runs = Vec::new();
    // The first collection is the last word: its RUNs read what those behind it made.
    for row in rows.into_iter().rev() {
        let location = row.records.first().map(|record| &record.location);
        let path = location.and_then(|location| butler.datastore().local_path_of(location));
        let run = row.dataset.run;
        if files.insert(run.clone(), (row.dataset.id, path)).is_none() {
            runs.push(run);
        }
    }
    let without = searched.into_iter().filter(|run| !files.contains_key(run)).collect();
    Ok(ProvenanceGraph::new(RunProvenances { runs, files, without, _place: None }))
}

impl RunProvenances {
    /// The RUNs asked for that have none.
    pub fn without(&self) -> &[CollectionName] {
        &self.without
    }
}

impl ProvenanceSource for RunProvenances {
    type Reader = BufReader<File>;

    fn runs(&self) -> &[CollectionName] {
        &self.runs
    }

    fn open(
        &mut self,
        run: &CollectionName,
    ) -> Result<BufReader<File>, Box<dyn std::error::Error + Send + Sync>> {
        let Some((id, path)) = self.files.get(run) else { return Err("there is none".into()) };
        let path = path.as_ref().ok_or(OpenError::NotStored(*id))?;
        let file =
            File::open(path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        // What is read is short, and seldom next to what was read before.
        Ok(BufReader::with_capacity(2048, file))
    }
}

/// No quantum is meant.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The expression names what the graph does not have.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// It means something, but no quantum.
    #[error("no quantum is {expression:?}{hint}")]
    NoQuantum {
        /// The expression.
        expression: String,
        /// What it means instead.
        hint: String,
    },
}

impl WorkspaceClient {
    /// The quanta that an expression means, as things stand now, in the order of the graph.
    ///
    /// # Errors
    /// [`WorkspaceError::Select`] if it names what is not there or means no quantum.
    pub fn select(
        &self,
        graph: &QuantumGraph,
        expression: &Expression,
    ) -> Result<Vec<QuantumId>, WorkspaceError> {
        let journal = JournalState::read(&layout::journal_dir(self.root()))?;
        let statuses = execution_statuses(graph, &journal);
        let states = dataset_states(graph, &journal);
        let nodes = match expression.evaluate(&mut PredictedGraph::new(graph, statuses, states)) {
            Ok(nodes) => nodes,
            Err(EvaluateError::Expression(error)) => return Err(SelectError::from(error).into()),
            Err(EvaluateError::Graph(never)) => match never {},
        };
        let quanta = nodes.iter().filter_map(|node| match node {
            GraphNode::Quantum(index) => Some(graph.quantum_id(*index)),
            GraphNode::Dataset(_) => None,
        });
        let quanta: Vec<QuantumId> = quanta.collect();
        if quanta.is_empty() {
            let hint = match nodes.len() {
                0 => String::new(),
                n => format!(": it means {n} datasets only; `..` before a set adds what makes it"),
            };
            let expression = expression.text().to_owned();
            return Err(SelectError::NoQuantum { expression, hint }.into());
        }
        Ok(quanta)
    }
}
