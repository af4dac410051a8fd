//! The thin graph: all edges by position, without data IDs. Lists of numbers are runs of
//! equal differences, `[difference, how often]`.

use std::ops::Range;

use pantler_core::{DatasetTypeName, TaskLabel};
use serde::{Deserialize, Serialize};

use super::{GraphCounts, GraphFileError, container::THIN_GRAPH, header::FoundType};
use crate::{
    graph::{DatasetIndex, InputEdges, QuantumGraph, TypeRows},
    pipeline::ResolvedPipeline,
    values::narrow,
};

type Runs = Vec<(i64, u32)>;

#[derive(Serialize, Deserialize)]
pub(super) struct ThinGraphV1 {
    overall_inputs: Vec<OverallInputV1>,
    tasks: Vec<TaskV1>,
}

#[derive(Serialize, Deserialize)]
struct OverallInputV1 {
    dataset_type: DatasetTypeName,
    datasets: u32,
}

#[derive(Serialize, Deserialize)]
struct TaskV1 {
    task: TaskLabel,
    quanta: u32,
    inputs: Vec<InputV1>,
}

#[derive(Serialize, Deserialize)]
struct InputV1 {
    name: String,
    /// For a multiple connection, how many datasets each quantum reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lengths: Option<Runs>,
    datasets: Runs,
}

/// The edges, checked against the pipeline.
pub(super) struct ThinGraph {
    /// Datasets of each overall input.
    pub(super) inputs: Vec<u32>,
    /// Quanta of each task and their edges.
    pub(super) tasks: Vec<(u32, Vec<InputEdges>)>,
}

impl ThinGraphV1 {
    pub(super) fn new(graph: &QuantumGraph) -> Self {
        let overall_inputs = graph.pipeline.overall_inputs().iter().zip(&graph.types);
        let tasks = graph.pipeline.tasks().iter().zip(&graph.tasks);
        Self {
            overall_inputs: overall_inputs
                .map(|(dataset_type, nodes)| OverallInputV1 {
                    dataset_type: dataset_type.name.clone(),
                    datasets: match &nodes.nodes {
                        TypeRows::Existing(rows) => narrow(rows.len()),
                        TypeRows::Made(_) => 0,
                    },
                })
                .collect(),
            tasks: tasks
                .map(|(task, nodes)| TaskV1 {
                    task: task.label.clone(),
                    quanta: narrow(nodes.rows.len()),
                    inputs: task
                        .inputs
                        .iter()
                        .zip(&nodes.inputs)
                        .map(|(input, edges)| InputV1 {
                            name: input.name.clone(),
                            lengths: match edges {
                                InputEdges::One(_) => None,
                                InputEdges::Many { offsets, .. } => {
                                    Some(runs(offsets.windows(2).map(|w| w[1] - w[0])))
                                }
                            },
                            datasets: runs(edges.datasets().iter().map(|d| d.0)),
                        })
                        .collect(),
                })
                .collect(),
        }
    }

