//! A pipeline as steps and data.

use super::source::{Attribute, Edge, Node, Source};
use crate::pipeline::ResolvedPipeline;

#[derive(Debug)]
pub(super) struct Tasks<'a> {
    pipeline: &'a ResolvedPipeline,
    /// Of [`unread_logs`].
    logs: Vec<bool>,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(pipeline: &'a ResolvedPipeline) -> Self {
        Self { pipeline, logs: unread_logs(pipeline) }
    }
}

/// For each dataset type, whether it is a log that no task reads.
pub(super) fn unread_logs(pipeline: &ResolvedPipeline) -> Vec<bool> {
    let mut logs = vec![false; pipeline.dataset_types().len()];
    for log in pipeline.tasks().iter().filter_map(|task| task.outputs.last()) {
        logs[log.type_index] = true;
    }
    for input in pipeline.tasks().iter().flat_map(|task| &task.inputs) {
        logs[input.type_index] = false;
    }
    logs
}

impl Source for Tasks<'_> {
    fn title(&self) -> String {
        let file = self.pipeline.pipeline().file();
        file.file_name().unwrap_or("pipeline").to_owned()
    }

    fn attributes(&self) -> &'static [Attribute] {
        const {
            &[
                Attribute::text("kind"),
                Attribute::text("label"),
                Attribute::text("dimensions"),
                Attribute::text("storage_class"),
                Attribute::boolean("overall_input"),
            ]
        }
    }

    fn step_count(&self) -> usize {
        self.pipeline.tasks().len()
    }

    fn datum_count(&self) -> usize {
        self.pipeline.dataset_types().len()
    }

    fn step_id(&self, step: usize) -> String {
        format!("task:{}", self.pipeline.tasks()[step].label)
    }

    fn datum_id(&self, datum: usize) -> String {
        format!("dataset_type:{}", self.pipeline.dataset_types()[datum].name)
    }

    fn step(&self, step: usize) -> Node {
        let task = &self.pipeline.tasks()[step];
        let (name, detail) = (task.label.to_string(), task.dimensions.to_string());
        let values = vec![
            Some("task".to_owned()),
            Some(name.clone()),
            Some(task.dimensions.key()),
            None,
            None,
        ];
        Node { name, detail, values }
    }

    fn datum(&self, datum: usize) -> Node {
        let dataset_type = &self.pipeline.dataset_types()[datum];
        let name = dataset_type.name.to_string();
        let mut detail = format!("{} {}", dataset_type.storage_class, dataset_type.dimensions);
        if self.pipeline.is_prerequisite(&dataset_type.name) {
            detail.push_str(", prerequisite");
        }
        let values = vec![
            Some("dataset_type".to_owned()),
            Some(name.clone()),
            Some(dataset_type.dimensions.key()),
            Some(dataset_type.storage_class.to_string()),
            Some(self.is_input(datum).to_string()),
        ];
        Node { name, detail, values }
    }

    fn is_unread_log(&self, datum: usize) -> bool {
        self.logs[datum]
    }

    fn is_input(&self, datum: usize) -> bool {
        datum < self.pipeline.overall_inputs().len()
    }

    fn reads(&self, step: usize) -> Vec<Edge<'_>> {
        let inputs = &self.pipeline.tasks()[step].inputs;
        inputs.iter().map(|i| Edge { connection: &i.name, datum: i.type_index }).collect()
    }

    fn writes(&self, step: usize) -> Vec<Edge<'_>> {
        let outputs = &self.pipeline.tasks()[step].outputs;
        outputs.iter().map(|o| Edge { connection: &o.name, datum: o.type_index }).collect()
    }
}
