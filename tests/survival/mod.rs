//! Every operation survives what can happen to it: one harness, one line an operation.
//!
//! For each line of [`operations`]:
//!
//! - *killed* (`kill.rs`): SIGKILL at every step that it reaches;
//! - *failing* (`fail.rs`): every call that can fail does, this time or from this time on;
//! - *power lost* (`disk.rs`, `power.rs`): killed at every step, and what was not flushed
//!   is gone.
//!
//! Afterwards (`settle.rs`) `check` must find nothing new, the list of transactions must be
//! true, what was good before must be good; on copies, a revert gives what was before and
//! an abandon ends it; and the same command again comes to what it would have come to.
//!
//! `PANTLER_SURVIVAL=name` takes only operations whose names contain `name`,
//! `PANTLER_SURVIVAL_ALL=1` every turn and every way of failing, `PANTLER_SEED` draws
//! again what was drawn.

mod arms;
mod disk;
mod fail;
mod kill;
mod operation;
mod power;
mod settle;
mod stages;
mod state;
mod workspaces;

use std::collections::BTreeSet;

use operation::{Operation, Stage, operation};
use stages::{
    RUN, bare, damaged, fresh, in_place, indexed, ingested, killed, lined, lined_in_part, littered,
    nothing, prepared, ran, ran_twice, rotten, running, shared, stored, tagged, two, types,
    unstored, vanished,
};
use workspaces::{
    BUILD_SKIPPING, CREATE, broken, built, closing, complete, created, created_after_old,
    developed, inits, inits_sharded, ledger, raw, shard_committed, sharded, skipped,
    skipped_complete,
};

use crate::crash;

const PUT: &str = "put {project}/data/a.txt number item=a --run lab";
const INGEST: &str = "ingest --type number --run lab data/{item}.txt";
const TRANSFER: &str = "transfer {project}/source --type number --collections lab";
const PUT_EACH: &str = "put-each {project}/lines.json --type number --run lab";
const IN_A_PUT: &str = "puts.artifact.written:2";
const COMMIT: &str = "transaction commit {open}";
const REVERT: &str = "transaction revert {open}";
const ABANDON: &str = "transaction abandon {open}";

