//! What each operation does to the model, and what a fault may make of it.

use std::collections::{BTreeMap, BTreeSet};

use pantler::core::transaction::{Closing, Process};

use super::{
    operation::Cell,
    state::{Artifact, Extent, Item, Model, Open, Part, State, Stored, UNNAMED, Work},
};

/// What may come of an operation. Nothing may always come of one that fails.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// If it succeeds: any of these. None if it is refused.
    pub(super) done: Vec<Model>,
    /// If it fails and says that it is undone: these or nothing.
    pub(super) undone: Vec<Model>,
    /// If it says that a transaction is left open.
    pub(super) open: Vec<Model>,
}

impl Plan {
    pub(super) fn refused() -> Self {
        Self::default()
    }

    pub(super) fn done(model: Model) -> Self {
        Self { done: vec![model], ..Self::default() }
    }
}

/// Who works, and what the rules know about others.
pub(super) struct Here<'a> {
    pub(super) process: &'a Process,
    /// What lies in the storage.
    pub(super) disk: &'a BTreeMap<String, Vec<u8>>,
    /// What lies outside.
    pub(super) outside: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Here<'_> {
    fn at(&self, location: &str) -> Option<Vec<u8>> {
        match location.strip_prefix("file://") {
            Some(path) => (self.outside)(path),
            None => self.disk.get(location).cloned(),
        }
    }

    /// Whether a holder may still be at work.
    fn is_held(&self, holder: &Process) -> bool {
        holder != self.process && holder.host != self.process.host
    }

    /// What attempts at an opening left of the artifact of a data ID, the newest first.
    fn written(&self, open: &Open, cell: Cell) -> Vec<(&String, &Vec<u8>)> {
        let Some(opening) = open.opening else { return Vec::new() };
        let middle = format!("/daily/city={}~", super::world::city(cell.1));
        let of_run = |key: &str| {
            let (prefix, rest) = key.split_once('/').unwrap_or((key, ""));
            prefix.split('@').next() == Some(&super::world::run(cell.0))
                && format!("/{rest}").starts_with(&middle)
        };
        let mut found = Vec::new();
        for attempt in (1..=open.attempt).rev() {
            let write = pantler::core::WriteId::of_opening(opening, attempt);
            let ending = format!("~{write}.");
            found.extend(self.disk.iter().filter(|(key, _)| {
                of_run(key) && key.contains(&ending) && !super::world::is_unfinished(key)
            }));
        }
        found
    }
}

/// What is to be stored, and how.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) kind: &'static str,
    pub(super) name: Option<String>,
    pub(super) items: Vec<Item>,
    /// The ids that datasets must have.
    pub(super) ids: BTreeMap<Cell, pantler::core::DatasetId>,
    pub(super) keep_going: bool,
    pub(super) take_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    Registered,
    Same,
    Lost,
}

impl Model {
    /// Put, ingest, restore and transfer.
    pub(super) fn store(&self, here: &Here<'_>, wanted: &Wanted) -> Plan {
        let mut plan = self.store_all(here, wanted);
        if wanted.keep_going && !plan.done.is_empty() {
            // A fault keeps any of them from being looked at: it is left as it is.
            for chosen in 0..(1_u32 << wanted.items.len()) - 1 {
                let items = wanted.items.iter().enumerate();
                let items = items.filter(|(n, _)| chosen & (1 << n) != 0);
                let items: Vec<Item> = items.map(|(_, item)| item.clone()).collect();
                let fewer = self.store_all(here, &Wanted { items, ..wanted.clone() });
                plan.done.extend(fewer.done);
                plan.undone.extend(fewer.undone);
                plan.open.extend(fewer.open);
            }
        }
        plan
    }

