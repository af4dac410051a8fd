//! A closing that was killed is undone, so that the workspace can be run, reset and built on.
//!
//! That is sound until `pantler.yaml` is there, or something of a commit has been decided in
//! the repository that it goes to: then the same closing has to be finished. The marker says
//! which closing it was, so that a repository is asked only where one can know.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::transaction::Closing;
use pantler_datastore::{StorageError, key};
use pantler_direct::{DirectButler, standalone::is_repository};
use pantler_exec::RunnerLock;
use uuid::Uuid;

use super::{ExternalError, ExternalWorkspace, INPUTS, ParentUse, cleanup, description_file};
use crate::{WorkspaceError, layout};

const CONVERTING: &str = "to convert";
const COMMITTING: &str = "to commit to ";

/// What a closing that has begun is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    /// To make a repository in place.
    Convert,
    /// To store what was made in a repository.
    Commit {
        /// Its id.
        repository: Uuid,
        /// Where it was.
        path: Utf8PathBuf,
    },
}

impl Begun {
    /// Says so in the marker. One of a commit stays: only what it goes to knows how far it
    /// has come.
    pub(super) fn mark(&self, root: &Utf8Path) -> Result<(), StorageError> {
        let path = layout::closing_marker(root);
        let what = match self {
            Self::Convert => CONVERTING.to_owned(),
            Self::Commit { repository, path } => format!("{COMMITTING}{repository} at {path}"),
        };
        let text = format!("closed by process {}\n{what}\n", std::process::id());
        match self {
            Self::Convert => match pantler_datastore::fs::write_new(&path, text.as_bytes()) {
                Ok(()) | Err(StorageError::AlreadyExists { .. }) => Ok(()),
                Err(error) => Err(error),
            },
            Self::Commit { .. } => pantler_datastore::fs::replace(&path, text.as_bytes()),
        }
    }

    /// What the marker says; `None` if it does not say.
    fn of(text: &str) -> Option<Self> {
        let what = text.lines().nth(1)?;
        if what == CONVERTING {
            return Some(Self::Convert);
        }
        let (repository, path) = what.strip_prefix(COMMITTING)?.split_once(" at ")?;
        Some(Self::Commit { repository: repository.parse().ok()?, path: path.into() })
    }
}

/// The marker of a closing that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Which closing; `None` if it does not say.
    pub(super) begun: Option<Begun>,
}

/// The marker of the workspace at `root`, if there is one.
pub(super) fn marker(root: &Utf8Path) -> Result<Option<Marker>, ExternalError> {
    let path = layout::closing_marker(root);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Marker { begun: Begun::of(&text) })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExternalError::io(path)(error)),
    }
}

impl ExternalWorkspace {
    /// Whether a closing that may have reached a repository has begun, and where that
    /// repository was: it is to be asked before the closing is undone.
    ///
    /// # Errors
    /// [`ExternalError::Io`].
    pub fn commits_to(&self) -> Result<Option<Utf8PathBuf>, ExternalError> {
        let Some(marker) = marker(&self.root)? else { return Ok(None) };
        Ok(match marker.begun {
            Some(Begun::Convert) => None,
            Some(Begun::Commit { path, .. }) => Some(path),
            None => Some(self.parent.clone()),
        })
    }

