//! Datasets, and whole RUNs, are removed.
//!
//! The opening database transaction takes the lock on the RUNs first, reads references
//! and records under it, writes the manifest and takes the records away; see
//! [`pantler_butler::removal`] for the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pantler_butler::{
    removal::{Extent, Fate, Removal, RemovedArtifact, RemovedDataset, RunRemoval},
    request::{RemoveReport, RemoveRequest},
    transaction::{ArtifactTransaction, Open, TransactionKind},
};
use pantler_core::{
    ArtifactKey, CollectionName, CollectionType, DatasetId, DatasetRef, FileRecord, Location,
    RunId, TransactionName, WriteId,
    transaction::{Closing, TransactionRow},
};
use pantler_datastore::key;
use pantler_registry::{DatasetQuery, DatasetRow, LockKind, Reader, RegistryError};

use crate::{ButlerError, CloseError, CloseOptions, DirectButler, close::Holder, store::own_name};

/// Removing failed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// An open workspace reads from the RUN.
    #[error("run `{run}` is an input of the open workspace `{workspace}`, which may read it still")]
    Input {
        /// The RUN.
        run: CollectionName,
        /// The workspace's transaction.
        workspace: TransactionName,
    },
    /// A chain names the RUN.
    #[error("run `{run}` is in the chain{} {}", if .chains.len() == 1 { "" } else { "s" }, names(.chains))]
    InChain {
        /// The RUN.
        run: CollectionName,
        /// The chains.
        chains: Vec<CollectionName>,
    },
    /// Not a RUN.
    #[error("`{name}` is a {found} collection, not a RUN")]
    NotARun {
        /// The name.
        name: CollectionName,
        /// What it is.
        found: CollectionType,
    },
    /// The removal is open, and was not finished.
    #[error("the removal was not finished")]
    NotClosed {
        /// Why.
        #[source]
        source: Box<CloseError>,
    },
    /// The repository could not be read, or the transaction not be opened.
    #[error(transparent)]
    Butler(#[from] ButlerError),
}

