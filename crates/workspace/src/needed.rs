//! What a build needs of what was built before.

use std::{collections::BTreeSet, sync::Arc};

use camino::Utf8Path;
use pantler_core::DatasetType;
use pantler_graph::{QuantumGraph, ResolvedPipeline};

use crate::{BuildRequest, Shard, WorkspaceClient, WorkspaceError, parts::Parts};

/// What there is when something is built.
pub(crate) struct Base {
    /// The number of the next part.
    pub(crate) number: u32,
    /// That of all parts, if it is known.
    pub(crate) pipeline: Option<Arc<ResolvedPipeline>>,
    /// Those that the request needs.
    pub(crate) parts: Vec<QuantumGraph>,
}

impl Base {
    /// All parts of a graph.
    pub(crate) fn whole(parts: Vec<QuantumGraph>) -> Self {
        let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
        Self { number, pipeline: None, parts }
    }
}

/// The parts of a graph that a request needs.
pub(crate) struct Needed {
    pub(crate) numbers: Vec<u32>,
    /// That of all parts, if it is known.
    pub(crate) pipeline: Option<Arc<ResolvedPipeline>>,
    /// The shard, if parts of others are not needed.
    only: Option<Shard>,
}

impl Needed {
    /// Looks into no other parts than it names.
    pub(crate) fn find(
        workspace: &WorkspaceClient,
        request: &BuildRequest,
        parts: &Parts,
    ) -> Result<Self, WorkspaceError> {
        let all = |pipeline| Self { numbers: parts.all(), pipeline, only: None };
        let Some(shard) = &request.shard else { return Ok(all(None)) };
        let Some(pipeline) = parts.pipeline()? else { return Ok(all(None)) };
        // What shards share is to be the same dataset in all of them: other parts say which.
        let shard_by = &workspace.transaction().shard_by;
        let is_shared = |dataset_type: &Arc<DatasetType>| {
            let required = dataset_type.dimensions.required();
            shard_by.iter().any(|name| !required.contains(name))
        };
        if pipeline.overall_inputs().iter().any(is_shared) {
            return Ok(all(Some(pipeline)));
        }
        let numbers = parts.of_shards(&BTreeSet::from([shard.clone()]), pipeline.universe());
        Ok(Self { numbers, pipeline: Some(pipeline), only: Some(shard.clone()) })
    }

    /// The number that the next part can have, given one that was free: `None` if parts have
    /// come meanwhile that are needed.
    pub(crate) fn number(
        &self,
        root: &Utf8Path,
        found: u32,
    ) -> Result<Option<u32>, WorkspaceError> {
        let parts = Parts::list(root)?;
        if parts.next() == found {
            return Ok(Some(found));
        }
        let (Some(shard), Some(pipeline)) = (&self.only, &self.pipeline) else { return Ok(None) };
        let now = parts.of_shards(&BTreeSet::from([shard.clone()]), pipeline.universe());
        Ok((now == self.numbers).then_some(parts.next()))
    }
}
