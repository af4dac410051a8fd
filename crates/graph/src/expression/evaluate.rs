//! Evaluating: a machine with a stack of sorted sets.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    fmt,
    hash::Hash,
    ops::Range,
};

use pantler_core::{ElementName, KeyType, KeyValue};
use uuid::Uuid;

use super::{
    Action, EvaluateError, Expression, ExpressionError, GivenValue, Selector,
    names::{is_glob, matches},
    state::{DatasetState, ExecutionStatus, StateWord},
};

/// Quantum or dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// A quantum.
    Quantum,
    /// A dataset.
    Dataset,
}

/// The quanta of one task, or the datasets of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGroup {
    /// Which of the two.
    pub kind: NodeKind,
    /// The task's label or the type's name.
    pub name: String,
    /// The required dimensions of the data IDs.
    pub dimensions: Vec<(ElementName, KeyType)>,
}

/// Values that data IDs must have: the position of the dimension in the group, and the value.
pub type Constraints = [(usize, KeyValue)];

/// A graph over which expressions are evaluated. Nodes that a walk upstream (downstream)
/// comes to are asked for in descending (ascending) order where the graph allows it.
pub trait ExpressionGraph {
    /// A quantum or a dataset.
    type Node: Copy + Ord + Hash + fmt::Debug;
    /// Why the graph cannot be read.
    type Error: std::error::Error + 'static;

    /// What can be named.
    ///
    /// # Errors
    /// If the graph cannot be read; so with all others.
    fn groups(&mut self) -> Result<Vec<NodeGroup>, Self::Error>;

    /// The nodes of a group (a position in [`groups`](Self::groups)) whose data IDs have
    /// these values.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn members(
        &mut self,
        group: usize,
        constraints: &Constraints,
    ) -> Result<Vec<Self::Node>, Self::Error>;

    /// The quantum or dataset with this id.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn find(&mut self, id: Uuid) -> Result<Option<Self::Node>, Self::Error>;

    /// The quanta that stand so.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn with_status(&mut self, statuses: &[ExecutionStatus])
    -> Result<Vec<Self::Node>, Self::Error>;

    /// The datasets that stand so.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn with_state(&mut self, state: DatasetState) -> Result<Vec<Self::Node>, Self::Error>;

    /// Adds what a quantum reads, or what makes a dataset.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn upstream(
        &mut self,
        node: Self::Node,
        found: &mut Vec<Self::Node>,
    ) -> Result<(), Self::Error>;

    /// Adds what a quantum makes, or what reads a dataset.
    ///
    /// # Errors
    /// If the graph cannot be read.
    fn downstream(
        &mut self,
        node: Self::Node,
        found: &mut Vec<Self::Node>,
    ) -> Result<(), Self::Error>;
}

/// Sorted, each once.
type Set<N> = Vec<N>;

type Evaluated<T, G> = Result<T, EvaluateError<<G as ExpressionGraph>::Error>>;

impl Expression {
    /// The quanta and datasets that are meant, sorted.
    ///
    /// # Errors
    /// [`EvaluateError::Expression`] if a name or UUID is not in the graph, and
    /// [`EvaluateError::Graph`] if it cannot be read.
    pub fn evaluate<G: ExpressionGraph>(&self, graph: &mut G) -> Evaluated<Vec<G::Node>, G> {
        let mut machine = Machine { graph, text: self.text(), groups: None };
        let mut stack: Vec<Set<G::Node>> = Vec::new();
        for step in &self.steps {
            if let Action::Push(selector) = &step.action {
                stack.push(machine.select(selector, &step.at)?);
                continue;
            }
            let top = stack.pop().unwrap_or_default();
            let mut both = |keep| merge(&stack.pop().unwrap_or_default(), &top, keep);
            let set = match &step.action {
                Action::Push(_) => continue,
                Action::Union => both(|a, b| a || b),
                Action::Intersect => both(|a, b| a && b),
                Action::Subtract => both(|a, b| a && !b),
                Action::Complement => merge(&machine.everything()?, &top, |a, b| a && !b),
                Action::Upstream => machine.walk(top, Direction::Up)?,
                Action::Downstream => machine.walk(top, Direction::Down)?,
            };
            stack.push(set);
        }
        Ok(stack.pop().unwrap_or_default())
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

struct Machine<'a, G> {
    graph: &'a mut G,
    text: &'a str,
    groups: Option<Vec<NodeGroup>>,
}

impl<G: ExpressionGraph> Machine<'_, G> {
    fn select(&mut self, selector: &Selector, at: &Range<usize>) -> Evaluated<Set<G::Node>, G> {
        let found = match selector {
            Selector::Id(id) => {
                let found = self.graph.find(*id).map_err(EvaluateError::Graph)?;
                let unknown = || {
                    let message = format!("no quantum and no dataset has the id {id} here");
                    ExpressionError::new(self.text, at.clone(), message)
                };
                vec![found.ok_or_else(unknown)?]
            }
            Selector::Quanta => self.all_of(NodeKind::Quantum)?,
            Selector::Datasets => self.all_of(NodeKind::Dataset)?,
            Selector::State(StateWord::Dataset(state)) => {
                self.graph.with_state(*state).map_err(EvaluateError::Graph)?
            }
            Selector::State(word) => {
                self.graph.with_status(word.statuses()).map_err(EvaluateError::Graph)?
            }
            Selector::Named { pattern, values } => self.named(pattern, values, at)?,
        };
        Ok(sorted(found))
    }

