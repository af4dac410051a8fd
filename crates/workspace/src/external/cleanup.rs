//! What Pantler made in the folder of an external workspace goes; nothing else, and no
//! link is followed. Missing is fine everywhere: a killed call is called again.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_datastore::{Datastore, Entry, key};
use pantler_direct::TransactionFile;
use pantler_exec::layout::{closer_lock_file, lock_file};

use super::{
    ExternalError, INPUTS, creating_file,
    description::Description,
    description_file, done_file,
    inputs::{TransferredFile, storage},
    inputs_file, pipeline_dir, rows_file,
};
use crate::{WorkspaceError, layout};

/// The files that are prepared under another name.
const FILES: [&str; 8] = [
    "closing",
    "creating",
    "external.json",
    "inputs.json",
    "pantler.yaml",
    "pipeline.json",
    "rows.json",
    "transaction.json",
];

/// Of a folder that is a repository now: what only a workspace needs, its mark last. The
/// copy of the pipeline stays.
pub(super) fn of_repository(root: &Utf8Path) -> Result<(), WorkspaceError> {
    records_of_running(root)?;
    remove_folder(&root.join(INPUTS))?;
    let others = [layout::pipeline_file(root), root.join("transaction.json")];
    for file in [inputs_file(root), rows_file(root)].into_iter().chain(others) {
        remove_file(&file)?;
    }
    remove_unfinished(root)?;
    for lock in [closer_lock_file(root), lock_file(root)] {
        remove_file(&lock)?;
    }
    pantler_seam::step("external.cleaned");
    remove_file(&description_file(root))?;
    Ok(pantler_datastore::fs::sync_dir(root)?)
}

/// Of a folder whose content stands in the parent: all, its mark last.
pub(super) fn of_committed(root: &Utf8Path) -> Result<(), WorkspaceError> {
    let done = done_file(root);
    let description = Description::read(&done)?;
    if let Some(file) = TransactionFile::read(root)? {
        let storage = Datastore::local(root, &file.datastore)?;
        remove_inputs(root, &storage, &description, &HashSet::new())?;
        let prefix = key::run_prefix(&file.run, file.run_id);
        let mut keys = Vec::new();
        for entry in storage.list(&prefix)? {
            match entry {
                Entry::Artifact { key, .. } if !key.has_write_id() => {}
                Entry::Artifact { key, .. } | Entry::Unfinished { key, .. } => keys.push(key),
                Entry::Foreign { .. } => {}
            }
        }
        storage.unstore_durably(&keys)?;
        storage.prune(&prefix)?;
        pantler_seam::step("external.artifacts.removed");
        remove_folder(&root.join(&file.datastore.root))?;
    }
    records_of_running(root)?;
    remove_pipeline(root, &description)?;
    let own = [inputs_file(root), rows_file(root), creating_file(root)];
    for file in own.into_iter().chain([layout::pipeline_file(root), closer_lock_file(root)]) {
        remove_file(&file)?;
    }
    remove_unfinished(root)?;
    of_conversion(root)?;
    pantler_seam::step("external.removed");
    for file in [root.join("transaction.json"), lock_file(root), done] {
        remove_file(&file)?;
    }
    pantler_seam::step("external.mark.removed");
    // Not if somebody else's files are in it, or if it is not ours to remove.
    drop(std::fs::remove_dir(root));
    Ok(())
}

/// Of a conversion that was killed before the folder became a repository.
pub(super) fn of_conversion(root: &Utf8Path) -> Result<(), WorkspaceError> {
    for suffix in ["", "-wal", "-shm"] {
        for name in ["registry.sqlite3", "registry.sqlite3.part"] {
            remove_file(&root.join(format!("{name}{suffix}")))?;
        }
    }
    remove_folder(&root.join("workspaces"))
}

