//! What belongs to open transactions, so that nobody calls it an orphan.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use pantler_butler::transaction::{DecodeError, Managed};
use pantler_core::{ArtifactKey, CollectionName, DatasetId, OpeningId, RunId};
use pantler_datastore::key::run_prefix;
use pantler_registry::{
    RegistryError,
    check::{CheckRows, LockedRun, OpenTransaction},
};

use super::Finding;
use crate::DirectButler;

/// What belongs to open transactions.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The openings of open transactions.
    pub(crate) openings: BTreeSet<OpeningId>,
    /// Prefixes of RUNs under which everything belongs to one.
    prefixes: HashSet<String>,
    /// Openings that write what their transactions do not name, see [`written_by`].
    writers: HashSet<String>,
    /// Keys that openings write, as their first attempt does.
    attempts: HashSet<Box<str>>,
    /// Keys that belong to one as they stand.
    keys: HashSet<ArtifactKey>,
    /// The datasets that manifests name, with the transaction.
    datasets: HashMap<DatasetId, Arc<str>>,
    /// RUNs that a transaction fills alone, with its name.
    filled: HashMap<CollectionName, Arc<str>>,
    /// RUNs of transactions whose manifest cannot be read.
    unknown: HashSet<CollectionName>,
}

impl Owners {
    /// Reads the open transactions, and says which of them cannot be read.
    pub(crate) fn read(
        butler: &DirectButler,
        rows: &CheckRows<'_>,
    ) -> Result<(Self, Vec<Finding>), RegistryError> {
        let locked = rows.locked_runs()?;
        let mut owners = Self::default();
        let mut findings = Vec::new();
        for transaction in rows.open_transactions()? {
            findings.extend(owners.take(butler, &transaction, &locked));
        }
        Ok((owners, findings))
    }

    /// Whether an open transaction owns the file at `path`, unfinished forms and those
    /// of other attempts included.
    pub(crate) fn owns(&self, path: &str) -> bool {
        if path.split_once('/').is_some_and(|(prefix, _)| self.prefixes.contains(prefix)) {
            return true;
        }
        let key = path.strip_suffix(".tmp").unwrap_or(path);
        let written = |w: Written<'_>| {
            self.writers.contains(w.opening) || self.attempts.contains(&*w.first_attempt())
        };
        Written::parse(key).is_some_and(written)
            || ArtifactKey::new(key).is_ok_and(|key| self.keys.contains(&key))
    }

    /// Whether an open transaction names the artifact at exactly this path.
    pub(crate) fn names(&self, path: &str) -> bool {
        ArtifactKey::new(path).is_ok_and(|key| self.keys.contains(&key))
    }

    /// The transaction because of which a dataset of `run` must not have a record.
    pub(super) fn manager(
        &self,
        dataset: DatasetId,
        run: Option<&CollectionName>,
    ) -> Option<&Arc<str>> {
        self.datasets.get(&dataset).or_else(|| run.and_then(|run| self.filled.get(run)))
    }

    /// Whether a dataset of `run` without records may be managed by a transaction.
    pub(super) fn may_manage(&self, dataset: DatasetId, run: Option<&CollectionName>) -> bool {
        self.manager(dataset, run).is_some() || run.is_some_and(|run| self.unknown.contains(run))
    }

    fn take(
        &mut self,
        butler: &DirectButler,
        transaction: &OpenTransaction,
        locked: &[LockedRun],
    ) -> Option<Finding> {
        let OpenTransaction { name, kind, data, manifest, .. } = transaction;
        let opening = OpeningId::from_uuid(transaction.opening);
        self.openings.insert(opening);
        let shared: Arc<str> = name.as_str().into();
        let mine = || {
            let mine = locked.iter().filter(|run| run.transaction == *name);
            mine.filter_map(|run| Some((CollectionName::new(&run.run).ok()?, run)))
        };
        let decoded = butler.kinds().decode(kind, data, manifest);
        if decoded.as_ref().map_or(true, |transaction| transaction.is_workspace()) {
            // A workspace owns all that is under its RUN's prefix; of what cannot be
            // decoded nothing better is known.
            for (run, lock) in mine() {
                if let Some(id) = lock.run_id {
                    self.prefixes.insert(run_prefix(&run, RunId::new(id)).to_string());
                }
            }
        }
        match decoded {
            Ok(transaction) => {
                if transaction.is_workspace() && !transaction.has_entered() {
                    let modified = mine().filter(|(_, lock)| lock.modified);
                    self.filled.extend(modified.map(|(run, _)| (run, Arc::clone(&shared))));
                }
                if transaction.writes_unnamed() {
                    self.writers.insert(written_by(opening));
                }
                self.take_managed(opening, &shared, transaction.managed());
                None
            }
            Err(error) => {
                self.unknown.extend(mine().map(|(run, _)| run));
                let code = match error {
                    DecodeError::UnknownKind { .. } => "transaction-unknown-kind",
                    DecodeError::Version { .. } => "transaction-newer",
                    DecodeError::Damaged { .. } => "transaction-damaged",
                };
                Some(Finding::of_transaction(code, name, &**name, error.to_string()))
            }
        }
    }

    fn take_managed(&mut self, opening: OpeningId, name: &Arc<str>, managed: Managed) {
        let Managed { datasets, keys } = managed;
        self.datasets.extend(datasets.into_iter().map(|id| (id, Arc::clone(name))));
        let mine = written_by(opening);
        for key in keys {
            match Written::parse(key.as_str()) {
                Some(written) if written.opening == mine => {
                    self.attempts.insert(written.first_attempt().into());
                }
                Some(written) => {
                    // What survives an abandoned removal gets a key of that opening.
                    let moved = Written { opening: &mine, attempt: "1", ..written };
                    self.attempts.insert(moved.first_attempt().into());
                    self.keys.insert(key);
                }
                None => {
                    self.keys.insert(key);
                }
            }
        }
    }
}

