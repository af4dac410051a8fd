//! `project.yaml`, version 1.
//!
//! ```yaml
//! version: 1
//! name: climate
//! repository: repo                 # where the repository is; made if missing
//! universe: universe.yaml
//! records: [cities.yaml]           # dimension records to insert first
//! ingest:
//!   - dataset_type: readings
//!     dimensions: [city, month]
//!     storage_class: Csv
//!     files: "data/{city}/{month}.csv"
//! pipeline: pipeline.yaml          # `pipeline.yaml#daily,year`: these tasks and subsets only
//! parameters: {window: 5}          # values for parameters of the pipeline
//! set_files: {daily: [fine.yaml]}  # files with configuration values, by task
//! set: {daily: {decimals: 2}}      # configuration values, by task
//! inputs: [climate/raw]            # default: the RUN of the ingest, <name>/raw
//! output: "climate/{time}"         # default: <name>/{time}
//! chain: climate                   # default: <name>
//! ```
//!
//! Paths are relative to the folder of the file.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{CollectionName, DatasetTypeName, ElementName, StorageClass};
use pantler_graph::{Choices, ConfigChoice, ConfigFile, ConfigValue, GivenValue, ParameterChoice};
use serde::Deserialize;

use super::{FilePattern, ProjectError};
use crate::pipeline_file::split_selection;

/// The file's name.
pub const FILE: &str = "project.yaml";

const VERSION: u32 = 1;

/// A folder with everything that a run needs.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder, as an absolute path.
    pub dir: Utf8PathBuf,
    /// Its name.
    pub name: CollectionName,
    /// Where the repository is.
    pub repository: Utf8PathBuf,
    /// The universe of a new repository.
    pub universe: Utf8PathBuf,
    /// Files of dimension records.
    pub records: Vec<Utf8PathBuf>,
    /// What to ingest.
    pub ingest: Vec<IngestSpec>,
    /// The pipeline.
    pub pipeline: Utf8PathBuf,
    /// Which of its tasks are meant, with which values.
    pub choices: Choices,
    /// The RUN that files are ingested into.
    pub raw: CollectionName,
    /// The input collections, in search order.
    pub inputs: Vec<CollectionName>,
    /// The name of the output RUN, with `{time}` for the UTC time to the millisecond.
    pub output: String,
    /// The chain: newest output RUN, earlier ones, inputs.
    pub chain: CollectionName,
}