/// Transferred inputs but for those that are kept, also of a transfer that did not end.
pub(super) fn remove_inputs(
    root: &Utf8Path,
    own: &Datastore,
    description: &Description,
    kept: &HashSet<&ArtifactKey>,
) -> Result<(), WorkspaceError> {
    let inputs = storage(root, own)?;
    let mut keys = Vec::new();
    if let Some(file) = TransferredFile::read(root)? {
        keys.extend(file.inputs.into_iter().map(|input| input.key));
    }
    for run in &description.runs {
        let Some(id) = description.run_id(run) else { continue };
        let prefix = key::run_prefix(run, id);
        // What a transfer of inputs that did not end has written.
        for entry in inputs.list(&prefix)? {
            match entry {
                Entry::Artifact { key, .. } if !key.has_write_id() => {}
                Entry::Artifact { key, .. } | Entry::Unfinished { key, .. } => keys.push(key),
                Entry::Foreign { .. } => {}
            }
        }
        for storage in [&inputs, own] {
            let of_run = keys.iter().filter(|key| prefix.contains(key) && !kept.contains(key));
            storage.unstore(of_run)?;
            storage.prune(&prefix)?;
        }
    }
    remove_folder(&root.join(INPUTS))
}

/// Graph, journal, logs, scratch, marker.
fn records_of_running(root: &Utf8Path) -> Result<(), WorkspaceError> {
    pantler_datastore::fs::remove_tree(&layout::scratch_dir(root))?;
    let journal = &["jsonl", "alive", "over"][..];
    for (folder, endings) in
        [(layout::journal_dir(root), journal), (layout::logs_dir(root), &["log"])]
    {
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(ExternalError::io(&folder)(error).into()),
        };
        for entry in entries {
            let entry = entry.map_err(ExternalError::io(&folder))?;
            let name = Utf8Path::new(entry.file_name());
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            let numbered = name.file_stem().is_some_and(digits);
            let is_record = numbered && name.extension().is_some_and(|e| endings.contains(&e));
            if is_record || is_unfinished_segment(name.as_str()) {
                remove_file(entry.path())?;
            }
        }
        remove_folder(&folder)?;
    }
    // The last first: those that are left are found as long as none before them is gone.
    for part in layout::graph_files(root).iter().rev() {
        remove_file(part)?;
    }
    remove_file(&layout::provenance_file(root))?;
    pantler_seam::step("external.graph.removed");
    remove_file(&layout::closing_marker(root))
}

/// A segment of the journal that a process could not begin: `begin-<process>-<n>.tmp`.
fn is_unfinished_segment(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = name.strip_prefix("begin-").and_then(|rest| rest.strip_suffix(".tmp"));
    numbers.and_then(|both| both.split_once('-')).is_some_and(|(a, b)| number(a) && number(b))
}

/// The unfinished forms of files that a killed process was writing.
fn remove_unfinished(root: &Utf8Path) -> Result<(), WorkspaceError> {
    let known = |name: &str| {
        let (name, number) = name.strip_suffix(".tmp")?.rsplit_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let is_part = name.starts_with("graph-") && Utf8Path::new(name).extension() == Some("qg");
        (is_number && (is_part || FILES.contains(&name))).then_some(())
    };
    for entry in root.read_dir_utf8().map_err(ExternalError::io(root))? {
        let entry = entry.map_err(ExternalError::io(root))?;
        if known(entry.file_name()).is_some() {
            remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_pipeline(root: &Utf8Path, description: &Description) -> Result<(), WorkspaceError> {
    let folder = pipeline_dir(root);
    if folder.is_symlink() {
        return Ok(());
    }
    let mut folders: Vec<Utf8PathBuf> = Vec::new();
    'files: for file in &description.pipeline {
        let path = folder.join(file);
        for above in file.ancestors().skip(1).filter(|above| !above.as_str().is_empty()) {
            let above = folder.join(above);
            // A folder that somebody replaced by a link leads elsewhere.
            if above.is_symlink() {
                continue 'files;
            }
            folders.push(above);
        }
        remove_file(&path)?;
    }
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    folders.dedup();
    for folder in folders {
        remove_folder(&folder)?;
    }
    remove_folder(&folder)
}

fn remove_file(path: &Utf8Path) -> Result<(), WorkspaceError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ExternalError::io(path)(error).into())
        }
        _ => Ok(()),
    }
}

/// If it is empty, and no link.
fn remove_folder(path: &Utf8Path) -> Result<(), WorkspaceError> {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
    match std::fs::remove_dir(path) {
        Err(error) if !matches!(error.kind(), DirectoryNotEmpty | NotADirectory | NotFound) => {
            Err(ExternalError::io(path)(error).into())
        }
        _ => Ok(()),
    }
}
