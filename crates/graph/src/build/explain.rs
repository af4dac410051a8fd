//! Why a quantum is in a graph, or not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use pantler_core::{
    CollectionName, DataId, DatasetTypeName, DimensionGroup, ElementName, KeyValue, QuantumId,
    TaskLabel, Universe,
};

use super::{BuildError, BuildScope, BuildSource, PartialDataId, needed_outputs};
use crate::{
    dataset::{DatasetOrigin, GraphDataset},
    graph::QuantumGraph,
    pipeline::{ResolvedInput, ResolvedPipeline, ResolvedTask},
};

/// What is known of the quanta of a task with some values of dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The task.
    pub task: TaskLabel,
    /// The values.
    pub data_id: PartialDataId,
    /// What there is, or why there is nothing.
    pub finding: Finding,
}

/// Why there is no quantum, or which there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The graph has them.
    Quanta(Vec<QuantumId>),
    /// The graph has it, although a collection has some of its outputs.
    Incomplete {
        /// The quantum.
        quantum: QuantumId,
        /// The collection.
        collection: CollectionName,
        /// The outputs that are not there.
        missing: Vec<String>,
    },
    /// It was skipped, since its outputs are in a collection.
    Skipped {
        /// The collection.
        collection: CollectionName,
    },
    /// It was not asked for.
    NotMeant,
    /// There is no record of a dimension for these values.
    NoRecord {
        /// The dimension.
        element: ElementName,
    },
    /// Inputs have no dataset that fits.
    Missing(Vec<MissingInput>),
    /// Prerequisites have no datasets that fit, or too few: building fails.
    MissingPrerequisites(Vec<LackedInput>),
    /// Inputs have fewer datasets that fit than there must be.
    TooFew(Vec<LackedInput>),
    /// Each input has datasets that fit, but none that fit together.
    NoCombination,
}

/// An input without a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInput {
    /// The connection.
    pub input: String,
    /// Its dataset type.
    pub dataset_type: DatasetTypeName,
    /// How many datasets of that type there are for other data IDs.
    pub others: usize,
    /// Why the task that makes it does not; `None` for an overall input.
    pub upstream: Option<Box<Explanation>>,
}

/// An input that is not there in sufficient number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackedInput {
    /// The connection.
    pub input: String,
    /// Its dataset type.
    pub dataset_type: DatasetTypeName,
    /// How many datasets there must be.
    pub minimum: u32,
    /// How many fit.
    pub fitting: usize,
    /// How many there are for other data IDs.
    pub others: usize,
}

/// Says why `graph`, which [`super::outline_part`] has made of the same source and scope,
/// has a quantum of `task` for `data_id` or not. `None` if the pipeline has no such task.
///
/// # Errors
/// [`BuildError`] if the source fails.
pub fn explain<S: BuildSource>(
    graph: &QuantumGraph,
    source: &S,
    scope: &BuildScope<'_>,
    task: &TaskLabel,
    data_id: &DataId,
) -> Result<Option<Explanation>, BuildError<S::Error>> {
    let pipeline = graph.pipeline();
    let Some(task) = pipeline.tasks().iter().find(|t| t.label == *task) else { return Ok(None) };
    let explainer = Explainer {
        graph,
        pipeline,
        universe: pipeline.universe(),
        scope,
        records: Records::read(pipeline, source)?,
        datasets: Datasets::of(graph, source)?,
        existing: existing(graph, source)?,
    };
    let values: Values = data_id.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    Ok(Some(explainer.explain(task, values)))
}

type Values = BTreeMap<ElementName, KeyValue>;

struct Explainer<'a> {
    graph: &'a QuantumGraph,
    pipeline: &'a ResolvedPipeline,
    universe: &'a Universe,
    scope: &'a BuildScope<'a>,
    records: Records,
    datasets: Datasets,
    existing: BTreeMap<TaskLabel, Vec<Existing>>,
}

/// Outputs of one quantum that exist.
struct Existing {
    data_id: Values,
    collection: CollectionName,
    missing: Vec<String>,
    is_skipped: bool,
}