    fn store_all(&self, here: &Here<'_>, wanted: &Wanted) -> Plan {
        let restore = wanted.kind == "restore";
        let parts = || wanted.items.iter().flat_map(|item| &item.parts);
        if restore && !parts().all(|part| self.datasets.contains_key(&part.cell)) {
            return Plan::refused();
        }
        let twice = {
            let mut seen = BTreeSet::new();
            !parts().all(|part| seen.insert(part.cell))
        };
        let unstoring = wanted.name.as_ref().map(|name| format!("{name}/unstore"));
        let unfinished = (unstoring.as_ref())
            .filter(|name| self.open.get(*name).is_some_and(|open| open.kind == "remove"));
        if twice && unfinished.is_none() {
            return Plan::refused();
        }
        if let Some((name, open)) =
            wanted.name.as_ref().and_then(|name| Some((name, self.open.get(name)?)))
        {
            return self.go_on(here, wanted, name, open);
        }
        if let Some(name) = unfinished {
            // What a killed call left of taking lost artifacts away is finished first.
            let first = self.close(here, name, Closing::Commit, wanted.take_over);
            let Some(after) = first.done.first() else { return Plan::refused() };
            let mut plan = after.store(here, wanted);
            plan.undone.extend(first.undone);
            plan.undone.push(after.clone());
            plan.open.extend(first.open);
            return plan;
        }
        if wanted.kind == "put" && parts().any(|part| self.locks(part.cell.0).modified) {
            return Plan::refused();
        }
        let (mut to_store, mut lost) = (Vec::new(), BTreeSet::new());
        for item in &wanted.items {
            let standing = self.standing(item, wanted, &BTreeSet::new());
            let mut item = item.clone();
            match standing {
                None if wanted.keep_going => continue,
                None => return Plan::refused(),
                Some(Standing::Same) => continue,
                Some(Standing::New) => {}
                Some(Standing::Registered) => {
                    item.parts.iter_mut().for_each(|part| part.registered = true);
                }
                Some(Standing::Lost) => {
                    item.parts.iter_mut().for_each(|part| part.registered = true);
                    lost.extend(item.parts.iter().map(|part| part.cell));
                }
            }
            to_store.push(item);
        }
        let mut plan = Plan::default();
        let mut before = self.clone();
        if !lost.is_empty() {
            if lost.iter().any(|(run, _)| self.locks(*run).any()) {
                return Plan::refused();
            }
            let removal = self.removal(&lost, Extent::Unstore, here.process);
            let mut left = self.clone();
            left.insert_open(unstoring.as_deref().unwrap_or(UNNAMED), removal.clone());
            plan.open.push(left);
            before = self.removed(&removal);
            plan.undone.push(before.clone());
        }
        if to_store.is_empty() {
            plan.done.push(before);
            return plan;
        }
        let open = before.storing(wanted.kind, &to_store, here.process);
        let locked = open.modified.iter().any(|run| before.locks(*run).any())
            || open.inserting.iter().any(|run| before.locks(*run).modified);
        if locked || to_store.iter().any(|item| before.is_place_taken(item)) {
            return plan;
        }
        let mut left = before.clone();
        left.insert_open(wanted.name.as_deref().unwrap_or(UNNAMED), open);
        plan.open.push(left);
        plan.done.push(before.with(&to_store));
        if wanted.keep_going {
            for chosen in 0..(1_u32 << to_store.len()) - 1 {
                let items: Vec<Item> = (to_store.iter().enumerate())
                    .filter(|(n, _)| chosen & (1 << n) != 0)
                    .map(|(_, item)| item.clone())
                    .collect();
                plan.done.push(before.with(&items));
            }
        }
        plan
    }

