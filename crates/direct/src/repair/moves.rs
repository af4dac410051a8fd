//! Moving to the quarantine and back.

use std::io;

use camino::Utf8PathBuf;
use pantler_core::ArtifactKey;
use pantler_registry::RegistryError;

use super::{ActionKind, Repair, RepairError};
use crate::check::{
    Lost, content,
    owners::Owners,
    walk::{self, Look},
};

/// How many are moved before the database is asked again who owns them.
const TOGETHER: usize = 256;

impl Repair<'_> {
    /// Moves what nobody owns to the quarantine, and back if somebody has come to own it
    /// meanwhile.
    pub(super) fn move_away(&mut self, found: &[(&str, &'static str)]) -> Result<(), RepairError> {
        for together in found.chunks(TOGETHER) {
            let moved: Vec<&str> = together
                .iter()
                .filter(|(path, code)| self.move_one(path, code))
                .map(|(path, _)| *path)
                .collect();
            if self.dry_run {
                continue;
            }
            self.quarantine.flush()?;
            let owned = self.butler.registry().check(|rows| {
                let (owners, _) = Owners::read(self.butler, rows)?;
                let mut owned = Vec::new();
                for path in moved {
                    if owners.owns(path) || rows.names(path)? {
                        owned.push(path);
                    }
                }
                Ok::<_, RegistryError>(owned)
            })?;
            for path in owned {
                self.move_back(path, "a record or an open transaction names it by now");
            }
            self.quarantine.flush()?;
        }
        Ok(())
    }

    /// Moves one thing to the quarantine; says whether it is away.
    pub(super) fn move_one(&mut self, path: &str, code: &'static str) -> bool {
        let moved = if self.dry_run { Ok(()) } else { self.quarantine.take(&self.root, path) };
        match moved {
            Ok(()) => {
                self.say(ActionKind::Quarantined, path, code);
                true
            }
            // Its owner was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => {
                self.say(ActionKind::Skipped, path, format!("it cannot be moved: {error}"));
                false
            }
        }
    }

    /// Moves back what this repair has moved away.
    pub(super) fn move_back(&mut self, path: &str, why: &str) {
        let from = self.quarantine.folder().join(path);
        match self.quarantine.give_back(&from, &self.root, path) {
            Ok(()) => self.say(ActionKind::PutBack, path, why),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let reason = format!("it stays in {}: {error}", self.quarantine.folder());
                self.say(ActionKind::Skipped, path, reason);
            }
        }
    }

    /// If an artifact is missing and lies in the quarantine as its records say it should
    /// be, moves it back. That is so after a repair that was killed before it had looked
    /// whether somebody has come to own what it moved.
    pub(super) fn put_back_whole(
        &mut self,
        location: &str,
        artifact: &Lost,
    ) -> Result<bool, RepairError> {
        let missing = |look| matches!(look, Ok(Look::Nothing));
        if ArtifactKey::new(location).is_err() || !missing(walk::look_at(&self.root.join(location)))
        {
            return Ok(false);
        }
        let ends = artifact.records.iter().map(|r| r.offset.unwrap_or(0).saturating_add(r.size));
        let end = ends.max().unwrap_or(0);
        let sliced = artifact.records.iter().any(|record| record.offset.is_some());
        for place in self.quarantine.places(location)? {
            let fits = matches!(
                walk::look_at(&place),
                Ok(Look::File(size)) if size == end || (sliced && size > end)
            );
            if fits && matches!(content::differing(&place, &artifact.records), Ok(None)) {
                return Ok(self.give_back(&place, location, "its records name it"));
            }
        }
        Ok(false)
    }

    /// Moves back what open transactions name and do not find: what a repair moved that
    /// was killed before it had looked for new owners.
    pub(super) fn put_back_owned(&mut self) -> Result<(), RepairError> {
        let content = self.quarantine.content()?;
        if content.iter().all(|(_, listing)| listing.files.is_empty()) {
            return Ok(());
        }
        let (owners, _) = self.butler.registry().check(|rows| Owners::read(self.butler, rows))?;
        for (folder, listing) in content {
            for path in listing.files.iter().filter(|path| owners.names(path)) {
                if matches!(walk::look_at(&self.root.join(path)), Ok(Look::Nothing)) {
                    self.give_back(&folder.join(path), path, "an open transaction names it");
                }
            }
        }
        Ok(self.quarantine.flush()?)
    }

    fn give_back(&mut self, from: &Utf8PathBuf, path: &str, why: &str) -> bool {
        let moved =
            if self.dry_run { Ok(()) } else { self.quarantine.give_back(from, &self.root, path) };
        match moved {
            Ok(()) => {
                self.say(ActionKind::PutBack, path, why);
                true
            }
            Err(error) => {
                self.say(ActionKind::Skipped, path, format!("it cannot be moved back: {error}"));
                false
            }
        }
    }
}
