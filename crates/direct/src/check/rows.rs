//! The database as the check sees it: what should be in storage, and who owns what.

use std::{collections::HashSet, ops::Range, sync::Arc};

use pantler_core::{CollectionName, DatasetId, Location, RunId};
use pantler_datastore::key::run_prefix;
use pantler_registry::{
    RegistryError,
    check::{CheckRows, RecordRow},
};
use uuid::Uuid;

use super::{
    CheckError, Counts, Finding,
    owners::{Owners, Written},
};
use crate::DirectButler;

/// What one look at the database gave.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The artifacts that records name, by location as it stands.
    pub(crate) artifacts: Vec<Artifact>,
    /// The records, by location.
    records: Vec<Record>,
    /// What open transactions own.
    pub(crate) owners: Owners,
    /// The prefixes of all RUNs.
    pub(super) run_prefixes: HashSet<String>,
    /// Those of RUNs with a record that may not tell where its artifact is: it may be one
    /// of those that nobody seems to own.
    pub(super) doubtful: HashSet<String>,
    /// What is wrong with the rows.
    pub(super) findings: Vec<Finding>,
    /// Whether the rows could not all be read, so that nothing can be said about what
    /// they do not name.
    pub(super) incomplete: bool,
    /// What there is, but for the bytes of artifacts.
    pub(super) counts: Counts,
    stored: HashSet<Uuid>,
    types: HashSet<Arc<str>>,
    /// The RUN that the last record was of, with its prefix.
    last_run: Option<(i64, CollectionName, String)>,
}

/// An artifact that records name.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Its key or URI, as it stands.
    pub(crate) location: Box<str>,
    /// The bytes that it should have: the end of the last slice of a shared one.
    pub(super) size: u64,
    /// Whether its records are slices of it.
    pub(super) sliced: bool,
    /// Whether it can be looked at: its location and the extents of its records are sound.
    pub(crate) sound: bool,
    /// Whether its records cannot all be right.
    pub(super) contradicted: bool,
    records: Range<usize>,
}

/// A datastore record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The dataset; `None` if the row of it is gone.
    pub(crate) dataset: Option<Uuid>,
    /// The name of its type.
    pub(crate) dataset_type: Arc<str>,
    /// Which component of it.
    pub(crate) component: Box<str>,
    /// Where its bytes start; `None` if it is the whole artifact.
    pub(crate) offset: Option<u64>,
    /// How many bytes.
    pub(crate) size: u64,
    /// Of these bytes, as it stands.
    pub(crate) checksum: Vec<u8>,
}

impl Record {
    /// Whose record it is, in words.
    pub(crate) fn label(&self) -> String {
        match self.dataset {
            Some(id) => format!("{} {}", self.dataset_type, id.hyphenated()),
            None => "a dataset that does not exist".to_owned(),
        }
    }
}

impl Snapshot {
    /// Reads everything in one snapshot of the database.
    pub(crate) fn read(butler: &DirectButler) -> Result<Self, CheckError> {
        let mut snapshot = Self::default();
        butler.registry().check(|rows| snapshot.fill(butler, rows))?;
        Ok(snapshot)
    }

    /// The artifact that records name at a path below the storage root.
    pub(crate) fn artifact(&self, path: &str) -> Option<&Artifact> {
        let at = self.artifacts.binary_search_by(|artifact| (*artifact.location).cmp(path)).ok()?;
        Some(&self.artifacts[at])
    }

    /// The records that name an artifact.
    pub(crate) fn records_of(&self, artifact: &Artifact) -> &[Record] {
        &self.records[artifact.records.clone()]
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
        let (owners, unreadable) = self.readable(Owners::read(butler, rows))?;
        self.counts.open_transactions = owners.openings.len();
        self.owners = owners;
        self.findings.extend(unreadable);
        let read = rows.records(|row| {
            self.take_record(row);
            Ok::<_, RegistryError>(())
        });
        self.readable(read)?;
        self.counts.artifacts = self.artifacts.len();
        self.count_datasets(rows)
    }