    /// Goes on with what an earlier call of that name left.
    fn go_on(&self, here: &Here<'_>, wanted: &Wanted, name: &str, open: &Open) -> Plan {
        let Work::Storing { items, .. } = &open.work else { return Plan::refused() };
        if open.kind != wanted.kind {
            return Plan::refused();
        }
        let mut left: Vec<&Item> = items.iter().collect();
        let mut going = Vec::new();
        for item in &wanted.items {
            match self.standing(item, wanted, &open.cells) {
                None if wanted.keep_going => continue,
                None => return Plan::refused(),
                Some(Standing::Same) => continue,
                Some(_) => {}
            }
            let same = left.iter().position(|other| is_same(other, item));
            match same {
                None => return Plan::refused(),
                Some(position) => {
                    left.swap_remove(position);
                    going.push(item.clone());
                }
            }
        }
        if !left.is_empty()
            || here.is_held(&open.holder) && !wanted.take_over
            || matches!(open.began, Some(Closing::Revert | Closing::Abandon))
        {
            return Plan::refused();
        }
        let mut plan = Plan::default();
        let mut still = self.clone();
        still.may_begin(name, &[None, Some(Closing::Commit), Some(Closing::Revert)]);
        plan.open.push(still.clone());
        plan.undone.push(still);
        let reverted = self.reverted(name, open);
        plan.undone.push(reverted);
        let mut closed = self.clone();
        closed.open.remove(name);
        if going.iter().any(|item| closed.is_place_taken(item)) {
            return plan;
        }
        plan.done.push(closed.with(&going));
        if wanted.keep_going {
            for chosen in 0..(1_u32 << going.len()) - 1 {
                let kept = |n: usize| chosen & (1 << n) != 0;
                let mut model = closed.clone();
                for (n, item) in going.iter().enumerate() {
                    for part in &item.parts {
                        if kept(n) {
                            continue;
                        }
                        let before = items.iter().flat_map(|item| &item.parts);
                        let again = before.clone().any(|p| p.cell == part.cell && p.registered);
                        if again {
                            model.set(part.cell, State::Registered);
                        } else {
                            model.datasets.remove(&part.cell);
                        }
                    }
                }
                let stored: Vec<Item> = (going.iter().enumerate())
                    .filter(|(n, _)| kept(*n))
                    .map(|(_, item)| item.clone())
                    .collect();
                model = model.with(&stored);
                if let Work::Storing { made, .. } = &open.work {
                    model.drop_unused(made);
                }
                plan.done.push(model);
            }
        }
        plan
    }

    /// How what is asked for stands; `None` if it cannot be stored.
    fn standing(&self, item: &Item, wanted: &Wanted, mine: &BTreeSet<Cell>) -> Option<Standing> {
        let mut all = None;
        for part in &item.parts {
            let this = self.standing_of(part, wanted, mine)?;
            all = match (all, this) {
                (None, this) => Some(this),
                (Some(other), this) if other == this => Some(this),
                (Some(Standing::Same | Standing::Lost), Standing::Same | Standing::Lost) => {
                    Some(Standing::Lost)
                }
                _ => return None,
            };
        }
        all
    }

    fn standing_of(&self, part: &Part, wanted: &Wanted, mine: &BTreeSet<Cell>) -> Option<Standing> {
        let Some(dataset) = self.datasets.get(&part.cell) else { return Some(Standing::New) };
        if mine.contains(&part.cell) {
            return Some(Standing::New);
        }
        if wanted.ids.get(&part.cell).is_some_and(|id| dataset.id != Some(*id)) {
            return None;
        }
        match &dataset.state {
            State::Managed(_) => None,
            State::Registered => Some(Standing::Registered),
            State::Stored(stored) if stored.content != part.content => None,
            State::Stored(stored) if stored.is_whole() => Some(Standing::Same),
            State::Stored(_) => Some(Standing::Lost),
        }
    }

    /// Whether what lies in the storage already belongs to others, or is to be deleted.
    fn is_place_taken(&self, item: &Item) -> bool {
        let Some(place) = item.place.as_deref().filter(|place| !place.starts_with("file:")) else {
            return false;
        };
        self.is_managed(place) || self.is_named(place, &BTreeSet::new())
    }

    /// Whether an open transaction stores or deletes what lies there.
    pub(super) fn is_managed(&self, place: &str) -> bool {
        self.open.values().any(|open| match &open.work {
            Work::Removal { artifacts, .. } => {
                artifacts.iter().any(|a| a.doomed && a.location == place)
            }
            Work::Storing { items, .. } => {
                items.iter().any(|other| other.place.as_deref() == Some(place))
            }
        })
    }

