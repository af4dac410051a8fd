//! A pipeline in a universe: dataset types, overall inputs, order of tasks.

use std::{collections::BTreeMap, sync::Arc};

use pantler_core::{
    DatasetType, DatasetTypeName, DimensionGroup, StorageClass, TaskLabel, Universe,
};

use super::{
    Fault, FaultKind, InputDefinition, Pipeline, PipelineError, TaskBody, TaskDefinition, Template,
    TemplateError, check, template::Placeholder,
};

/// A pipeline whose dataset types are known.
///
/// - tasks stand after those whose outputs they read;
/// - dataset types: first the overall inputs by name, then the outputs of each task.
#[derive(Debug, Clone)]
pub struct ResolvedPipeline {
    pipeline: Arc<Pipeline>,
    universe: Arc<Universe>,
    tasks: Vec<ResolvedTask>,
    dataset_types: Vec<Arc<DatasetType>>,
    overall_inputs: usize,
}

/// A task whose dataset types are known.
#[derive(Debug, Clone)]
pub struct ResolvedTask {
    /// Its label.
    pub label: TaskLabel,
    /// The dimensions of its quanta.
    pub dimensions: Arc<DimensionGroup>,
    /// Its definition.
    pub definition: TaskDefinition,
    /// What it reads, by connection name.
    pub inputs: Vec<ResolvedInput>,
    /// What it writes, by connection name; the last one is its log.
    pub outputs: Vec<ResolvedOutput>,
}

/// A connection to what a task reads.
#[derive(Debug, Clone)]
pub struct ResolvedInput {
    /// The connection.
    pub name: String,
    /// The dataset type.
    pub dataset_type: Arc<DatasetType>,
    /// Whether a quantum takes all datasets that agree with its data ID.
    pub multiple: bool,
    /// How many datasets a quantum must have: 0 for an optional input.
    pub minimum: u32,
    /// Whether it says nothing about which quanta there are, and building fails where it is
    /// missing.
    pub prerequisite: bool,
    /// Where the dataset type stands in the pipeline's list.
    pub(crate) type_index: usize,
}

/// A connection to what a task writes.
#[derive(Debug, Clone)]
pub struct ResolvedOutput {
    /// The connection; [`ResolvedTask::LOG`] for the log.
    pub name: String,
    /// The dataset type.
    pub dataset_type: Arc<DatasetType>,
    pub(crate) type_index: usize,
}

impl ResolvedInput {
    /// Whether quanta differ in how many datasets they have of it.
    pub(crate) fn varies(&self) -> bool {
        self.multiple || self.minimum == 0
    }

    /// Whether it says something about which quanta there are.
    pub(crate) fn constrains(&self) -> bool {
        self.minimum > 0 && !self.prerequisite
    }
}

impl ResolvedTask {
    /// The connection name of the log: no connection in a file can have it.
    pub const LOG: &'static str = "_log";

    /// Its log's dataset type.
    pub fn log(&self) -> &Arc<DatasetType> {
        &self.outputs.last().expect("every task has a log").dataset_type
    }
}

impl ResolvedPipeline {
    /// The pipeline as its file describes it.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// The universe that its dimensions are of.
    pub fn universe(&self) -> &Arc<Universe> {
        &self.universe
    }

    /// The tasks, each after those whose outputs it reads.
    pub fn tasks(&self) -> &[ResolvedTask] {
        &self.tasks
    }

    /// The task called `label`.
    pub fn task(&self, label: &str) -> Option<&ResolvedTask> {
        self.tasks.iter().find(|task| task.label.as_str() == label)
    }

    /// All dataset types: the overall inputs, then the outputs.
    pub fn dataset_types(&self) -> &[Arc<DatasetType>] {
        &self.dataset_types
    }

    /// The dataset types that no task makes, by name.
    pub fn overall_inputs(&self) -> &[Arc<DatasetType>] {
        &self.dataset_types[..self.overall_inputs]
    }

    /// Whether each task that reads a dataset type reads it as a prerequisite.
    pub fn is_prerequisite(&self, dataset_type: &DatasetTypeName) -> bool {
        let inputs = self.tasks.iter().flat_map(|task| &task.inputs);
        let mut readers =
            inputs.filter(|input| input.dataset_type.name == *dataset_type).peekable();
        readers.peek().is_some() && readers.all(|input| input.prerequisite)
    }

    /// The dataset types that tasks make, logs included.
    pub fn outputs(&self) -> &[Arc<DatasetType>] {
        &self.dataset_types[self.overall_inputs..]
    }
}