/// Every operation: name, stage, command; and what is special about it.
#[rustfmt::skip]
fn operations() -> Vec<Operation> {
    vec![
        operation("init", nothing, "init {repo} --universe {project}/universe.yaml").in_parts(),
        operation("put", types, PUT),
        operation("put again", stored, PUT),
        operation("put what is registered only", unstored, PUT),
        operation("put what rotted", rotten, PUT).mends(),
        operation("put what vanished", vanished, PUT).mends(),
        operation("put after a kill", killed(types, PUT, "datastore.rename:1"), PUT),
        operation("ingest: copy", types, "ingest --type number --run lab --transfer copy data/{item}.txt"),
        operation("ingest: move", types, "ingest --type number --run lab --transfer move data/{item}.txt").notes(),
        operation("ingest: hardlink", types, "ingest --type number --run lab --transfer hardlink data/{item}.txt"),
        operation("ingest: symlink", types, "ingest --type number --run lab --transfer symlink data/{item}.txt"),
        operation("ingest: direct", types, "ingest --type number --run lab --transfer direct data/{item}.txt"),
        operation("ingest: in place", in_place, "ingest --type number --run lab --transfer in-place repo/artifacts/mine/{item}.txt"),
        operation("ingest: registering", bare, "ingest --type number --run lab --register --dimensions item --storage-class Text data/{item}.txt").registers(),
        operation("ingest: several in a file", indexed, "ingest --type number --run lab --index {project}/all.csv"),
        operation("ingest: keep going", types, "ingest --type number --run lab --keep-going data/{item}.txt").in_parts(),
        operation("ingest after a kill", killed(types, INGEST, "datastore.rename:2"), INGEST),
        operation("restore", unstored, "restore {a} {project}/data/a.txt"),
        operation("put-each", lined, PUT_EACH).each_by_itself(),
        operation("put-each of what is there in part", lined_in_part, PUT_EACH).each_by_itself(),
        operation("put-each after a kill", killed(lined, PUT_EACH, IN_A_PUT), PUT_EACH).each_by_itself(),
        operation("remove", stored, "remove {a}").takes(),
        operation("remove one of several in a file", shared, "remove {a}").takes(),
        operation("remove: purge", stored, "remove {a} --purge").takes(),
        operation("remove-run", stored, "remove-run lab").takes(),
        operation("transfer: copy", two, "transfer {project}/source --type number --collections lab --mode copy"),
        operation("transfer: direct", two, "transfer {project}/source --type number --collections lab --mode direct"),
        operation("commit: put", killed(types, PUT, "close.storage.done:1"), COMMIT),
        operation("revert: put", killed(types, PUT, "datastore.rename:1"), REVERT),
        operation("abandon: put", killed(types, PUT, "close.storage.done:1"), ABANDON),
        operation("commit: ingest", killed(types, INGEST, "close.storage.done:1"), COMMIT),
        operation("revert: ingest", killed(types, INGEST, "datastore.rename:2"), REVERT),
        operation("abandon: ingest", killed(types, INGEST, "datastore.rename:2"), ABANDON),
        operation("commit: remove", killed(stored, "remove {a} {b}", "datastore.delete:2"), COMMIT).takes(),
        operation("revert: remove", killed(stored, "remove {a} {b}", "datastore.delete:1"), REVERT).takes(),
        operation("abandon: remove", killed(stored, "remove {a} {b}", "datastore.delete:2"), ABANDON).takes(),
        operation("commit: purge", killed(stored, "remove {a} {b} --purge", "datastore.delete:2"), COMMIT).takes(),
        operation("revert: purge", killed(stored, "remove {a} {b} --purge", "datastore.delete:1"), REVERT).takes(),
        operation("abandon: purge", killed(stored, "remove {a} {b} --purge", "datastore.delete:2"), ABANDON).takes(),
        operation("commit: remove-run", killed(stored, "remove-run lab", "datastore.delete:2"), COMMIT).takes(),
        operation("revert: remove-run", killed(stored, "remove-run lab", "datastore.delete:1"), REVERT).takes(),
        operation("abandon: remove-run", killed(stored, "remove-run lab", "datastore.delete:2"), ABANDON).takes(),
        operation("commit: transfer", killed(two, TRANSFER, "close.storage.done:1"), COMMIT),
        operation("revert: transfer", killed(two, TRANSFER, "datastore.rename:2"), REVERT),
        operation("abandon: transfer", killed(two, TRANSFER, "datastore.rename:2"), ABANDON),
        operation("commit: put session", killed(lined, PUT_EACH, IN_A_PUT), COMMIT).one_way(),
        operation("abandon: put session", killed(lined, PUT_EACH, IN_A_PUT), ABANDON).one_way(),
        operation("collection tag", tagged, "collection tag best {a}"),
        operation("run", fresh, RUN).in_parts().makes("toy"),
        operation("run: ingest", prepared, RUN).until("close.rows.committed").makes("toy"),
        operation("run: ingest after a kill", killed(prepared, RUN, "datastore.rename:2"), RUN).until("close.rows.committed").makes("toy"),
        operation("run: workspace", ingested, RUN).makes("toy"),
        operation("commit: workspace", ran, "workspace commit {open}"),
        operation("revert: workspace", running, "workspace revert {open}"),
        operation("abandon: workspace", running, "workspace abandon {open}"),
        operation("workspace create", raw, CREATE).stays("toy/w"),
        operation("workspace activate", inits, "workspace activate toy/w -j1").stays("toy/w"),
        operation("workspace build", created, "workspace build toy/w").stays("toy/w"),
        operation("workspace build: activates", inits, "workspace build toy/w -j1").stays("toy/w"),
        operation("workspace build: skipping what exists", created_after_old, BUILD_SKIPPING).stays("toy/w").may_leave_a_part(),
        operation("workspace run: skipping what exists", skipped, "workspace run toy/w -j1").stays("toy/w"),
        operation("workspace commit: skipping what exists", skipped_complete, "workspace commit toy/w"),
        operation("workspace run", built, "workspace run toy/w -j1").stays("toy/w"),
        operation("workspace run what failed", broken, "workspace run toy/w -j1").stays("toy/w"),
        operation("workspace accept", broken, "workspace accept toy/w --failed").stays("toy/w"),
        operation("workspace poison", complete, "workspace poison toy/w --task copy").stays("toy/w"),
        operation("workspace reset", complete, "workspace reset toy/w --task copy").stays("toy/w"),
        operation("workspace dev", built, "workspace dev toy/w").stays("toy/w"),
        operation("workspace pipeline", developed, "workspace pipeline toy/w --pipeline {project}/changed.yaml").stays("toy/w"),
        operation("workspace put", ledger, "workspace put toy/w {project}/data/a.txt number item=a").stays("toy/w"),
        operation("workspace commit: ledger", ledger, "workspace commit toy/w"),
        operation("workspace commit: shard", sharded, "workspace commit toy/w --shard item=a").stays("toy/w").one_way(),
        operation("workspace commit: first shard, init steps", inits_sharded, "workspace commit toy/w --shard item=a").stays("toy/w").one_way(),
        operation("workspace commit: other shard", shard_committed, "workspace commit toy/w --shard item=b").stays("toy/w").one_way(),
        operation("workspace commit: shards", shard_committed, "workspace commit toy/w").one_way(),
        operation("workspace reopen", closing, "workspace reopen toy/w").stays("toy/w"),
        operation("check --repair", damaged, "check --repair").mends(),
        operation("vacuum", littered, "vacuum").in_parts(),
    ]
}

