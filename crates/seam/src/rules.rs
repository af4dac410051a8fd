//! Which calls fail how, for doubles of storage and database that fail in process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The life of a pretended process: counts what its doubles are asked to do, and at some
/// moment nothing works any more.
///
/// Clones are the same life, so that a storage and a database can die together.
#[derive(Debug, Clone)]
pub struct Life(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    operations: AtomicU64,
    /// From which operation on nothing works.
    end: AtomicU64,
}

impl Life {
    /// A life without an end so far.
    pub fn new() -> Self {
        let counters = Counters { operations: AtomicU64::new(0), end: AtomicU64::new(u64::MAX) };
        Self(Arc::new(counters))
    }

    /// How many operations of any kind were asked for, failed ones included.
    pub fn operations(&self) -> u64 {
        self.0.operations.load(Ordering::SeqCst)
    }

    /// The `n`-th operation of any kind (from 1) and all later ones fail, and do nothing.
    pub fn die_at(&self, n: u64) {
        self.0.end.store(n, Ordering::SeqCst);
    }

    /// From now on every operation fails, and does nothing.
    pub fn die(&self) {
        self.die_at(0);
    }

    /// Whether the next operation works.
    pub fn is_alive(&self) -> bool {
        self.operations() + 1 < self.0.end.load(Ordering::SeqCst)
    }

    /// Everything works again; counting goes on.
    pub fn revive(&self) {
        self.die_at(u64::MAX);
    }

    fn next(&self) -> bool {
        let n = self.0.operations.fetch_add(1, Ordering::SeqCst) + 1;
        n < self.0.end.load(Ordering::SeqCst)
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

/// Which calls of a rule's point are meant, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// One.
    Nth(u64),
    /// This and all later ones.
    From(u64),
}

/// How one call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate<F> {
    /// As it would.
    Goes,
    /// As planned.
    Fails(F),
    /// The process is dead.
    Dead,
}

/// Rules for points `P` at which a fault `F` can happen, and how often each was reached.
#[derive(Debug)]
pub struct Rules<P, F> {
    planned: Vec<(P, Calls, F)>,
    counts: BTreeMap<P, u64>,
    life: Life,
}

impl<P: Ord + Copy, F: Copy> Rules<P, F> {
    /// No rules, for doubles of this process.
    pub fn new(life: Life) -> Self {
        Self { planned: Vec::new(), counts: BTreeMap::new(), life }
    }

    /// Adds a rule. Of several for one call, the first added counts.
    pub fn add(&mut self, point: P, calls: Calls, fault: F) {
        self.planned.push((point, calls, fault));
    }

    /// Takes all rules away, and revives; counting goes on.
    pub fn heal(&mut self) {
        self.planned.clear();
        self.life.revive();
    }

    /// The life that this is part of.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// How often `point` was reached.
    pub fn count(&self, point: P) -> u64 {
        self.counts.get(&point).copied().unwrap_or(0)
    }

    /// Counts a call, and says how it ends.
    pub fn reach(&mut self, point: P) -> Fate<F> {
        let count = self.counts.entry(point).or_default();
        *count += 1;
        let n = *count;
        if !self.life.next() {
            return Fate::Dead;
        }
        let planned = self.planned.iter().find(|(at, calls, _)| {
            *at == point
                && match *calls {
                    Calls::Nth(nth) => n == nth,
                    Calls::From(first) => n >= first,
                }
        });
        planned.map_or(Fate::Goes, |(_, _, fault)| Fate::Fails(*fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_for_the_calls_they_name() {
        let mut rules = Rules::new(Life::new());
        rules.add('a', Calls::Nth(2), "once");
        rules.add('a', Calls::From(4), "on and on");
        let fates: Vec<_> = (0..5).map(|_| rules.reach('a')).collect();
        let on = Fate::Fails("on and on");
        assert_eq!(fates, [Fate::Goes, Fate::Fails("once"), Fate::Goes, on, on]);
        assert_eq!(rules.reach('b'), Fate::Goes);
        assert_eq!((rules.count('a'), rules.count('b'), rules.count('c')), (5, 1, 0));
        rules.heal();
        assert_eq!(rules.reach('a'), Fate::Goes);
        assert_eq!(rules.count('a'), 6);
    }

    #[test]
    fn doubles_of_one_process_die_together() {
        let life = Life::new();
        let mut storage = Rules::<_, ()>::new(life.clone());
        let mut database = Rules::<_, ()>::new(life.clone());
        life.die_at(3);
        assert_eq!((storage.reach(1), database.reach(1)), (Fate::Goes, Fate::Goes));
        assert!(!life.is_alive());
        assert_eq!((storage.reach(1), database.reach(1)), (Fate::Dead, Fate::Dead));
        assert_eq!(life.operations(), 4);
        life.revive();
        assert_eq!(database.reach(1), Fate::Goes);
        life.die();
        assert_eq!(database.reach(1), Fate::Dead);
    }
}