/// What all write ids of an opening begin with.
fn written_by(opening: OpeningId) -> String {
    opening.as_uuid().simple().to_string()[8..].to_owned()
}

/// A key that carries a write id: `<stem>~<opening>-<attempt><extension>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written<'k> {
    stem: &'k str,
    opening: &'k str,
    attempt: &'k str,
    extension: &'k str,
}

impl<'k> Written<'k> {
    /// `None` if the key carries no write id, as that of a file ingested in place.
    pub(crate) fn parse(key: &'k str) -> Option<Self> {
        const OPENING: usize = 24;
        let (stem, rest) = key.rsplit_once('~')?;
        let (write, extension) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        let (opening, attempt) = write.split_at_checked(OPENING)?;
        let attempt = attempt.strip_prefix('-')?;
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let mut numbers = attempt.strip_prefix('r').unwrap_or(attempt).split('-');
        let counted = numbers.all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        (opening.bytes().all(hex) && counted && !extension.contains('/')).then_some(Self {
            stem,
            opening,
            attempt,
            extension,
        })
    }

    /// The key that the first attempt of the opening gives, if this is one of a
    /// transaction; a quantum's attempts stay apart.
    fn first_attempt(&self) -> String {
        let Self { stem, opening, attempt, extension } = self;
        let attempt = if attempt.bytes().all(|b| b.is_ascii_digit()) { "1" } else { attempt };
        format!("{stem}~{opening}-{attempt}{extension}")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const MINE: &str = "90aabbcc7000800000000001";
    const OTHER: &str = "90aabbcc7000800000000002";

    fn owners(keys: &[String]) -> Owners {
        let opening = Uuid::parse_str(&format!("01234567{MINE}")).unwrap();
        let keys = keys.iter().map(|key| ArtifactKey::new(&**key).unwrap()).collect();
        let mut owners = Owners::default();
        let managed = Managed { datasets: Vec::new(), keys };
        owners.take_managed(OpeningId::from_uuid(opening), &"t".into(), managed);
        owners
    }

    #[test]
    fn a_key_of_the_opening_stands_for_every_attempt_and_unfinished_form() {
        let owners = owners(&[format!("w@1/t/city=oslo~{MINE}-1.csv")]);
        for owned in ["-1.csv", "-12.csv.tmp", "-2.csv"] {
            assert!(owners.owns(&format!("w@1/t/city=oslo~{MINE}{owned}")), "{owned}");
        }
        for foreign in [
            format!("w@1/t/city=oslo~{OTHER}-1.csv"),
            format!("w@1/t/city=oslo~{MINE}-1.txt"),
            format!("w@1/t/city=oslo~{MINE}-x.csv"),
            format!("w@1/t/city=oslo~{MINE}-1.csv.tmp.tmp"),
            "w@1/t/city=oslo.csv".to_owned(),
            format!("w@2/t/city=oslo~{MINE}-1.csv"),
        ] {
            assert!(!owners.owns(&foreign), "{foreign}");
        }
    }

    #[test]
    fn other_keys_are_owned_as_they_stand_and_where_an_abandoning_puts_them() {
        let owners = owners(&[format!("w@1/t/a~{OTHER}-2.csv"), "w@1/data/b.csv".to_owned()]);
        for owned in ["w@1/data/b.csv", "w@1/data/b.csv.tmp"] {
            assert!(owners.owns(owned), "{owned}");
        }
        assert!(owners.owns(&format!("w@1/t/a~{OTHER}-2.csv")));
        assert!(owners.owns(&format!("w@1/t/a~{MINE}-3.csv")));
        assert!(!owners.owns(&format!("w@1/t/a~{OTHER}-1.csv")));
        assert!(!owners.owns("w@1/data/c.csv"));
        assert!(owners.names("w@1/data/b.csv") && !owners.names("w@1/data/b.csv.tmp"));
    }

    #[test]
    fn a_locked_run_owns_its_prefix_and_no_other() {
        let mut owners = Owners::default();
        owners.prefixes.insert("w@1".to_owned());
        assert!(owners.owns("w@1/anything"));
        assert!(!owners.owns("w@12/anything"));
        assert!(!owners.owns("w@1"));
    }

    #[test]
    fn write_ids_are_told_from_names_of_people() {
        for written in ["-1.csv", "-2", "-r3-1.log", "-r3-1-2.log", "-7.fits.gz"] {
            assert!(Written::parse(&format!("r@1/t/x~{MINE}{written}")).is_some(), "{written}");
        }
        for other in ["a~b.csv", "a.csv", "a~90aabbcc-1.csv", "a~/x", "~", "a~é-1.csv"] {
            assert!(Written::parse(other).is_none(), "{other}");
        }
    }
}
