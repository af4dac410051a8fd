//! The kinds that take artifacts away: `remove` (unstore or purge) and `remove-run`.
//!
//! | step | effect | a kill after it leaves | commit | revert | abandon |
//! | --- | --- | --- | --- | --- | --- |
//! | open (one database transaction) | RUNs locked as modified; under the lock refs and records are read, the manifest is written, records go; the claim to delete is noted | open, datasets registered and not stored, all artifacts there | deletes all | as before, artifacts at new keys | the same |
//! | delete | some artifacts gone, then all, then their directory entries flushed | open | deletes the rest | refused: lists what is gone | what survives is stored, at new keys; the rest is registered only |
//! | rows (one database transaction) | purge: registrations out; remove-run: the RUN too; transaction out | closed | – | – | – |
//!
//! The opening is the claim, so the usual path costs no other. From then on a deleter
//! that was paused may wake up at any time and delete any key of its list: therefore no
//! record is ever inserted for such a key. A *revert* (all survive, or it refuses) and
//! an *abandon* first move survivors to keys of their own attempt. After either began,
//! a commit is refused.
//!
//! An artifact that datasets outside of the removal need as well is not in the list,
//! nor is a file outside of the storage: their records go, and they stay.

mod format;

use std::collections::BTreeSet;

use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, FileRecord, Location, WriteId, transaction::RunLocks,
};

use crate::{
    request::RemoveRequest,
    transaction::{
        ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, Managed,
        OpenContext, RevertContext, TransactionKind,
    },
};

/// What a removal leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The registrations: the datasets are registered only.
    Unstore,
    /// Nothing of the datasets.
    Purge,
}

/// A dataset to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedDataset {
    /// Its id.
    pub id: DatasetId,
    /// It in words, for messages.
    pub label: Box<str>,
}

/// What becomes of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays: others need it, or it lies outside of the storage.
    Stays,
    /// It is deleted; if it survives, it moves to its own key with another write id.
    Goes,
    /// It is deleted; if it survives, it moves to this key with another write id: its own
    /// carries none, or that of another artifact differs in nothing else.
    GoesOrMoves(ArtifactKey),
}

/// An artifact that removed datasets are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedArtifact {
    /// Where it is.
    pub location: Location,
    /// What becomes of it.
    pub fate: Fate,
    /// The records that name it, of the removed datasets.
    pub records: Vec<FileRecord>,
}

/// Removes datasets and their artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    runs: Vec<CollectionName>,
    extent: Extent,
    datasets: Vec<RemovedDataset>,
    artifacts: Vec<RemovedArtifact>,
}

/// Removes a RUN with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRemoval(Removal);

impl Removal {
    /// Removes `datasets` of `runs`, which are in `artifacts`.
    pub fn new(
        runs: Vec<CollectionName>,
        extent: Extent,
        datasets: Vec<RemovedDataset>,
        artifacts: Vec<RemovedArtifact>,
    ) -> Self {
        Self { runs, extent, datasets, artifacts }
    }

    /// The RUNs.
    pub fn runs(&self) -> &[CollectionName] {
        &self.runs
    }

    /// What it leaves.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The datasets.
    pub fn datasets(&self) -> &[RemovedDataset] {
        &self.datasets
    }

    /// The artifacts.
    pub fn artifacts(&self) -> &[RemovedArtifact] {
        &self.artifacts
    }

    /// Whether this is what `request` asks for.
    pub fn is_asked_for_by(&self, request: &RemoveRequest) -> bool {
        let asked: BTreeSet<DatasetId> = request.datasets.iter().copied().collect();
        let own: BTreeSet<DatasetId> = self.datasets.iter().map(|dataset| dataset.id).collect();
        (self.extent == Extent::Purge) == request.purge && own == asked
    }

    fn ids(&self) -> Vec<DatasetId> {
        self.datasets.iter().map(|dataset| dataset.id).collect()
    }

