//! Storage and database that fail on demand, public for tests of every crate.
//!
//! Two ways to make something fail:
//!
//! - *in process*, here: a [`FailingStorage`] around the storage of a datastore, and
//!   [`Faults`] given to the connection of a registry (`Registry::set_faults`). Both count
//!   the calls of each kind ([`Operation`], [`Point`]) from 1, fail the ones they are told
//!   to, lose answers, are slow, and can be healed. Built with the same [`Life`], they also
//!   die together: from one operation on, of either of them, nothing works any more, as
//!   for a process that was killed there;
//! - *in a process of its own*: a [`Program`](crate::Program) whose environment has
//!   `PANTLER_FAULT=step:n:how`, where [`How`] says what may be written there. With
//!   `PANTLER_FAULT_LOG=file` it notes every call that can fail, and how, so that a test
//!   can go through all of them.
//!
//! What each can do:
//!
//! | fault | storage | database | process |
//! | --- | --- | --- | --- |
//! | permission refused | `fail_at`, `PermissionDenied` | [`How::Denied`] | `denied` |
//! | disk full | `fail_from`, `StorageFull` | [`How::Full`] | `full` |
//! | fails once, fails always | `fail_at`, `fail_from` | `fail_at`, `fail_from` | `:n:`, `:n+:` |
//! | done, but the answer is lost | `lose_answer_at` | [`How::Lost`] | `lost` |
//! | written in part | `fail_at` of [`Operation::Write`] | – | `partial` |
//! | slow | `delay_at` | [`How::Slow`] | `slow` |
//! | no deleting | `deny_deletes` | – | `datastore.delete:1+:denied` |
//! | locked | – | [`How::Locked`] | `locked` |
//! | serialization failure | – | [`How::Serialization`] | `serialization` |
//! | connection lost | – | [`How::Connection`] | `connection` |
//! | the process dies | `die_at` | `die_at` | `PANTLER_CRASH` |

pub use pantler_datastore::testing::{FailingStorage, Life, Operation};
pub use pantler_registry::testing::{Faults, How, Point};
