//! A pipeline as canonical JSON: the fields of the YAML, keys sorted, no defaults, no
//! comments, nothing that was only needed to find out what they are. It stands in graph files, and its digest says whether two pipelines do
//! the same.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use pantler_core::{Checksum, ElementName};
use serde::Serialize;

use super::{
    ConfigValue, OutputDefinition, Pipeline, PipelineError, TaskBody, TaskDefinition,
    node::{Node, SyntaxError},
    parse,
};

#[derive(Serialize)]
struct PipelineV1<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<&'a str, ConfigV1<'a>>,
    tasks: BTreeMap<&'a str, TaskV1<'a>>,
    version: u32,
}

#[derive(Serialize)]
struct TaskV1<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<&'a str, ConfigV1<'a>>,
    dimensions: &'a BTreeSet<ElementName>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_command: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    init_inputs: BTreeMap<&'a str, InitInputV1<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    init_outputs: BTreeMap<&'a str, OutputV1<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_task: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<&'a str, InputV1<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<&'a str, OutputV1<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pass_env: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct InputV1<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multiple: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prerequisite: bool,
    r#type: &'a str,
}

#[derive(Serialize)]
struct InitInputV1<'a> {
    r#type: &'a str,
}

#[derive(Serialize)]
struct OutputV1<'a> {
    storage_class: &'static str,
    r#type: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ConfigV1<'a> {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(&'a str),
}

impl Pipeline {
    /// The pipeline as canonical JSON.
    pub fn to_json(&self) -> String {
        // Init steps follow from their tasks.
        let written = self.tasks.iter().filter(|(_, task)| task.init_of().is_none());
        let tasks = written.map(|(label, own)| (label.as_str(), task(own, config(&own.config))));
        let file = PipelineV1 { config: config(&self.config), tasks: tasks.collect(), version: 1 };
        serde_json::to_string(&file).expect("maps with text keys serialize")
    }

    /// A task as canonical JSON, with all configuration values that it sees.
    pub(super) fn task_json(&self, definition: &TaskDefinition) -> String {
        let values = self.config_of(definition);
        serde_json::to_string(&task(definition, config(&values)))
            .expect("maps with text keys serialize")
    }

    /// Reads what [`Self::to_json`] wrote; `source` and `file` are those of the
    /// original.
    ///
    /// # Errors
    /// [`PipelineError`]; its faults have no lines.
    pub fn from_json(json: &str, source: &str, file: &Utf8Path) -> Result<Self, PipelineError> {
        let value = serde_json::from_str(json).map_err(|error| {
            let error = SyntaxError { line: 0, message: error.to_string() };
            PipelineError { faults: vec![parse::syntax_fault(file, error)] }
        })?;
        parse::effective(&Node::from_json(value), source, file)
    }

    /// The digest of what the pipeline does: of [`Self::to_json`], so not of comments,
    /// and not of the files that its commands name.
    pub fn digest(&self) -> Checksum {
        Checksum::of(self.to_json().as_bytes())
    }
}

