//! What commands of a pipeline need besides it: files of its folder, which are copied.
//!
//! All of the folder, if it is small; else what the user asks for. Left out are entries
//! whose name begins with a dot, repositories, other external workspaces, and links to
//! folders. A link to a file becomes a copy of the file.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_direct::standalone::is_repository;

use super::{ExternalError, ExternalWorkspace};

/// What is copied unasked.
const MAX_FILES: usize = 1000;
const MAX_BYTES: u64 = 64 << 20;

/// The files to copy, relative to the pipeline's folder, the pipeline first. `include`
/// names files and folders below it; if there are none, all of the folder is meant.
pub(super) fn choose(
    pipeline: &Utf8Path,
    include: &[Utf8PathBuf],
    root: &Utf8Path,
) -> Result<Vec<Utf8PathBuf>, ExternalError> {
    let folder = pipeline.parent().unwrap_or(pipeline);
    let mut found = Vec::new();
    found.extend(pipeline.strip_prefix(folder).ok().map(Utf8Path::to_owned));
    let limit = include.is_empty().then_some(());
    let mut walk = Walk { folder, root, limit, bytes: 0, found: &mut found };
    if include.is_empty() {
        walk.folder(folder)?;
    }
    for path in include {
        let there = path.canonicalize_utf8().map_err(ExternalError::io(path))?;
        if !there.starts_with(folder) {
            let (path, folder) = (path.clone(), folder.to_owned());
            return Err(ExternalError::OutsidePipelineFolder { path, folder });
        }
        if there.is_dir() { walk.folder(&there)? } else { walk.file(&there)? }
    }
    found[1..].sort();
    found.dedup();
    let first = found[0].clone();
    let mut kept = vec![first.clone()];
    kept.extend(found.into_iter().skip(1).filter(|path| *path != first));
    Ok(kept)
}

struct Walk<'a> {
    folder: &'a Utf8Path,
    root: &'a Utf8Path,
    limit: Option<()>,
    bytes: u64,
    found: &'a mut Vec<Utf8PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Utf8Path) -> Result<(), ExternalError> {
        let entries = folder.read_dir_utf8().map_err(ExternalError::io(folder))?;
        for entry in entries {
            let entry = entry.map_err(ExternalError::io(folder))?;
            let path = entry.path();
            if entry.file_name().starts_with('.') || path == self.root {
                continue;
            }
            let kind = entry.file_type().map_err(ExternalError::io(path))?;
            if kind.is_dir() {
                if !is_repository(path) && !ExternalWorkspace::is_at(path) {
                    self.folder(path)?;
                }
            } else if path.is_file() {
                self.file(path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Utf8Path) -> Result<(), ExternalError> {
        let there = path.metadata().map_err(ExternalError::io(path))?;
        self.bytes += there.len();
        self.found.extend(path.strip_prefix(self.folder).ok().map(Utf8Path::to_owned));
        let is_much = self.found.len() > MAX_FILES || self.bytes > MAX_BYTES;
        if self.limit.is_some() && is_much {
            return Err(ExternalError::PipelineFolder {
                folder: self.folder.to_owned(),
                files: MAX_FILES,
                mebibytes: MAX_BYTES >> 20,
            });
        }
        Ok(())
    }
}

/// Copies the files, and flushes them.
pub(super) fn copy(
    folder: &Utf8Path,
    files: &[Utf8PathBuf],
    to: &Utf8Path,
) -> Result<(), ExternalError> {
    let mut folders = vec![to.to_owned()];
    std::fs::create_dir_all(to).map_err(ExternalError::io(to))?;
    for file in files {
        let (from, target) = (folder.join(file), to.join(file));
        if let Some(parent) = target.parent()
            && !folders.iter().any(|known| known == parent)
        {
            std::fs::create_dir_all(parent).map_err(ExternalError::io(parent))?;
            folders.push(parent.to_owned());
        }
        pantler_seam::around("external.pipeline.copy", || std::fs::copy(&from, &target))
            .map_err(ExternalError::io(&target))?;
        std::fs::File::open(&target)
            .and_then(|file| file.sync_all())
            .map_err(ExternalError::io(&target))?;
    }
    for folder in &folders {
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ExternalError::io(folder))?;
    }
    Ok(())
}
