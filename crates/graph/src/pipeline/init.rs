//! Init steps: what a task needs or makes once, before any of its quanta.
//!
//! A task with `init_inputs` or `init_outputs` stands for two: its own quanta, and one quantum
//! without dimensions of a task `<label>_init`, which reads the init-inputs and writes the
//! init-outputs. The quanta of the task read both. So a graph, its journal and provenance need
//! to know nothing of activation: there are only tasks.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{DatasetTypeName, StorageClass, TaskLabel};

use super::{
    ConfigValue, Fault, FaultKind, InputDefinition, OutputDefinition, Pipeline, TaskBody,
    TaskDefinition, Template, template::Placeholder,
};

/// What a task needs and makes before any of its quanta, as its file describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InitDefinition {
    /// The dataset type of each init-input, by connection name.
    pub inputs: BTreeMap<String, DatasetTypeName>,
    /// What is made, by connection name.
    pub outputs: BTreeMap<String, OutputDefinition>,
    /// What makes it; `None`: each init-output is the configuration as JSON.
    pub body: Option<TaskBody>,
}

impl InitDefinition {
    /// Whether the task has no init step.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }

    fn input_definitions(&self) -> impl Iterator<Item = (String, InputDefinition)> {
        let made = self.outputs.iter().map(|(name, output)| (name, &output.dataset_type));
        self.inputs
            .iter()
            .chain(made)
            .map(|(name, dataset_type)| (name.clone(), input(dataset_type)))
    }

    /// Whether a connection of the task is one of its init step.
    pub(super) fn has(&self, name: &str) -> bool {
        self.inputs.contains_key(name) || self.outputs.contains_key(name)
    }
}

impl TaskDefinition {
    /// The task whose init step it is.
    pub fn init_of(&self) -> Option<&TaskLabel> {
        self.init_of.as_ref()
    }
}

impl Pipeline {
    /// The label of the init step of a task; `None` if it has none.
    pub fn init_step(&self, task: &str) -> Option<&TaskLabel> {
        let of = |definition: &TaskDefinition| {
            definition.init_of().is_some_and(|of| of.as_str() == task)
        };
        self.tasks.iter().find(|(_, definition)| of(definition)).map(|(label, _)| label)
    }

    /// Where a field of a task stands in its file, such as `inputs` and `readings`: those of
    /// init steps stand with their tasks.
    pub(super) fn key(&self, label: &TaskLabel, field: &str, name: &str) -> String {
        let Some(task) = self.tasks.get(label) else { return format!("tasks.{label}") };
        let (label, init) = match task.init_of() {
            Some(of) => (of, "init_"),
            None if field == "inputs" && task.init.inputs.contains_key(name) => (label, "init_"),
            None => (label, ""),
        };
        format!(
            "tasks.{label}.{init}{field}{name}",
            name = if name.is_empty() { String::new() } else { format!(".{name}") }
        )
    }
}

/// Adds the init steps of a pipeline's tasks to them.
pub(super) fn expand(pipeline: &mut Pipeline) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut steps = BTreeMap::new();
    for (label, task) in &pipeline.tasks {
        let mut fault = |key: String, kind| faults.push(pipeline.fault(key, kind));
        let at = |field: &str| format!("tasks.{label}.{field}");
        if task.init.is_empty() {
            if task.init.body.is_some() {
                fault(at("init_command"), FaultKind::NothingToInit);
            }
            continue;
        }
        for (name, output) in &task.init.outputs {
            if task.init.inputs.contains_key(name) || task.inputs.contains_key(name) {
                fault(at(&format!("init_outputs.{name}")), FaultKind::InitConnection(name.clone()));
            }
            if task.init.body.is_none() && output.storage_class != StorageClass::Json {
                let kind = FaultKind::NoInitBody(output.storage_class);
                fault(at(&format!("init_outputs.{name}")), kind);
            }
        }
        for name in task.init.inputs.keys().filter(|name| task.inputs.contains_key(*name)) {
            fault(at(&format!("init_inputs.{name}")), FaultKind::InitConnection(name.clone()));
        }
        match TaskLabel::new(format!("{label}_init")) {
            Err(error) => fault(format!("tasks.{label}"), error.into()),
            Ok(step) if pipeline.tasks.contains_key(&step) => {
                fault(format!("tasks.{step}"), FaultKind::InitLabel(label.clone()));
            }
            Ok(step) => {
                steps.insert(step, step_of(label, task));
            }
        }
    }
    if !faults.is_empty() {
        return faults;
    }
    for task in pipeline.tasks.values_mut() {
        task.inputs.extend(task.init.input_definitions());
    }
    pipeline.tasks.extend(steps);
    Vec::new()
}

