//! What time it is, given by the caller so that tests repeat.

use std::fmt;

use pantler_core::Tai;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Tai;
}
