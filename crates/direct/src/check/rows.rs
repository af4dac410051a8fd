//! The database as the check sees it: what should be in storage, and who owns what.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pantler_butler::{ingest::Ingest, transaction::TransactionKind as _};
use pantler_core::{ArtifactKey, CollectionName, DatasetId, OpeningId, RunId};
use pantler_datastore::key::run_prefix;
use pantler_registry::{
    RegistryError,
    check::{CheckRows, LockedRun, OpenTransaction, RecordRow},
};
use uuid::Uuid;

use super::{CheckError, Counts, Finding};
use crate::DirectButler;

/// What one look at the database gave.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The artifacts that records name, by key as it stands.
    pub(super) artifacts: BTreeMap<Box<str>, Artifact>,
    /// What open transactions own.
    pub(super) owners: Owners,
    /// The openings of open transactions.
    pub(super) openings: BTreeSet<OpeningId>,
    /// The prefixes of all RUNs.
    pub(super) run_prefixes: HashSet<String>,
    /// What is wrong with the rows.
    pub(super) findings: Vec<Finding>,
    /// Whether the rows could not all be read, so that nothing can be said about what
    /// they do not name.
    pub(super) incomplete: bool,
    /// What there is, but for the bytes and number of artifacts.
    pub(super) counts: Counts,
    stored: HashSet<Uuid>,
}

/// An artifact that records name.
#[derive(Debug)]
pub(super) struct Artifact {
    /// The bytes that it should have: the end of the last slice of a shared one.
    pub(super) size: u64,
    /// Who needs it, in words.
    pub(super) dataset: String,
    /// How many datasets share it; 0 if it belongs to one.
    pub(super) slices: usize,
}

/// What belongs to open transactions.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Prefixes of RUNs under which everything belongs to one.
    prefixes: HashSet<String>,
    /// Keys in manifests, as the first attempt writes them.
    manifests: HashSet<ArtifactKey>,
    /// The datasets that a manifest registers, with the transaction's name.
    datasets: HashMap<DatasetId, String>,
    /// RUNs that one modifies alone, with its name.
    modified: HashMap<CollectionName, String>,
}

impl Owners {
    /// Whether an open transaction owns the file at `path`, unfinished forms and those
    /// of other attempts included.
    pub(super) fn owns(&self, path: &str) -> bool {
        if path.split_once('/').is_some_and(|(prefix, _)| self.prefixes.contains(prefix)) {
            return true;
        }
        let key = path.strip_suffix(".tmp").unwrap_or(path);
        first_attempt(key).is_some_and(|key| self.manifests.contains(&key))
    }
}

/// The key that the first attempt at an opening would have instead of `key`.
fn first_attempt(key: &str) -> Option<ArtifactKey> {
    let (stem, rest) = key.rsplit_once('~')?;
    let (write, extension) = rest.split_once('.')?;
    let (opening, attempt) = write.rsplit_once('-')?;
    let counted = !attempt.is_empty() && attempt.bytes().all(|b| b.is_ascii_digit());
    counted.then(|| ArtifactKey::new(format!("{stem}~{opening}-1.{extension}")).ok()).flatten()
}

impl Snapshot {
    /// Reads everything in one snapshot of the database.
    pub(super) fn read(butler: &DirectButler) -> Result<Self, CheckError> {
        let mut snapshot = Self::default();
        butler.registry().check(|rows| snapshot.fill(butler, rows))?;
        Ok(snapshot)
    }

    fn fill(&mut self, butler: &DirectButler, rows: &CheckRows<'_>) -> Result<(), CheckError> {
        let found = rows.findings().map(|found| found.into_iter().map(Finding::row).collect());
        let found: Vec<Finding> = self.readable(found)?;
        self.findings.extend(found);
        for (id, name) in self.readable(rows.runs())? {
            // A name that cannot be one is a finding of its own, and has no prefix.
            if let Ok(name) = CollectionName::new(&name) {
                self.run_prefixes.insert(run_prefix(&name, RunId::new(id)).to_string());
            }
        }
        let locked = self.readable(rows.locked_runs())?;
        let open = self.readable(rows.open_transactions())?;
        for transaction in &open {
            self.openings.insert(OpeningId::from_uuid(transaction.opening));
            self.take_transaction(butler, transaction, &locked);
        }
        let mut records = Vec::new();
        let read = rows.records(|row| {
            records.push(row);
            Ok::<_, RegistryError>(())
        });
        self.readable(read)?;
        self.take_records(records);
        self.counts.open_transactions = self.openings.len();
        let mut counts = self.counts;
        let read = rows.datasets(|id, run| {
            counts.datasets += 1;
            let managed = self.owners.datasets.contains_key(&DatasetId::from_uuid(id))
                || run.is_some_and(|run| self.owners.modified.keys().any(|m| m.as_str() == run));
            *if self.stored.contains(&id) {
                &mut counts.stored
            } else if managed {
                &mut counts.managed
            } else {
                &mut counts.registered_only
            } += 1;
        });
        self.readable(read)?;
        self.counts = counts;
        Ok(())
    }

