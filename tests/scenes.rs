//! One transaction of each kind, ready to be opened in a repository that has datasets of
//! its own.

use pantler::{butler::request::TransferMode, core::transaction::Closing};

use crate::players::{Depot, Order};

/// The name of the transaction that a scene is about.
pub(crate) const NAME: &str = "t";

/// The kinds that store artifacts.
pub(crate) const STORING: [&str; 4] = ["put", "ingest", "restore", "transfer"];

/// The kinds that take artifacts away.
pub(crate) const REMOVING: [&str; 3] = ["remove", "purge", "remove-run"];

pub(crate) const CLOSINGS: [Closing; 3] = [Closing::Commit, Closing::Revert, Closing::Abandon];

/// All kinds.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    STORING.into_iter().chain(REMOVING)
}

/// What a RUN holds: items with their content, `None` for what is not stored.
pub(crate) type Contents = Vec<(String, Option<String>)>;

/// A repository, and what is to be done to it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) depot: Depot,
    /// Datasets come from here, if they come from another repository.
    _source: Option<Depot>,
    pub(crate) order: Order,
    /// What the RUN `r` holds before.
    pub(crate) before: Contents,
}

impl Scene {
    /// The RUN `r` has two datasets that are stored and two that are registered only, and
    /// another RUN one. The transaction is about two datasets of `r`.
    pub(crate) fn new(kind: &str) -> Self {
        let depot = Depot::new(10);
        let ids: Vec<_> =
            (0..4).map(|n| depot.put("r", &format!("i000{n}"), &format!("content {n}"))).collect();
        depot.put("bystander", "i0000", "of another RUN");
        depot.did(&Order::remove(&ids[2..]));
        let (mut order, mut source) = (None, None);
        if kind == "transfer" {
            let other = Depot::new(10);
            let theirs = ["i0004", "i0005"].map(|item| other.put("r", item, "transferred"));
            order = Some(Order::transfer(&other.repo(), &theirs, TransferMode::Copy));
            source = Some(other);
        }
        let order = order.unwrap_or_else(|| match kind {
            "put" => Order::put("r", &[("i0004", "four"), ("i0005", "five")]),
            "ingest" => {
                let files = ["i0004", "i0005"].map(|item| (item, depot.file(item, "ingested")));
                Order::ingest("r", &files, TransferMode::Copy)
            }
            "restore" => Order::restore_all(&[(ids[2], "again 2"), (ids[3], "again 3")]),
            "remove" => Order::remove(&ids[..2]),
            "purge" => Order::purge(&ids[..2]),
            "remove-run" => Order::remove_run("r"),
            other => panic!("no scene for {other}"),
        });
        let before = depot.contents("r");
        Self { depot, _source: source, order: order.named(NAME), before }
    }

    /// The same, opened by a process that was killed at a step.
    pub(crate) fn killed_at(kind: &str, step: &str) -> Self {
        let scene = Self::new(kind);
        scene.depot.killed(&scene.order, step);
        assert_eq!(scene.depot.open_names(), [NAME]);
        scene
    }

    /// What `r` holds now.
    pub(crate) fn now(&self) -> Contents {
        self.depot.contents("r")
    }

    /// What `r` holds when the transaction has been closed, with all its artifacts whole
    /// at that moment.
    pub(crate) fn after(&self, kind: &str, closing: Closing) -> Contents {
        let mut after = self.before.clone();
        let whole = |after: &mut Contents, contents: [(&str, &str); 2]| {
            after.retain(|(item, _)| contents.iter().all(|(new, _)| new != item));
            after.extend(contents.map(|(item, content)| (item.into(), Some(content.into()))));
        };
        match (kind, closing) {
            // An abandon keeps what is whole: of a removal, all.
            (_, Closing::Revert) | ("remove" | "purge" | "remove-run", Closing::Abandon) => {}
            ("put", _) => whole(&mut after, [("i0004", "four"), ("i0005", "five")]),
            ("ingest", _) => whole(&mut after, [("i0004", "ingested"), ("i0005", "ingested")]),
            ("restore", _) => whole(&mut after, [("i0002", "again 2"), ("i0003", "again 3")]),
            ("transfer", _) => {
                whole(&mut after, [("i0004", "transferred"), ("i0005", "transferred")]);
            }
            ("remove", _) => after[..2].iter_mut().for_each(|(_, content)| *content = None),
            ("purge", _) => drop(after.drain(..2)),
            ("remove-run", _) => after.clear(),
            (other, _) => panic!("no scene for {other}"),
        }
        after
    }

    /// The datasets of the transaction registered and not stored, all else as before.
    pub(crate) fn nothing_stored(&self, kind: &str) -> Contents {
        let mut contents = if REMOVING.contains(&kind) {
            self.before.clone()
        } else {
            self.after(kind, Closing::Commit)
        };
        let mine: &[&str] = match kind {
            "put" | "ingest" | "transfer" => &["i0004", "i0005"],
            "restore" => &["i0002", "i0003"],
            _ => &["i0000", "i0001"],
        };
        for (item, content) in &mut contents {
            if mine.contains(&item.as_str()) {
                *content = None;
            }
        }
        contents
    }

    /// What is not of the transaction is as it was.
    #[track_caller]
    pub(crate) fn bystander_is_whole(&self) {
        let of_another = Some("of another RUN".to_owned());
        assert_eq!(self.depot.contents("bystander"), [("i0000".to_owned(), of_another)]);
    }
}