fn names(names: &[CollectionName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<RegistryError> for RemoveError {
    fn from(error: RegistryError) -> Self {
        Self::Butler(error.into())
    }
}

impl DirectButler {
    /// Removes datasets and their artifacts. The datasets stay registered, unless it is a
    /// purge. The same request under the same name finishes what a killed call left.
    ///
    /// # Errors
    /// [`RemoveError`]; unless it says otherwise, nothing was changed.
    pub fn remove_datasets(&self, request: &RemoveRequest) -> Result<RemoveReport, RemoveError> {
        if request.datasets.is_empty() {
            return Ok(RemoveReport::default());
        }
        if let Some((left, row)) = self.left::<Removal>(request.name.as_ref())? {
            let is_same = left.is_asked_for_by(request);
            return self.go_on_removing(&row, &left, &left, is_same);
        }
        let opening = self.environment().new_opening();
        let own = own_name("remove", opening);
        let name = request.name.as_ref().unwrap_or(&own);
        let write = WriteId::of_opening(opening, 1);
        let open = self.begin_with(name, opening, Some(Closing::Commit), |writer| {
            describe(writer, request, &write)
        })?;
        let report = report_of(open.transaction());
        self.finish_removal(open, report)
    }

    /// Unstores datasets whose artifacts were seen to be lost. One whose records are not
    /// the ones that were seen any more is left: somebody else has stored it again.
    pub(crate) fn unstore_seen(
        &self,
        name: Option<&TransactionName>,
        seen: &[(DatasetId, Vec<FileRecord>)],
    ) -> Result<(), RemoveError> {
        let opening = self.environment().new_opening();
        let own = own_name("remove", opening);
        let write = WriteId::of_opening(opening, 1);
        let name = name.unwrap_or(&own);
        let open = self.begin_with(name, opening, Some(Closing::Commit), |writer| {
            let ids = Some(seen.iter().map(|(id, _)| *id).collect());
            let mut rows = writer.datasets(&DatasetQuery { ids, ..DatasetQuery::default() })?;
            let seen: HashMap<DatasetId, &Vec<FileRecord>> =
                seen.iter().map(|(id, records)| (*id, records)).collect();
            rows.retain(|row| seen.get(&row.dataset.id).is_some_and(|s| **s == row.records));
            removal_of(writer, rows, Extent::Unstore, true, &write, BTreeSet::new())
        })?;
        let report = report_of(open.transaction());
        self.finish_removal(open, report).map(drop)
    }

    /// Says what [`Self::remove_datasets`] would do, and changes nothing.
    ///
    /// # Errors
    /// [`RemoveError`] if it would fail at once.
    pub fn plan_removal(&self, request: &RemoveRequest) -> Result<RemoveReport, RemoveError> {
        if let Some((left, row)) = self.left::<Removal>(request.name.as_ref())? {
            return resumed(&row, &left, left.is_asked_for_by(request));
        }
        let write = WriteId::of_opening(self.environment().new_opening(), 1);
        self.registry().read(|reader| {
            let removal = describe(reader, request, &write)?;
            if request.purge {
                reader.expect_untagged(&request.datasets)?;
            }
            for run in removal.runs() {
                expect_unlocked(reader, run)?;
            }
            Ok(report_of(&removal))
        })
    }

    /// Removes a RUN with everything in it. The same under the same name finishes what a
    /// killed call left.
    ///
    /// # Errors
    /// [`RemoveError`]; unless it says otherwise, nothing was changed.
    pub fn remove_run(
        &self,
        name: Option<&TransactionName>,
        run: &CollectionName,
        force: bool,
    ) -> Result<RemoveReport, RemoveError> {
        if let Some((left, row)) = self.left::<RunRemoval>(name)? {
            let removal = left.removal();
            let is_same = removal.runs() == std::slice::from_ref(run);
            return self.go_on_removing(&row, &left, removal, is_same);
        }
        let opening = self.environment().new_opening();
        let own = own_name("remove-run", opening);
        let write = WriteId::of_opening(opening, 1);
        let name = name.unwrap_or(&own);
        let open = self.begin_with(name, opening, Some(Closing::Commit), |writer| {
            let removal = describe_run(writer, run, force, &write)?;
            expect_unchained(writer, run)?;
            Ok::<_, RemoveError>(RunRemoval::new(removal))
        })?;
        let report = report_of(open.transaction().removal());
        self.finish_removal(open, report)
    }

    /// Says what [`Self::remove_run`] would do, and changes nothing; if `unlinked`, as it
    /// would be after the RUN is taken out of the chains that name it.
    ///
    /// # Errors
    /// [`RemoveError`] if it would fail at once.
    pub fn plan_run_removal(
        &self,
        name: Option<&TransactionName>,
        run: &CollectionName,
        force: bool,
        unlinked: bool,
    ) -> Result<RemoveReport, RemoveError> {
        if let Some((left, row)) = self.left::<RunRemoval>(name)? {
            let left = left.removal();
            return resumed(&row, left, left.runs() == std::slice::from_ref(run));
        }
        let write = WriteId::of_opening(self.environment().new_opening(), 1);
        self.registry().read(|reader| {
            let removal = describe_run(reader, run, force, &write)?;
            if !unlinked {
                expect_unchained(reader, run)?;
            }
            let ids: Vec<DatasetId> = removal.datasets().iter().map(|d| d.id).collect();
            reader.expect_untagged(&ids)?;
            expect_unlocked(reader, run)?;
            Ok(report_of(&removal))
        })
    }

    /// The open removal of that name.
    fn left<T: TransactionKind>(
        &self,
        name: Option<&TransactionName>,
    ) -> Result<Option<(T, TransactionRow)>, RemoveError> {
        let Some(name) = name else { return Ok(None) };
        let found = self.registry().read(|reader| {
            let Some(row) = reader.transaction(name)? else { return Ok(None) };
            let manifest = reader.manifest(row.opening)?;
            Ok::<_, RegistryError>(Some((row, manifest)))
        })?;
        let Some((row, manifest)) = found else { return Ok(None) };
        if row.kind != T::KIND {
            return Err(in_use(&row).into());
        }
        match T::decode(&row.data, &manifest) {
            Ok(left) => Ok(Some((left, row))),
            Err(source) => Err(ButlerError::Decode { name: row.name, source }.into()),
        }
    }

    fn go_on_removing(
        &self,
        row: &TransactionRow,
        transaction: &dyn ArtifactTransaction,
        left: &Removal,
        is_same: bool,
    ) -> Result<RemoveReport, RemoveError> {
        let report = resumed(row, left, is_same)?;
        // By the row that was read: the name may be another opening's by now.
        match self.close_row(
            row,
            transaction,
            Holder::Somebody,
            Closing::Commit,
            CloseOptions::default(),
        ) {
            Ok(_) => Ok(report),
            Err(error) => {
                let source = Box::new(error.around(&row.name, Closing::Commit));
                Err(RemoveError::NotClosed { source })
            }
        }
    }

    fn finish_removal<T: ArtifactTransaction>(
        &self,
        open: Open<T>,
        report: RemoveReport,
    ) -> Result<RemoveReport, RemoveError> {
        match self.close_open(open, Closing::Commit, CloseOptions::default()) {
            Ok(_) => Ok(report),
            Err(failure) => Err(RemoveError::NotClosed { source: failure.error }),
        }
    }
}

/// What is left of an open removal, if it is the one asked for.
fn resumed(
    row: &TransactionRow,
    left: &Removal,
    is_same: bool,
) -> Result<RemoveReport, RemoveError> {
    if is_same {
        Ok(RemoveReport { resumed: true, ..report_of(left) })
    } else {
        Err(in_use(row).into())
    }
}

fn in_use(row: &TransactionRow) -> ButlerError {
    ButlerError::NameInUse {
        name: row.name.clone(),
        owner: row.owner.clone(),
        process: row.process.clone(),
        opened_at: row.opened_at,
    }
}

fn report_of(removal: &Removal) -> RemoveReport {
    let mut report = RemoveReport { datasets: removal.datasets().len(), ..RemoveReport::default() };
    for artifact in removal.artifacts() {
        if artifact.fate == Fate::Stays {
            report.kept += 1;
        } else {
            report.artifacts += 1;
            report.bytes += artifact.records.iter().map(|record| record.size).sum::<u64>();
        }
    }
    report
}

/// What the lock would refuse, for a plan.
fn expect_unlocked(reader: &Reader, run: &CollectionName) -> Result<(), RegistryError> {
    let locks = reader.locks_of_run(run)?;
    match locks.into_iter().find(|(_, kind)| *kind != LockKind::Input) {
        None => Ok(()),
        Some((transaction, lock)) => {
            Err(RegistryError::RunLocked { run: run.clone(), transaction, lock })
        }
    }
}

fn describe(
    reader: &Reader,
    request: &RemoveRequest,
    write: &WriteId,
) -> Result<Removal, RemoveError> {
    let query = DatasetQuery { ids: Some(request.datasets.clone()), ..DatasetQuery::default() };
    let rows = reader.datasets(&query)?;
    if rows.len() < request.datasets.len() {
        // Unless some were asked for twice.
        let found: BTreeSet<DatasetId> = rows.iter().map(|row| row.dataset.id).collect();
        if let Some(&dataset) = request.datasets.iter().find(|id| !found.contains(id)) {
            return Err(RegistryError::UnknownDataset { dataset }.into());
        }
    }
    let extent = if request.purge { Extent::Purge } else { Extent::Unstore };
    removal_of(reader, rows, extent, request.force, write, BTreeSet::new())
}

fn expect_unchained(reader: &Reader, run: &CollectionName) -> Result<(), RemoveError> {
    let chains = reader.chains_of(run)?;
    if chains.is_empty() { Ok(()) } else { Err(RemoveError::InChain { run: run.clone(), chains }) }
}

fn describe_run(
    reader: &Reader,
    run: &CollectionName,
    force: bool,
    write: &WriteId,
) -> Result<Removal, RemoveError> {
    let unknown = || RegistryError::UnknownCollection { name: run.clone() };
    let collection = reader.collection(run)?.ok_or_else(unknown)?;
    if collection.collection_type != CollectionType::Run {
        let found = collection.collection_type;
        return Err(RemoveError::NotARun { name: run.clone(), found });
    }
    let query = DatasetQuery { runs: Some(vec![run.clone()]), ..DatasetQuery::default() };
    let rows = reader.datasets(&query)?;
    removal_of(reader, rows, Extent::Purge, force, write, BTreeSet::from([run.clone()]))
}

/// Finds the artifacts of datasets, and which of them others need as well.
fn removal_of(
    reader: &Reader,
    rows: Vec<DatasetRow>,
    extent: Extent,
    force: bool,
    write: &WriteId,
    mut runs: BTreeSet<CollectionName>,
) -> Result<Removal, RemoveError> {
    for row in &rows {
        if !runs.contains(&row.dataset.run) {
            runs.insert(row.dataset.run.clone());
        }
    }
    let mut ids: BTreeMap<CollectionName, RunId> = BTreeMap::new();
    for run in &runs {
        let unknown = || RegistryError::UnknownCollection { name: run.clone() };
        ids.insert(run.clone(), reader.collection(run)?.ok_or_else(unknown)?.id);
        if let (Some(workspace), false) = (reader_of(reader, run)?, force) {
            return Err(RemoveError::Input { run: run.clone(), workspace });
        }
    }
    let mut datasets = Vec::with_capacity(rows.len());
    // Positions of artifacts that several records name, and how many do.
    let mut shared: HashMap<Location, (usize, u32)> = HashMap::new();
    let mut artifacts: Vec<RemovedArtifact> = Vec::with_capacity(rows.len());
    let mut counts = reader.record_counts()?;
    for row in rows {
        let DatasetRow { dataset, records, .. } = row;
        datasets
            .push(RemovedDataset { id: dataset.id, label: DirectButler::label(&dataset).into() });
        for record in records {
            if let Some((position, _)) = shared.get(&record.location) {
                artifacts[*position].records.push(record);
                continue;
            }
            let count = counts.of(&record.location)?;
            if count > 1 {
                shared.insert(record.location.clone(), (artifacts.len(), count));
            }
            let fate = fate(&record, &dataset, ids[&dataset.run], write);
            let location = record.location.clone();
            artifacts.push(RemovedArtifact { location, fate, records: vec![record] });
        }
    }
    part_survivors(&mut artifacts, write);
    for (position, count) in shared.into_values() {
        let artifact = &mut artifacts[position];
        // Others that are not removed need it as well.
        if (artifact.records.len() as u64) < u64::from(count) {
            artifact.fate = Fate::Stays;
        }
    }
    Ok(Removal::new(runs.into_iter().collect(), extent, datasets, artifacts))
}

/// Gives each artifact a key of its own to survive at: those that differ in their write
/// id alone (parts of a log) would meet.
fn part_survivors(artifacts: &mut [RemovedArtifact], write: &WriteId) {
    let mut seen: HashMap<(&str, &str), u32> = HashMap::with_capacity(artifacts.len());
    let mut parted = Vec::new();
    for (position, artifact) in artifacts.iter().enumerate() {
        let key = match &artifact.fate {
            Fate::Stays => continue,
            Fate::Goes => artifact.location.key(),
            Fate::GoesOrMoves(key) => Some(key),
        };
        let Some((stem, extension)) = key.and_then(ArtifactKey::around_write_id) else { continue };
        let count = seen.entry((stem, extension)).or_insert(0);
        if *count > 0 {
            parted.push((position, format!("{stem}.{count}~{write}.{extension}")));
        }
        *count += 1;
    }
    for (position, survivor) in parted {
        if let Ok(survivor) = ArtifactKey::new(survivor) {
            artifacts[position].fate = Fate::GoesOrMoves(survivor);
        }
    }
}

/// The open workspace that reads from a RUN.
fn reader_of(
    reader: &Reader,
    run: &CollectionName,
) -> Result<Option<TransactionName>, RegistryError> {
    let locks = reader.locks_of_run(run)?;
    Ok(locks.into_iter().find(|(_, kind)| *kind == LockKind::Input).map(|(name, _)| name))
}

/// An artifact that survives gets its own key with another write id, or one below its
/// RUN's prefix if it has none.
fn fate(record: &FileRecord, dataset: &DatasetRef, run: RunId, write: &WriteId) -> Fate {
    let Some(key) = record.location.key() else { return Fate::Stays };
    if key.has_write_id() {
        return Fate::Goes;
    }
    let prefix = key::run_prefix(&dataset.run, run);
    let extension = key.as_str().rsplit_once('.').map_or("", |(_, extension)| extension);
    let extension = if extension.is_empty() || extension.contains('/') {
        record.storage_class.extension()
    } else {
        extension
    };
    let name = &dataset.dataset_type.name;
    Fate::GoesOrMoves(key::dataset_key(&prefix, name, &dataset.data_id, write, extension))
}
