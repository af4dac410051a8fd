//! What a run would do, without doing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pantler_butler::request::{IngestFile, NewDataset, StorePlan};
use pantler_core::{
    Checksum, DataId, DatasetType, DatasetTypeName, DimensionRecord, ElementName, IdSeed, Location,
    Universe,
};
use pantler_direct::{DirectButler, Environment};
use pantler_graph::{InputArtifact, InputDataset, QuantumGraph, ResolvedPipeline};
use pantler_registry::{OpenOptions, Reader};

use super::{Job, ProjectError};
use crate::{
    WorkspaceError,
    build::{Inputs, graph_of},
    create::open_butler,
    pipeline_file::read_pipeline,
    skip::{Searched, resolve},
};

/// What a run would do.
#[derive(Debug)]
pub struct JobPlan {
    /// Whether the repository would be made.
    pub makes_repository: bool,
    /// What would be ingested.
    pub ingest: StorePlan,
    /// The quanta, with predicted ids of another run.
    pub graph: QuantumGraph,
}

/// What can be read and checked before anything is changed.
pub(super) struct Prepared {
    pub(super) universe: Arc<Universe>,
    pub(super) files: Vec<IngestFile>,
    pub(super) records: Vec<DimensionRecord>,
    pub(super) pipeline: Arc<ResolvedPipeline>,
}

/// Reads all that the job names, so that a mistake in any of it is found before the
/// first change. `butler` is that of the repository, if it is there.
pub(super) fn prepare(butler: Option<&DirectButler>, job: &Job) -> Result<Prepared, ProjectError> {
    let universe = match (butler, &job.project) {
        (Some(butler), Some(project)) => {
            let universe = Arc::clone(butler.universe());
            if *universe != project.read_universe()? {
                return Err(ProjectError::OtherUniverse {
                    repository: project.repository.clone(),
                    universe: project.universe.clone(),
                });
            }
            universe
        }
        (Some(butler), None) => Arc::clone(butler.universe()),
        (None, Some(project)) => Arc::new(project.read_universe()?),
        // A job without a project needs a repository that is there.
        (None, None) => return Err(ProjectError::NoProject(job.repository.clone())),
    };
    if !job.reuse.is_empty() {
        match butler {
            Some(butler) => {
                butler.registry().read(|reader| reader.resolve(&job.reuse))?;
            }
            None => return Err(ProjectError::NothingToReuse(job.repository.clone())),
        }
    }
    if !job.skip_existing_in.is_empty() {
        match butler {
            Some(butler) => {
                butler.registry().read(|reader| reader.resolve(&job.skip_existing_in))?;
            }
            None => return Err(ProjectError::NothingToSkip(job.repository.clone())),
        }
    }
    let (files, records) = match &job.project {
        Some(project) => (project.files(&universe)?, project.read_records(&universe)?),
        None => (Vec::new(), Vec::new()),
    };
    let mut types: Vec<Arc<DatasetType>> = match butler {
        Some(butler) => butler.registry().read(Reader::dataset_types)?,
        None => Vec::new(),
    };
    for NewDataset { dataset_type, .. } in
        files.iter().flat_map(|file| file.datasets.iter()).map(|d| &d.dataset)
    {
        if !types.iter().any(|t| t.name == dataset_type.name) {
            types.push(Arc::clone(dataset_type));
        }
    }
    let pipeline = read_pipeline(&job.pipeline, &job.choices)?
        .resolve(&universe, &|name| types.iter().find(|t| t.name == *name).map(Arc::clone))
        .map_err(WorkspaceError::from)?;
    Ok(Prepared { universe, files, records, pipeline: Arc::new(pipeline) })
}

