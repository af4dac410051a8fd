//! Processes that work on one repository beside each other: this test binary once more,
//! told by its environment what to do.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{
        IngestDataset, IngestFile, IngestRequest, NewDataset, NoProgress, PutItem, PutRequest,
        RemoveRequest, RestoreContent, RestoreItem, Slice, StoreOptions, StoreReport, TransferMode,
        TransferRequest,
    },
    core::{
        DataId, DatasetId, DatasetType, DatasetTypeName, DatastoreConfig, DimensionRecord,
        Durability, ElementName, KeyValue, StorageClass, TransactionName, Universe,
        changes::Change, transaction::Closing,
    },
    direct::{
        CloseOptions, Closed, CreateOptions, DirectButler, Environment, check::check, create,
    },
    registry::{DatasetQuery, DatasetRow, OpenOptions},
    workspace::open_butler,
};
use pantler_testkit::{Picture, Ran};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{library::collection, program, toy};

const ORDERS: &str = "PANTLER_TEST_ORDERS";
const MARK: &str = "@ ";

/// A repository with the dataset types `number` and `word`, and records of items.
///
/// When it goes out of scope and the test has not failed, a check must find nothing.
#[derive(Debug)]
pub(crate) struct Depot {
    dir: TempDir,
    checked: bool,
}

impl Depot {
    /// With items 0 to `items - 1`, in memory where that can be.
    pub(crate) fn new(items: usize) -> Self {
        let memory = Utf8Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self::at(dir.unwrap(), items, Durability::Flushed)
    }

    /// The same on a disk, or without flushing.
    pub(crate) fn at(dir: TempDir, items: usize, durability: Durability) -> Self {
        let depot = Self { dir, checked: true };
        let universe = Universe::from_yaml(toy::UNIVERSE).unwrap();
        let datastore = DatastoreConfig { durability, ..DatastoreConfig::default() };
        create(&depot.repo(), &universe, &CreateOptions { datastore }).unwrap();
        let butler = depot.butler();
        let records = (0..items).map(|n| DimensionRecord {
            element: ElementName::new("item").unwrap(),
            data_id: data_id(&butler, &item(n)),
            implied: BTreeMap::new(),
            metadata: BTreeMap::new(),
        });
        let mut changes = vec![Change::EnsureDimensionRecords(records.collect())];
        for name in ["number", "word"] {
            changes.push(Change::EnsureDatasetType(Arc::new(DatasetType {
                name: DatasetTypeName::new(name).unwrap(),
                dimensions: butler.universe().group(["item"]).unwrap(),
                storage_class: StorageClass::Text,
            })));
        }
        let now = butler.environment().clock.now();
        butler.registry().write(|writer| writer.apply(&changes, now)).unwrap();
        depot
    }

    /// A place beside the repository.
    pub(crate) fn beside(&self, name: &str) -> Utf8PathBuf {
        let dir = Utf8Path::from_path(self.dir.path()).unwrap();
        dir.canonicalize_utf8().unwrap().join(name)
    }

    /// A file beside the repository.
    pub(crate) fn file(&self, name: &str, content: &str) -> Utf8PathBuf {
        let path = self.beside(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn repo(&self) -> Utf8PathBuf {
        self.beside("repo")
    }

    pub(crate) fn butler(&self) -> DirectButler {
        self.butler_of(Environment::of_this_process("tester"))
    }

    pub(crate) fn butler_of(&self, environment: Environment) -> DirectButler {
        open_butler(&self.repo(), environment, &OpenOptions::default()).unwrap()
    }

    /// `pantler … --repo`.
    pub(crate) fn pantler(&self, args: &[&str]) -> Ran {
        let repo = self.repo();
        program().run(&[args, &["--repo", repo.as_str()]].concat())
    }

    pub(crate) fn sql(&self, sql: &str) {
        pantler::registry::testing::execute(&self.repo().join("registry.sqlite3"), sql).unwrap();
    }

    pub(crate) fn picture(&self) -> Picture {
        Picture::of(&self.repo())
    }

    /// Every dataset of a RUN, by type and data ID; none if there is no such RUN.
    pub(crate) fn rows(&self, run: &str) -> Vec<DatasetRow> {
        let run = collection(run);
        let butler = self.butler();
        if butler.registry().read(|reader| reader.collection(&run)).unwrap().is_none() {
            return Vec::new();
        }
        let query = DatasetQuery { runs: Some(vec![run]), ..DatasetQuery::default() };
        butler.query_datasets(&query).unwrap()
    }

    /// The content of every dataset of a RUN by item, `None` for what is not stored.
    pub(crate) fn contents(&self, run: &str) -> Vec<(String, Option<String>)> {
        let butler = self.butler();
        let content = |row: &DatasetRow| {
            let content = butler.get(row).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
            (row.dataset.data_id.get("item").unwrap().to_string(), content)
        };
        self.rows(run).iter().map(content).collect()
    }

    /// The paths of all files in the storage, relative to it.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        let files = self.picture().files.into_keys();
        files.filter_map(|path| path.strip_prefix("artifacts/").map(str::to_owned)).collect()
    }

    /// The names of open transactions.
    pub(crate) fn open_names(&self) -> Vec<String> {
        let rows = self.butler().list_transactions().unwrap();
        rows.into_iter().map(|row| row.name.to_string()).collect()
    }

    /// The codes of what a check finds.
    pub(crate) fn findings(&self) -> Vec<&'static str> {
        let report = check(&self.butler()).unwrap();
        report.findings.iter().map(|finding| finding.code).collect()
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let report = check(&self.butler()).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
    }

