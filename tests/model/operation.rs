//! What can be done to a repository, as values that can be drawn at random and left out.
//!
//! Numbers mean "the n-th of what is there", so that a sequence stays one when some of
//! its steps are taken away.

use pantler::{
    core::transaction::Closing,
    registry::testing::{How, Point},
};
use pantler_testkit::faults::Operation;
use proptest::prelude::*;

/// Cities, RUNs, names of transactions, contents, TAGGED collections and chains.
pub(super) const CITIES: u8 = 4;
pub(super) const RUNS: u8 = 3;
pub(super) const NAMES: u8 = 3;
pub(super) const CONTENTS: u8 = 4;
pub(super) const GROUPS: u8 = 2;

/// A dataset's place: RUN and city.
pub(super) type Cell = (u8, u8);

/// An operation and what goes wrong meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) fault: Fault,
}

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// (city, content) each.
    Put {
        run: u8,
        items: Vec<(u8, u8)>,
        how: Storing,
    },
    /// Files, each with the (city, content) of its datasets.
    Ingest {
        run: u8,
        files: Vec<Vec<(u8, u8)>>,
        mode: Mode,
        how: Storing,
    },
    Restore {
        cells: Vec<Cell>,
        content: u8,
        how: Storing,
    },
    /// From the second repository.
    Transfer {
        cells: Vec<Cell>,
        mode: Mode,
        how: Storing,
    },
    Remove {
        cells: Vec<Cell>,
        purge: bool,
        name: Option<u8>,
    },
    RemoveRun {
        run: u8,
        name: Option<u8>,
    },
    Tag {
        tag: u8,
        cells: Vec<Cell>,
    },
    Untag {
        tag: u8,
        cells: Vec<Cell>,
    },
    RemoveTag {
        tag: u8,
    },
    Chain {
        chain: u8,
        runs: Vec<u8>,
    },
    RemoveChain {
        chain: u8,
    },
    /// A put that is opened and left alone.
    Begin {
        run: u8,
        cities: Vec<u8>,
        name: u8,
    },
    /// A put session, with the (city, content) of each put; it is ended, or left open.
    Session {
        run: u8,
        items: Vec<(u8, u8)>,
        name: Option<u8>,
        take_over: bool,
        finish: bool,
    },
    /// One of the open transactions, or a name if there is none.
    Close {
        which: u8,
        closing: Closing,
        take_over: bool,
    },
    /// The process ends, and another comes, perhaps on another machine.
    Reopen {
        elsewhere: bool,
    },
    /// Outside damage to one of the artifacts.
    Damage {
        which: u8,
        how: Harm,
    },
    /// A file that nobody owns.
    Stray {
        run: u8,
        unfinished: bool,
    },
    Repair,
    Vacuum,
}

/// Choices of everything that stores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storing {
    pub(super) name: Option<u8>,
    pub(super) keep_going: bool,
    pub(super) take_over: bool,
}

/// How a file becomes an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Copy,
    Move,
    Hardlink,
    InPlace,
    Direct,
}

/// What happens to an artifact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harm {
    Deleted,
    Truncated,
    Flipped,
}

/// What goes wrong, at the `n`-th call from now on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    None,
    Dies { n: u8 },
    Storage { at: Operation, n: u8, how: Failing },
    Database { at: Point, n: u8, how: How, persistent: bool },
    NoDeletes,
}

/// How a storage fails.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failing {
    Once,
    Always,
    Lost,
}

const OPERATIONS: [Operation; 12] = [
    Operation::Stage,
    Operation::Write,
    Operation::Finish,
    Operation::Publish,
    Operation::Discard,
    Operation::Link,
    Operation::Open,
    Operation::Size,
    Operation::Delete,
    Operation::Rekey,
    Operation::Flusher,
    Operation::Flush,
];

fn cell() -> impl Strategy<Value = Cell> {
    (0..RUNS, 0..CITIES)
}

fn cells() -> impl Strategy<Value = Vec<Cell>> {
    prop::collection::vec(cell(), 1..4)
}

fn one_run() -> impl Strategy<Value = Vec<Cell>> {
    (0..RUNS, prop::collection::vec(0..CITIES, 1..4))
        .prop_map(|(run, cities)| cities.into_iter().map(|city| (run, city)).collect())
}

fn some_cells() -> impl Strategy<Value = Vec<Cell>> {
    prop_oneof![cells(), one_run()]
}

fn item() -> impl Strategy<Value = (u8, u8)> {
    // Mostly the same content, so that what is stored again often is the same.
    (0..CITIES, prop_oneof![3 => Just(0), 1 => 0..CONTENTS])
}

