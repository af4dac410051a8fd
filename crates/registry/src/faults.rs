//! Where the database can be made to fail, and what it then says.
//!
//! Tests plan faults through the environment of a process (see `pantler_seam`) or, in
//! process, through `testing::Faults`; in an ordinary build nothing ever fails here, and
//! asking costs nothing.

use pantler_seam::How;
use rusqlite::ffi;

/// What a database can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// To begin a database transaction that writes: `registry.begin`.
    Begin,
    /// To run a statement that changes something: `registry.statement`.
    Statement,
    /// To read: `registry.query`.
    Query,
    /// To commit: `registry.commit`.
    Commit,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 4] = [Self::Begin, Self::Statement, Self::Query, Self::Commit];

    /// Its name in `PANTLER_FAULT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "registry.begin",
            Self::Statement => "registry.statement",
            Self::Query => "registry.query",
            Self::Commit => "registry.commit",
        }
    }

    /// The faults that make sense here.
    pub const fn hows(self) -> &'static [How] {
        match self {
            Self::Begin => &[How::Locked, How::Denied, How::Io, How::Connection, How::Slow],
            Self::Statement => {
                &[How::Full, How::Io, How::Connection, How::Serialization, How::Slow]
            }
            Self::Query => &[How::Io, How::Connection, How::Slow],
            Self::Commit => {
                &[How::Full, How::Io, How::Connection, How::Serialization, How::Lost, How::Slow]
            }
        }
    }
}

/// What SQLite says when that happens.
pub(crate) fn error(how: How) -> rusqlite::Error {
    let code = match how {
        How::Locked => ffi::SQLITE_BUSY,
        How::Denied => ffi::SQLITE_READONLY,
        How::Full | How::Partial => ffi::SQLITE_FULL,
        How::Serialization => ffi::SQLITE_BUSY_SNAPSHOT,
        How::Io | How::Timeout | How::Connection | How::Lost | How::Slow => ffi::SQLITE_IOERR,
    };
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(format!("a planned fault ({how})")))
}
