//! The page of `LaminDB` on data and metadata that stay in sync, scenario by scenario: what it
//! promises, and what was seen to go wrong there. `docs/consistency.md` has the table.

mod bulk;
mod killed;
mod together;

use std::{
    collections::BTreeMap,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    butler::request::{NewDataset, NoProgress, PutItem, PutRequest, StoreOptions, StoreReport},
    core::{DataId, DatasetType, DatasetTypeName, KeyValue, StorageClass, changes::Change},
    direct::{DirectButler, StoreError},
    registry::DatasetQuery,
};
use pantler_testkit::{Project, Ran};

use crate::{
    library::{butler, collection},
    program, source_root, toy,
};

/// What can be put.
const ITEMS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "old"];

/// What was stored before anything else happens: it must always read back.
const OLD: &[u8] = b"what was good before\n";

/// A repository with one dataset, `page item=old` in the RUN `first`, and a file
/// `new.txt` beside it.
fn pages() -> Project {
    let project = Project::empty(&program());
    project.write("universe.yaml", toy::UNIVERSE);
    let (universe, repo) = (project.path().join("universe.yaml"), project.repo());
    project.program().run(&["init", repo.as_str(), "--universe", universe.as_str()]).expect(0);
    let page =
        ["dataset-type", "register", "page", "--dimensions", "item", "--storage-class", "Text"];
    project.pantler(&page).expect(0);
    project.write("items.csv", format!("item\n{}\n", ITEMS.join("\n")));
    let items = project.path().join("items.csv");
    project.pantler(&["record", "insert", "item", "--file", items.as_str()]).expect(0);
    project.write("new.txt", large("new"));
    put(&butler(&project), "first", &[("old", OLD)]).unwrap();
    project
}

/// Lines enough for a page that is not read at once.
fn large(word: &str) -> String {
    let lines: Vec<String> = (0..2000).map(|n| format!("{word} {n}")).collect();
    lines.join("\n") + "\n"
}

fn page(butler: &DirectButler) -> Arc<DatasetType> {
    Arc::new(DatasetType {
        name: DatasetTypeName::new("page").unwrap(),
        dimensions: butler.universe().group(["item"]).unwrap(),
        storage_class: StorageClass::Text,
    })
}

fn data_id(butler: &DirectButler, item: &str) -> DataId {
    let values = BTreeMap::from([("item".to_owned(), KeyValue::from(item))]);
    DataId::new(butler.universe(), &page(butler).dimensions, values).unwrap()
}

fn request<'a>(
    butler: &DirectButler,
    run: &str,
    pages: &[(&str, &'a [u8])],
    options: StoreOptions,
) -> PutRequest<'a> {
    let item = |(item, content): &(&str, &'a [u8])| PutItem {
        dataset: NewDataset::new(page(butler), data_id(butler, item)),
        content: (*content).into(),
    };
    PutRequest {
        name: None,
        run: collection(run),
        items: pages.iter().map(item).collect(),
        options,
    }
}

/// Puts pages into a RUN: all or nothing.
fn put(
    butler: &DirectButler,
    run: &str,
    pages: &[(&str, &[u8])],
) -> Result<StoreReport, StoreError> {
    butler.put_many(&request(butler, run, pages, StoreOptions::default()), &NoProgress)
}

/// What the first of some collections has as the page of an item, if it is stored.
fn read(butler: &DirectButler, collections: &[&str], item: &str) -> Option<Vec<u8>> {
    let query = DatasetQuery {
        dataset_types: Some(vec![DatasetTypeName::new("page").unwrap()]),
        runs: Some(collections.iter().map(|name| collection(name)).collect()),
        data_id: data_id(butler, item).iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
        find_first: true,
        ids: None,
    };
    let rows = butler.query_datasets(&query).unwrap();
    butler.get(rows.first()?).unwrap()
}