    fn count_datasets(&mut self, rows: &CheckRows<'_>) -> Result<(), CheckError> {
        let mut counts = self.counts;
        // Datasets of one RUN come mostly together.
        let mut last: Option<CollectionName> = None;
        let read = rows.datasets(|id, run| {
            counts.datasets += 1;
            if self.stored.contains(&id) {
                counts.stored += 1;
                return;
            }
            if last.as_ref().map(CollectionName::as_str) != run {
                last = run.and_then(|run| CollectionName::new(run).ok());
            }
            let managed = self.owners.may_manage(DatasetId::from_uuid(id), last.as_ref());
            *if managed { &mut counts.managed } else { &mut counts.registered_only } += 1;
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

    /// Takes a record; they come by location and offset.
    fn take_record(&mut self, row: RecordRow) {
        let located = self.check_record(&row);
        let (offset, size) = (row.byte_offset.map(u64::try_from).transpose(), row.size.try_into());
        let extent = if let (Ok(offset), Ok(size)) = (offset, size) {
            Some((offset, size))
        } else {
            let offset = row.byte_offset.unwrap_or(0);
            let message = format!("its record has offset {offset} and {} bytes", row.size);
            self.findings.push(Finding::of_rows("record-extent", &*row.uri, message));
            None
        };
        let (offset, size): (Option<u64>, u64) = extent.unwrap_or_default();
        let record = Record {
            dataset: row.dataset,
            dataset_type: self.interned(row.dataset_type.as_deref()),
            component: row.component.into(),
            offset,
            size,
            checksum: row.checksum,
        };
        let at = self.records.len();
        let end = offset.unwrap_or(0).saturating_add(size);
        let sound = located.is_some() && extent.is_some();
        match self.artifacts.last_mut() {
            Some(artifact) if *artifact.location == *row.uri => {
                let first = &self.records[artifact.records.start];
                let same = offset.is_none()
                    && first.offset.is_none()
                    && (first.size, &first.checksum) == (size, &record.checksum);
                let stored = matches!(located, Some(Location::Artifact(_)));
                if stored && !same && size > 0 && offset.unwrap_or(0) < artifact.size {
                    let message =
                        format!("the bytes of {} overlap those of another", record.label());
                    self.findings.push(Finding::of_rows("artifact-overlap", row.uri, message));
                    artifact.contradicted = true;
                    self.doubtful.extend(self.last_run.as_ref().map(|(.., prefix)| prefix.clone()));
                }
                artifact.size = artifact.size.max(end);
                artifact.sliced |= offset.is_some();
                artifact.sound &= sound;
                artifact.records.end = at + 1;
            }
            _ => self.artifacts.push(Artifact {
                location: row.uri.into(),
                size: end,
                sliced: offset.is_some(),
                sound,
                contradicted: false,
                records: at..at + 1,
            }),
        }
        self.records.push(record);
    }

    /// What can be said about a record without looking at storage. Returns where its
    /// artifact is, if that can be said.
    fn check_record(&mut self, row: &RecordRow) -> Option<Location> {
        let location = match Location::new(&row.uri) {
            Ok(location) => Some(location),
            Err(error) => {
                self.findings.push(Finding::of_rows("record-key", &*row.uri, error.to_string()));
                None
            }
        };
        if row.checksum.len() != 32 {
            let message = format!("the checksum has {} bytes, not 32", row.checksum.len());
            self.findings.push(Finding::of_rows("record-checksum", &*row.uri, message));
        }
        let Some(uuid) = row.dataset else { return location };
        self.stored.insert(uuid);
        let id = DatasetId::from_uuid(uuid);
        let label = || format!("{} {id}", row.dataset_type.as_deref().unwrap_or(UNKNOWN_TYPE));
        self.note_run(row);
        let Some((_, run, prefix)) = &self.last_run else { return location };
        if location.is_none() {
            self.doubtful.insert(prefix.clone());
        }
        let manager = self.owners.manager(id, Some(run));
        let managed = manager.map(|name| {
            let message = format!("{} has a record while transaction {name} manages it", label());
            Finding::of_transaction("managed-with-record", name, id.to_string(), message)
        });
        let inside = row.uri.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        // A file that was ingested in place stays where its owner put it.
        let outside = (!inside
            && matches!(location, Some(Location::Artifact(_)))
            && Written::parse(&row.uri).is_some())
        .then(|| {
            let message = format!("{} has its artifact outside of {prefix}/", label());
            Finding::of_rows("record-outside-run", &*row.uri, message)
        });
        self.findings.extend(managed.into_iter().chain(outside));
        location
    }

    /// Notes the RUN of a record with its prefix; most are of the RUN of the one before.
    fn note_run(&mut self, row: &RecordRow) {
        if row.run_id.is_some() && self.last_run.as_ref().map(|(last, ..)| *last) == row.run_id {
            return;
        }
        let named =
            row.run_id.zip(row.run.as_deref().and_then(|run| CollectionName::new(run).ok()));
        self.last_run = named.map(|(id, name)| {
            let prefix = run_prefix(&name, RunId::new(id)).to_string();
            (id, name, prefix)
        });
    }

    fn interned(&mut self, name: Option<&str>) -> Arc<str> {
        let name = name.unwrap_or(UNKNOWN_TYPE);
        if let Some(known) = self.types.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.types.insert(Arc::clone(&name));
        name
    }
}

const UNKNOWN_TYPE: &str = "a dataset of unknown type";
