//! Real processes that change one repository at the same time, set off by a barrier: no
//! write is lost, nobody is told that it went well when it did not, and who loses learns
//! to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use pantler::{
    core::{DatasetId, Durability, transaction::Closing},
    registry::LockKind,
};
use serde_json::Value;

use crate::{
    library::collection,
    players::{Depot, Order, Outcome, Player, item},
};

/// Starts all at once.
fn set_off(players: &mut [Player]) {
    for player in players.iter_mut() {
        player.wait_at_barrier();
    }
    for player in players {
        player.go();
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Many processes put into one RUN that none of them made before.
fn many_put_into_one_run(depot: &Depot, processes: usize, puts: usize) {
    let mut players: Vec<Player> = (0..processes)
        .map(|process| {
            let items: Vec<_> = (process * puts..(process + 1) * puts).map(item).collect();
            depot.start(&[Order::put_each("live", &items, &format!("{process}")).at_barrier()])
        })
        .collect();
    set_off(&mut players);
    let since = Instant::now();
    let mut acknowledged = BTreeMap::new();
    for (process, mut player) in players.into_iter().enumerate() {
        let report = player.outcome().unwrap();
        assert_eq!(texts(&report["errors"]), [""; 0]);
        for id in texts(&report["ids"]) {
            acknowledged.insert(id.parse::<DatasetId>().unwrap(), process.to_string());
        }
        player.end();
    }
    let took = since.elapsed().as_secs_f64();
    let total = processes * puts;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = total as f64 / took;
    println!("{processes} processes × {puts} puts into one RUN: {took:.1} s, {rate:.0} puts/s");
    assert_eq!(acknowledged.len(), total);
    let butler = depot.butler();
    let rows = depot.rows("live");
    assert_eq!(rows.len(), total);
    for row in rows {
        let content = butler.get(&row).unwrap().expect("it is stored");
        assert_eq!(acknowledged[&row.dataset.id].as_bytes(), content);
    }
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.artifacts().len(), total);
}

#[test]
fn eight_processes_put_500_each_into_one_run() {
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    many_put_into_one_run(&Depot::at(dir.unwrap(), 4000, Durability::None), 8, 500);
}

#[test]
fn six_processes_put_into_one_run_on_a_disk_with_flushes() {
    let dir = tempfile::tempdir().unwrap();
    many_put_into_one_run(&Depot::at(dir, 240, Durability::Flushed), 6, 40);
}

#[test]
fn of_two_that_put_the_same_data_id_one_wins_and_the_other_learns_whose_it_is() {
    const ROUNDS: usize = 20;
    let depot = Depot::new(ROUNDS);
    let orders = |who: &str| {
        let order =
            |round| Order::put("duel", &[(&item(round), &format!("{who} {round}"))]).at_barrier();
        (0..ROUNDS).map(order).collect::<Vec<_>>()
    };
    let mut players = [depot.start(&orders("a")), depot.start(&orders("b"))];
    let mut wins = [0; 2];
    for round in 0..ROUNDS {
        set_off(&mut players);
        let outcomes = players.each_mut().map(Player::outcome);
        let winner = outcomes.iter().position(Result::is_ok).expect("one wins");
        wins[winner] += 1;
        let id = outcomes[winner].as_ref().unwrap()["ids"][0].as_str().unwrap().to_owned();
        let told = outcomes[1 - winner].as_ref().expect_err("only one wins");
        assert!(told.contains(&id), "round {round}: {told}");
        // Nothing of the loser is left, and the bytes are the winner's.
        let rows = depot.rows("duel");
        assert_eq!(rows.len(), round + 1);
        let row = rows.iter().find(|row| row.dataset.id.to_string() == id).unwrap();
        let content = depot.butler().get(row).unwrap().expect("it is stored");
        let who = ["a", "b"][winner];
        assert_eq!(String::from_utf8(content).unwrap(), format!("{who} {round}"));
        assert_eq!(depot.artifacts().len(), round + 1);
        assert_eq!(depot.open_names(), [""; 0]);
        depot.check();
    }
    println!("wins: {wins:?}");
    players.into_iter().for_each(Player::end);
}

#[test]
fn of_four_that_put_the_same_bytes_all_get_the_same_dataset_or_wait_for_it() {
    const ROUNDS: usize = 8;
    let depot = Depot::new(ROUNDS);
    let orders: Vec<_> = (0..ROUNDS)
        .map(|round| Order::put("same", &[(&item(round), "same")]).at_barrier())
        .collect();
    let mut players: Vec<Player> = (0..4).map(|_| depot.start(&orders)).collect();
    for round in 0..ROUNDS {
        set_off(&mut players);
        let outcomes: Vec<Outcome> = players.iter_mut().map(Player::outcome).collect();
        let rows = depot.rows("same");
        assert_eq!(rows.len(), round + 1);
        let id = rows[round].dataset.id.to_string();
        let mut stored = 0;
        for outcome in outcomes {
            match outcome {
                Ok(report) => {
                    assert_eq!(texts(&report["ids"]), [id.as_str()]);
                    stored += report["stored"].as_u64().unwrap();
                }
                // It came while the winner was still writing.
                Err(told) => {
                    assert!(told.contains(&id) && told.contains("is open on it"), "{told}");
                }
            }
        }
        assert_eq!((stored, depot.artifacts().len()), (1, round + 1));
    }
    players.into_iter().for_each(Player::end);
}

#[test]
fn of_those_that_open_under_one_name_one_opens_and_the_others_learn_who_has_it() {
    const ROUNDS: usize = 10;
    let depot = Depot::new(ROUNDS * 3);
    let orders = |player: usize| {
        let order = |round: usize| {
            let item = item(3 * round + player);
            Order::put("named", &[(&item, "x")]).named(&format!("job/{round}")).at_barrier()
        };
        (0..ROUNDS).map(order).collect::<Vec<_>>()
    };
    let mut players: Vec<Player> = (0..3).map(|player| depot.start(&orders(player))).collect();
    let mut done = 0;
    for round in 0..ROUNDS {
        set_off(&mut players);
        let outcomes: Vec<Outcome> = players.iter_mut().map(Player::outcome).collect();
        // One after the other they may all do it: a name is free again when it is closed.
        let well = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(well >= 1, "{outcomes:?}");
        done += well;
        for told in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(told.contains(&format!("job/{round}")), "{told}");
            assert!(told.contains("by player (process "), "{told}");
        }
        assert_eq!(depot.rows("named").len(), done);
        assert_eq!(depot.open_names(), [""; 0]);
    }
    players.into_iter().for_each(Player::end);
}

