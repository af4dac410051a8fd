//! A part of provenance in memory, to be written or drawn.

use std::collections::{BTreeMap, HashMap, VecDeque};

use pantler_core::DatasetId;

use super::graph::{
    DescribedDataset, DescribedQuantum, ProvenanceError, ProvenanceGraph, ProvenanceSource, RunNode,
};

/// Quanta and datasets, with the edges between them.
#[derive(Debug, Default)]
pub struct ProvenanceView {
    pub(crate) title: String,
    pub(crate) quanta: Vec<DescribedQuantum>,
    pub(crate) datasets: Vec<DescribedDataset>,
    pub(crate) positions: HashMap<DatasetId, usize>,
}

impl ProvenanceView {
    /// Reads these nodes.
    ///
    /// # Errors
    /// [`ProvenanceError`] if a file cannot be read.
    pub fn read<S: ProvenanceSource>(
        title: impl Into<String>,
        graph: &mut ProvenanceGraph<S>,
        nodes: &[RunNode],
    ) -> Result<Self, ProvenanceError> {
        let (mut quanta, mut datasets) = (Vec::new(), Vec::new());
        for node in nodes {
            quanta.extend(graph.quantum(*node)?);
            datasets.extend(graph.dataset(*node)?);
        }
        let ids = datasets.iter().map(|own| own.dataset.id);
        let positions = ids.enumerate().map(|(position, id)| (id, position)).collect();
        let title = title.into();
        let mut view = Self { title, quanta, datasets, positions };
        view.sort();
        Ok(view)
    }

    /// The quanta, each after those whose outputs it read.
    pub fn quanta(&self) -> &[DescribedQuantum] {
        &self.quanta
    }

    /// The datasets.
    pub fn datasets(&self) -> &[DescribedDataset] {
        &self.datasets
    }

    /// RUNs come in any order, so quanta are put into that of the edges.
    fn sort(&mut self) {
        let mut made_by: HashMap<DatasetId, usize> = HashMap::new();
        for (position, own) in self.quanta.iter().enumerate() {
            made_by.extend(own.outputs.iter().map(|(_, id)| (*id, position)));
        }
        let mut waiting = vec![0_usize; self.quanta.len()];
        let mut next: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, own) in self.quanta.iter().enumerate() {
            for id in own.inputs.iter().flat_map(|(_, ids)| ids) {
                if let Some(maker) = made_by.get(id) {
                    waiting[position] += 1;
                    next.entry(*maker).or_default().push(position);
                }
            }
        }
        let mut ready: VecDeque<usize> =
            (0..waiting.len()).filter(|position| waiting[*position] == 0).collect();
        let mut rank = vec![usize::MAX; waiting.len()];
        let mut done = 0;
        while let Some(position) = ready.pop_front() {
            rank[position] = done;
            done += 1;
            for after in next.remove(&position).unwrap_or_default() {
                waiting[after] -= 1;
                if waiting[after] == 0 {
                    ready.push_back(after);
                }
            }
        }
        let mut ranked: Vec<_> = std::mem::take(&mut self.quanta).into_iter().zip(rank).collect();
        ranked.sort_by_key(|(_, rank)| *rank);
        self.quanta = ranked.into_iter().map(|(own, _)| own).collect();
    }
}
