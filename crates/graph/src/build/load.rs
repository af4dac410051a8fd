//! Existing datasets and dimension records as relations over codes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pantler_core::{CollectionName, DatasetType, DimensionGroup, Element, KeyValue, Universe};

use super::{
    BuildError, BuildSource,
    relation::{Index, Relation, sorted},
    skip::FoundQuanta,
};
use crate::{
    graph::{ExistingDataset, QuantumGraph},
    pipeline::ResolvedPipeline,
    values::{ValueTable, columns, narrow},
};

/// Everything that building reads, before the first join.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) values: ValueTable,
    /// For each overall input, its datasets by data ID.
    pub(super) inputs: Vec<LoadedType>,
    /// Records by element, with all dimensions that follow.
    pub(super) records: BTreeMap<usize, Relation>,
    pub(super) runs: Vec<CollectionName>,
    /// For each task, the quanta that are built already: required dimensions first, then
    /// implied ones; sorted.
    pub(super) built: Vec<Relation>,
    /// For each task, what exists of its outputs.
    pub(super) found: Vec<FoundQuanta>,
}

/// The datasets of a type: `relation` has the required dimensions first and is sorted by
/// them; `datasets` go with its rows.
#[derive(Debug)]
pub(super) struct LoadedType {
    pub(super) relation: Relation,
    pub(super) datasets: Vec<ExistingDataset>,
}

/// Gives values provisional codes in the order they come.
pub(super) struct Interner {
    codes: Vec<HashMap<KeyValue, u32>>,
}

impl Interner {
    pub(super) fn code(&mut self, dimension: usize, value: &KeyValue) -> u32 {
        let codes = &mut self.codes[dimension];
        if let Some(code) = codes.get(value) {
            return *code;
        }
        let code = narrow(codes.len());
        codes.insert(value.clone(), code);
        code
    }

    /// The sorted values, and the final code for each provisional one.
    fn finish(self) -> (ValueTable, Vec<Vec<u32>>) {
        let mut values = ValueTable::default();
        let mut maps = Vec::with_capacity(self.codes.len());
        for codes in self.codes {
            let mut sorted: Vec<(KeyValue, u32)> = codes.into_iter().collect();
            sorted.sort_unstable();
            let mut map = vec![0; sorted.len()];
            let mut column = Vec::with_capacity(sorted.len());
            for (value, provisional) in sorted {
                map[provisional as usize] = narrow(column.len());
                column.push(value);
            }
            values.columns.push(column);
            maps.push(map);
        }
        (values, maps)
    }
}

/// Reads the overall inputs and the records of `elements` and of all elements that imply
/// dimensions of the pipeline.
pub(super) fn load<S: BuildSource>(
    pipeline: &ResolvedPipeline,
    source: &S,
    elements: &BTreeSet<usize>,
    base: Option<&QuantumGraph>,
) -> Result<Loaded, BuildError<S::Error>> {
    let universe = &**pipeline.universe();
    let mut interner = Interner { codes: vec![HashMap::new(); universe.elements().len()] };
    let mut runs = Runs::default();
    let mut inputs = Vec::new();
    for dataset_type in pipeline.overall_inputs() {
        inputs.push(read_datasets(universe, source, dataset_type, &mut interner, &mut runs)?);
    }

    let mut built = built(pipeline, base, &mut interner);
    let mut found = Vec::with_capacity(pipeline.tasks().len());
    for task in pipeline.tasks() {
        found.push(FoundQuanta::read(pipeline, source, task, base, &mut interner, &mut runs)?);
    }

    let groups = pipeline.tasks().iter().map(|task| &task.dimensions);
    let mut needed = elements.clone();
    for group in groups.chain(pipeline.overall_inputs().iter().map(|t| &t.dimensions)) {
        needed.extend(implying(universe, group));
    }
    let mut direct = BTreeMap::new();
    for &element in &needed {
        let name = &universe.elements()[element];
        direct.insert(element, read_records(universe, source, name, &mut interner)?);
    }

    let (values, maps) = interner.finish();
    let recode = |relation: &mut Relation| {
        let maps: Vec<&[u32]> = relation.columns.iter().map(|c| &*maps[*c]).collect();
        relation.rows.recode(&maps);
    };
    direct.values_mut().for_each(recode);
    let implications = Implications::new(universe, &values, &direct);
    let mut records = BTreeMap::new();
    for &element in elements {
        let group = universe.group_of(&universe.elements()[element]);
        let key = columns(universe, group.required());
        let own = direct[&element].project(&key);
        records.insert(element, implications.complete(own, &group)?.0);
    }
    for (input, dataset_type) in inputs.iter_mut().zip(pipeline.overall_inputs()) {
        recode(&mut input.relation);
        let order = sorted(&input.relation.rows);
        let rows = input.relation.rows.take(&order);
        if let Some(i) = (1..rows.len()).find(|i| rows.row(i - 1) == rows.row(*i)) {
            let columns = &input.relation.columns;
            let data_id = values.data_id(&dataset_type.dimensions, columns, rows.row(i));
            let mut ids = [i - 1, i].map(|i| input.datasets[order[i] as usize].id);
            ids.sort_unstable();
            return Err(BuildError::Duplicate {
                dataset_type: dataset_type.name.clone(),
                data_id: Box::new(data_id),
                first: ids[0],
                second: ids[1],
            });
        }
        let own = Relation { columns: input.relation.columns.clone(), rows };
        let (relation, kept) = implications.complete(own, &dataset_type.dimensions)?;
        let mut datasets: Vec<_> = input.datasets.drain(..).map(Some).collect();
        input.datasets = kept
            .into_iter()
            .map(|i| datasets[order[i as usize] as usize].take().expect("each row comes once"))
            .collect();
        input.relation = relation;
    }
    for (relation, task) in built.iter_mut().zip(pipeline.tasks()) {
        recode(relation);
        let own = relation.project(&relation.columns);
        *relation = implications.complete(own, &task.dimensions)?.0;
    }
    for (found, task) in found.iter_mut().zip(pipeline.tasks()) {
        found.sort(recode);
        let before = found.before.project(&found.before.columns);
        found.before = implications.complete(before, &task.dimensions)?.0;
    }
    Ok(Loaded { values, inputs, records, runs: runs.names, built, found })
}

