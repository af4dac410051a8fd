//! Several at once: writers of one page, writers of one database, closers of one
//! transaction, readers of a collection that changes.

use std::{
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use pantler::registry::DatasetQuery;
use pantler_testkit::{Project, Ran};
use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use super::{OLD, armed, large, pages, points, put, put_file, row, run, set_chain, was_killed};
use crate::{
    library::{butler, collection},
    toy::{open_names, until},
    zombies::{go_on, paused},
};

/// Before its first writing database transaction, which is the opening.
const BEFORE_OPENING: &str = "registry.begin:1";

fn wake(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
}

/// What a process did, and its number.
struct Racer {
    pid: u32,
    ran: Ran,
}

impl Racer {
    fn won(&self) -> bool {
        self.ran.code() == Some(0)
    }
}

/// Puts files as the page `a` of one RUN, each in a process of its own, all woken up
/// when the last of them is about to open its transaction.
fn race(project: &Project, run: &str, files: &[&str]) -> Vec<Racer> {
    let start = |file: &&str| {
        let file = project.path().join(file).into_string();
        let args = ["put", &file, "page", "item=a", "--run", run];
        paused(project, &args, BEFORE_OPENING)
    };
    let children: Vec<Child> = files.iter().map(start).collect();
    children.iter().for_each(wake);
    children.into_iter().map(|child| Racer { pid: child.id(), ran: Ran::finish(child) }).collect()
}

/// P7: of two that put the same page at the same time, one wins, and the other is told.
#[test]
fn of_two_writers_of_one_page_one_wins_and_the_other_is_told() {
    let project = pages();
    let files = ["one.txt", "two.txt"];
    for file in files {
        project.write(file, large(file));
    }
    let mut wins = [0, 0];
    for round in 0..20 {
        let name = format!("race/{round}");
        let racers = race(&project, &name, &files);
        let winners: Vec<usize> = (0..2).filter(|n| racers[*n].won()).collect();
        let [winner] = winners[..] else {
            let said: Vec<_> = racers.iter().map(|racer| &racer.ran.stderr).collect();
            panic!("round {round}: {winners:?} {said:?}")
        };
        wins[winner] += 1;
        let row = row(&project, &name, "a").unwrap();
        let id = row["id"].as_str().unwrap();
        assert_eq!(racers[winner].ran.text().trim(), id, "round {round}");
        let loser = &racers[1 - winner].ran;
        assert_eq!(loser.text(), "", "round {round}");
        // It names what is there, or the transaction of the winner and its process.
        let holder = format!("process {} ", racers[winner].pid);
        let told = loser.stderr.contains(id)
            || (loser.stderr.contains("put/page-") && loser.stderr.contains(&holder));
        assert!(told, "round {round}: {}", loser.stderr);
        let got = project.pantler(&["get", id]).expect(0);
        assert_eq!(got.text(), large(files[winner]), "round {round}");
        // The loser left nothing in the storage and nothing open.
        let artifacts = project.picture().files;
        let prefix = format!("race%2F{round}@");
        let readable = format!("race/{round}@");
        let own: Vec<_> = artifacts
            .keys()
            .filter(|path| path.contains(&prefix) || path.contains(&readable))
            .collect();
        assert_eq!(own.len(), 1, "round {round}: {own:?}");
        assert_eq!(open_names(&project, "transaction"), [""; 0], "round {round}");
    }
    println!("wins: {wins:?}");
    project.pantler(&["check", "--checksum"]).expect(0);
}

/// Four put the same bytes as the same page: it is stored once, and whoever succeeds
/// has its id.
#[test]
fn the_same_page_put_by_four_at_once_is_stored_once() {
    let project = pages();
    for round in 0..5 {
        let name = format!("same/{round}");
        let racers = race(&project, &name, &["new.txt"; 4]);
        let id = row(&project, &name, "a").unwrap()["id"].as_str().unwrap().to_owned();
        let (done, refused): (Vec<_>, Vec<_>) = racers.iter().partition(|racer| racer.won());
        let ids: Vec<String> = done.iter().map(|r| r.ran.text().trim().to_owned()).collect();
        assert!(!ids.is_empty() && ids.iter().all(|found| *found == id), "{ids:?}");
        for Racer { ran, .. } in refused {
            assert!(ran.stderr.contains("put/page-"), "{}", ran.stderr);
        }
        // Who was refused comes again, and gets the same.
        assert_eq!(run(&project, &put_file(&project, "a", &name)).expect(0).text().trim(), id);
    }
    project.pantler(&["check", "--checksum"]).expect(0);
}

/// Who comes to the database while another writes to it waits, and does not fail.
#[test]
fn the_loser_of_the_database_lock_waits() {
    let project = pages();
    let args = put_file(&project, "a", "second");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // Inside of its opening database transaction.
    let holder = paused(&project, &args, "registry.commit.before:1");
    let log = project.path().join("waiter.log");
    let second = put_file(&project, "b", "second");
    let mut waiter = armed(&project, &second, "PANTLER_CRASH_LOG", log.as_str());
    let mut waiter = waiter.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = || std::fs::read_to_string(&log).unwrap_or_default().contains("registry.begin\n");
    until("it is about to write", began);
    // It sleeps and tries again, and again.
    let tries = |pid: u32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    let first = tries(waiter.id());
    until("it has waited some times", || {
        assert!(waiter.try_wait().unwrap().is_none(), "it did not wait");
        tries(waiter.id()) > first + 3
    });
    go_on(holder).expect(0);
    Ran::finish(waiter).expect(0);
    assert!(row(&project, "second", "a").is_some() && row(&project, "second", "b").is_some());
}

/// The epoch rule: a closer that was paused with its storage work done wakes up when
/// another has closed the transaction.
#[test]
fn a_paused_closer_that_wakes_up_after_another_closed_changes_nothing() {
    for closing in ["commit", "revert", "abandon"] {
        let project = pages();
        let args = put_file(&project, "a", "second");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let late = paused(&project, &args, "close.storage.done:1");
        let name = open_names(&project, "transaction").remove(0);
        // It is alive, as far as anybody can tell.
        let refused = project.pantler(&["transaction", closing, &name]).expect(4);
        assert!(refused.stderr.contains("--take-over"), "{}", refused.stderr);
        project.pantler(&["transaction", closing, &name, "--take-over"]).expect(0);
        let before = project.picture();
        let ran = go_on(late);
        before.assert_same(&project.picture(), closing);
        let row = row(&project, "second", "a");
        match closing {
            "commit" => {
                // The same outcome: its page is stored, and it says so.
                let id = row.unwrap()["id"].as_str().unwrap().to_owned();
                assert_eq!(ran.expect(0).text().trim(), id);
            }
            "revert" => {
                assert_eq!(row, None);
                assert_ne!(ran.code(), Some(0));
                assert!(ran.stderr.contains("was reverted already"), "{}", ran.stderr);
            }
            _ => {
                assert_eq!(row.unwrap()["stored"], true);
                assert_ne!(ran.code(), Some(0));
                assert!(ran.stderr.contains("was abandoned already"), "{}", ran.stderr);
            }
        }
        project.pantler(&["check", "--checksum"]).expect(0);
        run(&project, &put_file(&project, "a", "second")).expect(0);
    }
}

/// P9: while a chain is changed again and again, every reader finds one of its states.
#[test]
fn a_chain_is_never_visible_half_changed() {
    let project = pages();
    let writer = butler(&project);
    put(&writer, "second", &[("a", b"page a\n")]).unwrap();
    put(&writer, "third", &[("b", b"page b\n"), ("old", b"newer\n")]).unwrap();
    let states = [&["first", "second"][..], &["third", "first"], &["second"]];
    // What find-first gives: item and RUN.
    let found = [
        vec![("a", "second"), ("old", "first")],
        vec![("b", "third"), ("old", "third")],
        vec![("a", "second")],
    ];
    set_chain(&writer, "pages", states[0]);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let butler = butler(&project);
            let query = DatasetQuery {
                runs: Some(vec![collection("pages")]),
                find_first: true,
                ..DatasetQuery::default()
            };
            let mut seen = [0; 3];
            while !done.load(Ordering::SeqCst) || seen.contains(&0) {
                let rows = butler.query_datasets(&query).unwrap();
                let mut rows: Vec<(String, String)> = rows
                    .iter()
                    .map(|row| {
                        let item = row.dataset.data_id.get("item").unwrap().to_string();
                        (item, row.dataset.run.to_string())
                    })
                    .collect();
                rows.sort();
                let is = |state: &&Vec<(&str, &str)>| {
                    state
                        .iter()
                        .map(|(item, run)| ((*item).to_owned(), (*run).to_owned()))
                        .eq(rows.iter().cloned())
                };
                let state = found.iter().position(|state| is(&state));
                seen[state.unwrap_or_else(|| panic!("half a chain: {rows:?}"))] += 1;
            }
            seen
        });
        // Until the reader has seen all of them, and some more.
        let mut n = 0;
        while n < 150 || !reader.is_finished() {
            set_chain(&writer, "pages", states[n % 3]);
            n += 1;
            done.store(n >= 150, Ordering::SeqCst);
        }
        reader.join().unwrap()
    });
    println!("seen: {seen:?}");
    drop(writer);
    set_chain(&butler(&project), "pages", states[0]);
    killed_while_changed(&project);
}

