//! Which quanta can run: plain values, no threads, no I/O.
//!
//! A quantum is a number from 0 to n − 1. It is *waiting* until everything
//! upstream of it succeeded, then *ready*, then *running*, then *succeeded* or
//! *failed*. A failure *blocks* what is downstream of it and nothing else.
//! Deeper quanta go first, so that what a quantum made is used soon.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Where a quantum stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something upstream of it has not succeeded yet.
    Waiting,
    /// It can run.
    Ready,
    /// It was taken from the queue.
    Running,
    /// It succeeded in this run.
    Succeeded,
    /// It succeeded before this run.
    Skipped,
    /// It failed in this run.
    Failed,
    /// Something upstream of it failed.
    Blocked,
    /// It is not to run in this run.
    Excluded,
    /// Another runner is to run it.
    Elsewhere,
}

/// Where a quantum is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In this run.
    Here,
    /// In another runner.
    Elsewhere,
    /// Nowhere, for now.
    Nowhere,
}

/// How a quantum ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its outputs are there.
    Succeeded,
    /// It has no outputs.
    Failed,
}

/// How many quanta stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the standings")]
pub struct Counts {
    pub waiting: usize,
    pub ready: usize,
    pub running: usize,
    pub succeeded: usize,
    pub skipped: usize,
    pub failed: usize,
    pub blocked: usize,
    pub excluded: usize,
    pub elsewhere: usize,
}

/// The quanta of a run and where each stands.
#[derive(Debug)]
pub struct Queue {
    standing: Vec<Standing>,
    /// How many upstream quanta have not succeeded yet.
    missing: Vec<u32>,
    depth: Vec<u32>,
    /// `downstream[offsets[q]..offsets[q + 1]]` is what reads outputs of `q`.
    offsets: Vec<u32>,
    downstream: Vec<u32>,
    ready: BinaryHeap<(u32, Reverse<u32>)>,
}

impl Queue {
    /// A queue of `quanta` quanta with the edges `(upstream, downstream)`, each of
    /// them once; `finished` succeeded before, and of the others only those that are
    /// `meant` run. What is downstream of one that does not run waits in vain.
    ///
    /// A quantum on a cycle never becomes ready.
    pub fn new(
        quanta: u32,
        edges: &[(u32, u32)],
        finished: impl IntoIterator<Item = u32>,
        meant: impl Fn(u32) -> bool,
    ) -> Self {
        let place = |q| if meant(q) { Place::Here } else { Place::Nowhere };
        Self::beside(quanta, edges, finished, place)
    }

    /// As [`Self::new`], beside others that run quanta as well.
    pub fn beside(
        quanta: u32,
        edges: &[(u32, u32)],
        finished: impl IntoIterator<Item = u32>,
        place: impl Fn(u32) -> Place,
    ) -> Self {
        let n = quanta as usize;
        let mut offsets = vec![0_u32; n + 1];
        let mut missing = vec![0_u32; n];
        for &(from, to) in edges {
            offsets[from as usize + 1] += 1;
            missing[to as usize] += 1;
        }
        for q in 0..n {
            offsets[q + 1] += offsets[q];
        }
        let mut downstream = vec![0_u32; edges.len()];
        let mut next = offsets.clone();
        for &(from, to) in edges {
            let slot = &mut next[from as usize];
            downstream[*slot as usize] = to;
            *slot += 1;
        }
        let mut queue = Self {
            standing: vec![Standing::Waiting; n],
            depth: Vec::new(),
            missing,
            offsets,
            downstream,
            ready: BinaryHeap::new(),
        };
        queue.depth = queue.depths();
        for q in finished {
            let at = &mut queue.standing[q as usize];
            if *at != Standing::Skipped {
                *at = Standing::Skipped;
                queue.release(q);
            }
        }
        for q in 0..quanta {
            let at = &mut queue.standing[q as usize];
            if *at == Standing::Waiting {
                *at = match place(q) {
                    Place::Here => Standing::Waiting,
                    Place::Elsewhere => Standing::Elsewhere,
                    Place::Nowhere => Standing::Excluded,
                };
            }
        }
        for q in 0..quanta {
            if queue.missing[q as usize] == 0 {
                queue.make_ready(q);
            }
        }
        queue
    }

    /// How many quanta are ready.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The quantum that [`Self::dequeue`] would take.
    pub fn peek(&self) -> Option<u32> {
        self.ready.peek().map(|&(_, Reverse(q))| q)
    }

    /// Takes a ready quantum: it is running now.
    pub fn dequeue(&mut self) -> Option<u32> {
        let (_, Reverse(q)) = self.ready.pop()?;
        self.standing[q as usize] = Standing::Running;
        Some(q)
    }

    /// Says how a running quantum ended; returns how many became ready by it.
    pub fn finish(&mut self, q: u32, ended: Ended) -> usize {
        match ended {
            Ended::Succeeded => {
                self.standing[q as usize] = Standing::Succeeded;
                let before = self.ready.len();
                self.free_downstream(q);
                self.ready.len() - before
            }
            Ended::Failed => {
                self.fail(q);
                0
            }
        }
    }

    /// Gives back a running quantum that did not run: it is ready again.
    pub fn give_back(&mut self, q: u32) {
        self.standing[q as usize] = Standing::Waiting;
        self.make_ready(q);
    }