/// The quanta of an earlier graph of the same pipeline.
fn built(
    pipeline: &ResolvedPipeline,
    base: Option<&QuantumGraph>,
    interner: &mut Interner,
) -> Vec<Relation> {
    let universe = &**pipeline.universe();
    let mut built: Vec<Relation> = pipeline
        .tasks()
        .iter()
        .map(|task| Relation::new(columns(universe, task.dimensions.required())))
        .collect();
    let Some(base) = base else { return built };
    let codes: Vec<Vec<u32>> = base
        .values
        .columns
        .iter()
        .enumerate()
        .map(|(c, values)| values.iter().map(|value| interner.code(c, value)).collect())
        .collect();
    for (relation, nodes) in built.iter_mut().zip(&base.tasks) {
        for row in nodes.rows.iter() {
            let columns = nodes.columns.iter();
            relation.rows.push(columns.zip(row).map(|(c, code)| codes[*c][*code as usize]));
        }
    }
    built
}

/// The elements of `group` that imply others.
fn implying(universe: &Universe, group: &DimensionGroup) -> Vec<usize> {
    let mut elements = columns(universe, group.names());
    elements.retain(|e| !universe.elements()[*e].implies.is_empty());
    elements
}

/// The RUNs of existing datasets, numbered as they come.
#[derive(Default)]
pub(super) struct Runs {
    names: Vec<CollectionName>,
    index: HashMap<CollectionName, u32>,
}

impl Runs {
    pub(super) fn index(&mut self, name: &CollectionName) -> u32 {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let index = narrow(self.names.len());
        self.names.push(name.clone());
        self.index.insert(name.clone(), index);
        index
    }
}

fn read_datasets<S: BuildSource>(
    universe: &Universe,
    source: &S,
    dataset_type: &DatasetType,
    interner: &mut Interner,
    runs: &mut Runs,
) -> Result<LoadedType, BuildError<S::Error>> {
    let name = &dataset_type.name;
    let required = dataset_type.dimensions.required();
    let found = source
        .datasets(name)
        .map_err(|source| BuildError::Datasets { dataset_type: name.clone(), source })?;
    let mut relation = Relation::new(columns(universe, required));
    let mut datasets = Vec::with_capacity(found.len());
    for dataset in found {
        if dataset.data_id.group().required() != required {
            return Err(BuildError::DataId {
                id: dataset.id,
                dataset_type: name.clone(),
                data_id: Box::new(dataset.data_id),
                dimensions: dataset_type.dimensions.to_string(),
            });
        }
        let codes = relation.columns.iter().zip(dataset.data_id.values());
        let codes: Vec<_> = codes.map(|(c, value)| interner.code(*c, value)).collect();
        relation.rows.push(codes);
        let run = runs.index(&dataset.run);
        datasets.push(ExistingDataset { id: dataset.id, run, artifact: dataset.artifact });
    }
    Ok(LoadedType { relation, datasets })
}