/// Files that are datasets of one type.
#[derive(Debug, Clone)]
pub struct IngestSpec {
    /// The dataset type.
    pub dataset_type: DatasetTypeName,
    /// Its dimensions.
    pub dimensions: Vec<ElementName>,
    /// What the files are.
    pub storage_class: StorageClass,
    /// Where they are, with a placeholder for each dimension.
    pub files: FilePattern,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectV1 {
    #[serde(rename = "version")]
    _version: u32,
    name: CollectionName,
    repository: Utf8PathBuf,
    universe: Utf8PathBuf,
    #[serde(default)]
    records: Vec<Utf8PathBuf>,
    #[serde(default)]
    ingest: Vec<IngestV1>,
    pipeline: String,
    #[serde(default)]
    parameters: BTreeMap<String, ValueV1>,
    #[serde(default)]
    set_files: BTreeMap<String, Vec<Utf8PathBuf>>,
    #[serde(default)]
    set: BTreeMap<String, BTreeMap<String, ValueV1>>,
    inputs: Option<Vec<CollectionName>>,
    output: Option<String>,
    chain: Option<CollectionName>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ValueV1 {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IngestV1 {
    dataset_type: DatasetTypeName,
    dimensions: Vec<ElementName>,
    storage_class: StorageClass,
    files: String,
}

impl Project {
    /// Reads the project in the folder `dir`.
    ///
    /// # Errors
    /// [`ProjectError`] naming the file, and the place in it where there is one.
    pub fn read(dir: &Utf8Path) -> Result<Self, ProjectError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(ProjectError::NoProject(dir.to_owned()));
            }
            Err(source) => return Err(ProjectError::Io { path, source }),
        };
        let dir = dir
            .canonicalize_utf8()
            .map_err(|source| ProjectError::Io { path: dir.to_owned(), source })?;
        let syntax = |e: serde_saphyr::Error| ProjectError::Syntax {
            path: path.clone(),
            reason: e.without_snippet().to_string(),
        };
        // As in pipelines: `no` is a text.
        let options = || serde_saphyr::options! { strict_booleans: true };
        let VersionOnly { version } =
            serde_saphyr::from_str_with_options(&text, options()).map_err(syntax)?;
        if version != VERSION {
            return Err(ProjectError::Version { path, found: version, supported: VERSION });
        }
        let file: ProjectV1 =
            serde_saphyr::from_str_with_options(&text, options()).map_err(syntax)?;
        let name_in = |suffix: &str| {
            CollectionName::new(format!("{}/{suffix}", file.name))
                .map_err(|e| ProjectError::Invalid { path: path.clone(), reason: e.to_string() })
        };
        let raw = name_in("raw")?;
        let mut ingest = Vec::with_capacity(file.ingest.len());
        for (i, spec) in file.ingest.into_iter().enumerate() {
            let files = FilePattern::parse(&spec.files, &spec.dimensions).map_err(|reason| {
                ProjectError::Invalid {
                    path: path.clone(),
                    reason: format!("ingest[{i}].files: {reason}"),
                }
            })?;
            let IngestV1 { dataset_type, dimensions, storage_class, .. } = spec;
            ingest.push(IngestSpec { dataset_type, dimensions, storage_class, files });
        }
        let (pipeline, select) = split_selection(&dir, &file.pipeline);
        let choices =
            Choices { select, ..choices(&path, &dir, file.parameters, file.set_files, file.set) };
        Ok(Self {
            repository: dir.join(file.repository),
            universe: dir.join(file.universe),
            records: file.records.iter().map(|path| dir.join(path)).collect(),
            ingest,
            pipeline,
            choices,
            inputs: file.inputs.unwrap_or_else(|| vec![raw.clone()]),
            raw,
            output: file.output.unwrap_or_else(|| format!("{}/{{time}}", file.name)),
            chain: file.chain.unwrap_or_else(|| file.name.clone()),
            name: file.name,
            dir,
        })
    }
}

/// What a project says on top of its pipeline, each with the key that it stands at.
fn choices(
    path: &Utf8Path,
    dir: &Utf8Path,
    parameters: BTreeMap<String, ValueV1>,
    files: BTreeMap<String, Vec<Utf8PathBuf>>,
    values: BTreeMap<String, BTreeMap<String, ValueV1>>,
) -> Choices {
    let mut choices = Choices::default();
    for (name, value) in parameters {
        let said = format!("{path}: parameters.{name}");
        choices.parameters.push(ParameterChoice { said, name, value: value.given() });
    }
    for (task, files) in files {
        for (i, file) in files.into_iter().enumerate() {
            let said = format!("{path}: set_files.{task}[{i}]");
            choices.files.push(ConfigFile { said, task: task.clone(), file: dir.join(file) });
        }
    }
    for (task, values) in values {
        for (key, value) in values {
            let said = format!("{path}: set.{task}.{key}");
            let (task, value) = (task.clone(), value.given());
            choices.values.push(ConfigChoice { said, task, key, value });
        }
    }
    choices
}

impl ValueV1 {
    fn given(self) -> GivenValue {
        GivenValue::Value(match self {
            Self::Boolean(value) => ConfigValue::Boolean(value),
            Self::Integer(value) => ConfigValue::Integer(value),
            Self::Float(value) => ConfigValue::Float(value),
            Self::String(value) => ConfigValue::String(value),
        })
    }
}
