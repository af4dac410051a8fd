//! `pantler check`: whether database and storage agree, seen from outside.
//!
//! Nothing here shares code with what writes: rows come from SQL of its own
//! (`pantler_registry::check`), files from a directory walk of its own (`walk.rs`).
//!
//! A repository is checked while others change it, so the order matters:
//!
//! 1. storage and workspace roots are listed;
//! 2. the database is read, in one snapshot. What was listed and is neither named by a
//!    record nor owned by an open transaction is an orphan: the row that owns a file is
//!    always there before the file;
//! 3. storage is looked at again for every artifact that a record names: the file is
//!    always there before the record;
//! 4. if there were findings, all of it once more: what is found both times is reported.
//!    A file that was being deleted in the first round is gone in the second.

mod report;
mod rows;
mod walk;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ArtifactKey;
use pantler_registry::RegistryError;

pub use report::{CheckReport, Counts, Finding};

use self::{
    rows::Snapshot,
    walk::{Listing, Look},
};
use crate::DirectButler;

/// A check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The database does not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The storage does not answer.
    #[error("cannot look at {path}")]
    Storage {
        /// What was looked at.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Compares database and storage. Changes nothing, and may run beside others that do.
///
/// The root of a workspace that was closed is no fault: a kill between the closing
/// rows and the removal of the root leaves it, and nothing refers to it. The report
/// names such roots apart from the findings.
///
/// # Errors
/// [`CheckError`] if the database or the storage does not answer; whatever is wrong
/// with their content is a finding.
pub fn check(butler: &DirectButler) -> Result<CheckReport, CheckError> {
    let first = look(butler)?;
    if first.findings.is_empty() {
        return Ok(first);
    }
    let mut again = look(butler)?;
    let before: BTreeSet<(&str, &str)> =
        first.findings.iter().map(|f| (f.code, f.subject.as_str())).collect();
    again.findings.retain(|f| before.contains(&(f.code, f.subject.as_str())));
    Ok(again)
}

fn look(butler: &DirectButler) -> Result<CheckReport, CheckError> {
    let root = butler.root().join(&butler.datastore().config().root);
    let listing = walk::list(&root)?;
    let workspaces = butler.config().workspaces_dir(butler.root());
    let workspace_roots = walk::workspace_roots(&workspaces)?;

    let mut rows = Snapshot::read(butler)?;
    let mut counts = rows.counts;
    counts.artifacts = rows.artifacts.len();

    let mut findings = std::mem::take(&mut rows.findings);
    for oddity in &listing.oddities {
        findings.push(Finding::oddity(&root, oddity));
    }
    if !rows.incomplete {
        orphans(&root, &listing, &rows, &mut findings);
    }
    let leftover_roots = workspace_roots
        .into_iter()
        .filter(|(opening, _)| opening.is_some_and(|opening| !rows.openings.contains(&opening)))
        .map(|(_, path)| path)
        .collect();
    counts.bytes = artifacts(&root, &rows, &mut findings)?;
    findings.sort();
    Ok(CheckReport {
        findings,
        counts,
        leftover_roots,
        durability: butler.datastore().config().durability,
    })
}

fn orphans(root: &Utf8Path, listing: &Listing, rows: &Snapshot, findings: &mut Vec<Finding>) {
    for path in &listing.files {
        if rows.artifacts.contains_key(path.as_str()) || rows.owners.owns(path) {
            continue;
        }
        let prefix = path.split_once('/').map(|(prefix, _)| prefix);
        let known = prefix.is_some_and(|prefix| rows.run_prefixes.contains(prefix));
        findings.push(Finding::orphan(root, path, prefix.filter(|_| !known)));
    }
}

/// Looks for every artifact that a record names, and returns their bytes.
fn artifacts(
    root: &Utf8Path,
    rows: &Snapshot,
    findings: &mut Vec<Finding>,
) -> Result<u64, CheckError> {
    let mut bytes = 0;
    for (key, artifact) in &rows.artifacts {
        if ArtifactKey::new(&**key).is_err() {
            // Reported with the rows; such a path must not even be looked at.
            continue;
        }
        match walk::look_at(&root.join(&**key))? {
            Look::File(size) if size == artifact.size => bytes += size,
            Look::File(size) => findings.push(Finding::wrong_size(root, key, artifact, size)),
            // The walk reported what else stands there; as an artifact it is missing.
            Look::Nothing | Look::Other => findings.push(Finding::missing(root, key, artifact)),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