impl Pipeline {
    /// Finds the dataset types of the pipeline: outputs are as the pipeline says and
    /// must agree with `registered`, which gives what a repository has under a name;
    /// inputs that no task makes are as registered.
    ///
    /// # Errors
    /// [`PipelineError`] with every fault found.
    pub fn resolve(
        &self,
        universe: &Universe,
        registered: &dyn Fn(&DatasetTypeName) -> Option<Arc<DatasetType>>,
    ) -> Result<ResolvedPipeline, PipelineError> {
        let mut resolver = Resolver { pipeline: self, universe, faults: Vec::new() };
        let order = check::order(self);
        let groups: BTreeMap<&TaskLabel, Arc<DimensionGroup>> =
            order.iter().map(|label| (*label, resolver.dimensions(label))).collect();

        let mut outputs = Vec::new();
        for label in &order {
            resolver.outputs(label, &groups[*label], registered, &mut outputs);
        }
        let made: BTreeMap<DatasetTypeName, usize> =
            outputs.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        let mut inputs: BTreeMap<DatasetTypeName, Arc<DatasetType>> = BTreeMap::new();
        for input in self.tasks.values().flat_map(|task| task.inputs.values()) {
            let name = &input.dataset_type;
            if !made.contains_key(name)
                && let Some(found) = registered(name)
            {
                inputs.insert(name.clone(), found);
            }
        }
        let overall_inputs = inputs.len();
        let mut dataset_types: Vec<_> = inputs.into_values().collect();
        dataset_types.extend(outputs);
        let index: BTreeMap<DatasetTypeName, usize> =
            dataset_types.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();

        let mut tasks = Vec::with_capacity(order.len());
        for label in &order {
            tasks.push(resolver.task(label, &groups[*label], &dataset_types, &index));
        }
        resolver.contracts();
        if resolver.faults.is_empty() {
            return Ok(ResolvedPipeline {
                pipeline: Arc::new(self.clone()),
                universe: Arc::new(universe.clone()),
                tasks,
                dataset_types,
                overall_inputs,
            });
        }
        Err(PipelineError::sorted(resolver.faults))
    }
}

struct Resolver<'a> {
    pipeline: &'a Pipeline,
    universe: &'a Universe,
    faults: Vec<Fault>,
}

