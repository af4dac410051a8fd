//! Where keys stand: in which file, in which line.

use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8Path;

use super::{Fault, FaultKind};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Utf8Path>,
    /// From 1; 0 if it is not known.
    pub(super) line: u32,
}

/// The places of keys such as `tasks.daily.inputs.temperatures`.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(BTreeMap<String, Place>);

impl Place {
    pub(super) fn fault(&self, key: &str, kind: FaultKind) -> Fault {
        Fault { file: (*self.file).to_owned(), line: self.line, key: key.to_owned(), kind }
    }
}

impl Places {
    /// The places of the keys of one file; lines that are not known are left out.
    pub(super) fn of_file(file: &Arc<Utf8Path>, lines: BTreeMap<String, u32>) -> Self {
        let known = lines.into_iter().filter(|(_, line)| *line > 0);
        Self(known.map(|(key, line)| (key, Place { file: Arc::clone(file), line })).collect())
    }

    /// The place of `key`, or of the nearest key above it.
    fn of(&self, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.0.get(key) {
                return Some(place);
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return self.0.get(""),
            }
        }
    }

    /// A fault at `key`; where no place is known, of `file` as a whole.
    pub(super) fn fault(&self, file: &Utf8Path, key: String, kind: FaultKind) -> Fault {
        match self.of(&key) {
            Some(place) => place.fault(&key, kind),
            None => Fault { file: file.to_owned(), line: 0, key, kind },
        }
    }

    /// Takes over the places of `key` and all below it from `other`.
    pub(super) fn take(&mut self, key: &str, other: &Self) {
        self.0.retain(|own, _| !is_below(own, key));
        let taken = other.0.iter().filter(|(theirs, _)| is_below(theirs, key));
        self.0.extend(taken.map(|(key, place)| (key.clone(), place.clone())));
    }
}

fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}