    /// The keys on the delete list.
    fn doomed(&self) -> Vec<ArtifactKey> {
        let doomed = self.artifacts.iter().filter(|artifact| artifact.fate != Fate::Stays);
        doomed.filter_map(|artifact| artifact.location.key().cloned()).collect()
    }

    /// Removes directories that are empty now; those of files in place are the user's.
    fn prune(keys: &[ArtifactKey], context: &CloseContext<'_>) -> Result<(), KindError> {
        let own = keys.iter().filter(|key| key.has_write_id());
        let prefixes: BTreeSet<&str> =
            own.filter_map(|key| Some(key.as_str().split_once('/')?.0)).collect();
        for prefix in prefixes {
            context.artifacts().prune(prefix)?;
        }
        Ok(())
    }

    fn delete(&self, context: &CloseContext<'_>) -> Result<(), KindError> {
        let doomed = self.doomed();
        if doomed.iter().any(|key| !key.has_write_id()) {
            // The place of a file that was ingested in place can be used again, when another
            // closer has finished this removal.
            context.confirm_unnamed(Vec::new())?;
        }
        context.artifacts().unstore(&doomed)?;
        pantler_seam::step("removal.deleted");
        Self::prune(&doomed, context)
    }

    /// Moves what is still there to keys of this attempt, and returns the records of
    /// all that survives, and the artifacts that do not, in words.
    fn rescue(&self, context: &CloseContext<'_>) -> Result<Rescued, KindError> {
        let writes = context.write_ids();
        let mut rescued = Rescued::default();
        let mut waiting = Vec::new();
        for artifact in &self.artifacts {
            if let Some(survivor) = artifact.survivor() {
                waiting.push((artifact, survivor));
                continue;
            }
            let size = context.artifacts().size_at(&artifact.location)?;
            if size.is_some_and(|size| artifact.fits(size)) {
                rescued.records.extend(artifact.records.iter().cloned());
            } else {
                rescued.lost.push(artifact.location.to_string());
            }
        }
        // A deleter that woke up may take one away between look and move, and another
        // closer may move it: looked at again until nothing is left to move.
        while !waiting.is_empty() {
            let mut moves = Vec::new();
            let mut moving = Vec::new();
            for (artifact, survivor) in std::mem::take(&mut waiting) {
                let places = places(artifact, survivor, &writes)?;
                match find(artifact, &places, context)? {
                    Some(at) if at == &places[0] => rescued.survives(artifact, at),
                    Some(at) => {
                        moves.push((at.clone(), places[0].clone()));
                        moving.push((artifact, survivor));
                    }
                    None => {
                        rescued.lost.push(artifact.location.to_string());
                        // Not a file of the user's that was ingested in place.
                        rescued
                            .remains
                            .extend(places.into_iter().filter(ArtifactKey::has_write_id));
                    }
                }
            }
            context.artifacts().rekey(&moves)?;
            waiting = moving;
        }
        pantler_seam::step("removal.survivors.moved");
        Ok(rescued)
    }

    fn revert(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        let rescued = self.rescue(context)?;
        if !rescued.lost.is_empty() {
            return Err(KindError::Deleted(rescued.lost));
        }
        context.insert_records(rescued.records);
        Ok(())
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        let rescued = self.rescue(context)?;
        // What does not fit its records is of no use to anybody, and nobody owns it now.
        context.artifacts().unstore(&rescued.remains)?;
        context.insert_records(rescued.records);
        Ok(())
    }
}

/// What an abandon or revert found.
#[derive(Debug, Default)]
struct Rescued {
    records: Vec<FileRecord>,
    /// What does not survive, in words.
    lost: Vec<String>,
    /// Where something of it may be left.
    remains: Vec<ArtifactKey>,
}

impl Rescued {
    fn survives(&mut self, artifact: &RemovedArtifact, key: &ArtifactKey) {
        let records = artifact
            .records
            .iter()
            .map(|record| FileRecord { location: key.clone().into(), ..record.clone() });
        self.records.extend(records);
    }
}