/// Chains and tags, by processes that are killed at every step.
fn killed_while_changed(prepared: &Project) {
    let chain = ["collection", "chain", "pages", "third", "first"].map(str::to_owned).to_vec();
    let ids = ["a", "b"].map(|item| {
        let run = if item == "a" { "second" } else { "third" };
        row(prepared, run, item).unwrap()["id"].as_str().unwrap().to_owned()
    });
    let mut tag = ["collection", "tag", "good"].map(str::to_owned).to_vec();
    tag.extend(ids);
    prepared.pantler(&["collection", "create", "good"]).expect(0);
    for args in [chain, tag] {
        let points = points(&prepared.duplicate(), &args);
        let changed: Vec<bool> = points
            .par_iter()
            .map(|at| {
                let project = prepared.duplicate();
                was_killed(&Ran::of(armed(&project, &args, "PANTLER_CRASH", at)), at);
                let name = &args[2];
                let show = project.pantler(&["collection", "show", name, "--json"]).expect(0);
                let shown = show.json();
                let state = if args[1] == "chain" {
                    let children = shown["children"].as_array().unwrap();
                    let names: Vec<_> = children.iter().map(|c| c.as_str().unwrap()).collect();
                    [["first", "second"], ["third", "first"]].iter().position(|s| names == *s)
                } else {
                    let tagged = crate::toy::datasets(&project, &["--collections", name]).len();
                    [0, 2].iter().position(|n| tagged == *n)
                };
                let changed = state.unwrap_or_else(|| panic!("{at}: {shown}")) == 1;
                run(&project, &args).expect(0);
                changed
            })
            .collect();
        assert!(changed.contains(&true) && changed.contains(&false), "{args:?}: {changed:?}");
    }
    let get = ["get", "page", "item=old", "--collections", "pages"];
    assert_eq!(prepared.pantler(&get).expect(0).stdout, OLD);
}