    /// For a test whose orphans are meant: they are moved away, and nothing else is wrong.
    #[track_caller]
    pub(crate) fn sweep_orphans(&self) {
        let findings = self.findings();
        assert!(findings.iter().all(|code| *code == "orphan"), "{findings:?}");
        self.pantler(&["check", "--repair"]);
        self.check();
    }

    /// For a test that leaves its repository damaged on purpose.
    pub(crate) fn expect_damage(&mut self) {
        self.checked = false;
    }

    /// Does one thing in this process.
    pub(crate) fn does(&self, order: &Order) -> Outcome {
        follow(&self.butler(), order)
    }

    /// Does one thing in this process, and it goes well.
    #[track_caller]
    pub(crate) fn did(&self, order: &Order) -> Value {
        self.does(order).unwrap_or_else(|error| panic!("{order:?}: {error}"))
    }

    /// Puts one number, and returns its id.
    #[track_caller]
    pub(crate) fn put(&self, run: &str, item: &str, content: &str) -> DatasetId {
        let report = self.did(&Order::put(run, &[(item, content)]));
        report["ids"][0].as_str().unwrap().parse().unwrap()
    }

    /// Closes by name.
    pub(crate) fn close(&self, name: &str, closing: Closing, take_over: bool) -> Outcome {
        self.does(&Order::close(name, closing, take_over))
    }

    /// Starts a process.
    pub(crate) fn start(&self, orders: &[Order]) -> Player {
        Player::spawn(player_command(&self.repo(), orders))
    }

    /// Starts a process, and waits until it has paused at a step.
    pub(crate) fn paused(&self, order: &Order, step: &str) -> Player {
        let mut command = player_command(&self.repo(), std::slice::from_ref(order));
        command.env("PANTLER_PAUSE", step);
        let player = Player::spawn(command);
        player.wait_for_pause(step);
        player
    }

    /// Runs a process that kills itself at a step.
    #[track_caller]
    pub(crate) fn killed(&self, order: &Order, step: &str) {
        let mut command = player_command(&self.repo(), std::slice::from_ref(order));
        command.env("PANTLER_CRASH", step);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{order:?} does not come to {step}");
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        if self.checked && !std::thread::panicking() {
            self.check();
        }
    }
}

/// The n-th item.
pub(crate) fn item(n: usize) -> String {
    format!("i{n:04}")
}

pub(crate) fn name(text: &str) -> TransactionName {
    TransactionName::new(text).unwrap()
}

pub(crate) fn data_id(butler: &DirectButler, item: &str) -> DataId {
    let universe = butler.universe();
    let group = universe.group(["item"]).unwrap();
    let values = BTreeMap::from([("item".to_owned(), KeyValue::from(item))]);
    DataId::new(universe, &group, values).unwrap()
}

/// What an order came to: a report, or an error with its causes.
pub(crate) type Outcome = Result<Value, String>;

/// What a process is to do.
#[derive(Debug, Clone)]
pub(crate) struct Order(Value);

