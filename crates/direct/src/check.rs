//! `pantler check`: whether database and storage agree, seen from outside.
//!
//! Nothing here shares code with what writes: rows come from SQL of its own
//! (`pantler_registry::check`), files from a directory walk (`walk.rs`) and a reader
//! (`content.rs`) of its own.
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
//!
//! `docs/check.md` has a table of all findings and of what a repair does about each.

mod artifacts;
pub(crate) mod content;
pub(crate) mod owners;
mod report;
pub(crate) mod rows;
pub(crate) mod walk;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::Durability;
use pantler_registry::RegistryError;

pub use report::{CheckReport, Counts, Finding};
use rows::{Record, Snapshot};
use walk::{Listing, Look};

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

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Read every artifact in full, and compare its checksum; else only its size.
    pub checksum: bool,
}

/// Compares database and storage, by sizes. Changes nothing, and may run beside others
/// that do.
///
/// The root of a workspace that was closed is no fault: a kill between the closing
/// rows and the removal of the root leaves it, and nothing refers to it. The report
/// names such roots apart from the findings.
///
/// # Errors
/// [`CheckError`] if the database or the storage does not answer; whatever is wrong
/// with their content is a finding.
pub fn check(butler: &DirectButler) -> Result<CheckReport, CheckError> {
    check_with(butler, CheckOptions::default())
}

/// As [`check`], as closely as `options` say.
///
/// # Errors
/// As [`check`].
pub fn check_with(butler: &DirectButler, options: CheckOptions) -> Result<CheckReport, CheckError> {
    examine(butler, options).map(Examined::report)
}

/// What a check found, with what a repair can do about it.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) found: Vec<Found>,
    counts: Counts,
    leftover_roots: Vec<Utf8PathBuf>,
    durability: Durability,
}

/// A finding with its remedy.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    pub(crate) remedy: Remedy,
}

/// What a repair can do.
#[derive(Debug)]
pub(crate) enum Remedy {
    /// Nothing.
    None,
    /// Move what stands at the subject of the finding away.
    Quarantine,
    /// Move what stands in the place of an artifact away, if anything does, and drop
    /// the records that name it.
    Drop(Lost),
}

/// An artifact that is not what its records say.
#[derive(Debug)]
pub(crate) struct Lost {
    /// The records.
    pub(crate) records: Vec<Record>,
    /// Whether something stands at its key, in the storage, that can be moved away.
    pub(crate) misplaced: bool,
}

impl Examined {
    /// As a report.
    pub(crate) fn report(self) -> CheckReport {
        CheckReport {
            findings: self.found.into_iter().map(|found| found.finding).collect(),
            counts: self.counts,
            leftover_roots: self.leftover_roots,
            durability: self.durability,
        }
    }
}

/// Which artifacts are read in full.
pub(crate) enum Depth {
    None,
    All,
    /// Those at these locations.
    Only(BTreeSet<String>),
}

/// Looks, and looks again if something was found.
pub(crate) fn examine(
    butler: &DirectButler,
    options: CheckOptions,
) -> Result<Examined, CheckError> {
    let depth = if options.checksum { Depth::All } else { Depth::None };
    let first = look(butler, &depth)?;
    if first.found.is_empty() {
        return Ok(first);
    }
    let key = |found: &Found| (found.finding.code, found.finding.subject.clone());
    let before: BTreeSet<_> = first.found.iter().map(key).collect();
    // What was sound when it was read in full is not read again.
    let doubtful = before.iter().filter(|(code, _)| *code == artifacts::CHECKSUM);
    let depth = Depth::Only(doubtful.map(|(_, subject)| subject.clone()).collect());
    let mut again = look(butler, &depth)?;
    again.found.retain(|found| before.contains(&key(found)));
    Ok(again)
}

fn look(butler: &DirectButler, depth: &Depth) -> Result<Examined, CheckError> {
    let root = butler.root().join(&butler.datastore().config().root);
    let listing = walk::list(&root)?;
    let workspaces = butler.config().workspaces_dir(butler.root());
    let workspace_roots = walk::workspace_roots(&workspaces)?;

    let mut rows = Snapshot::read(butler)?;
    let findings = std::mem::take(&mut rows.findings);
    let mut found: Vec<_> =
        findings.into_iter().map(|finding| Found { finding, remedy: Remedy::None }).collect();
    unowned(&root, &listing, &rows, &mut found);
    let leftover_roots = workspace_roots
        .into_iter()
        .filter(|(opening, _)| {
            opening.is_some_and(|opening| !rows.owners.openings.contains(&opening))
        })
        .map(|(_, path)| path)
        .collect();
    let mut counts = rows.counts;
    counts.bytes = artifacts::examine(&root, &rows, depth, &mut found);
    found.sort_by(|a, b| a.finding.cmp(&b.finding));
    Ok(Examined {
        found,
        counts,
        leftover_roots,
        durability: butler.datastore().config().durability,
    })
}

/// What is in the storage and belongs to nobody.
fn unowned(root: &Utf8Path, listing: &Listing, rows: &Snapshot, found: &mut Vec<Found>) {
    for oddity in &listing.oddities {
        // In the place of an artifact, it is reported as that.
        if rows.artifact(&oddity.path).is_none() {
            let finding = Finding::foreign(root, &oddity.path, &oddity.what, false);
            found.push(Found { finding, remedy: Remedy::None });
        }
    }
    if rows.incomplete {
        return;
    }
    let unowned = |path: &&String| rows.artifact(path).is_none() && !rows.owners.owns(path);
    for path in listing.files.iter().filter(unowned) {
        let prefix = path.split_once('/').map(|(prefix, _)| prefix);
        let known = prefix.is_some_and(|prefix| rows.run_prefixes.contains(prefix));
        let doubtful = prefix.is_some_and(|prefix| rows.doubtful.contains(prefix));
        let finding = Finding::orphan(path, prefix.filter(|_| !known), doubtful);
        let remedy = if doubtful { Remedy::None } else { Remedy::Quarantine };
        found.push(Found { finding, remedy });
    }
    for path in listing.links.iter().filter(unowned) {
        let (what, remedy) = match walk::look_at(&root.join(path)) {
            Ok(Look::File(_)) => ("a symbolic link to a file".to_owned(), Remedy::Quarantine),
            Ok(Look::Dangling) => {
                ("a symbolic link that leads nowhere".to_owned(), Remedy::Quarantine)
            }
            Ok(Look::Nothing) => continue,
            Ok(Look::Other(what)) => (format!("a symbolic link to {what}"), Remedy::None),
            Err(error) => {
                (format!("a symbolic link that cannot be followed ({error})"), Remedy::None)
            }
        };
        let movable = matches!(remedy, Remedy::Quarantine);
        found.push(Found { finding: Finding::foreign(root, path, &what, movable), remedy });
    }
}

#[cfg(test)]
mod tests;
