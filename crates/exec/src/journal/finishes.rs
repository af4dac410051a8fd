//! All attempts that ended, also those that do not count any more.

use camino::Utf8Path;
use pantler_core::QuantumId;

use super::{Event, Finish, JournalError, JournalState, segment};
use crate::layout;

impl JournalState {
    /// Reads the segments in `dir` that this state was read from once more, and calls `visit`
    /// for each attempt that ended, in no order.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn visit_finishes(
        &self,
        dir: &Utf8Path,
        mut visit: impl FnMut(QuantumId, &Finish),
    ) -> Result<(), JournalError> {
        for info in self.segments() {
            let path = dir.join(layout::segment_name(info.runner));
            segment::read(&path, info.runner, |event| {
                if let Event::Finish { quantum, finish } = event {
                    visit(quantum, &finish);
                }
            })?;
        }
        Ok(())
    }
}
