//! The provenance of a RUN, or of a shard of one: written when that is committed.

use std::{
    collections::{BTreeSet, HashMap},
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
    ArtifactKey, Checksum, DataId, DatasetRef, DatasetType, DatasetTypeName, DimensionGroup,
    ElementName, FileRecord, QuantumId, StorageClass, Universe, WriteId,
};
use pantler_datastore::{RunPrefix, key};
use pantler_exec::{
    Finish, JournalError, JournalState, LogSlice, Outcome, dataset_states, execution_statuses,
};
use pantler_graph::{
    Attempt, AttemptEnd, DatasetIndex, DatasetState, EvaluateError, ExecutionRecords,
    ExecutionStatus, Expression, ExpressionError, GraphFileError, GraphNode, PredictedGraph,
    QuantumExecution, QuantumGraph, QuantumIndex, RUN_PROVENANCE, RUN_PROVENANCE_BY, Runner,
    write_provenance, write_provenance_of,
};

use crate::{Shard, WorkspaceClient, WorkspaceError, layout};

/// The dataset type of provenance: one dataset a RUN.
pub fn dataset_type() -> Arc<DatasetType> {
    type_of(RUN_PROVENANCE.to_owned(), Arc::new(DimensionGroup::empty()))
}

/// The dataset type of the provenance of shards with these dimensions: one dataset a shard.
pub fn dataset_type_of_shards(dimensions: &Arc<DimensionGroup>) -> Arc<DatasetType> {
    let names: Vec<&str> = dimensions.required().iter().map(ElementName::as_str).collect();
    let names = names.join("_");
    let mut name = format!("{RUN_PROVENANCE_BY}{names}");
    if DatasetTypeName::new(&*name).is_err() {
        // Too long.
        let digest = Checksum::of(names.as_bytes());
        let digits = digest.as_bytes()[..16].iter().map(|byte| format!("{byte:02x}"));
        name = digits.fold(RUN_PROVENANCE_BY.to_owned(), |name, digits| name + &digits);
    }
    type_of(name, Arc::clone(dimensions))
}

fn type_of(name: String, dimensions: Arc<DimensionGroup>) -> Arc<DatasetType> {
    Arc::new(DatasetType {
        name: DatasetTypeName::new(name).expect("the name follows the rules"),
        dimensions,
        storage_class: StorageClass::Bytes,
    })
}

/// Whether datasets of this type are provenance, of RUNs or of shards.
pub(crate) fn is_provenance(own: &DatasetType) -> bool {
    let expected = if own.dimensions.required().is_empty() {
        dataset_type()
    } else {
        dataset_type_of_shards(&own.dimensions)
    };
    *own == *expected
}

/// Whether tasks cannot write datasets of a type with this name.
pub(crate) fn is_reserved(name: &DatasetTypeName) -> bool {
    name.as_str() == RUN_PROVENANCE || name.as_str().starts_with(RUN_PROVENANCE_BY)
}

/// What a file of provenance is about, and the dataset that it becomes.
pub(crate) struct Subject<'a> {
    words: String,
    dataset_type: Arc<DatasetType>,
    data_id: DataId,
    /// The quanta by position; `None` for all.
    quanta: Option<&'a [bool]>,
}

impl<'a> Subject<'a> {
    /// All of a RUN.
    pub(crate) fn run() -> Self {
        let (words, data_id) = ("the RUN".to_owned(), DataId::empty());
        Self { words, dataset_type: dataset_type(), data_id, quanta: None }
    }

