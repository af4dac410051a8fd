//! The language against a naive evaluation of its own, and what errors say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    graph::QuantumGraph,
    testing::{CLIMATE_PIPELINE, climate},
};

fn graph() -> QuantumGraph {
    climate([1, 2]).build(CLIMATE_PIPELINE)
}

/// Nodes as people name them.
fn names(graph: &QuantumGraph, nodes: &[GraphNode]) -> Vec<String> {
    let name = |node: &GraphNode| match node {
        GraphNode::Quantum(index) => {
            let view = graph.quantum(*index);
            format!("q:{} {}", view.task.label, view.data_id)
        }
        GraphNode::Dataset(index) => {
            let dataset = graph.dataset(*index);
            format!("d:{} {}", dataset.dataset_type.name, dataset.data_id)
        }
    };
    nodes.iter().map(name).collect()
}

fn select(text: &str) -> Vec<String> {
    let graph = graph();
    let expression = Expression::parse(text).unwrap();
    let nodes = expression.evaluate(&mut PredictedGraph::unrun(&graph)).unwrap();
    names(&graph, &nodes)
}

fn error(text: &str) -> String {
    let graph = graph();
    match Expression::parse(text) {
        Err(error) => error.to_string(),
        Ok(expression) => {
            expression.evaluate(&mut PredictedGraph::unrun(&graph)).unwrap_err().to_string()
        }
    }
}

#[test]
fn sets_and_ranges() {
    assert_eq!(select("year@{city=bergen}"), ["q:year city=bergen"]);
    assert_eq!(
        select("daily@{city=bergen, month=1}"),
        ["q:daily city=bergen month=1", "d:daily city=bergen month=1"],
        "a name of both a task and a type is both"
    );
    assert_eq!(select("daily@{city=bergen,month=1} & quanta"), ["q:daily city=bergen month=1"]);
    assert_eq!(
        select("..summary@{city=bergen}"),
        [
            "q:daily city=bergen month=1",
            "q:daily city=bergen month=2",
            "q:year city=bergen",
            "d:readings city=bergen month=1",
            "d:readings city=bergen month=2",
            "d:daily city=bergen month=1",
            "d:daily city=bergen month=2",
            "d:summary city=bergen",
        ]
    );
    assert_eq!(
        select(
            "(daily@{month=2} & quanta)..(..year@{city=bergen} | monthly@{city=bergen}) & quanta"
        ),
        ["q:daily city=bergen month=2", "q:year city=bergen"]
    );
    assert_eq!(select("year.. & quanta - year"), ["q:compare {}"]);
    assert_eq!(
        select("~datasets ~ daily"),
        ["q:year city=bergen", "q:year city=oslo", "q:compare {}"]
    );
    assert_eq!(select("comp*_j??n"), ["d:comparison_json {}"]);
    assert_eq!(select("\"monthly\" & present"), [""; 0]);
    assert_eq!(select("present").len(), 14);
    assert_eq!(select("built"), select("quanta"));
    assert_eq!(select("~~quanta"), select("quanta"));
    let id = graph().quantum_id(graph().quanta().last().unwrap());
    assert_eq!(select(&format!("{id}")), ["q:compare {}"]);
    assert_eq!(select(&format!(" {} ", id.to_string().to_uppercase())), ["q:compare {}"]);
}

