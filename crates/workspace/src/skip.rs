//! Where a build looks for outputs that exist, and what keeps them there.
//!
//! What a graph reads must stay while its workspace is open. The RUNs of the input
//! collections were noted when it was opened; those in which outputs are looked for are
//! noted here, before anything is read from them:
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | `build.inputs.lock`, one database transaction | the RUNs are inputs of the workspace | a workspace that reads more RUNs than its graph needs, until it is closed |
//! | the part of the graph is written | its header names the collections | – |

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pantler_core::{CollectionName, DataId, DatasetTypeName, TaskLabel};
use pantler_direct::DirectButler;
use pantler_graph::{
    ExistingOutputs, InputArtifact, InputDataset, QuantumGraph, ResolvedPipeline, ResolvedTask,
    needed_outputs,
};
use pantler_registry::{DatasetQuery, DatasetRow, LockKind, Reader, RegistryError};

use crate::{WorkspaceClient, WorkspaceError, create::name_of};

/// Where outputs are looked for; by default nowhere.
#[derive(Debug, Default)]
pub(crate) struct Searched {
    /// RUNs and TAGGED collections by task, in search order.
    tasks: BTreeMap<TaskLabel, Vec<CollectionName>>,
    /// The RUNs whose datasets count, of TAGGED collections too; `None` for all.
    runs: Option<BTreeSet<CollectionName>>,
}

impl Searched {
    /// These collections for all tasks, and behind them, for each task, those of the parts of
    /// the graph that it was built in.
    pub(crate) fn new(
        pipeline: &ResolvedPipeline,
        collections: &[CollectionName],
        parts: &[QuantumGraph],
        runs: Option<BTreeSet<CollectionName>>,
    ) -> Self {
        let mut tasks: BTreeMap<TaskLabel, Vec<CollectionName>> = BTreeMap::new();
        // Init steps are always made: what was made by others' configuration is not theirs.
        let of_data = |task: &&ResolvedTask| task.definition.init_of().is_none();
        for task in pipeline.tasks().iter().filter(of_data) {
            let scopes = parts.iter().filter_map(|part| part.metadata().scope.as_ref());
            let earlier = scopes
                .filter(|scope| scope.tasks.as_ref().is_none_or(|own| own.contains(&task.label)))
                .flat_map(|scope| &scope.skip_existing_in);
            let mut searched: Vec<CollectionName> = Vec::new();
            for collection in collections.iter().chain(earlier) {
                if !searched.contains(collection) {
                    searched.push(collection.clone());
                }
            }
            if !searched.is_empty() {
                tasks.insert(task.label.clone(), searched);
            }
        }
        Self { tasks, runs }
    }

    /// Reads what they have of the outputs of each task.
    pub(crate) fn read(
        &self,
        reader: &Reader,
        pipeline: &ResolvedPipeline,
    ) -> Result<BTreeMap<TaskLabel, Vec<ExistingOutputs>>, RegistryError> {
        let mut all = BTreeMap::new();
        if self.tasks.is_empty() {
            return Ok(all);
        }
        let registered: BTreeSet<DatasetTypeName> =
            reader.dataset_types()?.iter().map(|own| own.name.clone()).collect();
        for task in pipeline.tasks() {
            let Some(collections) = self.tasks.get(&task.label) else { continue };
            let found = self.read_task(reader, pipeline, task, collections, &registered)?;
            all.insert(task.label.clone(), found);
        }
        Ok(all)
    }