    /// Undoes a closing that was killed: afterwards it can be run on. `parent` is the
    /// repository that [`Self::commits_to`] names, wherever it is now. Returns whether there
    /// was anything to undo; again, or killed and called again: does the rest.
    ///
    /// # Errors
    /// [`ExternalError::TransferOpen`] or [`ExternalError::InParent`] if something has come
    /// to the parent; [`ExternalError::ParentGone`] if it was not given;
    /// [`WorkspaceError::Lock`] if a process is at work here.
    pub fn reopen(&self, parent: Option<&DirectButler>) -> Result<bool, WorkspaceError> {
        let lock = RunnerLock::acquire(&self.root, &pantler_direct::this_process(), false)?;
        if !description_file(&self.root).exists() || is_repository(&self.root) {
            return Err(WorkspaceError::ClosedMeanwhile(self.client.transaction().run.clone()));
        }
        let Some(Marker { begun }) = marker(&self.root)? else { return Ok(false) };
        if begun != Some(Begun::Convert) {
            self.expect_undecided(begun, parent)?;
        }
        pantler_seam::step("external.reopen.begin");
        self.give_inputs_back()?;
        cleanup::of_conversion(&self.root)?;
        pantler_seam::step("external.reopen.cleared");
        let marker = layout::closing_marker(&self.root);
        pantler_seam::around("external.reopen.marker", || std::fs::remove_file(&marker))
            .map_err(ExternalError::io(&marker))?;
        pantler_datastore::fs::sync_dir(&self.root)?;
        pantler_seam::step("external.reopened");
        drop(lock);
        Ok(true)
    }

    /// Refuses if the repository has decided anything about a commit of this.
    fn expect_undecided(
        &self,
        begun: Option<Begun>,
        parent: Option<&DirectButler>,
    ) -> Result<(), WorkspaceError> {
        let recorded = (self.description.parent.repository, self.parent.clone());
        let (expected, path) = match begun {
            Some(Begun::Commit { repository, path }) => (repository, path),
            _ => recorded,
        };
        let Some(parent) = parent else {
            let (root, needed) = (self.root.clone(), ParentUse::Reopen);
            return Err(ExternalError::ParentGone { root, parent: path, needed }.into());
        };
        self.check_repository(parent, expected, ParentUse::Reopen)?;
        let name = self.transfer_name();
        let (root, path) = (self.root.clone(), parent.root().to_owned());
        if parent.transaction(&name)?.is_some() {
            let transaction = name.to_string();
            return Err(ExternalError::TransferOpen { root, parent: path, transaction }.into());
        }
        let closed = parent.registry().read(|reader| reader.closed_named(&name))?;
        match closed.iter().find(|row| row.closing != Closing::Revert) {
            None => Ok(()),
            Some(row) => {
                let outcome = row.closing.outcome();
                Err(ExternalError::InParent { root, parent: path, outcome }.into())
            }
        }
    }

    /// Moves inputs, RUN by RUN, from where a conversion has taken them.
    pub(super) fn give_inputs_back(&self) -> Result<(), WorkspaceError> {
        let artifacts = self.root.join(&self.client.datastore().config().root);
        let inputs = self.root.join(INPUTS);
        let mut any = false;
        for run in self.description.runs.iter().skip(1) {
            let Some(id) = self.description.run_id(run) else { continue };
            let prefix = key::run_prefix(run, id);
            let (from, to) = (artifacts.join(prefix.as_str()), inputs.join(prefix.as_str()));
            if from.exists() && !from.is_symlink() {
                std::fs::create_dir_all(&inputs).map_err(ExternalError::io(&inputs))?;
                pantler_seam::around("external.inputs.back", || {
                    pantler_datastore::fs::rename_noreplace(&from, &to)
                })
                .map_err(ExternalError::io(&to))?;
                any = true;
            }
        }
        if any {
            pantler_datastore::fs::sync_dir(&inputs)?;
            pantler_datastore::fs::sync_dir(&artifacts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_says_which_closing_it_is_of() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let says = || marker(root).unwrap().map(|marker| marker.begun);
        assert_eq!(says(), None);
        let file = layout::closing_marker(root);
        pantler_datastore::fs::write_new(&file, b"closed by process 7\n").unwrap();
        assert_eq!(says(), Some(None), "as it was written once");
        let repository = Uuid::from_u128(5);
        let commit = Begun::Commit { repository, path: "/a/b at c".into() };
        commit.mark(root).unwrap();
        assert_eq!(says(), Some(Some(commit.clone())));
        Begun::Convert.mark(root).unwrap();
        assert_eq!(says(), Some(Some(commit)), "that of a commit stays");
        std::fs::remove_file(file).unwrap();
        Begun::Convert.mark(root).unwrap();
        assert_eq!(says(), Some(Some(Begun::Convert)));
    }
}