    fn storing(&self, kind: &'static str, items: &[Item], process: &Process) -> Open {
        let parts = || items.iter().flat_map(|item| &item.parts);
        let modified: BTreeSet<u8> =
            parts().filter(|part| part.registered).map(|part| part.cell.0).collect();
        let runs: BTreeSet<u8> = parts().map(|part| part.cell.0).collect();
        Open {
            kind,
            inserting: runs.difference(&modified).copied().collect(),
            modified,
            cells: parts().map(|part| part.cell).collect(),
            work: Work::Storing {
                items: items.to_vec(),
                made: runs.difference(&self.runs).copied().collect(),
            },
            began: None,
            may: vec![Some(Closing::Revert)],
            opening: None,
            attempt: 1,
            holder: process.clone(),
        }
    }

    /// With all of these stored.
    fn with(&self, items: &[Item]) -> Self {
        let mut model = self.clone();
        for item in items {
            for part in &item.parts {
                model.runs.insert(part.cell.0);
                let stored = Stored {
                    location: item.place.clone(),
                    offset: part.offset,
                    content: part.content.clone(),
                    now: Some(whole(item)),
                };
                model.set(part.cell, State::Stored(stored));
            }
            if let Some(place) = &item.place {
                model.strays.remove(place);
            }
        }
        model
    }

    pub(super) fn may_begin(&mut self, name: &str, may: &[Option<Closing>]) {
        if let Some(open) = self.open.get_mut(name) {
            open.may = may.to_vec();
        }
    }

    /// Opens a put that nobody writes for.
    pub(super) fn begin(&self, process: &Process, name: &str, cells: &BTreeSet<Cell>) -> Plan {
        let item = |cell: &Cell| Item {
            parts: vec![Part {
                cell: *cell,
                content: super::world::content(0),
                offset: None,
                registered: false,
            }],
            place: None,
            source: None,
            expected: Some(super::world::content(0)),
        };
        let items: Vec<Item> = cells.iter().map(item).collect();
        let open = self.storing("put", &items, process);
        let refused = self.open.contains_key(name)
            || cells.iter().any(|cell| self.datasets.contains_key(cell))
            || open.inserting.iter().any(|run| self.locks(*run).modified);
        if refused {
            return Plan::refused();
        }
        let mut model = self.clone();
        model.insert_open(name, open);
        Plan::done(model)
    }

    /// The transaction that removes these.
    fn removal(&self, cells: &BTreeSet<Cell>, extent: Extent, process: &Process) -> Open {
        let mut artifacts: BTreeMap<String, Artifact> = BTreeMap::new();
        for (cell, stored) in self.stored().filter(|(cell, _)| cells.contains(cell)) {
            let Some(location) = stored.location.clone() else { continue };
            let artifact = artifacts.entry(location.clone()).or_insert_with(|| Artifact {
                doomed: !stored.is_direct() && !self.is_named(&location, cells),
                location,
                stored: Vec::new(),
            });
            artifact.stored.push((cell, stored.clone()));
        }
        Open {
            kind: if extent == Extent::Run { "remove-run" } else { "remove" },
            modified: cells.iter().map(|(run, _)| *run).collect(),
            inserting: BTreeSet::new(),
            cells: cells.clone(),
            work: Work::Removal { extent, artifacts: artifacts.into_values().collect() },
            began: Some(Closing::Commit),
            may: Vec::new(),
            opening: None,
            attempt: 1,
            holder: process.clone(),
        }
    }

    /// After a removal was committed.
    fn removed(&self, open: &Open) -> Self {
        let mut model = self.clone();
        let Work::Removal { extent, .. } = &open.work else { return model };
        for cell in &open.cells {
            match extent {
                Extent::Unstore => model.set(*cell, State::Registered),
                Extent::Purge | Extent::Run => drop(model.datasets.remove(cell)),
            }
        }
        if *extent == Extent::Run {
            for run in &open.modified {
                model.runs.remove(run);
            }
        }
        model
    }