    fn read_task(
        &self,
        reader: &Reader,
        pipeline: &ResolvedPipeline,
        task: &ResolvedTask,
        collections: &[CollectionName],
        registered: &BTreeSet<DatasetTypeName>,
    ) -> Result<Vec<ExistingOutputs>, RegistryError> {
        let needed: Vec<DatasetTypeName> =
            needed_outputs(pipeline, task).map(|o| o.dataset_type.name.clone()).collect();
        let types: Vec<_> =
            needed.iter().filter(|name| registered.contains(*name)).cloned().collect();
        let mut whole: BTreeMap<DataId, ExistingOutputs> = BTreeMap::new();
        let mut some: BTreeMap<DataId, ExistingOutputs> = BTreeMap::new();
        if types.is_empty() {
            return Ok(Vec::new());
        }
        for collection in collections {
            // One that an earlier part has searched may be gone.
            if reader.collection(collection)?.is_none() {
                continue;
            }
            let rows = reader.datasets(&DatasetQuery {
                dataset_types: Some(types.clone()),
                runs: Some(vec![collection.clone()]),
                ..DatasetQuery::default()
            })?;
            let mut found: HashMap<DataId, Vec<InputDataset>> = HashMap::new();
            for dataset in rows.into_iter().filter_map(stored) {
                if self.runs.as_ref().is_none_or(|runs| runs.contains(&dataset.run)) {
                    found.entry(dataset.data_id.clone()).or_default().push(dataset);
                }
            }
            for (data_id, datasets) in found {
                let is_whole = datasets.len() == needed.len();
                let list = if is_whole { &mut whole } else { &mut some };
                list.entry(data_id.clone()).or_insert_with(|| ExistingOutputs {
                    data_id,
                    collection: collection.clone(),
                    datasets,
                });
            }
        }
        some.retain(|data_id, _| !whole.contains_key(data_id));
        Ok(whole.into_values().chain(some.into_values()).collect())
    }
}

/// A dataset that is stored, as an input.
pub(crate) fn stored(row: DatasetRow) -> Option<InputDataset> {
    let record = row.records.into_iter().next()?;
    Some(InputDataset {
        id: row.dataset.id,
        run: row.dataset.run,
        dataset_type: row.dataset.dataset_type.name.clone(),
        data_id: row.dataset.data_id,
        artifact: InputArtifact {
            location: record.location,
            offset: record.offset,
            size: record.size,
            checksum: record.checksum,
        },
    })
}

/// The RUNs and TAGGED collections that `collections` stand for, in search order, and the
/// RUNs that own what those have.
pub(crate) fn resolve(
    reader: &Reader,
    collections: &[CollectionName],
) -> Result<(Vec<CollectionName>, Vec<CollectionName>), RegistryError> {
    let found = reader.resolve(collections)?;
    let searched: Vec<CollectionName> = found.into_iter().map(|found| found.name).collect();
    let mut runs: Vec<CollectionName> = Vec::new();
    for collection in &searched {
        for run in reader.owning_runs(collection)? {
            if !runs.contains(&run) {
                runs.push(run);
            }
        }
    }
    Ok((searched, runs))
}

/// Refuses RUNs that a transaction changes.
pub(crate) fn expect_unlocked(
    reader: &Reader,
    runs: &[CollectionName],
) -> Result<(), RegistryError> {
    for run in runs {
        let locks = reader.locks_of_run(run)?;
        if let Some((transaction, lock)) =
            locks.into_iter().find(|(_, lock)| *lock == LockKind::Modified)
        {
            return Err(RegistryError::RunLocked { run: run.clone(), transaction, lock });
        }
    }
    Ok(())
}

/// Refuses to look for outputs in the RUN of the workspace itself.
pub(crate) fn expect_other(
    run: &CollectionName,
    collections: &[CollectionName],
) -> Result<(), WorkspaceError> {
    if collections.contains(run) {
        return Err(WorkspaceError::SkipInOwnRun(run.clone()));
    }
    Ok(())
}

/// Makes the RUNs of `collections` inputs of an open workspace, which nobody removes from
/// then on. Returns the collections that are to be searched, and all RUNs that it reads.
pub(crate) fn lock(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
    collections: &[CollectionName],
) -> Result<(Vec<CollectionName>, BTreeSet<CollectionName>), WorkspaceError> {
    let (run, opening) = (&workspace.transaction().run, workspace.file().opening);
    let name = name_of(run);
    if collections.is_empty() {
        let locks = butler.registry().read(|reader| reader.run_locks(&name))?;
        return Ok((Vec::new(), locks.inputs.into_iter().collect()));
    }
    expect_other(run, collections)?;
    pantler_seam::step("build.inputs.lock");
    let locked = butler.registry().write(|writer| {
        if writer.transaction(&name)?.is_none_or(|row| row.opening != opening) {
            return Err(WorkspaceError::ClosedMeanwhile(run.clone()));
        }
        let (mut searched, mut runs) = resolve(writer, collections)?;
        // A chain may have it since a shard was committed.
        searched.retain(|collection| collection != run);
        runs.retain(|other| other != run);
        writer.add_inputs(&name, &runs)?;
        Ok((searched, writer.run_locks(&name)?.inputs.into_iter().collect()))
    })?;
    pantler_seam::step("build.inputs.locked");
    Ok(locked)
}
