//! Building the quantum graph of a workspace.
//!
//! A killed build leaves a workspace without `graph-1.qg` (it is created under
//! another name and put in place whole), and is simply run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io::Cursor,
    sync::Arc,
};

use camino::Utf8Path;
use pantler_core::{
    CollectionName, DatasetTypeName, DimensionRecord, ElementName, IdSeed, OpeningId, Tai, Universe,
};
use pantler_datastore::StorageError;
use pantler_direct::DirectButler;
use pantler_graph::{
    BuildSource, DatasetOrigin, GraphMetadata, InputArtifact, InputDataset, Pipeline, QuantumGraph,
    ResolvedPipeline,
};
use pantler_registry::{DatasetQuery, RegistryError};

use crate::{
    WorkspaceClient, WorkspaceError, WorkspaceTransaction, client,
    create::{read_pipeline, resolve},
    layout,
};

/// What building did.
#[derive(Debug)]
pub struct Built {
    /// The graph.
    pub graph: QuantumGraph,
    /// Whether it was there already, and nothing was done.
    pub before: bool,
}

/// Builds the graph of a workspace and writes it into its root. A workspace that
/// has one keeps it.
///
/// # Errors
/// [`WorkspaceError::NothingToDo`] if there are no quanta, with the reasons;
/// nothing is written then.
pub fn build(butler: &DirectButler, workspace: &WorkspaceClient) -> Result<Built, WorkspaceError> {
    if let Some(graph) = workspace.graph_if_built()? {
        return Ok(Built { graph, before: true });
    }
    let transaction = workspace.transaction();
    if read_pipeline(workspace.pipeline())?.digest() != transaction.pipeline_digest {
        return Err(WorkspaceError::OtherPipeline {
            name: transaction.run.clone(),
            file: workspace.pipeline().to_owned(),
        });
    }
    // What the transaction noted as read, also if a chain has grown since.
    let graph = plan(
        butler,
        workspace.pipeline(),
        &transaction.searched,
        &transaction.run,
        workspace.file().opening,
        workspace.file().opened_at,
    )?;
    check_noted(&graph, transaction)?;
    write(&graph, workspace.root())?;
    Ok(Built { graph, before: false })
}

/// Builds a graph in memory and changes nothing.
///
/// # Errors
/// [`WorkspaceError::NothingToDo`] if there are no quanta, with the reasons.
pub fn plan(
    butler: &DirectButler,
    pipeline: &Utf8Path,
    inputs: &[CollectionName],
    output: &CollectionName,
    opening: OpeningId,
    now: Tai,
) -> Result<QuantumGraph, WorkspaceError> {
    let pipeline = read_pipeline(pipeline)?;
    let resolved = Arc::new(resolve(butler, &pipeline)?);
    let source = Inputs::read(butler, &resolved, inputs)?;
    graph_of(&resolved, &source, output, opening, now)
}

/// Builds a graph from inputs that are already read.
pub(crate) fn graph_of(
    pipeline: &Arc<ResolvedPipeline>,
    source: &Inputs,
    output: &CollectionName,
    opening: OpeningId,
    now: Tai,
) -> Result<QuantumGraph, WorkspaceError> {
    let metadata = GraphMetadata {
        seed: IdSeed { opening, generation: 0 },
        output_run: output.clone(),
        created_at: now,
    };
    let graph = pantler_graph::build(pipeline, source, metadata).map_err(WorkspaceError::Build)?;
    if graph.is_empty() {
        let reasons: Vec<_> = graph.pruned().iter().take(5).map(|p| format!("; {p}")).collect();
        return Err(WorkspaceError::NothingToDo(reasons.concat()));
    }
    Ok(graph)
}

