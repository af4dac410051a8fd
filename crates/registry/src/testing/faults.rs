//! A database that fails when it is told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pantler_seam::{
    How,
    rules::{Calls, Fate, Life, Rules},
};

use crate::{Registry, faults::Point};

/// How long something slow takes.
const SLOW: std::time::Duration = std::time::Duration::from_millis(20);

/// Faults of one database connection, told while it is in use; clones are the same faults.
/// Given to it by [`Registry::set_faults`].
///
/// Calls are counted from 1 for each [`Point`], from when the faults were given.
/// What a fault leads to:
///
/// | fault | at | result |
/// | --- | --- | --- |
/// | [`How::Locked`] | begin | [`RegistryError::Busy`](crate::RegistryError::Busy) |
/// | [`How::Denied`] | begin | [`RegistryError::ReadOnly`](crate::RegistryError::ReadOnly) |
/// | [`How::Full`] | statement, commit | [`RegistryError::Full`](crate::RegistryError::Full) |
/// | [`How::Serialization`] | statement, commit | [`RegistryError::Serialization`](crate::RegistryError::Serialization) |
/// | [`How::Io`], [`How::Connection`] | all but commit | [`RegistryError::Sql`](crate::RegistryError::Sql) |
/// | [`How::Io`], [`How::Connection`] | commit | [`RegistryError::CommitUnknown`](crate::RegistryError::CommitUnknown); nothing is committed |
/// | [`How::Lost`] | commit | [`RegistryError::CommitUnknown`](crate::RegistryError::CommitUnknown); everything is committed |
/// | [`How::Slow`] | all | goes well, later |
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Rules<Point, How>>>);

impl Faults {
    /// None until told otherwise.
    pub fn new() -> Self {
        Self::living(&Life::new())
    }

    /// The same for a pretended process whose other parts die with this connection.
    pub fn living(life: &Life) -> Self {
        Self(Arc::new(Mutex::new(Rules::new(life.clone()))))
    }

    /// The `n`-th call of `point` fails.
    ///
    /// # Panics
    /// If `how` makes no sense there.
    pub fn fail_at(&self, point: Point, n: u64, how: How) {
        self.add(point, Calls::Nth(n), how);
    }

    /// The `n`-th call of `point` and all later ones fail.
    ///
    /// # Panics
    /// If `how` makes no sense there.
    pub fn fail_from(&self, point: Point, n: u64, how: How) {
        self.add(point, Calls::From(n), how);
    }

    /// The `n`-th call of any point and all later ones fail as if the connection were
    /// gone: this process died there.
    pub fn die_at(&self, n: u64) {
        self.rules().life().die_at(n);
    }

    /// From now on everything fails as if the connection were gone.
    pub fn die(&self) {
        self.rules().life().die();
    }

    /// From now on everything succeeds; counting goes on. What shares the [`Life`] of this
    /// connection lives again too.
    pub fn heal(&self) {
        self.rules().heal();
    }

    /// How often `point` was reached.
    pub fn calls(&self, point: Point) -> u64 {
        self.rules().count(point)
    }

    /// How often anything was reached; of everything that shares the [`Life`] of this
    /// connection.
    pub fn operations(&self) -> u64 {
        self.rules().life().operations()
    }

    /// How the call that comes now fails.
    pub(crate) fn next(&self, point: Point) -> Option<How> {
        let fate = self.rules().reach(point);
        match fate {
            Fate::Goes => None,
            Fate::Dead => Some(How::Connection),
            Fate::Fails(How::Slow) => {
                std::thread::sleep(SLOW);
                None
            }
            Fate::Fails(how) => Some(how),
        }
    }

    fn add(&self, point: Point, calls: Calls, how: How) {
        assert!(point.hows().contains(&how), "{how} makes no sense at {}", point.name());
        self.rules().add(point, calls, how);
    }

    fn rules(&self) -> MutexGuard<'_, Rules<Point, How>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// From now on this connection fails as `faults` says.
    pub fn set_faults(&self, faults: &Faults) {
        self.lock().reader.faults = Some(faults.clone());
    }
}
