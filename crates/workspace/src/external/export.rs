//! What an internal workspace has made so far, as a repository of its own. The workspace
//! stays as it is.

use std::sync::Arc;

use camino::Utf8Path;
use pantler_core::{
    ArtifactKey, DatasetRef, DatastoreConfig, FileRecord, Location, RunId, WriteId,
};
use pantler_datastore::{Datastore, RunPrefix, key};
use pantler_direct::{
    DirectButler,
    standalone::{self, Contents},
};
use pantler_exec::{JournalState, RunnerLock};
use pantler_graph::{DatasetOrigin, QuantumGraph};

use super::{
    ExternalError, creating_file,
    description::{Description, Parent, chain_of},
    rows::Rows,
    seal::{of_graph, pack_logs, store_provenance, types_of},
};
use crate::{
    WorkspaceClient, WorkspaceError, WorkspaceTransaction,
    kind::commit::{expect_known, harvest},
    layout, provenance,
};

/// So many artifacts are flushed together.
const AT_ONCE: usize = 500;

/// What exporting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Outputs that are stored in the new repository.
    pub outputs: usize,
    /// Inputs that are registered in it.
    pub inputs: usize,
    /// Whether those are stored in it, too.
    pub with_inputs: bool,
    /// The bytes of all that was copied.
    pub bytes: u64,
}

/// Makes a repository in the folder `to`, which is missing or empty, of what the workspace
/// has made so far. A kill leaves a folder with which the same call begins again.
///
/// # Errors
/// [`WorkspaceError`]; `to` is then no repository.
pub fn export(
    butler: &DirectButler,
    client: &WorkspaceClient,
    to: &Utf8Path,
    with_inputs: bool,
) -> Result<Exported, WorkspaceError> {
    expect_free(to)?;
    let made = !to.exists();
    pantler_seam::around("export.folder.make", || std::fs::create_dir_all(to))
        .map_err(ExternalError::io(to))?;
    let lock = RunnerLock::acquire(to, &pantler_direct::this_process(), false)?;
    expect_free(to)?;
    clear(to)?;
    pantler_datastore::fs::write_new(&creating_file(to), b"")?;
    pantler_seam::step("export.begun");
    let exported = fill(butler, client, to, with_inputs);
    // If not all can be taken away again, the mark stays, and the same call begins again.
    if standalone::is_repository(to) || clear(to).is_ok() {
        drop(std::fs::remove_file(creating_file(to)));
        drop(std::fs::remove_file(pantler_exec::layout::lock_file(to)));
    }
    drop(lock);
    if exported.is_err() && made {
        drop(std::fs::remove_dir(to));
    }
    exported
}

fn expect_free(to: &Utf8Path) -> Result<(), ExternalError> {
    let entries = match to.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(ExternalError::NotAFolder(to.to_owned()));
        }
        Err(e) => return Err(ExternalError::io(to)(e)),
    };
    let begun = creating_file(to).exists() && !standalone::is_repository(to);
    for entry in entries {
        let entry = entry.map_err(ExternalError::io(to))?;
        let name = entry.file_name();
        let always = name == "runner.lock" || name.starts_with("creating.");
        let of_begun = ["creating", "artifacts", "workspaces"].contains(&name)
            || name.starts_with("registry.sqlite3")
            || name.starts_with("pantler.yaml.");
        if !(begun && (of_begun || always) || always && !standalone::is_repository(to)) {
            let (path, entry) = (to.to_owned(), name.to_owned());
            return Err(ExternalError::NotEmpty { path, entry });
        }
    }
    Ok(())
}

/// Takes away what a call that did not end has made.
fn clear(to: &Utf8Path) -> Result<(), WorkspaceError> {
    for folder in ["artifacts", "workspaces"] {
        pantler_datastore::fs::remove_tree(&to.join(folder))?;
    }
    let mut left = Vec::new();
    for entry in to.read_dir_utf8().map_err(ExternalError::io(to))? {
        let name = entry.map_err(ExternalError::io(to))?.file_name().to_owned();
        if ["registry.sqlite3", "pantler.yaml.", "creating"].iter().any(|n| name.starts_with(n)) {
            left.push(name);
        }
    }
    // The mark last: while anything else is left, it says whose that is.
    left.sort_by_key(|name| name == "creating");
    for name in left {
        std::fs::remove_file(to.join(&name)).map_err(ExternalError::io(to.join(&name)))?;
    }
    Ok(())
}

