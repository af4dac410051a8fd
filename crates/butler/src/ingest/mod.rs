//! The kind `ingest`: files from outside become datasets of a RUN, by copy.
//!
//! | step | effect | a kill after it leaves |
//! | --- | --- | --- |
//! | make sure of the RUN | one database transaction | an empty RUN |
//! | open | datasets registered, not stored; manifest; insert-only lock | an open transaction without artifacts |
//! | stage | copies at `<key>.tmp` | unfinished artifacts, named by the manifest |
//! | flush, rename, flush | artifacts at their keys | whole artifacts, named by the manifest |
//! | commit | sizes checked, then records in, transaction out | nothing open |
//!
//! From any of the open states: `commit` succeeds if every artifact is whole at the
//! key of some attempt, else it stays open and lists what is missing; taking over
//! copies again what is missing, at keys of a new attempt; `revert` deletes every
//! key of every attempt and the registrations; `abandon` makes stored what is
//! whole and leaves the rest registered only.

mod format;

use std::collections::BTreeMap;

use pantler_core::{
    ArtifactKey, CollectionName, DatasetId, DatasetRef, FileRecord, RunId, StorageClass, WriteId,
    transaction::RunLocks,
};

use crate::{
    artifacts::Content,
    transaction::{
        ArtifactTransaction, CloseContext, CommitContext, DecodeError, KindError, Managed,
        OpenContext, RevertContext, TransactionKind,
    },
};

/// One file to be ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestItem {
    /// The dataset that it becomes.
    pub dataset: DatasetId,
    /// The dataset in words, for messages.
    pub label: String,
    /// The key of the first attempt; later ones differ in the write id.
    pub key: ArtifactKey,
    /// What it is.
    pub storage_class: StorageClass,
    /// The file, as an absolute path.
    pub source: String,
    /// The file's size in bytes when the ingest was planned.
    pub size: u64,
    /// The file's modification time when the ingest was planned (ns, Unix time).
    pub modified: i64,
}

/// Copies files into a RUN.
#[derive(Debug)]
pub struct Ingest {
    run: CollectionName,
    made_run: bool,
    /// The RUN's id when the keys were made; not stored, as it is checked at opening.
    run_id: Option<RunId>,
    items: Vec<IngestItem>,
    /// What `begin` registers; empty in one that was decoded, which is never begun.
    datasets: Vec<DatasetRef>,
    /// What this process wrote itself, with the checksum it computed while writing.
    written: BTreeMap<DatasetId, (ArtifactKey, Content)>,
}

impl Ingest {
    /// Plans an ingest into `run`; `made_run` says that the RUN was made for it, so
    /// that a revert drops it again.
    pub fn new(
        run: CollectionName,
        made_run: bool,
        items: Vec<IngestItem>,
        datasets: Vec<DatasetRef>,
    ) -> Self {
        Self { run, made_run, run_id: None, items, datasets, written: BTreeMap::new() }
    }

    /// The same, to be opened only while the RUN has this id, which its keys carry.
    #[must_use]
    pub fn for_run_id(mut self, id: RunId) -> Self {
        self.run_id = Some(id);
        self
    }

    /// The RUN.
    pub fn run(&self) -> &CollectionName {
        &self.run
    }

    /// The files.
    pub fn items(&self) -> &[IngestItem] {
        &self.items
    }

    /// Takes the files of `planned` for this ingest, if they are the same: for the same
    /// datasets, with the same sizes and modification times. Their folder may have
    /// moved, and the dataset ids stay those of this ingest. Says whether they are.
    pub fn adopt_sources(&mut self, planned: &[IngestItem]) -> bool {
        let by_label: BTreeMap<&str, &IngestItem> =
            planned.iter().map(|item| (item.label.as_str(), item)).collect();
        let same = |item: &IngestItem| {
            by_label
                .get(item.label.as_str())
                .is_some_and(|p| p.size == item.size && p.modified == item.modified)
        };
        if planned.len() != self.items.len() || !self.items.iter().all(same) {
            return false;
        }
        for item in &mut self.items {
            item.source.clone_from(&by_label[item.label.as_str()].source);
        }
        true
    }

    /// Notes what this process wrote, so that the commit need not read it again.
    pub fn note_written(&mut self, dataset: DatasetId, key: ArtifactKey, content: Content) {
        self.written.insert(dataset, (key, content));
    }

    /// The key of an item at one attempt.
    pub fn key_at(item: &IngestItem, write: &WriteId) -> ArtifactKey {
        item.key.at(write).expect("planned and decoded keys carry a write id")
    }

    /// Every key that an attempt may have written, newest attempt first.
    fn candidates(item: &IngestItem, writes: &[WriteId]) -> Vec<ArtifactKey> {
        writes.iter().map(|write| Self::key_at(item, write)).collect()
    }

