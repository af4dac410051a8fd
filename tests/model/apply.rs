//! Does an operation to the repository and to the model, and compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use camino::Utf8PathBuf;
use pantler::{
    butler::{
        artifacts::Content,
        request::{
            IngestDataset, IngestFile, IngestRequest, NewDataset, NoProgress, PutItem, PutRequest,
            RemoveRequest, RestoreContent, RestoreItem, Slice, StoreOptions, StoreReport,
            TransferMode, TransferRequest,
        },
        storing::{Item as StoredItem, ItemDataset, Put, StoringRun},
    },
    core::{
        Checksum, CollectionName, CollectionType, DatasetId, DatasetRef, StorageClass, WriteId,
        changes::Change, transaction::Closing,
    },
    datastore::key,
    direct::{
        CloseOptions, Closed, DirectButler, StoreError, TransferError, check::CheckOptions, repair,
        vacuum,
    },
    registry::DatasetQuery,
};

use super::{
    operation::{CITIES, Cell, Fault, Harm, Mode, Op, Step, Storing},
    rules::{Here, Plan, Wanted},
    seen::Seen,
    sessions,
    state::{Extent, Item, Model, Part, State, Stored},
    world::{self, Said, World},
};

/// A repository with its model.
pub(super) struct Twin<'a> {
    world: World,
    source: &'a DirectButler,
    model: Model,
    /// A rule that is wrong on purpose, to see that this is found.
    wrong: bool,
    tally: &'a Tally,
}

/// How often each operation ended how.
pub(super) type Tally = Mutex<BTreeMap<String, u64>>;

/// What was asked for, so that the answer can be compared.
pub(super) struct Asked {
    pub(super) said: Said,
    pub(super) plan: Plan,
    pub(super) report: Option<(StoreReport, Vec<Cell>)>,
}

impl Asked {
    pub(super) fn new(said: Said, plan: Plan) -> Self {
        Self { said, plan, report: None }
    }
}

impl<'a> Twin<'a> {
    pub(super) fn new(
        template: &world::Template,
        source: &'a DirectButler,
        tally: &'a Tally,
        wrong: bool,
    ) -> Self {
        Self { world: World::new(template), source, model: Model::default(), wrong, tally }
    }

