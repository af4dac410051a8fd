use super::*;
use crate::testing::CLIMATE_PIPELINE;

fn faults(text: &str) -> Vec<String> {
    match Pipeline::from_yaml(text, "pipeline.yaml".into()) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults.iter().map(ToString::to_string).collect(),
    }
}

fn task(fields: &str) -> String {
    format!("version: 1\ntasks:\n  t:\n    dimensions: []\n{fields}")
}

#[test]
fn tasks_with_inputs_and_outputs_are_read() {
    let pipeline = Pipeline::from_yaml(CLIMATE_PIPELINE, "pipeline.yaml".into()).unwrap();
    assert_eq!(pipeline.tasks().len(), 3);
    let year = &pipeline.tasks()["year"];
    assert!(year.inputs["months"].multiple);
    assert_eq!(year.outputs["summary"].storage_class, StorageClass::Json);
}

#[test]
fn shorthand_and_all_fields_are_read() {
    let pipeline = Pipeline::from_yaml(
            "version: 1\nconfig: {units: C, deep: true}\ntasks:\n  t:\n    dimensions: [city]\n    \
             inputs: {a: readings}\n    outputs: {b: {type: x, storage_class: Csv, dimensions: [city]}}\n    \
             config: {units: F, width: 2.5}\n    env: {U: '{config.units}'}\n    pass_env: [PATH]\n    task: do_it\n",
            "p.yaml".into(),
        )
        .unwrap();
    let task = &pipeline.tasks()["t"];
    assert_eq!(task.inputs["a"].dataset_type.as_str(), "readings");
    assert_eq!(task.body, TaskBody::Rust("do_it".to_owned()));
    let config = pipeline.config_of(task);
    let config: Vec<_> = config.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(config, ["deep=true", "units=F", "width=2.5"]);
    assert_eq!(task.pass_env, ["PATH"]);
}

#[test]
fn faults_name_file_line_and_key() {
    assert_eq!(
        faults(
            "version: 1\ntasks:\n  t:\n    dimensions: [Month]\n    inputs:\n      a: {typ: x}\n    comand: [sh]\n"
        ),
        [
            "pipeline.yaml:3: tasks.t: the task has nothing to run; give it a `command` or a `task`",
            "pipeline.yaml:4: tasks.t.dimensions[0]: invalid dimension element name \"Month\": it must start with a lower-case letter (a-z)",
            "pipeline.yaml:6: tasks.t.inputs.a.typ: there is no such field; expected one of type, multiple, optional, minimum, prerequisite",
            "pipeline.yaml:6: tasks.t.inputs.a: the field `type` is missing",
            "pipeline.yaml:7: tasks.t.comand: there is no such field; expected one of dimensions, inputs, outputs, config, env, pass_env, version, command, task, init_inputs, init_outputs, init_command, init_task",
        ]
    );
    assert_eq!(
        faults("version: 2\ntasks: {}\nmore: 1\n"),
        [
            "pipeline.yaml:1: version: this program reads pipelines of version 1, not 2; a newer pantler may read it"
        ]
    );
    assert_eq!(
        faults(
            "version: 1\ntasks:\n  a: {dimensions: [], command: [x]}\n  a: {dimensions: [], command: [y]}\n"
        ),
        ["pipeline.yaml:4: tasks.a: this key stands twice; remove one"]
    );
    assert_eq!(
        faults("version: 1\ntasks: {}\n"),
        ["pipeline.yaml:2: tasks: the pipeline has no tasks"]
    );
    let syntax = faults("version: 1\ntasks: [\n");
    assert!(syntax[0].starts_with("pipeline.yaml:"), "{syntax:?}");
    assert!(syntax[0].contains(": not well formed: "), "{syntax:?}");
}

#[test]
fn faults_of_a_task_are_found() {
    let find = |fields: &str, expected: &str| {
        let found = faults(&task(fields));
        assert_eq!(found, [expected], "{fields}");
    };
    find(
        "    command: []\n",
        "pipeline.yaml:5: tasks.t.command: the command is empty; its first element is the program",
    );
    find(
        "    command: [sh, 1]\n",
        "pipeline.yaml:5: tasks.t.command[1]: expected a text (put quotes around it), found an integer",
    );
    find(
        "    command: [sh]\n    task: x\n",
        "pipeline.yaml:6: tasks.t.task: the task has both `command` and `task`; remove one",
    );
    find(
        "    command: [sh, '{x']\n",
        "pipeline.yaml:5: tasks.t.command[1]: `{` without its other half in \"{x\"; write `{{` for a brace",
    );
    find(
        "    task: x\n    outputs: {a: {type: b, storage_class: Excel}}\n",
        "pipeline.yaml:6: tasks.t.outputs.a.storage_class: unknown storage class \"Excel\": expected one of Bytes, Text, Json, Csv, Svg",
    );
    let input = |fields: &str| format!("    task: x\n    inputs: {{a: {{type: b, {fields}}}}}\n");
    for (fields, expected) in [
        (
            "minimum: 2",
            "`minimum` goes with `multiple: true`; an input that may be missing is `optional: true`",
        ),
        (
            "multiple: true, minimum: 0",
            "at least 1 dataset, not 0; for an input that may be missing write `optional: true`",
        ),
        ("multiple: true, minimum: many", "expected a number of datasets, found a text"),
        (
            "multiple: true, optional: true, minimum: 2",
            "an optional input has no minimum; remove `minimum` or `optional`",
        ),
    ] {
        find(&input(fields), &format!("pipeline.yaml:6: tasks.t.inputs.a.minimum: {expected}"));
    }
    find(
        &input("optional: 1"),
        "pipeline.yaml:6: tasks.t.inputs.a.optional: expected true or false, found an integer",
    );
    find(
        &input("prerequisite: many"),
        "pipeline.yaml:6: tasks.t.inputs.a.prerequisite: expected true or false, found a text",
    );
    find(
        "    task: x\n    config: {a: [1]}\n",
        "pipeline.yaml:6: tasks.t.config.a: expected a text, a finite number, true or false, found a list",
    );
    find(
        "    task: x\n    env: {1A: b}\n",
        "pipeline.yaml:6: tasks.t.env.1A: environment variable names match [A-Za-z_][A-Za-z0-9_]*; rename \"1A\"",
    );
}
