//! Shards that were built and have no quanta, since what these would make exists.
//!
//! A part of the graph that was built for one shard, and in which everything was skipped, has no
//! quanta; it is written for what its header says: the shard, and the collections that were
//! searched. A part without quanta of which nothing was skipped is never written. So a shard
//! with such a part and without quanta in the whole graph is one that was skipped.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{CollectionName, ElementName, Restriction, Universe};
use pantler_graph::{GraphScope, QuantumGraph};

use super::Shard;
use crate::{WorkspaceClient, WorkspaceError, parts::Parts};

/// Shards by the collections that have what their quanta would make.
pub type SkippedShards = BTreeMap<Shard, Vec<CollectionName>>;

impl WorkspaceClient {
    /// The shards that were built one by one and were skipped as a whole, of all or of some.
    /// `graph` has at least the parts that they need.
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
        let without = among.map(|among| &*among - &there);
        if without.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(SkippedShards::new());
        }
        let parts = Parts::list(self.root())?;
        let universe = graph.pipeline().universe();
        let mut skipped =
            built_one_by_one(&parts, without.as_ref(), &transaction.shard_by, universe);
        skipped.retain(|shard, _| !there.contains(shard));
        Ok(skipped)
    }
}

/// The shards, of all or of some, that parts were built for in which something was skipped, and
/// perhaps all.
pub(super) fn built_one_by_one(
    parts: &Parts,
    among: Option<&BTreeSet<Shard>>,
    shard_by: &[ElementName],
    universe: &Universe,
) -> SkippedShards {
    let numbers = among.map_or_else(|| parts.all(), |shards| parts.of_shards(shards, universe));
    let mut found = SkippedShards::new();
    for part in numbers {
        let Some(scope) = parts.scope(part).filter(|scope| !scope.skip_existing_in.is_empty())
        else {
            continue;
        };
        let Some(shard) = shard_of(&scope, shard_by, universe) else { continue };
        if among.is_some_and(|among| !among.contains(&shard)) {
            continue;
        }
        let searched: &mut Vec<CollectionName> = found.entry(shard).or_default();
        for collection in scope.skip_existing_in {
            if !searched.contains(&collection) {
                searched.push(collection);
            }
        }
    }
    found
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
