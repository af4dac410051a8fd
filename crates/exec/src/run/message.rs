use super::{error::RunError, flush::Finished};
use crate::{JournalError, journal::Finish};

/// What the queue-owning thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// An attempt at a quantum ended.
    Ended(u32, Attempted),
    /// A group has reached stable storage, or not.
    Flushed(Vec<Finished>, Result<(), RunError>),
    /// The journal has reached stable storage, or not.
    JournalSynced(Result<(), JournalError>),
    /// Somebody asks to stop.
    Stop,
    /// Somebody has declared this runner dead.
    TakenOver,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Attempted {
    /// It ended by itself.
    Finished(Box<Finish>),
    /// The stopping run ended it, or it did not begin: it is as if cut off.
    CutOff,
}