/// Refusals that name the transaction in the way, and nothing else.
#[track_caller]
fn only_locked(refusals: &[String], run: &str) {
    for told in refusals {
        let (_, rest) = told.split_once(&format!("run `{run}` is ")).expect(told);
        let known = ["inserted into", "modified"]
            .iter()
            .filter_map(|lock| rest.strip_prefix(&format!("{lock} by the open transaction `")))
            .any(|name| {
                name.starts_with("put/")
                    || name.starts_with("remove/")
                    || name.starts_with("restore/")
            });
        assert!(known, "{told}");
    }
}

#[test]
fn inserters_and_modifiers_of_one_run_are_never_at_work_together() {
    const INSERTERS: usize = 3;
    const PUTS: usize = 60;
    let depot = Depot::new(1 + INSERTERS * PUTS);
    let first = depot.put("busy", &item(0), "first");
    let mut players: Vec<Player> = (0..INSERTERS)
        .map(|player| {
            let items = 1 + player * PUTS..1 + (player + 1) * PUTS;
            let orders = items.map(|n| Order::put("busy", &[(&item(n), "x")]).repeated(1));
            let orders: Vec<Order> = orders.collect();
            let mut all = vec![Order::remove(&[]).at_barrier()];
            all.extend(orders);
            depot.start(&all)
        })
        .collect();
    let mut modifier = vec![Order::remove(&[]).at_barrier()];
    for _ in 0..15 {
        modifier.push(Order::remove(&[first]).repeated(1));
        modifier.push(Order::restore(first, "first").repeated(1));
    }
    players.push(depot.start(&modifier));
    set_off(&mut players);

    let butler = depot.butler();
    let busy = collection("busy");
    let watched = std::thread::scope(|scope| {
        let readers: Vec<_> = players
            .into_iter()
            .enumerate()
            .map(|(n, mut player)| {
                let orders = 1 + if n < INSERTERS { PUTS } else { 30 };
                scope.spawn(move || {
                    let outcomes: Vec<_> = (0..orders).map(|_| player.outcome().unwrap()).collect();
                    player.end();
                    outcomes.iter().skip(1).flat_map(|o| texts(&o["errors"])).collect::<Vec<_>>()
                })
            })
            .collect();
        // What is locked at any moment, as everybody can see it.
        let mut seen = BTreeSet::new();
        while readers.iter().any(|reader| !reader.is_finished()) {
            let locks = butler.registry().read(|reader| reader.locks_of_run(&busy)).unwrap();
            let modified = locks.iter().filter(|(_, lock)| *lock == LockKind::Modified).count();
            assert!(modified == 0 || locks.len() == 1, "{locks:?}");
            seen.extend(locks.into_iter().map(|(_, lock)| lock));
        }
        let refused = readers.into_iter().map(|reader| reader.join().unwrap());
        (seen, refused.collect::<Vec<_>>())
    });
    let (seen, refused) = watched;
    let counts: Vec<usize> = refused.iter().map(Vec::len).collect();
    println!("locks seen: {seen:?}; refused: {counts:?}");
    assert_eq!(seen, BTreeSet::from([LockKind::InsertOnly, LockKind::Modified]));
    for refusals in &refused {
        only_locked(refusals, "busy");
    }
    let contents = depot.contents("busy");
    assert_eq!(contents.len(), 1 + INSERTERS * PUTS);
    assert!(contents.iter().all(|(_, content)| content.is_some()), "{contents:?}");
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn a_run_is_removed_while_another_process_puts_into_it() {
    const ROUNDS: usize = 20;
    let depot = Depot::new(ROUNDS + 1);
    let mut orders = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let run = format!("fleeting/{round}");
        depot.put(&run, &item(ROUNDS), "before");
        orders[0].push(Order::put(&run, &[(&item(round), "x")]).at_barrier());
        orders[1].push(Order::remove_run(&run).at_barrier());
    }
    let mut players = orders.map(|orders| depot.start(&orders));
    let mut ends = BTreeMap::new();
    for round in 0..ROUNDS {
        set_off(&mut players);
        let [put, removed] = players.each_mut().map(Player::outcome);
        let rows = depot.rows(&format!("fleeting/{round}"));
        for told in [&put, &removed].into_iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(told.contains(&format!("run `fleeting/{round}` is ")), "{told}");
            assert!(told.contains("by the open transaction `"), "{told}");
        }
        let left = rows.len();
        match (put.is_ok(), removed.is_ok()) {
            // First the put and then the removal, or first the removal of what was there.
            (true, true) => assert!(left < 2, "{rows:?}"),
            (true, false) => assert_eq!(left, 2),
            (false, true) => assert_eq!(left, 0),
            (false, false) => panic!("both were refused: {put:?} {removed:?}"),
        }
        *ends.entry((put.is_ok(), removed.is_ok(), left)).or_insert(0) += 1;
        assert_eq!(depot.open_names(), [""; 0]);
        depot.check();
    }
    println!("(put, removed, left): {ends:?}");
    players.into_iter().for_each(Player::end);
}

