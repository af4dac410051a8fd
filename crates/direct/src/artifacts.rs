//! The datastore as the contexts of a closing see it.

use std::{collections::HashSet, io::Read as _};

use pantler_butler::artifacts::{ArtifactError, Artifacts, Content, Found, NewArtifact};
use pantler_core::{ArtifactKey, Location};
use pantler_datastore::{Datastore, Entry, RunPrefix, Written};

/// A view of the datastore.
pub(crate) struct DatastoreView<'a>(pub(crate) &'a Datastore);

fn failed<E: std::error::Error + Send + Sync + 'static>(
    context: impl Into<String>,
) -> impl FnOnce(E) -> ArtifactError {
    let context = context.into();
    move |e| ArtifactError::new(context, e)
}

fn content(written: Written) -> Content {
    Content { size: written.size, checksum: written.checksum }
}

impl DatastoreView<'_> {
    fn flush_deletions(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        let flush = || self.0.storage().flusher()?.flush_removals(keys);
        flush().map_err(failed("flushing deletions"))
    }
}

impl Artifacts for DatastoreView<'_> {
    fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, ArtifactError> {
        self.0.storage().size(key).map_err(failed(format!("looking at {key}")))
    }

    fn measure(&self, key: &ArtifactKey) -> Result<Option<Content>, ArtifactError> {
        let written = self.0.measure(key).map_err(failed(format!("reading {key}")))?;
        Ok(written.map(content))
    }

    fn size_at(&self, location: &Location) -> Result<Option<u64>, ArtifactError> {
        self.0.size_at(location).map_err(failed(format!("looking at {location}")))
    }

    fn measure_at(&self, location: &Location) -> Result<Option<Content>, ArtifactError> {
        let written = self.0.measure_at(location);
        Ok(written.map_err(failed(format!("reading {location}")))?.map(content))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Found>, ArtifactError> {
        let prefix = RunPrefix::parse(prefix)
            .map_err(|e| ArtifactError::new(format!("listing {prefix}"), e))?;
        let entries = self.0.list(&prefix).map_err(failed(format!("listing {prefix}")))?;
        let found = |entry| match entry {
            Entry::Artifact { key, size } => Found::Artifact { key, size },
            Entry::Unfinished { key, .. } => Found::Unfinished { key },
            Entry::Foreign { path } => Found::Foreign { path },
        };
        Ok(entries.into_iter().map(found).collect())
    }

    fn store(&self, new: Vec<NewArtifact<'_>>) -> Result<Vec<Content>, ArtifactError> {
        let batch = self.0.begin_batch().map_err(failed("beginning to write"))?;
        let mut contents = Vec::with_capacity(new.len());
        for mut artifact in new {
            let written = batch
                .write(&artifact.key, &mut artifact.content.by_ref())
                .map_err(failed(format!("writing {}", artifact.key)))?;
            contents.push(content(written));
        }
        batch.publish().map_err(failed("putting new artifacts in place"))?;
        Ok(contents)
    }

    fn flush(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        if keys.is_empty() {
            return Ok(());
        }
        let flush = || self.0.storage().flusher()?.flush(keys);
        flush().map_err(failed("flushing artifacts"))
    }

    fn rekey(&self, moves: &[(ArtifactKey, ArtifactKey)]) -> Result<Vec<bool>, ArtifactError> {
        self.0.rekey_all(moves).map_err(failed("moving artifacts to other keys"))
    }

    fn unstore(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        self.0.unstore_durably(keys).map(|_| ()).map_err(failed("deleting artifacts"))
    }

    fn discard_unfinished(&self, keys: &[ArtifactKey]) -> Result<(), ArtifactError> {
        let mut discarded = Vec::new();
        for key in keys {
            let discard = self.0.storage().discard(key);
            if discard.map_err(failed(format!("deleting {key}.tmp")))? {
                discarded.push(key.clone());
            }
        }
        if discarded.is_empty() {
            return Ok(());
        }
        // A power loss must not bring them back when nobody owns them any more.
        self.flush_deletions(&discarded)
    }

    fn flush_removals(&self, prefix: &str, beside: &[ArtifactKey]) -> Result<(), ArtifactError> {
        let run = RunPrefix::parse(prefix)
            .map_err(|e| ArtifactError::new(format!("flushing {prefix}"), e))?;
        let mut directories = HashSet::new();
        let mut one_of_each = vec![run.unused_key()];
        for key in beside {
            if directories.insert(key.as_str().rsplit_once('/').map(|(directory, _)| directory)) {
                one_of_each.push(key.clone());
            }
        }
        self.flush_deletions(&one_of_each)
    }

    fn prune(&self, prefix: &str) -> Result<(), ArtifactError> {
        self.0.storage().prune(prefix).map_err(failed(format!("tidying {prefix}")))
    }
}
