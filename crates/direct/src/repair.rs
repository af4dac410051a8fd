//! `pantler check --repair`: what can be put right without guessing.
//!
//! | found | done |
//! | --- | --- |
//! | a file that nobody owns, a link to a file or to nowhere | moved to the quarantine, never deleted |
//! | an artifact that is missing, and lies whole in the quarantine | moved back |
//! | an artifact that is missing or is not what its records say | what is there is moved to the quarantine, then the records of all its datasets are dropped in one database transaction: they are registered only |
//! | a file outside of the storage that is missing or changed | never touched; the records are dropped |
//! | rows that contradict each other | nothing: said, with the code |
//!
//! Others may go on writing meanwhile. What was moved away is looked for in the
//! database once more, and moved back if somebody has come to own it: a file that lies
//! in the storage already can be ingested in place. Records are dropped only if they are,
//! under the write lock, still the ones that were seen, and no open transaction modifies
//! their RUN.
//!
//! | a kill after | leaves | the next repair |
//! | --- | --- | --- |
//! | a move to the quarantine | the file there; perhaps records without an artifact | drops them, or moves the file back if it is what they say |
//! | a move back | nothing | – |
//! | the records were dropped | datasets that are registered only | – |

mod moves;
mod quarantine;

use std::fmt;

use camino::Utf8PathBuf;
use pantler_core::{DatasetId, changes::Change};
use pantler_datastore::StorageError;
use pantler_registry::{Droppable, RegistryError, SeenRecord};

use self::quarantine::Quarantine;
use crate::{
    DirectButler,
    check::{CheckError, CheckOptions, CheckReport, Examined, Found, Lost, Remedy, examine},
};

/// How often what a repair brings to light is repaired, too.
const ROUNDS: u32 = 4;

/// How to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairOptions {
    /// How closely to look.
    pub check: CheckOptions,
    /// Change nothing, only say what would be done.
    pub dry_run: bool,
}

/// What a repair did.
#[derive(Debug)]
pub struct RepairReport {
    /// In the order in which it was done, or would be.
    pub actions: Vec<Action>,
    /// The folder that took what was moved away; `None` if nothing was.
    pub quarantine: Option<Utf8PathBuf>,
    /// What is left: the check after the repair, or without one the check itself.
    pub left: CheckReport,
}

/// Something that a repair did, would do, or did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What.
    pub kind: ActionKind,
    /// The path, URI or dataset.
    pub subject: String,
    /// Why.
    pub detail: String,
}

/// What a repair does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// A file or link was moved to the quarantine.
    Quarantined,
    /// It was moved back to where it came from.
    PutBack,
    /// The records of a dataset were dropped: it is registered only.
    RecordsDropped,
    /// Left as it is.
    Skipped,
}

impl ActionKind {
    /// A stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::PutBack => "put-back",
            Self::RecordsDropped => "records-dropped",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A repair could not go on. What it did until then stays, and the same call again does
/// the rest.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The database does not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The quarantine cannot be used.
    #[error("cannot use the quarantine")]
    Quarantine(#[from] StorageError),
}

/// Repairs what a check finds, and tells `said` each action as it is done.
///
/// # Errors
/// [`RepairError`]; the repository is then consistent as it stands, and the same call
/// again does what is left.
pub fn repair(
    butler: &DirectButler,
    options: &RepairOptions,
    said: &mut dyn FnMut(&Action),
) -> Result<RepairReport, RepairError> {
    let mut repair = Repair {
        butler,
        root: butler.root().join(&butler.datastore().config().root),
        dry_run: options.dry_run,
        quarantine: Quarantine::of(butler),
        actions: Vec::new(),
        said,
    };
    repair.put_back_owned()?;
    let mut round = 1;
    let left = loop {
        let examined = examine(butler, options.check)?;
        let before = repair.done();
        repair.repair(&examined)?;
        if options.dry_run || repair.done() == before {
            break examined;
        }
        if round == ROUNDS {
            break examine(butler, options.check)?;
        }
        round += 1;
    };
    let Repair { actions, quarantine, .. } = repair;
    Ok(RepairReport { actions, quarantine: quarantine.made(), left: left.report() })
}

struct Repair<'a> {
    butler: &'a DirectButler,
    /// Of the storage.
    root: Utf8PathBuf,
    dry_run: bool,
    quarantine: Quarantine,
    actions: Vec<Action>,
    said: &'a mut dyn FnMut(&Action),
}

