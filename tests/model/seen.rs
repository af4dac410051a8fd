//! What can be seen of a repository, and whether it is what the model says.

use std::collections::{BTreeMap, BTreeSet};

use pantler::{
    core::{Checksum, CollectionType, DatasetId, FileRecord, transaction::TransactionRow},
    direct::{
        DirectButler,
        check::{CheckOptions, check_with},
    },
    registry::{DatasetQuery, RegistryError},
};

use super::{
    operation::Cell,
    state::{Model, State, Stored, UNNAMED},
    world,
};

/// What the butler answers.
pub(super) struct Seen {
    runs: BTreeSet<u8>,
    tags: BTreeMap<u8, BTreeSet<DatasetId>>,
    chains: BTreeMap<u8, Vec<u8>>,
    datasets: BTreeMap<Cell, (DatasetId, Option<FileRecord>)>,
    transactions: Vec<TransactionRow>,
    /// Dataset → the transaction that manages it.
    managed: BTreeMap<DatasetId, String>,
    pub(super) disk: BTreeMap<String, Vec<u8>>,
    /// What check finds: (code, subject).
    findings: BTreeSet<(String, String)>,
    counts: [usize; 4],
}

impl Seen {
    pub(super) fn look(butler: &DirectButler) -> Result<Self, String> {
        let failed = |error: &dyn std::error::Error| world::chain(error);
        let (collections, tagged) = butler
            .registry()
            .read(|reader| {
                let collections = reader.collections()?;
                let mut tagged = BTreeMap::new();
                for collection in &collections {
                    if collection.collection_type == CollectionType::Tagged {
                        let runs = Some(vec![collection.name.clone()]);
                        let query = DatasetQuery { runs, ..DatasetQuery::default() };
                        tagged.insert(collection.name.clone(), reader.datasets(&query)?);
                    }
                }
                Ok::<_, RegistryError>((collections, tagged))
            })
            .map_err(|e| failed(&e))?;
        let mut seen = Self {
            runs: BTreeSet::new(),
            tags: BTreeMap::new(),
            chains: BTreeMap::new(),
            datasets: BTreeMap::new(),
            transactions: butler.list_transactions().map_err(|e| failed(&e))?,
            managed: BTreeMap::new(),
            disk: world::files(&butler.root().join("artifacts")),
            findings: BTreeSet::new(),
            counts: [0; 4],
        };
        for collection in collections {
            let number = world::number(collection.name.as_str());
            match collection.collection_type {
                CollectionType::Run => drop(seen.runs.insert(number)),
                CollectionType::Tagged => {
                    let rows = &tagged[&collection.name];
                    seen.tags.insert(number, rows.iter().map(|row| row.dataset.id).collect());
                }
                CollectionType::Chained => {
                    let children = collection.children.iter();
                    let children = children.map(|name| world::number(name.as_str())).collect();
                    seen.chains.insert(number, children);
                }
            }
        }
        let rows = butler.query_datasets(&DatasetQuery::default()).map_err(|e| failed(&e))?;
        for row in rows {
            let cell = world::cell(&row.dataset);
            if row.records.len() > 1 {
                return Err(format!("{cell:?} has {} records", row.records.len()));
            }
            seen.datasets.insert(cell, (row.dataset.id, row.records.first().cloned()));
        }
        for row in &seen.transactions {
            let manifest = butler.registry().read(|reader| reader.manifest(row.opening));
            let manifest = manifest.map_err(|e: RegistryError| failed(&e))?;
            let transaction =
                butler.kinds().decode(&row.kind, &row.data, &manifest).map_err(|e| failed(&e))?;
            for dataset in transaction.managed().datasets {
                if let Some(other) = seen.managed.insert(dataset, row.name.to_string()) {
                    return Err(format!("{dataset} is managed by {other} and by {}", row.name));
                }
            }
        }
        let report = check_with(butler, CheckOptions { checksum: true }).map_err(|e| failed(&e))?;
        let findings = report.findings.into_iter();
        seen.findings =
            findings.map(|finding| (finding.code.to_owned(), finding.subject)).collect();
        let counts = report.counts;
        seen.counts =
            [counts.stored, counts.registered_only, counts.managed, counts.open_transactions];
        Ok(seen)
    }

    /// The model with what only now is known, if it is what is seen.
    pub(super) fn settle(&self, model: &Model) -> Result<Model, String> {
        let mut model = model.clone();
        same("RUNs", &model.runs, &self.runs)?;
        same("chains", &model.chains, &self.chains)?;
        self.settle_transactions(&mut model)?;
        let cells: BTreeSet<Cell> = model.datasets.keys().copied().collect();
        same("datasets", &cells, &self.datasets.keys().copied().collect())?;
        for (cell, dataset) in &mut model.datasets {
            let (id, record) = &self.datasets[cell];
            if dataset.id.is_some_and(|known| known != *id) {
                return Err(format!("{cell:?} has another id than before"));
            }
            dataset.id = Some(*id);
            let manager = self.managed.get(id);
            match (&mut dataset.state, record) {
                (State::Stored(stored), Some(record)) => {
                    if let Some(manager) = manager {
                        return Err(format!("{cell:?} is stored, and managed by {manager}"));
                    }
                    same_record(*cell, stored, record)?;
                    if !stored.is_direct() {
                        let location = stored.location.clone().unwrap_or_default();
                        let now = self.disk.get(&location);
                        if now != stored.now.as_ref() {
                            return Err(format!("{location} holds {now:?}, not {:?}", stored.now));
                        }
                    }
                }
                (State::Registered, None) if manager.is_none() => {}
                (State::Managed(name), None) if manager == Some(name) => {}
                (state, record) => {
                    let record = record.as_ref().map(|record| record.location.to_string());
                    return Err(format!(
                        "{cell:?} is {state:?} in the model, and has the record {record:?} and the \
                         manager {manager:?}"
                    ));
                }
            }
        }
        same("tags", &model.tags, &self.tags)?;
        Ok(model)
    }

