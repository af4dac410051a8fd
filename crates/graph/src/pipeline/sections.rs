//! The sections of a file that say what its tasks become: parameters, imports, subsets,
//! contracts.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use pantler_core::TaskLabel;

use super::{
    FaultKind,
    contract::Contract,
    node::{Node, Value, join},
    parse::{Config, Parser},
    part::StandingContract,
    place::Place,
};

/// What stands in those sections.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) parameters: Config,
    pub(super) imports: Vec<Import>,
    pub(super) subsets: BTreeMap<String, BTreeSet<TaskLabel>>,
    pub(super) contracts: Vec<StandingContract>,
}

/// A file to import.
#[derive(Debug)]
pub(super) struct Import {
    /// Relative to the importing file, or absolute.
    pub(super) location: Utf8PathBuf,
    pub(super) filter: Filter,
    pub(super) key: String,
    pub(super) place: Place,
}

/// Which tasks of an imported file are taken.
#[derive(Debug)]
pub(super) enum Filter {
    All,
    Include(Vec<Name>),
    Exclude(Vec<Name>),
}

/// A task or subset of an imported file, and where it is named.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) key: String,
    pub(super) place: Place,
}

impl Parser {
    pub(super) fn sections(&mut self, fields: &BTreeMap<&str, &Node>) -> Sections {
        let mut sections = Sections::default();
        if let Some(node) = fields.get("parameters") {
            sections.parameters = self.config("parameters", node);
        }
        if let Some(node) = fields.get("imports") {
            for (path, node) in self.list("imports", node) {
                sections.imports.extend(self.import(&path, node));
            }
        }
        if let Some(node) = fields.get("subsets") {
            for (name, node) in self.map("subsets", node) {
                let path = join("subsets", name);
                self.identifier(&path, "subset", name);
                let labels = self.subset(&path, node);
                sections.subsets.insert(name.to_owned(), labels);
            }
        }
        if let Some(node) = fields.get("contracts") {
            for (path, node) in self.list("contracts", node) {
                sections.contracts.extend(self.contract(&path, node));
            }
        }
        sections
    }

    fn import(&mut self, path: &str, node: &Node) -> Option<Import> {
        if let Value::String(_) = &node.value {
            return self.location(path, node, Filter::All);
        }
        if !matches!(node.value, Value::Map(_)) {
            self.type_fault(path, node, "a file or a map with `location`");
            return None;
        }
        let fields = self.fields(path, node, &["location", "include", "exclude"]);
        let names = |parser: &mut Self, field| {
            fields.get(field).map(|node| parser.names(&join(path, field), node))
        };
        let filter = match (names(self, "include"), names(self, "exclude")) {
            (None, None) => Filter::All,
            (Some(names), None) => Filter::Include(names),
            (None, Some(names)) => Filter::Exclude(names),
            (Some(_), Some(_)) => {
                self.fault(path, FaultKind::TwoFilters);
                return None;
            }
        };
        let Some(node) = fields.get("location") else {
            self.fault(path, FaultKind::MissingField("location"));
            return None;
        };
        self.location(&join(path, "location"), node, filter)
    }

    fn location(&mut self, path: &str, node: &Node, filter: Filter) -> Option<Import> {
        let location = self.text(path, node)?;
        if location.is_empty() {
            self.fault(path, FaultKind::Type { expected: "a file", found: "an empty text" });
            return None;
        }
        let place = self.place(path);
        Some(Import { location: location.into(), filter, key: path.to_owned(), place })
    }

    fn names(&mut self, path: &str, node: &Node) -> Vec<Name> {
        let mut names = Vec::new();
        for (path, item) in self.list(path, node) {
            if let Some(name) = self.text(&path, item) {
                let place = self.place(&path);
                names.push(Name { text: name.to_owned(), key: path, place });
            }
        }
        names
    }

    fn subset(&mut self, path: &str, node: &Node) -> BTreeSet<TaskLabel> {
        let mut list = Some((path.to_owned(), node));
        if let Value::Map(_) = &node.value {
            let fields = self.fields(path, node, &["subset", "description"]);
            if let Some(node) = fields.get("description") {
                self.text(&join(path, "description"), node);
            }
            list = fields.get("subset").map(|node| (join(path, "subset"), *node));
            if list.is_none() {
                self.fault(path, FaultKind::MissingField("subset"));
            }
        }
        let mut labels = BTreeSet::new();
        if let Some((path, node)) = list {
            let items = self.list(&path, node);
            if items.is_empty() && matches!(node.value, Value::List(_)) {
                self.fault(&path, FaultKind::EmptySubset);
            }
            for (path, item) in items {
                let label = self.text(&path, item).and_then(|text| self.name(&path, text));
                labels.extend(label);
            }
        }
        labels
    }

    fn contract(&mut self, path: &str, node: &Node) -> Option<StandingContract> {
        let (key, text, message) = if let Value::String(text) = &node.value {
            (path.to_owned(), text.as_str(), None)
        } else if let Value::Map(_) = &node.value {
            let fields = self.fields(path, node, &["contract", "message"]);
            let message = match fields.get("message") {
                Some(node) => Some(self.text(&join(path, "message"), node)?.to_owned()),
                None => None,
            };
            let Some(node) = fields.get("contract") else {
                self.fault(path, FaultKind::MissingField("contract"));
                return None;
            };
            let key = join(path, "contract");
            let text = self.text(&key, node)?;
            (key, text, message)
        } else {
            self.type_fault(path, node, "a comparison or a map with `contract`");
            return None;
        };
        match Contract::parse(text) {
            Ok(contract) => {
                let place = self.place(&key);
                Some(StandingContract { contract, message, key, place })
            }
            Err(error) => {
                self.fault(&key, error.into());
                None
            }
        }
    }
}
