//! What is to be built.

use std::collections::BTreeSet;

use pantler_core::{CollectionName, DatasetTypeName, Restriction, TaskLabel};
use pantler_graph::{BuildScope, GraphScope, QuantumGraph, ResolvedPipeline, ResolvedTask};

use super::check_tasks;
use crate::{Shard, WorkspaceError};

/// What is to be built; by default everything.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The tasks; none named stands for all.
    pub tasks: BTreeSet<TaskLabel>,
    /// The data IDs.
    pub restriction: Restriction,
    /// The shard; `None` for all. Only the parts of the graph that it needs are read.
    pub shard: Option<Shard>,
    /// The collections in search order whose datasets are not made again: a quantum is
    /// skipped if one of their RUNs or TAGGED collections has all that it must make, stored.
    /// Later requests search them again for the tasks of this one, behind their own.
    pub skip_existing_in: Vec<CollectionName>,
}

impl BuildRequest {
    /// The data IDs of the shard that are asked for.
    pub(super) fn all_restrictions(&self) -> Restriction {
        let values = self.shard.iter().flat_map(Shard::values);
        let values = values.map(|(name, value)| (name.clone(), value.clone()));
        Restriction::of_values(values).and(self.restriction.clone())
    }

    /// The data IDs as the header of a part has them.
    pub(super) fn restriction_text(&self) -> Option<String> {
        let restriction = self.all_restrictions();
        (!restriction.is_empty()).then(|| restriction.to_string())
    }

    /// What a part is built for; `searched` are the collections in which outputs were
    /// looked for.
    pub(super) fn scope(&self, searched: &[CollectionName]) -> Option<GraphScope> {
        let tasks = (!self.tasks.is_empty()).then(|| self.tasks.clone());
        let restriction = self.restriction_text();
        let is_whole = tasks.is_none() && restriction.is_none() && searched.is_empty();
        let skip_existing_in = searched.to_vec();
        (!is_whole).then_some(GraphScope { tasks, restriction, skip_existing_in })
    }

    /// With [`Self::all_restrictions`].
    pub(super) fn build_scope<'a>(
        &'a self,
        restriction: &'a Restriction,
        base: Option<&'a QuantumGraph>,
    ) -> BuildScope<'a> {
        BuildScope {
            tasks: (!self.tasks.is_empty()).then_some(&self.tasks),
            restriction: (!restriction.is_empty()).then_some(restriction),
            base,
        }
    }

    /// Whether nothing but init steps is asked for.
    pub(super) fn is_init(&self, pipeline: &ResolvedPipeline) -> bool {
        let is_step = |label: &TaskLabel| {
            pipeline.task(label.as_str()).is_some_and(|task| task.definition.init_of().is_some())
        };
        !self.tasks.is_empty() && self.tasks.iter().all(is_step)
    }

    /// The same with the init steps of its tasks, as if these were active.
    pub(super) fn with_init(&self, pipeline: &ResolvedPipeline) -> Self {
        let mut request = self.clone();
        if !request.tasks.is_empty() {
            let steps = pipeline.tasks().iter().filter(|task| task.definition.init_of().is_some());
            request.tasks.extend(steps.map(|task| task.label.clone()));
        }
        request
    }

    /// Whether parts that were built cover it: then nothing is looked up, and inputs that
    /// have come since make no difference.
    ///
    /// # Errors
    /// [`WorkspaceError::UnknownTask`].
    pub(crate) fn is_covered(&self, parts: &[QuantumGraph]) -> Result<bool, WorkspaceError> {
        let Some(first) = parts.first() else { return Ok(false) };
        check_tasks(&self.tasks, first.pipeline())?;
        Ok(self.is_covered_by(parts, first.pipeline()))
    }

    pub(super) fn is_covered_by(
        &self,
        parts: &[QuantumGraph],
        pipeline: &ResolvedPipeline,
    ) -> bool {
        let restriction = self.restriction_text();
        pipeline
            .tasks()
            .iter()
            .map(|task| &task.label)
            .filter(|label| self.tasks.is_empty() || self.tasks.contains(*label))
            .all(|label| covers(parts, restriction.as_deref(), label))
    }

    /// See [`Built::reads_part`].
    pub(super) fn reads_part(
        &self,
        parts: &[QuantumGraph],
        pipeline: &ResolvedPipeline,
    ) -> Vec<(TaskLabel, TaskLabel)> {
        let restriction = self.restriction_text();
        let asked = pipeline.tasks().iter().filter(|task| self.tasks.contains(&task.label));
        let mut found = Vec::new();
        for task in asked {
            let reads = |maker: &&ResolvedTask| {
                let made = |input: &DatasetTypeName| {
                    maker.outputs.iter().any(|output| output.dataset_type.name == *input)
                };
                task.inputs.iter().any(|input| made(&input.dataset_type.name))
            };
            let makers = pipeline.tasks().iter().filter(reads).map(|maker| &maker.label);
            let in_part = makers
                .filter(|label| !self.tasks.contains(*label))
                .filter(|label| !covers(parts, restriction.as_deref(), label));
            found.extend(in_part.map(|label| (task.label.clone(), label.clone())));
        }
        found
    }
}

/// Whether all quanta of a task are built that a restriction means.
fn covers(parts: &[QuantumGraph], restriction: Option<&str>, task: &TaskLabel) -> bool {
    parts.iter().any(|part| match &part.metadata().scope {
        None => true,
        Some(scope) => {
            (scope.restriction.is_none() || scope.restriction.as_deref() == restriction)
                && scope.tasks.as_ref().is_none_or(|tasks| tasks.contains(task))
        }
    })
}