impl RemovedArtifact {
    /// The key that it gets if it survives, but for the write id; `None` if it stays.
    fn survivor(&self) -> Option<&ArtifactKey> {
        match &self.fate {
            Fate::Stays => None,
            Fate::Goes => self.location.key(),
            Fate::GoesOrMoves(key) => Some(key),
        }
    }

    /// Whether an artifact of so many bytes holds what the records say.
    fn fits(&self, size: u64) -> bool {
        self.records.iter().all(|record| match record.offset {
            None => record.size == size,
            Some(offset) => offset.saturating_add(record.size) <= size,
        })
    }
}

/// Where an artifact may be: at the key of an attempt that moved it, the newest first,
/// or still at its own.
fn places(
    artifact: &RemovedArtifact,
    survivor: &ArtifactKey,
    writes: &[WriteId],
) -> Result<Vec<ArtifactKey>, KindError> {
    let invalid = || KindError::Invalid(format!("{survivor} has no write id"));
    let moved = writes.iter().map(|write| survivor.at(write).ok_or_else(invalid));
    let mut places = moved.collect::<Result<Vec<_>, _>>()?;
    places.extend(artifact.location.key().cloned());
    Ok(places)
}

/// The first place where the artifact is, with a size that fits its records.
fn find<'p>(
    artifact: &RemovedArtifact,
    places: &'p [ArtifactKey],
    context: &CloseContext<'_>,
) -> Result<Option<&'p ArtifactKey>, KindError> {
    for key in places {
        if context.artifacts().size(key)?.is_some_and(|size| artifact.fits(size)) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

impl ArtifactTransaction for Removal {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, manifest: Option<&[u8]>) -> String {
        format::data(self, manifest.unwrap_or_default())
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        Some(format::manifest(self))
    }

    fn locks(&self) -> RunLocks {
        RunLocks { modified: self.runs.clone(), ..RunLocks::default() }
    }

    fn commit_deletes(&self) -> bool {
        true
    }

    fn managed(&self) -> Managed {
        let moved = self.artifacts.iter().filter_map(|artifact| match &artifact.fate {
            Fate::GoesOrMoves(key) => Some(key.clone()),
            Fate::Stays | Fate::Goes => None,
        });
        Managed { datasets: self.ids(), keys: self.doomed().into_iter().chain(moved).collect() }
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        if self.extent == Extent::Purge {
            context.expect_untagged(self.ids());
        }
        context.discard_records(self.ids());
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        self.delete(context)?;
        if self.extent == Extent::Purge {
            context.discard_datasets(self.ids());
        }
        Ok(())
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        Self::revert(self, context)
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        Self::abandon(self, context)
    }
}

impl TransactionKind for Removal {
    const KIND: &'static str = "remove";

    fn decode(data: &str, manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(Self::KIND, data, manifest)
    }
}

impl RunRemoval {
    /// Removes the RUN that `removal`, a purge of all datasets of one RUN, is about.
    pub fn new(removal: Removal) -> Self {
        Self(removal)
    }

    /// The removal of its datasets.
    pub fn removal(&self) -> &Removal {
        &self.0
    }
}

impl ArtifactTransaction for RunRemoval {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self, manifest: Option<&[u8]>) -> String {
        self.0.data(manifest)
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        self.0.manifest()
    }

    fn locks(&self) -> RunLocks {
        self.0.locks()
    }

    fn commit_deletes(&self) -> bool {
        true
    }

    fn managed(&self) -> Managed {
        self.0.managed()
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        self.0.begin(context)
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        self.0.delete(context)?;
        context.discard_datasets(self.0.ids());
        for run in &self.0.runs {
            context.discard_run(run.clone());
        }
        Ok(())
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        self.0.revert(context)
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        self.0.abandon(context)
    }
}

impl TransactionKind for RunRemoval {
    const KIND: &'static str = "remove-run";

    fn decode(data: &str, manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(Self::KIND, data, manifest).map(Self)
    }
}

#[cfg(test)]
mod tests;