impl Order {
    fn of(what: &str, details: Value) -> Self {
        let mut order = details;
        order["do"] = what.into();
        Self(order)
    }

    /// Puts numbers into a RUN, in one transaction.
    pub(crate) fn put(run: &str, items: &[(&str, &str)]) -> Self {
        Self::of("put", json!({"run": run, "items": items}))
    }

    /// Puts numbers into a RUN, each in a transaction of its own; reports how many were
    /// put and all errors.
    pub(crate) fn put_each(run: &str, items: &[String], content: &str) -> Self {
        Self::of("put_each", json!({"run": run, "items": items, "content": content}))
    }

    /// Ingests whole files as numbers.
    pub(crate) fn ingest(run: &str, files: &[(&str, Utf8PathBuf)], mode: TransferMode) -> Self {
        Self::of("ingest", json!({"run": run, "files": files, "mode": mode.name()}))
    }

    /// Ingests one file that holds a number for each of the items, of so many bytes each.
    pub(crate) fn ingest_slices(
        run: &str,
        file: &Utf8Path,
        items: &[&str],
        size: u64,
        mode: TransferMode,
    ) -> Self {
        let details =
            json!({"run": run, "file": file, "items": items, "size": size, "mode": mode.name()});
        Self::of("ingest_slices", details)
    }

    pub(crate) fn remove(ids: &[DatasetId]) -> Self {
        Self::of("remove", json!({"ids": ids, "purge": false}))
    }

    pub(crate) fn purge(ids: &[DatasetId]) -> Self {
        Self::of("remove", json!({"ids": ids, "purge": true}))
    }

    pub(crate) fn remove_run(run: &str) -> Self {
        Self::of("remove_run", json!({"run": run}))
    }

    pub(crate) fn restore(id: DatasetId, content: &str) -> Self {
        Self::restore_all(&[(id, content)])
    }

    pub(crate) fn restore_all(contents: &[(DatasetId, &str)]) -> Self {
        Self::of("restore", json!({"contents": contents}))
    }

    pub(crate) fn transfer(source: &Utf8Path, ids: &[DatasetId], mode: TransferMode) -> Self {
        Self::of("transfer", json!({"source": source, "ids": ids, "mode": mode.name()}))
    }

    pub(crate) fn close(name: &str, closing: Closing, take_over: bool) -> Self {
        let details = json!({"name": name, "closing": closing.verb(), "take_over": take_over});
        Self::of("close", details)
    }

    /// Under this name of a transaction.
    #[must_use]
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.0["name"] = name.into();
        self
    }

    /// Also from a holder that is not known to be dead.
    #[must_use]
    pub(crate) fn taking_over(mut self) -> Self {
        self.0["take_over"] = true.into();
        self
    }

    /// Not before all others are there.
    #[must_use]
    pub(crate) fn at_barrier(mut self) -> Self {
        self.0["barrier"] = true.into();
        self
    }

    /// The same again and again until it has gone well so often; reports all refusals.
    #[must_use]
    pub(crate) fn repeated(mut self, times: u32) -> Self {
        self.0["times"] = times.into();
        self
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("no {field} in {self:?}"))
    }

    fn field(&self, field: &str) -> Value {
        self.0[field].clone()
    }

    fn name(&self) -> Option<TransactionName> {
        self.0["name"].as_str().map(name)
    }

    fn options(&self) -> StoreOptions {
        StoreOptions { take_over: self.0["take_over"] == true, keep_going: false }
    }
}

/// A process at work.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

fn player_command(repo: &Utf8Path, orders: &[Order]) -> Command {
    let orders: Vec<&Value> = orders.iter().map(|order| &order.0).collect();
    // This very file, also if it has been built anew since.
    let this = Utf8PathBuf::from("/proc/self/exe");
    let mut command = Command::new(if this.exists() {
        this.into_std_path_buf()
    } else {
        std::env::current_exe().unwrap()
    });
    command.args(["--exact", "players::a_player_follows_its_orders", "--nocapture"]);
    command.env_clear().env(ORDERS, json!({"repo": repo, "orders": orders}).to_string());
    // One artifact after the other: then a step is reached with all before it done.
    command.env("RAYON_NUM_THREADS", "1");
    command
}

impl Player {
    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Waits until it stands before its next order with a barrier.
    #[track_caller]
    pub(crate) fn wait_at_barrier(&mut self) {
        assert_eq!(self.next(), Some(json!("ready")));
    }

