use super::*;

const UNIVERSE: &str =
    "version: 1\nname: w\nelements:\n  city: {key: string}\n  month: {key: integer}\n";

fn resolve(tasks: &str) -> Result<ResolvedPipeline, String> {
    let universe = Universe::from_yaml(UNIVERSE).unwrap();
    let text = format!("version: 1\ntasks:\n{tasks}");
    let pipeline = Pipeline::from_yaml(&text, "pipeline.yaml".into()).unwrap();
    let dataset_type = |name: &str, dimensions: &[&str], storage_class| {
        let dimensions = universe.group(dimensions).unwrap();
        let name = DatasetTypeName::new(name).unwrap();
        Arc::new(DatasetType { name, dimensions, storage_class })
    };
    let registered = [
        dataset_type("readings", &["city", "month"], StorageClass::Csv),
        dataset_type("daily", &["city", "month"], StorageClass::Csv),
    ];
    pipeline
        .resolve(&universe, &|name| registered.iter().find(|t| t.name == *name).cloned())
        .map_err(|error| error.to_string())
}

#[test]
fn tasks_are_ordered_and_types_found() {
    let resolved = resolve(
            "  a_year: {dimensions: [city], inputs: {months: {type: daily, multiple: true}}, outputs: {s: {type: summary, storage_class: Json}}, task: x}\n  \
             daily: {dimensions: [month, city], inputs: {t: readings}, outputs: {days: {type: daily, storage_class: Csv}}, command: [sh, '{data_id.city}']}\n",
        )
        .unwrap();
    let labels: Vec<_> = resolved.tasks().iter().map(|t| t.label.as_str()).collect();
    assert_eq!(labels, ["daily", "a_year"]);
    let types: Vec<_> = resolved.dataset_types().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(types, ["readings", "daily", "daily_log", "summary", "a_year_log"]);
    assert_eq!(resolved.overall_inputs().len(), 1);
    assert_eq!(resolved.task("a_year").unwrap().log().storage_class, StorageClass::Bytes);
    assert_eq!(resolved.outputs().len(), 4);
}

#[test]
fn faults_need_the_universe() {
    let fault = |tasks: &str| resolve(tasks).map(|_| ()).unwrap_err();
    assert_eq!(
        fault("  t: {dimensions: [town], task: x}\n"),
        "pipeline.yaml:3: tasks.t.dimensions: unknown dimension \"town\" in universe \"w\": it has city, month"
    );
    assert_eq!(
        fault("  t:\n    dimensions: [city]\n    task: x\n    inputs:\n      a: readings\n"),
        "pipeline.yaml:7: tasks.t.inputs.a: `readings` has dimensions {city, month}, the task only {city}: several datasets per quantum; add `multiple: true`"
    );
    assert_eq!(
        fault("  t: {dimensions: [city], task: x, inputs: {a: horly}}\n"),
        "pipeline.yaml:3: tasks.t.inputs.a: no task makes `horly` and no such dataset type is registered; ingest it first, or correct the name"
    );
    assert_eq!(
        fault(
            "  t: {dimensions: [city], task: x, outputs: {a: {type: daily, storage_class: Csv}}}\n"
        ),
        "pipeline.yaml:3: tasks.t.outputs.a: dataset type `daily` is Csv {city, month}, and cannot also be Csv {city}; give the new one another name"
    );
    assert_eq!(
        fault(
            "  t: {dimensions: [city], task: x, outputs: {a: {type: n, storage_class: Csv, dimensions: []}}}\n"
        ),
        "pipeline.yaml:3: tasks.t.outputs.a.dimensions: the output has dimensions {}, its task {city}; they must be the same, remove `dimensions` here"
    );
    assert_eq!(
        fault("  t: {dimensions: [city], command: [sh, '{data_id.month}']}\n"),
        "pipeline.yaml:3: tasks.t.command[1]: placeholder `{data_id.month}`: the task has no such dimension; it has {city}"
    );
    assert_eq!(
        fault("  t: {dimensions: [city], task: x, init_inputs: {i: readings}}\n"),
        "pipeline.yaml:3: tasks.t.init_inputs.i: an init-input is read once and has no dimensions, but `readings` has {city, month}; make it an input"
    );
    assert_eq!(
        fault("  t: {dimensions: [city], task: x, init_inputs: {i: horly}}\n"),
        "pipeline.yaml:3: tasks.t.init_inputs.i: no task makes `horly` and no such dataset type is registered; ingest it first, or correct the name"
    );
    assert_eq!(
            fault(
                "  t: {dimensions: [city], task: x, init_inputs: {i: horly}, init_command: [x, '{data_id.city}']}\n"
            )
            .lines()
            .last(),
            Some(
                "pipeline.yaml:3: tasks.t.init_command[1]: placeholder `{data_id.city}`: the task has no such dimension; it has {}"
            )
        );
}