    pub(super) fn remove(
        &self,
        process: &Process,
        name: Option<&str>,
        cells: &BTreeSet<Cell>,
        extent: Extent,
        run: Option<u8>,
    ) -> Plan {
        if let Some((name, open)) = name.and_then(|name| Some((name, self.open.get(name)?))) {
            // The same again finishes it.
            let same = match &open.work {
                Work::Removal { extent: of, .. } if *of == extent => match run {
                    Some(run) => open.modified.contains(&run),
                    None => open.cells == *cells,
                },
                _ => false,
            };
            let here = &Here { process, disk: &BTreeMap::new(), outside: &|_| None };
            return if same {
                self.close(here, name, Closing::Commit, false)
            } else {
                Plan::refused()
            };
        }
        let mut runs: BTreeSet<u8> = cells.iter().map(|(run, _)| *run).collect();
        runs.extend(run);
        let refused = runs.iter().any(|run| self.locks(*run).any())
            || extent != Extent::Unstore && cells.iter().any(|cell| self.is_tagged(*cell))
            || run.is_some_and(|run| self.is_chained(run) || !self.runs.contains(&run));
        if refused {
            return Plan::refused();
        }
        let mut open = self.removal(cells, extent, process);
        open.modified = runs;
        let mut left = self.clone();
        left.insert_open(name.unwrap_or(UNNAMED), open.clone());
        Plan { done: vec![self.removed(&open)], undone: Vec::new(), open: vec![left] }
    }

    /// After a revert of what stores.
    fn reverted(&self, name: &str, open: &Open) -> Self {
        let mut model = self.clone();
        model.open.remove(name);
        let Work::Storing { items, made } = &open.work else { return model };
        for part in items.iter().flat_map(|item| &item.parts) {
            if part.registered {
                model.set(part.cell, State::Registered);
            } else {
                model.datasets.remove(&part.cell);
            }
        }
        model.orphan(items);
        model.drop_unused(made);
        model
    }

    /// What lies in the storage and is not the transaction's own belongs to nobody now,
    /// unless somebody else has it.
    fn orphan(&mut self, items: &[Item]) {
        for place in items.iter().filter_map(|item| item.place.clone()) {
            if !place.starts_with("file:")
                && !self.is_managed(&place)
                && !self.is_named(&place, &BTreeSet::new())
            {
                self.strays.insert(place);
            }
        }
    }

    pub(super) fn close(
        &self,
        here: &Here<'_>,
        name: &str,
        closing: Closing,
        take_over: bool,
    ) -> Plan {
        let Some(open) = self.open.get(name) else { return Plan::refused() };
        let door = matches!(open.began, Some(Closing::Revert | Closing::Abandon))
            && closing == Closing::Commit;
        let stays = open.kind == super::sessions::KIND && closing == Closing::Revert;
        if door || stays || here.is_held(&open.holder) && !take_over {
            return Plan::refused();
        }
        // Once a revert began, the row goes on saying so.
        let noted = match open.began {
            Some(Closing::Revert) => Closing::Revert,
            _ => closing,
        };
        let mut still = self.clone();
        still.may_begin(name, &[open.began, Some(noted)]);
        let mut closed = self.clone();
        closed.open.remove(name);
        let done = match &open.work {
            Work::Storing { items, .. } => {
                if closing == Closing::Revert {
                    Some(self.reverted(name, open))
                } else {
                    closed.keep(here, open, items, closing)
                }
            }
            Work::Removal { artifacts, .. } => match closing {
                Closing::Commit => Some(closed.removed(open)),
                _ => closed.rescue(here, open, artifacts, closing),
            },
        };
        Plan { done: done.into_iter().collect(), undone: vec![still.clone()], open: vec![still] }
    }

