//! What building adds to what is built.

use std::{collections::BTreeSet, sync::Arc};

use pantler_core::{CollectionName, TaskLabel};
use pantler_direct::DirectButler;
use pantler_graph::{Pruned, QuantumGraph, QuantumIndex, Skipped};

use super::{BuildRequest, Built, Inputs, check_noted, check_tasks, metadata, nothing_to_do};
use crate::{
    Shard, WorkspaceClient, WorkspaceError,
    activation::{expect_active, expect_init_inputs, has_quanta_of_tasks},
    client,
    create::resolve,
    needed::Base,
    pipeline_file::of_workspace,
    skip::Searched,
};

/// What building would add.
pub(crate) struct Next {
    /// The number of the part.
    number: u32,
    /// How many quanta there were.
    before: usize,
    /// The part; `None` if there is nothing new.
    part: Option<QuantumGraph>,
    /// The whole graph with it; `None` if the part is the whole.
    whole: Option<QuantumGraph>,
    pruned: Vec<Pruned>,
    skipped: Vec<Skipped>,
    reads_part: Vec<(TaskLabel, TaskLabel)>,
    /// The shards that get quanta.
    pub(super) new_shards: BTreeSet<Shard>,
}

impl Next {
    /// Builds what comes after `base` in memory. Outputs are looked for in `searched`, and
    /// in what its parts have searched, as far as they are in RUNs that the workspace reads.
    pub(crate) fn find(
        butler: &DirectButler,
        workspace: &WorkspaceClient,
        request: &BuildRequest,
        base: Base,
        (searched, runs): (&[CollectionName], BTreeSet<CollectionName>),
    ) -> Result<Self, WorkspaceError> {
        let transaction = workspace.transaction();
        let root = workspace.root();
        let Base { number, pipeline, parts } = base;
        let pipeline = match parts.first().map(|first| Arc::clone(first.pipeline())).or(pipeline) {
            // As it was when the workspace's graph was begun, whatever became of the file.
            Some(pipeline) => pipeline,
            None => Arc::new(resolve(butler, &of_workspace(butler, workspace)?)?),
        };
        check_tasks(&request.tasks, &pipeline)?;
        let skip = Searched::new(&pipeline, searched, &parts, Some(runs));
        let reads_part = request.reads_part(&parts, &pipeline);
        let base = if parts.is_empty() { None } else { Some(client::merged(root, parts)?) };
        expect_active(workspace, &pipeline, base.as_ref(), request)?;
        // What the transaction noted as read, also if a chain has grown since.
        let shard = request.shard.as_ref();
        let source = Inputs::read_for(butler, &pipeline, &transaction.searched, &skip, shard)?;
        let metadata = metadata(workspace, request.scope(searched));
        let restriction = request.all_restrictions();
        let scope = request.build_scope(&restriction, base.as_ref());
        let part = pantler_graph::build_part(&pipeline, &source, metadata, &scope)
            .map_err(WorkspaceError::Build)?;
        let pruned = part.pruned().to_vec();
        expect_init_inputs(&transaction.run, &pipeline, &pruned)?;
        let skipped = part.skipped().to_vec();
        let before = base.as_ref().map_or(0, QuantumGraph::len);
        let is_skipped = skipped.iter().any(|own| own.quanta > 0) && !searched.is_empty();
        if part.is_empty() && !is_skipped {
            // What was made for quanta that there are none of is nothing to do.
            let is_something =
                |base: &QuantumGraph| request.is_init(&pipeline) || has_quanta_of_tasks(base);
            let whole = Some(base.filter(is_something).ok_or_else(|| nothing_to_do(&part))?);
            let new_shards = BTreeSet::new();
            let (part, reads_part) = (None, Vec::new());
            return Ok(Self {
                number,
                before,
                part,
                whole,
                pruned,
                skipped,
                reads_part,
                new_shards,
            });
        }
        check_noted(&part, transaction)?;
        let is_new = |quantum: &QuantumIndex| {
            base.as_ref().is_none_or(|base| base.find(part.quantum_id(*quantum)).is_none())
        };
        let new_shards = part
            .quanta()
            .filter(|_| !transaction.shard_by.is_empty())
            .filter(is_new)
            .filter_map(|quantum| transaction.shard_of(&part, quantum))
            .collect();
        // The part is merged as it will be read.
        let whole =
            match base {
                None => None,
                Some(base) => Some(QuantumGraph::merge_two(&base, &part).map_err(|source| {
                    WorkspaceError::GraphParts { root: root.to_owned(), source }
                })?),
            };
        let part = Some(part);
        Ok(Self { number, before, part, whole, pruned, skipped, reads_part, new_shards })
    }

    /// Has it written, with its number and the whole graph at hand; `None` if that says that
    /// another process was faster.
    pub(crate) fn written(
        self,
        write: impl FnOnce(&QuantumGraph, u32, &QuantumGraph) -> Result<bool, WorkspaceError>,
    ) -> Result<Option<Built>, WorkspaceError> {
        let Self { number, before, part, whole, pruned, skipped, reads_part, new_shards: _ } = self;
        let (graph, is_new) = match (part, whole) {
            (None, None) => return Ok(None),
            (None, Some(whole)) => (whole, false),
            (Some(part), whole) => {
                if !write(&part, number, whole.as_ref().unwrap_or(&part))? {
                    return Ok(None);
                }
                (whole.unwrap_or(part), true)
            }
        };
        let new = graph.len() - before;
        let (before, reusable) = (!is_new, None);
        Ok(Some(Built { graph, before, new, pruned, skipped, reads_part, reusable }))
    }
}
