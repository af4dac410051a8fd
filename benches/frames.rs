//! A workspace into the RUN `frames` of a repository of [`survey`](super::survey): its phases,
//! one method each, for the benches that time them.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::{collections::BTreeMap, num::NonZeroUsize};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::{CollectionName, transaction::Closing},
    direct::{CloseOptions, DirectButler, SystemClock},
    exec::{Environment, NoObserver, Selection, StopFlag, TaskRegistry},
    graph::{Choices, QuantumGraph},
    workspace::{self, BuildRequest, CloseNotice, RunOptions, WorkspaceClient, WorkspaceRequest},
};

use super::measure::Fault;

pub(crate) struct Frames<'b> {
    butler: &'b DirectButler,
    run: CollectionName,
    opened: WorkspaceClient,
}

impl<'b> Frames<'b> {
    /// Creates the workspace, with the inputs of the RUN `bench`; its pipeline comes to lie in `folder`.
    pub(crate) fn open(
        butler: &'b DirectButler,
        folder: &Utf8Path,
        pipeline: &str,
    ) -> Result<Self, Fault> {
        let path = folder.join("pipeline.yaml");
        pantler::datastore::fs::write_new(&path, pipeline.as_bytes())?;
        let run = CollectionName::new("frames")?;
        let request = WorkspaceRequest {
            run: run.clone(),
            chain: None,
            inputs: vec![super::survey::run()?],
            pipeline: path,
            choices: Choices::default(),
            project: None,
            reuse: Vec::new(),
            shard_by: Vec::new(),
        };
        let opened = workspace::create(butler, butler.environment().new_opening(), &request)?;
        Ok(Self { butler, run, opened })
    }

    pub(crate) fn build(&self) -> Result<QuantumGraph, Fault> {
        Ok(workspace::build(self.butler, &self.opened, &BuildRequest::default())?.graph)
    }

    /// The size of the graph's files.
    pub(crate) fn graph_bytes(&self) -> Result<f64, Fault> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.opened.root())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(".qg") {
                bytes += entry.metadata()?.len();
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "it is shown")]
        Ok(bytes as f64)
    }

    /// Gives how many quanta succeeded.
    pub(crate) fn run(
        &self,
        graph: &QuantumGraph,
        tasks: &TaskRegistry,
        jobs: Option<NonZeroUsize>,
    ) -> Result<usize, Fault> {
        let environment = Environment {
            path: String::new(),
            home: String::new(),
            variables: BTreeMap::new(),
            pipeline_dir: Utf8PathBuf::new(),
            pantler: Utf8PathBuf::new(),
        };
        let options = RunOptions {
            selection: &Selection::default(),
            jobs,
            tasks,
            environment: &environment,
            stop: &StopFlag::new(),
            clock: &SystemClock,
        };
        Ok(self.opened.run(graph, &options, &mut NoObserver)?.total().succeeded)
    }

    pub(crate) fn commit(&self) -> Result<(), Fault> {
        let options = CloseOptions::default();
        workspace::close(self.butler, &self.run, Closing::Commit, options, &mut Silent)?;
        Ok(())
    }
}

struct Silent;

impl CloseNotice for Silent {
    fn waiting_for(&mut self, _: &str) {}
}
