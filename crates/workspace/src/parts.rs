//! The parts of a graph, and which of them a shard needs.
//!
//! Beside each part that was built for one shard stands a note, an empty file
//! `shards/<part>-<shard>`: one listing tells which parts need not be opened for another
//! shard. It repeats what the header of the part says, and is made after the part, so that a
//! kill in between costs no more than a look at that header.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{ElementName, QuantumId, Restriction, Universe};
use pantler_graph::{GraphReader, GraphScope, Pipeline, QuantumGraph, ResolvedPipeline};
use pantler_seam::{Event, traced};

use crate::{Shard, WorkspaceError, layout};

/// The parts of the graph of a workspace that there were when they were listed.
#[derive(Debug)]
pub(crate) struct Parts {
    root: Utf8PathBuf,
    count: u32,
    /// The shard of those that have a note, as [`Shard::digest`].
    notes: BTreeMap<u32, String>,
}

impl Parts {
    /// Lists those in a root.
    pub(crate) fn list(root: &Utf8Path) -> Result<Self, WorkspaceError> {
        // First: a part that comes meanwhile is looked at without its note.
        let notes = notes(root)?;
        let count = (1..=u32::MAX).take_while(|part| layout::graph_file(root, *part).exists());
        let count = u32::try_from(count.count()).unwrap_or(u32::MAX);
        let parts = Self { root: root.to_owned(), count, notes };
        parts.expect_no_gap()?;
        Ok(parts)
    }

