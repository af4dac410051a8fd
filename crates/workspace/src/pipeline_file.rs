//! Pipelines on disk: the files that a person wrote, and the effective pipeline that a
//! workspace keeps.
//!
//! `pipeline.json` in the root of a workspace, version 1, is what came of the files, their
//! imports and what was said on top of them when the workspace was created: tasks and
//! configuration values. Building reads it and no file of the user's, so that what those
//! say later makes no difference. It is written once, after `transaction.json`; the same
//! bytes are the transaction's manifest in the database, from which a build writes it again
//! if a kill left none. A workspace of an earlier program has neither, and is built from
//! the user's file as long as that says the same.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::{Checksum, OpeningId};
use pantler_datastore::StorageError;
use pantler_direct::DirectButler;
use pantler_graph::{Choices, Pipeline, PipelineText};
use serde::{Deserialize, Serialize};

use crate::{WorkspaceClient, WorkspaceError, development::Development, layout};

const VERSION: u32 = 1;

/// `pipeline.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PipelineFileError {
    /// A newer program made the workspace.
    #[error(
        "{path} has format version {found}, this program knows {supported}: use a newer pantler"
    )]
    Version {
        /// The file.
        path: Utf8PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// It is not what Pantler writes, or not what the workspace was created with.
    #[error(
        "{path} is damaged: {reason}; remove it, and the next build writes it again from the database"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    version: u32,
    /// The text of the user's file, without those that it imports: for people.
    source: String,
    /// Canonical, as in graph files.
    pipeline: serde_json::Value,
}

/// Reads a pipeline that a person wrote, with what was said on top of it.
pub(crate) fn read_pipeline(
    path: &Utf8Path,
    choices: &Choices,
) -> Result<Pipeline, WorkspaceError> {
    let root =
        read_text(path).map_err(|source| WorkspaceError::Io { path: path.to_owned(), source })?;
    Ok(Pipeline::from_files(path, &root, choices, &read_text)?)
}

/// The file and the tasks and subsets that `FILE#a,b` means, below `dir`: the text after
/// the last `#`, unless there is a file of the whole name.
pub fn split_selection(dir: &Utf8Path, text: &str) -> (Utf8PathBuf, Vec<String>) {
    let whole = dir.join(text);
    match text.rsplit_once('#') {
        Some((file, names)) if !whole.exists() => {
            (dir.join(file), names.split(',').map(|name| name.trim().to_owned()).collect())
        }
        _ => (whole, Vec::new()),
    }
}

/// Reads a plain file: nothing that could block or never end.
fn read_text(path: &Utf8Path) -> io::Result<PipelineText> {
    let identity = path.canonicalize_utf8()?;
    if !identity.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let text = std::fs::read_to_string(&identity)?;
    Ok(PipelineText { identity, text })
}

/// The content of `pipeline.json`.
pub(crate) fn effective(pipeline: &Pipeline) -> Vec<u8> {
    let file = FileV1 {
        version: VERSION,
        source: pipeline.source().to_owned(),
        pipeline: serde_json::from_str(&pipeline.to_json()).expect("it was just written"),
    };
    let mut text = serde_json::to_string_pretty(&file).expect("texts and numbers serialize");
    text.push('\n');
    text.into_bytes()
}

/// Writes `pipeline.json`. One that is there is left: it says the same.
pub(crate) fn write(root: &Utf8Path, content: &[u8]) -> Result<(), StorageError> {
    pantler_seam::step("workspace.pipeline.write");
    match pantler_datastore::fs::write_new(&layout::pipeline_file(root), content) {
        Err(StorageError::AlreadyExists { .. }) => Ok(()),
        other => other,
    }
}

/// The pipeline that a workspace was created with.
pub(crate) fn of_workspace(
    butler: &DirectButler,
    workspace: &WorkspaceClient,
) -> Result<Pipeline, WorkspaceError> {
    if let Some(development) = Development::read(workspace.root())?
        && let Some(pipeline) = development.pipeline()?
    {
        return Ok(pipeline);
    }
    let path = layout::pipeline_file(workspace.root());
    let content = match std::fs::read(&path) {
        Ok(content) => Some(content),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            restore(butler, workspace.root(), workspace.file().opening)?
        }
        Err(source) => return Err(WorkspaceError::Io { path, source }),
    };
    let transaction = workspace.transaction();
    if let Some(content) = content {
        return Ok(decode(&content, &path, workspace.pipeline(), transaction.pipeline_digest)?);
    }
    let pipeline = read_pipeline(workspace.pipeline(), &Choices::default())?;
    if pipeline.digest() == transaction.pipeline_digest {
        return Ok(pipeline);
    }
    Err(WorkspaceError::OtherPipeline {
        name: transaction.run.clone(),
        file: workspace.pipeline().to_owned(),
    })
}

/// Reads the content of `pipeline.json` at `path`; `file` is the user's file in messages,
/// and `digest` the one that the pipeline must have.
pub(crate) fn decode(
    content: &[u8],
    path: &Utf8Path,
    file: &Utf8Path,
    digest: Checksum,
) -> Result<Pipeline, PipelineFileError> {
    let damaged = |reason: String| PipelineFileError::Damaged { path: path.to_owned(), reason };
    let VersionOnly { version } =
        serde_json::from_slice(content).map_err(|e| damaged(e.to_string()))?;
    if version != VERSION {
        return Err(PipelineFileError::Version {
            path: path.to_owned(),
            found: version,
            supported: VERSION,
        });
    }
    let read: FileV1 = serde_json::from_slice(content).map_err(|e| damaged(e.to_string()))?;
    let pipeline = Pipeline::from_json(&read.pipeline.to_string(), &read.source, file)
        .map_err(|e| damaged(e.to_string()))?;
    if pipeline.digest() == digest {
        Ok(pipeline)
    } else {
        let reason = "it is not the pipeline that the workspace was created with".to_owned();
        Err(damaged(reason))
    }
}

/// Writes `pipeline.json` as the database knows it; `None` for a workspace that never had
/// one.
fn restore(
    butler: &DirectButler,
    root: &Utf8Path,
    opening: OpeningId,
) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let manifest = butler.registry().read(|reader| reader.manifest(opening))?;
    if manifest.is_empty() {
        return Ok(None);
    }
    write(root, &manifest)?;
    Ok(Some(manifest))
}
