//! Sessions beside each other and beside everything else.

use std::collections::{BTreeMap, BTreeSet};

use pantler::core::{DatasetId, Durability, transaction::Closing};
use rayon::prelude::*;
use serde_json::Value;

use super::{RUN, Session, line, put_each, stored};
use crate::{
    players::{Depot, Order, item},
    toy::until,
};

/// Opens so many sessions at once.
fn opened(depot: &Depot, sessions: usize, args: &[&str]) -> Vec<Session> {
    let opened = (0..sessions).map(|_| Session::start(depot, args)).collect();
    until("all sessions are open", || depot.open_names().len() == sessions);
    opened
}

/// Gives each session all of its lines at once; what each answers, and its exit code.
fn all_at_once(sessions: Vec<Session>, lines: Vec<String>) -> Vec<(Vec<String>, Option<i32>)> {
    let mut pairs: Vec<_> = sessions.into_iter().zip(lines).collect();
    for (session, lines) in &mut pairs {
        session.tell(lines);
    }
    let ends = pairs.into_par_iter().map(|(session, _)| {
        let ran = session.end();
        (ran.text().lines().map(str::to_owned).collect(), ran.code())
    });
    ends.collect()
}

#[test]
fn eight_sessions_put_250_each_into_one_run() {
    const SESSIONS: usize = 8;
    const PUTS: usize = 250;
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let depot = Depot::at(dir.unwrap(), SESSIONS * PUTS, Durability::None);
    let items = |session: usize| session * PUTS..(session + 1) * PUTS;
    let lines = (0..SESSIONS)
        .map(|session| items(session).map(|n| line(&depot, &item(n), &format!("{n}"))).collect())
        .collect();
    let ends = all_at_once(opened(&depot, SESSIONS, &[]), lines);
    let mut acknowledged = BTreeMap::new();
    for (session, (answers, code)) in ends.into_iter().enumerate() {
        assert_eq!((answers.len(), code), (PUTS, Some(0)));
        let ids = answers.iter().map(|id| id.parse::<DatasetId>().unwrap());
        acknowledged.extend(ids.zip(items(session)));
    }
    assert_eq!(acknowledged.len(), SESSIONS * PUTS);
    let (butler, rows) = (depot.butler(), depot.rows(RUN));
    assert_eq!(rows.len(), SESSIONS * PUTS);
    for row in rows {
        let content = butler.get(&row).unwrap().expect("it is stored");
        let n = acknowledged[&row.dataset.id];
        assert_eq!(content, n.to_string().as_bytes());
        assert_eq!(row.dataset.data_id.get("item").unwrap().to_string(), item(n));
    }
    assert_eq!(depot.open_names(), [""; 0]);
    assert_eq!(depot.artifacts().len(), SESSIONS * PUTS);
}

