//! Changing where quanta stand without running them: accept, poison, reset.
//!
//! | transition | from | to | outputs |
//! | --- | --- | --- | --- |
//! | accept | failed, poisoned | succeeded; the failure stays known | those that are whole become present; downstream runs without the others |
//! | poison | succeeded | failed, with everything downstream that succeeded | kept, do not count; closing the workspace deletes them |
//! | reset | anything that has happened | built | deleted |
//!
//! What was made from outputs that do not count any more does not count either
//! ([`current_successes`](crate::current_successes)), so after a reset, too, everything
//! downstream runs again. Again with the same quanta, each does nothing.
//!
//! [`select`] says which quanta are meant and [`plan`] what would happen: both are
//! functions of graph and journal. [`find_outputs`] looks at storage, and [`apply`] does
//! it, as one process with the runner's lock and a journal segment of its own:
//!
//! | step | a crash after it leaves | who finishes it |
//! | --- | --- | --- |
//! | 1. lock, no `closing` marker, read the journal, plan, find outputs | nothing | |
//! | 2. segments that nobody sealed are flushed: what the plan builds on stays | nothing | |
//! | 3. a new segment with its header, flushed | an empty segment, which says nothing | |
//! | 4. accept: outputs that no finish line named are flushed | the same | |
//! | 5. the lines, appended and flushed: *accepted* or *poisoned*; for a reset the intent, with the keys | accept, poison: done, if all lines are there. Of a cut list the first stand, upstream before downstream, so nothing counts that was made from a poisoned input. Reset: the quanta are built, their artifacts belong to nobody | the same call again; or nobody has to |
//! | 6. reset: artifacts deleted, directories flushed | some or all are gone | the same call again deletes the rest; closing the workspace deletes what nobody owns |
//! | 7. reset: *done* lines, flushed | done | |
//! | 8. sealed line | done | |
//!
//! A run may come between 5 and 6: its attempts have keys of their own, and those of an
//! intent are never written again, so deleting them late harms nothing.

mod apply;
mod error;
mod outputs;
mod plan;

pub use apply::{ApplyRequest, apply};
pub use error::{NamedQuantum, TransitionError};
pub use outputs::find_outputs;
pub use plan::{Change, Target, Transition, TransitionPlan, plan, select};
