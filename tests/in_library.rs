//! Workspaces without the program: what a program of one's own does with the library.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use camino::Utf8Path;
use pantler::{
    butler::request::{NoProgress, StoreOptions, TransferMode},
    core::{DatasetTypeName, ElementName, Universe, transaction::Closing},
    datastore::Depth,
    direct::{
        CloseOptions, Closed, CreateOptions, DirectButler, Environment, SystemClock, check::check,
        create,
    },
    exec::{
        self, NoObserver, QuantumContext, QuantumStatus, RunSummary, Selection, StopFlag,
        TaskError, TaskRegistry,
        transitions::{Target, Transition},
    },
    graph::{Choices, QuantumGraph},
    registry::{DatasetQuery, OpenOptions},
    workspace::{
        self, BuildRequest, NoNotice, RunOptions, ShardCommitted, WorkspaceClient, WorkspaceError,
        WorkspaceRequest, Workspaces as _, commit_shard, committed_shards,
        external::{
            self, CommitExternal, Committed, Converted, ExternalRequest, ExternalWorkspace,
        },
        layout, open_butler, prepare_activation,
    },
};
use pantler_testkit::Project;

use crate::{
    library::{butler, close_workspace, collection, files_of, ingest},
    toy::{UNIVERSE, toy},
};

const DOUBLE: &str = "\
version: 1
tasks:
  double:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {double: {type: double, storage_class: Text}}
    task: double
";

const TOTAL: &str = "  total:
    dimensions: []
    inputs: {doubles: {type: double, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    task: total
";

/// A repository with three numbers in the RUN `toy/raw`, and tasks.
struct Site {
    project: Project,
    tasks: TaskRegistry,
    /// While it is set, item `b` cannot be doubled.
    broken: Arc<AtomicBool>,
}

impl Site {
    fn new(pipeline: &str) -> Self {
        let project = toy(&["a", "b", "c"]);
        project.write("pipeline.yaml", pipeline);
        let universe = Universe::from_yaml(UNIVERSE).unwrap();
        create(&project.repo(), &universe, &CreateOptions::default()).unwrap();
        ingest(&butler(&project), &files_of(&project, &["a", "b", "c"])).unwrap();
        let broken = Arc::new(AtomicBool::new(false));
        let mut tasks = TaskRegistry::new();
        let is_broken = Arc::clone(&broken);
        tasks.register_fn("double", move |quantum: &mut QuantumContext<'_>| {
            let item = quantum.data_id().get("item").map(ToString::to_string);
            if is_broken.load(Ordering::SeqCst) && item.as_deref() == Some("b") {
                return Err(TaskError::new("b is broken"));
            }
            let number = number(&quantum.read("number")?)?;
            quantum.write("double", format!("{}\n", 2 * number).as_bytes())?;
            Ok(())
        });
        tasks.register_fn("total", |quantum: &mut QuantumContext<'_>| {
            let mut sum = 0;
            for (_, content) in quantum.read_all("doubles")? {
                sum += number(&content)?;
            }
            quantum.write("total", format!("{sum}\n").as_bytes())?;
            Ok(())
        });
        tasks.register_fn("prepare", |quantum: &mut QuantumContext<'_>| {
            quantum.write("settings", b"{}")?;
            Ok(())
        });
        Self { project, tasks, broken }
    }

    fn butler(&self) -> DirectButler {
        butler(&self.project)
    }

    fn request(&self, name: &str) -> WorkspaceRequest {
        let inputs = vec![collection("toy/raw")];
        let pipeline = self.project.path().join("pipeline.yaml");
        let request = WorkspaceRequest::new(collection(name), inputs, pipeline);
        WorkspaceRequest { chain: Some(collection("toy")), ..request }
    }

    fn create(&self, request: &WorkspaceRequest) -> WorkspaceClient {
        let butler = self.butler();
        workspace::create(&butler, butler.environment().new_opening(), request).unwrap()
    }

    fn built(&self, name: &str) -> (WorkspaceClient, QuantumGraph) {
        let client = self.create(&self.request(name));
        let built = workspace::build(&self.butler(), &client, &BuildRequest::default()).unwrap();
        (client, built.graph)
    }

    /// Runs without the database.
    fn run(&self, client: &WorkspaceClient, graph: &QuantumGraph) -> RunSummary {
        self.try_run(client, graph).unwrap()
    }

    fn try_run(
        &self,
        client: &WorkspaceClient,
        graph: &QuantumGraph,
    ) -> Result<RunSummary, WorkspaceError> {
        self.with_options(|options| client.run(graph, options, &mut NoObserver))
    }

    fn with_options<T>(&self, does: impl FnOnce(&RunOptions<'_>) -> T) -> T {
        does(&RunOptions {
            selection: &Selection::default(),
            jobs: None,
            tasks: &self.tasks,
            environment: &exec::Environment::default(),
            stop: &StopFlag::new(),
            clock: &SystemClock,
        })
    }
}

