//! Shards of a workspace by name and by quantum, without the database.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pantler_core::{CollectionName, DataId, ElementName, QuantumId, Universe};
use pantler_exec::{Counts, QuantumStatus, RunSummary, Selection, TaskCounts, WorkspaceStatus};
use pantler_graph::{QuantumGraph, QuantumIndex};

use super::{Frozen, Shard};
use crate::{WorkspaceClient, WorkspaceError};

/// Where the quanta of one shard stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: Shard,
    /// Its quanta.
    pub total: usize,
    /// These succeeded, or failed and were accepted.
    pub succeeded: usize,
    /// These failed, or succeeded and were poisoned.
    pub failed: usize,
    /// Whether nothing of it changes any more: it is committed, or about to be.
    pub is_frozen: bool,
    /// Of a shard without quanta, the collections that have what these would make.
    pub skipped_in: Vec<CollectionName>,
}

impl WorkspaceClient {
    /// The shard with these values.
    ///
    /// # Errors
    /// [`WorkspaceError::NoShards`]; [`WorkspaceError::NotAShard`] unless they are those of
    /// exactly the sharding dimensions.
    pub fn shard(
        &self,
        universe: &Universe,
        texts: &BTreeMap<String, String>,
    ) -> Result<Shard, WorkspaceError> {
        let (name, shard_by) = (&self.transaction().run, &self.transaction().shard_by);
        if shard_by.is_empty() {
            return Err(WorkspaceError::NoShards(name.clone()));
        }
        let group = universe.group(shard_by.iter().map(ElementName::as_str)).map_err(|source| {
            let shard_by: Vec<_> = shard_by.iter().map(ElementName::as_str).collect();
            WorkspaceError::ShardBy { shard_by: shard_by.join(", "), source }
        })?;
        let data_id = DataId::parse(universe, &group, texts);
        let data_id = data_id.map_err(|source| WorkspaceError::NotAShard {
            name: name.clone(),
            dimensions: group.to_string(),
            source,
        })?;
        let missing = || WorkspaceError::NoShards(name.clone());
        Shard::of(&data_id, shard_by).ok_or_else(missing)
    }

    /// The quanta of some shards, in the order of the graph.
    ///
    /// # Errors
    /// [`WorkspaceError::EmptyShard`] about one that has none.
    pub fn quanta_of_shards(
        &self,
        graph: &QuantumGraph,
        shards: &BTreeSet<Shard>,
    ) -> Result<Vec<QuantumId>, WorkspaceError> {
        let mut found = BTreeSet::new();
        let mut quanta = Vec::new();
        for index in graph.quanta() {
            if let Some(shard) = self.transaction().shard_of(graph, index)
                && let Some(shard) = shards.get(&shard)
            {
                found.insert(shard);
                quanta.push(graph.quantum_id(index));
            }
        }
        match shards.iter().find(|shard| !found.contains(shard)) {
            None => Ok(quanta),
            Some(shard) => {
                let (name, shard) = (self.transaction().run.clone(), shard.clone());
                Err(WorkspaceError::EmptyShard { name, shard })
            }
        }
    }

    /// Where the shards of the graph stand, by their values, given where its quanta stand.
    ///
    /// # Errors
    /// [`WorkspaceError::FrozenFile`] if a marker is damaged.
    pub fn shards(
        &self,
        graph: &QuantumGraph,
        status: &WorkspaceStatus,
    ) -> Result<Vec<ShardStatus>, WorkspaceError> {
        let frozen = Frozen::read(self.root())?;
        let mut shards: BTreeMap<Shard, ShardStatus> = BTreeMap::new();
        for index in graph.quanta() {
            let Some(shard) = self.transaction().shard_of(graph, index) else { continue };
            if shard.is_of_init_steps() {
                continue;
            }
            let one = shards.entry(shard).or_insert_with_key(|shard| ShardStatus {
                shard: shard.clone(),
                total: 0,
                succeeded: 0,
                failed: 0,
                is_frozen: frozen.has(shard),
                skipped_in: Vec::new(),
            });
            one.total += 1;
            one.succeeded += usize::from(status.quantum(index) == QuantumStatus::Succeeded);
            one.failed += usize::from(status.quantum(index) == QuantumStatus::Failed);
        }
        for (shard, skipped) in self.skipped_shards(graph, None)? {
            let skipped_in = skipped.collections;
            let (total, succeeded, failed, is_frozen) = (0, 0, 0, false);
            let one = ShardStatus {
                shard: shard.clone(),
                total,
                succeeded,
                failed,
                is_frozen,
                skipped_in,
            };
            shards.insert(shard, one);
        }
        Ok(shards.into_values().collect())
    }

