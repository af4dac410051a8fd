//! How storing transactions are closed.

use std::collections::BTreeSet;

use pantler_core::{ArtifactKey, FileRecord, Location, WriteId};

use super::{Item, Role, Storing, key_at};
use crate::{
    artifacts::Content,
    transaction::{CloseContext, CommitContext, KindError},
};

/// An artifact that is whole, and where.
struct Settled<'a> {
    item: &'a Item,
    location: Location,
    content: Content,
}

/// Every key that an attempt may have written.
pub(super) fn written_keys(items: &[Item], writes: &[WriteId]) -> Vec<ArtifactKey> {
    let keys = items.iter().flat_map(|item| writes.iter().map(move |w| key_at(item, w)));
    keys.flatten().collect()
}

/// The prefixes of RUNs that keys are under.
pub(super) fn prefixes(keys: &[ArtifactKey]) -> BTreeSet<&str> {
    keys.iter().filter_map(|key| key.as_str().split_once('/')).map(|(prefix, _)| prefix).collect()
}

pub(super) fn commit<R: Role>(
    storing: &Storing<R>,
    context: &mut CommitContext<'_>,
) -> Result<(), KindError> {
    if let Some(rows) = all_written_here(&storing.items, context)? {
        rows.enter(context);
        return Ok(());
    }
    let (mut settled, missing) = settle(&storing.items, context)?;
    if !missing.is_empty() && !context.facts().partial {
        return Err(KindError::Incomplete(missing.iter().map(|i| i.label().to_owned()).collect()));
    }
    make_sure(&storing.items, &mut settled, context)?;
    if !missing.is_empty() {
        let new = missing.iter().flat_map(|item| item.datasets.iter()).filter(|d| !d.registered);
        context.discard_datasets(new.map(|dataset| dataset.id).collect());
        for run in storing.runs.iter().filter(|run| run.made) {
            context.discard_run_if_unused(run.name.clone());
        }
    }
    insert(settled, context);
    Ok(())
}

pub(super) fn abandon<R: Role>(
    storing: &Storing<R>,
    context: &mut CloseContext<'_>,
) -> Result<(), KindError> {
    if context.facts().past_the_door {
        let written = written_keys(&storing.items, &context.write_ids());
        context.artifacts().unstore(&written)?;
        return Ok(());
    }
    let (mut settled, _) = settle(&storing.items, context)?;
    make_sure(&storing.items, &mut settled, context)?;
    insert(settled, context);
    Ok(())
}

/// The rows, if this process wrote everything at the first attempt: the usual case, where
/// nothing has to be moved or cleared away, and where there may be millions.
fn all_written_here(items: &[Item], context: &CloseContext<'_>) -> Result<Option<Rows>, KindError> {
    if context.facts().attempt > 1 {
        return Ok(None);
    }
    let writes = context.write_ids();
    let mut rows = Rows::of(items.len());
    for item in items {
        if item.written.is_none() {
            return Ok(None);
        }
        let Some((location, content)) = find(item, &writes, context)? else { return Ok(None) };
        rows.add(item, location, content);
    }
    Ok(Some(rows))
}

/// Finds every artifact, in the order of the items, and the items without one.
fn settle<'a>(
    items: &'a [Item],
    context: &CloseContext<'_>,
) -> Result<(Vec<Settled<'a>>, Vec<&'a Item>), KindError> {
    let writes = context.write_ids();
    let mut settled = Vec::with_capacity(items.len());
    let mut missing = Vec::new();
    for item in items {
        match find(item, &writes, context)? {
            Some((location, content)) => settled.push(Settled { item, location, content }),
            None => missing.push(item),
        }
    }
    Ok((settled, missing))
}

/// What this process wrote (present with its size), or the newest attempt's artifact,
/// read in full, if it is what it must be.
fn find(
    item: &Item,
    writes: &[WriteId],
    context: &CloseContext<'_>,
) -> Result<Option<(Location, Content)>, KindError> {
    if item.failed {
        return Ok(None);
    }
    if let Some((attempt, content)) = item.written {
        // Where it was written, or where an earlier try of this closing moved it.
        for write in [context.write_id(attempt), context.write_id(context.facts().attempt)] {
            let location = key_at(item, &write).map_or(item.location.clone(), Location::Artifact);
            if context.artifacts().size_at(&location)? == Some(content.size) {
                return Ok(Some((location, content)));
            }
        }
        return Ok(None);
    }
    for location in item.candidates(writes) {
        if let Some(content) = context.artifacts().measure_at(&location)?
            && item.expected.is_none_or(|expected| expected == content)
            && item.source.as_ref().is_none_or(|source| source.size == content.size)
        {
            return Ok(Some((location, content)));
        }
    }
    Ok(None)
}

