//! Some quanta of a graph, with the datasets that they read and write, at positions of their
//! own.

use std::sync::Arc;

use pantler_core::DatasetType;

use crate::{
    graph::{DatasetIndex, QuantumGraph, QuantumIndex},
    pipeline::ResolvedTask,
    values::narrow,
};

/// What of a graph a file is about. Positions here are those in the file.
pub(super) struct Selected<'a> {
    pub(super) graph: &'a QuantumGraph,
    /// `None` for everything, where positions are those of the graph.
    kept: Option<Kept>,
}

struct Kept {
    quanta: Positions,
    datasets: Positions,
}

/// Some of many, in their order.
struct Positions {
    kept: Vec<u32>,
    /// Where each of the many went.
    places: Vec<Option<u32>>,
}

impl Positions {
    fn of(is_kept: &[bool]) -> Self {
        let mut kept = Vec::new();
        let places = is_kept.iter().enumerate().map(|(position, is_kept)| {
            is_kept.then(|| {
                kept.push(narrow(position));
                narrow(kept.len() - 1)
            })
        });
        let places = places.collect();
        Self { kept, places }
    }

    fn among(&self, from: usize, to: usize) -> usize {
        let before = |end: usize| self.kept.partition_point(|position| (*position as usize) < end);
        before(to) - before(from)
    }
}

impl<'a> Selected<'a> {
    /// All quanta and datasets.
    pub(super) fn all(graph: &'a QuantumGraph) -> Self {
        Self { graph, kept: None }
    }

    /// The quanta that `is_meant` says by position, and what they read and write.
    pub(super) fn of(graph: &'a QuantumGraph, is_meant: &[bool]) -> Self {
        let quanta = Positions::of(is_meant);
        let mut touched = vec![false; graph.dataset_count()];
        for position in &quanta.kept {
            let view = graph.quantum(QuantumIndex(*position));
            let inputs = view.inputs.iter().flat_map(|inputs| inputs.datasets);
            for dataset in inputs.chain(&view.outputs) {
                touched[dataset.get()] = true;
            }
        }
        Self { graph, kept: Some(Kept { quanta, datasets: Positions::of(&touched) }) }
    }

    pub(super) fn quantum_count(&self) -> usize {
        self.kept.as_ref().map_or(self.graph.len(), |kept| kept.quanta.kept.len())
    }

    pub(super) fn dataset_count(&self) -> usize {
        self.kept.as_ref().map_or(self.graph.dataset_count(), |kept| kept.datasets.kept.len())
    }

    /// The number of quanta of each task.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'a ResolvedTask, usize)> {
        let mut first = 0;
        self.graph.counts().map(move |(task, count)| {
            let (from, to) = (first, first + count);
            first = to;
            let kept = self.kept.as_ref();
            (task, kept.map_or(count, |kept| kept.quanta.among(from, to)))
        })
    }

    /// The number of datasets of each type.
    pub(super) fn dataset_counts(&self) -> impl Iterator<Item = (&'a Arc<DatasetType>, usize)> {
        let mut first = 0;
        self.graph.dataset_counts().map(move |(own, count)| {
            let (from, to) = (first, first + count);
            first = to;
            let kept = self.kept.as_ref();
            (own, kept.map_or(count, |kept| kept.datasets.among(from, to)))
        })
    }

    /// The quanta as they stand in the graph, in the order of their positions.
    pub(super) fn quanta(&self) -> impl Iterator<Item = QuantumIndex> {
        let own = |position: u32| match &self.kept {
            Some(kept) => QuantumIndex(kept.quanta.kept[position as usize]),
            None => QuantumIndex(position),
        };
        (0..narrow(self.quantum_count())).map(own)
    }

    /// The datasets likewise.
    pub(super) fn datasets(&self) -> impl Iterator<Item = DatasetIndex> {
        let own = |position: u32| match &self.kept {
            Some(kept) => DatasetIndex(kept.datasets.kept[position as usize]),
            None => DatasetIndex(position),
        };
        (0..narrow(self.dataset_count())).map(own)
    }

    /// The position of a quantum of the graph; `None` if the file is not about it.
    pub(super) fn quantum(&self, index: QuantumIndex) -> Option<QuantumIndex> {
        match &self.kept {
            Some(kept) => kept.quanta.places[index.get()].map(QuantumIndex),
            None => Some(index),
        }
    }

    /// The position of a dataset of the graph; `None` if the file is not about it.
    pub(super) fn dataset(&self, index: DatasetIndex) -> Option<DatasetIndex> {
        match &self.kept {
            Some(kept) => kept.datasets.places[index.get()].map(DatasetIndex),
            None => Some(index),
        }
    }

    /// Those of these datasets that the file is about, by their positions.
    pub(super) fn places(&self, datasets: &[DatasetIndex]) -> Vec<DatasetIndex> {
        datasets.iter().filter_map(|dataset| self.dataset(*dataset)).collect()
    }

    /// The quanta that read a dataset of the graph, by their positions.
    pub(super) fn readers(&self, index: DatasetIndex) -> impl Iterator<Item = QuantumIndex> {
        self.graph.consumers(index).filter_map(|quantum| self.quantum(quantum))
    }
}