    /// Commit or abandon of what stores, by what lies at its keys.
    fn keep(
        mut self,
        here: &Here<'_>,
        open: &Open,
        items: &[Item],
        closing: Closing,
    ) -> Option<Self> {
        let past_the_door = open.began == Some(Closing::Revert);
        let mut lost = Vec::new();
        for item in items {
            let places: Vec<(String, Vec<u8>)> = if let Some(place) = &item.place {
                here.at(place).map(|now| (place.clone(), now)).into_iter().collect()
            } else {
                let written = here.written(open, item.parts[0].cell);
                written.into_iter().map(|(key, now)| (key.clone(), now.clone())).collect()
            };
            let expected =
                |now: &Vec<u8>| item.expected.as_ref().is_none_or(|expected| expected == now);
            let found = places.into_iter().find(|(_, now)| expected(now) && !past_the_door);
            for part in &item.parts {
                let state = match &found {
                    None => State::Registered,
                    Some((_, now)) => State::Stored(Stored {
                        // What it wrote is moved to a key of the closing's own.
                        location: item.place.clone(),
                        offset: part.offset,
                        content: match part.offset {
                            None => now.clone(),
                            Some(_) => part.content.clone(),
                        },
                        now: Some(now.clone()),
                    }),
                };
                self.set(part.cell, state);
            }
            if found.is_none() {
                lost.push(item.clone());
            }
        }
        if closing == Closing::Commit && !lost.is_empty() {
            return None;
        }
        // A file in the storage that was not deleted and is not named.
        lost.retain(|item| item.place.as_ref().is_some_and(|place| here.at(place).is_some()));
        self.orphan(&lost);
        Some(self)
    }

    /// Revert or abandon of a removal: what is still there is stored.
    fn rescue(
        mut self,
        here: &Here<'_>,
        open: &Open,
        artifacts: &[Artifact],
        closing: Closing,
    ) -> Option<Self> {
        for cell in &open.cells {
            self.set(*cell, State::Registered);
        }
        for artifact in artifacts {
            let fits =
                |now: &Vec<u8>| artifact.stored.iter().all(|(_, stored)| stored.fits(now.len()));
            let first = first_cell(artifact);
            let found: Option<Vec<u8>> = if artifact.doomed {
                let mut places: Vec<Vec<u8>> =
                    here.written(open, first).into_iter().map(|(_, now)| now.clone()).collect();
                places.extend(here.at(&artifact.location));
                places.into_iter().find(fits)
            } else {
                let now = here.at(&artifact.location);
                if !now.as_ref().is_some_and(fits) {
                    if closing == Closing::Revert {
                        return None;
                    }
                    continue;
                }
                for (cell, stored) in &artifact.stored {
                    self.set(*cell, State::Stored(Stored { now: now.clone(), ..stored.clone() }));
                }
                continue;
            };
            match found {
                None if closing == Closing::Revert => return None,
                None => {
                    // A file of the user's that was ingested in place, and damaged.
                    let place = &artifact.location;
                    if !place.contains('~') && here.at(place).is_some() {
                        self.strays.insert(place.clone());
                    }
                }
                Some(now) => {
                    for (cell, stored) in &artifact.stored {
                        let state =
                            Stored { location: None, now: Some(now.clone()), ..stored.clone() };
                        self.set(*cell, State::Stored(state));
                    }
                }
            }
        }
        Some(self)
    }
}

/// The data ID that a key of an artifact has.
fn first_cell(artifact: &Artifact) -> Cell {
    let first = artifact.stored[0].0;
    let Some((readable, _)) = artifact.location.split_once('~') else { return first };
    let named = (0..super::operation::CITIES)
        .find(|city| readable.ends_with(&format!("city={}", super::world::city(*city))));
    (first.0, named.unwrap_or(first.1))
}

fn whole(item: &Item) -> Vec<u8> {
    item.parts.iter().flat_map(|part| part.content.iter().copied()).collect()
}

fn is_same(left: &Item, wanted: &Item) -> bool {
    let parts = |item: &Item| -> Vec<_> {
        let slice = |part: &Part| part.offset.map(|offset| (offset, part.content.clone()));
        item.parts.iter().map(|part| (part.cell, slice(part))).collect()
    };
    parts(left) == parts(wanted)
        && left.place == wanted.place
        && left.source == wanted.source
        && left.expected == wanted.expected
}
