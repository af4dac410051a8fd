//! What a repository means, ids, keys and times aside: what two runs of the same command
//! must agree in.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Seek as _, SeekFrom},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler::{
    core::{Checksum, FileRecord, Location},
    direct::{
        DirectButler,
        check::{CheckOptions, check_with},
    },
    registry::{DatasetQuery, DatasetRow},
};
use pantler_testkit::Project;

use super::operation::has_repository;
use crate::library::butler;

/// The state of a repository and of the files around it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// RUN, type and data ID → what it holds.
    pub(crate) datasets: BTreeMap<String, Holding>,
    /// The same with ids.
    pub(crate) ids: BTreeSet<String>,
    /// Collections with their children.
    pub(crate) collections: BTreeSet<String>,
    /// Dataset types and dimension records.
    pub(crate) registered: BTreeSet<String>,
    /// Names of open transactions.
    pub(crate) open: BTreeSet<String>,
    /// Files beside the repository, or that it quarantined → content.
    pub(crate) others: BTreeMap<String, Vec<u8>>,
    /// How many files lie in the storage.
    pub(crate) artifacts: usize,
    /// How many workspaces there are.
    pub(crate) workspaces: usize,
}

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It is registered only.
    Nothing,
    /// Its bytes have the checksum of its record.
    Content(Checksum),
    /// They do not, or cannot be read.
    Damage(String),
}

impl State {
    /// Reads everything, by other means than the program.
    pub(crate) fn of(project: &Project) -> Self {
        let mut state = Self::default();
        let (path, repo) = (project.path(), project.repo());
        walk(&path, &path, &mut |name, content| {
            if !name.starts_with("repo/") && !name.starts_with("source/") {
                state.others.insert(name.to_owned(), content());
            }
        });
        walk(&repo, &repo, &mut |name, content| {
            // The folder is named after the time.
            if let Some((_, name)) =
                name.strip_prefix("quarantine/").and_then(|name| name.split_once('/'))
            {
                state.others.insert(format!("quarantine/{name}"), content());
            }
        });
        if !has_repository(project) {
            return state;
        }
        let butler = butler(project);
        for row in rows(&butler) {
            let held = holding(&butler, &row);
            let dataset = &row.dataset;
            let name = &dataset.dataset_type.name;
            let words = format!("{name} {} in {}", dataset.data_id, dataset.run);
            state.ids.insert(format!("{words}: {}", dataset.id));
            state.datasets.insert(words, held);
        }
        let read = butler.registry().read(|reader| {
            let types = reader.dataset_types()?;
            Ok::<_, pantler::registry::RegistryError>((types, reader.collections()?))
        });
        let (types, collections) = read.unwrap();
        state.registered.extend(types.iter().map(|t| format!("type {}", t.name)));
        for (table, rows) in project.picture().rows {
            if table.starts_with("element_") {
                state.registered.extend(rows.iter().map(|row| format!("{table} {row}")));
            }
        }
        state.collections = collections
            .iter()
            .map(|c| format!("{} {} {:?}", c.collection_type, c.name, c.children))
            .collect();
        state.open =
            butler.list_transactions().unwrap().iter().map(|row| row.name.to_string()).collect();
        walk(&repo, &repo.join("artifacts"), &mut |_, _| state.artifacts += 1);
        walk(&repo, &repo.join("workspaces"), &mut |_, _| state.workspaces += 1);
        state
    }

    /// The datasets that hold what they should, with their content.
    pub(crate) fn good(&self) -> impl Iterator<Item = (&str, &Holding)> {
        let all = self.datasets.iter().map(|(name, held)| (name.as_str(), held));
        all.filter(|(_, held)| matches!(held, Holding::Content(_)))
    }
}

fn rows(butler: &DirectButler) -> Vec<DatasetRow> {
    butler.registry().read(|reader| reader.datasets(&DatasetQuery::default())).unwrap()
}

/// Words for the ids of the datasets of the RUN `lab`: `{a}` is that of the item `a`.
pub(crate) fn ids(project: &Project) -> Vec<(&'static str, String)> {
    const ITEMS: [(&str, &str); 3] = [("a", "{a}"), ("b", "{b}"), ("c", "{c}")];
    let mut ids = Vec::new();
    for row in rows(&butler(project)) {
        let in_lab = row.dataset.run.as_str() == "lab";
        let value = row.dataset.data_id.iter().next().map(|(_, value)| value.to_string());
        for (item, word) in ITEMS {
            if in_lab && value.as_deref() == Some(item) {
                ids.push((word, row.dataset.id.to_string()));
            }
        }
    }
    ids
}

fn holding(butler: &DirectButler, row: &DatasetRow) -> Holding {
    let [record] = &row.records[..] else { return Holding::Nothing };
    match bytes(butler.root(), record) {
        Ok(bytes) if Checksum::of(&bytes) == record.checksum => Holding::Content(record.checksum),
        Ok(bytes) => Holding::Damage(format!("{} bytes of {}", bytes.len(), record.size)),
        Err(error) => Holding::Damage(error.to_string()),
    }
}

fn bytes(root: &Utf8Path, record: &FileRecord) -> std::io::Result<Vec<u8>> {
    let path: Utf8PathBuf = match &record.location {
        Location::Artifact(key) => root.join("artifacts").join(key.as_str()),
        Location::Direct(uri) => uri.path().into(),
    };
    let mut file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    match record.offset {
        None => file.read_to_end(&mut bytes)?,
        Some(offset) => {
            file.seek(SeekFrom::Start(offset))?;
            file.take(record.size).read_to_end(&mut bytes)?
        }
    };
    Ok(bytes)
}

/// What `check` finds, every artifact read.
pub(crate) fn findings(project: &Project) -> Vec<String> {
    if !has_repository(project) {
        return Vec::new();
    }
    let report = check_with(&butler(project), CheckOptions { checksum: true }).unwrap();
    report.findings.iter().map(|f| format!("{} {}", f.code, f.subject)).collect()
}

/// Told of a file: its path below the top, and how to read it.
type Visit<'v> = &'v mut dyn FnMut(&str, &dyn Fn() -> Vec<u8>);

fn walk(top: &Utf8Path, at: &Utf8Path, visit: Visit<'_>) {
    let Ok(entries) = at.read_dir_utf8() else { return };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(top, entry.path(), visit);
        } else {
            let path = entry.path();
            visit(path.strip_prefix(top).unwrap().as_str(), &|| {
                std::fs::read(path).unwrap_or_default()
            });
        }
    }
}