    /// Says how a quantum ended in another runner; one that is to run here is left alone.
    /// Returns whether that changed anything.
    pub fn finish_elsewhere(&mut self, q: u32, ended: Ended) -> bool {
        let standing = self.standing[q as usize];
        match ended {
            Ended::Succeeded
                if matches!(
                    standing,
                    Standing::Elsewhere | Standing::Excluded | Standing::Blocked
                ) =>
            {
                self.standing[q as usize] = Standing::Skipped;
                self.free_downstream(q);
                true
            }
            Ended::Failed if standing == Standing::Elsewhere => {
                self.fail(q);
                true
            }
            _ => false,
        }
    }

    /// Puts a quantum elsewhere that is not to run here, or takes one back from there.
    pub fn place(&mut self, q: u32, place: Place) {
        let standing = &mut self.standing[q as usize];
        match (*standing, place) {
            (Standing::Elsewhere, Place::Here) => {
                *standing = Standing::Waiting;
                if self.missing[q as usize] == 0 {
                    self.make_ready(q);
                }
            }
            (Standing::Elsewhere, Place::Nowhere) => *standing = Standing::Excluded,
            (Standing::Excluded, Place::Elsewhere) => *standing = Standing::Elsewhere,
            _ => {}
        }
    }

    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        self.standing.contains(&Standing::Waiting)
    }

    /// Whether something is to run elsewhere.
    pub fn is_elsewhere(&self) -> bool {
        self.standing.contains(&Standing::Elsewhere)
    }

    /// The quanta with this standing that something which waits is downstream of, or that
    /// are `meant` themselves.
    pub fn awaited(&self, standing: Standing, meant: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut by_depth: Vec<u32> = (0_u32..).take(self.standing.len()).collect();
        by_depth.sort_unstable_by_key(|q| Reverse(self.depth[*q as usize]));
        let mut leads = vec![false; self.standing.len()];
        let mut awaited = Vec::new();
        for q in by_depth {
            let open = |q: usize| {
                matches!(
                    self.standing[q],
                    Standing::Waiting | Standing::Elsewhere | Standing::Excluded
                )
            };
            let at = q as usize;
            if !open(at) {
                continue;
            }
            leads[at] = self.standing[at] == Standing::Waiting
                || self.range(q).any(|next| leads[self.downstream[next] as usize]);
            if self.standing[at] == standing && (leads[at] || meant(q)) {
                awaited.push(q);
            }
        }
        awaited.sort_unstable();
        awaited
    }

    /// Where a quantum stands.
    pub fn standing(&self, q: u32) -> Standing {
        self.standing[q as usize]
    }

    /// How many quanta stand where.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for standing in &self.standing {
            *match standing {
                Standing::Waiting => &mut counts.waiting,
                Standing::Ready => &mut counts.ready,
                Standing::Running => &mut counts.running,
                Standing::Succeeded => &mut counts.succeeded,
                Standing::Skipped => &mut counts.skipped,
                Standing::Failed => &mut counts.failed,
                Standing::Blocked => &mut counts.blocked,
                Standing::Excluded => &mut counts.excluded,
                Standing::Elsewhere => &mut counts.elsewhere,
            } += 1;
        }
        counts
    }

    /// Blocks what is downstream of `q`. It does not go through what succeeded
    /// before this run: the outputs of that are there.
    fn fail(&mut self, q: u32) {
        self.standing[q as usize] = Standing::Failed;
        let mut pending = vec![q];
        while let Some(q) = pending.pop() {
            for at in self.range(q) {
                let next = self.downstream[at];
                let standing = &mut self.standing[next as usize];
                if matches!(standing, Standing::Waiting | Standing::Elsewhere) {
                    *standing = Standing::Blocked;
                    pending.push(next);
                }
            }
        }
    }

    fn range(&self, q: u32) -> std::ops::Range<usize> {
        self.offsets[q as usize] as usize..self.offsets[q as usize + 1] as usize
    }

    fn make_ready(&mut self, q: u32) {
        let standing = &mut self.standing[q as usize];
        if *standing == Standing::Waiting {
            *standing = Standing::Ready;
            self.ready.push((self.depth[q as usize], Reverse(q)));
        }
    }

    fn free_downstream(&mut self, q: u32) {
        for at in self.range(q) {
            let next = self.downstream[at];
            self.missing[next as usize] -= 1;
            if self.missing[next as usize] == 0 {
                self.make_ready(next);
            }
        }
    }

    fn release(&mut self, q: u32) {
        for at in self.range(q) {
            self.missing[self.downstream[at] as usize] -= 1;
        }
    }

    /// The length of the longest way to each quantum from one without upstream.
    fn depths(&self) -> Vec<u32> {
        let mut missing = self.missing.clone();
        let mut depth = vec![0_u32; missing.len()];
        let mut pending: Vec<u32> =
            (0_u32..).zip(&missing).filter(|(_, m)| **m == 0).map(|(q, _)| q).collect();
        while let Some(q) = pending.pop() {
            for at in self.range(q) {
                let next = self.downstream[at];
                depth[next as usize] = depth[next as usize].max(depth[q as usize] + 1);
                missing[next as usize] -= 1;
                if missing[next as usize] == 0 {
                    pending.push(next);
                }
            }
        }
        depth
    }
}

#[cfg(test)]
mod tests;