    /// One step, on both.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.op {
            Op::Reopen { elsewhere } => self.world.reopen(*elsewhere),
            Op::Damage { which, how } => self.damage(*which, *how),
            Op::Stray { run, unfinished } => self.stray(*run, *unfinished),
            Op::Repair => return self.repair(step.fault),
            Op::Vacuum => return self.vacuum(step.fault),
            _ => return self.change(step),
        }
        self.compare_again("it")
    }

    /// Closes all that is open, so that the end is a repository without transactions.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        while let Some(name) = self.model.open.keys().next().cloned() {
            let op = Op::Close { which: 0, closing: Closing::Abandon, take_over: true };
            self.step(&Step { op, fault: Fault::None })?;
            if self.model.open.contains_key(&name) {
                return Err(format!("{name} cannot be abandoned"));
            }
        }
        Ok(())
    }

    /// Compares with the model as it is.
    fn compare_again(&mut self, what: &str) -> Result<(), String> {
        let model = self.model.clone();
        self.compare(&[model], what)
    }

    fn compare(&mut self, allowed: &[Model], what: &str) -> Result<(), String> {
        let seen = Seen::look(self.world.butler())?;
        let mut reasons = Vec::new();
        for model in allowed {
            match seen.settle(model) {
                Ok(model) => {
                    seen.confirm(self.world.butler(), &model)?;
                    self.model = model;
                    return Ok(());
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(format!("{what} left none of what is allowed:\n  {}", reasons.join("\n  ")))
    }

    /// An operation of the butler that may fail.
    fn change(&mut self, step: &Step) -> Result<(), String> {
        let mut sources = BTreeMap::new();
        let placed = self.bring_files(&step.op, &mut sources);
        let before = self.model.clone();
        let (disk, process) =
            (world::files(&self.world.root().join("artifacts")), self.world.process().clone());
        let outside = |path: &str| std::fs::read(path).ok();
        let here = Here { process: &process, disk: &disk, outside: &outside };
        let moments: BTreeMap<&Utf8PathBuf, _> =
            sources.keys().map(|path| (path, moment(path))).collect();
        let death = self.world.arm(step.fault);
        let asked = self.ask(&step.op, &here, &sources);
        let died = self.world.heal(death);
        let Some(Asked { said, plan, report }) = asked else { return Ok(()) };
        let failed_for = format!("{said:?}, {}", if died { "died" } else { "lives" });
        *self.tally.lock().unwrap().entry(tallied(&step.op, &said, died)).or_default() += 1;
        let faultless = matches!(step.fault, Fault::None);
        let mut nothing = vec![before.clone()];
        nothing.extend(plan.undone.iter().cloned());
        let allowed = match &said {
            Said::Done if plan.done.is_empty() => {
                return Err("it should have been refused, and succeeded".to_owned());
            }
            Said::Done if faultless => plan.done[..1].to_vec(),
            Said::Done => plan.done.clone(),
            Said::Failed(_) if faultless && !plan.done.is_empty() => {
                return Err(format!("it should have succeeded: {failed_for}"));
            }
            Said::LeftOpen(_) | Said::Unclear(_) if faultless => {
                return Err(format!("nothing was in its way: {failed_for}"));
            }
            Said::Failed(_) if !died => nothing,
            Said::LeftOpen(_) if !died => plan.open.clone(),
            _ => [nothing, plan.open.clone(), plan.done.clone()].concat(),
        };
        self.compare(&allowed, &failed_for)?;
        self.compare_sources(&step.op, &said, &sources, &moments, report.as_ref())?;
        if let Some((report, cells)) = report
            && report.failed.is_empty()
        {
            let ids: Vec<_> = cells.iter().filter_map(|cell| self.model.id(*cell)).collect();
            if report.ids != ids {
                return Err(format!("it reports {:?} for {cells:?}, not {ids:?}", report.ids));
            }
        }
        self.take_away(&placed)
    }

    /// Files that are ingested stay as they are; those that are moved go when, and only
    /// when, their datasets are stored.
    fn compare_sources(
        &self,
        op: &Op,
        said: &Said,
        sources: &BTreeMap<Utf8PathBuf, Vec<u8>>,
        moments: &BTreeMap<&Utf8PathBuf, Option<(u64, i64)>>,
        report: Option<&(StoreReport, Vec<Cell>)>,
    ) -> Result<(), String> {
        let Op::Ingest { mode, how, .. } = op else { return Ok(()) };
        if *mode == Mode::InPlace {
            return Ok(());
        }
        let Op::Ingest { run, files, .. } = op else { return Ok(()) };
        for file in files {
            let (path, _) = self.source_of(*run, file, *mode, how.name);
            let (path, content) = (&path, &sources[&path]);
            let now = std::fs::read(path).ok();
            let there = now.as_ref() == Some(content) && moment(path) == moments[path];
            let stored = |(city, _): &(u8, u8)| {
                matches!(self.model.state((*run, *city)), Some(State::Stored(_)))
            };
            let may_go = *mode == Mode::Move && file.iter().all(stored);
            let must_go = *mode == Mode::Move
                && *said == Said::Done
                && !how.keep_going
                && report.is_some_and(|(report, _)| {
                    report.sources_left.is_empty() && report.skipped == 0
                });
            if must_go && now.is_some() || !(there || may_go && now.is_none()) {
                return Err(format!("{path} holds {now:?} after {said:?}"));
            }
        }
        Ok(())
    }

    /// Takes the user's files out of the storage again that did not become artifacts.
    fn take_away(&mut self, placed: &[String]) -> Result<(), String> {
        let mut taken = false;
        for place in placed {
            if self.model.strays.remove(place) {
                std::fs::remove_file(self.world.artifact(place)).map_err(|e| e.to_string())?;
                taken = true;
            }
        }
        if taken { self.compare_again("taking a file away") } else { Ok(()) }
    }

    /// Makes the files that an ingest needs, and returns those that it put into the storage.
    fn bring_files(
        &mut self,
        op: &Op,
        sources: &mut BTreeMap<Utf8PathBuf, Vec<u8>>,
    ) -> Vec<String> {
        let Op::Ingest { run, files, mode, how } = op else { return Vec::new() };
        let mut placed = Vec::new();
        for file in files {
            let (path, place) = self.source_of(*run, file, *mode, how.name);
            let content: Vec<u8> =
                file.iter().flat_map(|(_, number)| world::content(*number)).collect();
            if !path.exists() {
                world::replace(&path, &content);
                if let Some(place) = place {
                    if self.model.is_named(&place, &BTreeSet::new()) {
                        // Put back what somebody had deleted.
                        self.found_at(&place, Some(&content));
                    } else if !self.model.is_managed(&place) {
                        self.model.strays.insert(place.clone());
                        placed.push(place);
                    }
                }
            }
            sources.insert(path.clone(), std::fs::read(path).unwrap());
        }
        placed
    }

    fn source_of(
        &self,
        _run: u8,
        file: &[(u8, u8)],
        mode: Mode,
        name: Option<u8>,
    ) -> (Utf8PathBuf, Option<String>) {
        let parts: Vec<String> = file.iter().map(|(city, of)| format!("{city}is{of}")).collect();
        let name = name.unwrap_or(0);
        let file = format!("n{name}-{}.csv", parts.join("-"));
        if mode == Mode::InPlace {
            let place = format!("placed/{file}");
            return (self.world.artifact(&place), Some(place));
        }
        (self.world.base.join("files").join(format!("{mode:?}")).join(file), None)
    }

    fn ask(
        &self,
        op: &Op,
        here: &Here<'_>,
        sources: &BTreeMap<Utf8PathBuf, Vec<u8>>,
    ) -> Option<Asked> {
        let asked = match op {
            Op::Put { run, items, how } => self.put(here, *run, items, *how),
            Op::Ingest { run, files, mode, how } => {
                self.ingest(here, *run, files, *mode, *how, sources)
            }
            Op::Restore { cells, content, how } => {
                return self.restore(here, cells, *content, *how);
            }
            Op::Transfer { cells, mode, how } => self.transfer(here, cells, *mode, *how),
            Op::Remove { cells, purge, name } => {
                return self.remove(here, cells, *purge, *name);
            }
            Op::RemoveRun { run, name } => self.remove_run(here, *run, *name),
            Op::Tag { .. }
            | Op::Untag { .. }
            | Op::RemoveTag { .. }
            | Op::Chain { .. }
            | Op::RemoveChain { .. } => return self.collect(op),
            Op::Begin { run, cities, name } => return self.begin(here, *run, cities, *name),
            Op::Session { run, items, name, take_over, finish } => {
                let session = sessions::Session {
                    run: *run,
                    items,
                    name: *name,
                    take_over: *take_over,
                    finish: *finish,
                };
                session.ask(&self.world, &self.model, here.process)
            }
            // Not too often of nothing.
            Op::Close { which, .. } if self.model.open.is_empty() && which % 4 != 0 => return None,
            Op::Close { which, closing, take_over } => {
                self.close(here, *which, *closing, *take_over)
            }
            Op::Reopen { .. } | Op::Damage { .. } | Op::Stray { .. } | Op::Repair | Op::Vacuum => {
                return None;
            }
        };
        Some(asked)
    }

    fn new_dataset(&self, city: u8) -> NewDataset {
        let universe = self.world.butler().universe();
        NewDataset::new(world::dataset_type(universe), world::data_id(universe, city))
    }

    fn store(
        &self,
        here: &Here<'_>,
        wanted: &Wanted,
        stored: Result<StoreReport, StoreError>,
    ) -> Asked {
        let mut plan = self.model.store(here, wanted);
        if self.wrong {
            // As if what is asked for twice were stored twice.
            plan.done.retain(|model| model.datasets.len() > self.model.datasets.len());
        }
        match stored {
            Ok(report) => {
                let cells = wanted.items.iter().flat_map(|item| &item.parts);
                let cells = cells.map(|part| part.cell).collect();
                Asked { said: Said::Done, plan, report: Some((report, cells)) }
            }
            Err(error) => Asked::new(Said::of_store(&error), plan),
        }
    }

    fn put(&self, here: &Here<'_>, run: u8, items: &[(u8, u8)], how: Storing) -> Asked {
        let parts = items.iter().map(|(city, number)| Part {
            cell: (run, *city),
            content: world::content(*number),
            offset: None,
            registered: false,
        });
        let wanted = wanted("put", how, parts.map(known).collect());
        let items = items.iter().map(|(city, number)| PutItem {
            dataset: self.new_dataset(*city),
            content: world::content(*number).into(),
        });
        let request = PutRequest {
            name: how.name.map(Model::name),
            run: world::run_name(run),
            items: items.collect(),
            options: options(how),
        };
        let put = self.world.butler().put_many(&request, &NoProgress);
        self.store(here, &wanted, put)
    }

    fn ingest(
        &self,
        here: &Here<'_>,
        run: u8,
        files: &[Vec<(u8, u8)>],
        mode: Mode,
        how: Storing,
        sources: &BTreeMap<Utf8PathBuf, Vec<u8>>,
    ) -> Asked {
        let how = Storing { name: Some(how.name.unwrap_or(0)), ..how };
        let (mut items, mut request) = (Vec::new(), Vec::new());
        for file in files {
            let (path, place) = self.source_of(run, file, mode, how.name);
            let whole = &sources[&path];
            let (mut parts, mut datasets) = (Vec::new(), Vec::new());
            let mut at = 0;
            for (city, number) in file {
                let size = world::content(*number).len();
                let offset = (file.len() > 1).then_some(at);
                let content = whole.get(at..at + size).map(<[u8]>::to_vec).unwrap_or_default();
                let cell = (run, *city);
                parts.push(Part { cell, content, offset, registered: false });
                let slice = offset.map(|offset| Slice { offset: offset as u64, size: size as u64 });
                datasets.push(IngestDataset { dataset: self.new_dataset(*city), slice });
                at += size;
            }
            let place = match mode {
                Mode::InPlace => place,
                Mode::Direct => Some(format!("file://{path}")),
                _ => None,
            };
            // The checksums of slices are those of the file as it is now.
            let expected = (file.len() > 1).then(|| whole.clone());
            items.push(Item { parts, place, source: moment(&path), expected });
            request.push(IngestFile { source: path, datasets });
        }
        let wanted = wanted("ingest", how, items);
        let name = Model::name(how.name.unwrap_or(0));
        let mut request = IngestRequest::new(name, world::run_name(run), request);
        request.mode = transfer_mode(mode);
        request.options = options(how);
        let ingested = self.world.butler().ingest(&request, &NoProgress);
        self.store(here, &wanted, ingested)
    }

    fn restore(&self, here: &Here<'_>, cells: &[Cell], content: u8, how: Storing) -> Option<Asked> {
        let mut cells: Vec<Cell> =
            cells.iter().filter(|cell| self.model.datasets.contains_key(cell)).copied().collect();
        let registered = |cell: &Cell| self.model.state(*cell) == Some(&State::Registered);
        if content.is_multiple_of(2) && cells.iter().any(registered) {
            cells.retain(registered);
        }
        if cells.is_empty() {
            return None;
        }
        let parts = cells.iter().map(|cell| Part {
            cell: *cell,
            content: world::content(content),
            offset: None,
            registered: true,
        });
        let wanted = wanted("restore", how, parts.map(known).collect());
        let items: Vec<RestoreItem<'_>> = cells
            .iter()
            .filter_map(|cell| self.model.id(*cell))
            .map(|dataset| RestoreItem {
                dataset,
                content: RestoreContent::Bytes(world::content(content).into()),
            })
            .collect();
        let name = how.name.map(Model::name);
        let restored =
            self.world.butler().restore(name.as_ref(), &items, options(how), &NoProgress);
        Some(self.store(here, &wanted, restored))
    }

    fn transfer(&self, here: &Here<'_>, cells: &[Cell], mode: Mode, how: Storing) -> Asked {
        let mode = match mode {
            Mode::Move | Mode::InPlace => Mode::Copy,
            mode => mode,
        };
        let cells: Vec<Cell> = cells.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let rows = self.source.query_datasets(&DatasetQuery::default()).unwrap();
        let rows: BTreeMap<Cell, _> =
            rows.into_iter().map(|row| (world::cell(&row.dataset), row)).collect();
        let items = cells.iter().map(|cell| {
            let content = world::source_content(*cell);
            let part = Part { cell: *cell, content, offset: None, registered: false };
            let key = rows[cell].records[0].location.as_str();
            let place = self.source.root().join("artifacts").join(key);
            let place = (mode == Mode::Direct).then(|| format!("file://{place}"));
            Item { place, ..known(part) }
        });
        let mut wanted = wanted("transfer", how, items.collect());
        let ids: Vec<DatasetId> = cells.iter().map(|cell| rows[cell].dataset.id).collect();
        wanted.ids = cells.iter().copied().zip(ids.iter().copied()).collect();
        let request = TransferRequest {
            name: how.name.map(Model::name),
            datasets: ids,
            mode: transfer_mode(mode),
            options: options(how),
        };
        match self.world.butler().transfer_from(self.source, &request, &NoProgress) {
            Ok(report) => self.store(here, &wanted, Ok(report)),
            Err(TransferError::Store(error)) => self.store(here, &wanted, Err(error)),
            Err(error) => {
                Asked::new(Said::Failed(world::chain(&error)), self.model.store(here, &wanted))
            }
        }
    }

    fn remove(
        &self,
        here: &Here<'_>,
        cells: &[Cell],
        purge: bool,
        name: Option<u8>,
    ) -> Option<Asked> {
        let cells: BTreeSet<Cell> =
            cells.iter().filter(|cell| self.model.datasets.contains_key(cell)).copied().collect();
        if cells.is_empty() {
            return None;
        }
        let name = name.map(Model::name);
        let extent = if purge { Extent::Purge } else { Extent::Unstore };
        let plan = self.model.remove(
            here.process,
            name.as_ref().map(pantler::core::TransactionName::as_str),
            &cells,
            extent,
            None,
        );
        let datasets = cells.iter().filter_map(|cell| self.model.id(*cell)).collect();
        let request = RemoveRequest { name, datasets, purge, force: false };
        let said = match self.world.butler().remove_datasets(&request) {
            Ok(_) => Said::Done,
            Err(error) => Said::of_remove(&error),
        };
        Some(Asked::new(said, plan))
    }

    fn remove_run(&self, here: &Here<'_>, run: u8, name: Option<u8>) -> Asked {
        let cells = self.model.datasets.keys().filter(|(at, _)| *at == run).copied().collect();
        let name = name.map(Model::name);
        let text = name.as_ref().map(pantler::core::TransactionName::as_str);
        let plan = self.model.remove(here.process, text, &cells, Extent::Run, Some(run));
        let removed = self.world.butler().remove_run(name.as_ref(), &world::run_name(run), false);
        let said = match removed {
            Ok(_) => Said::Done,
            Err(error) => Said::of_remove(&error),
        };
        Asked::new(said, plan)
    }

    /// TAGGED collections and chains.
    fn collect(&self, op: &Op) -> Option<Asked> {
        let tag_name = |tag: u8| CollectionName::new(format!("t{tag}")).unwrap();
        let chain_name = |chain: u8| CollectionName::new(format!("k{chain}")).unwrap();
        let mut model = self.model.clone();
        let ids = |cells: &[Cell]| -> Vec<DatasetId> {
            cells.iter().filter_map(|cell| self.model.id(*cell)).collect()
        };
        let mut allowed = true;
        let changes = match op {
            Op::Tag { tag, cells } => {
                let members = model.tags.entry(*tag).or_default();
                for cell in cells.iter().filter(|cell| self.model.id(**cell).is_some()) {
                    let city_of = |id: &DatasetId| {
                        let mut all = self.model.datasets.iter();
                        all.find(|(_, dataset)| dataset.id == Some(*id)).map(|(cell, _)| cell.1)
                    };
                    let id = self.model.id(*cell)?;
                    let taken =
                        members.iter().any(|other| *other != id && city_of(other) == Some(cell.1));
                    let stored = matches!(self.model.state(*cell), Some(State::Stored(_)));
                    allowed &= !taken && (stored || !self.model.locks(cell.0).any());
                    members.insert(id);
                }
                let (collection, datasets) = (tag_name(*tag), ids(cells));
                vec![
                    Change::EnsureCollection {
                        name: collection.clone(),
                        collection_type: CollectionType::Tagged,
                    },
                    Change::Associate { collection, datasets },
                ]
            }
            Op::Untag { tag, cells } => {
                match model.tags.get_mut(tag) {
                    None => allowed = false,
                    Some(members) => {
                        let gone = ids(cells);
                        members.retain(|id| !gone.contains(id));
                    }
                }
                vec![Change::Disassociate { collection: tag_name(*tag), datasets: ids(cells) }]
            }
            Op::RemoveTag { tag } => {
                allowed = model.tags.remove(tag).is_some();
                vec![Change::RemoveCollection(tag_name(*tag))]
            }
            Op::Chain { chain, runs } => {
                let mut seen = BTreeSet::new();
                let children: Vec<u8> = runs.iter().copied().filter(|r| seen.insert(*r)).collect();
                allowed = children
                    .iter()
                    .all(|run| model.runs.contains(run) && !model.locks(*run).modified);
                model.chains.insert(*chain, children);
                let children = runs.iter().map(|run| world::run_name(*run)).collect();
                vec![Change::SetChain { chain: chain_name(*chain), children }]
            }
            Op::RemoveChain { chain } => {
                allowed = model.chains.remove(chain).is_some();
                vec![Change::RemoveCollection(chain_name(*chain))]
            }
            _ => return None,
        };
        let butler = self.world.butler();
        let now = butler.environment().clock.now();
        let said = match butler.registry().write(|writer| writer.apply(&changes, now)) {
            Ok(()) => Said::Done,
            Err(error) => Said::of_registry(&error),
        };
        let plan = if allowed { Plan::done(model) } else { Plan::refused() };
        Some(Asked::new(said, plan))
    }

    fn begin(&self, here: &Here<'_>, run: u8, cities: &[u8], name: u8) -> Option<Asked> {
        if !self.model.runs.contains(&run) {
            return None;
        }
        let cells: BTreeSet<Cell> = cities.iter().map(|city| (run, *city)).collect();
        let name = Model::name(name);
        let plan = self.model.begin(here.process, name.as_str(), &cells);
        let butler = self.world.butler();
        let run = world::run_name(run);
        let collection = match butler.registry().read(|reader| reader.collection(&run)) {
            Ok(collection) => collection,
            Err(error) => return Some(Asked::new(Said::of_registry(&error), plan)),
        };
        let prefix = key::run_prefix(&run, collection.unwrap().id);
        let opening = butler.environment().new_opening();
        let write = WriteId::of_opening(opening, 1);
        let (mut items, mut new) = (Vec::new(), Vec::new());
        for (_, city) in &cells {
            let NewDataset { dataset_type, data_id, .. } = self.new_dataset(*city);
            let key = key::dataset_key(&prefix, &dataset_type.name, &data_id, &write, "csv");
            let id = butler.environment().new_dataset();
            let dataset = ItemDataset {
                id,
                label: format!("{} {data_id}", dataset_type.name).into(),
                storage_class: StorageClass::Csv,
                slice: None,
                registered: false,
            };
            let mut item = StoredItem::written_at(key, vec![dataset]);
            let content = world::content(0);
            let (size, checksum) = (content.len() as u64, Checksum::of(&content));
            item.expected = Some(Content { size, checksum });
            items.push(item);
            new.push(DatasetRef { id, dataset_type, data_id, run: run.clone() });
        }
        let put =
            Put::new(vec![StoringRun { name: run, made: false, modified: false }], items, new);
        let said = match butler.begin(&name, opening, put) {
            Ok(begun) => {
                drop(begun);
                Said::Done
            }
            Err(error) => Said::of_butler(&error),
        };
        Some(Asked::new(said, plan))
    }

    fn close(&self, here: &Here<'_>, which: u8, closing: Closing, take_over: bool) -> Asked {
        let open: Vec<&String> = self.model.open.keys().collect();
        let name = match open.get(usize::from(which) % open.len().max(1)) {
            Some(name) => (*name).clone(),
            None => Model::name(which % super::operation::NAMES).to_string(),
        };
        let mut plan = self.model.close(here, &name, closing, take_over);
        let is_open = self.model.open.contains_key(&name);
        let name = pantler::core::TransactionName::new(name).unwrap();
        let options = CloseOptions { take_over, ..CloseOptions::default() };
        let said = match self.world.butler().close(&name, closing, options) {
            Ok(Closed::Before) if !is_open => {
                // It was closed so before.
                plan = Plan::done(self.model.clone());
                Said::Done
            }
            Ok(_) => Said::Done,
            Err(error) => Said::of_close(&error),
        };
        Asked::new(said, plan)
    }

    fn damage(&mut self, which: u8, how: Harm) {
        let stored = self.model.stored();
        let whole: BTreeMap<String, Vec<u8>> = stored
            .filter(|(_, stored)| !stored.is_direct() && stored.is_whole())
            .filter_map(|(_, stored)| Some((stored.location.clone()?, stored.now.clone()?)))
            .collect();
        let Some((location, content)) = whole.iter().nth(usize::from(which) % whole.len().max(1))
        else {
            return;
        };
        let path = self.world.artifact(location);
        let now = match how {
            Harm::Deleted => None,
            Harm::Truncated => Some(content[..content.len() - 1].to_vec()),
            Harm::Flipped => {
                let mut content = content.clone();
                let at = usize::from(which) / 16 % content.len();
                content[at] ^= 1;
                Some(content)
            }
        };
        match &now {
            None => std::fs::remove_file(&path).unwrap(),
            Some(now) => world::replace(&path, now),
        }
        self.found_at(location, now.as_ref());
    }

    fn found_at(&mut self, location: &str, now: Option<&Vec<u8>>) {
        for dataset in self.model.datasets.values_mut() {
            if let State::Stored(stored) = &mut dataset.state
                && stored.location.as_deref() == Some(location)
            {
                stored.now = now.cloned();
            }
        }
    }

    fn stray(&mut self, run: u8, unfinished: bool) {
        let n = self.world.next_stray();
        let place = if unfinished {
            let opening = self.world.butler().environment().new_opening();
            let write = WriteId::of_opening(opening, 1);
            format!("{}@1/daily/city={}~{write}.csv.tmp", world::run(run), n % u32::from(CITIES))
        } else {
            format!("{}@1/stray{n}", world::run(run))
        };
        world::replace(&self.world.artifact(&place), b"nobody's");
        self.model.strays.insert(place);
    }

    fn repair(&mut self, fault: Fault) -> Result<(), String> {
        let death = self.world.arm(fault);
        let options =
            repair::RepairOptions { check: CheckOptions { checksum: true }, dry_run: false };
        let repaired = repair::repair(self.world.butler(), &options, &mut |_| {});
        let repaired = repaired.map(drop).map_err(|e| world::chain(&e));
        self.world.heal(death);
        self.strays_left();
        let disk = world::files(&self.world.root().join("artifacts"));
        let harmed: Vec<Stored> = (self.model.stored())
            .filter(|(_, stored)| !stored.is_direct() && !stored.is_whole())
            .map(|(_, stored)| stored.clone())
            .collect();
        let mut dropped = self.model.clone();
        for location in harmed.iter().filter_map(|stored| stored.location.as_deref()) {
            let named: Vec<Cell> = (self.model.stored())
                .filter(|(_, stored)| stored.location.as_deref() == Some(location))
                .map(|(cell, _)| cell)
                .collect();
            let now = disk.get(location);
            let put_back = self.model.stored().all(|(_, stored)| {
                stored.location.as_deref() != Some(location)
                    || Stored { now: now.cloned(), ..stored.clone() }.is_whole()
            });
            self.found_at(location, now);
            for cell in named {
                if put_back {
                    dropped.set(cell, self.model.datasets[&cell].state.clone());
                } else if self.model.locks(cell.0).modified {
                    let state = &self.model.datasets[&cell].state;
                    dropped.set(cell, state.clone());
                } else {
                    dropped.set(cell, State::Registered);
                }
            }
        }
        dropped.strays.clone_from(&self.model.strays);
        let faultless = matches!(fault, Fault::None);
        match &repaired {
            Err(error) if faultless => return Err(format!("the repair failed: {error}")),
            Ok(()) if faultless && !dropped.strays.is_empty() => {
                return Err(format!("a repair leaves {:?}", dropped.strays));
            }
            _ => {}
        }
        let allowed = match repaired {
            Ok(()) => vec![dropped],
            Err(_) => vec![self.model.clone(), dropped],
        };
        self.compare(&allowed, "the repair")
    }

    fn vacuum(&mut self, fault: Fault) -> Result<(), String> {
        let death = self.world.arm(fault);
        let vacuumed = vacuum::vacuum(self.world.butler(), false);
        let vacuumed = vacuumed.map(drop).map_err(|e| world::chain(&e));
        self.world.heal(death);
        self.strays_left();
        if matches!(fault, Fault::None) {
            vacuumed?;
            if let Some(left) = self.model.strays.iter().find(|path| world::is_unfinished(path)) {
                return Err(format!("a vacuum leaves {left}"));
            }
        }
        self.compare_again("the vacuum")
    }

    fn strays_left(&mut self) {
        let world = &self.world;
        self.model.strays.retain(|place| world.artifact(place).exists());
    }
}

fn tallied(op: &Op, said: &Said, died: bool) -> String {
    let op = match op {
        Op::Close { closing, .. } => closing.verb().to_owned(),
        op => format!("{op:?}").split(' ').next().unwrap_or_default().to_lowercase(),
    };
    let said = match said {
        Said::Done => "done",
        _ if died => "died",
        Said::Failed(_) => "failed",
        Said::LeftOpen(_) => "left open",
        Said::Unclear(_) => "unclear",
    };
    format!("{op}: {said}")
}

fn wanted(kind: &'static str, how: Storing, items: Vec<Item>) -> Wanted {
    Wanted {
        kind,
        name: how.name.map(|name| Model::name(name).to_string()),
        items,
        ids: BTreeMap::new(),
        keep_going: how.keep_going,
        take_over: how.take_over,
    }
}

/// An artifact of one dataset whose content is known before it is written.
fn known(part: Part) -> Item {
    let expected = Some(part.content.clone());
    Item { parts: vec![part], place: None, source: None, expected }
}

fn options(how: Storing) -> StoreOptions {
    StoreOptions { take_over: how.take_over, keep_going: how.keep_going }
}

fn transfer_mode(mode: Mode) -> TransferMode {
    match mode {
        Mode::Copy => TransferMode::Copy,
        Mode::Move => TransferMode::Move,
        Mode::Hardlink => TransferMode::Hardlink,
        Mode::InPlace => TransferMode::InPlace,
        Mode::Direct => TransferMode::Direct,
    }
}

/// Size and time of a file.
fn moment(path: &Utf8PathBuf) -> Option<(u64, i64)> {
    let metadata = std::fs::metadata(path).ok()?;
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((metadata.len(), i64::try_from(since.as_nanos()).ok()?))
}
