//! From a tree of nodes to a [`Pipeline`]: fields, types and names. Every fault is
//! collected, so that a person corrects a file once.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use camino::Utf8Path;
use pantler_core::{ElementName, NameError, StorageClass, TaskLabel};

use super::{
    CommandTemplate, ConfigValue, Fault, FaultKind, InitDefinition, InputDefinition,
    OutputDefinition, Pipeline, PipelineError, TaskBody, TaskDefinition, Template, check, init,
    node::{Entry, Node, SyntaxError, Value, join},
    place::{Place, Places},
    sections::Sections,
};

const VERSION: i64 = 1;

/// The fields of a file that a person writes.
const FILE: &[&str] =
    &["version", "parameters", "imports", "config", "tasks", "subsets", "contracts"];
/// Those of an effective pipeline.
const EFFECTIVE: &[&str] = &["version", "config", "tasks"];

pub(super) type Tasks = BTreeMap<TaskLabel, TaskDefinition>;
pub(super) type Config = BTreeMap<String, ConfigValue>;

/// What stands in one file.
#[derive(Debug)]
pub(super) struct ParsedFile {
    pub(super) config: Config,
    pub(super) tasks: Tasks,
    pub(super) sections: Sections,
    pub(super) places: Places,
}

/// Reads a file; `None` if it has faults, which are appended to `faults`.
pub(super) fn file(text: &str, file: &Utf8Path, faults: &mut Vec<Fault>) -> Option<ParsedFile> {
    match Node::from_yaml(text) {
        Ok(root) => from_node(&root, file, FILE, faults),
        Err(error) => {
            faults.push(syntax_fault(file, error));
            None
        }
    }
}

/// Reads the JSON of an effective pipeline.
pub(super) fn effective(
    root: &Node,
    source: &str,
    file: &Utf8Path,
) -> Result<Pipeline, PipelineError> {
    let mut faults = Vec::new();
    let Some(parsed) = from_node(root, file, EFFECTIVE, &mut faults) else {
        return Err(PipelineError { faults });
    };
    checked(Pipeline {
        file: file.to_owned(),
        source: source.to_owned(),
        config: parsed.config,
        tasks: parsed.tasks,
        contracts: Vec::new(),
        left_out: BTreeMap::new(),
        places: parsed.places,
    })
}

/// The pipeline with its init steps, if nothing is wrong with it as a whole.
pub(super) fn checked(mut pipeline: Pipeline) -> Result<Pipeline, PipelineError> {
    let mut faults = init::expand(&mut pipeline);
    if faults.is_empty() {
        faults = check::check(&pipeline);
    }
    if faults.is_empty() { Ok(pipeline) } else { Err(PipelineError::sorted(faults)) }
}

pub(super) fn syntax_fault(file: &Utf8Path, error: SyntaxError) -> Fault {
    let SyntaxError { line, message } = error;
    Fault { file: file.to_owned(), line, key: String::new(), kind: FaultKind::Syntax(message) }
}

/// The configuration values in a file that has nothing else.
pub(super) fn config_file(text: &str, file: &Utf8Path) -> Result<(Config, Places), Vec<Fault>> {
    let root = Node::from_yaml(text).map_err(|error| vec![syntax_fault(file, error)])?;
    let mut parser = Parser::new(&root, file);
    let config = parser.config("", &root);
    if parser.faults.is_empty() { Ok((config, parser.places())) } else { Err(parser.faults) }
}

fn from_node(
    root: &Node,
    file: &Utf8Path,
    known: &[&str],
    faults: &mut Vec<Fault>,
) -> Option<ParsedFile> {
    let mut parser = Parser::new(root, file);
    let (config, tasks, sections) = parser.pipeline(root, known);
    if parser.faults.is_empty() {
        return Some(ParsedFile { config, tasks, sections, places: parser.places() });
    }
    // Found field by field, told line by line.
    parser.faults.sort_by_key(|fault| fault.line);
    faults.append(&mut parser.faults);
    None
}

