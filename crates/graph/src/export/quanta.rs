//! A quantum graph as steps and data.

use pantler_core::{DataId, DatasetId};

use super::{
    source::{Attribute, Edge, Node, Source},
    tasks::unread_logs,
};
use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    graph::{DatasetIndex, QuantumGraph, QuantumIndex},
    values::narrow,
};

#[derive(Debug)]
pub(super) struct Quanta<'a> {
    graph: &'a QuantumGraph,
    /// Derived once: each is needed at its node and at every edge.
    dataset_ids: Vec<DatasetId>,
    /// Of [`unread_logs`].
    logs: Vec<bool>,
}

impl<'a> Quanta<'a> {
    pub(super) fn new(graph: &'a QuantumGraph) -> Self {
        let dataset_ids = graph.datasets().map(|index| graph.dataset(index).id).collect();
        Self { graph, dataset_ids, logs: unread_logs(graph.pipeline()) }
    }
}

fn quantum(step: usize) -> QuantumIndex {
    QuantumIndex(narrow(step))
}

fn dataset(datum: usize) -> DatasetIndex {
    DatasetIndex(narrow(datum))
}

fn data_id_json(data_id: &DataId) -> String {
    serde_json::to_string(data_id).expect("a data ID is a map from text")
}

impl Source for Quanta<'_> {
    fn title(&self) -> String {
        self.graph.output_run().to_string()
    }

    fn attributes(&self) -> &'static [Attribute] {
        const {
            &[
                Attribute::text("kind"),
                Attribute::text("label"),
                Attribute::text("task"),
                Attribute::text("dataset_type"),
                Attribute::text("data_id"),
                Attribute::text("run"),
                Attribute::boolean("predicted"),
            ]
        }
    }

    fn step_count(&self) -> usize {
        self.graph.len()
    }

    fn datum_count(&self) -> usize {
        self.graph.dataset_count()
    }

    fn step_id(&self, step: usize) -> String {
        self.graph.quantum_id(quantum(step)).to_string()
    }

    fn datum_id(&self, datum: usize) -> String {
        self.dataset_ids[datum].to_string()
    }

    fn step(&self, step: usize) -> Node {
        let view = self.graph.quantum(quantum(step));
        let (name, detail) = (view.task.label.to_string(), view.data_id.to_string());
        let values = vec![
            Some("quantum".to_owned()),
            Some(format!("{name} {detail}")),
            Some(name.clone()),
            None,
            Some(data_id_json(&view.data_id)),
            None,
            None,
        ];
        Node { name, detail, values }
    }

    fn datum(&self, datum: usize) -> Node {
        let GraphDataset { dataset_type, data_id, origin, .. } = self.graph.dataset(dataset(datum));
        let (name, detail) = (dataset_type.name.to_string(), data_id.to_string());
        let (run, predicted) = match &origin {
            DatasetOrigin::Existing { run, .. } => (run, false),
            DatasetOrigin::Predicted => (self.graph.output_run(), true),
        };
        let values = vec![
            Some("dataset".to_owned()),
            Some(format!("{name} {detail}")),
            None,
            Some(name.clone()),
            Some(data_id_json(&data_id)),
            Some(run.to_string()),
            Some(predicted.to_string()),
        ];
        Node { name, detail, values }
    }

    fn is_unread_log(&self, datum: usize) -> bool {
        let (group, _) = self.graph.locate_dataset(dataset(datum));
        self.logs[self.graph.types[group].dataset_type]
    }

    fn is_input(&self, datum: usize) -> bool {
        self.graph.producer(dataset(datum)).is_none()
    }

    fn reads(&self, step: usize) -> Vec<Edge<'_>> {
        let inputs = self.graph.quantum(quantum(step)).inputs;
        let edges = inputs.iter().flat_map(|inputs| {
            let connection = inputs.connection.name.as_str();
            inputs.datasets.iter().map(move |index| Edge { connection, datum: index.get() })
        });
        edges.collect()
    }

    fn writes(&self, step: usize) -> Vec<Edge<'_>> {
        let view = self.graph.quantum(quantum(step));
        let edges = view
            .task
            .outputs
            .iter()
            .zip(&view.outputs)
            .map(|(output, index)| Edge { connection: &output.name, datum: index.get() });
        edges.collect()
    }
}
