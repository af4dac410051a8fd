//! What can be wrong with a graph file.

use std::io;

use crate::pipeline::PipelineError;

/// A graph file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GraphFileError {
    /// The reader or writer failed.
    #[error("the graph file could not be {verb}")]
    Io {
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Not a zip file, or one whose directory is damaged.
    #[error("this is not a whole graph file: {0}")]
    NotAZip(String),
    /// A part of the file is not there.
    #[error("the graph file has no member `{0}`: it is damaged, or not a graph file")]
    MissingMember(&'static str),
    /// A zip file of something else.
    #[error("this is not a graph file: its format is {found:?}, expected {expected:?}")]
    Format {
        /// The format it says it has.
        found: String,
        /// The format of graph files.
        expected: &'static str,
    },
    /// Another version of the format.
    #[error(
        "graph file version {found}: this program reads versions 1 to {supported}; a newer pantler may read it"
    )]
    Version {
        /// The version found.
        found: u32,
        /// The version that is read.
        supported: u32,
    },
    /// Content that does not match its checksum.
    #[error(
        "member `{member}` of the graph file is damaged at byte {offset}: its checksum does not match"
    )]
    Checksum {
        /// The member.
        member: &'static str,
        /// Where in it the damaged block starts.
        offset: u64,
    },
    /// Content that is not as it must be.
    #[error("member `{member}` of the graph file is damaged: {reason}")]
    Malformed {
        /// The member.
        member: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Content that would need more memory than a graph can.
    #[error(
        "member `{member}` of the graph file is too large: {size} bytes or entries, {limit} at most"
    )]
    TooLarge {
        /// The member.
        member: &'static str,
        /// How much there is, or is said to be.
        size: u64,
        /// How much is accepted.
        limit: u64,
    },
    /// The pipeline in the file is not one.
    #[error("the pipeline in the graph file cannot be used")]
    Pipeline(#[source] PipelineError),
}

impl GraphFileError {
    pub(crate) fn malformed(member: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { member, reason: reason.into() }
    }

    /// A failed read inside `member`; the end of the file where more is promised is damage.
    pub(crate) fn read(member: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            Self::malformed(member, "the file ends inside it")
        } else {
            Self::Io { verb: "read", source }
        }
    }

    pub(crate) fn write(source: io::Error) -> Self {
        Self::Io { verb: "written", source }
    }
}