fn fill(
    butler: &DirectButler,
    client: &WorkspaceClient,
    to: &Utf8Path,
    with_inputs: bool,
) -> Result<Exported, WorkspaceError> {
    let graph = client.graph()?;
    let transaction = client.transaction();
    let description = describe(butler, transaction, &graph)?;
    let rows = Rows::of(butler, &graph, &description)?;
    let collections = description.others(&rows);
    let datastore = DatastoreConfig {
        version: 1,
        root: DatastoreConfig::default().root,
        durability: butler.datastore().config().durability,
    };
    std::fs::create_dir_all(to.join(&datastore.root)).map_err(ExternalError::io(to))?;
    let storage = Datastore::local(to, &datastore)?;
    let mut copies = Copies { storage: &storage, bytes: 0 };
    let (mut datasets, mut files) = copy_outputs(client, to, &graph, &mut copies)?;
    let made = datasets.len();
    let write = WriteId::of_opening(client.file().opening, 1);
    let mut inputs = Vec::new();
    for index in graph.overall_inputs() {
        let node = graph.dataset(index);
        let DatasetOrigin::Existing { run, artifact } = node.origin.clone() else { continue };
        let Some(id) = description.run_id(&run) else { continue };
        let (name, class) = (&node.dataset_type.name, node.dataset_type.storage_class);
        let prefix = key::run_prefix(&run, id);
        let key = key::dataset_key(&prefix, name, &node.data_id, &write, class.extension());
        let dataset = DatasetRef {
            id: node.id,
            dataset_type: Arc::clone(&node.dataset_type),
            data_id: node.data_id.clone(),
            run,
        };
        if with_inputs {
            inputs.push((dataset, super::inputs::record(&node, artifact), key));
        } else {
            datasets.push(dataset);
        }
    }
    for (dataset, record) in copies.all(client.datastore(), &inputs)? {
        datasets.push(dataset);
        files.push(record);
    }
    let inputs = datasets.len() - made;
    let exported = Exported { outputs: made, inputs, with_inputs, bytes: copies.bytes };
    let contents = Contents {
        universe: &description.universe,
        datastore: &datastore,
        runs: &description.runs,
        collections: &collections,
        chain: chain_of(transaction),
        dataset_types: &types_of(&graph),
        records: rows.records,
        datasets,
        files,
    };
    let now = butler.environment().clock.now();
    standalone::make(to, contents, now).map_err(ExternalError::from)?;
    pantler_seam::step("export.made");
    Ok(exported)
}

/// What an external workspace for the same work would be.
fn describe(
    butler: &DirectButler,
    transaction: &WorkspaceTransaction,
    graph: &QuantumGraph,
) -> Result<Description, WorkspaceError> {
    let mut collections = Vec::new();
    butler.registry().read(|reader| {
        let mut inputs = transaction.inputs.iter();
        inputs.try_for_each(|input| super::create::collect(reader, input, &mut collections))
    })?;
    let runs = std::iter::once(&transaction.run).chain(&transaction.input_runs);
    let mut runs: Vec<_> = runs.cloned().collect();
    // Those in which outputs were found, too.
    for index in graph.overall_inputs() {
        if let DatasetOrigin::Existing { run, .. } = graph.dataset(index).origin
            && !runs.contains(&run)
        {
            runs.push(run);
        }
    }
    let parent = Parent {
        path: butler.root().to_owned(),
        repository: butler.registry().repository()?,
        datastore: butler.datastore().config().clone(),
    };
    let universe = (**butler.universe()).clone();
    let pipeline = Vec::new();
    Ok(Description { parent, universe, runs, collections, pipeline })
}

/// Copies what quanta have made so far, and what they said.
fn copy_outputs(
    client: &WorkspaceClient,
    to: &Utf8Path,
    graph: &QuantumGraph,
    copies: &mut Copies<'_>,
) -> Result<(Vec<DatasetRef>, Vec<FileRecord>), WorkspaceError> {
    let journal = JournalState::read(&layout::journal_dir(client.root()))?;
    expect_known(client.root(), graph, &journal)?;
    let harvest = harvest(graph, &journal);
    let prefix = key::run_prefix(graph.output_run(), RunId::new(1));
    let write = WriteId::of_opening(client.file().opening, 1);
    let (logs, _) = pack_logs(client.root(), copies.storage, graph, &harvest, |label| {
        key::log_key(&prefix, label, &write, 0)
    })?;
    let stored: Vec<_> = harvest.outputs.iter().chain(&logs).cloned().collect();
    let path = to.join("creating.provenance.zip");
    let key = provenance::key_below(&prefix, &write);
    let storage = copies.storage;
    let provenance =
        store_provenance(&path, client.root(), storage, graph, &journal, &stored, key)?;
    let outputs = harvest.outputs.into_iter().map(|output| of_graph(graph, output));
    let outputs: Vec<(DatasetRef, FileRecord, ArtifactKey)> = outputs
        .filter_map(|(dataset, record)| {
            let key = record.location.key().and_then(|key| below(&prefix, key))?;
            Some((dataset, record, key))
        })
        .collect();
    let copied = copies.all(client.datastore(), &outputs)?;
    let logs = logs.into_iter().map(|log| of_graph(graph, log));
    Ok(copied.into_iter().chain(logs).chain([provenance]).unzip())
}

/// The key below another prefix.
fn below(prefix: &RunPrefix, key: &ArtifactKey) -> Option<ArtifactKey> {
    let (_, rest) = key.as_str().split_once('/')?;
    ArtifactKey::new(format!("{prefix}/{rest}")).ok()
}

struct Copies<'a> {
    storage: &'a Datastore,
    bytes: u64,
}

impl Copies<'_> {
    /// Copies datasets, each to an artifact of its own.
    fn all(
        &mut self,
        from: &Datastore,
        wanted: &[(DatasetRef, FileRecord, ArtifactKey)],
    ) -> Result<Vec<(DatasetRef, FileRecord)>, WorkspaceError> {
        let mut done = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let batch = self.storage.begin_batch()?;
            for (dataset, record, key) in some {
                let written = batch.write(key, &mut from.reader(record)?)?;
                if (written.size, written.checksum) != (record.size, record.checksum) {
                    batch.discard()?;
                    let (dataset, place) = (dataset.id, record.location.to_string());
                    return Err(ExternalError::InputChanged { dataset, place }.into());
                }
                self.bytes += written.size;
                let location: Location = key.clone().into();
                let record = FileRecord { location, offset: None, ..record.clone() };
                done.push((dataset.clone(), record));
            }
            batch.publish()?;
            pantler_seam::step("export.copied");
        }
        Ok(done)
    }
}
