//! A source of inputs for tests, and pipelines to build.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use pantler_core::{
    ArtifactKey, Checksum, CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName,
    DimensionRecord, ElementName, IdSeed, KeyValue, OpeningId, StorageClass, Tai, TaskLabel,
    Universe,
};
use uuid::Uuid;

use crate::{
    build::{BuildError, BuildSource, ExistingOutputs, InputDataset, build},
    dataset::InputArtifact,
    graph::{GraphMetadata, QuantumGraph},
    pipeline::{Pipeline, ResolvedPipeline, ResolvedTask},
};

pub(crate) const CLIMATE: &str =
    "version: 1\nname: w\nelements:\n  city: {key: string}\n  month: {key: integer}\n";

pub(crate) const SURVEY: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  band: {key: string}
  physical_filter: {key: string, requires: [instrument], implies: [band]}
  visit: {key: integer, requires: [instrument], implies: [physical_filter]}
  detector: {key: integer, requires: [instrument]}
";

/// Months of cities to days, days to a year of each city, years to a comparison of all.
pub(crate) const CLIMATE_PIPELINE: &str = "
version: 1
tasks:
  daily:
    dimensions: [city, month]
    inputs:
      temperatures: {type: readings}
    outputs:
      days: {type: daily, storage_class: Csv}
    command: [sh, '{pipeline_dir}/daily.sh', '{inputs.temperatures}', '{outputs.days}', '{data_id.city}']
  year:
    dimensions: [city]
    inputs:
      months: {type: daily, multiple: true}
    outputs:
      table: {type: monthly, storage_class: Csv}
      summary: {type: summary, storage_class: Json}
    command: [sh, '{pipeline_dir}/year.sh', '{outputs.table}', '{outputs.summary}', '{inputs.months}']
  compare:
    dimensions: []
    inputs:
      cities: {type: monthly, multiple: true}
    outputs:
      table: {type: comparison, storage_class: Csv}
      document: {type: comparison_json, storage_class: Json}
      picture: {type: comparison_svg, storage_class: Svg}
    config:
      title: Temperatures by month
      width: 900
    command: [sh, '{pipeline_dir}/compare.sh', '{config.title}', '{outputs.picture}', '{inputs.cities}']
";

pub(crate) struct TestSource {
    pub(crate) universe: Universe,
    pub(crate) types: Vec<Arc<DatasetType>>,
    pub(crate) datasets: BTreeMap<DatasetTypeName, Vec<InputDataset>>,
    pub(crate) records: BTreeMap<ElementName, Vec<DimensionRecord>>,
    pub(crate) outputs: BTreeMap<TaskLabel, Vec<ExistingOutputs>>,
}

impl BuildSource for TestSource {
    type Error = Infallible;

    fn universe(&self) -> &Universe {
        &self.universe
    }

    fn datasets(&self, dataset_type: &DatasetTypeName) -> Result<Vec<InputDataset>, Infallible> {
        Ok(self.datasets.get(dataset_type).cloned().unwrap_or_default())
    }

    fn dimension_records(&self, element: &ElementName) -> Result<Vec<DimensionRecord>, Infallible> {
        Ok(self.records.get(element).cloned().unwrap_or_default())
    }

    fn existing_outputs(&self, task: &ResolvedTask) -> Result<Vec<ExistingOutputs>, Infallible> {
        Ok(self.outputs.get(&task.label).cloned().unwrap_or_default())
    }
}