#[derive(Debug)]
pub(super) struct Parser {
    file: Arc<Utf8Path>,
    lines: BTreeMap<String, u32>,
    faults: Vec<Fault>,
}

impl Parser {
    fn new(root: &Node, file: &Utf8Path) -> Self {
        let mut lines = BTreeMap::from([(String::new(), root.line)]);
        root.collect_lines("", &mut lines);
        Self { file: file.to_owned().into(), lines, faults: Vec::new() }
    }

    fn places(&mut self) -> Places {
        Places::of_file(&self.file, std::mem::take(&mut self.lines))
    }

    fn pipeline(&mut self, root: &Node, known: &[&str]) -> (Config, Tasks, Sections) {
        let fields = self.fields("", root, known);
        match fields.get("version").map(|node| &node.value) {
            Some(Value::Integer(VERSION)) => {}
            Some(Value::Integer(found)) => {
                // Nothing else can be said about another version.
                self.faults.clear();
                self.fault("version", FaultKind::Version { found: found.to_string() });
                return Default::default();
            }
            Some(_) => self.type_fault("version", fields["version"], "the number 1"),
            None => self.fault("", FaultKind::MissingField("version")),
        }
        let sections = self.sections(&fields);
        let config = fields.get("config").map(|node| self.config("config", node));
        let mut tasks = BTreeMap::new();
        match fields.get("tasks") {
            None if !fields.contains_key("imports") => {
                self.fault("", FaultKind::MissingField("tasks"));
            }
            None => {}
            Some(node) => {
                let entries = self.map("tasks", node);
                if entries.is_empty()
                    && !fields.contains_key("imports")
                    && matches!(node.value, Value::Map(_))
                {
                    self.fault("tasks", FaultKind::NoTasks);
                }
                for (key, node) in entries {
                    let path = join("tasks", key);
                    let label = self.name::<TaskLabel>(&path, key);
                    let task = self.task(&path, node);
                    if let (Some(label), Some(task)) = (label, task) {
                        tasks.insert(label, task);
                    }
                }
            }
        }
        (config.unwrap_or_default(), tasks, sections)
    }

    fn task(&mut self, path: &str, node: &Node) -> Option<TaskDefinition> {
        let fields = self.fields(
            path,
            node,
            &[
                "dimensions",
                "inputs",
                "outputs",
                "config",
                "env",
                "pass_env",
                "version",
                "command",
                "task",
                "init_inputs",
                "init_outputs",
                "init_command",
                "init_task",
            ],
        );
        if !matches!(node.value, Value::Map(_)) {
            return None;
        }
        let at = |field: &str| join(path, field);
        let dimensions = if let Some(node) = fields.get("dimensions") {
            self.dimensions(&at("dimensions"), node)
        } else {
            self.fault(path, FaultKind::MissingField("dimensions"));
            BTreeSet::new()
        };
        let mut inputs = BTreeMap::new();
        for (name, node) in self.optional_map(&at("inputs"), fields.get("inputs")) {
            let path = join(&at("inputs"), name);
            self.identifier(&path, "connection", name);
            if let Some(input) = self.input(&path, node) {
                inputs.insert(name.to_owned(), input);
            }
        }
        let mut outputs = BTreeMap::new();
        for (name, node) in self.optional_map(&at("outputs"), fields.get("outputs")) {
            let path = join(&at("outputs"), name);
            self.identifier(&path, "connection", name);
            if let Some(output) = self.output(&path, node) {
                outputs.insert(name.to_owned(), output);
            }
        }
        let config = fields.get("config").map(|node| self.config(&at("config"), node));
        let mut env = BTreeMap::new();
        for (name, node) in self.optional_map(&at("env"), fields.get("env")) {
            let path = join(&at("env"), name);
            self.variable(&path, name);
            if let Some(template) = self.template(&path, node) {
                env.insert(name.to_owned(), template);
            }
        }
        let mut pass_env = Vec::new();
        if let Some(node) = fields.get("pass_env") {
            for (path, item) in self.list(&at("pass_env"), node) {
                if let Some(name) = self.text(&path, item) {
                    self.variable(&path, name);
                    pass_env.push(name.to_owned());
                }
            }
        }
        let version =
            fields.get("version").and_then(|node| self.task_version(&at("version"), node));
        let init = self.init(path, &fields);
        let field = |name: &'static str| (name, fields.get(name).copied());
        if field("command").1.is_none() && field("task").1.is_none() {
            self.fault(path, FaultKind::NoBody);
        }
        let body = self.body(path, field("command"), field("task"))?;
        Some(TaskDefinition {
            dimensions,
            inputs,
            outputs,
            config: config.unwrap_or_default(),
            env,
            pass_env,
            version,
            body,
            init,
            init_of: None,
        })
    }