/// Refuses inputs that were put into a TAGGED collection after the transaction had noted
/// the RUNs that it reads: nothing would keep them from being removed meanwhile.
pub(crate) fn check_noted(
    graph: &QuantumGraph,
    transaction: &WorkspaceTransaction,
) -> Result<(), WorkspaceError> {
    if transaction.searched == transaction.input_runs {
        // No collection but RUNs was searched.
        return Ok(());
    }
    for index in graph.overall_inputs() {
        if let DatasetOrigin::Existing { run, .. } = graph.dataset(index).origin
            && !transaction.input_runs.contains(&run)
        {
            return Err(WorkspaceError::InputsGrew { name: transaction.run.clone(), run });
        }
    }
    Ok(())
}

pub(crate) fn write(graph: &QuantumGraph, root: &Utf8Path) -> Result<(), WorkspaceError> {
    let path = layout::graph_file(root);
    let mut bytes = Cursor::new(Vec::new());
    pantler_graph::write(graph, &mut bytes)
        .map_err(|source| WorkspaceError::GraphFile { path: path.clone(), source })?;
    pantler_seam::step("build.graph.write");
    match pantler_datastore::fs::write_new(&path, bytes.get_ref()) {
        Err(StorageError::AlreadyExists { .. }) => {
            // Another process built it meanwhile, from the same inputs or others:
            // what stands is the graph.
            client::read_graph(root).map(|_| ())
        }
        other => Ok(other?),
    }
}

/// Whether two graphs are of the same work: the same quanta of the same pipeline on
/// the same input datasets.
pub(crate) fn is_same_work(a: &QuantumGraph, b: &QuantumGraph) -> bool {
    let pipelines = |g: &QuantumGraph| Pipeline::digest(g.pipeline().pipeline());
    let inputs =
        |g: &QuantumGraph| g.overall_inputs().map(|i| g.dataset(i).id).collect::<BTreeSet<_>>();
    pipelines(a) == pipelines(b)
        && a.len() == b.len()
        && a.quanta().map(|q| a.quantum_id(q)).eq(b.quanta().map(|q| b.quantum_id(q)))
        && inputs(a) == inputs(b)
}

/// The inputs of a pipeline as values.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) universe: Arc<Universe>,
    pub(crate) datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>>,
    pub(crate) records: BTreeMap<ElementName, Vec<DimensionRecord>>,
}

impl Inputs {
    /// Reads the stored datasets that `inputs` offer, find-first, and all dimension
    /// records, from one state of the database.
    pub(crate) fn read(
        butler: &DirectButler,
        pipeline: &ResolvedPipeline,
        inputs: &[CollectionName],
    ) -> Result<Self, WorkspaceError> {
        let universe = Arc::clone(butler.universe());
        let mut datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>> = BTreeMap::new();
        let mut records = BTreeMap::new();
        butler.registry().read(|reader| {
            let types: Vec<_> = pipeline.overall_inputs().iter().map(|t| t.name.clone()).collect();
            if !types.is_empty() {
                let rows = reader.datasets(&DatasetQuery {
                    dataset_types: Some(types),
                    runs: Some(inputs.to_vec()),
                    find_first: true,
                    ..DatasetQuery::default()
                })?;
                for row in rows {
                    let Some(record) = row.records.into_iter().next() else { continue };
                    let name = row.dataset.dataset_type.name.clone();
                    datasets.entry(name.clone()).or_default().push(InputDataset {
                        id: row.dataset.id,
                        run: row.dataset.run,
                        dataset_type: name,
                        data_id: row.dataset.data_id,
                        artifact: InputArtifact {
                            location: record.location,
                            offset: record.offset,
                            size: record.size,
                            checksum: record.checksum,
                        },
                    });
                }
            }
            for element in universe.elements() {
                records.insert(element.name.clone(), reader.dimension_records(element)?);
            }
            Ok::<_, RegistryError>(())
        })?;
        Ok(Self { universe, datasets, records })
    }
}

impl BuildSource for Inputs {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.get(dataset_type).cloned().unwrap_or_default())
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(self.records.get(element).cloned().unwrap_or_default())
    }
}