impl TestSource {
    pub(crate) fn new(universe: &str) -> Self {
        Self {
            universe: Universe::from_yaml(universe).unwrap(),
            types: Vec::new(),
            datasets: BTreeMap::new(),
            records: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    /// The outputs of another RUN, `earlier`, that are chosen by task, data ID and name, logs
    /// left out.
    pub(crate) fn add_outputs(
        &mut self,
        pipeline: &str,
        mut is_there: impl FnMut(&str, &DataId, &str) -> bool,
    ) {
        let run = CollectionName::new("earlier").unwrap();
        let opening = Uuid::from_u128(0x0190_aaaa_cccc_7000_8000_0000_0000_0001);
        let mut metadata = metadata();
        metadata.seed.opening = OpeningId::from_uuid(opening);
        metadata.output_run = run.clone();
        self.outputs.clear();
        let graph = build(&self.resolve(pipeline), self, metadata).unwrap();
        for index in graph.quanta() {
            let view = graph.quantum(index);
            let mut datasets = Vec::new();
            for (output, dataset) in view.task.outputs.iter().zip(&view.outputs) {
                let label = view.task.label.as_str();
                if output.name == ResolvedTask::LOG || !is_there(label, &view.data_id, &output.name)
                {
                    continue;
                }
                let dataset = graph.dataset(*dataset);
                let key = format!("earlier@2/{}~0190aaaacccc700080000000-1", dataset.id);
                datasets.push(InputDataset {
                    id: dataset.id,
                    run: run.clone(),
                    dataset_type: dataset.dataset_type.name.clone(),
                    artifact: InputArtifact {
                        location: ArtifactKey::new(key).unwrap().into(),
                        offset: None,
                        size: 17,
                        checksum: Checksum::of(dataset.id.to_string().as_bytes()),
                    },
                    data_id: dataset.data_id,
                });
            }
            if !datasets.is_empty() {
                let (data_id, collection) = (view.data_id, run.clone());
                let own = ExistingOutputs { data_id, collection, datasets };
                self.outputs.entry(view.task.label.clone()).or_default().push(own);
            }
        }
    }

    pub(crate) fn add_type(&mut self, name: &str, dimensions: &[&str]) {
        let dimensions = self.universe.group(dimensions).unwrap();
        let name = DatasetTypeName::new(name).unwrap();
        let storage_class = StorageClass::Csv;
        self.types.push(Arc::new(DatasetType { name, dimensions, storage_class }));
    }

    /// Values in the order of the required dimensions.
    pub(crate) fn add(&mut self, name: &str, values: Vec<KeyValue>) {
        let dataset_type = self.types.iter().find(|t| t.name.as_str() == name).unwrap();
        let data_id = DataId::from_values(&dataset_type.dimensions, values).unwrap();
        let name = dataset_type.name.clone();
        let own = self.datasets.entry(name.clone()).or_default();
        let digest = Checksum::of(format!("{name} {data_id}").as_bytes());
        let mut id = *Uuid::from_u128(0x0190_aaaa_0000_7000_8000_0000_0000_0000).as_bytes();
        id[6..].copy_from_slice(&digest.as_bytes()[..10]);
        let run = if own.len() % 7 == 3 { "raw/more" } else { "raw" };
        let key = format!("{run}@1/{name}/{data_id}~0190aaaa0000700080000000-1.csv");
        own.push(InputDataset {
            id: DatasetId::from_uuid(Uuid::from_bytes(id)),
            run: CollectionName::new(run).unwrap(),
            dataset_type: name,
            artifact: InputArtifact {
                location: ArtifactKey::new(key.replace(' ', ",")).unwrap().into(),
                offset: (own.len() % 5 == 4).then_some(own.len() as u64 * 100),
                size: 1000 + own.len() as u64 % 500,
                checksum: digest,
            },
            data_id,
        });
    }

    pub(crate) fn add_record(
        &mut self,
        element: &str,
        values: Vec<KeyValue>,
        implied: &[(&str, &str)],
    ) {
        let element = Arc::clone(self.universe.element(element).unwrap());
        let group = self.universe.group_of(&element);
        let name = |name: &str| ElementName::new(name).unwrap();
        self.records.entry(element.name.clone()).or_default().push(DimensionRecord {
            element: element.name.clone(),
            data_id: DataId::from_values(&group, values).unwrap(),
            implied: implied.iter().map(|(n, v)| (name(n), KeyValue::from(*v))).collect(),
            metadata: BTreeMap::new(),
        });
    }

    pub(crate) fn resolve(&self, pipeline: &str) -> Arc<ResolvedPipeline> {
        let pipeline = Pipeline::from_yaml(pipeline, "dir/pipeline.yaml".into()).unwrap();
        let find = |name: &DatasetTypeName| self.types.iter().find(|t| t.name == *name).cloned();
        Arc::new(pipeline.resolve(&self.universe, &find).unwrap())
    }

    pub(crate) fn build(&self, pipeline: &str) -> QuantumGraph {
        self.try_build(pipeline).unwrap()
    }

    pub(crate) fn try_build(&self, pipeline: &str) -> Result<QuantumGraph, BuildError<Infallible>> {
        build(&self.resolve(pipeline), self, metadata())
    }
}

/// Optional inputs, one and several, existing and predicted, and one with a minimum.
pub(crate) fn choosy() -> QuantumGraph {
    choosy_source().build(CHOOSY)
}

pub(crate) fn choosy_source() -> TestSource {
    let mut source = climate(1..=2);
    source.add_type("height", &["city"]);
    source.add_type("rain", &["city", "month"]);
    source.add("height", vec!["oslo".into()]);
    source.add("rain", vec!["oslo".into(), 5.into()]);
    source.add("rain", vec!["bergen".into(), 1.into()]);
    source.add("rain", vec!["bergen".into(), 9.into()]);
    source
}

pub(crate) const CHOOSY: &str = "
version: 1
tasks:
  wet: {dimensions: [city, month], inputs: {r: rain, h: {type: height, optional: true}}, outputs: {o: {type: wet, storage_class: Csv}}, task: x}
  daily: {dimensions: [city, month], inputs: {t: readings, r: {type: rain, optional: true}, w: {type: wet, optional: true}}, outputs: {o: {type: daily, storage_class: Csv}}, task: x}
  year: {dimensions: [city], inputs: {d: {type: daily, multiple: true, minimum: 3}, w: {type: wet, multiple: true, optional: true}}, task: x}
";

pub(crate) fn metadata() -> GraphMetadata {
    let opening = Uuid::from_u128(0x0190_bbbb_cccc_7000_8000_0000_0000_0001);
    GraphMetadata {
        seed: IdSeed { opening: OpeningId::from_uuid(opening), generation: 0 },
        output_run: CollectionName::new("climate/1").unwrap(),
        created_at: Tai::from_nanos(1_800_000_000_000_000_000),
        scope: None,
    }
}

/// Of which some quanta were skipped: months of each city, and one city.
pub(crate) fn skipping() -> QuantumGraph {
    let mut source = climate(1..=3);
    source.add_outputs(CLIMATE_PIPELINE, |task, data_id, _| match task {
        "daily" => data_id.values()[1] != KeyValue::from(2),
        "year" => data_id.values()[0] == KeyValue::from("oslo"),
        _ => false,
    });
    source.build(CLIMATE_PIPELINE)
}

/// Readings of two cities; `months` of the second one.
pub(crate) fn climate(months: impl IntoIterator<Item = i64>) -> TestSource {
    let mut source = TestSource::new(CLIMATE);
    source.add_type("readings", &["city", "month"]);
    for month in 1..=12 {
        source.add("readings", vec!["oslo".into(), month.into()]);
    }
    for month in months {
        source.add("readings", vec!["bergen".into(), month.into()]);
    }
    source
}

/// Two tasks per (visit, detector) and one per visit, over raw data and calibrations that
/// all visits share: `visits * (2 * detectors + 1)` quanta.
pub(crate) fn survey(visits: i64, detectors: i64) -> (TestSource, &'static str) {
    let universe =
        "version: 1\nname: s\nelements:\n  visit: {key: integer}\n  detector: {key: integer}\n";
    let mut source = TestSource::new(universe);
    source.add_type("raw", &["visit", "detector"]);
    source.add_type("flat", &["detector"]);
    for detector in 0..detectors {
        source.add("flat", vec![detector.into()]);
        for visit in 0..visits {
            source.add("raw", vec![(visit * 3 + 20_260_000).into(), detector.into()]);
        }
    }
    (source, SURVEY_PIPELINE)
}

const SURVEY_PIPELINE: &str = "
version: 1
tasks:
  isr:
    dimensions: [visit, detector]
    inputs: {raw: raw, flat: flat}
    outputs: {image: {type: image, storage_class: Bytes}}
    command: [isr, '{inputs.raw}', '{inputs.flat}', '{outputs.image}']
  calibrate:
    dimensions: [visit, detector]
    inputs: {image: image, flat: flat}
    outputs: {calexp: {type: calexp, storage_class: Bytes}}
    command: [calibrate, '{inputs.image}']
  summary:
    dimensions: [visit]
    inputs: {images: {type: calexp, multiple: true}}
    outputs: {table: {type: summary, storage_class: Csv}}
    command: [summary, '{inputs.images}']
";