    fn settle_transactions(&self, model: &mut Model) -> Result<(), String> {
        let names: BTreeSet<&str> = self.transactions.iter().map(|row| row.name.as_str()).collect();
        if let Some(mut unnamed) = model.open.remove(UNNAMED) {
            let new: Vec<_> =
                names.iter().filter(|name| !model.open.contains_key(**name)).collect();
            let [name] = new[..] else {
                return Err(format!("one new transaction is expected, and there are {new:?}"));
            };
            for dataset in model.datasets.values_mut() {
                if dataset.state == State::Managed(UNNAMED.to_owned()) {
                    dataset.state = State::Managed((*name).to_owned());
                }
            }
            unnamed.opening = None;
            model.open.insert((*name).to_owned(), unnamed);
        }
        same("transactions", &model.open.keys().map(String::as_str).collect(), &names)?;
        for row in &self.transactions {
            let Some(open) = model.open.get_mut(row.name.as_str()) else { continue };
            same("kind", &open.kind, &row.kind.as_str())?;
            if open.opening.is_some_and(|opening| opening != row.opening) {
                return Err(format!("{} is another opening than before", row.name));
            }
            let may = std::mem::take(&mut open.may);
            if row.closing != open.began && !may.contains(&row.closing) {
                return Err(format!("{} says that {:?} began", row.name, row.closing));
            }
            if row.attempt < open.attempt {
                return Err(format!("{} is at attempt {} again", row.name, row.attempt));
            }
            open.began = row.closing;
            open.opening = Some(row.opening);
            open.attempt = row.attempt;
            open.holder = row.process.clone();
        }
        Ok(())
    }

    /// What must hold in any case, given the settled model.
    pub(super) fn confirm(&self, butler: &DirectButler, model: &Model) -> Result<(), String> {
        for (cell, stored) in model.stored() {
            let Some(record) = &self.datasets[&cell].1 else { continue };
            let read = butler.datastore().read(record);
            match (read, stored.is_whole()) {
                (Ok(content), true) if content == stored.content => {}
                (Err(_), false) => {}
                (read, whole) => {
                    let read = read.map_err(|e| world::chain(&e));
                    return Err(format!("{cell:?} (whole: {whole}) reads as {read:?}"));
                }
            }
        }
        same("findings", &findings(model), &self.findings)?;
        let count = |of: fn(&State) -> bool| {
            model.datasets.values().filter(|dataset| of(&dataset.state)).count()
        };
        let counts = [
            count(|state| matches!(state, State::Stored(_))),
            count(|state| matches!(state, State::Registered)),
            count(|state| matches!(state, State::Managed(_))),
            model.open.len(),
        ];
        same("counts (stored, registered only, managed, open)", &counts, &self.counts)?;
        for run in &model.runs {
            let holders = model.open.values().filter(|open| open.modified.contains(run)).count();
            if holders > 1 || holders == 1 && model.locks(*run).inserting {
                return Err(format!("RUN {run} is locked twice"));
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, seen: &T) -> Result<(), String> {
    if model == seen {
        return Ok(());
    }
    Err(format!("{what}: {seen:?} where the model has {model:?}"))
}

fn same_record(cell: Cell, stored: &mut Stored, record: &FileRecord) -> Result<(), String> {
    let location = record.location.as_str();
    if stored.location.as_deref().is_some_and(|known| known != location) {
        return Err(format!("{cell:?} is at {location}, not at {:?}", stored.location));
    }
    let offset = stored.offset.map(|offset| offset as u64);
    let same = record.size == stored.content.len() as u64
        && record.checksum == Checksum::of(&stored.content)
        && (record.offset == offset || stored.offset == Some(0) && record.offset.is_none());
    if !same {
        return Err(format!("the record of {cell:?} is {record:?}, and not of {stored:?}"));
    }
    if record.offset.is_none() {
        stored.offset = None;
    }
    stored.location = Some(location.to_owned());
    Ok(())
}

/// What check must find.
fn findings(model: &Model) -> BTreeSet<(String, String)> {
    let mut findings: BTreeSet<(String, String)> =
        model.strays.iter().map(|path| ("orphan".to_owned(), path.clone())).collect();
    let mut at: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for (_, stored) in model.stored() {
        at.entry(stored.location.as_deref().unwrap_or_default()).or_default().push(stored);
    }
    for (location, all) in at {
        let code = match &all[0].now {
            None => "artifact-missing",
            Some(now) if !all.iter().all(|stored| stored.fits(now.len())) => "artifact-size",
            Some(_) if !all.iter().all(|stored| stored.is_whole()) => "artifact-checksum",
            Some(_) => continue,
        };
        findings.insert((code.to_owned(), location.to_owned()));
    }
    findings
}
