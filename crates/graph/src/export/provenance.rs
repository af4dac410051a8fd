//! A part of provenance as steps and data.

use pantler_core::{DataId, DatasetId};

use super::source::{Attribute, Edge, Node, Source};
use crate::{ProvenanceView, expression::ExecutionStatus};

/// A view, with who makes and reads what.
#[derive(Debug)]
pub(super) struct Executed<'a> {
    view: &'a ProvenanceView,
    is_made: Vec<bool>,
    is_unread_log: Vec<bool>,
}

impl<'a> Executed<'a> {
    pub(super) fn new(view: &'a ProvenanceView) -> Self {
        let mut is_made = vec![false; view.datasets.len()];
        let mut is_unread_log = is_made.clone();
        let position = |id: &DatasetId| view.positions.get(id).copied();
        for quantum in &view.quanta {
            for at in quantum.outputs.iter().filter_map(|(_, id)| position(id)) {
                is_made[at] = true;
            }
            if let Some(log) = quantum.outputs.last().and_then(|(_, id)| position(id)) {
                is_unread_log[log] = true;
            }
        }
        let read = view.quanta.iter().flat_map(|quantum| &quantum.inputs);
        for at in read.flat_map(|(_, ids)| ids).filter_map(position) {
            is_unread_log[at] = false;
        }
        Self { view, is_made, is_unread_log }
    }

    fn edge<'e>(&self, connection: &'e str, id: &DatasetId) -> Option<Edge<'e>> {
        let datum = self.view.positions.get(id).copied()?;
        Some(Edge { connection, datum })
    }
}

fn data_id_json(data_id: &DataId) -> Option<String> {
    serde_json::to_string(data_id).ok()
}

impl Source for Executed<'_> {
    fn title(&self) -> String {
        self.view.title.clone()
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
                Attribute::text("status"),
            ]
        }
    }

    fn step_count(&self) -> usize {
        self.view.quanta.len()
    }

    fn datum_count(&self) -> usize {
        self.view.datasets.len()
    }

    fn step_id(&self, step: usize) -> String {
        self.view.quanta[step].quantum.id.to_string()
    }

    fn datum_id(&self, datum: usize) -> String {
        self.view.datasets[datum].dataset.id.to_string()
    }

    fn step(&self, step: usize) -> Node {
        let own = &self.view.quanta[step];
        let quantum = &own.quantum;
        let (name, mut detail) = (quantum.task.to_string(), quantum.data_id.to_string());
        let values = vec![
            Some("quantum".to_owned()),
            Some(format!("{name} {detail}")),
            Some(name.clone()),
            None,
            data_id_json(&quantum.data_id),
            Some(own.run.to_string()),
            Some(quantum.status.name().to_owned()),
        ];
        if quantum.status != ExecutionStatus::Succeeded {
            detail = format!("{detail} ({})", quantum.status.name());
        }
        Node { name, detail, values }
    }

    fn datum(&self, datum: usize) -> Node {
        let dataset = &self.view.datasets[datum].dataset;
        let name = dataset.dataset_type.name.to_string();
        let detail = dataset.data_id.to_string();
        let values = vec![
            Some("dataset".to_owned()),
            Some(format!("{name} {detail}")),
            None,
            Some(name.clone()),
            data_id_json(&dataset.data_id),
            Some(dataset.run.to_string()),
            Some(dataset.state.name().to_owned()),
        ];
        Node { name, detail, values }
    }

    fn is_unread_log(&self, datum: usize) -> bool {
        self.is_unread_log[datum]
    }

    fn is_input(&self, datum: usize) -> bool {
        !self.is_made[datum]
    }

    fn reads(&self, step: usize) -> Vec<Edge<'_>> {
        let inputs = self.view.quanta[step].inputs.iter();
        let edges =
            inputs.flat_map(|(name, ids)| ids.iter().filter_map(|id| self.edge(name.as_str(), id)));
        edges.collect()
    }

    fn writes(&self, step: usize) -> Vec<Edge<'_>> {
        let outputs = self.view.quanta[step].outputs.iter();
        outputs.filter_map(|(name, id)| self.edge(name.as_str(), id)).collect()
    }
}
