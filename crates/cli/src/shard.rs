//! `--shard KEY=VALUE,…`: one shard of a workspace.

use std::{collections::BTreeSet, str::FromStr};

use pantler_core::{CollectionName, Universe};
use pantler_workspace::{Shard, SkippedShard, WorkspaceClient};

use crate::{
    arguments::{Assignment, AssignmentError, texts},
    error::{CommandError, quoted},
};

/// Values of the sharding dimensions, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardValues(Vec<Assignment>);

impl FromStr for ShardValues {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl ShardValues {
    /// The shard of a workspace that it names.
    pub(crate) fn shard(
        &self,
        client: &WorkspaceClient,
        universe: &Universe,
    ) -> Result<Shard, CommandError> {
        Ok(client.shard(universe, &texts(&self.0)?)?)
    }
}

/// The shards that are named, each once.
pub(crate) fn shards(
    given: &[ShardValues],
    client: &WorkspaceClient,
    universe: &Universe,
) -> Result<BTreeSet<Shard>, CommandError> {
    given.iter().map(|values| values.shard(client, universe)).collect()
}

/// That there is nothing to do for a shard without quanta.
pub(crate) fn skipped_shard(shard: &Shard, skipped: &SkippedShard) -> String {
    let collections: Vec<_> = skipped.collections.iter().map(CollectionName::as_str).collect();
    let collections = collections.join(", ");
    let why = if skipped.by_itself {
        format!("all its quanta were skipped, outputs are in {collections}")
    } else {
        format!("no quanta were built, outputs are in {collections}, or there are no inputs")
    };
    format!("nothing to do for shard {shard}: {why}")
}

/// The options that name shards, each with a space before it, for a command to be shown.
pub(crate) fn options<'s>(shards: impl IntoIterator<Item = &'s Shard>) -> String {
    let mut text = String::new();
    for shard in shards {
        text.push_str(" --shard ");
        text.push_str(&quoted(&shard.to_string()));
    }
    text
}
