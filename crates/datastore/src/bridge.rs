//! From the asynchronous interface of `object_store` to the blocking one of this crate.
//!
//! The only place that waits for a future. The in-memory store is always ready, so an
//! executor on the calling thread is all that it takes.

use futures::{Stream, executor};

/// Waits for `future`.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    executor::block_on(future)
}

/// The items of `stream`, waited for one by one: the executor is not running while the
/// caller handles an item, so that may wait again.
pub(crate) fn iterate<S: Stream + Unpin>(stream: S) -> impl Iterator<Item = S::Item> {
    executor::block_on_stream(stream)
}
