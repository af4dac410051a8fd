//! All attempts that ended, also those that do not count any more.

use camino::Utf8Path;
use pantler_core::QuantumId;

use super::{Event, Finish, JournalError, JournalState, segment::Segment};
use crate::{layout, takeover};

impl JournalState {
    /// Reads the segments in `dir` that this state was read from once more, and calls `visit`
    /// for each attempt that ended, in no order. Of a state that tells of some quanta only,
    /// segments of runners that were to run others are passed over.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn visit_finishes(
        &self,
        dir: &Utf8Path,
        mut visit: impl FnMut(QuantumId, &Finish),
    ) -> Result<(), JournalError> {
        for info in self.segments() {
            let selection = info.header.as_ref().and_then(|header| header.selection.as_ref());
            if let (Some(only), Some(selection)) = (&self.only, selection)
                && selection.is_named()
                && !selection.quanta.iter().any(|quantum| only.contains(quantum))
            {
                continue;
            }
            let path = dir.join(layout::segment_name(info.runner));
            let mut segment = Segment::new(info.runner);
            segment.limit = takeover::lines_that_count(dir, info.runner)?;
            segment.read_on(&path, |event| {
                if let Event::Finish { quantum, finish } = event {
                    visit(quantum, &finish);
                }
            })?;
        }
        Ok(())
    }
}