/// Moves what is kept to the keys of this attempt, flushes it, and deletes what attempts
/// left beside it: unfinished forms, and other artifacts. One that is not kept although
/// it is whole is not what it must be.
///
/// No closer of a lower attempt has a key of this one in its delete list, so one that was
/// paused cannot delete what is entered here; a writer that wakes up leaves an orphan.
fn make_sure(
    items: &[Item],
    settled: &mut [Settled<'_>],
    context: &CloseContext<'_>,
) -> Result<(), KindError> {
    take_to_own_keys(settled, context)?;
    let keys: Vec<ArtifactKey> = settled.iter().filter_map(|s| s.location.key().cloned()).collect();
    context.artifacts().flush(&keys)?;
    let writes = context.write_ids();
    let mut kept = settled.iter().map(|s| (std::ptr::from_ref(s.item), &s.location)).peekable();
    let mut superfluous = Vec::new();
    let mut unfinished = Vec::new();
    for item in items {
        let mine = kept.next_if(|(settled, _)| std::ptr::eq(*settled, item));
        for key in writes.iter().filter_map(|write| key_at(item, write)) {
            match &mine {
                // Whole, and not what it must be: nothing can be made of it.
                None if item.expected.is_some() || item.failed => superfluous.push(key),
                None => unfinished.push(key),
                Some((_, location)) if location.key() == Some(&key) => unfinished.push(key),
                Some(_) => superfluous.push(key),
            }
        }
    }
    context.artifacts().discard_unfinished(&unfinished)?;
    context.artifacts().unstore(&superfluous)?;
    Ok(())
}

fn take_to_own_keys(
    settled: &mut [Settled<'_>],
    context: &CloseContext<'_>,
) -> Result<(), KindError> {
    let writes = context.write_ids();
    let own = context.write_id(context.facts().attempt);
    loop {
        let mut moves = Vec::new();
        let mut moving = Vec::new();
        for (position, settled) in settled.iter().enumerate() {
            let target = key_at(settled.item, &own);
            match (settled.location.key(), target) {
                (Some(from), Some(to)) if *from != to => {
                    moves.push((from.clone(), to));
                    moving.push(position);
                }
                _ => {}
            }
        }
        if moves.is_empty() {
            return Ok(());
        }
        let moved = context.artifacts().rekey(&moves)?;
        pantler_seam::step("storing.moved");
        for ((position, (_, to)), moved) in moving.into_iter().zip(moves).zip(moved) {
            let settled = &mut settled[position];
            if moved {
                settled.location = to.into();
            } else if let Some((location, content)) = find(settled.item, &writes, context)? {
                // Another closer was faster: looked at again.
                (settled.location, settled.content) = (location, content);
            } else {
                return Err(KindError::Incomplete(vec![settled.item.label().to_owned()]));
            }
        }
    }
}

fn insert(settled: Vec<Settled<'_>>, context: &mut CloseContext<'_>) {
    let mut rows = Rows::of(settled.len());
    for Settled { item, location, content } in settled {
        rows.add(item, location, content);
    }
    rows.enter(context);
}

/// What a closing that stores enters.
struct Rows {
    records: Vec<FileRecord>,
    /// Files of the user's, which nothing else may name.
    in_place: Vec<Location>,
}

impl Rows {
    fn of(artifacts: usize) -> Self {
        Self { records: Vec::with_capacity(artifacts), in_place: Vec::new() }
    }

    fn add(&mut self, item: &Item, location: Location, content: Content) {
        self.records.extend(item.records(&location, content));
        if !item.is_written() && location.key().is_some() {
            self.in_place.push(location);
        }
    }

    fn enter(self, context: &mut CloseContext<'_>) {
        if !self.in_place.is_empty() {
            context.expect_unnamed(self.in_place);
        }
        context.insert_records(self.records);
    }
}
