//! The provenance that a repository has, found by RUN.
//!
//! The last commit of a workspace with shards writes the provenance of all of its RUN. Until
//! then, or where the rest was abandoned, each shard that is committed has its own.

use std::{
    fs::File,
    io::{self, BufReader},
};

use camino::Utf8PathBuf;
use pantler_core::{CollectionName, DataId, DatasetId};
use pantler_direct::DirectButler;
use pantler_graph::{ProvenanceGraph, ProvenanceSource};
use pantler_registry::{DatasetQuery, DatasetRow, RegistryError};

use crate::provenance::is_provenance;

/// The provenance of RUNs of a repository.
#[derive(Debug)]
pub struct RunProvenances {
    /// The RUN of each file.
    runs: Vec<CollectionName>,
    files: Vec<ProvenanceFile>,
    without: Vec<CollectionName>,
    /// Holds the file of an open workspace while it is read.
    _place: Option<tempfile::TempDir>,
}

#[derive(Debug)]
struct ProvenanceFile {
    dataset: DatasetId,
    /// `None` if it is not stored.
    path: Option<Utf8PathBuf>,
    /// The shard, if it is of one.
    part: Option<DataId>,
}

/// The provenance of a RUN is not where it can be read.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(
        "dataset {0} is registered, but not stored: its artifact was removed, or a transaction is open"
    )]
    NotStored(DatasetId),
    #[error("cannot read {path}")]
    Io { path: Utf8PathBuf, source: io::Error },
}

/// Opens the provenance of all RUNs that these collections lead to; of all RUNs if there
/// are none.
///
/// # Errors
/// [`RegistryError::UnknownCollection`], or what else the database says.
pub fn open_provenance(
    butler: &DirectButler,
    collections: &[CollectionName],
) -> Result<ProvenanceGraph<RunProvenances>, RegistryError> {
    let (rows, searched) = butler.registry().read(|reader| {
        let mut searched: Vec<CollectionName> = Vec::new();
        for found in reader.resolve(collections)? {
            for run in reader.owning_runs(&found.name)? {
                if !searched.contains(&run) {
                    searched.push(run);
                }
            }
        }
        let types = reader.dataset_types()?;
        let own = types.iter().filter(|own| is_provenance(own)).map(|own| own.name.clone());
        let query = DatasetQuery {
            dataset_types: Some(own.collect()),
            runs: (!collections.is_empty()).then(|| searched.clone()),
            ..DatasetQuery::default()
        };
        Ok::<_, RegistryError>((reader.datasets(&query)?, searched))
    })?;
    let mut by_run: Vec<(CollectionName, Vec<DatasetRow>)> = Vec::new();
    for row in rows {
        match by_run.last_mut() {
            Some((run, own)) if *run == row.dataset.run => own.push(row),
            _ => by_run.push((row.dataset.run.clone(), vec![row])),
        }
    }
    let mut found =
        RunProvenances { without: searched, runs: Vec::new(), files: Vec::new(), _place: None };
    found.without.retain(|run| by_run.iter().all(|(with, _)| with != run));
    // The first collection is the last word: its RUNs read what those behind it made.
    for (run, rows) in by_run.into_iter().rev() {
        let is_of_all = |row: &DatasetRow| row.dataset.data_id.values().is_empty();
        let has_all = rows.iter().any(is_of_all);
        for row in rows.into_iter().filter(|row| is_of_all(row) || !has_all) {
            let location = row.records.first().map(|record| &record.location);
            let path = location.and_then(|location| butler.datastore().local_path_of(location));
            let part = (!is_of_all(&row)).then_some(row.dataset.data_id);
            found.runs.push(run.clone());
            found.files.push(ProvenanceFile { dataset: row.dataset.id, path, part });
        }
    }
    Ok(ProvenanceGraph::new(found))
}

impl RunProvenances {
    /// The provenance of one RUN, as it stands in the file `path` below `place`.
    pub(crate) fn of_one(
        run: CollectionName,
        dataset: DatasetId,
        path: Utf8PathBuf,
        place: tempfile::TempDir,
    ) -> Self {
        let file = ProvenanceFile { dataset, path: Some(path), part: None };
        Self { runs: vec![run], files: vec![file], without: Vec::new(), _place: Some(place) }
    }

    /// How many RUNs have some.
    pub fn run_count(&self) -> usize {
        // The files of a RUN stand together.
        self.runs.chunk_by(|one, other| one == other).count()
    }

    /// The RUNs asked for that have none.
    pub fn without(&self) -> &[CollectionName] {
        &self.without
    }
}

impl ProvenanceSource for RunProvenances {
    type Reader = BufReader<File>;

    fn runs(&self) -> &[CollectionName] {
        &self.runs
    }

    fn part(&self, file: usize) -> Option<&DataId> {
        self.files.get(file)?.part.as_ref()
    }

    fn open(
        &mut self,
        file: usize,
    ) -> Result<BufReader<File>, Box<dyn std::error::Error + Send + Sync>> {
        let Some(own) = self.files.get(file) else { return Err("there is none".into()) };
        let path = own.path.as_ref().ok_or(OpenError::NotStored(own.dataset))?;
        let file =
            File::open(path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        // What is read is short, and seldom next to what was read before.
        Ok(BufReader::with_capacity(2048, file))
    }
}
