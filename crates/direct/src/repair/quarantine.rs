//! The quarantine: `<repository>/quarantine/<UTC time>-<random>/<path below the storage root>`.

use std::{collections::BTreeSet, io};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_datastore::{StorageError, fs};

use crate::{
    DirectButler,
    check::{
        CheckError,
        walk::{self, Listing},
    },
};

/// The folder's name below the repository.
pub(super) const FOLDER: &str = "quarantine";

/// The folder that takes what one repair moves away.
pub(super) struct Quarantine {
    top: Utf8PathBuf,
    folder: Utf8PathBuf,
    made: bool,
    /// Directories with entries that are not on stable storage yet.
    unflushed: BTreeSet<Utf8PathBuf>,
}

impl Quarantine {
    /// Makes nothing yet.
    pub(super) fn of(butler: &DirectButler) -> Self {
        let top = butler.root().join(FOLDER);
        let environment = butler.environment();
        let unix = i128::from(environment.clock.now().to_unix_nanos());
        let time = jiff::Timestamp::from_nanosecond(unix).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let random = environment.new_opening().as_uuid().simple().to_string().split_off(24);
        let folder = top.join(format!("{}-{random}", time.strftime("%Y%m%dT%H%M%SZ")));
        Self { top, folder, made: false, unflushed: BTreeSet::new() }
    }

    /// The folder, if something was moved to it.
    pub(super) fn made(self) -> Option<Utf8PathBuf> {
        self.made.then_some(self.folder)
    }

    /// The folder that takes what is moved away.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Moves what stands at `path` below `root` here.
    pub(super) fn take(&mut self, root: &Utf8Path, path: &str) -> io::Result<()> {
        let (from, to) = (root.join(path), self.folder.join(path));
        self.make_parent(&to)?;
        self.made = true;
        pantler_seam::around("repair.quarantine", || fs::rename_noreplace(&from, &to))?;
        pantler_seam::step("repair.quarantined");
        self.note(&from, &to);
        Ok(())
    }

    /// Moves a file from the quarantine back to `path` below `root`, never over something.
    pub(super) fn give_back(
        &mut self,
        from: &Utf8Path,
        root: &Utf8Path,
        path: &str,
    ) -> io::Result<()> {
        let to = root.join(path);
        self.make_parent(&to)?;
        pantler_seam::around("repair.put_back", || fs::rename_noreplace(from, &to))?;
        self.note(from, &to);
        Ok(())
    }

    /// Flushes the entries of all directories in which something was moved.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        for directory in std::mem::take(&mut self.unflushed) {
            match fs::sync_dir(&directory) {
                // Emptied and tidied away by somebody else since.
                Err(StorageError::Missing { .. }) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// What lies in the quarantine, of this and of earlier repairs: (folder, what is in
    /// it), the newest first.
    pub(super) fn content(&self) -> Result<Vec<(Utf8PathBuf, Listing)>, CheckError> {
        let mut folders = walk::folders(&self.top)?;
        folders.sort_unstable_by(|a, b| b.cmp(a));
        folders.into_iter().map(|folder| Ok((folder.clone(), walk::list(&folder)?))).collect()
    }

    /// The places where what stood at `path` may have been moved to, the newest first.
    pub(super) fn places(&self, path: &str) -> Result<Vec<Utf8PathBuf>, CheckError> {
        let mut folders = walk::folders(&self.top)?;
        folders.sort_unstable_by(|a, b| b.cmp(a));
        Ok(folders.into_iter().map(|folder| folder.join(path)).collect())
    }

    fn make_parent(&mut self, path: &Utf8Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let missing: Vec<_> = parent.ancestors().take_while(|at| !at.exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(parent)?;
        let made = missing.into_iter().filter_map(Utf8Path::parent).map(Utf8Path::to_owned);
        self.unflushed.extend(made);
        Ok(())
    }

    fn note(&mut self, from: &Utf8Path, to: &Utf8Path) {
        self.unflushed.extend([from, to].into_iter().filter_map(Utf8Path::parent).map(Into::into));
    }
}