    /// Lets it follow that order.
    pub(crate) fn go(&mut self) {
        self.input.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// What its next order came to.
    #[track_caller]
    pub(crate) fn outcome(&mut self) -> Outcome {
        let outcome = self.next().expect("it ended before its next order was done");
        match outcome.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(outcome),
        }
    }

    /// The next line that is meant for the test.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(text) = line.strip_prefix(MARK) {
                return Some(serde_json::from_str(text).unwrap());
            }
        }
    }

    #[track_caller]
    fn wait_for_pause(&self, step: &str) {
        let stat = format!("/proc/{}/stat", self.child.id());
        toy::until(&format!("it pauses at {step}"), || {
            let text = std::fs::read_to_string(&stat).unwrap_or_default();
            let state = text.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
            assert!(!matches!(state, Some(b'Z') | None), "it ended before {step}");
            state == Some(b'T')
        });
    }

    /// Lets one that was paused go on to its end: what its order came to.
    #[track_caller]
    pub(crate) fn go_on(mut self) -> Outcome {
        self.signal(Signal::CONT);
        let outcome = self.outcome();
        self.end();
        outcome
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.input = None;
        assert_eq!(self.next(), None, "more than was asked for");
        assert!(self.child.wait().unwrap().success());
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Of a test that failed: nothing of it may stay behind.
        if std::thread::panicking() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The other side: does nothing unless it was started by a test.
#[test]
fn a_player_follows_its_orders() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Value = serde_json::from_str(&orders).unwrap();
    let repo = Utf8PathBuf::from(orders["repo"].as_str().unwrap());
    let environment = Environment::of_this_process("player");
    let butler = open_butler(&repo, environment, &OpenOptions::default()).unwrap();
    for order in orders["orders"].as_array().unwrap() {
        let order = Order(order.clone());
        if order.0["barrier"] == true {
            say(&json!("ready"));
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
        }
        let outcome = match order.0["times"].as_u64() {
            Some(times) => Ok(follow_often(&butler, &order, times)),
            None => follow(&butler, &order),
        };
        say(&outcome.unwrap_or_else(|error| json!({"error": error})));
    }
}

fn say(value: &Value) {
    // The test harness leaves its own line unfinished.
    println!("\n{MARK}{value}");
}

fn follow_often(butler: &DirectButler, order: &Order, times: u64) -> Value {
    let since = std::time::Instant::now();
    let mut refusals = Vec::new();
    let mut done = 0;
    while done < times {
        match follow(butler, order) {
            Ok(_) => done += 1,
            Err(error) => {
                refusals.push(error);
                assert!(since.elapsed() < Duration::from_secs(60), "{refusals:?}");
            }
        }
    }
    json!({"done": done, "errors": refusals})
}

