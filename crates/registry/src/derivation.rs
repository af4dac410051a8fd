use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{ElementName, Universe};

use crate::schema;

/// Finds SQL expressions for dimensions that are implied by known ones, by joining
/// the tables of the elements that imply them.
pub(crate) struct Derivation<'u> {
    universe: &'u Universe,
    known: BTreeMap<ElementName, String>,
    used: BTreeSet<ElementName>,
    joins: Vec<String>,
}

impl<'u> Derivation<'u> {
    /// Starts from dimensions whose expressions are known.
    pub(crate) fn new(
        universe: &'u Universe,
        known: impl IntoIterator<Item = (ElementName, String)>,
    ) -> Self {
        let known = known.into_iter().collect();
        Self { universe, known, used: BTreeSet::new(), joins: Vec::new() }
    }

    /// The expression for `dimension`, or `None` if it does not follow from what
    /// is known.
    pub(crate) fn expression(&mut self, dimension: &ElementName) -> Option<String> {
        while !self.known.contains_key(dimension) {
            if !self.join_next() {
                return None;
            }
        }
        self.used.insert(dimension.clone());
        self.known.get(dimension).cloned()
    }

    /// The joins that the expressions given out need, to stand after `FROM …`.
    pub(crate) fn joins(&self) -> String {
        self.joins.concat()
    }

    /// The dimensions known from the start whose expressions are needed.
    pub(crate) fn used(&self) -> &BTreeSet<ElementName> {
        &self.used
    }

    /// Joins the first element that can be joined and says something new.
    fn join_next(&mut self) -> bool {
        for element in self.universe.elements() {
            if !element.is_dimension() || !self.known.contains_key(&element.name) {
                continue;
            }
            let (required, implied) = schema::element_dimensions(self.universe, element);
            if implied.iter().all(|name| self.known.contains_key(name))
                || !required.iter().all(|name| self.known.contains_key(name))
            {
                continue;
            }
            let alias = format!("e{}", self.joins.len());
            let conditions: Vec<_> = required
                .iter()
                .map(|name| format!("{alias}.{} = {}", schema::dimension(name), self.known[name]))
                .collect();
            let table = schema::element(&element.name);
            self.joins.push(format!(" JOIN {table} {alias} ON {}", conditions.join(" AND ")));
            self.used.extend(required);
            for name in implied {
                let expression = format!("{alias}.{}", schema::dimension(&name));
                self.known.entry(name).or_insert(expression);
            }
            return true;
        }
        false
    }
}