fn task<'a>(task: &'a TaskDefinition, config: BTreeMap<&'a str, ConfigV1<'a>>) -> TaskV1<'a> {
    let (command, rust) = body(&task.body);
    let init = &task.init;
    let (init_command, init_task) = init.body.as_ref().map_or((None, None), body);
    let init_inputs = init.inputs.iter().map(|(name, dataset_type)| {
        let r#type = dataset_type.as_str();
        (&**name, InitInputV1 { r#type })
    });
    let inputs = task.inputs.iter().filter(|(name, _)| !init.has(name)).map(|(name, input)| {
        let input = InputV1 {
            minimum: (input.minimum > 1).then_some(input.minimum),
            multiple: input.multiple,
            optional: input.minimum == 0,
            prerequisite: input.prerequisite,
            r#type: input.dataset_type.as_str(),
        };
        (&**name, input)
    });
    TaskV1 {
        command,
        config,
        dimensions: &task.dimensions,
        env: task.env.iter().map(|(name, value)| (&**name, value.source())).collect(),
        init_command,
        init_inputs: init_inputs.collect(),
        init_outputs: outputs(&init.outputs),
        init_task,
        inputs: inputs.collect(),
        outputs: outputs(&task.outputs),
        pass_env: &task.pass_env,
        task: rust,
        version: task.version.as_deref(),
    }
}

/// Command and Rust task.
fn body(body: &TaskBody) -> (Option<Vec<&str>>, Option<&str>) {
    match body {
        TaskBody::Command(command) => {
            (Some(command.arguments().iter().map(super::Template::source).collect()), None)
        }
        TaskBody::Rust(name) => (None, Some(name)),
        TaskBody::Configuration => (None, None),
    }
}

/// `dimensions` of an output only repeats the task's.
fn outputs<'a>(outputs: &'a BTreeMap<String, OutputDefinition>) -> BTreeMap<&'a str, OutputV1<'a>> {
    let output = |own: &'a OutputDefinition| {
        let (storage_class, r#type) = (own.storage_class.name(), own.dataset_type.as_str());
        OutputV1 { storage_class, r#type }
    };
    outputs.iter().map(|(name, own)| (&**name, output(own))).collect()
}

pub(super) fn config(values: &BTreeMap<String, ConfigValue>) -> BTreeMap<&str, ConfigV1<'_>> {
    let value = |value| match value {
        &ConfigValue::Boolean(value) => ConfigV1::Boolean(value),
        &ConfigValue::Integer(value) => ConfigV1::Integer(value),
        &ConfigValue::Float(value) => ConfigV1::Float(value),
        ConfigValue::String(value) => ConfigV1::String(value),
    };
    values.iter().map(|(key, v)| (&**key, value(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\nconfig: {b: 2.0, a: x}\ntasks:\n  t:\n    dimensions: [city]\n    inputs: {i: {type: y, multiple: true, minimum: 2}, j: {type: x, optional: true}, k: {type: p, prerequisite: true}}\n    outputs: {o: {storage_class: Csv, type: z, dimensions: [city]}}\n    env: {A: '{{'}\n    pass_env: [B]\n    command: [sh, '{inputs.i}', '{config.b}']\n";

    #[test]
    fn json_keeps_everything_and_is_canonical() {
        let pipeline = Pipeline::from_yaml(TEXT, "p.yaml".into()).unwrap();
        let json = pipeline.to_json();
        assert_eq!(
            json,
            r#"{"config":{"a":"x","b":2.0},"tasks":{"t":{"command":["sh","{inputs.i}","{config.b}"],"dimensions":["city"],"env":{"A":"{{"},"inputs":{"i":{"minimum":2,"multiple":true,"type":"y"},"j":{"optional":true,"type":"x"},"k":{"prerequisite":true,"type":"p"}},"outputs":{"o":{"storage_class":"Csv","type":"z"}},"pass_env":["B"]}},"version":1}"#
        );
        let back = Pipeline::from_json(&json, TEXT, "p.yaml".into()).unwrap();
        assert_eq!(back.to_json(), json);
        assert_eq!(back.source(), TEXT);
    }

    #[test]
    fn the_digest_ignores_comments_and_order_only() {
        let digest =
            |text: &str| Pipeline::from_yaml(text, "p.yaml".into()).map(|p| p.digest()).unwrap();
        let reordered = TEXT.replace("{b: 2.0, a: x}", "{a: x, b: 2.0} # units");
        assert_eq!(digest(TEXT), digest(&reordered));
        assert_ne!(digest(TEXT), digest(&TEXT.replace("[B]", "[C]")));
        assert_ne!(digest(TEXT), digest(&TEXT.replace("'{config.b}'", "'{config.a}'")));
    }

    #[test]
    fn numbers_come_back_to_the_last_digit() {
        // A small generator; any state that is not 0.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..2000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = f64::from_bits(state);
            if !value.is_finite() {
                continue;
            }
            let text = format!(
                "version: 1\nconfig: {{x: {value:e}}}\ntasks: {{t: {{dimensions: [], task: x}}}}\n"
            );
            let pipeline = Pipeline::from_yaml(&text, "p.yaml".into()).unwrap();
            let back = Pipeline::from_json(&pipeline.to_json(), "", "p.yaml".into()).unwrap();
            assert_eq!(back.digest(), pipeline.digest(), "{value:e}");
        }
    }
}