fn follow(butler: &DirectButler, order: &Order) -> Outcome {
    let stored = |report: StoreReport| {
        json!({
            "ids": report.ids, "stored": report.stored, "skipped": report.skipped,
            "restored": report.restored, "resumed": report.resumed,
            "sources_left": report.sources_left.len(),
        })
    };
    match order.text("do") {
        "put" => {
            let items: Vec<(String, String)> =
                serde_json::from_value(order.field("items")).unwrap();
            put(butler, order, &items).map(stored)
        }
        "put_each" => Ok(put_each(butler, order)),
        "ingest" => {
            let files: Vec<(String, Utf8PathBuf)> =
                serde_json::from_value(order.field("files")).unwrap();
            let files = files
                .into_iter()
                .map(|(item, path)| IngestFile {
                    source: path,
                    datasets: vec![IngestDataset { dataset: number(butler, &item), slice: None }],
                })
                .collect();
            ingest(butler, order, files).map(stored)
        }
        "ingest_slices" => {
            let items: Vec<String> = serde_json::from_value(order.field("items")).unwrap();
            let size: u64 = serde_json::from_value(order.field("size")).unwrap();
            let datasets = (0..)
                .zip(&items)
                .map(|(n, item)| IngestDataset {
                    dataset: number(butler, item),
                    slice: Some(Slice { offset: n * size, size }),
                })
                .collect();
            let file = IngestFile {
                source: serde_json::from_value(order.field("file")).unwrap(),
                datasets,
            };
            ingest(butler, order, vec![file]).map(stored)
        }
        "remove" => {
            let request = RemoveRequest {
                name: order.name(),
                datasets: serde_json::from_value(order.field("ids")).unwrap(),
                purge: order.0["purge"] == true,
                force: false,
            };
            let report = butler.remove_datasets(&request).map_err(|e| told(&e))?;
            Ok(json!({"artifacts": report.artifacts, "kept": report.kept}))
        }
        "remove_run" => {
            let name = order.name();
            let report = butler
                .remove_run(name.as_ref(), &collection(order.text("run")), false)
                .map_err(|e| told(&e))?;
            Ok(json!({"artifacts": report.artifacts, "kept": report.kept}))
        }
        "restore" => {
            let contents: Vec<(DatasetId, String)> =
                serde_json::from_value(order.field("contents")).unwrap();
            let items: Vec<_> = contents
                .iter()
                .map(|(dataset, content)| RestoreItem {
                    dataset: *dataset,
                    content: RestoreContent::Bytes(content.as_bytes().into()),
                })
                .collect();
            let name = order.name();
            let restored = butler.restore(name.as_ref(), &items, order.options(), &NoProgress);
            restored.map(stored).map_err(|e| told(&e))
        }
        "transfer" => {
            let source: Utf8PathBuf = serde_json::from_value(order.field("source")).unwrap();
            let environment = butler.environment().clone();
            let source = open_butler(&source, environment, &OpenOptions::default()).unwrap();
            let request = TransferRequest {
                name: order.name(),
                datasets: serde_json::from_value(order.field("ids")).unwrap(),
                mode: order.text("mode").parse().unwrap(),
                options: order.options(),
            };
            let transferred = butler.transfer_from(&source, &request, &NoProgress);
            transferred.map(stored).map_err(|e| told(&e))
        }
        "close" => {
            let closing = Closing::from_verb(order.text("closing")).unwrap();
            let options =
                CloseOptions { take_over: order.0["take_over"] == true, ..CloseOptions::default() };
            let closed = butler.close(&order.name().unwrap(), closing, options);
            closed
                .map(|closed| {
                    let closed = if closed == Closed::Before { "Before" } else { "Now" };
                    json!({"closed": closed})
                })
                .map_err(|e| told(&e))
        }
        other => panic!("unknown order {other}"),
    }
}

fn number(butler: &DirectButler, item: &str) -> NewDataset {
    let dataset_type = DatasetTypeName::new("number").unwrap();
    let dataset_type = butler.registry().read(|reader| reader.dataset_type(&dataset_type));
    NewDataset::new(dataset_type.unwrap().unwrap(), data_id(butler, item))
}

fn put(
    butler: &DirectButler,
    order: &Order,
    items: &[(String, String)],
) -> Result<StoreReport, String> {
    let item = |(item, content): &(String, String)| PutItem {
        dataset: number(butler, item),
        content: content.clone().into_bytes().into(),
    };
    let request = PutRequest {
        name: order.name(),
        run: collection(order.text("run")),
        items: items.iter().map(item).collect(),
        options: order.options(),
    };
    butler.put_many(&request, &NoProgress).map_err(|e| told(&e))
}

fn put_each(butler: &DirectButler, order: &Order) -> Value {
    let run = collection(order.text("run"));
    let number = DatasetTypeName::new("number").unwrap();
    let items: Vec<String> = serde_json::from_value(order.field("items")).unwrap();
    let content = order.text("content").as_bytes();
    let mut ids = Vec::new();
    let mut errors = Vec::new();
    for item in items {
        match butler.put(content, &number, &data_id(butler, &item), &run) {
            Ok(dataset) => ids.push(dataset.id),
            Err(error) => errors.push(told(&error)),
        }
    }
    json!({"ids": ids, "errors": errors})
}

fn ingest(
    butler: &DirectButler,
    order: &Order,
    files: Vec<IngestFile>,
) -> Result<StoreReport, String> {
    let run = collection(order.text("run"));
    let name = order.name().unwrap_or_else(|| name(&format!("{run}/ingest")));
    let mut request = IngestRequest::new(name, run, files);
    request.options = order.options();
    request.mode = order.text("mode").parse().unwrap();
    butler.ingest(&request, &NoProgress).map_err(|e| told(&e))
}

/// An error with its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