impl Repair<'_> {
    fn say(&mut self, kind: ActionKind, subject: impl Into<String>, detail: impl Into<String>) {
        let action = Action { kind, subject: subject.into(), detail: detail.into() };
        // What is skipped is skipped again in each round.
        if action.kind == ActionKind::Skipped && self.actions.contains(&action) {
            return;
        }
        (self.said)(&action);
        self.actions.push(action);
    }

    /// How much was done that may have changed what a check finds.
    fn done(&self) -> usize {
        self.actions.iter().filter(|action| action.kind != ActionKind::Skipped).count()
    }

    fn repair(&mut self, examined: &Examined) -> Result<(), RepairError> {
        let mut away = Vec::new();
        let mut lost = Vec::new();
        for Found { finding, remedy } in &examined.found {
            match remedy {
                Remedy::None => {}
                Remedy::Quarantine => away.push((finding.subject.as_str(), finding.code)),
                Remedy::Drop(artifact) => lost.push((finding, artifact)),
            }
        }
        self.move_away(&away)?;
        let mut drops = Vec::new();
        for (finding, artifact) in lost {
            if self.put_back_whole(&finding.subject, artifact)? {
                continue;
            }
            drops.extend(self.prepare(&finding.subject, finding.code, artifact)?);
        }
        self.quarantine.flush()?;
        self.drop_records(drops)
    }

    /// Sees whether the records of an artifact may be dropped, and moves away what
    /// stands in its place.
    fn prepare(
        &mut self,
        location: &str,
        code: &'static str,
        artifact: &Lost,
    ) -> Result<Option<Drop>, RepairError> {
        let records: Vec<_> = artifact.records.iter().filter_map(|r| seen(location, r)).collect();
        if records.is_empty() {
            self.say(ActionKind::Skipped, location, "its records belong to no dataset");
            return Ok(None);
        }
        let now = self.butler.registry().read(|reader| not_droppable(reader, &records))?;
        if let Some(reason) = now {
            self.say(ActionKind::Skipped, location, reason);
            return Ok(None);
        }
        if artifact.misplaced && !self.move_one(location, code) {
            return Ok(None);
        }
        let labels = artifact.records.iter().filter(|r| r.dataset.is_some());
        let labels = labels.map(crate::check::rows::Record::label).collect();
        let misplaced = artifact.misplaced;
        Ok(Some(Drop { location: location.to_owned(), code, records, labels, misplaced }))
    }

    /// Drops all records of the datasets, in one database transaction.
    fn drop_records(&mut self, drops: Vec<Drop>) -> Result<(), RepairError> {
        if drops.is_empty() {
            return Ok(());
        }
        let mut reasons = vec![None; drops.len()];
        if !self.dry_run {
            let now = self.butler.environment().clock.now();
            pantler_seam::step("repair.records");
            reasons = self.butler.registry().write(|writer| {
                let mut reasons = Vec::with_capacity(drops.len());
                for drop in &drops {
                    reasons.push(not_droppable(writer, &drop.records)?);
                }
                let allowed = drops.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
                let mut datasets: Vec<DatasetId> =
                    allowed.flat_map(|(drop, _)| drop.records.iter().map(|r| r.dataset)).collect();
                datasets.sort_unstable();
                datasets.dedup();
                writer.apply(&[Change::DiscardRecords(datasets)], now)?;
                Ok::<_, RegistryError>(reasons)
            })?;
            pantler_seam::step("repair.records.dropped");
        }
        for (drop, reason) in drops.into_iter().zip(reasons) {
            match reason {
                None => {
                    let mut labels = drop.labels;
                    labels.sort();
                    labels.dedup();
                    for label in labels {
                        let detail = format!("{} {}", drop.code, drop.location);
                        self.say(ActionKind::RecordsDropped, label, detail);
                    }
                }
                Some(reason) => {
                    if drop.misplaced {
                        self.move_back(&drop.location, "its records stay");
                    }
                    self.say(ActionKind::Skipped, drop.location, reason);
                }
            }
        }
        Ok(())
    }
}

/// Records to be dropped.
struct Drop {
    location: String,
    code: &'static str,
    records: Vec<SeenRecord>,
    labels: Vec<String>,
    /// Whether what stood in the place of the artifact was moved away.
    misplaced: bool,
}

fn seen(location: &str, record: &crate::check::rows::Record) -> Option<SeenRecord> {
    Some(SeenRecord {
        dataset: DatasetId::from_uuid(record.dataset?),
        component: record.component.to_string(),
        uri: location.to_owned(),
        byte_offset: record.offset,
        size: record.size,
        checksum: record.checksum.clone(),
    })
}

/// Why records may not be dropped, if one of them may not.
fn not_droppable(
    reader: &pantler_registry::Reader,
    records: &[SeenRecord],
) -> Result<Option<String>, RegistryError> {
    for record in records {
        match reader.droppable(record)? {
            Droppable::Yes => {}
            Droppable::Changed => {
                return Ok(Some(format!("the record of {} has changed meanwhile", record.dataset)));
            }
            Droppable::Locked(transaction) => {
                let reason = format!("transaction {transaction} is open and modifies its RUN");
                return Ok(Some(reason));
            }
        }
    }
    Ok(None)
}