    fn groups(&mut self) -> Evaluated<&[NodeGroup], G> {
        if self.groups.is_none() {
            self.groups = Some(self.graph.groups().map_err(EvaluateError::Graph)?);
        }
        Ok(self.groups.as_deref().unwrap_or_default())
    }

    fn all_of(&mut self, kind: NodeKind) -> Evaluated<Set<G::Node>, G> {
        let groups = self.groups()?.iter().enumerate();
        let wanted: Vec<usize> = groups.filter(|(_, g)| g.kind == kind).map(|(i, _)| i).collect();
        let mut found = Vec::new();
        for group in wanted {
            found.extend(self.graph.members(group, &[]).map_err(EvaluateError::Graph)?);
        }
        Ok(sorted(found))
    }

    fn everything(&mut self) -> Evaluated<Set<G::Node>, G> {
        let quanta = self.all_of(NodeKind::Quantum)?;
        Ok(merge(&quanta, &self.all_of(NodeKind::Dataset)?, |a, b| a || b))
    }

    fn named(
        &mut self,
        pattern: &str,
        values: &[GivenValue],
        at: &Range<usize>,
    ) -> Evaluated<Set<G::Node>, G> {
        let text = self.text;
        let groups = self.groups()?;
        let named: Vec<usize> =
            (0..groups.len()).filter(|i| matches(pattern, &groups[*i].name)).collect();
        if named.is_empty() {
            let end = at.start + text[at.clone()].find('@').unwrap_or(at.len());
            let message = unknown_name(pattern, groups);
            return Err(ExpressionError::new(text, at.start..end, message).into());
        }
        let wanted = constrained(text, groups, &named, values)?;
        let mut found = Vec::new();
        for (group, constraints) in wanted {
            found.extend(self.graph.members(group, &constraints).map_err(EvaluateError::Graph)?);
        }
        Ok(found)
    }

    /// A set with everything upstream or downstream of it. Goes through the nodes in order,
    /// so that a graph in a file reads each of its blocks about once.
    fn walk(&mut self, from: Set<G::Node>, direction: Direction) -> Evaluated<Set<G::Node>, G> {
        let mut seen: HashSet<G::Node> = from.iter().copied().collect();
        let mut pending: BTreeSet<G::Node> = from.into_iter().collect();
        let mut next = Vec::new();
        loop {
            let node = match direction {
                Direction::Up => pending.pop_last(),
                Direction::Down => pending.pop_first(),
            };
            let Some(node) = node else { break };
            match direction {
                Direction::Up => self.graph.upstream(node, &mut next),
                Direction::Down => self.graph.downstream(node, &mut next),
            }
            .map_err(EvaluateError::Graph)?;
            pending.extend(next.drain(..).filter(|node| seen.insert(*node)));
        }
        Ok(sorted(seen.into_iter().collect()))
    }
}

/// A group, and the values that data IDs must have.
type Constrained = (usize, Vec<(usize, KeyValue)>);

/// The groups that have all dimensions, with values of their types.
fn constrained(
    text: &str,
    groups: &[NodeGroup],
    named: &[usize],
    values: &[GivenValue],
) -> Result<Vec<Constrained>, ExpressionError> {
    let position = |group: &NodeGroup, value: &GivenValue| {
        group.dimensions.iter().position(|(name, _)| name.as_str() == value.dimension)
    };
    for value in values {
        if named.iter().all(|i| position(&groups[*i], value).is_none()) {
            let first = &groups[named[0]];
            let has: Vec<_> = first.dimensions.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!(
                "data IDs of `{}` have no value for `{}`: their dimensions are {{{}}}",
                first.name,
                value.dimension,
                has.join(", ")
            );
            return Err(ExpressionError::new(text, value.dimension_at.clone(), message));
        }
    }
    let mut wanted = Vec::new();
    for &i in named {
        let mut constraints = Vec::with_capacity(values.len());
        for value in values {
            let Some(at) = position(&groups[i], value) else { break };
            let (name, key_type) = &groups[i].dimensions[at];
            let parsed = KeyValue::parse(&value.value, *key_type).map_err(|reason| {
                let message = format!("dimension `{name}`: {reason}");
                ExpressionError::new(text, value.value_at.clone(), message)
            })?;
            constraints.push((at, parsed));
        }
        if constraints.len() == values.len() {
            wanted.push((i, constraints));
        }
    }
    if wanted.is_empty()
        && let Some(last) = values.last()
    {
        let message = "no task and no dataset type with that name has all of these dimensions";
        return Err(ExpressionError::new(text, last.dimension_at.clone(), message));
    }
    Ok(wanted)
}

fn unknown_name(pattern: &str, groups: &[NodeGroup]) -> String {
    const SHOWN: usize = 30;
    let mut names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let more = known.len().saturating_sub(SHOWN);
    known.truncate(SHOWN);
    if more > 0 {
        known.push(format!("{more} more"));
    }
    let (verb, known) = (if is_glob(pattern) { "is like" } else { "is called" }, known.join(", "));
    format!("no task and no dataset type {verb} `{pattern}`; there are {known}")
}

fn sorted<N: Ord>(mut nodes: Vec<N>) -> Set<N> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// What is kept of two sets, by whether it is in the first and in the second.
fn merge<N: Ord + Copy>(first: &[N], second: &[N], keep: fn(bool, bool) -> bool) -> Set<N> {
    let mut merged = Vec::new();
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some(one), Some(other)) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        let from_first = if order.is_le() { first.next() } else { None };
        let from_second = if order.is_ge() { second.next() } else { None };
        if keep(order.is_le(), order.is_ge()) {
            merged.extend(from_first.or(from_second));
        }
    }
}
