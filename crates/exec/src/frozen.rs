//! Frozen shards, as runners see them: by the names of their markers. What they mean is
//! known to whoever makes the selection of a runner.

use std::{collections::BTreeSet, io};

use camino::Utf8Path;

use crate::layout;

/// The names of the markers of frozen shards of the workspace at `root`.
///
/// # Errors
/// What the file system says.
pub fn frozen_markers(root: &Utf8Path) -> io::Result<BTreeSet<String>> {
    let entries = match layout::frozen_dir(root).read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().extension() == Some("json") {
            names.insert(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
