//! What a check says.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::Durability;
use pantler_registry::check::RowFinding;
use uuid::Uuid;

use super::{
    artifacts::{CHECKSUM, Fault},
    owners::Written,
    rows::{Artifact, Record},
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong, by code and subject; empty if nothing is.
    pub findings: Vec<Finding>,
    /// What there is.
    pub counts: Counts,
    /// Roots of closed workspaces, as absolute paths: no fault, `vacuum` removes
    /// them.
    pub leftover_roots: Vec<Utf8PathBuf>,
    /// Whether artifacts are flushed before their rows are committed. With
    /// [`Durability::None`] a power loss can lose stored datasets.
    pub durability: Durability,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What kind of fault it is: a stable name.
    pub code: &'static str,
    /// The path, id or name that it is about.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// How to go on: a command where there is one.
    pub next: String,
}

/// What a repository holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Registered datasets: the sum of the next three.
    pub datasets: usize,
    /// Registered, with a datastore record.
    pub stored: usize,
    /// Registered, without a record, and no open transaction manages them.
    pub registered_only: usize,
    /// Registered, without a record, and an open transaction manages them.
    pub managed: usize,
    /// Artifacts that records name.
    pub artifacts: usize,
    /// The bytes of those that are whole.
    pub bytes: u64,
    /// Open transactions.
    pub open_transactions: usize,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

const RESTORE_DATABASE: &str =
    "no command repairs rows: restore the database from a backup, then run `pantler check` again";

impl Finding {
    pub(super) fn new(
        code: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { code, subject: subject.into(), message: message.into(), next: next.into() }
    }

    pub(super) fn orphan(path: &str, unknown_prefix: Option<&str>, doubtful: bool) -> Self {
        let mut message = "no record names it, and no open transaction owns it".to_owned();
        if let Some(prefix) = unknown_prefix {
            message.push_str("; no RUN has the prefix ");
            message.push_str(prefix);
        }
        let unfinished = path.strip_suffix(".tmp").is_some_and(|key| Written::parse(key).is_some());
        let next = if doubtful {
            message.push_str("; a record of its RUN does not tell where its own artifact is");
            RESTORE_DATABASE
        } else if unfinished {
            "pantler vacuum"
        } else {
            "pantler check --repair"
        };
        Self::new("orphan", path, message, next)
    }

    pub(super) fn foreign(root: &Utf8Path, path: &str, what: &str, movable: bool) -> Self {
        let next = if movable {
            "pantler check --repair".to_owned()
        } else {
            format!("move it away: {}", quoted(&root.join(path)))
        };
        Self::new("foreign", path, format!("not an artifact: {what}"), next)
    }

    /// An artifact, or a file outside, that is not what `record`, the first of its
    /// records, says.
    pub(super) fn artifact(
        root: &Utf8Path,
        artifact: &Artifact,
        direct: bool,
        record: &Record,
        fault: &Fault,
    ) -> Self {
        let needs = record.label();
        let (codes, message) = match fault {
            Fault::Missing { dangling: false } => (
                ["artifact-missing", "direct-missing"],
                format!("there is no such file, and {needs} needs it"),
            ),
            Fault::Missing { dangling: true } => (
                ["artifact-missing", "direct-missing"],
                format!("it is a symbolic link that leads nowhere, and {needs} needs it"),
            ),
            Fault::Size(found) => (
                ["artifact-size", "direct-size"],
                format!(
                    "it has {found} bytes, and {needs} should have {}{}",
                    artifact.size,
                    if artifact.sliced { " at the end of the last slice" } else { "" }
                ),
            ),
            Fault::NotRegular(what) => (
                ["artifact-not-regular", "direct-not-regular"],
                format!("it is {what}, and {needs} needs a file"),
            ),
            Fault::Unreadable(error) => (
                ["artifact-unreadable", "direct-unreadable"],
                format!("it cannot be read ({error}), and {needs} needs it"),
            ),
            Fault::Checksum(record) => (
                [CHECKSUM, CHECKSUM],
                format!("its bytes have another checksum than {} has", record.label()),
            ),
        };
        let path = if direct { record_path(artifact) } else { root.join(&*artifact.location) };
        let next = match fault {
            Fault::Unreadable(_) => format!("see that {} can be read", quoted(&path)),
            _ if artifact.contradicted => RESTORE_DATABASE.to_owned(),
            Fault::Checksum(_) => repair_or_put_back(&path, "check --checksum --repair"),
            _ => repair_or_put_back(&path, "check --repair"),
        };
        Self::new(codes[usize::from(direct)], &*artifact.location, message, next)
    }

    pub(super) fn row(found: RowFinding) -> Self {
        // The registry gives UUIDs of datasets as SQL's `hex` does.
        let subject = match Uuid::try_parse(&found.subject) {
            Ok(uuid) => uuid.hyphenated().to_string(),
            Err(_) => found.subject,
        };
        Self::new(found.code, subject, found.detail, RESTORE_DATABASE)
    }

    pub(super) fn of_rows(
        code: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(code, subject, message, RESTORE_DATABASE)
    }

    pub(super) fn of_transaction(
        code: &'static str,
        name: &str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(code, subject, message, format!("pantler transaction show {name}"))
    }
}

fn record_path(artifact: &Artifact) -> Utf8PathBuf {
    let location = &*artifact.location;
    location.strip_prefix("file://").unwrap_or(location).into()
}

fn repair_or_put_back(path: &Utf8Path, repair: &str) -> String {
    let path = quoted(path);
    format!("put a copy of the file back at {path}; or `pantler {repair}`, which drops its records")
}

/// A path as a shell takes it.
fn quoted(path: &Utf8Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.,=+:@%~".contains(c);
    if path.as_str().chars().all(plain) {
        path.to_string()
    } else {
        format!("'{}'", path.as_str().replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Utf8Path::new("/a/b~1-2.csv")), "/a/b~1-2.csv");
        assert_eq!(quoted(Utf8Path::new("/a b/c'd")), r"'/a b/c'\''d'");
    }

    #[test]
    fn uuids_of_rows_are_written_as_everywhere() {
        let finding = Finding::row(RowFinding {
            code: "dataset-without-type",
            subject: "0192A7E8C0007000800000000000000A".to_owned(),
            detail: "it is gone".to_owned(),
        });
        assert_eq!(finding.subject, "0192a7e8-c000-7000-8000-00000000000a");
    }
}