#[test]
fn of_three_that_close_one_transaction_one_does_and_the_others_learn_it() {
    const ROUNDS: usize = 10;
    let depot = Depot::new(ROUNDS);
    let closings = [Closing::Revert, Closing::Abandon, Closing::Commit];
    let orders = closings.map(|closing| {
        let order = |round| Order::close(&format!("left/{round}"), closing, true).at_barrier();
        (0..ROUNDS).map(order).collect::<Vec<_>>()
    });
    for round in 0..ROUNDS {
        let left = Order::put("left", &[(&item(round), "x")]).named(&format!("left/{round}"));
        depot.killed(&left, "close.storage.done:1");
    }
    let mut players = orders.map(|orders| depot.start(&orders));
    let mut ends = BTreeMap::new();
    for round in 0..ROUNDS {
        set_off(&mut players);
        let outcomes = players.each_mut().map(Player::outcome);
        let well: Vec<&str> =
            (0..3).filter(|n| outcomes[*n].is_ok()).map(|n| closings[n].verb()).collect();
        for told in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            let known = [
                "was reverted already",
                "was abandoned already",
                "was committed already",
                "taken over the closing",
                "cannot be committed any more",
            ];
            assert!(known.iter().any(|known| told.contains(known)), "{told}");
        }
        assert!(well.len() <= 1, "{outcomes:?}");
        let name = format!("left/{round}");
        if well.is_empty() {
            // Each was overtaken by the next: it is open, and the last word is open too.
            assert!(depot.open_names().contains(&name), "{outcomes:?}");
            depot.close(&name, Closing::Abandon, true).unwrap();
        }
        assert!(!depot.open_names().contains(&name));
        let rows = depot.rows("left");
        let mine =
            rows.iter().find(|r| r.dataset.data_id.get("item").unwrap().to_string() == item(round));
        match well.first() {
            Some(&"revert") => assert_eq!(mine, None),
            Some(&"commit") => assert!(!mine.unwrap().records.is_empty()),
            // Of a revert that began before, nothing is stored.
            _ => assert!(mine.is_some()),
        }
        *ends.entry(well.join("")).or_insert(0) += 1;
        depot.check();
    }
    println!("closed by: {ends:?}");
    players.into_iter().for_each(Player::end);
}
