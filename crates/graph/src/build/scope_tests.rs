use pantler_core::{Restriction, TaskLabel};
use proptest::prelude::*;

use super::*;
use crate::{
    MergeError,
    testing::{CLIMATE, CLIMATE_PIPELINE, TestSource, climate, metadata, survey},
};

fn describe(graph: &QuantumGraph) -> Vec<String> {
    let quantum = |index| {
        let quantum = graph.quantum(index);
        let inputs = quantum.inputs.iter().flat_map(|inputs| inputs.datasets).map(|dataset| {
            let dataset = graph.dataset(*dataset);
            format!("{} {:?}", dataset.id, dataset.origin)
        });
        let outputs = quantum.outputs.iter().map(|dataset| graph.dataset(*dataset).id.to_string());
        format!(
            "{} {} {} <- {} -> {}",
            quantum.id,
            quantum.task.label,
            quantum.data_id,
            inputs.collect::<Vec<_>>().join(", "),
            outputs.collect::<Vec<_>>().join(", ")
        )
    };
    graph.quanta().map(quantum).collect()
}

fn counts(graph: &QuantumGraph) -> Vec<String> {
    graph.counts().map(|(task, n)| format!("{} {n}", task.label)).collect()
}

fn part(
    source: &TestSource,
    pipeline: &str,
    tasks: &[&str],
    restriction: &str,
    base: Option<&QuantumGraph>,
) -> QuantumGraph {
    let tasks: BTreeSet<_> = tasks.iter().map(|t| TaskLabel::new(*t).unwrap()).collect();
    let restriction = match restriction {
        "" => None,
        text => Some(Restriction::parse(text, &source.universe).unwrap()),
    };
    let scope = BuildScope {
        tasks: (!tasks.is_empty()).then_some(&tasks),
        restriction: restriction.as_ref(),
        base,
    };
    build_part(&source.resolve(pipeline), source, metadata(), &scope).unwrap()
}

/// Written and read, as in a workspace.
fn stored(graph: &QuantumGraph) -> QuantumGraph {
    let mut bytes = std::io::Cursor::new(Vec::new());
    crate::write(graph, &mut bytes).unwrap();
    crate::read(std::io::Cursor::new(bytes.into_inner())).unwrap()
}

#[test]
fn task_by_task_is_the_same_as_at_once() {
    let source = climate(1..=5);
    let whole = source.build(CLIMATE_PIPELINE);
    let mut parts = vec![part(&source, CLIMATE_PIPELINE, &["daily"], "", None)];
    assert_eq!(counts(&parts[0]), ["daily 17", "year 0", "compare 0"]);
    for task in ["year", "compare"] {
        let base = QuantumGraph::merge(parts.iter().map(stored).collect()).unwrap();
        let next = part(&source, CLIMATE_PIPELINE, &[task], "", Some(&base));
        assert!(!next.is_empty());
        parts.push(next);
    }
    let merged = QuantumGraph::merge(parts.iter().map(stored).collect()).unwrap();
    assert_eq!(describe(&merged), describe(&whole));
    assert!(part(&source, CLIMATE_PIPELINE, &[], "", Some(&merged)).is_empty());
}

#[test]
fn what_is_not_built_yet_is_missing_by_name() {
    let source = climate(1..=5);
    let graph = part(&source, CLIMATE_PIPELINE, &["year"], "", None);
    assert!(graph.is_empty());
    assert_eq!(
        graph.pruned()[0].to_string(),
        "year: 1 quantum pruned: task `daily` makes no `daily` for input `months`"
    );
}

#[test]
fn a_restriction_holds_for_tasks_and_inputs_that_have_its_dimensions() {
    let source = climate(1..=5);
    let graph = part(&source, CLIMATE_PIPELINE, &[], "month IN (2..3) AND city = 'oslo'", None);
    assert_eq!(counts(&graph), ["daily 2", "year 1", "compare 1"]);
    let later = part(&source, CLIMATE_PIPELINE, &["daily"], "month = 4", Some(&graph));
    assert_eq!(counts(&later), ["daily 2", "year 0", "compare 0"]);
    let merged = QuantumGraph::merge(vec![graph, later]).unwrap();
    assert_eq!(counts(&merged), ["daily 4", "year 1", "compare 1"]);
    // The year that is built reads what it read.
    let year = merged.quanta().find(|q| merged.task_of(*q).label.as_str() == "year").unwrap();
    assert_eq!(merged.quantum(year).inputs[0].datasets.len(), 2);
    // Another city reads only what is meant.
    let bergen = part(&source, CLIMATE_PIPELINE, &["year"], "month > 3", Some(&merged));
    assert_eq!(counts(&bergen), ["daily 1", "year 1", "compare 0"]);
    let merged = QuantumGraph::merge(vec![merged, bergen]).unwrap();
    assert_eq!(counts(&merged), ["daily 4", "year 2", "compare 1"]);
}

