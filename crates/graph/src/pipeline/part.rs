//! A file and what it imports, as one: tasks, configuration values, parameters, subsets and
//! contracts, each of one name space.
//!
//! What the importing file says replaces what comes from the files that it imports, whole.
//! Of two of those that say different things about one name none goes before: that is a
//! fault, unless the importing file says it itself. The same file imported by two ways is
//! no difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::TaskLabel;

use super::{
    Fault, FaultKind, TaskBody, TaskDefinition,
    contract::Contract,
    parameters,
    parse::{Config, ParsedFile},
    place::{Place, Places},
    sections::{Filter, Import, Name},
};

/// A file and what it imports.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Its name in messages.
    pub(super) file: Utf8PathBuf,
    pub(super) parameters: Config,
    pub(super) config: Config,
    pub(super) tasks: BTreeMap<TaskLabel, StandingTask>,
    pub(super) subsets: BTreeMap<String, BTreeSet<TaskLabel>>,
    pub(super) contracts: Vec<StandingContract>,
    pub(super) places: Places,
}

/// A task, and the file that it is from.
#[derive(Debug, Clone)]
pub(super) struct StandingTask {
    pub(super) definition: TaskDefinition,
    identity: Arc<Utf8Path>,
}

/// A contract, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StandingContract {
    pub(super) contract: Contract,
    pub(super) message: Option<String>,
    pub(super) key: String,
    pub(super) place: Place,
}

/// An imported file.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) import: Import,
    pub(super) file: Utf8PathBuf,
    pub(super) part: Arc<Part>,
}

/// Puts a file together with what it imports.
pub(super) fn merge(
    own: ParsedFile,
    imported: &[Imported],
    file: &Utf8Path,
    identity: &Utf8Path,
    faults: &mut Vec<Fault>,
) -> Part {
    let ParsedFile { config, tasks, sections, places } = own;
    let mut merged = Part { file: file.to_owned(), ..Part::default() };
    let mut names = Origins::default();
    for Imported { import, file, part } in imported {
        let part = chosen(part, import, faults);
        let mut differ = |what, name: &dyn Display, own: bool, first: &Utf8Path| {
            let way_on = match what {
                "task" => "exclude it from one of the imports, or give it here",
                _ => "give it here",
            };
            if !own && first != file {
                let kind = FaultKind::ImportedTwice {
                    what,
                    name: name.to_string(),
                    first: first.to_owned(),
                    second: file.clone(),
                    way_on,
                };
                faults.push(import.place.fault(&import.key, kind));
            }
        };
        for (name, value) in &part.parameters {
            let first = names.parameters.entry(name.clone()).or_insert_with(|| file.clone());
            if merged.parameters.get(name).is_some_and(|other| other != value) {
                differ("parameter", name, sections.parameters.contains_key(name), first);
            }
        }
        for (name, value) in &part.config {
            let first = names.config.entry(name.clone()).or_insert_with(|| file.clone());
            if merged.config.get(name).is_some_and(|other| other != value) {
                differ("configuration value", name, config.contains_key(name), first);
            }
        }
        for (name, labels) in &part.subsets {
            let first = names.subsets.entry(name.clone()).or_insert_with(|| file.clone());
            if merged.subsets.get(name).is_some_and(|other| other != labels) {
                differ("subset", name, sections.subsets.contains_key(name), first);
            }
        }
        for (label, task) in &part.tasks {
            let first = names.tasks.entry(label.clone()).or_insert_with(|| file.clone());
            if merged.tasks.get(label).is_some_and(|other| other.identity != task.identity) {
                differ("task", label, tasks.contains_key(label), first);
            }
        }
        merged.take(part);
    }
    for (name, value) in &sections.parameters {
        let old = merged.parameters.get(name);
        if let Some(Err(kind)) =
            old.map(|old| super::GivenValue::Value(value.clone()).in_place_of(old))
        {
            let key = format!("parameters.{name}");
            faults.push(places.fault(file, key, kind));
        }
    }
    let identity: Arc<Utf8Path> = identity.to_owned().into();
    let inherited: BTreeSet<String> = merged.parameters.keys().cloned().collect();
    let declared: Vec<String> = sections.parameters.keys().cloned().collect();
    let own_subsets: Vec<String> = sections.subsets.keys().cloned().collect();
    let own_contracts = sections.contracts.clone();
    let tasks = tasks.into_iter().map(|(label, definition)| {
        (label, StandingTask { definition, identity: Arc::clone(&identity) })
    });
    merged.places.take("imports", &places);
    merged.take(Part {
        file: file.to_owned(),
        parameters: sections.parameters,
        config,
        tasks: tasks.collect(),
        subsets: sections.subsets,
        contracts: sections.contracts,
        places,
    });
    let used = merged.used_parameters();
    for name in declared {
        if !inherited.contains(&name) && !used.contains(&*name) {
            let key = format!("parameters.{name}");
            faults.push(merged.fault(key, FaultKind::UnusedParameter(name)));
        }
    }
    for name in own_subsets {
        merged.check_subset(&name, faults);
    }
    for contract in own_contracts {
        for label in contract.contract.tasks() {
            if !merged.tasks.contains_key(label) {
                let kind = merged.no_task(label);
                faults.push(contract.place.fault(&contract.key, kind));
            }
        }
    }
    merged
}