    /// Checks the counts and expands the edges; those of the header are known, as are the
    /// `found` datasets, and there are at most `max_edges`.
    pub(super) fn expand(
        self,
        pipeline: &ResolvedPipeline,
        counts: GraphCounts,
        found: &[FoundType],
        max_edges: u64,
    ) -> Result<ThinGraph, GraphFileError> {
        let GraphCounts { quanta, datasets, .. } = counts;
        let malformed = |reason: &str| GraphFileError::malformed(THIN_GRAPH, reason);
        let names = self.overall_inputs.iter().map(|input| &input.dataset_type);
        let tasks = self.tasks.iter().map(|task| &task.task);
        if !names.eq(pipeline.overall_inputs().iter().map(|t| &t.name))
            || !tasks.eq(pipeline.tasks().iter().map(|t| &t.label))
        {
            return Err(malformed("its tasks and inputs are not the pipeline's"));
        }
        // What there is of each type: existing, and predicted.
        let none = (0..0, 0..0);
        let mut ranges: Vec<(Range<u64>, Range<u64>)> = vec![none; pipeline.dataset_types().len()];
        let mut next = 0_u64;
        let mut range = |count: u32| {
            let start = next;
            next += u64::from(count);
            start..next
        };
        let inputs: Vec<u32> = self.overall_inputs.iter().map(|input| input.datasets).collect();
        for (of, count) in inputs.iter().enumerate() {
            ranges[of].0 = range(*count);
        }
        for own in found {
            ranges[own.dataset_type].0 = range(own.datasets);
        }
        for (task, own) in pipeline.tasks().iter().zip(&self.tasks) {
            for output in &task.outputs {
                ranges[output.type_index].1 = range(own.quanta);
            }
        }
        let all_quanta: u64 = self.tasks.iter().map(|task| u64::from(task.quanta)).sum();
        if next != u64::from(datasets) || all_quanta != u64::from(quanta) {
            return Err(malformed("its counts are not those of the header"));
        }
        let mut budget = max_edges;
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for (task, own) in pipeline.tasks().iter().zip(self.tasks) {
            if !own.inputs.iter().map(|i| &i.name).eq(task.inputs.iter().map(|i| &i.name)) {
                return Err(malformed("its connections are not the pipeline's"));
            }
            let mut all = Vec::with_capacity(own.inputs.len());
            for (input, own_input) in task.inputs.iter().zip(own.inputs) {
                let (existing, made) = &ranges[input.type_index];
                let edges = match (own_input.lengths, input.varies()) {
                    (None, false) => {
                        let numbers = expand(&own_input.datasets, own.quanta.into())?;
                        InputEdges::One(numbers.into_iter().map(DatasetIndex).collect())
                    }
                    (Some(lengths), true) => {
                        many(&lengths, &own_input.datasets, own.quanta, budget)?
                    }
                    _ => return Err(malformed("a connection is multiple here and not there")),
                };
                budget = budget.saturating_sub(edges.datasets().len() as u64);
                let mut all_edges = edges.datasets().iter().map(|dataset| u64::from(dataset.0));
                if !all_edges.all(|d| existing.contains(&d) || made.contains(&d)) {
                    return Err(malformed("an edge goes to a dataset of another type"));
                }
                all.push(edges);
            }
            tasks.push((own.quanta, all));
        }
        Ok(ThinGraph { inputs, tasks })
    }
}

fn many(
    lengths: &Runs,
    datasets: &Runs,
    quanta: u32,
    budget: u64,
) -> Result<InputEdges, GraphFileError> {
    let mut offsets = Vec::with_capacity(lengths.len());
    offsets.push(0_u32);
    let mut end = 0_u64;
    for length in expand(lengths, quanta.into())? {
        end += u64::from(length);
        match u32::try_from(end) {
            Ok(end) if u64::from(end) <= budget => offsets.push(end),
            _ => {
                return Err(GraphFileError::TooLarge {
                    member: THIN_GRAPH,
                    size: end,
                    limit: budget,
                });
            }
        }
    }
    let datasets = expand(datasets, end)?.into_iter().map(DatasetIndex).collect();
    Ok(InputEdges::Many { offsets, datasets })
}

fn runs(numbers: impl Iterator<Item = u32>) -> Runs {
    let mut runs: Runs = Vec::new();
    let mut last = 0;
    for number in numbers {
        let difference = i64::from(number) - last;
        last = i64::from(number);
        match runs.last_mut() {
            Some((same, times)) if *same == difference && *times < u32::MAX => *times += 1,
            _ => runs.push((difference, 1)),
        }
    }
    runs
}

/// The numbers of `runs`, which must be `n`.
fn expand(runs: &Runs, n: u64) -> Result<Vec<u32>, GraphFileError> {
    let malformed = |reason: &str| GraphFileError::malformed(THIN_GRAPH, reason);
    let total: u64 = runs.iter().map(|(_, times)| u64::from(*times)).sum();
    if total != n {
        return Err(malformed("a list has another length than it must"));
    }
    let mut numbers = Vec::new();
    let mut last = 0_i64;
    for (difference, times) in runs {
        for _ in 0..*times {
            let next = last.checked_add(*difference).and_then(|next| u32::try_from(next).ok());
            let next = next.ok_or_else(|| malformed("a number is out of range"))?;
            last = i64::from(next);
            numbers.push(next);
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_are_short() {
        let numbers = [3, 4, 5, 6, 6, 6, 0, u32::MAX];
        let packed = runs(numbers.into_iter());
        assert_eq!(packed.len(), 5);
        assert_eq!(expand(&packed, 8).expect("8 numbers"), numbers);
        assert_eq!(runs(0..1_000_000).len(), 2);
    }

    #[test]
    fn lists_that_say_they_are_huge_are_refused() {
        assert!(expand(&vec![(0, u32::MAX); 1000], 10).is_err());
        assert!(expand(&vec![(-1, 1)], 1).is_err());
        assert!(expand(&vec![(i64::MAX, 1), (i64::MAX, 1)], 2).is_err());
        let bomb = many(&vec![(u32::MAX.into(), 1)], &vec![(0, u32::MAX)], 1, 1000);
        assert!(matches!(bomb, Err(GraphFileError::TooLarge { .. })));
    }
}