impl Explainer<'_> {
    /// As deep as the pipeline, which has no cycles.
    fn explain(&self, task: &ResolvedTask, mut values: Values) -> Explanation {
        let finding = self.find(task, &mut values);
        let required = task.dimensions.required().iter();
        let shown = required.filter_map(|name| values.remove_entry(name));
        Explanation { task: task.label.clone(), data_id: PartialDataId(shown.collect()), finding }
    }

    fn find(&self, task: &ResolvedTask, values: &mut Values) -> Finding {
        let missing = self.records.imply(self.universe, &task.dimensions, values);
        let quanta = self.quanta(task, values);
        let existing = self.existing.get(&task.label).into_iter().flatten();
        let mut existing = existing.filter(|own| is_within(values, &own.data_id));
        // What an earlier part reads stands behind what the source has.
        let first = existing.next();
        let existing = match first {
            Some(first) if !first.is_skipped => existing.find(|own| own.is_skipped).or(Some(first)),
            first => first,
        };
        match (&quanta[..], existing) {
            ([quantum], Some(Existing { collection, missing, .. })) if !missing.is_empty() => {
                let (quantum, missing) = (*quantum, missing.clone());
                return Finding::Incomplete { quantum, collection: collection.clone(), missing };
            }
            ([], Some(Existing { collection, is_skipped: true, .. })) => {
                return Finding::Skipped { collection: collection.clone() };
            }
            ([], _) => {}
            _ => return Finding::Quanta(quanta),
        }
        if let Some(element) = missing {
            return Finding::NoRecord { element };
        }
        if !self.is_meant(task, values) {
            return Finding::NotMeant;
        }
        let mut missing = Vec::new();
        for input in task.inputs.iter().filter(|input| input.constrains()) {
            let all = self.datasets_of(input);
            if self.fitting(input, values).next().is_some() {
                continue;
            }
            let maker = self
                .pipeline
                .tasks()
                .iter()
                .find(|t| t.outputs.iter().any(|o| o.type_index == input.type_index));
            let upstream = maker.map(|maker| {
                let known =
                    values.iter().filter(|(name, _)| maker.dimensions.contains(name.as_str()));
                let known = known.map(|(n, v)| (n.clone(), v.clone())).collect();
                Box::new(self.explain(maker, known))
            });
            missing.push(MissingInput {
                input: input.name.clone(),
                dataset_type: input.dataset_type.name.clone(),
                others: all.len(),
                upstream,
            });
        }
        if missing.is_empty() {
            self.without_inputs(task, values)
        } else {
            Finding::Missing(missing)
        }
    }

    fn datasets_of(&self, input: &ResolvedInput) -> &[Values] {
        self.datasets.by_type.get(&input.dataset_type.name).map_or(&[], Vec::as_slice)
    }

    /// The datasets of an input that a quantum with these values may have.
    fn fitting(&self, input: &ResolvedInput, values: &Values) -> impl Iterator<Item = &Values> {
        let group = &input.dataset_type.dimensions;
        self.datasets_of(input).iter().filter(move |dataset| {
            let mut dataset = (*dataset).clone();
            let _unknown = self.records.imply(self.universe, group, &mut dataset);
            agree(&dataset, values)
        })
    }

    /// The inputs, or the prerequisites, that a quantum with these values lacks.
    fn lacked(
        &self,
        task: &ResolvedTask,
        values: &Values,
        prerequisites: bool,
    ) -> Vec<LackedInput> {
        let inputs = task.inputs.iter().filter(|input| input.prerequisite == prerequisites);
        let lacked = inputs.filter_map(|input| {
            let fitting = self.fitting(input, values).count();
            (fitting < input.minimum as usize).then(|| LackedInput {
                input: input.name.clone(),
                dataset_type: input.dataset_type.name.clone(),
                minimum: input.minimum,
                fitting,
                others: self.datasets_of(input).len() - fitting,
            })
        });
        lacked.collect()
    }

    /// All inputs are there: a dimension that none of them has may lack its record.
    fn without_inputs(&self, task: &ResolvedTask, values: &Values) -> Finding {
        for element in super::candidates::unconstrained(self.universe, task) {
            let element = &self.universe.elements()[element];
            if !self.records.has(self.universe, &element.name, values) {
                return Finding::NoRecord { element: element.name.clone() };
            }
        }
        let too_few = self.lacked(task, values, false);
        if !too_few.is_empty() {
            return Finding::TooFew(too_few);
        }
        match self.lacked(task, values, true) {
            missing if missing.is_empty() => Finding::NoCombination,
            missing => Finding::MissingPrerequisites(missing),
        }
    }

    fn quanta(&self, task: &ResolvedTask, values: &Values) -> Vec<QuantumId> {
        let Some((_, quanta)) = self.graph.tasks().find(|(t, _)| t.label == task.label) else {
            return Vec::new();
        };
        let matches = |view: &crate::QuantumView<'_>| {
            let mut own: Values =
                view.data_id.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            let _unknown = self.records.imply(self.universe, &task.dimensions, &mut own);
            agree(&own, values)
        };
        quanta.map(|q| self.graph.quantum(q)).filter(matches).map(|view| view.id).collect()
    }

    fn is_meant(&self, task: &ResolvedTask, values: &Values) -> bool {
        let parts = self.scope.restriction.map_or(&[][..], |restriction| restriction.parts());
        let value = |name: &ElementName| values.get(name);
        self.scope.has(task)
            && parts
                .iter()
                .filter(|part| part.dimensions().iter().all(|name| values.contains_key(name)))
                .all(|part| part.holds(&value))
    }
}