/// The records of an element: its required dimensions, then those it implies itself.
fn read_records<S: BuildSource>(
    universe: &Universe,
    source: &S,
    element: &Element,
    interner: &mut Interner,
) -> Result<Relation, BuildError<S::Error>> {
    let group = universe.group_of(element);
    let key = columns(universe, group.required());
    let implied = columns(universe, &element.implies);
    let mut relation = Relation::new(key.iter().chain(&implied).copied().collect());
    let found = source
        .dimension_records(&element.name)
        .map_err(|source| BuildError::Records { element: element.name.clone(), source })?;
    for record in found {
        let lacks = |name: &pantler_core::ElementName| BuildError::MissingRecord {
            element: element.name.clone(),
            data_id: record.data_id.to_string(),
            implied: name.clone(),
        };
        let mut row = Vec::with_capacity(relation.columns.len());
        for (name, column) in group.required().iter().zip(&key) {
            let value = record.data_id.get(name.as_str()).ok_or_else(|| lacks(name))?;
            row.push(interner.code(*column, value));
        }
        for (name, column) in element.implies.iter().zip(&implied) {
            let value = record.implied.get(name).ok_or_else(|| lacks(name))?;
            row.push(interner.code(*column, value));
        }
        relation.rows.push(row);
    }
    Ok(relation)
}

/// Finds implied values from records.
struct Implications<'a> {
    universe: &'a Universe,
    values: &'a ValueTable,
    /// Records and their index by key, by element.
    records: BTreeMap<usize, (&'a Relation, Vec<usize>, Index)>,
}

impl<'a> Implications<'a> {
    fn new(
        universe: &'a Universe,
        values: &'a ValueTable,
        direct: &'a BTreeMap<usize, Relation>,
    ) -> Self {
        let mut records = BTreeMap::new();
        for (&element, relation) in direct {
            let group = universe.group_of(&universe.elements()[element]);
            let key = columns(universe, group.required());
            let index = Index::new(relation, &key);
            records.insert(element, (relation, key, index));
        }
        Self { universe, values, records }
    }

    /// Adds the implied dimensions of `group` to `relation`, which has the required ones.
    /// Rows that contradict a record are dropped; gives the numbers of those that stay.
    fn complete<E: std::error::Error + 'static>(
        &self,
        relation: Relation,
        group: &DimensionGroup,
    ) -> Result<(Relation, Vec<u32>), BuildError<E>> {
        let all = (0..narrow(relation.rows.len())).collect();
        if group.implied().is_empty() {
            return Ok((relation, all));
        }
        // What implies stands after what is implied, so later elements come first.
        let mut elements = implying(self.universe, group);
        elements.sort_unstable_by(|a, b| b.cmp(a));
        let mut full = Relation::new(columns(self.universe, group.names()));
        let mut kept = Vec::with_capacity(relation.rows.len());
        let steps: Vec<_> = elements
            .iter()
            .map(|element| {
                let (records, key, index) = &self.records[element];
                let key = full.positions(key);
                let targets = full.positions(&records.columns[key.len()..]);
                (*element, records, key, targets, index)
            })
            .collect();
        let mut row: Vec<Option<u32>> = Vec::new();
        let mut key_codes = Vec::new();
        'rows: for (number, known) in relation.rows.iter().enumerate() {
            row.clear();
            row.extend(known.iter().map(|code| Some(*code)));
            row.resize(full.columns.len(), None);
            for (element, records, key, targets, index) in &steps {
                key_codes.clear();
                key_codes.extend(key.iter().filter_map(|p| row[*p]));
                let found = if key_codes.len() == key.len() { index.get(&key_codes) } else { &[] };
                let Some(&record) = found.first() else {
                    return Err(self.missing(*element, &full.columns, &row));
                };
                let record = &records.rows.row(record as usize)[key.len()..];
                for (target, code) in targets.iter().zip(record) {
                    if row[*target].replace(*code).is_some_and(|before| before != *code) {
                        continue 'rows;
                    }
                }
            }
            kept.push(narrow(number));
            full.rows.push(row.iter().map(|code| code.expect("some element implies it")));
        }
        Ok((full, kept))
    }

    fn missing<E: std::error::Error + 'static>(
        &self,
        element: usize,
        columns: &[usize],
        row: &[Option<u32>],
    ) -> BuildError<E> {
        let element = &self.universe.elements()[element];
        let known = columns.iter().zip(row).filter_map(|(c, code)| {
            let name = &self.universe.elements()[*c].name;
            code.map(|code| format!("{name}={}", self.values.value(*c, code)))
        });
        BuildError::MissingRecord {
            element: element.name.clone(),
            data_id: known.collect::<Vec<_>>().join(" "),
            implied: element.implies[0].clone(),
        }
    }
}