#[test]
fn errors_show_the_place() {
    insta::assert_snapshot!(error("daily | | year"), @r"
    expected a UUID, a task or dataset type, a status or `(`, found `|`
      daily | | year
              ^
    ");
    insta::assert_snapshot!(error("(daily | year"), @r"
    expected `)`, `|`, `&`, `-`, `~` or `..`, found the end
      (daily | year
                   ^
    ");
    insta::assert_snapshot!(error("daily)"), @r"
    this `)` has no `(`
      daily)
           ^
    ");
    insta::assert_snapshot!(error("daily@{city=oslo moth=1}"), @r"
    expected `,` or `}`, found `m`
      daily@{city=oslo moth=1}
                       ^
    ");
    insta::assert_snapshot!(error("dayly@{city=oslo}.."), @r"
    no task and no dataset type is called `dayly`; there are `compare`, `compare_log`, `comparison`, `comparison_json`, `comparison_svg`, `daily`, `daily_log`, `monthly`, `readings`, `summary`, `year`, `year_log`
      dayly@{city=oslo}..
      ^^^^^
    ");
    insta::assert_snapshot!(error("year@{month=1}"), @r"
    data IDs of `year` have no value for `month`: their dimensions are {city}
      year@{month=1}
            ^^^^^
    ");
    insta::assert_snapshot!(error("daily@{month=may}"), @r#"
    dimension `month`: expected an integer, found "may"
      daily@{month=may}
                   ^^^
    "#);
    insta::assert_snapshot!(error("a..b..c"), @r"
    a range has two ends at most: put one into parentheses
      a..b..c
          ^^
    ");
    insta::assert_snapshot!(error("daily | 0192a7e8-c000"), @r"
    `0192a7e8` is neither a whole UUID nor the name of a task or dataset type
      daily | 0192a7e8-c000
              ^^^^^^^^
    ");
    insta::assert_snapshot!(error("00000000-0000-7000-8000-000000000001"), @r"
    no quantum and no dataset has the id 00000000-0000-7000-8000-000000000001 here
      00000000-0000-7000-8000-000000000001
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error(""), @r"
    expected a UUID, a task or dataset type, a status or `(`, found the end
      
      ^
    ");
    assert!(error("..").contains("what the range ends at"), "{}", error(".."));
    assert!(error("daily@{city=oslo, city=bergen}").contains("`city` has two values"));
    assert!(error("daily@{city='oslo}").contains("this quote has no end"));
    assert!(error("daily@city").contains("expected `{`"));
    assert!(error("é").contains("found `é`"));
    let deep = |n: usize| format!("{}daily{}", "(".repeat(n), ")".repeat(n));
    assert!(Expression::parse(&deep(64)).is_ok());
    assert!(error(&deep(65)).contains("64 times at most"));
    assert!(error(&"(".repeat(100_000)).contains("64 times at most"));
    assert!(error(&"a|".repeat(300_000)).contains("too long"));
    let long = format!("{}|", "daily|".repeat(80_000));
    assert!(error(&long).lines().all(|line| line.chars().count() < 200), "only a part is shown");
}

#[test]
fn a_long_expression_is_not_a_deep_one() {
    let text = format!("daily{}", " | daily & daily - year".repeat(20_000));
    assert_eq!(select(&text), select("daily"));
    assert_eq!(select(&format!("{}daily", "~".repeat(200_000))), select("daily"));
}

/// Expressions and what they mean, written down a second time.
#[derive(Debug, Clone)]
enum Meaning {
    Named(&'static str),
    Month(i64),
    Union(Box<Self>, Box<Self>),
    Intersect(Box<Self>, Box<Self>),
    Subtract(Box<Self>, Box<Self>),
    Complement(Box<Self>),
    Up(Box<Self>),
    Down(Box<Self>),
    Between(Box<Self>, Box<Self>),
}

impl Meaning {
    fn text(&self) -> String {
        match self {
            Self::Named(name) => (*name).to_owned(),
            Self::Month(month) => format!("daily@{{month={month}}}"),
            Self::Union(a, b) => format!("({} | {})", a.text(), b.text()),
            Self::Intersect(a, b) => format!("({}&{})", a.text(), b.text()),
            Self::Subtract(a, b) => format!("({} - {})", a.text(), b.text()),
            Self::Complement(a) => format!("(~{})", a.text()),
            Self::Up(a) => format!("(..{})", a.text()),
            Self::Down(a) => format!("({}..)", a.text()),
            Self::Between(a, b) => format!("({} .. {})", a.text(), b.text()),
        }
    }

    fn set(&self, all: &Edges) -> BTreeSet<GraphNode> {
        match self {
            Self::Named(name) => all.named[*name].clone(),
            Self::Month(month) => all.months[month].clone(),
            Self::Union(a, b) => &a.set(all) | &b.set(all),
            Self::Intersect(a, b) => &a.set(all) & &b.set(all),
            Self::Subtract(a, b) => &a.set(all) - &b.set(all),
            Self::Complement(a) => &all.nodes - &a.set(all),
            Self::Up(a) => all.closure(a.set(all), |(from, to)| (to, from)),
            Self::Down(a) => all.closure(a.set(all), |edge| edge),
            Self::Between(a, b) => {
                &all.closure(a.set(all), |edge| edge)
                    & &all.closure(b.set(all), |(from, to)| (to, from))
            }
        }
    }
}

struct Edges {
    nodes: BTreeSet<GraphNode>,
    flow: Vec<(GraphNode, GraphNode)>,
    named: BTreeMap<&'static str, BTreeSet<GraphNode>>,
    months: BTreeMap<i64, BTreeSet<GraphNode>>,
}

const NAMES: [&str; 6] = ["daily", "year", "readings", "quanta", "c*", "summary"];

impl Edges {
    fn of(graph: &QuantumGraph) -> Self {
        let quanta = graph.quanta().map(GraphNode::Quantum);
        let nodes: BTreeSet<_> = quanta.chain(graph.datasets().map(GraphNode::Dataset)).collect();
        let mut flow = Vec::new();
        for index in graph.quanta() {
            let view = graph.quantum(index);
            let node = GraphNode::Quantum(index);
            for dataset in view.inputs.iter().flat_map(|inputs| inputs.datasets) {
                flow.push((GraphNode::Dataset(*dataset), node));
            }
            flow.extend(view.outputs.iter().map(|output| (node, GraphNode::Dataset(*output))));
        }
        let of = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<GraphNode> {
            let listed: Vec<_> = nodes.iter().copied().collect();
            let texts = names(graph, &listed);
            listed.into_iter().zip(texts).filter(|(_, text)| wanted(text)).map(|(n, _)| n).collect()
        };
        let named = NAMES.map(|name| {
            let set = match name {
                "quanta" => of(&|text| text.starts_with("q:")),
                "c*" => of(&|text| text[2..].starts_with('c')),
                name => of(&|text| text[2..].starts_with(&format!("{name} "))),
            };
            (name, set)
        });
        let month = |month: i64| {
            of(&|text| {
                text[2..].starts_with("daily ") && text.ends_with(&format!(" month={month}"))
            })
        };
        let months = (1..=12).map(|m| (m, month(m))).collect();
        Self { named: named.into_iter().collect(), months, nodes, flow }
    }

    /// Adds what edges lead to until nothing is added any more.
    fn closure(
        &self,
        mut set: BTreeSet<GraphNode>,
        turn: fn((GraphNode, GraphNode)) -> (GraphNode, GraphNode),
    ) -> BTreeSet<GraphNode> {
        loop {
            let edges = self.flow.iter().map(|edge| turn(*edge));
            let more: Vec<_> =
                edges.filter(|(from, to)| set.contains(from) && !set.contains(to)).collect();
            if more.is_empty() {
                return set;
            }
            set.extend(more.into_iter().map(|(_, to)| to));
        }
    }
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let leaf = prop_oneof![
        prop::sample::select(NAMES.to_vec()).prop_map(Meaning::Named),
        (1..=12_i64).prop_map(Meaning::Month),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let two = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
        prop_oneof![
            two.clone().prop_map(|(a, b)| Meaning::Union(a, b)),
            two.clone().prop_map(|(a, b)| Meaning::Intersect(a, b)),
            two.clone().prop_map(|(a, b)| Meaning::Subtract(a, b)),
            one.clone().prop_map(Meaning::Complement),
            one.clone().prop_map(Meaning::Up),
            one.prop_map(Meaning::Down),
            two.prop_map(|(a, b)| Meaning::Between(a, b)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_selected_is_what_is_meant(meaning in meaning()) {
        let graph = graph();
        let expression = Expression::parse(&meaning.text()).unwrap();
        let found = expression.evaluate(&mut PredictedGraph::unrun(&graph)).unwrap();
        let expected: Vec<_> = meaning.set(&Edges::of(&graph)).into_iter().collect();
        prop_assert_eq!(found, expected, "{}", meaning.text());
    }

    #[test]
    fn any_text_gives_an_expression_or_an_error_with_a_place(text in any::<String>()) {
        if let Err(error) = Expression::parse(&text) {
            prop_assert!(error.to_string().contains('^'));
        }
    }

    #[test]
    fn pieces_of_expressions_in_any_order_do_too(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "daily", "@", "{", "}", "city", "=", "oslo", ",", "..", "|", "&", "-", "~", "(", ")", " ",
            "'", "\"", "\\", "*", "?", "failed", "é", "0192a7e8-c000-7000-8000-00000000000a", "0", "\n",
        ]), 0..30)
    ) {
        let text = pieces.concat();
        let graph = graph();
        match Expression::parse(&text) {
            Err(error) => prop_assert!(error.to_string().contains('^')),
            Ok(expression) => drop(expression.evaluate(&mut PredictedGraph::unrun(&graph))),
        }
    }
}