/// Whether they have the same values where both have one.
fn agree(a: &Values, b: &Values) -> bool {
    a.iter().all(|(name, value)| b.get(name).is_none_or(|other| other == value))
}

/// Records by element and key, with what they imply.
struct Records(BTreeMap<ElementName, HashMap<Vec<KeyValue>, Values>>);

impl Records {
    fn read<S: BuildSource>(
        pipeline: &ResolvedPipeline,
        source: &S,
    ) -> Result<Self, BuildError<S::Error>> {
        let universe = &**pipeline.universe();
        let groups = pipeline.tasks().iter().map(|task| &task.dimensions);
        let groups: Vec<_> =
            groups.chain(pipeline.overall_inputs().iter().map(|t| &t.dimensions)).collect();
        let mut records = BTreeMap::new();
        for element in universe.elements() {
            if !groups.iter().any(|group| group.contains(element.name.as_str())) {
                continue;
            }
            let found = source
                .dimension_records(&element.name)
                .map_err(|source| BuildError::Records { element: element.name.clone(), source })?;
            let found = found.into_iter().map(|record| {
                let implied = record.implied.into_iter().collect();
                (record.data_id.values().to_vec(), implied)
            });
            records.insert(element.name.clone(), found.collect());
        }
        Ok(Self(records))
    }

    /// Adds what `values` imply in `group`. Names a dimension whose record is missing
    /// although its key is known.
    fn imply(
        &self,
        universe: &Universe,
        group: &DimensionGroup,
        values: &mut Values,
    ) -> Option<ElementName> {
        // What implies stands after what is implied, so later elements come first.
        for element in universe.elements().iter().rev() {
            if element.implies.is_empty() || !group.contains(element.name.as_str()) {
                continue;
            }
            let key = universe.group_of(element);
            let key: Option<Vec<KeyValue>> =
                key.required().iter().map(|name| values.get(name).cloned()).collect();
            let Some(key) = key else { continue };
            match self.0.get(&element.name).and_then(|records| records.get(&key)) {
                Some(implied) => {
                    values.extend(implied.iter().map(|(n, v)| (n.clone(), v.clone())));
                }
                None => return Some(element.name.clone()),
            }
        }
        None
    }

    fn has(&self, universe: &Universe, element: &ElementName, values: &Values) -> bool {
        let Ok(found) = universe.element(element.as_str()) else { return false };
        let group = universe.group_of(found);
        self.0.get(element).is_some_and(|records| {
            records.keys().any(|key| {
                let mut own = group.required().iter().zip(key);
                own.all(|(name, value)| values.get(name).is_none_or(|wanted| wanted == value))
            })
        })
    }
}

/// What the source, or the graph, has of the outputs of each task.
fn existing<S: BuildSource>(
    graph: &QuantumGraph,
    source: &S,
) -> Result<BTreeMap<TaskLabel, Vec<Existing>>, BuildError<S::Error>> {
    let pipeline = graph.pipeline();
    let mut all = BTreeMap::new();
    for task in pipeline.tasks() {
        let found = source
            .existing_outputs(task)
            .map_err(|source| BuildError::Outputs { task: task.label.clone(), source })?;
        let skipped = graph.skipped().iter().filter(|own| own.task == task.label);
        let skipped: BTreeSet<u32> = skipped.flat_map(|own| own.positions.clone()).collect();
        let mut own: Vec<Existing> = Vec::with_capacity(found.len());
        for (position, found) in (0..).zip(found) {
            let is_there = |output: &&crate::ResolvedOutput| {
                found.datasets.iter().any(|d| d.dataset_type == output.dataset_type.name)
            };
            let missing = needed_outputs(pipeline, task).filter(|output| !is_there(output));
            own.push(Existing {
                data_id: values_of(&found.data_id),
                missing: missing.map(|output| output.name.clone()).collect(),
                collection: found.collection,
                is_skipped: skipped.contains(&position),
            });
        }
        all.insert(task.label.clone(), own);
    }
    // What an earlier part reads stays, whatever the source has now.
    for index in graph.overall_inputs() {
        let GraphDataset { dataset_type, data_id, origin, .. } = graph.dataset(index);
        let makes = |task: &&ResolvedTask| {
            task.outputs.iter().any(|output| output.dataset_type.name == dataset_type.name)
        };
        let maker = pipeline.tasks().iter().find(makes);
        if let (Some(task), DatasetOrigin::Existing { run, .. }) = (maker, origin) {
            let (data_id, missing) = (values_of(&data_id), Vec::new());
            let own = Existing { data_id, collection: run, missing, is_skipped: true };
            all.entry(task.label.clone()).or_default().push(own);
        }
    }
    Ok(all)
}