    fn init(&mut self, path: &str, fields: &BTreeMap<&str, &Node>) -> InitDefinition {
        let mut init = InitDefinition::default();
        let at = join(path, "init_inputs");
        for (name, node) in self.optional_map(&at, fields.get("init_inputs")) {
            let path = join(&at, name);
            self.identifier(&path, "connection", name);
            let dataset_type = match &node.value {
                Value::String(text) => self.name(&path, text),
                Value::Map(_) => {
                    let fields = self.fields(&path, node, &["type"]);
                    self.required_name(&path, &fields, "type")
                }
                _ => {
                    self.type_fault(&path, node, "a dataset type or a map with `type`");
                    None
                }
            };
            init.inputs.extend(dataset_type.map(|dataset_type| (name.to_owned(), dataset_type)));
        }
        let at = join(path, "init_outputs");
        for (name, node) in self.optional_map(&at, fields.get("init_outputs")) {
            let path = join(&at, name);
            self.identifier(&path, "connection", name);
            if let Some(output) = self.output(&path, node) {
                if output.dimensions.is_some() {
                    self.fault(&join(&path, "dimensions"), FaultKind::InitOutputDimensions);
                }
                init.outputs.insert(name.to_owned(), output);
            }
        }
        let field = |name: &'static str| (name, fields.get(name).copied());
        init.body = self.body(path, field("init_command"), field("init_task"));
        init
    }