#[test]
fn a_dimension_that_nothing_has_is_refused() {
    let mut source = TestSource::new(&format!("{CLIMATE}  night: {{key: integer}}\n"));
    source.add_type("readings", &["city", "month"]);
    let restriction = Restriction::parse("night = 3", &source.universe).unwrap();
    let scope = BuildScope { restriction: Some(&restriction), ..BuildScope::default() };
    let built = build_part(&source.resolve(CLIMATE_PIPELINE), &source, metadata(), &scope);
    assert_eq!(
        built.unwrap_err().to_string(),
        "no task and no input of the pipeline has dimension `night`"
    );
}

#[test]
fn an_input_stays_what_it_was_for_the_first() {
    let source = climate(1..=2);
    let first = part(&source, CLIMATE_PIPELINE, &["daily"], "month = 1", None);
    let mut changed = climate(1..=2);
    for dataset in changed.datasets.values_mut().flatten() {
        dataset.id = pantler_core::DatasetId::from_uuid(uuid::Uuid::from_u128(
            dataset.id.as_uuid().as_u128() ^ 1,
        ));
    }
    let second = part(&changed, CLIMATE_PIPELINE, &[], "", Some(&first));
    let merged = QuantumGraph::merge(vec![stored(&first), stored(&second)]).unwrap();
    let ids: BTreeSet<_> = first.overall_inputs().map(|i| first.dataset(i).id).collect();
    let all: BTreeSet<_> = merged.overall_inputs().map(|i| merged.dataset(i).id).collect();
    assert!(ids.is_subset(&all));
    assert_eq!(all.len(), 14);
    // Two that were built apart do not go together.
    let apart = part(&changed, CLIMATE_PIPELINE, &["daily"], "month < 3", None);
    let error = QuantumGraph::merge(vec![first, apart]).unwrap_err();
    assert!(matches!(error, MergeError::Inputs { .. }), "{error}");
}

#[test]
fn parts_of_other_graphs_are_refused() {
    let one = climate(1..=2).build(CLIMATE_PIPELINE);
    let (source, pipeline) = survey(2, 2);
    let other = source.build(pipeline);
    assert!(matches!(
        QuantumGraph::merge(vec![one, other]),
        Err(MergeError::Other { part: 2, what: "pipeline" })
    ));
    assert!(matches!(QuantumGraph::merge(Vec::new()), Err(MergeError::Nothing)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Visits in any order, in any groups, each with or without the last task.
    #[test]
    fn any_parts_give_the_whole(
        groups in proptest::collection::vec((0..6_i64, 0..6_i64, any::<bool>()), 1..6),
    ) {
        let (source, pipeline) = survey(6, 3);
        let whole = source.build(pipeline);
        let mut parts: Vec<QuantumGraph> = Vec::new();
        let visit = |i: i64| i * 3 + 20_260_000;
        let steps = groups.into_iter().map(|(from, to, all)| {
            let tasks: &[&str] = if all { &[] } else { &["isr", "calibrate"] };
            (tasks, format!("visit IN ({}..{})", visit(from.min(to)), visit(from.max(to))))
        });
        for (tasks, restriction) in steps.chain([(&[] as &[&str], String::new())]) {
            let base = match &parts[..] {
                [] => None,
                parts => Some(QuantumGraph::merge(parts.iter().map(stored).collect()).unwrap()),
            };
            let next = part(&source, pipeline, tasks, &restriction, base.as_ref());
            if !next.is_empty() {
                parts.push(next);
            }
        }
        let merged = QuantumGraph::merge(parts).unwrap();
        prop_assert_eq!(describe(&merged), describe(&whole));
    }
}