fn values_of(data_id: &DataId) -> Values {
    data_id.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a data ID has all these values, as far as it has the dimensions.
fn is_within(values: &Values, data_id: &Values) -> bool {
    data_id.iter().all(|(name, value)| values.get(name) == Some(value))
}

/// The data IDs that there are of each type: existing, and predicted in the graph.
struct Datasets {
    by_type: BTreeMap<DatasetTypeName, Vec<Values>>,
}

impl Datasets {
    fn of<S: BuildSource>(graph: &QuantumGraph, source: &S) -> Result<Self, BuildError<S::Error>> {
        let mut by_type: BTreeMap<DatasetTypeName, Vec<Values>> = BTreeMap::new();
        for dataset_type in graph.pipeline().overall_inputs() {
            let name = &dataset_type.name;
            let found = source
                .datasets(name)
                .map_err(|source| BuildError::Datasets { dataset_type: name.clone(), source })?;
            by_type.insert(name.clone(), found.iter().map(|d| values_of(&d.data_id)).collect());
        }
        for quantum in graph.quanta() {
            let view = graph.quantum(quantum);
            for output in &view.task.outputs {
                let name = output.dataset_type.name.clone();
                by_type.entry(name).or_default().push(values_of(&view.data_id));
            }
        }
        for skipped in graph.skipped() {
            let Some(task) = graph.pipeline().task(skipped.task.as_str()) else { continue };
            let found = source
                .existing_outputs(task)
                .map_err(|source| BuildError::Outputs { task: task.label.clone(), source })?;
            for position in &skipped.positions {
                for dataset in found.get(*position as usize).into_iter().flat_map(|o| &o.datasets) {
                    let own = by_type.entry(dataset.dataset_type.clone()).or_default();
                    own.push(values_of(&dataset.data_id));
                }
            }
        }
        Ok(Self { by_type })
    }
}

/// `flat`: fewer than 2 datasets (1) of type `flat` fit; 3 of other data IDs.
impl fmt::Display for LackedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, dataset_type, minimum, fitting, others } = self;
        let (datasets, fit) = match fitting {
            0 => ("no dataset".to_owned(), "fits"),
            fitting => (format!("fewer than {minimum} datasets ({fitting})"), "fit"),
        };
        write!(
            f,
            "`{input}`: {datasets} of type `{dataset_type}` {fit}; {others} of other data IDs"
        )
    }
}

/// One line for each task that has a say, those upstream further in.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Explanation {
    /// The quanta that there are, or would be.
    pub fn quanta(&self) -> &[QuantumId] {
        match &self.finding {
            Finding::Quanta(quanta) => quanta,
            Finding::Incomplete { quantum, .. } => std::slice::from_ref(quantum),
            _ => &[],
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        write!(f, "{indent}{} {}: ", self.task, self.data_id)?;
        match &self.finding {
            Finding::Quanta(quanta) => match &quanta[..] {
                [one] => write!(f, "there is quantum {one}"),
                more => write!(f, "there are {} quanta", more.len()),
            },
            Finding::Incomplete { quantum, collection, missing } => {
                let missing: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
                let missing = missing.join(", ");
                write!(
                    f,
                    "there is quantum {quantum}; {collection} has its outputs without {missing}"
                )
            }
            Finding::Skipped { collection } => {
                write!(f, "skipped, its outputs are in {collection}")
            }
            Finding::NotMeant => f.write_str("not asked for"),
            Finding::NoRecord { element } => {
                write!(f, "there is no record of dimension `{element}` for these values")
            }
            Finding::MissingPrerequisites(inputs) => {
                f.write_str("building fails, it lacks a prerequisite")?;
                for input in inputs {
                    write!(f, "\n{indent}  prerequisite {input}")?;
                }
                Ok(())
            }
            Finding::TooFew(inputs) => {
                f.write_str("no quantum")?;
                for input in inputs {
                    write!(f, "\n{indent}  input {input}")?;
                }
                Ok(())
            }
            Finding::NoCombination => {
                f.write_str("each input has datasets that fit, but none that fit together")
            }
            Finding::Missing(inputs) => {
                f.write_str("no quantum")?;
                for input in inputs {
                    let MissingInput { input, dataset_type, others, upstream } = input;
                    write!(
                        f,
                        "\n{indent}  input `{input}`: no dataset of type `{dataset_type}` fits; {others} of other data IDs"
                    )?;
                    if let Some(upstream) = upstream {
                        f.write_str("\n")?;
                        upstream.write(f, depth + 2)?;
                    }
                }
                Ok(())
            }
        }
    }
}