fn step_of(label: &TaskLabel, task: &TaskDefinition) -> TaskDefinition {
    let init = &task.init;
    let (mut env, mut pass_env) = (BTreeMap::new(), Vec::new());
    if init.body.is_some() {
        let own = task.env.iter().filter(|(_, value)| is_of_any_quantum(value));
        env.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        pass_env.clone_from(&task.pass_env);
    }
    TaskDefinition {
        dimensions: BTreeSet::new(),
        inputs: init.inputs.iter().map(|(name, of)| (name.clone(), input(of))).collect(),
        outputs: init.outputs.clone(),
        config: task.config.clone(),
        env,
        pass_env,
        version: task.version.clone(),
        body: init.body.clone().unwrap_or(TaskBody::Configuration),
        init: InitDefinition::default(),
        init_of: Some(label.clone()),
    }
}

fn input(dataset_type: &DatasetTypeName) -> InputDefinition {
    InputDefinition {
        dataset_type: dataset_type.clone(),
        multiple: false,
        minimum: 1,
        prerequisite: false,
    }
}

/// Whether a value is the same for all quanta, so that it can be given to the init step.
fn is_of_any_quantum(value: &Template) -> bool {
    let is_of_one = |placeholder: &Placeholder| {
        matches!(
            placeholder,
            Placeholder::Input(_) | Placeholder::Output(_) | Placeholder::DataId(_)
        )
    };
    !value.placeholders().any(is_of_one)
}

/// Init-inputs that quanta make: those are there too late.
pub(super) fn check_init_inputs(pipeline: &Pipeline) -> Vec<Fault> {
    let mut producers = BTreeMap::new();
    for (label, task) in pipeline.tasks.iter().filter(|(_, task)| task.init_of().is_none()) {
        producers.insert(label.log_dataset_type(), label);
        producers.extend(task.outputs.values().map(|output| (output.dataset_type.clone(), label)));
    }
    let mut faults = Vec::new();
    for (label, task) in &pipeline.tasks {
        for (name, dataset_type) in &task.init.inputs {
            if let Some(producer) = producers.get(dataset_type) {
                let kind = FaultKind::InitInputOfQuanta {
                    dataset_type: dataset_type.clone(),
                    task: (*producer).clone(),
                };
                faults.push(pipeline.fault(format!("tasks.{label}.init_inputs.{name}"), kind));
            }
        }
    }
    faults
}