impl Resolver<'_> {
    fn dimensions(&mut self, label: &TaskLabel) -> Arc<DimensionGroup> {
        let names = &self.pipeline.tasks[label].dimensions;
        let key = format!("tasks.{label}.dimensions");
        self.group(&key, names)
    }

    fn group(
        &mut self,
        key: &str,
        names: &std::collections::BTreeSet<pantler_core::ElementName>,
    ) -> Arc<DimensionGroup> {
        self.universe.group(names).unwrap_or_else(|error| {
            self.fault(key.to_owned(), error.into());
            Arc::new(DimensionGroup::empty())
        })
    }

    /// Appends the outputs of a task, in the order of their connections, and its log.
    fn outputs(
        &mut self,
        label: &TaskLabel,
        group: &Arc<DimensionGroup>,
        registered: &dyn Fn(&DatasetTypeName) -> Option<Arc<DatasetType>>,
        outputs: &mut Vec<Arc<DatasetType>>,
    ) {
        let pipeline = self.pipeline;
        for (name, output) in &pipeline.tasks[label].outputs {
            let key = pipeline.key(label, "outputs", name);
            if let Some(names) = &output.dimensions {
                let own = self.group(&format!("{key}.dimensions"), names);
                if own != *group {
                    let kind = FaultKind::OutputDimensions {
                        output: own.to_string(),
                        task: group.to_string(),
                    };
                    self.fault(format!("{key}.dimensions"), kind);
                }
            }
            let wanted = DatasetType {
                name: output.dataset_type.clone(),
                dimensions: Arc::clone(group),
                storage_class: output.storage_class,
            };
            outputs.push(self.output(key, wanted, registered));
        }
        let log = DatasetType {
            name: label.log_dataset_type(),
            dimensions: Arc::clone(group),
            storage_class: StorageClass::Bytes,
        };
        outputs.push(self.output(format!("tasks.{label}"), log, registered));
    }

    fn output(
        &mut self,
        key: String,
        wanted: DatasetType,
        registered: &dyn Fn(&DatasetTypeName) -> Option<Arc<DatasetType>>,
    ) -> Arc<DatasetType> {
        if let Some(found) = registered(&wanted.name) {
            match found.check_same(&wanted) {
                Ok(()) => return found,
                Err(error) => self.fault(key, error.into()),
            }
        }
        Arc::new(wanted)
    }

    fn task(
        &mut self,
        label: &TaskLabel,
        group: &Arc<DimensionGroup>,
        dataset_types: &[Arc<DatasetType>],
        index: &BTreeMap<DatasetTypeName, usize>,
    ) -> ResolvedTask {
        let definition = &self.pipeline.tasks[label];
        let mut inputs = Vec::with_capacity(definition.inputs.len());
        for (name, input) in &definition.inputs {
            // What is wrong with an init-input is said once, of its task.
            let is_said = definition.init_of().is_some();
            let key = self.pipeline.key(label, "inputs", name);
            let Some(&type_index) = index.get(&input.dataset_type) else {
                let dataset_type = input.dataset_type.clone();
                let kind = match self.pipeline.left_out.get(&dataset_type) {
                    Some(task) => FaultKind::LeftOut { dataset_type, task: task.clone() },
                    None => FaultKind::MissingInput { dataset_type },
                };
                if !is_said {
                    self.fault(key, kind);
                }
                continue;
            };
            let dataset_type = Arc::clone(&dataset_types[type_index]);
            if definition.init.inputs.contains_key(name) {
                if !dataset_type.dimensions.required().is_empty() {
                    let kind = FaultKind::InitInputDimensions {
                        dataset_type: input.dataset_type.clone(),
                        dimensions: dataset_type.dimensions.to_string(),
                    };
                    self.fault(key, kind);
                }
            } else if !is_said && !input.multiple && !group.is_superset(&dataset_type.dimensions) {
                let kind = FaultKind::NeedsMultiple {
                    dataset_type: input.dataset_type.clone(),
                    input: dataset_type.dimensions.to_string(),
                    task: group.to_string(),
                };
                self.fault(key, kind);
            }
            let InputDefinition { multiple, minimum, prerequisite, .. } = *input;
            inputs.push(ResolvedInput {
                name: name.clone(),
                dataset_type,
                multiple,
                minimum,
                prerequisite,
                type_index,
            });
        }
        let output = |name: &str, dataset_type: &DatasetTypeName| {
            let type_index = index[dataset_type];
            let dataset_type = Arc::clone(&dataset_types[type_index]);
            ResolvedOutput { name: name.to_owned(), dataset_type, type_index }
        };
        let mut outputs: Vec<_> = definition
            .outputs
            .iter()
            .map(|(name, definition)| output(name, &definition.dataset_type))
            .collect();
        outputs.push(output(ResolvedTask::LOG, &label.log_dataset_type()));
        self.placeholders(label, group, definition);
        ResolvedTask {
            label: label.clone(),
            dimensions: Arc::clone(group),
            definition: definition.clone(),
            inputs,
            outputs,
        }
    }

    fn placeholders(
        &mut self,
        label: &TaskLabel,
        group: &DimensionGroup,
        definition: &TaskDefinition,
    ) {
        let mut templates: Vec<(String, &Template)> = Vec::new();
        let command_key = self.pipeline.key(label, "command", "");
        if let TaskBody::Command(command) = &definition.body {
            for (i, argument) in command.arguments().iter().enumerate() {
                templates.push((format!("{command_key}[{i}]"), argument));
            }
        }
        for (name, value) in &definition.env {
            templates.push((format!("tasks.{label}.env.{name}"), value));
        }
        for (key, template) in templates {
            for placeholder in template.placeholders() {
                if let Placeholder::DataId(dimension) = placeholder
                    && !group.required().contains(dimension)
                {
                    let error = TemplateError::NoSuch {
                        placeholder: format!("data_id.{dimension}"),
                        what: "dimension",
                        known: group.to_string(),
                    };
                    self.fault(key.clone(), error.into());
                }
            }
        }
    }

    fn contracts(&mut self) {
        let pipeline = self.pipeline;
        let configs = |task: &TaskLabel| {
            pipeline.tasks.get(task).map(|task| pipeline.config_of(task)).unwrap_or_default()
        };
        for standing in &pipeline.contracts {
            let contract = &standing.contract;
            let kind = match contract.holds(&configs) {
                Ok(true) => continue,
                Ok(false) => FaultKind::Broken {
                    contract: contract.text().to_owned(),
                    message: standing.message.clone(),
                    values: contract.values(&configs),
                },
                Err(error) => error.into(),
            };
            self.faults.push(standing.place.fault(&standing.key, kind));
        }
    }

    fn fault(&mut self, key: String, kind: FaultKind) {
        self.faults.push(self.pipeline.fault(key, kind));
    }
}

#[cfg(test)]
mod tests;