    /// Finds the artifact of an item: what this process wrote (present with its
    /// size), or the newest attempt's, read in full.
    fn find(
        &self,
        item: &IngestItem,
        candidates: &[ArtifactKey],
        context: &CloseContext<'_>,
    ) -> Result<Option<FileRecord>, KindError> {
        let mut found = None;
        if let Some((key, content)) = self.written.get(&item.dataset) {
            if context.artifacts().size(key)? == Some(content.size) {
                found = Some((key.clone(), *content));
            }
        } else {
            for key in candidates {
                if let Some(content) = context.artifacts().measure(key)? {
                    found = Some((key.clone(), content));
                    break;
                }
            }
        }
        Ok(found.map(|(key, content)| FileRecord {
            dataset: item.dataset,
            component: String::new(),
            location: key.into(),
            offset: None,
            formatter: item.storage_class.formatter().to_owned(),
            storage_class: item.storage_class,
            size: content.size,
            checksum: content.checksum,
        }))
    }

    /// Finds every artifact. Returns the records and the items without one.
    fn settle(
        &self,
        context: &CloseContext<'_>,
    ) -> Result<(Vec<FileRecord>, Vec<&IngestItem>), KindError> {
        let writes = context.write_ids();
        let mut records = Vec::with_capacity(self.items.len());
        let mut missing = Vec::new();
        for item in &self.items {
            match self.find(item, &Self::candidates(item, &writes), context)? {
                Some(record) => records.push(record),
                None => missing.push(item),
            }
        }
        Ok((records, missing))
    }

    /// Deletes what other attempts left: unfinished forms, and artifacts older than
    /// the one that is kept. Nothing to do for an opener's own first attempt.
    fn delete_leftovers(
        &self,
        records: &[FileRecord],
        context: &CloseContext<'_>,
    ) -> Result<(), KindError> {
        let writes = context.write_ids();
        let kept: BTreeMap<DatasetId, &ArtifactKey> =
            records.iter().filter_map(|r| Some((r.dataset, r.location.key()?))).collect();
        let mut older = Vec::new();
        let mut unfinished = Vec::new();
        for item in &self.items {
            let candidates = Self::candidates(item, &writes);
            match kept.get(&item.dataset) {
                None => unfinished.extend(candidates),
                Some(kept) => {
                    let (newer, rest): (Vec<_>, Vec<_>) = {
                        let at = candidates.iter().position(|key| key == *kept).unwrap_or(0);
                        let (newer, rest) = candidates.split_at(at);
                        (newer.to_vec(), rest[1..].to_vec())
                    };
                    unfinished.extend(newer);
                    older.extend(rest);
                }
            }
        }
        context.artifacts().discard_unfinished(&unfinished)?;
        context.artifacts().unstore(&older)?;
        Ok(())
    }
}

impl ArtifactTransaction for Ingest {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn data(&self) -> String {
        format::data(self)
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        Some(format::manifest(&self.items))
    }

    fn locks(&self) -> RunLocks {
        RunLocks { insert_only: vec![self.run.clone()], ..RunLocks::default() }
    }

    fn expected_runs(&self) -> Vec<(CollectionName, RunId)> {
        self.run_id.map(|id| (self.run.clone(), id)).into_iter().collect()
    }

    fn managed(&self) -> Managed {
        Managed {
            datasets: self.items.iter().map(|item| item.dataset).collect(),
            keys: self.items.iter().map(|item| item.key.clone()).collect(),
        }
    }

    fn begin(&self, context: &mut OpenContext) -> Result<(), KindError> {
        context.insert_datasets(self.datasets.clone());
        Ok(())
    }

    fn commit(&self, context: &mut CommitContext<'_>) -> Result<(), KindError> {
        let (records, missing) = self.settle(context)?;
        if !missing.is_empty() {
            return Err(KindError::Incomplete(missing.iter().map(|i| i.label.clone()).collect()));
        }
        let all_mine = records.iter().all(|r| self.written.contains_key(&r.dataset));
        if !all_mine || context.facts().attempt > 1 {
            context.artifacts().flush(
                &records.iter().filter_map(|r| r.location.key().cloned()).collect::<Vec<_>>(),
            )?;
            self.delete_leftovers(&records, context)?;
        }
        context.insert_records(records);
        Ok(())
    }

    fn revert(&self, context: &mut RevertContext<'_>) -> Result<(), KindError> {
        let writes = context.write_ids();
        let keys: Vec<_> =
            self.items.iter().flat_map(|item| Self::candidates(item, &writes)).collect();
        context.artifacts().unstore(&keys)?;
        context.artifacts().prune(context.facts().run_prefix)?;
        context.discard_datasets(self.items.iter().map(|item| item.dataset).collect());
        if self.made_run {
            context.discard_run_if_unused(self.run.clone());
        }
        Ok(())
    }

    fn abandon(&self, context: &mut CloseContext<'_>) -> Result<(), KindError> {
        if context.facts().past_the_door {
            let writes = context.write_ids();
            let keys: Vec<_> =
                self.items.iter().flat_map(|item| Self::candidates(item, &writes)).collect();
            context.artifacts().unstore(&keys)?;
            return Ok(());
        }
        let (records, _) = self.settle(context)?;
        context
            .artifacts()
            .flush(&records.iter().filter_map(|r| r.location.key().cloned()).collect::<Vec<_>>())?;
        self.delete_leftovers(&records, context)?;
        context.insert_records(records);
        Ok(())
    }
}

impl TransactionKind for Ingest {
    const KIND: &'static str = "ingest";

    fn decode(data: &str, manifest: &[u8]) -> Result<Self, DecodeError> {
        format::decode(data, manifest)
    }
}

#[cfg(test)]
mod tests;
