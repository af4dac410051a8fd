//! Shards that were built and have no quanta, since what these would make exists.
//!
//! A part of the graph that was built for one shard, and in which everything was skipped, has no
//! quanta; it is written for what its header says: the shard, and the collections that were
//! searched. A part without quanta of which nothing was skipped is never written. So a shard
//! with such a part and without quanta in the whole graph is one that was skipped.
//!
//! A part that was built for several shards at once does not say of which it has skipped
//! something: of a shard without quanta that it was meant for, too, it is known only that there
//! is nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{CollectionName, ElementName, Restriction, Universe};
use pantler_graph::{GraphScope, QuantumGraph};

use super::Shard;
use crate::{WorkspaceClient, WorkspaceError, parts::Parts};

/// A shard that was built and has no quanta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedShard {
    /// The collections that were searched for what its quanta would make.
    pub collections: Vec<CollectionName>,
    /// Whether it was built by itself: these have all of it then. Else it may be as well that it
    /// has no inputs.
    pub by_itself: bool,
}

/// Such shards.
pub type SkippedShards = BTreeMap<Shard, SkippedShard>;

impl WorkspaceClient {
    /// Those of some shards that have no quanta since these were skipped, or, of all, those that
    /// were built by themselves. `graph` has at least the parts that they need.
    ///
    /// # Errors
    /// [`WorkspaceError::Io`] if the root cannot be listed.
    pub fn skipped_shards(
        &self,
        graph: &QuantumGraph,
        among: Option<&BTreeSet<Shard>>,
    ) -> Result<SkippedShards, WorkspaceError> {
        let transaction = self.transaction();
        if transaction.shard_by.is_empty() {
            return Ok(SkippedShards::new());
        }
        let quanta = graph.quanta();
        let there: BTreeSet<Shard> =
            quanta.filter_map(|quantum| transaction.shard_of(graph, quantum)).collect();
        let without = among.map(|among| among - &there);
        if without.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(SkippedShards::new());
        }
        let parts = Parts::list(self.root())?;
        let universe = graph.pipeline().universe();
        let Some(without) = without else {
            let mut skipped = built_one_by_one(&parts, &transaction.shard_by, universe);
            skipped.retain(|shard, _| !there.contains(shard));
            return Ok(skipped);
        };
        let mut skipped = SkippedShards::new();
        for shard in without {
            let found = without_quanta(&parts, &shard, &transaction.shard_by, universe);
            skipped.extend(found.map(|found| (shard, found)));
        }
        Ok(skipped)
    }
}

/// What is known of a shard without quanta; `None` if it was never built, or nothing can have
/// been skipped.
pub(super) fn without_quanta(
    parts: &Parts,
    shard: &Shard,
    shard_by: &[ElementName],
    universe: &Universe,
) -> Option<SkippedShard> {
    let mut found = SkippedShard::default();
    for part in parts.of_shards(&BTreeSet::from([shard.clone()]), universe) {
        if let Some(scope) = parts.scope(part) {
            let by_itself = shard_of(&scope, shard_by, universe).as_ref() == Some(shard);
            found.add(scope.skip_existing_in, by_itself);
        }
    }
    (!found.collections.is_empty()).then_some(found)
}

/// The shards that parts were built for in which something was skipped, and perhaps all.
fn built_one_by_one(parts: &Parts, shard_by: &[ElementName], universe: &Universe) -> SkippedShards {
    let mut found = SkippedShards::new();
    for scope in parts.all().into_iter().filter_map(|part| parts.scope(part)) {
        if !scope.skip_existing_in.is_empty()
            && let Some(shard) = shard_of(&scope, shard_by, universe)
        {
            found.entry(shard).or_default().add(scope.skip_existing_in, true);
        }
    }
    found
}

impl SkippedShard {
    fn add(&mut self, searched: Vec<CollectionName>, by_itself: bool) {
        self.by_itself |= by_itself && !searched.is_empty();
        for collection in searched {
            if !self.collections.contains(&collection) {
                self.collections.push(collection);
            }
        }
    }
}

/// The shard that a part was built for; `None` if it was for more than one.
fn shard_of(scope: &GraphScope, shard_by: &[ElementName], universe: &Universe) -> Option<Shard> {
    let restriction = Restriction::parse(scope.restriction.as_ref()?, universe).ok()?;
    let values: BTreeMap<_, _> = restriction
        .parts()
        .iter()
        .filter_map(|part| part.equality())
        .filter(|(name, _)| shard_by.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (values.len() == shard_by.len()).then_some(Shard(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    #[test]
    fn a_scope_of_one_shard_says_which() -> Result<()> {
        let universe = Universe::from_yaml(
            "version: 1\nname: survey\nelements:\n  night: {key: integer}\n  visit: {key: integer}\n",
        )?;
        let night = [ElementName::new("night")?];
        let shard = |text: Option<&str>| {
            let restriction = text.map(ToOwned::to_owned);
            let scope = GraphScope { tasks: None, restriction, skip_existing_in: Vec::new() };
            shard_of(&scope, &night, &universe).map(|shard| shard.to_string())
        };
        for text in ["night = 3", "night = 3 AND visit > 7", "visit = 9 AND night = 3"] {
            assert_eq!(shard(Some(text)).as_deref(), Some("night=3"), "{text}");
        }
        for text in ["night > 3", "night IN (3, 4)", "visit = 3", "NOT (night = 3)", "night = "] {
            assert_eq!(shard(Some(text)), None, "{text}");
        }
        assert_eq!(shard(None), None);
        Ok(())
    }
}