    /// Refuses a graph of which a part is lost: what it has of quanta would be dropped.
    fn expect_no_gap(&self) -> Result<(), WorkspaceError> {
        let failed = |source| WorkspaceError::Io { path: self.root.clone(), source };
        let missing = layout::graph_file(&self.root, self.next());
        for entry in self.root.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let number = entry.file_name().strip_prefix("graph-");
            let number = number.and_then(|rest| rest.strip_suffix(".qg"));
            let is_beyond =
                number.and_then(|n| n.parse().ok()).is_some_and(|n: u32| n > self.next());
            // Or it has come since the parts were counted.
            if is_beyond && !missing.exists() {
                let beyond = entry.file_name().to_owned();
                return Err(WorkspaceError::GraphGap { path: missing, beyond });
            }
        }
        Ok(())
    }

    /// The number of the next part.
    pub(crate) fn next(&self) -> u32 {
        self.count.saturating_add(1)
    }

    /// The numbers of all.
    pub(crate) fn all(&self) -> Vec<u32> {
        (1..=self.count).collect()
    }

    /// The pipeline that they are all of, as it was when the graph was begun; `None` if there
    /// are none.
    pub(crate) fn pipeline(&self) -> Result<Option<Arc<ResolvedPipeline>>, WorkspaceError> {
        // Whichever can be read: what is wrong with one of another shard is no matter here.
        let mut refused = None;
        for part in 1..=self.count {
            let path = layout::graph_file(&self.root, part);
            match GraphReader::open(open(&path)?) {
                Ok(reader) => return Ok(Some(Arc::clone(reader.pipeline()))),
                Err(source) => {
                    refused.get_or_insert(WorkspaceError::GraphFile { path, source });
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Whether each task was built once without a restriction.
    pub(crate) fn cover(&self, pipeline: &ResolvedPipeline) -> bool {
        let scopes: Vec<_> = self.all().into_iter().map(|part| self.scope(part)).collect();
        pipeline.tasks().iter().all(|task| {
            scopes.iter().any(|scope| {
                scope.as_ref().is_none_or(|scope| {
                    let has_task = |tasks: &BTreeSet<_>| tasks.contains(&task.label);
                    scope.restriction.is_none() && scope.tasks.as_ref().is_none_or(has_task)
                })
            })
        })
    }

    /// Whether what was read of a graph of `pipeline` before it would get a part of this number
    /// is of this graph still: in development mode it may have been dropped since, and
    /// another one built.
    pub(crate) fn are_those(
        &self,
        pipeline: &ResolvedPipeline,
        next: u32,
    ) -> Result<bool, WorkspaceError> {
        let digest = |one: &ResolvedPipeline| Pipeline::digest(one.pipeline());
        let own = self.pipeline()?;
        Ok(self.next() >= next && own.is_some_and(|own| digest(&own) == digest(pipeline)))
    }

    /// The numbers of those that can have quanta of one of these shards. One that cannot be
    /// looked at can: who reads it says what is wrong.
    pub(crate) fn of_shards(&self, shards: &BTreeSet<Shard>, universe: &Universe) -> Vec<u32> {
        let digests: BTreeSet<String> = shards.iter().map(Shard::digest).collect();
        let can = |part: &u32| match self.notes.get(part) {
            Some(shard) => digests.contains(shard),
            None => self.scope(*part).is_none_or(|scope| can_have(&scope, shards, universe)),
        };
        (1..=self.count).filter(can).collect()
    }

    /// Reads these quanta and what is upstream of them, in one graph a part; ids that no part
    /// has are left over. `None` if the whole graph is read as fast.
    pub(crate) fn excerpt(&self, quanta: &[QuantumId]) -> Result<Option<Excerpt>, WorkspaceError> {
        let mut excerpt = Excerpt { graphs: Vec::new(), left: quanta.to_vec() };
        for part in 1..=self.count {
            if excerpt.left.is_empty() {
                break;
            }
            let path = layout::graph_file(&self.root, part);
            let file = open(&path)?;
            let failed = |source| WorkspaceError::GraphFile { path, source };
            let read = GraphReader::open(file).and_then(|mut reader| reader.excerpt(&excerpt.left));
            let Some(graph) = read.map_err(failed)? else { return Ok(None) };
            excerpt.left.retain(|quantum| graph.find(*quantum).is_none());
            if !graph.is_empty() {
                excerpt.graphs.push(graph);
            }
        }
        Ok(Some(excerpt))
    }

    /// What a part was built for, as its header says; `None` if that is everything, or if it
    /// cannot be read.
    pub(crate) fn scope(&self, part: u32) -> Option<GraphScope> {
        let file = open(&layout::graph_file(&self.root, part)).ok()?;
        pantler_graph::read_metadata(file).ok()?.scope
    }

    /// Reads some, in the order in which they were built.
    pub(crate) fn read(&self, parts: &[u32]) -> Result<Vec<QuantumGraph>, WorkspaceError> {
        parts.iter().map(|part| read_part(&layout::graph_file(&self.root, *part))).collect()
    }
}

/// Some quanta of a graph.
#[derive(Debug)]
pub(crate) struct Excerpt {
    /// Those of each part that has some.
    pub(crate) graphs: Vec<QuantumGraph>,
    /// What was asked for and is not there.
    pub(crate) left: Vec<QuantumId>,
}

/// Notes that a part was built for one shard. Without the note its header is looked at.
pub(crate) fn note(root: &Utf8Path, part: u32, shard: &Shard) {
    pantler_seam::step("shard.part.note");
    let dir = layout::shard_parts_dir(root);
    // A disk that is full keeps nobody from going on without it.
    let path = dir.join(format!("{part}-{}", shard.digest()));
    drop(traced(Event::MakeDirectory(dir.as_str()), || std::fs::create_dir(&dir)));
    drop(traced(Event::Write(path.as_str()), || File::create_new(&path)));
    pantler_seam::step("shard.part.noted");
}

/// Takes all notes away: those of parts that are dropped would tell wrong things of the parts
/// that get their numbers. Gone for good when this returns.
pub(crate) fn forget_notes(root: &Utf8Path) -> Result<(), WorkspaceError> {
    let dir = layout::shard_parts_dir(root);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(|source| WorkspaceError::Io { path: dir, source })?,
    }
    Ok(pantler_datastore::fs::sync_dir(root)?)
}

fn notes(root: &Utf8Path) -> Result<BTreeMap<u32, String>, WorkspaceError> {
    let dir = layout::shard_parts_dir(root);
    let failed = |source| WorkspaceError::Io { path: dir.clone(), source };
    let entries = match dir.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(failed)?,
    };
    let mut notes = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Some((part, shard)) = entry.file_name().split_once('-')
            && let Ok(part) = part.parse()
            && shard.len() == Shard::DIGEST
        {
            notes.insert(part, shard.to_owned());
        }
    }
    Ok(notes)
}