/// The operations that this run is about.
fn chosen() -> Vec<Operation> {
    let part = std::env::var("PANTLER_SURVIVAL").unwrap_or_default();
    let mut all = operations();
    all.retain(|operation| operation.name.contains(&part));
    all
}

/// Does it for every operation, and says of all that fail why, not of the first only.
fn each<T>(test: impl Fn(&Operation) -> T) -> Vec<T> {
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for operation in chosen() {
        let tested = std::panic::AssertUnwindSafe(|| test(&operation));
        match std::panic::catch_unwind(tested) {
            Ok(value) => done.push(value),
            Err(_) => failed.push(operation.name),
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    done
}

#[test]
fn killed_at_every_step() {
    let reached: BTreeSet<String> = each(kill::kill_everywhere).into_iter().flatten().collect();
    if chosen().len() == operations().len() {
        crash::assert_all_are_reached(reached);
    }
}

#[test]
fn every_step_fails() {
    each(fail::fail_everywhere);
}

#[test]
fn power_is_lost_at_every_step() {
    each(power::lose_power_everywhere);
}

#[test]
fn a_loss_of_power_without_flushes_is_seen() {
    power::without_flushes_something_is_lost(&operation("put", types, PUT));
}

#[test]
fn what_a_dead_process_deleted_stays_away_when_power_is_lost() {
    // Others are in the directory; or there was nothing in it before.
    let put_each = |stage: fn() -> Stage| operation("put-each", stage, PUT_EACH);
    for closing in ["commit", "abandon"] {
        power::what_a_dead_process_deleted_stays_away(&put_each(lined_in_part), "", closing);
        let fault = "datastore.rename:1:io";
        power::what_a_dead_process_deleted_stays_away(&put_each(lined), fault, closing);
    }
    let workspace = |stage: fn() -> Stage, command| operation("workspace", stage, command);
    for (stage, command, closing) in [
        (running as fn() -> Stage, "workspace revert {open}", "revert"),
        (ran, "workspace abandon {open}", "abandon"),
        (ran_twice, "workspace commit {open}", "commit"),
    ] {
        let operation = workspace(stage, command);
        power::what_a_dead_process_deleted_stays_away(&operation, "", closing);
    }
}
