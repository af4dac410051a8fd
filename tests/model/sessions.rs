//! Put sessions: what they do to the model, put by put.

use std::collections::BTreeSet;

use pantler::{
    butler::request::StoreReport,
    core::transaction::{Closing, Process},
    direct::StoreError,
};

use super::{
    apply::Asked,
    rules::Plan,
    state::{Model, Open, State, Stored, UNNAMED, Work},
    world::{self, Said, World},
};

pub(super) const KIND: &str = "put-session";

/// A session, with the (city, content) of its puts.
pub(super) struct Session<'a> {
    pub(super) run: u8,
    pub(super) items: &'a [(u8, u8)],
    pub(super) name: Option<u8>,
    pub(super) take_over: bool,
    pub(super) finish: bool,
}

/// How a put ended.
#[derive(Debug)]
enum Answer {
    /// Its dataset is there.
    Stored,
    /// It left nothing.
    Refused(String),
    /// One or the other.
    Unknown(String),
}

impl Session<'_> {
    /// Opens it, puts, and ends it unless it is to be left open.
    pub(super) fn ask(&self, world: &World, model: &Model, process: &Process) -> Asked {
        let butler = world.butler();
        let name = self.name.map(Model::name);
        let (opened, undone) = self.opened(model, process);
        let run = world::run_name(self.run);
        let puts = match butler.put_session(&run, name.as_ref(), self.take_over) {
            Ok(puts) => puts,
            Err(error) => {
                let done: Vec<Model> = opened.into_iter().collect();
                let open = [&undone[..], &done[..]].concat();
                return Asked::new(Said::of_store(&error), Plan { done, undone, open });
            }
        };
        let Some(opened) = opened else { return Asked::new(Said::Done, Plan::refused()) };
        let daily = world::dataset_type(butler.universe());
        let (mut report, mut cells, mut answers) = (StoreReport::default(), Vec::new(), Vec::new());
        for (city, number) in self.items {
            let data_id = world::data_id(butler.universe(), *city);
            let put = puts.put(&world::content(*number), &daily.name, &data_id);
            answers.push(match put {
                Ok(dataset) => {
                    report.ids.push(dataset.id);
                    cells.push((self.run, *city));
                    Answer::Stored
                }
                Err(error @ StoreError::PutUnknown { .. }) => Answer::Unknown(world::chain(&error)),
                Err(error) => Answer::Refused(world::chain(&error)),
            });
        }
        let report = Some((report, cells));
        let (open, wrong) = self.answered(opened, &answers);
        let close = |model: &Model| {
            let mut model = model.clone();
            model.open.remove(self.key());
            model
        };
        let closed: Vec<Model> = open.iter().map(close).collect();
        let finished = if self.finish {
            puts.finish()
        } else {
            drop(puts);
            Ok(())
        };
        let plan = match finished {
            Err(error) => {
                let mut open = open;
                for model in &mut open {
                    model.may_begin(self.key(), &[None, Some(Closing::Commit)]);
                }
                let plan = Plan { done: closed, undone: Vec::new(), open };
                return Asked { said: Said::of_store(&error), plan, report };
            }
            Ok(()) if self.finish => closed,
            Ok(()) => open,
        };
        match wrong {
            None => {
                let plan = Plan { done: plan, ..Plan::default() };
                Asked { said: Said::Done, plan, report }
            }
            Some(reason) => {
                let plan = Plan { done: plan.clone(), undone: plan, ..Plan::default() };
                Asked { said: Said::Failed(reason), plan, report }
            }
        }
    }

    /// The model with the session open, if it can be opened, and what an opening that fails
    /// may leave of the sessions that it ends.
    fn opened(&self, model: &Model, process: &Process) -> (Option<Model>, Vec<Model>) {
        let is_session = |open: &Open| open.kind == KIND && open.inserting.contains(&self.run);
        let is_dead =
            |holder: &Process| holder.host == process.host && holder.boot_id != process.boot_id;
        let mut ending: Vec<&str> = (model.open.iter())
            .filter(|(_, open)| is_session(open) && is_dead(&open.holder))
            .map(|(name, _)| name.as_str())
            .collect();
        let name = self.key();
        let taken = model.open.get(name).filter(|_| !ending.contains(&name));
        // That of a dead process on whatever RUN it is.
        let ends = taken.is_some_and(|open| {
            open.kind == KIND && is_dead(&open.holder) || self.take_over && is_session(open)
        });
        if ends {
            ending.push(name);
        }
        let mut undone = Vec::new();
        for chosen in 0..(1_u32 << ending.len()) {
            let mut left = model.clone();
            for (n, name) in ending.iter().enumerate() {
                if chosen & (1 << n) != 0 {
                    left.open.remove(*name);
                } else {
                    let began = left.open[*name].began;
                    left.may_begin(name, &[began, began.or(Some(Closing::Commit))]);
                }
            }
            undone.push(left);
        }
        if taken.is_some() && !ends || model.locks(self.run).modified {
            return (None, undone);
        }
        let mut opened = model.clone();
        for name in &ending {
            opened.open.remove(*name);
        }
        let session = Open {
            kind: KIND,
            modified: BTreeSet::new(),
            inserting: BTreeSet::from([self.run]),
            cells: BTreeSet::new(),
            work: Work::Storing { items: Vec::new(), made: BTreeSet::new() },
            began: None,
            may: Vec::new(),
            opening: None,
            attempt: 1,
            holder: process.clone(),
        };
        opened.insert_open(name, session);
        (Some(opened), undone)
    }

    /// The name that the session has in the model.
    fn key(&self) -> &'static str {
        const NAMES: [&str; super::operation::NAMES as usize] = ["n0", "n1", "n2"];
        self.name.map_or(UNNAMED, |name| NAMES[usize::from(name)])
    }

    /// What may be there after these answers, and the first one that nothing in the model
    /// is a reason for.
    fn answered(&self, opened: Model, answers: &[Answer]) -> (Vec<Model>, Option<String>) {
        let (mut models, mut wrong) = (vec![opened], None);
        for ((city, number), answer) in self.items.iter().zip(answers) {
            let stored: Vec<Model> =
                models.iter().filter_map(|model| self.put(model, *city, *number)).collect();
            let reason = match answer {
                Answer::Stored => {
                    models = stored;
                    continue;
                }
                Answer::Refused(_) if stored.is_empty() => continue,
                Answer::Refused(reason) => reason,
                Answer::Unknown(reason) => {
                    models.extend(stored);
                    reason
                }
            };
            wrong.get_or_insert_with(|| reason.clone());
        }
        (models, wrong)
    }

    /// After a put; `None` if it is refused.
    fn put(&self, model: &Model, city: u8, number: u8) -> Option<Model> {
        let (cell, content) = ((self.run, city), world::content(number));
        match model.state(cell) {
            Some(State::Stored(stored)) => {
                (stored.content == content && stored.is_whole()).then(|| model.clone())
            }
            Some(State::Registered | State::Managed(_)) => None,
            None => {
                let mut model = model.clone();
                let now = Some(content.clone());
                let stored = Stored { location: None, offset: None, content, now };
                model.set(cell, State::Stored(stored));
                Some(model)
            }
        }
    }
}
