//! Shards: parts of a workspace that are committed one after the other, into one RUN.
//!
//! A shard is a data ID of the sharding dimensions. Every task has these, and the quanta of
//! one task read what quanta of the same shard have made: no edge of the graph leads from one
//! shard to another. What init steps have made all shards may read: it enters with the first
//! shard that is committed, and is frozen from then on, as a shard without dimensions. So a shard can be built, run and committed while others are not there
//! yet, or are run by other processes.
//!
//! # Commit of a shard
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | 1. runners are declared dead, if told so | `journal/<runner>.over` | as for a whole commit |
//! | 2. closers' lock (`closer.lock`): shard commits, closings, and accept, poison, reset come one after the other | none | nothing |
//! | 3. no `closing`; the shard has quanta; no live runner is to run any of them | none | nothing |
//! | 4. `freeze.lock`, then the marker `frozen/<shard>.json`, create-only and flushed; before it that of the init steps, if there are any | nobody runs, builds, accepts, poisons or resets anything of the shard | a frozen shard |
//! | 5. again: no live runner is to run any of its quanta | none | the same |
//! | 6. claim | attempt + 1 | the same; the claim of a dead process |
//! | 7. the parts of the graph that the shard needs, and what the journal says about these quanta; sizes of their outputs looked at, one by one | none | the same |
//! | 8. logs | one pack a task below the RUN's prefix, with a key of this attempt | the same, and packs that belong to nobody |
//! | 9. what happened | `provenance.zip` in the root, then its artifact below the RUN's prefix, with a key of this attempt | the same, and that artifact |
//! | 10. one database transaction: datasets, provenance among them, records, chain; the shard noted in the data of the transaction, which stays open; the claim ended | the shard is there, as a whole | a committed shard |
//!
//! Killed before step 10, the same call finishes it, and so does a commit of the whole
//! workspace: that looks at the database only for what is committed, and treats a frozen
//! shard as any other. What belongs to nobody is deleted when the workspace is closed. A
//! commit that fails before step 10 takes the marker away again, so that the shard can be run
//! on. Committed again: nothing is done.
//!
//! A runner reads the markers before it chooses its quanta and looks for new ones after its
//! header is there (one that names its quanta, for those of their shards): so either the
//! header names no quantum of the shard, or the committer sees it in step 5. Who adds to the
//! graph holds `freeze.lock` from the look at the markers until the part is there: so either
//! the part is read in step 7, or it has no quanta of the shard.
//!
//! # What is read for a shard
//!
//! The parts of the graph that may have quanta of it (`parts.rs` says which), and of the
//! journal the lines about these quanta. What shards have been committed, and how many there
//! are, makes no difference. Where shards share inputs, a build reads all parts: they are to
//! be the same datasets in all.
//!
//! # Between and after
//!
//! The RUN stays locked by the open workspace. Once a shard is committed the workspace cannot
//! be reverted; abandoning it drops only what is not committed. The commit of the whole
//! enters the rest, writes the provenance of the RUN, shards included, and ends it. Until then,
//! and if it never comes, what is known of a shard is its own provenance: the quanta that were
//! committed with it, and what they read.

mod commit;
mod frozen;
mod select;
mod skipped;

use std::{collections::BTreeMap, fmt, sync::Arc};

use pantler_butler::transaction::ArtifactTransaction as _;
use pantler_core::{Checksum, DataId, DatasetType, ElementName, KeyValue, Universe};
use pantler_graph::{QuantumGraph, QuantumIndex, ResolvedPipeline};
use serde::{Deserialize, Serialize};

pub use self::{
    commit::{ShardCommitted, commit_shard, committed_shards},
    select::ShardStatus,
    skipped::{SkippedShard, SkippedShards},
};
pub(crate) use self::{
    commit::{left_frozen, thaw_left},
    frozen::Frozen,
};
use crate::{WorkspaceError, WorkspaceTransaction, provenance::dataset_type_of_shards};

/// One shard: a value for each sharding dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(BTreeMap<ElementName, KeyValue>);

impl Shard {
    /// Its values by dimension.
    pub fn values(&self) -> impl Iterator<Item = (&ElementName, &KeyValue)> {
        self.0.iter()
    }

    /// The value of a sharding dimension.
    pub fn value(&self, name: &ElementName) -> Option<&KeyValue> {
        self.0.get(name)
    }

    /// How long a [`Self::digest`] is.
    pub(crate) const DIGEST: usize = 32;