/// Fails the test unless what was good before still is.
#[track_caller]
fn old_is_whole(project: &Project) {
    let get = ["get", "page", "item=old", "--collections", "first"];
    assert_eq!(project.pantler(&get).expect(0).stdout, OLD);
}

/// `pantler put new.txt page item=… --run …`.
fn put_file(project: &Project, item: &str, run: &str) -> Vec<String> {
    let file = project.path().join("new.txt").into_string();
    let args = ["put", &file, "page", &format!("item={item}"), "--run", run];
    args.map(str::to_owned).to_vec()
}

/// The program on the repository of a project, armed with a variable.
fn armed(project: &Project, args: &[String], variable: &str, value: &str) -> Command {
    let mut all: Vec<&str> = args.iter().map(String::as_str).collect();
    let repo = project.repo();
    all.extend(["--repo", repo.as_str()]);
    let mut command = project.program().command(&all);
    command.env(variable, value);
    command
}

fn run(project: &Project, args: &[String]) -> Ran {
    project.pantler(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The lines that the program writes to a log of steps, or of what can fail.
fn logged(project: &Project, args: &[String], variable: &str) -> Vec<String> {
    let log = project.path().join("steps.log");
    Ran::of(armed(project, args, variable, log.as_str())).expect(0);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(log).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every step that a command comes to, as `step:n`.
fn points(project: &Project, args: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let numbered = logged(project, args, "PANTLER_CRASH_LOG").into_iter().map(|step| {
        let count = counts.entry(step.clone()).or_default();
        *count += 1;
        format!("{step}:{count}")
    });
    numbered.collect()
}

#[track_caller]
fn was_killed(ran: &Ran, at: &str) {
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(ran.status.signal(), Some(9), "{at}: {}{}", ran.text(), ran.stderr);
}

/// The row of `query datasets` of the page of an item in a RUN, if it is registered.
fn row(project: &Project, run: &str, item: &str) -> Option<serde_json::Value> {
    let item = format!("item={item}");
    let rows = toy::datasets(project, &["page", &item]);
    rows.into_iter().find(|row| row["run"] == run)
}

/// Where the page of an item in a RUN is.
fn artifact(project: &Project, run: &str, item: &str) -> Utf8PathBuf {
    toy::path_of(&row(project, run, item).unwrap())
}

/// Replaces one byte of a file, whose size and name stay.
fn flip(path: &Utf8Path, at: u64) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[1]).unwrap();
}

fn set_chain(butler: &DirectButler, chain: &str, children: &[&str]) {
    let change = Change::SetChain {
        chain: collection(chain),
        children: children.iter().map(|name| collection(name)).collect(),
    };
    let now = butler.environment().clock.now();
    butler.registry().write(|writer| writer.apply(&[change], now)).unwrap();
}

/// The Rust files below a folder.
fn sources(folder: &Utf8Path, found: &mut Vec<Utf8PathBuf>) {
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension() == Some("rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_tests_that_documents_name_exist() {
    let root = source_root();
    let mut files = Vec::new();
    for folder in ["tests", "crates"] {
        sources(&root.join(folder), &mut files);
    }
    let texts: Vec<(Vec<&str>, String)> = files
        .iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let parts = inside.components().map(|part| part.as_str().trim_end_matches(".rs"));
            (parts.collect(), std::fs::read_to_string(path).unwrap())
        })
        .collect();
    for document in ["docs/consistency.md", "docs/transactions.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let rows = text.lines().filter(|line| line.starts_with('|'));
        let names = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
        let names: Vec<&str> = names.filter(|name| name.contains("::")).collect();
        assert!(names.len() > 20, "{document}: {names:?}");
        for name in names {
            let (module, test) = name.rsplit_once("::").unwrap();
            let function = format!("fn {test}(");
            let exists = texts.iter().any(|(path, text)| {
                module.split("::").all(|part| path.contains(&part)) && text.contains(&function)
            });
            assert!(exists, "{document} names {name}, which is not there");
        }
    }
}