    /// The value, or an empty one and a finding if the rows are damaged.
    fn readable<T: Default>(&mut self, read: Result<T, RegistryError>) -> Result<T, CheckError> {
        match read {
            Ok(value) => Ok(value),
            Err(RegistryError::Corrupt { path, detail }) => {
                self.incomplete = true;
                self.findings.push(Finding::of_rows("database-damaged", path, detail));
                Ok(T::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes what an open transaction owns.
    fn take_transaction(
        &mut self,
        butler: &DirectButler,
        transaction: &OpenTransaction,
        locked: &[LockedRun],
    ) {
        let OpenTransaction { name, kind, data, manifest, .. } = transaction;
        let mine = || locked.iter().filter(|run| run.transaction == *name);
        for run in mine().filter(|run| run.modified) {
            if let Ok(run) = CollectionName::new(&run.run) {
                self.owners.modified.insert(run, name.clone());
            }
        }
        if kind == Ingest::KIND {
            match Ingest::decode(data, manifest) {
                Ok(ingest) => {
                    for item in ingest.items() {
                        self.owners.manifests.extend(first_attempt(item.key.as_str()));
                        self.owners.datasets.insert(item.dataset, name.clone());
                    }
                    return;
                }
                Err(error) => self.findings.push(Finding::of_transaction(
                    "transaction-unreadable",
                    name,
                    name,
                    error.to_string(),
                )),
            }
        } else if let Err(error) = butler.kinds().decode(kind, data, manifest) {
            self.findings.push(Finding::of_transaction(
                "transaction-unreadable",
                name,
                name,
                error.to_string(),
            ));
        }
        // A workspace owns all that is under its RUN's prefix; of what cannot be
        // decoded nothing better is known.
        for run in mine() {
            if let (Ok(name), Some(id)) = (CollectionName::new(&run.run), run.run_id) {
                self.owners.prefixes.insert(run_prefix(&name, RunId::new(id)).to_string());
            }
        }
    }

    /// Takes records, which come by key and offset.
    fn take_records(&mut self, records: Vec<RecordRow>) {
        for record in records {
            let dataset = describe(&record);
            self.check_record(&record, &dataset);
            let (offset, size) = (record.byte_offset.unwrap_or(0), record.size);
            let (Ok(offset), Ok(size)) = (u64::try_from(offset), u64::try_from(size)) else {
                let message = format!("its record has offset {offset} and {size} bytes");
                self.findings.push(Finding::of_rows("record-extent", record.uri, message));
                continue;
            };
            let end = offset.saturating_add(size);
            let shared = usize::from(record.byte_offset.is_some());
            match self.artifacts.get_mut(record.uri.as_str()) {
                None => {
                    let artifact = Artifact { size: end, dataset, slices: shared };
                    self.artifacts.insert(record.uri.into_boxed_str(), artifact);
                }
                Some(artifact) => {
                    if offset < artifact.size && size > 0 {
                        let message = format!("the bytes of {dataset} overlap those of another");
                        let finding = Finding::of_rows("artifact-overlap", record.uri, message);
                        self.findings.push(finding);
                    }
                    artifact.size = artifact.size.max(end);
                    artifact.slices += shared;
                }
            }
        }
    }

    /// What can be said about a record without looking at storage.
    fn check_record(&mut self, record: &RecordRow, dataset: &str) {
        if let Err(error) = ArtifactKey::new(&*record.uri) {
            self.findings.push(Finding::of_rows("record-key", &*record.uri, error.to_string()));
        }
        if record.checksum.len() != 32 {
            let message = format!("the checksum has {} bytes, not 32", record.checksum.len());
            self.findings.push(Finding::of_rows("record-checksum", &*record.uri, message));
        }
        let Some(uuid) = record.dataset else { return };
        self.stored.insert(uuid);
        let id = DatasetId::from_uuid(uuid);
        let run = record.run.as_deref().and_then(|run| CollectionName::new(run).ok());
        let manager = self
            .owners
            .datasets
            .get(&id)
            .or_else(|| run.as_ref().and_then(|run| self.owners.modified.get(run)));
        if let Some(name) = manager {
            let message = format!("{dataset} has a record while transaction {name} manages it");
            let finding =
                Finding::of_transaction("managed-with-record", name, id.to_string(), message);
            self.findings.push(finding);
        }
        if let (Some(run), Some(run_id)) = (run, record.run_id) {
            let prefix = run_prefix(&run, RunId::new(run_id)).to_string();
            let below = record.uri.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/'));
            if !below {
                let message = format!("{dataset} has its artifact outside of {prefix}/");
                self.findings.push(Finding::of_rows("record-outside-run", &*record.uri, message));
            }
        }
    }
}

fn describe(record: &RecordRow) -> String {
    let dataset_type = record.dataset_type.as_deref().unwrap_or("a dataset of unknown type");
    match record.dataset {
        Some(id) => format!("{dataset_type} {}", id.hyphenated()),
        None => "a dataset that does not exist".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_owns_every_attempt_and_unfinished_form() {
        let mut owners = Owners::default();
        owners.manifests.extend(first_attempt("w@1/t/city=oslo~90aabbcc-1.csv"));
        for owned in ["w@1/t/city=oslo~90aabbcc-1.csv", "w@1/t/city=oslo~90aabbcc-12.csv.tmp"] {
            assert!(owners.owns(owned), "{owned}");
        }
        for foreign in [
            "w@1/t/city=oslo~90aabbcd-1.csv",
            "w@1/t/city=oslo~90aabbcc-1.txt",
            "w@1/t/city=oslo~90aabbcc-x.csv",
            "w@1/t/city=oslo~90aabbcc-1.csv.tmp.tmp",
            "w@1/t/city=oslo.csv",
            "w@2/t/city=oslo~90aabbcc-1.csv",
        ] {
            assert!(!owners.owns(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_locked_run_owns_its_prefix_and_no_other() {
        let mut owners = Owners::default();
        owners.prefixes.insert("w@1".to_owned());
        assert!(owners.owns("w@1/anything"));
        assert!(!owners.owns("w@12/anything"));
        assert!(!owners.owns("w@1"));
    }
}