fn open(path: &Utf8Path) -> Result<BufReader<File>, WorkspaceError> {
    let file = File::open(path);
    let file = file.map_err(|source| WorkspaceError::Io { path: path.to_owned(), source })?;
    Ok(BufReader::new(file))
}

fn read_part(path: &Utf8Path) -> Result<QuantumGraph, WorkspaceError> {
    pantler_graph::read(open(path)?)
        .map_err(|source| WorkspaceError::GraphFile { path: path.to_owned(), source })
}

/// Whether what was built for `scope` can be of one of these shards. All quanta have all
/// dimensions of shards, so each condition on nothing else holds for all of them.
fn can_have(scope: &GraphScope, shards: &BTreeSet<Shard>, universe: &Universe) -> bool {
    let Some(text) = &scope.restriction else { return true };
    let Ok(restriction) = Restriction::parse(text, universe) else { return true };
    let is_meant = |shard: &Shard| {
        let value = |name: &ElementName| shard.value(name);
        let mut parts = restriction.parts().iter();
        parts.all(|part| {
            part.dimensions().iter().any(|name| value(name).is_none()) || part.holds(&value)
        })
    };
    shards.iter().any(is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    const UNIVERSE: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  visit: {key: integer, requires: [instrument]}
  detector: {key: integer, requires: [instrument]}
";

    #[test]
    fn a_scope_tells_which_shards_it_can_be_of() -> Result<()> {
        let universe = Universe::from_yaml(UNIVERSE)?;
        let shard = |visit: i64| -> Result<Shard> {
            Ok(serde_json::from_str(&format!("{{\"instrument\":\"x\",\"visit\":{visit}}}"))?)
        };
        let one = BTreeSet::from([shard(3)?]);
        let two = BTreeSet::from([shard(3)?, shard(4)?]);
        let can = |text: &str, shards| {
            let scope = GraphScope {
                tasks: None,
                restriction: Some(text.to_owned()),
                skip_existing_in: Vec::new(),
            };
            can_have(&scope, shards, &universe)
        };
        for text in [
            "visit = 3",
            "instrument = 'x' AND visit = 3",
            "visit < 9 AND detector = 1",
            "visit = 4 OR detector = 1",
            "NOT (visit = 3 AND detector = 1)",
            "what cannot be read",
        ] {
            assert!(can(text, &one) && can(text, &two), "{text}");
        }
        for text in ["visit = 4", "visit IN (4..5) AND detector = 1", "NOT (visit = 3)"] {
            assert!(!can(text, &one) && can(text, &two), "{text}");
        }
        assert!(!can("instrument = 'y' AND visit = 3", &two));
        let tasks = GraphScope {
            tasks: Some(BTreeSet::new()),
            restriction: None,
            skip_existing_in: Vec::new(),
        };
        assert!(can_have(&tasks, &one, &universe));
        Ok(())
    }

    #[test]
    fn notes_of_another_form_are_passed_over() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        assert_eq!(notes(root)?.len(), 0);
        let shard: Shard = serde_json::from_str("{\"item\":\"a\"}")?;
        note(root, 7, &shard);
        note(root, 7, &shard);
        for name in ["8", "x-abc", "-", "9-abc.tmp", "10-"] {
            File::create_new(layout::shard_parts_dir(root).join(name))?;
        }
        assert_eq!(notes(root)?, BTreeMap::from([(7, shard.digest())]));
        Ok(())
    }
}