    /// A number with a point would lose zeros: 1.10 is not 1.1.
    fn task_version(&mut self, path: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Integer(number) => Some(number.to_string()),
            Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => {
                Some(text.clone())
            }
            _ => {
                self.type_fault(path, node, "a text in quotes or an integer");
                None
            }
        }
    }

    /// One of two fields, each with its name; `None` if there is neither.
    fn body(
        &mut self,
        path: &str,
        (command_field, command): (&'static str, Option<&Node>),
        (task_field, task): (&'static str, Option<&Node>),
    ) -> Option<TaskBody> {
        match (command, task) {
            (None, None) => {}
            (Some(_), Some(_)) => {
                let kind = FaultKind::TwoBodies { command: command_field, task: task_field };
                self.fault(&join(path, task_field), kind);
            }
            (Some(node), None) => {
                let path = join(path, command_field);
                let items = self.list(&path, node);
                if items.is_empty() && matches!(node.value, Value::List(_)) {
                    self.fault(&path, FaultKind::EmptyCommand);
                }
                let mut arguments = Vec::with_capacity(items.len());
                for (i, (path, item)) in items.iter().enumerate() {
                    if i == 0 && matches!(&item.value, Value::String(text) if text.is_empty()) {
                        self.fault(path, FaultKind::EmptyCommand);
                    }
                    arguments.extend(self.template(path, item));
                }
                return Some(TaskBody::Command(CommandTemplate::new(arguments)));
            }
            (None, Some(node)) => {
                let path = join(path, task_field);
                let name = self.text(&path, node)?;
                self.identifier(&path, "task", name);
                return Some(TaskBody::Rust(name.to_owned()));
            }
        }
        None
    }

    fn input(&mut self, path: &str, node: &Node) -> Option<InputDefinition> {
        if let Value::String(name) = &node.value {
            let dataset_type = self.name(path, name)?;
            let (multiple, minimum, prerequisite) = (false, 1, false);
            return Some(InputDefinition { dataset_type, multiple, minimum, prerequisite });
        }
        if !matches!(node.value, Value::Map(_)) {
            self.type_fault(path, node, "a dataset type or a map with `type`");
            return None;
        }
        let known = &["type", "multiple", "optional", "minimum", "prerequisite"];
        let fields = self.fields(path, node, known);
        let mut flag = |name| match fields.get(name) {
            None => false,
            Some(Node { value: Value::Boolean(value), .. }) => *value,
            Some(node) => {
                self.type_fault(&join(path, name), node, "true or false");
                false
            }
        };
        let (multiple, optional) = (flag("multiple"), flag("optional"));
        let prerequisite = flag("prerequisite");
        let minimum = match fields.get("minimum") {
            None => u32::from(!optional),
            Some(node) => self.minimum(&join(path, "minimum"), node, multiple, optional)?,
        };
        let dataset_type = self.required_name(path, &fields, "type")?;
        Some(InputDefinition { dataset_type, multiple, minimum, prerequisite })
    }

    fn minimum(&mut self, path: &str, node: &Node, multiple: bool, optional: bool) -> Option<u32> {
        let Value::Integer(minimum) = node.value else {
            self.type_fault(path, node, "a number of datasets");
            return None;
        };
        let found = u32::try_from(minimum).ok().filter(|minimum| *minimum > 0);
        match found {
            _ if !multiple => self.fault(path, FaultKind::MinimumOfOne),
            _ if optional => self.fault(path, FaultKind::MinimumOfOptional),
            None => self.fault(path, FaultKind::Minimum(minimum)),
            Some(minimum) => return Some(minimum),
        }
        None
    }

    fn output(&mut self, path: &str, node: &Node) -> Option<OutputDefinition> {
        let fields = self.fields(path, node, &["type", "storage_class", "dimensions"]);
        if !matches!(node.value, Value::Map(_)) {
            return None;
        }
        let dimensions =
            fields.get("dimensions").map(|node| self.dimensions(&join(path, "dimensions"), node));
        let storage_class = match fields.get("storage_class") {
            None => {
                self.fault(path, FaultKind::MissingField("storage_class"));
                None
            }
            Some(node) => {
                let path = join(path, "storage_class");
                let text = self.text(&path, node)?;
                let class = StorageClass::from_str(text);
                class.map_err(|e| self.fault(&path, FaultKind::StorageClass(e))).ok()
            }
        };
        let dataset_type = self.required_name(path, &fields, "type")?;
        Some(OutputDefinition { dataset_type, storage_class: storage_class?, dimensions })
    }

    fn dimensions(&mut self, path: &str, node: &Node) -> BTreeSet<ElementName> {
        let mut names = BTreeSet::new();
        for (path, item) in self.list(path, node) {
            let name =
                self.text(&path, item).and_then(|text| self.name::<ElementName>(&path, text));
            if let Some(name) = name
                && !names.insert(name.clone())
            {
                self.fault(&path, FaultKind::DuplicateDimension(name.to_string()));
            }
        }
        names
    }

    pub(super) fn config(&mut self, path: &str, node: &Node) -> Config {
        let mut config = BTreeMap::new();
        for (key, node) in self.map(path, node) {
            let path = join(path, key);
            self.identifier(&path, "configuration", key);
            let value = match &node.value {
                Value::Boolean(value) => ConfigValue::Boolean(*value),
                Value::Integer(value) => ConfigValue::Integer(*value),
                Value::Float(value) if value.is_finite() => ConfigValue::Float(*value),
                Value::String(value) => ConfigValue::String(value.clone()),
                _ => {
                    self.type_fault(&path, node, "a text, a finite number, true or false");
                    continue;
                }
            };
            config.insert(key.to_owned(), value);
        }
        config
    }

    fn template(&mut self, path: &str, node: &Node) -> Option<Template> {
        let text = self.text(path, node)?;
        Template::parse(text).map_err(|error| self.fault(path, error.into())).ok()
    }

    /// The fields of a map, each once; others than `known` are faults.
    pub(super) fn fields<'n>(
        &mut self,
        path: &str,
        node: &'n Node,
        known: &[&str],
    ) -> BTreeMap<&'n str, &'n Node> {
        let fields = self.map(path, node);
        for (key, _) in &fields {
            if !known.contains(key) {
                let known = known.join(", ");
                self.fault(&join(path, key), FaultKind::UnknownField { known });
            }
        }
        fields.into_iter().collect()
    }

    pub(super) fn map<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(&'n str, &'n Node)> {
        let Value::Map(entries) = &node.value else {
            self.type_fault(path, node, "a map");
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        for Entry { key, .. } in entries {
            if !seen.insert(key) {
                self.fault(&join(path, key), FaultKind::DuplicateKey);
            }
        }
        entries.iter().map(|entry| (entry.key.as_str(), &entry.node)).collect()
    }

    fn optional_map<'n>(
        &mut self,
        path: &str,
        node: Option<&&'n Node>,
    ) -> Vec<(&'n str, &'n Node)> {
        node.map(|node| self.map(path, node)).unwrap_or_default()
    }

    pub(super) fn list<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(String, &'n Node)> {
        let Value::List(items) = &node.value else {
            self.type_fault(path, node, "a list");
            return Vec::new();
        };
        items.iter().enumerate().map(|(i, item)| (format!("{path}[{i}]"), item)).collect()
    }

    pub(super) fn text<'n>(&mut self, path: &str, node: &'n Node) -> Option<&'n str> {
        if let Value::String(text) = &node.value {
            if !text.contains('\0') {
                return Some(text);
            }
            self.fault(path, FaultKind::Type { expected: "a text", found: "a text with a NUL" });
            return None;
        }
        // 01 and 1.50 would come back changed, so numbers are not taken as texts.
        self.type_fault(path, node, "a text (put quotes around it)");
        None
    }

    fn required_name<T: FromStr<Err = NameError>>(
        &mut self,
        path: &str,
        fields: &BTreeMap<&str, &Node>,
        field: &'static str,
    ) -> Option<T> {
        let Some(node) = fields.get(field) else {
            self.fault(path, FaultKind::MissingField(field));
            return None;
        };
        let path = join(path, field);
        let text = self.text(&path, node)?;
        self.name(&path, text)
    }

    pub(super) fn name<T: FromStr<Err = NameError>>(
        &mut self,
        path: &str,
        text: &str,
    ) -> Option<T> {
        text.parse().map_err(|error: NameError| self.fault(path, error.into())).ok()
    }

    pub(super) fn identifier(&mut self, path: &str, what: &'static str, name: &str) {
        if ElementName::new(name).is_err() {
            let pattern = "[a-z][a-z0-9_]* (63 characters at most)";
            self.fault(path, FaultKind::Identifier { what, pattern, name: name.to_owned() });
        }
    }

    fn variable(&mut self, path: &str, name: &str) {
        let mut bytes = name.bytes();
        let start = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !start || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let (what, pattern) = ("environment variable", "[A-Za-z_][A-Za-z0-9_]*");
            self.fault(path, FaultKind::Identifier { what, pattern, name: name.to_owned() });
        }
    }

    pub(super) fn type_fault(&mut self, path: &str, node: &Node, expected: &'static str) {
        self.fault(path, FaultKind::Type { expected, found: node.kind() });
    }

    pub(super) fn fault(&mut self, path: &str, kind: FaultKind) {
        let fault = self.place(path).fault(path, kind);
        self.faults.push(fault);
    }

    /// Where `path`, or the nearest key above it, stands.
    pub(super) fn place(&self, path: &str) -> Place {
        let mut key = path;
        let line = loop {
            if let Some(line) = self.lines.get(key) {
                break *line;
            }
            key = key.rfind(['.', '[']).map_or("", |end| &key[..end]);
        };
        Place { file: Arc::clone(&self.file), line }
    }
}

#[cfg(test)]
mod tests;
