//! Removing what a kill can leave and nobody will ever need: roots of closed workspaces,
//! unfinished files, empty directories of RUNs that are gone.
//!
//! None of it is a fault but the unfinished artifacts, which `check` calls orphans. What
//! a living writer may own is never touched:
//!
//! | what | is removed if | because |
//! | --- | --- | --- |
//! | `<workspaces>/<name>/<opening id>/` | no transaction with that opening is open | the row is there before the root and goes before it |
//! | `<key>.tmp` in the storage, the key with a write id | no open transaction owns the key | the same; a writer whose transaction somebody else closed cannot publish any more |
//! | `<file>.<n>.tmp` beside the small files of repository and workspaces | it was not written to for an hour | its name says neither process nor opening; it is written and renamed at once |
//! | empty directories `<run>@<id>/…` in the storage | there is no RUN of that id | ids of RUNs are never used again |
//!
//! Everything is listed before the database is read, so what is opened meanwhile is not
//! taken for closed.

use std::{
    collections::{BTreeMap, HashSet},
    io::ErrorKind,
    time::{Duration, UNIX_EPOCH},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ArtifactKey, CollectionName, OpeningId, RunId};
use pantler_datastore::{DatastoreError, Entry, RunPrefix, key::run_prefix};
use pantler_registry::RegistryError;

use crate::{
    ButlerError, DirectButler,
    check::{
        CheckError,
        owners::{Owners, Written},
        walk,
    },
};

/// How long a small file must not have been written to.
const GRACE: Duration = Duration::from_secs(3600);

/// What a vacuum removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverKind {
    /// The root of a closed workspace.
    WorkspaceRoot,
    /// The unfinished form of an artifact.
    UnfinishedArtifact,
    /// The unfinished form of another file.
    UnfinishedFile,
    /// The empty directory of a RUN that does not exist any more.
    RunDirectory,
}

impl LeftoverKind {
    /// A stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WorkspaceRoot => "workspace-root",
            Self::UnfinishedArtifact => "unfinished-artifact",
            Self::UnfinishedFile => "unfinished-file",
            Self::RunDirectory => "run-directory",
        }
    }
}

/// Something that was removed, or could not be.
#[derive(Debug)]
pub struct Vacuumed {
    /// What it is.
    pub kind: LeftoverKind,
    /// Where it is, absolute.
    pub path: Utf8PathBuf,
    /// Why it is still there; `None` if it is gone.
    pub failure: Option<ButlerError>,
}

/// Removes all that this module's table says. With `dry_run` nothing is removed.
///
/// # Errors
/// [`ButlerError`] if something cannot be listed or the database does not answer. What
/// cannot be removed is in the result.
pub fn vacuum(butler: &DirectButler, dry_run: bool) -> Result<Vec<Vacuumed>, ButlerError> {
    let roots = roots(butler)?;
    let files = unfinished_files(butler)?;
    let storage = Stored::list(butler)?;
    let owned = Owned::read(butler)?;

    let mut vacuumed = remove_roots(roots, &owned.owners, dry_run);
    let mut add = |kind, path: Utf8PathBuf, failure| {
        vacuumed.push(Vacuumed { kind, path, failure });
    };
    for path in files {
        let removed = if dry_run { Ok(()) } else { remove_file(&path) };
        add(LeftoverKind::UnfinishedFile, path, removed.err());
    }
    let Stored { unfinished, directories } = storage;
    let root = storage_root(butler);
    // RUNs whose directory keeps something.
    let mut kept = HashSet::new();
    for key in unfinished {
        if owned.owners.owns(key.as_str()) {
            kept.extend(RunPrefix::of_key(&key));
            continue;
        }
        let removed = if dry_run { Ok(false) } else { butler.datastore().storage().discard(&key) };
        if removed.is_err() {
            kept.extend(RunPrefix::of_key(&key));
        }
        let path = root.join(format!("{key}.tmp"));
        add(LeftoverKind::UnfinishedArtifact, path, removed.err().map(ButlerError::Storage));
    }
    for (prefix, holds_more) in directories {
        if holds_more || owned.runs.contains(&prefix) || kept.contains(&prefix) {
            continue;
        }
        let pruned =
            if dry_run { Ok(()) } else { butler.datastore().storage().prune(prefix.as_str()) };
        add(LeftoverKind::RunDirectory, root.join(prefix.as_str()), pruned.err().map(Into::into));
    }
    Ok(vacuumed)
}

/// Removes the roots of closed workspaces alone. With `dry_run` nothing is removed.
///
/// # Errors
/// As [`vacuum`].
pub fn vacuum_workspaces(
    butler: &DirectButler,
    dry_run: bool,
) -> Result<Vec<Vacuumed>, ButlerError> {
    let roots = roots(butler)?;
    let owned = Owned::read(butler)?;
    Ok(remove_roots(roots, &owned.owners, dry_run))
}

fn storage_root(butler: &DirectButler) -> Utf8PathBuf {
    butler.root().join(&butler.datastore().config().root)
}

/// What the database says.
struct Owned {
    owners: Owners,
    runs: HashSet<RunPrefix>,
}