/// Configuration values as a JSON document: an object, keys sorted.
pub fn config_json(values: &BTreeMap<String, ConfigValue>) -> Vec<u8> {
    let values = super::json::config(values);
    let mut text = serde_json::to_vec_pretty(&values).expect("maps with text keys serialize");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::PipelineError;

    const TEXT: &str = "version: 1
config: {unit: m}
tasks:
  b:
    dimensions: [city]
    inputs: {i: x}
    config: {n: 2}
    env: {A: '{config.n}', B: '{inputs.i}'}
    init_inputs: {schema: a_schema}
    init_outputs: {header: {type: header, storage_class: Text}}
    init_command: [make, '{inputs.schema}', '{outputs.header}', '{config.unit}']
    command: [run, '{inputs.i}', '{inputs.schema}', '{inputs.header}']
  a:
    dimensions: [city]
    init_outputs: {schema: {type: a_schema, storage_class: Json}}
    outputs: {o: {type: x, storage_class: Csv}}
    task: a
";

    fn read(text: &str) -> Result<Pipeline, PipelineError> {
        Pipeline::from_yaml(text, "p.yaml".into())
    }

    fn faults(tasks: &str) -> Vec<String> {
        let text = format!("version: 1\ntasks:\n{tasks}");
        match read(&text) {
            Ok(_) => Vec::new(),
            Err(error) => error.faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_task_with_an_init_step_is_two() {
        let pipeline = read(TEXT).unwrap();
        let labels: Vec<_> = pipeline.tasks().keys().map(TaskLabel::as_str).collect();
        assert_eq!(labels, ["a", "a_init", "b", "b_init"]);
        let order: Vec<_> = super::super::check::order(&pipeline);
        let order: Vec<_> = order.into_iter().map(TaskLabel::as_str).collect();
        assert_eq!(order, ["a_init", "a", "b_init", "b"]);
        assert_eq!(pipeline.init_step("a").unwrap().as_str(), "a_init");
        assert_eq!(pipeline.init_step("a_init"), None);
        let keys = |label: &str| pipeline.tasks()[label].inputs.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys("a"), ["schema"]);
        assert_eq!(keys("b"), ["header", "i", "schema"]);
        assert_eq!(keys("b_init"), ["schema"]);
        let step = &pipeline.tasks()["b_init"];
        assert!(step.dimensions.is_empty());
        assert_eq!(step.env.keys().collect::<Vec<_>>(), ["A"], "B is of one quantum");
        let config = config_json(&pipeline.config_of(step));
        assert_eq!(config, b"{\n  \"n\": 2,\n  \"unit\": \"m\"\n}\n");
        assert_eq!(pipeline.tasks()["a_init"].body, TaskBody::Configuration);
    }

    #[test]
    fn json_has_what_the_file_says() {
        let pipeline = read(TEXT).unwrap();
        let json = pipeline.to_json();
        assert!(json.contains(r#""init_command":["make","{inputs.schema}","{outputs.header}","{config.unit}"],"init_inputs":{"schema":{"type":"a_schema"}},"init_outputs":{"header":{"storage_class":"Text","type":"header"}},"inputs":{"i":{"type":"x"}}"#), "{json}");
        assert!(!json.contains("b_init"), "{json}");
        let back = Pipeline::from_json(&json, TEXT, "p.yaml".into()).unwrap();
        assert_eq!((back.to_json(), &back), (json, &pipeline));
        let other = read(&TEXT.replace("{n: 2}", "{n: 3}")).unwrap();
        assert_ne!(other.tasks()["b_init"], pipeline.tasks()["b_init"]);
    }

    #[test]
    fn what_cannot_be_an_init_step_is_named() {
        let one = |rest: &str| faults(&format!("  t: {{dimensions: [], task: x, {rest}}}\n"));
        assert_eq!(
            one("init_outputs: {o: {type: s, storage_class: Json, dimensions: [city]}}"),
            [
                "p.yaml:3: tasks.t.init_outputs.o.dimensions: an init-output is made once and has no dimensions; remove them, or make it an output"
            ]
        );
        assert_eq!(
            one("init_outputs: {o: {type: s, storage_class: Csv}}"),
            [
                "p.yaml:3: tasks.t.init_outputs.o: an init-output is the configuration as Json unless an `init_command` (or `init_task`) makes it; this one is Csv: add that, or write `storage_class: Json`"
            ]
        );
        assert_eq!(
            one("init_command: [x]"),
            [
                "p.yaml:3: tasks.t.init_command: there are no `init_inputs` and no `init_outputs`: nothing would run it; remove it"
            ]
        );
        assert_eq!(
            one("init_inputs: {i: y}, init_command: [x], init_task: y"),
            [
                "p.yaml:3: tasks.t.init_task: the task has both `init_command` and `init_task`; remove one"
            ]
        );
        assert_eq!(
            one("inputs: {i: x}, init_inputs: {i: y}"),
            [
                "p.yaml:3: tasks.t.init_inputs.i: quanta read init-inputs and init-outputs as their inputs, and there is another `i`; rename one"
            ]
        );
        assert_eq!(
            one("init_inputs: {i: {type: y, multiple: true}}"),
            [
                "p.yaml:3: tasks.t.init_inputs.i.multiple: there is no such field; expected one of type"
            ]
        );
        assert_eq!(
            one("init_inputs: {i: y}, init_command: [x, '{inputs.j}', '{outputs.o}']"),
            [
                "p.yaml:3: tasks.t.init_command[1]: placeholder `{inputs.j}`: the task has no such input; it has i",
                "p.yaml:3: tasks.t.init_command[2]: placeholder `{outputs.o}`: the task has no such output; it has none",
            ]
        );
    }

    #[test]
    fn init_steps_that_do_not_fit_together_are_named() {
        let output = "init_outputs: {o: {type: s, storage_class: Json}}";
        assert_eq!(
            faults(&format!(
                "  a: {{dimensions: [], task: x, {output}}}\n  b: {{dimensions: [], task: x, {output}}}\n"
            )),
            [
                "p.yaml:4: tasks.b.init_outputs.o: `s` is also made by tasks.a.init_outputs.o; a dataset type has one producer, rename one"
            ]
        );
        assert_eq!(
            faults(&format!(
                "  a: {{dimensions: [], task: x, {output}}}\n  a_init: {{dimensions: [], task: x}}\n"
            )),
            [
                "p.yaml:4: tasks.a_init: this is the label of the init step of task `a`; give the task another"
            ]
        );
        assert_eq!(
            faults(
                "  a: {dimensions: [], task: x, init_inputs: {i: t}, init_outputs: {o: {type: s, storage_class: Json}}}\n  \
                 b: {dimensions: [], task: x, init_inputs: {i: s}, init_outputs: {o: {type: t, storage_class: Json}}}\n"
            ),
            [
                "p.yaml:3: tasks.a: cycle: a_init needs b_init needs a_init; each needs an output of the next"
            ]
        );
        assert_eq!(
            faults(
                "  a: {dimensions: [], task: x, outputs: {o: {type: s, storage_class: Json}}}\n  \
                 b: {dimensions: [], task: x, init_inputs: {i: s}}\n  \
                 c: {dimensions: [], task: x, init_inputs: {i: a_log}}\n"
            ),
            [
                "p.yaml:4: tasks.b.init_inputs.i: `s` is made by quanta of task `a`, which run after the init steps; make it an init-output there, or an input here",
                "p.yaml:5: tasks.c.init_inputs.i: `a_log` is made by quanta of task `a`, which run after the init steps; make it an init-output there, or an input here",
            ]
        );
        let long = "l".repeat(55);
        assert_eq!(
            faults(&format!("  {long}: {{dimensions: [], task: x, {output}}}\n")),
            [format!(
                "p.yaml:3: tasks.{long}: invalid task label \"{long}_init\": it is too long (63 characters at most; 59 for a task)"
            )]
        );
    }
}
