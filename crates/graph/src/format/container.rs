//! The zip file around everything: where its members are.

use std::io::{self, Read, Seek, SeekFrom, Write};

use serde::{Serialize, de::DeserializeOwned};
use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::GraphFileError;

pub(crate) const HEADER: &str = "header.json.zst";
pub(crate) const PIPELINE: &str = "pipeline.json.zst";
pub(crate) const DIMENSION_DATA: &str = "dimension_data.json.zst";
pub(crate) const THIN_GRAPH: &str = "thin_graph.json.zst";
pub(crate) const INIT_QUANTA: &str = "init_quanta.json.zst";
pub(crate) const INPUT_DATASETS: &str = "input_datasets";
pub(crate) const QUANTUM_DATASETS: &str = "quantum_datasets";
pub(crate) const QUANTA: &str = "quanta";
pub(crate) const RUNNERS: &str = "runners.json.zst";

const MIB: u64 = 1 << 20;

/// How much a file may make us hold: so much whatever its size, and so much for each
/// quantum and existing dataset, which take at least 26 bytes of it each. Writing
/// applies the same limits, so what was written can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    nodes: u64,
    /// Bytes of the pipeline.
    pipeline: u64,
}

impl Limits {
    pub(crate) fn new(quanta: u32, existing: u32) -> Self {
        Self { nodes: u64::from(quanta) + u64::from(existing), pipeline: 16 * MIB }
    }

    /// Those of provenance, whose member also lists tasks, types and RUNs: what a graph
    /// file holds never keeps a workspace from being committed.
    pub(crate) fn of_provenance() -> Self {
        Self { nodes: 0, pipeline: 64 * MIB }
    }

    /// Inputs of all quanta together.
    pub(crate) fn edges(self) -> u64 {
        64 * MIB + 256 * self.nodes
    }

    /// Bytes of a JSON member, decompressed; `len` is its compressed length.
    fn json(self, member: &str, len: u64) -> u64 {
        match member {
            THIN_GRAPH | DIMENSION_DATA => 64 * MIB + 256 * self.nodes + 64 * len,
            PIPELINE | RUNNERS => self.pipeline,
            _ => MIB,
        }
    }
}

/// The window of level 19 for long inputs; nothing is written with a larger one.
const WINDOW_LOG: u32 = 23;

const LEVEL: i32 = 6;

/// Where the content of a member stands in the file, uncompressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) member: &'static str,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// A graph file whose directory was read.
#[derive(Debug)]
pub(crate) struct Container<R> {
    archive: ZipArchive<R>,
    /// Nothing in the file can need more bytes.
    file_len: u64,
}

impl<R: Read + Seek> Container<R> {
    pub(crate) fn open(mut reader: R) -> Result<Self, GraphFileError> {
        let file_len = reader.seek(SeekFrom::End(0)).map_err(|e| GraphFileError::read("", e))?;
        let archive = ZipArchive::new(reader).map_err(|error| match error {
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                GraphFileError::Io { verb: "read", source }
            }
            other => GraphFileError::NotAZip(other.to_string()),
        })?;
        Ok(Self { archive, file_len })
    }

    /// Where a member stands.
    pub(crate) fn span(&mut self, member: &'static str) -> Result<Span, GraphFileError> {
        let file_len = self.file_len;
        let file = self.archive.by_name(member).map_err(|error| zip_error(member, error))?;
        let start = file.data_start();
        let len = file.size();
        if file.compression() != CompressionMethod::Stored || file.compressed_size() != len {
            return Err(GraphFileError::malformed(member, "it is not stored as it is"));
        }
        match start {
            Some(start) if start.checked_add(len).is_some_and(|end| end <= file_len) => {
                Ok(Span { member, start, len })
            }
            _ => Err(GraphFileError::malformed(member, "the file ends inside it")),
        }
    }

    /// Reads a JSON member whole; the zip's own checksum covers it.
    pub(crate) fn json<T: DeserializeOwned>(
        &mut self,
        member: &'static str,
        limits: Limits,
    ) -> Result<T, GraphFileError> {
        let len = self.span(member)?.len;
        let mut packed = Vec::new();
        let mut file = self.archive.by_name(member).map_err(|error| zip_error(member, error))?;
        file.read_to_end(&mut packed).map_err(|error| match error.kind() {
            // How the zip crate says that the checksum does not match.
            io::ErrorKind::InvalidData | io::ErrorKind::Other => {
                GraphFileError::malformed(member, error.to_string())
            }
            _ => GraphFileError::read(member, error),
        })?;
        if packed.len() as u64 != len {
            return Err(GraphFileError::malformed(member, "the file ends inside it"));
        }
        let limit = limits.json(member, len);
        let malformed = |e: io::Error| GraphFileError::malformed(member, e.to_string());
        let mut decoder = zstd::stream::read::Decoder::with_buffer(&*packed).map_err(malformed)?;
        decoder.window_log_max(WINDOW_LOG).map_err(malformed)?;
        let mut text = Vec::new();
        decoder.take(limit + 1).read_to_end(&mut text).map_err(malformed)?;
        if text.len() as u64 > limit {
            return Err(GraphFileError::TooLarge { member, size: text.len() as u64, limit });
        }
        serde_json::from_slice(&text).map_err(|e| GraphFileError::malformed(member, e.to_string()))
    }

    pub(crate) fn into_inner(self) -> R {
        self.archive.into_inner()
    }
}

/// Adds a JSON member.
pub(crate) fn write_json<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    member: &'static str,
    value: &impl Serialize,
    limits: Limits,
) -> Result<(), GraphFileError> {
    let text = serde_json::to_vec(value).expect("values with text keys serialize");
    let packed = zstd::bulk::compress(&text, LEVEL).map_err(GraphFileError::write)?;
    let (size, limit) = (text.len() as u64, limits.json(member, packed.len() as u64));
    if size > limit {
        return Err(GraphFileError::TooLarge { member, size, limit });
    }
    start(zip, member)?;
    zip.write_all(&packed).map_err(GraphFileError::write)
}

/// Starts a member; what is written next belongs to it.
pub(crate) fn start<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    member: &'static str,
) -> Result<(), GraphFileError> {
    // The time is fixed, so that the same graph gives the same bytes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644)
        .large_file(!matches!(
            member,
            HEADER | PIPELINE | DIMENSION_DATA | THIN_GRAPH | INIT_QUANTA | RUNNERS
        ));
    zip.start_file(member, options).map_err(write_error)
}

pub(crate) fn write_error(error: ZipError) -> GraphFileError {
    GraphFileError::write(error.into())
}

fn zip_error(member: &'static str, error: ZipError) -> GraphFileError {
    match error {
        ZipError::FileNotFound => GraphFileError::MissingMember(member),
        ZipError::Io(source) => GraphFileError::read(member, source),
        other => GraphFileError::malformed(member, other.to_string()),
    }
}