/// Finds out what [`super::run`] would do, and changes nothing.
///
/// # Errors
/// [`ProjectError`], as the run itself would give it.
pub fn plan(job: &Job, environment: &Environment) -> Result<JobPlan, ProjectError> {
    let exists = job.repository.join("pantler.yaml").exists();
    let butler = if exists || job.project.is_none() {
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        Some(open_butler(&job.repository, environment.clone(), &options)?)
    } else {
        None
    };
    let Prepared { universe, files, records, pipeline } = prepare(butler.as_ref(), job)?;
    let mut inputs = job.inputs.clone();
    if let (Some(butler), Some(_)) = (&butler, &job.project) {
        // The RUN of the ingest may not be there yet.
        inputs = butler.registry().read(|reader| {
            let mut there = Vec::new();
            for name in &job.inputs {
                if reader.collection(name)?.is_some() {
                    there.push(name.clone());
                }
            }
            Ok::<_, pantler_registry::RegistryError>(there)
        })?;
    }
    let ingest = match (&butler, &job.project) {
        (Some(butler), Some(project)) => {
            butler.plan_ingest(&project.ingest_request(files.clone()))?
        }
        _ => StorePlan {
            new: files
                .iter()
                .flat_map(|file| file.datasets.iter().map(move |d| (&d.dataset, &file.source)))
                .map(|(d, source)| {
                    (format!("{} {}", d.dataset_type.name, d.data_id), source.to_string())
                })
                .collect(),
            ..StorePlan::default()
        },
    };
    let mut source = match &butler {
        Some(butler) => {
            let skip = &job.skip_existing_in;
            let (searched, _) = butler.registry().read(|reader| resolve(reader, skip))?;
            let skip = Searched::new(&pipeline, &searched, &[], None);
            Inputs::read(butler, &pipeline, &inputs, &skip)?
        }
        None => Inputs {
            universe,
            datasets: BTreeMap::new(),
            records: BTreeMap::new(),
            outputs: BTreeMap::new(),
        },
    };
    let opening = environment.new_opening();
    if let Some(project) = &job.project {
        for record in records {
            let records = source.records.entry(record.element.clone()).or_default();
            if !records.iter().any(|r| r.data_id == record.data_id) {
                records.push(record);
            }
        }
        if job.inputs.contains(&project.raw) {
            add_planned(&mut source, &files, project, IdSeed { opening, generation: 0 });
        }
    }
    let now = environment.clock.now();
    let graph = graph_of(&pipeline, &source, &job.output_at(now, 0)?, opening, now)?;
    Ok(JobPlan { makes_repository: !exists, ingest, graph })
}

/// Adds the files that an ingest would make datasets of, as if they were.
fn add_planned(source: &mut Inputs, files: &[IngestFile], project: &super::Project, seed: IdSeed) {
    let universe = Arc::clone(&source.universe);
    let mut known: BTreeSet<(DatasetTypeName, DataId)> = BTreeSet::new();
    for dataset in source.datasets.values().flatten() {
        known.insert((dataset.dataset_type.clone(), dataset.data_id.clone()));
    }
    let mut recorded: BTreeSet<(ElementName, DataId)> = BTreeSet::new();
    for record in source.records.values().flatten() {
        recorded.insert((record.element.clone(), record.data_id.clone()));
    }
    for NewDataset { dataset_type, data_id, .. } in
        files.iter().flat_map(|file| file.datasets.iter()).map(|d| &d.dataset)
    {
        let name = &dataset_type.name;
        if known.insert((name.clone(), data_id.clone())) {
            source.datasets.entry(name.clone()).or_default().push(InputDataset {
                id: seed.dataset(name.as_str(), data_id),
                run: project.raw.clone(),
                dataset_type: name.clone(),
                data_id: data_id.clone(),
                artifact: InputArtifact {
                    location: Location::new("planned").expect("a plain word is a key"),
                    offset: None,
                    size: 0,
                    checksum: Checksum::of(b""),
                },
            });
        }
        for required in data_id.group().required() {
            let Ok(element) = universe.element(required.as_str()) else { continue };
            let record = pantler_direct::record_from_key(&universe, element, data_id);
            if recorded.insert((element.name.clone(), record.data_id.clone())) {
                source.records.entry(element.name.clone()).or_default().push(record);
            }
        }
    }
}