fn number(content: &[u8]) -> Result<u64, TaskError> {
    Ok(std::str::from_utf8(content)?.trim().parse()?)
}

fn butler_at(repository: &Utf8Path) -> DirectButler {
    let environment = Environment::of_this_process("tester");
    open_butler(repository, environment, &OpenOptions::default()).unwrap()
}

/// The contents of the datasets of a type in a RUN, in the order of their data IDs; `None` for
/// what is registered only.
fn contents(butler: &DirectButler, run: &str, dataset_type: &str) -> Vec<Option<String>> {
    let query = DatasetQuery {
        dataset_types: Some(vec![DatasetTypeName::new(dataset_type).unwrap()]),
        runs: Some(vec![collection(run)]),
        ..DatasetQuery::default()
    };
    let rows = butler.query_datasets(&query).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    rows.iter().map(|row| butler.get(row).unwrap().map(text)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn an_external_workspace_becomes_a_repository_or_goes_to_its_parent() {
    let mut site = Site::new(&[DOUBLE, TOTAL].concat());
    let outside = tempfile::tempdir().unwrap();
    let place = Utf8Path::from_path(outside.path()).unwrap().canonicalize_utf8().unwrap();
    let root = place.join("ext");
    {
        let parent = site.butler();
        let request = site.request("toy/out");
        let request =
            ExternalRequest { workspace: &request, root: root.clone(), include: Vec::new() };
        let opening = parent.environment().new_opening();
        let made = external::create(&parent, opening, &request).unwrap();
        let built = made.build(&parent, &BuildRequest::default()).unwrap();
        assert_eq!(built.graph.len(), 4);
        let transferred = made.transfer_inputs().unwrap();
        assert_eq!((transferred.count, transferred.copied), (3, 3));
        assert_eq!(made.transfer_inputs().unwrap().copied, 0);
    }
    // There is no parent any more.
    site.project.rename("away");
    let opened = ExternalWorkspace::open(&root, None).unwrap();
    let graph = opened.client().graph().unwrap();
    assert!(site.run(opened.client(), &graph).is_complete());
    let copy = place.join("copy");
    pantler_testkit::copy_tree(&root, &copy, &|_| true);

    let now = Environment::of_this_process("tester").clock.now();
    let converted = ExternalWorkspace::convert(&root, false, Depth::Presence, now).unwrap();
    assert!(matches!(converted, Converted::Now { inputs: 3, stored: 3, .. }), "{converted:?}");
    assert_eq!(
        ExternalWorkspace::convert(&root, false, Depth::Presence, now).unwrap(),
        Converted::Before
    );
    let butler = butler_at(&root);
    assert_eq!(contents(&butler, "toy/out", "double"), some(&["2\n", "4\n", "6\n"]));
    assert_eq!(contents(&butler, "toy/out", "total"), some(&["12\n"]));
    assert_eq!(contents(&butler, "toy/raw", "number"), some(&["1\n", "2\n", "3\n"]));
    assert!(check(&butler).unwrap().is_clean());
    drop(butler);

    // Back at the parent, which is elsewhere now.
    let parent = site.butler();
    let there = site.project.repo();
    let opened = ExternalWorkspace::open(&copy, Some(&there)).unwrap();
    let name = opened.transfer_name();
    let request = CommitExternal {
        mode: TransferMode::Move,
        partial: false,
        any_repository: false,
        options: StoreOptions::default(),
    };
    let committed = opened.commit(&parent, request, &NoProgress).unwrap();
    let Committed::Now { run, report } = committed else { panic!("{committed:?}") };
    assert_eq!((run, report.stored), (collection("toy/out"), 5));
    assert!(!copy.exists());
    assert!(!ExternalWorkspace::finish_commit(&copy).unwrap());
    assert!(parent.transaction(&name).unwrap().is_none());
    assert_eq!(contents(&parent, "toy/out", "total"), some(&["12\n"]));
    assert!(check(&parent).unwrap().is_clean());
}

#[test]
fn shards_are_built_run_and_committed_one_by_one() {
    let site = Site::new(DOUBLE);
    let shard_by = vec![ElementName::new("item").unwrap()];
    let client = site.create(&WorkspaceRequest { shard_by, ..site.request("toy/out") });
    let butler = site.butler();
    let shard = |item: &str| {
        let values = BTreeMap::from([("item".to_owned(), item.to_owned())]);
        client.shard(butler.universe(), &values).unwrap()
    };
    let commit = |item: &str| {
        commit_shard(
            &butler,
            &collection("toy/out"),
            &shard(item),
            CloseOptions::default(),
            &[],
            &mut NoNotice,
        )
    };
    for (n, item) in ["a", "b"].into_iter().enumerate() {
        let request = BuildRequest { shard: Some(shard(item)), ..BuildRequest::default() };
        assert_eq!(workspace::build(&butler, &client, &request).unwrap().new, 1);
        let graph = client.graph_of_shards(&BTreeSet::from([shard(item)])).unwrap();
        assert_eq!(site.run(&client, &graph).total().succeeded, 1);
        assert_eq!(commit(item).unwrap(), ShardCommitted::Now { datasets: 2 });
        assert_eq!(commit(item).unwrap(), ShardCommitted::Before);
        assert_eq!(contents(&butler, "toy/out", "double").len(), n + 1);
    }
    let committed = committed_shards(&butler, &client).unwrap();
    assert_eq!(committed, BTreeSet::from([shard("a"), shard("b")]));
    let empty = commit("c").unwrap_err();
    assert!(matches!(empty, WorkspaceError::EmptyShard { .. }), "{empty}");
    let revert = close_workspace(&butler, "toy/out", Closing::Revert).unwrap_err();
    assert!(matches!(revert, WorkspaceError::ShardsCommitted { committed: 2, .. }), "{revert}");
    let built = workspace::build(&butler, &client, &BuildRequest::default()).unwrap();
    assert_eq!((built.new, built.graph.len()), (1, 3));
    assert!(site.run(&client, &built.graph).is_done());
    // The last one, and provenance.
    let closed = close_workspace(&butler, "toy/out", Closing::Commit).unwrap();
    assert_eq!(closed, Closed::Now { stored: 2 });
    assert_eq!(contents(&butler, "toy/out", "double"), some(&["2\n", "4\n", "6\n"]));
}

#[test]
fn a_pipeline_is_replaced_in_development_mode() {
    let mut site = Site::new(&[DOUBLE, TOTAL].concat());
    let (client, graph) = site.built("toy/out");
    assert!(site.run(&client, &graph).is_complete());
    let butler = site.butler();
    let file = site.project.path().join("other.yaml");
    // The other task is the same.
    site.project.write("other.yaml", [DOUBLE, &TOTAL.replace("doubles", "parts")].concat());
    let replace = || client.replace_pipeline(&butler, &file, &Choices::default(), &SystemClock);
    assert!(matches!(replace().unwrap_err(), WorkspaceError::Development(_)));
    assert!(client.enter_development().unwrap());
    assert!(!client.enter_development().unwrap());
    let replaced = replace().unwrap();
    assert_eq!(replaced.reset, 1);
    assert_eq!(replaced.changed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["total"]);
    // It was made for the pipeline before.
    let stale = site.try_run(&client, &graph).unwrap_err();
    assert!(
        matches!(stale, WorkspaceError::PipelineReplaced(_) | WorkspaceError::Run(_)),
        "{stale:?}"
    );
    let client = butler.make_workspace_client(&collection("toy/out")).unwrap();
    let graph = workspace::build(&butler, &client, &BuildRequest::default()).unwrap().graph;
    site.tasks.register_fn("total", |quantum: &mut QuantumContext<'_>| {
        let count = quantum.read_all("parts")?.len();
        quantum.write("total", format!("{count} parts\n").as_bytes())?;
        Ok(())
    });
    let summary = site.run(&client, &graph);
    assert_eq!((summary.total().succeeded, summary.total().skipped), (1, 3));
    close_workspace(&butler, "toy/out", Closing::Commit).unwrap();
    assert_eq!(contents(&butler, "toy/out", "total"), some(&["3 parts\n"]));
    let query = DatasetQuery { runs: Some(vec![collection("toy/out")]), ..DatasetQuery::default() };
    let rows = butler.query_datasets(&query).unwrap();
    let types: BTreeSet<&str> =
        rows.iter().map(|row| row.dataset.dataset_type.name.as_str()).collect();
    assert_eq!(types, BTreeSet::from(["double", "total"]), "and no provenance");
}

#[test]
fn a_closing_that_was_cut_off_is_undone() {
    let site = Site::new(DOUBLE);
    let (client, graph) = site.built("toy/out");
    let butler = site.butler();
    let name = collection("toy/out");
    assert!(!workspace::reopen(&butler, &name, false).unwrap(), "there is nothing to undo");
    // As a process leaves it that is killed after its first step.
    std::fs::write(layout::closing_marker(client.root()), "").unwrap();
    let refused = site.try_run(&client, &graph).unwrap_err();
    assert!(matches!(refused, WorkspaceError::Closing(_)), "{refused}");
    assert!(client.is_closing());
    assert!(workspace::reopen(&butler, &name, false).unwrap());
    assert!(site.run(&client, &graph).is_complete());
    close_workspace(&butler, "toy/out", Closing::Commit).unwrap();
}

#[test]
fn tasks_are_activated_before_their_quanta_are_built() {
    let init = "    init_outputs: {settings: {type: settings, storage_class: Json}}\n    init_task: prepare\n";
    let site = Site::new(&[DOUBLE, init].concat());
    let client = site.create(&site.request("toy/out"));
    let butler = site.butler();
    let refused = workspace::build(&butler, &client, &BuildRequest::default()).unwrap_err();
    assert!(matches!(refused, WorkspaceError::NotActive { .. }), "{refused}");
    let activation = prepare_activation(&butler, &client, &BTreeSet::new()).unwrap();
    assert_eq!((activation.steps(), activation.pending()), (1, 1));
    let ran = site
        .with_options(|options| client.activate(&activation, options, &mut NoObserver))
        .unwrap();
    assert!(ran.unwrap().is_done());
    let graph = workspace::build(&butler, &client, &BuildRequest::default()).unwrap().graph;
    assert!(site.run(&client, &graph).is_complete());
    close_workspace(&butler, "toy/out", Closing::Commit).unwrap();
    assert_eq!(contents(&butler, "toy/out", "settings"), some(&["{}"]));
    assert_eq!(contents(&butler, "toy/out", "double").len(), 3);
}

#[test]
fn quanta_are_accepted_poisoned_and_reset() {
    let site = Site::new(&[DOUBLE, TOTAL].concat());
    let (client, graph) = site.built("toy/out");
    let all_of =
        |label: &str| Target::Matching { task: Some(label.parse().unwrap()), failed: false };
    let change =
        |transition, target: &Target| client.transition(&graph, transition, target, &SystemClock);
    site.broken.store(true, Ordering::SeqCst);
    let ran = site.run(&client, &graph);
    assert_eq!((ran.total().succeeded, ran.total().failed, ran.total().blocked), (2, 1, 1));
    assert_eq!(client.failures(&graph).unwrap().len(), 1);

    let failed = Target::Matching { task: None, failed: true };
    let planned = client.plan_transition(&graph, Transition::Accept, &failed).unwrap();
    assert_eq!(planned.plan.changes.len(), 1);
    assert_eq!(client.failures(&graph).unwrap().len(), 1, "nothing is done yet");
    change(Transition::Accept, &failed).unwrap();
    assert_eq!(client.accepted_failures(&graph).unwrap().len(), 1);
    // What did not fail cannot be accepted.
    let made = graph.quanta().map(|index| graph.quantum_id(index));
    let status = client.status(&graph).unwrap();
    let good: Vec<_> = graph
        .quanta()
        .zip(made)
        .filter(|(index, _)| status.quantum(*index) == QuantumStatus::Succeeded)
        .map(|(_, id)| id)
        .collect();
    let again = change(Transition::Accept, &Target::Quanta(good));
    assert!(matches!(again, Err(WorkspaceError::Transition(_))), "{again:?}");
    // The total goes without it.
    assert!(site.run(&client, &graph).is_complete());

    let poisoned = change(Transition::Poison, &all_of("total")).unwrap();
    assert_eq!(poisoned.plan.changes.len(), 1);
    assert!(!poisoned.status.is_complete());
    site.broken.store(false, Ordering::SeqCst);
    let reset = change(Transition::Reset, &all_of("double")).unwrap();
    assert!(reset.plan.changes.len() >= 3, "{:?}", reset.plan.changes);
    assert!(change(Transition::Reset, &all_of("double")).unwrap().plan.changes.is_empty());
    assert!(site.run(&client, &graph).is_complete());
    let butler = site.butler();
    close_workspace(&butler, "toy/out", Closing::Commit).unwrap();
    assert_eq!(contents(&butler, "toy/out", "total"), some(&["12\n"]));
}