    /// The quanta that are committed with a shard.
    pub(crate) fn shard(
        universe: &Universe,
        shard: &Shard,
        quanta: &'a [bool],
    ) -> Result<Self, KindError> {
        let data_id = shard.data_id(universe).map_err(KindError::Invalid)?;
        let dataset_type = dataset_type_of_shards(data_id.group());
        let words = format!("shard {shard}");
        Ok(Self { words, dataset_type, data_id, quanta: Some(quanta) })
    }
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
/// what is kept, by dataset of the graph. The file is made in the root first: it
/// is not written from its beginning to its end. A kill leaves it there, and goes with the
/// root; the next commit writes it again.
pub(crate) fn store(
    subject: &Subject<'_>,
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
    context: &CommitContext<'_>,
) -> Result<(DatasetRef, FileRecord), KindError> {
    let Subject { words, dataset_type, data_id, quanta } = subject;
    let unwritten = |error: WriteError| {
        KindError::Unreadable(format!("the provenance of {words} was not written"), error.into())
    };
    let path = layout::provenance_file(root);
    let failed = |source| unwritten(WriteError::Write { path: path.clone(), source });
    prepare_some(&path, root, graph, journal, stored, *quanta).map_err(unwritten)?;

    let facts = context.facts();
    let prefix =
        RunPrefix::parse(facts.run_prefix).map_err(|e| KindError::Invalid(e.to_string()))?;
    let write = WriteId::of_opening(facts.opening, facts.attempt);
    let key = key::dataset_key(&prefix, &dataset_type.name, data_id, &write, EXTENSION);
    let file = File::open(&path).map_err(failed)?;
    let new = NewArtifact { key: key.clone(), content: Box::new(BufReader::new(file)) };
    let contents = context.artifacts().store(vec![new])?;
    pantler_seam::step("commit.provenance.stored");
    let Some(content) = contents.first() else {
        return Err(KindError::Invalid(format!("{key}: it was not stored")));
    };
    // It has been stored under its key; what stays goes with the root.
    drop(std::fs::remove_file(&path));
    let dataset = DatasetRef {
        id: graph.seed().dataset(dataset_type.name.as_str(), data_id),
        dataset_type: Arc::clone(dataset_type),
        data_id: data_id.clone(),
        run: graph.output_run().clone(),
    };
    Ok(with_record(dataset, key, content.size, content.checksum))
}

/// Writes what happened in the workspace at `root` into the file `path`.
pub(crate) fn prepare(
    path: &Utf8Path,
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
) -> Result<(), WriteError> {
    prepare_some(path, root, graph, journal, stored, None)
}

/// The same of some quanta, by position.
fn prepare_some(
    path: &Utf8Path,
    root: &Utf8Path,
    graph: &QuantumGraph,
    journal: &JournalState,
    stored: &[(DatasetIndex, FileRecord)],
    quanta: Option<&[bool]>,
) -> Result<(), WriteError> {
    let mut executed = Executed::new(root, graph, journal, stored, quanta)?;
    pantler_seam::around("commit.provenance.write", || write(path, &mut executed))
        .map_err(|source| WriteError::Write { path: path.to_owned(), source })
}

const EXTENSION: &str = "zip";

/// The key of the provenance of a RUN.
pub(crate) fn key_below(prefix: &RunPrefix, write: &WriteId) -> ArtifactKey {
    key::dataset_key(prefix, &dataset_type().name, &DataId::empty(), write, EXTENSION)
}

/// The provenance of a graph's RUN as rows.
pub(crate) fn row(
    graph: &QuantumGraph,
    key: ArtifactKey,
    size: u64,
    checksum: Checksum,
) -> (DatasetRef, FileRecord) {
    let id = graph.seed().dataset(RUN_PROVENANCE, &DataId::empty());
    let (data_id, run) = (DataId::empty(), graph.output_run().clone());
    let dataset = DatasetRef { id, dataset_type: dataset_type(), data_id, run };
    with_record(dataset, key, size, checksum)
}

fn with_record(
    dataset: DatasetRef,
    key: ArtifactKey,
    size: u64,
    checksum: Checksum,
) -> (DatasetRef, FileRecord) {
    let record = FileRecord {
        dataset: dataset.id,
        component: Box::default(),
        location: key.into(),
        offset: None,
        formatter: StorageClass::Bytes.formatter().into(),
        storage_class: StorageClass::Bytes,
        size,
        checksum,
    };
    (dataset, record)
}

fn write(path: &Utf8Path, executed: &mut Executed<'_>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, File::create(path)?);
    let graph = executed.graph;
    let written = match executed.quanta {
        None => write_provenance(graph, executed, &mut out),
        Some(quanta) => write_provenance_of(graph, quanta, executed, &mut out),
    };
    written.map_err(|error| match error {
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
    /// The quanta that are asked for, by position; `None` for all.
    quanta: Option<&'a [bool]>,
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
        quanta: Option<&'a [bool]>,
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
            quanta,
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
        let segments = self.journal.segments().iter();
        match self.quanta {
            None => segments.map(runner).collect(),
            Some(quanta) => {
                let meant = self.graph.quanta().filter(|index| quanta[index.get()]);
                let attempts = meant.flat_map(|index| self.execution(index).attempts);
                let numbers: BTreeSet<u32> = attempts.map(|attempt| attempt.runner).collect();
                segments.filter(|segment| numbers.contains(&segment.runner)).map(runner).collect()
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    #[test]
    fn types_of_shards_are_named_after_their_dimensions() -> Result<()> {
        let long = "a".repeat(60);
        let universe = Universe::from_yaml(&format!(
            "version: 1\nname: s\nelements:\n  instrument: {{key: string}}\n  visit: {{key: integer, requires: [instrument]}}\n  {long}: {{key: integer}}\n"
        ))?;
        let own =
            |name: &str| -> Result<_> { Ok(dataset_type_of_shards(&universe.group([name])?)) };
        let visit = own("visit")?;
        assert_eq!(visit.name.as_str(), "run_provenance_by_instrument_visit");
        let other = own(&long)?;
        assert_eq!(other.name.as_str().len(), RUN_PROVENANCE_BY.len() + 32);
        for one in [&visit, &other, &dataset_type()] {
            assert!(is_provenance(one) && is_reserved(&one.name), "{}", one.name);
        }
        let otherwise =
            DatasetType { dimensions: Arc::clone(&other.dimensions), ..(*visit).clone() };
        assert!(!is_provenance(&otherwise));
        assert!(!is_reserved(&DatasetTypeName::new("run_provenances")?));
        Ok(())
    }
}