/// The file that the first import of a name came by.
#[derive(Default)]
struct Origins {
    parameters: BTreeMap<String, Utf8PathBuf>,
    config: BTreeMap<String, Utf8PathBuf>,
    subsets: BTreeMap<String, Utf8PathBuf>,
    tasks: BTreeMap<TaskLabel, Utf8PathBuf>,
}

impl Part {
    /// Takes over everything of another, in the place of what is there.
    fn take(&mut self, other: Self) {
        for name in other.parameters.keys() {
            self.places.take(&format!("parameters.{name}"), &other.places);
        }
        for name in other.config.keys() {
            self.places.take(&format!("config.{name}"), &other.places);
        }
        for name in other.subsets.keys() {
            self.places.take(&format!("subsets.{name}"), &other.places);
        }
        for label in other.tasks.keys() {
            self.places.take(&format!("tasks.{label}"), &other.places);
        }
        self.parameters.extend(other.parameters);
        self.config.extend(other.config);
        self.subsets.extend(other.subsets);
        self.tasks.extend(other.tasks);
        for contract in other.contracts {
            // One file that came by two ways.
            if !self.contracts.contains(&contract) {
                self.contracts.push(contract);
            }
        }
    }

    /// The tasks that `name`, a task or subset, stands for.
    pub(super) fn named(&self, name: &str) -> Option<BTreeSet<TaskLabel>> {
        if let Some((label, _)) = self.tasks.get_key_value(name) {
            return Some(BTreeSet::from([label.clone()]));
        }
        self.subsets.get(name).cloned()
    }

    /// What to say about a name that is neither.
    pub(super) fn no_such(&self, name: &str) -> FaultKind {
        let known = self.tasks.keys().map(TaskLabel::as_str);
        let known = known.chain(self.subsets.keys().map(String::as_str));
        FaultKind::NoSuch { what: "task or subset", name: name.to_owned(), known: names(known) }
    }

    pub(super) fn no_task(&self, name: &impl Display) -> FaultKind {
        let known = names(self.tasks.keys().map(TaskLabel::as_str));
        FaultKind::NoSuch { what: "task", name: name.to_string(), known }
    }

    pub(super) fn fault(&self, key: String, kind: FaultKind) -> Fault {
        self.places.fault(&self.file, key, kind)
    }

    fn used_parameters(&self) -> BTreeSet<&str> {
        let tasks = self.tasks.values().flat_map(|task| task.definition.config.values());
        tasks.chain(self.config.values()).flat_map(parameters::used).collect()
    }

    fn check_subset(&self, name: &str, faults: &mut Vec<Fault>) {
        let key = format!("subsets.{name}");
        if self.tasks.contains_key(name) {
            faults.push(self.fault(key.clone(), FaultKind::SubsetIsTask));
        }
        for label in &self.subsets[name] {
            if !self.tasks.contains_key(label) {
                faults.push(self.fault(key.clone(), self.no_task(label)));
            }
        }
    }
}

/// What an import takes of a file.
fn chosen(part: &Part, import: &Import, faults: &mut Vec<Fault>) -> Part {
    let mut find = |names: &[Name]| {
        let mut found = BTreeSet::new();
        for Name { text: name, key, place } in names {
            match part.named(name) {
                Some(labels) => found.extend(labels),
                None => faults.push(place.fault(key, part.no_such(name))),
            }
        }
        found
    };
    let mut part_chosen = part.clone();
    match &import.filter {
        Filter::All => {}
        Filter::Include(names) => {
            let included = find(names);
            part_chosen.tasks.retain(|label, _| included.contains(label));
        }
        Filter::Exclude(names) => {
            let excluded = find(names);
            part_chosen.tasks.retain(|label, _| !excluded.contains(label));
        }
    }
    let Part { parameters, tasks, subsets, contracts, .. } = &mut part_chosen;
    contracts.retain(|contract| {
        contract.contract.tasks().into_iter().all(|label| tasks.contains_key(label))
    });
    for labels in subsets.values_mut() {
        labels.retain(|label| tasks.contains_key(label));
    }
    subsets.retain(|_, labels| !labels.is_empty());
    if !matches!(import.filter, Filter::All) {
        let mut kept = std::mem::take(parameters);
        let used = part_chosen.used_parameters();
        kept.retain(|name, _| used.contains(&**name));
        part_chosen.parameters = kept;
    }
    // The commands of an imported file are beside that file.
    if let Some(folder) = import.location.parent().filter(|folder| !folder.as_str().is_empty()) {
        for task in part_chosen.tasks.values_mut() {
            relocate(&mut task.definition, folder);
        }
    }
    part_chosen
}

fn relocate(task: &mut TaskDefinition, folder: &Utf8Path) {
    for body in std::iter::once(&mut task.body).chain(&mut task.init.body) {
        if let TaskBody::Command(command) = body {
            command.relocate(folder);
        }
    }
    for template in task.env.values_mut() {
        *template = template.relocated(folder);
    }
}

/// Names in words.
pub(super) fn names<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    let names: Vec<S> = names.collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
