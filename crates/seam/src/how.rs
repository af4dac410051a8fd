use std::{fmt, io, str::FromStr};

/// How something is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// `denied`: not permitted; nothing is done.
    Denied,
    /// `full`: no space left; nothing is done.
    Full,
    /// `io`: the system reports an error; nothing is done.
    Io,
    /// `timeout`: no answer in time; nothing is done.
    Timeout,
    /// `slow`: it takes a while, and then goes well.
    Slow,
    /// `lost`: it is done, and reported as failed, because the answer was lost.
    Lost,
    /// `partial`: half of the data is written before no space is left.
    Partial,
    /// `locked`: another process keeps the database locked.
    Locked,
    /// `serialization`: another database transaction came between.
    Serialization,
    /// `connection`: the connection to the database breaks.
    Connection,
}

/// What may happen to something that changes nothing.
pub(crate) const LOOK: &[How] = &[How::Denied, How::Io, How::Timeout, How::Slow];
/// What may happen before a change.
pub(crate) const BEFORE: &[How] = &[How::Denied, How::Full, How::Io, How::Timeout, How::Slow];
/// What may happen to a change.
pub(crate) const CHANGE: &[How] =
    &[How::Denied, How::Full, How::Io, How::Timeout, How::Slow, How::Lost];
/// What may happen to the writing of data.
pub(crate) const WRITE: &[How] =
    &[How::Denied, How::Full, How::Io, How::Timeout, How::Slow, How::Lost, How::Partial];

const ALL: [How; 10] = [
    How::Denied,
    How::Full,
    How::Io,
    How::Timeout,
    How::Slow,
    How::Lost,
    How::Partial,
    How::Locked,
    How::Serialization,
    How::Connection,
];

impl How {
    /// As it is written in `PANTLER_FAULT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Full => "full",
            Self::Io => "io",
            Self::Timeout => "timeout",
            Self::Slow => "slow",
            Self::Lost => "lost",
            Self::Partial => "partial",
            Self::Locked => "locked",
            Self::Serialization => "serialization",
            Self::Connection => "connection",
        }
    }

    /// What the system would report.
    pub fn error(self) -> io::Error {
        let kind = match self {
            Self::Denied => io::ErrorKind::PermissionDenied,
            Self::Full | Self::Partial => io::ErrorKind::StorageFull,
            Self::Timeout | Self::Lost => io::ErrorKind::TimedOut,
            Self::Locked => io::ErrorKind::ResourceBusy,
            Self::Connection => io::ErrorKind::ConnectionReset,
            Self::Io | Self::Slow | Self::Serialization => io::ErrorKind::Other,
        };
        io::Error::new(kind, Planned(self))
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for How {
    type Err = UnknownHow;

    fn from_str(text: &str) -> Result<Self, UnknownHow> {
        ALL.into_iter().find(|how| how.name() == text).ok_or(UnknownHow)
    }
}

/// A text that names no [`How`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownHow;

impl fmt::Display for UnknownHow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ALL.map(How::name).join(", ");
        write!(f, "not one of {names}")
    }
}

impl std::error::Error for UnknownHow {}

/// The source of a planned error.
#[derive(Debug)]
struct Planned(How);

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a planned fault ({})", self.0)
    }
}

impl std::error::Error for Planned {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for how in ALL {
            assert_eq!(how.to_string().parse(), Ok(how));
            assert!(how.error().to_string().contains(how.name()));
        }
        assert_eq!("Full".parse::<How>(), Err(UnknownHow));
        assert_eq!(How::Full.error().kind(), io::ErrorKind::StorageFull);
    }
}