impl Owned {
    fn read(butler: &DirectButler) -> Result<Self, ButlerError> {
        Ok(butler.registry().check(|rows| {
            let (owners, _) = Owners::read(butler, rows)?;
            let named = |(id, name): (i64, String)| {
                Some(run_prefix(&CollectionName::new(name).ok()?, RunId::new(id)))
            };
            Ok::<_, RegistryError>(Self {
                owners,
                runs: rows.runs()?.into_iter().filter_map(named).collect(),
            })
        })?)
    }
}

/// All roots, with the opening that their name says. Folders with other names are
/// not Pantler's.
fn roots(butler: &DirectButler) -> Result<Vec<(OpeningId, Utf8PathBuf)>, ButlerError> {
    let workspaces = butler.config().workspaces_dir(butler.root());
    let roots = walk::workspace_roots(&workspaces).map_err(of_check)?;
    let named = roots.into_iter().filter_map(|(opening, root)| Some((opening?, root)));
    Ok(named.collect())
}

fn remove_roots(
    roots: Vec<(OpeningId, Utf8PathBuf)>,
    owners: &Owners,
    dry_run: bool,
) -> Vec<Vacuumed> {
    let mut vacuumed = Vec::new();
    for (opening, root) in roots {
        if owners.openings.contains(&opening) {
            continue;
        }
        let removed = if dry_run { Ok(()) } else { pantler_datastore::fs::remove_tree(&root) };
        let failure = removed.err().map(ButlerError::Storage);
        if let (None, false, Some(parent)) = (&failure, dry_run, root.parent()) {
            // Fails while another opening of the same name has its root there.
            drop(std::fs::remove_dir(parent));
        }
        vacuumed.push(Vacuumed { kind: LeftoverKind::WorkspaceRoot, path: root, failure });
    }
    vacuumed
}

/// What lies in the storage and may be a leftover.
struct Stored {
    /// Keys with a write id whose unfinished form is there.
    unfinished: Vec<ArtifactKey>,
    /// The directories of RUNs, and whether each holds anything else than those.
    directories: BTreeMap<RunPrefix, bool>,
}

impl Stored {
    fn list(butler: &DirectButler) -> Result<Self, ButlerError> {
        let mut unfinished = Vec::new();
        let mut holding = HashSet::new();
        let mut visit = |entry| {
            let path = match entry {
                Entry::Unfinished { key, .. } if Written::parse(key.as_str()).is_some() => {
                    unfinished.push(key);
                    return Ok(());
                }
                Entry::Unfinished { key, .. } | Entry::Artifact { key, .. } => key.to_string(),
                Entry::Foreign { path } => path,
            };
            holding.extend(path.split('/').next().map(str::to_owned));
            Ok(())
        };
        butler.datastore().walk_all(&mut visit).map_err(|error| match error {
            DatastoreError::List { source, .. } => ButlerError::Storage(source),
            error => ButlerError::Datastore(error),
        })?;
        let mut directories = BTreeMap::new();
        for folder in walk::folders(&storage_root(butler)).map_err(of_check)? {
            let name = folder.file_name().unwrap_or_default();
            if let Ok(prefix) = RunPrefix::parse(name) {
                directories.insert(prefix, holding.contains(name));
            }
        }
        Ok(Self { unfinished, directories })
    }
}

/// Unfinished forms of small files, old enough, in the repository's root and in the
/// folders of workspaces: `<name>.<n>.tmp`.
fn unfinished_files(butler: &DirectButler) -> Result<Vec<Utf8PathBuf>, ButlerError> {
    let workspaces = butler.config().workspaces_dir(butler.root());
    let mut folders = vec![butler.root().to_owned(), workspaces.clone()];
    folders.extend(walk::folders(&workspaces).map_err(of_check)?);
    folders.extend(roots(butler)?.into_iter().map(|(_, root)| root));
    let now = butler.environment().clock.now().to_unix_nanos();
    let now = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now).unwrap_or(0));
    let mut found = Vec::new();
    for folder in folders {
        let failed = |source| ButlerError::Io { path: folder.clone(), source };
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            let Ok(entry) = entry else { continue };
            if !is_unfinished(entry.file_name()) {
                continue;
            }
            let there = match entry.metadata() {
                Ok(there) => there,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            // Younger than now, or from the future: not known to be old.
            let age = there.modified().ok().and_then(|then| now.duration_since(then).ok());
            if there.is_file() && age.is_some_and(|age| age >= GRACE) {
                found.push(entry.into_path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `datastore::fs` gives such names to what it has not finished.
fn is_unfinished(name: &str) -> bool {
    let number = name.strip_suffix(".tmp").and_then(|name| name.rsplit_once('.'));
    number.is_some_and(|(name, n)| {
        !name.is_empty() && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())
    })
}

fn remove_file(path: &Utf8Path) -> Result<(), ButlerError> {
    pantler_seam::step("vacuum.file");
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(ButlerError::Io { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn of_check(error: CheckError) -> ButlerError {
    match error {
        CheckError::Registry(source) => source.into(),
        CheckError::Storage { path, source } => ButlerError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unfinished_files_are_known() {
        for unfinished in ["pantler.yaml.0.tmp", "graph-1.qg.12.tmp", "closing.0.tmp"] {
            assert!(is_unfinished(unfinished), "{unfinished}");
        }
        for other in ["a.tmp", ".0.tmp", "a.x.tmp", "a..tmp", "a.0.tmp.bak", "runner.lock"] {
            assert!(!is_unfinished(other), "{other}");
        }
    }
}