#[test]
fn of_two_sessions_that_put_the_same_data_ids_one_wins_each() {
    const PUTS: usize = 60;
    let depot = Depot::new(PUTS);
    let lines = |who: &str| (0..PUTS).map(|n| line(&depot, &item(n), who)).collect::<String>();
    let lines = vec![lines("of a"), lines("of b")];
    let ends = all_at_once(opened(&depot, 2, &["--json"]), lines);
    let answers: Vec<Vec<Value>> = ends
        .iter()
        .map(|(lines, _)| lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect();
    let mut lost = [0; 2];
    let mut expected = Vec::new();
    for n in 0..PUTS {
        let answers = [&answers[0][n], &answers[1][n]];
        assert_eq!(answers.map(|answer| answer["line"].as_u64().unwrap()), [n as u64 + 1; 2]);
        let winner = answers.iter().position(|answer| answer["id"].is_string()).unwrap();
        let told = answers[1 - winner]["error"].as_str().expect("only one wins");
        assert!(told.contains(answers[winner]["id"].as_str().unwrap()), "{told}");
        assert!(told.contains("a dataset never changes"), "{told}");
        lost[1 - winner] += 1;
        expected.push(stored(&item(n), ["of a", "of b"][winner]));
    }
    for (who, (answers, code)) in ends.iter().enumerate() {
        assert_eq!((answers.len(), *code), (PUTS, Some(i32::from(lost[who] > 0))));
    }
    assert_eq!(depot.contents(RUN), expected);
    // Nothing of who lost is left over.
    assert_eq!(depot.artifacts().len(), PUTS);
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn sessions_that_put_the_same_content_get_the_same_datasets() {
    const PUTS: usize = 40;
    let depot = Depot::new(PUTS);
    let lines: String = (0..PUTS).map(|n| line(&depot, &item(n), "same")).collect();
    let ends = all_at_once(opened(&depot, 3, &[]), vec![lines.clone(); 3]);
    assert_eq!(ends[0].1, Some(0));
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    // And so does one after them.
    let again = put_each(&depot, &lines, &[]).expect(0).text();
    assert_eq!(again.lines().collect::<Vec<_>>(), ends[0].0);
    let ids: BTreeSet<&String> = ends[0].0.iter().collect();
    assert_eq!((ids.len(), depot.artifacts().len()), (PUTS, PUTS));
}

#[test]
fn an_answered_line_is_stored_while_the_session_is_open() {
    let depot = Depot::new(3);
    let mut session = Session::start(&depot, &[]);
    let mut expected = Vec::new();
    for (n, content) in ["one", "two", "three"].into_iter().enumerate() {
        let id = session.put(&depot, &item(n), content);
        expected.push(stored(&item(n), content));
        // In another process, and in this one.
        let got = depot.pantler(&["get", &id.to_string()]).expect(0);
        assert_eq!(got.text(), content);
        assert_eq!(depot.contents(RUN), expected);
        assert_eq!(depot.open_names().len(), 1);
        depot.check();
    }
    assert_eq!(session.end().expect(0).text(), "");
    assert_eq!(depot.open_names(), [""; 0]);
}

#[test]
fn others_add_to_the_run_beside_an_open_session() {
    let depot = Depot::new(6);
    let mut session = Session::named(&depot, "s");
    session.put(&depot, &item(0), "of the session");
    depot.put(RUN, &item(1), "put");
    let file = depot.file("ingested", "ingested");
    let repo = depot.repo();
    let index = depot.file("index.csv", &format!("file,item\n{file},{}\n", item(2)));
    let ingest = ["ingest", "--run", RUN, "--index", index.as_str(), "--type", "number"];
    crate::program().run(&[&ingest[..], &["--repo", repo.as_str()]].concat()).expect(0);
    put_each(&depot, &line(&depot, &item(3), "of another session"), &[]).expect(0);
    assert_eq!(depot.open_names(), ["s"]);
    session.put(&depot, &item(4), "of the session again");
    session.end().expect(0);
    let contents = [
        stored(&item(0), "of the session"),
        stored(&item(1), "put"),
        stored(&item(2), "ingested"),
        stored(&item(3), "of another session"),
        stored(&item(4), "of the session again"),
    ];
    assert_eq!(depot.contents(RUN), contents);
}

#[test]
fn who_modifies_the_run_is_told_of_the_session_and_can_do_it_after_it() {
    let depot = Depot::new(4);
    let (kept, gone) = (depot.put(RUN, &item(0), "kept"), depot.put(RUN, &item(1), "gone"));
    depot.did(&Order::remove(&[gone]));
    let (kept, gone) = (kept.to_string(), gone.to_string());
    let file = depot.file("gone", "gone");
    let verbs = [
        vec!["restore", &gone, file.as_str()],
        vec!["remove", &kept],
        vec!["remove", &kept, "--purge"],
        vec!["remove-run", RUN],
    ];
    let mut session = Session::named(&depot, "s");
    session.put(&depot, &item(2), "of the session");
    let (artifacts, rows) = (depot.artifacts(), depot.rows(RUN).len());
    for verb in &verbs {
        let told = depot.pantler(verb).expect(1).stderr;
        assert!(told.contains("run `live` is inserted into by the open transaction `s`"), "{told}");
        assert!(told.contains("next: pantler transaction show s "), "{told}");
        assert_eq!((depot.artifacts(), depot.rows(RUN).len()), (artifacts.clone(), rows));
        assert_eq!(depot.open_names(), ["s"]);
    }
    // What it says to be next leads on.
    let shown = depot.pantler(&["transaction", "show", "s"]).expect(0).text();
    assert!(shown.contains("next: pantler transaction commit s "), "{shown}");
    let told = depot.pantler(&["transaction", "commit", "s"]).expect(4).stderr;
    assert!(told.contains("which may still be at work"), "{told}");
    session.put(&depot, &item(3), "it goes on");
    session.end().expect(0);
    for verb in &verbs[..2] {
        depot.pantler(verb).expect(0);
    }
    depot.pantler(&verbs[3]).expect(0);
    assert_eq!(depot.artifacts(), [""; 0]);
}

#[test]
fn a_stored_dataset_is_tagged_while_a_session_is_open() {
    let depot = Depot::new(2);
    let mut session = Session::start(&depot, &[]);
    let id = session.put(&depot, &item(0), "tagged").to_string();
    depot.pantler(&["collection", "create", "good"]).expect(0);
    depot.pantler(&["collection", "tag", "good", &id]).expect(0);
    session.put(&depot, &item(1), "after it");
    session.end().expect(0);
    let rows = depot.pantler(&["query", "datasets", "--collections", "good", "--json"]).expect(0);
    assert_eq!(rows.json()[0]["id"], id);
}

#[test]
fn what_is_registered_only_is_stored_again_by_a_put_and_not_by_a_session() {
    let depot = Depot::new(3);
    let gone = depot.put(RUN, &item(0), "gone");
    depot.did(&Order::remove(&[gone]));
    let lost = depot.put(RUN, &item(1), "lost");
    let before = depot.artifacts();
    std::fs::remove_file(depot.repo().join("artifacts").join(&before[0])).unwrap();
    let mut session = Session::start(&depot, &["--json"]);
    for (item, id, how) in
        [(item(0), gone, "registered but not stored"), (item(1), lost, "and its artifact is lost")]
    {
        session.ask(&depot, &item, if id == gone { "gone" } else { "lost" });
        let told = session.answer();
        assert!(told.contains(&id.to_string()) && told.contains(how), "{told}");
        assert!(told.contains("only adds datasets"), "{told}");
    }
    session.ask(&depot, &item(2), "new");
    assert!(session.answer().contains("\"id\""));
    assert_eq!(depot.artifacts().len(), 1, "nothing of what was refused is left");
    assert_eq!(session.end().code(), Some(1));
    depot.put(RUN, &item(0), "gone");
    depot.put(RUN, &item(1), "lost");
    let contents = [stored(&item(0), "gone"), stored(&item(1), "lost"), stored(&item(2), "new")];
    assert_eq!(depot.contents(RUN), contents);
}

#[test]
fn what_another_transaction_is_storing_is_named_and_then_there() {
    let depot = Depot::new(2);
    let put = Order::put(RUN, &[(&item(0), "of the put")]).named("p");
    let putting = depot.paused(&put, "datastore.rename:1");
    let mut session = Session::start(&depot, &["--json"]);
    for content in ["of the put", "of the session"] {
        session.ask(&depot, &item(0), content);
        let told = session.answer();
        assert!(told.contains("transaction p is open on it"), "{told}");
    }
    assert_eq!(depot.artifacts().len(), 1, "only the unfinished one");
    let report = putting.go_on().unwrap();
    session.ask(&depot, &item(0), "of the put");
    let answer: Value = serde_json::from_str(&session.answer()).unwrap();
    assert_eq!((&answer["id"], &answer["line"]), (&report["ids"][0], &3.into()));
    session.end().expect(1);
    assert_eq!(depot.contents(RUN), [stored(&item(0), "of the put")]);
}

#[test]
fn what_others_store_while_it_writes_the_same_data_id_stays() {
    for content in ["the same", "another"] {
        let depot = Depot::new(2);
        let pause = [("PANTLER_PAUSE", "puts.artifact.written:1")];
        let mut session = Session::armed(&depot, &["--json"], &pause);
        session.ask(&depot, &item(0), "the same");
        session.wait_for_pause();
        let id = depot.put(RUN, &item(0), content).to_string();
        let same = content == "the same";
        let ran = session.go_on().expect(i32::from(!same));
        if same {
            assert_eq!(ran.json()["id"], id);
        } else {
            let told = ran.json()["error"].as_str().unwrap().to_owned();
            assert!(told.contains(&id) && told.contains("a dataset never changes"), "{told}");
        }
        assert_eq!(depot.contents(RUN), [stored(&item(0), content)]);
        assert_eq!(depot.artifacts().len(), 1);
    }
}

#[test]
fn a_name_is_one_session_s_at_a_time() {
    let depot = Depot::new(4);
    let mut first = Session::named(&depot, "camera");
    first.put(&depot, &item(0), "of the first");
    let second = line(&depot, &item(1), "of the second");
    let told = put_each(&depot, &second, &["--name", "camera"]).expect(1).stderr;
    assert!(told.contains("transaction `camera` is open already, by "), "{told}");
    assert!(told.contains("now: nothing has changed\n"), "{told}");
    assert!(told.contains("--take-over"), "{told}");
    // Without a name both may be there.
    put_each(&depot, &second, &[]).expect(0);
    let third = line(&depot, &item(2), "of the third");
    put_each(&depot, &third, &["--name", "camera", "--take-over"]).expect(0);
    first.ask(&depot, &item(3), "too late");
    let told = first.end().expect(1).stderr;
    assert!(told.contains("put session camera was ended by another process"), "{told}");
    let contents = ["of the first", "of the second", "of the third"];
    let contents = contents.iter().enumerate().map(|(n, content)| stored(&item(n), content));
    assert_eq!(depot.contents(RUN), contents.collect::<Vec<_>>());
    assert_eq!(depot.artifacts().len(), 3);
}

#[test]
fn who_ends_a_dead_session_of_its_name_late_does_not_end_the_next_one() {
    let depot = Depot::new(3);
    let mut dead = Session::named(&depot, "camera");
    dead.put(&depot, &item(0), "of the dead");
    dead.kill();
    // It has found the name taken, and is about to claim the dead one's transaction.
    let pause = [("PANTLER_PAUSE", "registry.begin:2")];
    let late = ["--name", "camera", "--run", "elsewhere"];
    let mut late = Session::started(&depot, &late, &pause);
    late.wait_for_pause();
    let mut next = Session::armed(&depot, &["--name", "camera"], &[]);
    next.put(&depot, &item(1), "of the next");
    let told = late.go_on().expect(1).stderr;
    assert!(told.contains("transaction `camera` is open already, by "), "{told}");
    next.put(&depot, &item(2), "of the next");
    next.end().expect(0);
    assert_eq!(depot.contents(RUN).len(), 3);
}

#[test]
fn a_name_that_another_transaction_has_is_refused() {
    let depot = Depot::new(4);
    depot.killed(&Order::put(RUN, &[(&item(0), "put")]).named("camera"), "open.row.committed:1");
    let lines = line(&depot, &item(1), "x");
    for args in [&["--name", "camera"][..], &["--name", "camera", "--take-over"]] {
        let told = put_each(&depot, &lines, args).expect(1).stderr;
        assert!(told.contains("transaction `camera` is open already, by "), "{told}");
        assert!(told.contains("transaction show camera "), "{told}");
        assert!(!told.contains("--take-over"), "of no use here: {told}");
    }
    assert_eq!(depot.open_names(), ["camera"]);
    depot.close("camera", Closing::Revert, false).unwrap();
    // Nor may a session on another RUN be ended by it.
    let mut other = Session::named(&depot, "camera");
    other.put(&depot, &item(0), "x");
    let repo = depot.repo();
    let elsewhere =
        ["put-each", "--run", "other", "--name", "camera", "--take-over", "--repo", repo.as_str()];
    let told = crate::program().run(&elsewhere).expect(1).stderr;
    assert!(told.contains("transaction `camera` is open already, by "), "{told}");
    other.put(&depot, &item(1), "y");
    other.kill();
    assert!(depot.rows("other").is_empty());
    // One that is dead may be, without being asked for.
    crate::program().run(&[&elsewhere[..5], &elsewhere[6..]].concat()).expect(0);
    assert!(depot.open_names().is_empty());
    assert_eq!(depot.contents(RUN).len(), 2);
}