fn name() -> impl Strategy<Value = Option<u8>> {
    prop::option::of(0..NAMES)
}

fn storing() -> impl Strategy<Value = Storing> {
    (name(), prop::bool::weighted(0.25), any::<bool>())
        .prop_map(|(name, keep_going, take_over)| Storing { name, keep_going, take_over })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        2 => Just(Mode::Copy),
        1 => Just(Mode::Move),
        1 => Just(Mode::Hardlink),
        2 => Just(Mode::InPlace),
        1 => Just(Mode::Direct)
    ]
}

fn closing() -> impl Strategy<Value = Closing> {
    prop_oneof![Just(Closing::Commit), Just(Closing::Revert), Just(Closing::Abandon)]
}

fn op() -> impl Strategy<Value = Op> {
    let items = || prop::collection::vec(item(), 1..4);
    let files = prop::collection::vec(prop::collection::vec(item(), 1..3), 1..3);
    prop_oneof![
        8 => (0..RUNS, items(), storing()).prop_map(|(run, items, how)| Op::Put { run, items, how }),
        6 => (0..RUNS, files, mode(), storing())
            .prop_map(|(run, files, mode, how)| Op::Ingest { run, files, mode, how }),
        3 => (some_cells(), 0..CONTENTS, storing())
            .prop_map(|(cells, content, how)| Op::Restore { cells, content, how }),
        3 => (some_cells(), mode(), storing())
            .prop_map(|(cells, mode, how)| Op::Transfer { cells, mode, how }),
        6 => (some_cells(), any::<bool>(), name())
            .prop_map(|(cells, purge, name)| Op::Remove { cells, purge, name }),
        2 => (0..RUNS, name()).prop_map(|(run, name)| Op::RemoveRun { run, name }),
        2 => (0..GROUPS, some_cells()).prop_map(|(tag, cells)| Op::Tag { tag, cells }),
        1 => (0..GROUPS, cells()).prop_map(|(tag, cells)| Op::Untag { tag, cells }),
        1 => (0..GROUPS).prop_map(|tag| Op::RemoveTag { tag }),
        1 => (0..GROUPS, prop::collection::vec(0..RUNS, 1..3))
            .prop_map(|(chain, runs)| Op::Chain { chain, runs }),
        1 => (0..GROUPS).prop_map(|chain| Op::RemoveChain { chain }),
        2 => (0..RUNS, prop::collection::vec(0..CITIES, 1..3), 0..NAMES)
            .prop_map(|(run, cities, name)| Op::Begin { run, cities, name }),
        4 => (0..RUNS, items(), name(), any::<bool>(), prop::bool::weighted(0.7)).prop_map(
            |(run, items, name, take_over, finish)| {
                Op::Session { run, items, name, take_over, finish }
            }
        ),
        8 => (any::<u8>(), closing(), any::<bool>())
            .prop_map(|(which, closing, take_over)| Op::Close { which, closing, take_over }),
        2 => prop::bool::weighted(0.3).prop_map(|elsewhere| Op::Reopen { elsewhere }),
        3 => (any::<u8>(), prop_oneof![
            Just(Harm::Deleted), Just(Harm::Truncated), Just(Harm::Flipped)
        ]).prop_map(|(which, how)| Op::Damage { which, how }),
        1 => (0..RUNS, any::<bool>()).prop_map(|(run, unfinished)| Op::Stray { run, unfinished }),
        2 => Just(Op::Repair),
        1 => Just(Op::Vacuum),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let storage = (
        prop::sample::select(&OPERATIONS[..]),
        0..4u8,
        prop_oneof![Just(Failing::Once), Just(Failing::Always), Just(Failing::Lost)],
    );
    let database = prop::sample::select(&Point::ALL[..]).prop_flat_map(|at| {
        let hows: Vec<How> = at.hows().iter().copied().filter(|how| *how != How::Slow).collect();
        let n = match at {
            Point::Begin | Point::Commit => 0..4u8,
            Point::Statement | Point::Query => 0..20u8,
        };
        (Just(at), n, prop::sample::select(hows), prop::bool::weighted(0.3))
    });
    prop_oneof![
        5 => Just(Fault::None),
        3 => (0..100u8).prop_map(|n| Fault::Dies { n }),
        2 => storage.prop_map(|(at, n, how)| Fault::Storage { at, n, how }),
        2 => database.prop_map(|(at, n, how, persistent)| {
            Fault::Database { at, n, how, persistent }
        }),
        1 => Just(Fault::NoDeletes),
    ]
}

/// Sequences of 5 to 25 steps.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (op(), fault()).prop_map(|(op, fault)| Step { op, fault });
    prop::collection::vec(step, 5..=25)
}
