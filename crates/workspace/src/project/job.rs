//! What a run is made of: from a project, or from a pipeline and collections.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::request::{IdScheme, IngestFile, IngestRequest, StoreOptions, TransferMode};
use pantler_core::{
    CollectionName, DataId, DatasetType, DimensionRecord, Tai, TransactionName, Universe,
};

use pantler_graph::Choices;

use super::{Project, ProjectError, records};

/// A pipeline to be run on a repository, perhaps after an ingest.
#[derive(Debug, Clone)]
pub struct Job {
    /// The repository.
    pub repository: Utf8PathBuf,
    /// The pipeline.
    pub pipeline: Utf8PathBuf,
    /// Which of its tasks are meant, with which values.
    pub choices: Choices,
    /// The input collections, in search order.
    pub inputs: Vec<CollectionName>,
    /// The name of the output RUN, with `{time}` for the UTC time to the millisecond.
    pub output: String,
    /// The chain that gets the output RUN as its new head.
    pub chain: Option<CollectionName>,
    /// The collections whose RUNs may have made already what it would make, in search order.
    pub reuse: Vec<CollectionName>,
    /// The collections whose datasets are not made again, in search order.
    pub skip_existing_in: Vec<CollectionName>,
    /// The project with its own files, if the job is of one.
    pub project: Option<Project>,
}

impl Job {
    /// The job of a project.
    pub fn of_project(project: Project) -> Self {
        Self {
            repository: project.repository.clone(),
            pipeline: project.pipeline.clone(),
            choices: project.choices.clone(),
            inputs: project.inputs.clone(),
            output: project.output.clone(),
            chain: Some(project.chain.clone()),
            reuse: Vec::new(),
            skip_existing_in: Vec::new(),
            project: Some(project),
        }
    }

    /// What tells the workspaces of this job from others: the project's name, which
    /// its RUNs carry too and which moves with its folder, or pipeline and output.
    pub(super) fn key(&self) -> String {
        match &self.project {
            Some(project) => project.name.to_string(),
            None => format!("{} -> {}", self.pipeline, self.output),
        }
    }

    /// The name of the output RUN at a time, `offset` milliseconds later.
    pub(super) fn output_at(&self, now: Tai, offset: i64) -> Result<CollectionName, ProjectError> {
        let name = self.output.replace("{time}", &compact_time(now, offset));
        CollectionName::new(&name).map_err(|e| ProjectError::Invalid {
            path: self.project.as_ref().map_or_else(Utf8PathBuf::new, |p| p.dir.join(super::FILE)),
            reason: format!("output: {e}"),
        })
    }
}

/// UTC to the millisecond, as it stands in a name: `20260102T030405.678Z`.
fn compact_time(now: Tai, offset_ms: i64) -> String {
    let millis = now.to_unix_millis().saturating_add(offset_ms);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let millis = time.subsec_millisecond();
    format!("{}.{millis:03}Z", time.strftime("%Y%m%dT%H%M%S"))
}

impl Project {
    /// The name of the transaction that ingests its files: the same one finds what a
    /// killed run left.
    pub(super) fn ingest_name(&self) -> TransactionName {
        TransactionName::new(format!("{}/ingest", self.raw)).expect("a part was added to a name")
    }

    /// What it ingests.
    pub(super) fn ingest_request(&self, files: Vec<IngestFile>) -> IngestRequest {
        IngestRequest {
            name: self.ingest_name(),
            run: self.raw.clone(),
            files,
            mode: TransferMode::Copy,
            ids: IdScheme::Unique,
            register: true,
            options: StoreOptions::default(),
        }
    }

    /// Its universe.
    pub(super) fn read_universe(&self) -> Result<Universe, ProjectError> {
        let text = read(&self.universe)?;
        Universe::from_yaml(&text).map_err(|e| ProjectError::Syntax {
            path: self.universe.clone(),
            reason: e.to_string(),
        })
    }

    /// The records in its record files.
    pub(super) fn read_records(
        &self,
        universe: &Universe,
    ) -> Result<Vec<DimensionRecord>, ProjectError> {
        let mut all = Vec::new();
        for path in &self.records {
            all.extend(records::read(path, universe)?);
        }
        Ok(all)
    }

    /// Its files, each with the dataset that it is.
    pub(super) fn files(&self, universe: &Universe) -> Result<Vec<IngestFile>, ProjectError> {
        let path = self.dir.join(super::FILE);
        let mut files = Vec::new();
        for (i, spec) in self.ingest.iter().enumerate() {
            let invalid = |reason: String| ProjectError::Invalid {
                path: path.clone(),
                reason: format!("ingest[{i}]: {reason}"),
            };
            let dimensions =
                universe.group(&spec.dimensions).map_err(|e| invalid(e.to_string()))?;
            let dataset_type = Arc::new(DatasetType {
                name: spec.dataset_type.clone(),
                dimensions,
                storage_class: spec.storage_class,
            });
            let found = spec
                .files
                .find(&self.dir)
                .map_err(|(path, source)| ProjectError::Io { path, source })?;
            if found.is_empty() {
                return Err(ProjectError::NoFiles {
                    pattern: spec.files.as_str().to_owned(),
                    dir: self.dir.clone(),
                });
            }
            for file in found {
                let data_id = DataId::parse(universe, &dataset_type.dimensions, &file.values)
                    .map_err(|e| invalid(format!("{}: {e}", file.path)))?;
                files.push(IngestFile::one(Arc::clone(&dataset_type), data_id, file.path));
            }
        }
        Ok(files)
    }
}

fn read(path: &Utf8Path) -> Result<String, ProjectError> {
    std::fs::read_to_string(path)
        .map_err(|source| ProjectError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_names_are_utc_to_the_millisecond() {
        let tai = Tai::from_unix_nanos(1_767_323_045_678_900_000).expect("in range");
        assert_eq!(compact_time(tai, 0), "20260102T030405.678Z");
        assert_eq!(compact_time(tai, 322), "20260102T030406.000Z");
    }
}