    /// Refuses if one of these quanta is of a frozen shard.
    pub(crate) fn expect_not_frozen(
        &self,
        graph: &QuantumGraph,
        frozen: &Frozen,
        quanta: impl IntoIterator<Item = QuantumIndex>,
    ) -> Result<(), WorkspaceError> {
        let shards = quanta.into_iter().filter_map(|q| self.transaction().shard_of(graph, q));
        match shards.into_iter().find(|shard| frozen.has(shard)) {
            None => Ok(()),
            Some(shard) => {
                Err(WorkspaceError::Frozen { name: self.transaction().run.clone(), shard })
            }
        }
    }

    /// The shards of the quanta that a selection means; none of a workspace without shards.
    pub(crate) fn shards_meant(
        &self,
        graph: &QuantumGraph,
        selection: &Selection,
    ) -> BTreeSet<Shard> {
        if self.transaction().shard_by.is_empty() {
            return BTreeSet::new();
        }
        let meant = selection.known(graph);
        let quanta = graph.quanta().filter(|index| meant[index.get()]);
        quanta.filter_map(|index| self.transaction().shard_of(graph, index)).collect()
    }

    /// What of a selection can run: not what is frozen, which is refused where single
    /// quanta are named. `None` if nothing is left.
    pub(crate) fn selectable<'s>(
        &self,
        graph: &QuantumGraph,
        frozen: &Frozen,
        selection: &'s Selection,
    ) -> Result<Option<Cow<'s, Selection>>, WorkspaceError> {
        if frozen.is_empty() {
            return Ok(Some(Cow::Borrowed(selection)));
        }
        let named = selection.quanta.iter().filter_map(|quantum| graph.find(*quantum));
        self.expect_not_frozen(graph, frozen, named)?;
        if selection.is_named() {
            return Ok(Some(Cow::Borrowed(selection)));
        }
        let meant = selection.of(graph).map_err(pantler_exec::RunError::from)?;
        let is_free = |index: &QuantumIndex| {
            let shard = self.transaction().shard_of(graph, *index);
            meant[index.get()] && !shard.is_some_and(|shard| frozen.has(&shard))
        };
        let free = graph.quanta().filter(is_free).map(|index| graph.quantum_id(index));
        let selection = Selection { quanta: free.collect(), tasks: Vec::new() };
        // An empty one would stand for all.
        Ok((!selection.quanta.is_empty()).then_some(Cow::Owned(selection)))
    }

    /// The summary of a run of nothing.
    pub(crate) fn ran_nothing(&self, graph: &QuantumGraph) -> Result<RunSummary, WorkspaceError> {
        let status = self.status(graph)?;
        let tasks = status.tasks().iter().map(|task| {
            let (total, skipped) = (task.total, task.succeeded);
            let excluded = total - skipped;
            let counts = Counts { total, skipped, excluded, ..Counts::default() };
            TaskCounts { task: task.task.clone(), counts }
        });
        Ok(RunSummary {
            taken_over: 0,
            runner: None,
            tasks: tasks.collect(),
            failures: Vec::new(),
            vanished: 0,
            elsewhere: 0,
            unmade: Vec::new(),
            stopped: false,
            wall: Duration::ZERO,
        })
    }
}
