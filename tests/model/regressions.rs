//! Sequences that once failed, as short as they can be.

use pantler::{
    core::transaction::Closing,
    registry::testing::{How, Point},
};

use super::{
    Place, Tally,
    operation::{Fault, Harm, Mode, Op, Step, Storing},
    world::Template,
};

const PLAIN: Storing = Storing { name: None, keep_going: false, take_over: false };

#[track_caller]
fn holds<const N: usize>(steps: [(Op, Fault); N]) {
    let (template, tally) = (Template::new(), Tally::default());
    let source = template.source();
    let place = Place { template: &template, source, tally: &tally, wrong: false };
    let steps: Vec<Step> = steps.into_iter().map(|(op, fault)| Step { op, fault }).collect();
    if let Err(reason) = place.sequence(&steps) {
        panic!("{reason}");
    }
}

fn put(run: u8, items: &[(u8, u8)], name: Option<u8>) -> Op {
    Op::Put { run, items: items.to_vec(), how: Storing { name, ..PLAIN } }
}

fn ingest(run: u8, city: u8, mode: Mode, name: u8) -> Op {
    let how = Storing { name: Some(name), ..PLAIN };
    Op::Ingest { run, files: vec![vec![(city, 0)]], mode, how }
}

fn close(closing: Closing) -> Op {
    Op::Close { which: 0, closing, take_over: false }
}

/// The second put went on with the first, and said that it had stored into its own RUN.
#[test]
fn the_same_name_for_another_run_is_other_work() {
    let fault = Fault::Database { at: Point::Begin, n: 1, how: How::Locked, persistent: true };
    holds([
        (put(1, &[(1, 0), (2, 0)], Some(2)), fault),
        (put(0, &[(1, 0), (2, 0)], Some(2)), Fault::None),
    ]);
}

/// The damaged artifact stayed, and nobody owned it.
#[test]
fn an_abandoned_removal_leaves_nothing_of_a_truncated_artifact() {
    holds([
        (put(0, &[(0, 0)], None), Fault::None),
        (Op::Damage { which: 0, how: Harm::Truncated }, Fault::None),
        (Op::Remove { cells: vec![(0, 0)], purge: false, name: None }, Fault::NoDeletes),
        (close(Closing::Abandon), Fault::None),
    ]);
}

/// Its record would have come in, and the removal would have deleted the file.
#[test]
fn a_file_on_a_delete_list_is_not_ingested_in_place() {
    holds([
        (ingest(0, 0, Mode::InPlace, 0), Fault::None),
        (Op::Remove { cells: vec![(0, 0)], purge: false, name: None }, Fault::NoDeletes),
        (ingest(1, 0, Mode::InPlace, 0), Fault::None),
        (close(Closing::Commit), Fault::None),
    ]);
}

/// A transaction whose file another one had entered could not be abandoned.
#[test]
fn a_file_of_an_open_ingest_in_place_is_not_ingested_again() {
    holds([
        (ingest(0, 0, Mode::InPlace, 0), Fault::Dies { n: 25 }),
        (Op::Reopen { elsewhere: true }, Fault::None),
        (ingest(1, 0, Mode::InPlace, 0), Fault::None),
    ]);
}

/// Nothing is taken from a file outside, so several datasets can be read from it.
#[test]
fn a_file_outside_can_be_two_datasets() {
    holds([
        (ingest(0, 3, Mode::Direct, 0), Fault::None),
        (ingest(1, 3, Mode::Direct, 0), Fault::None),
    ]);
}

/// The database had committed, and the file stayed without a word about it.
#[test]
fn a_move_whose_commit_was_not_answered_takes_the_file_away() {
    let fault = Fault::Database { at: Point::Commit, n: 0, how: How::Lost, persistent: true };
    holds([(ingest(0, 0, Mode::Move, 0), fault)]);
}