    /// A name for files: of bounded length, whatever the values are.
    pub(crate) fn digest(&self) -> String {
        let digest = Checksum::of(self.to_string().as_bytes()).to_string();
        let hex: String = digest.chars().filter(char::is_ascii_hexdigit).collect();
        hex[hex.len().saturating_sub(Self::DIGEST)..].to_owned()
    }

    /// The data ID that it is; says what is wrong if it is none of this universe.
    pub(crate) fn data_id(&self, universe: &Universe) -> Result<DataId, String> {
        let names = self.0.keys().map(ElementName::as_str);
        let group = universe.group(names).map_err(|error| error.to_string())?;
        let values = self.values().map(|(name, value)| (name.to_string(), value.clone()));
        DataId::new(universe, &group, values.collect()).map_err(|error| error.to_string())
    }

    /// What the quanta of init steps are of: they belong to no shard, and are committed with
    /// the first.
    pub(crate) fn of_init_steps() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether it is that.
    pub fn is_of_init_steps(&self) -> bool {
        self.0.is_empty()
    }

    /// The shard that a data ID belongs to; `None` if it has not all of the dimensions.
    fn of(data_id: &DataId, shard_by: &[ElementName]) -> Option<Self> {
        let value = |name: &ElementName| Some((name.clone(), data_id.get(name.as_str())?.clone()));
        shard_by.iter().map(value).collect::<Option<_>>().map(Self)
    }
}

/// `city=oslo,month=1`, as the command line takes it.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_init_steps() {
            return f.write_str("{}");
        }
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// Shards in words, as many as can be read: `shards city=bergen, city=oslo and 198 more`.
pub fn shard_list<'s>(shards: impl IntoIterator<Item = &'s Shard>) -> String {
    const SHOWN: usize = 5;
    let mut shards = shards.into_iter();
    let shown: Vec<String> = shards.by_ref().take(SHOWN).map(Shard::to_string).collect();
    let more = shards.count();
    let word = if shown.len() == 1 { "shard" } else { "shards" };
    let shown = shown.join(", ");
    if more == 0 { format!("{word} {shown}") } else { format!("{word} {shown} and {more} more") }
}

impl WorkspaceTransaction {
    /// The shard of a quantum; `None` for a workspace without shards.
    pub fn shard_of(&self, graph: &QuantumGraph, quantum: QuantumIndex) -> Option<Shard> {
        if self.shard_by.is_empty() {
            return None;
        }
        let view = graph.quantum(quantum);
        if view.task.definition.init_of().is_some() {
            return Some(Shard::of_init_steps());
        }
        Shard::of(&view.data_id, &self.shard_by)
    }

    /// How many shards are committed.
    pub(crate) fn committed_shards(&self) -> usize {
        self.committed.iter().filter(|shard| !shard.is_of_init_steps()).count()
    }

    /// Whether a quantum is of a committed shard.
    pub(crate) fn has_committed(&self, graph: &QuantumGraph, quantum: QuantumIndex) -> bool {
        !self.committed.is_empty()
            && self.shard_of(graph, quantum).is_some_and(|shard| self.committed.contains(&shard))
    }
}

/// The data of the transaction in the database.
fn data_of(transaction: &WorkspaceTransaction) -> String {
    transaction.data(None)
}

/// The dataset type of the provenance of shards by these dimensions; `None` if there are none.
pub(crate) fn provenance_type(
    universe: &Universe,
    shard_by: &[ElementName],
) -> Option<Arc<DatasetType>> {
    let group = universe.group(shard_by.iter().map(ElementName::as_str)).ok()?;
    (!shard_by.is_empty()).then(|| dataset_type_of_shards(&group))
}

/// The dimensions of shards, if every task has them: those asked for, with those that they
/// require.
pub(crate) fn sharding(
    pipeline: &ResolvedPipeline,
    shard_by: &[ElementName],
) -> Result<Vec<ElementName>, WorkspaceError> {
    if shard_by.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = shard_by.iter().map(ElementName::as_str).collect();
    let group = pipeline
        .universe()
        .group(&names)
        .map_err(|source| WorkspaceError::ShardBy { shard_by: names.join(", "), source })?;
    let required = group.required();
    let lacks = |dimensions: &[ElementName]| required.iter().any(|name| !dimensions.contains(name));
    let mut tasks = pipeline.tasks().iter().filter(|task| task.definition.init_of().is_none());
    match tasks.find(|task| lacks(task.dimensions.required())) {
        Some(task) => Err(WorkspaceError::TaskNotSharded {
            task: task.label.clone(),
            has: task.dimensions.to_string(),
            shard_by: group.to_string(),
        }),
        None => Ok(required.to_vec()),
    }
}
