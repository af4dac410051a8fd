//! What is killed, paused or out of room in the middle of a save or a delete, in
//! processes of their own, at every step they come to.

use pantler_testkit::{Project, Ran};
use rayon::prelude::*;

use super::{
    OLD, armed, artifact, large, logged, old_is_whole, pages, points, put, put_file, row, run,
    set_chain, was_killed,
};
use crate::{
    library::butler,
    toy::{datasets, open_names},
    zombies::{go_on, paused},
};

const SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn kill(project: &Project, args: &[String], at: &str) {
    was_killed(&Ran::of(armed(project, args, "PANTLER_CRASH", at)), at);
    project.check();
    old_is_whole(project);
}

/// P4: wherever the save is killed, it is not begun, or open and listed with what is
/// missing, or done; the same command finishes it.
#[test]
fn a_killed_save_is_listed_with_what_is_missing_and_the_same_command_finishes_it() {
    let prepared = pages();
    let points = points(&prepared.duplicate(), &put_file(&prepared, "a", "second"));
    println!("killing a put at {} points", points.len());
    let states: Vec<String> = points
        .par_iter()
        .map(|at| {
            let project = prepared.duplicate();
            let args = put_file(&project, "a", "second");
            kill(&project, &args, at);
            let state = row(&project, "second", "a").map(|row| row["state"].clone());
            let open = open_names(&project, "transaction");
            match (open.as_slice(), &state) {
                ([], None) => {}
                ([], Some(state)) => assert_eq!(state, "stored", "{at}"),
                ([name], Some(state)) => {
                    assert_eq!(state, "managed", "{at}");
                    // Whole: it can be committed from here. Else it says what is missing.
                    let copy = project.duplicate();
                    let commit = copy.pantler(&["transaction", "commit", name]);
                    if commit.code() != Some(0) {
                        let said = commit.expect(4).stderr;
                        assert!(said.contains("missing") && said.contains("item=a"), "{said}");
                    }
                }
                other => panic!("{at}: {other:?}"),
            }
            run(&project, &args).expect(0);
            let get = ["get", "page", "item=a", "--collections", "second"];
            assert_eq!(project.pantler(&get).expect(0).text(), project.read("new.txt"), "{at}");
            assert_eq!(open_names(&project, "transaction"), [""; 0], "{at}");
            project.pantler(&["check", "--checksum"]).expect(0);
            state.map_or("absent".to_owned(), |state| state.as_str().unwrap().to_owned())
        })
        .collect();
    for state in ["absent", "managed", "stored"] {
        assert!(states.iter().any(|found| found == state), "never {state}: {states:?}");
    }
}

/// P4, second case: the content has changed when it is saved again. That is other work,
/// and the open transaction is named; when it is reverted, the new content is stored, and
/// of the old one nothing is left.
#[test]
fn a_killed_save_of_what_changed_meanwhile_leaves_no_broken_version() {
    for at in ["datastore.write.half:1", "datastore.rename:1", "close.storage.done:1"] {
        let project = pages();
        let args = put_file(&project, "a", "second");
        kill(&project, &args, at);
        let name = open_names(&project, "transaction").remove(0);
        let left = project.picture();
        project.write("new.txt", large("changed"));
        let refused = run(&project, &args).expect(4);
        assert!(refused.stderr.contains(&format!("transaction revert {name}")), "{at}");
        left.assert_same(&project.picture(), at);
        project.pantler(&["transaction", "revert", &name]).expect(0);
        run(&project, &args).expect(0);
        let rows = datasets(&project, &["page", "item=a"]);
        assert_eq!(rows.len(), 1, "{at}: {rows:?}");
        let get = ["get", "page", "item=a", "--collections", "second"];
        assert_eq!(project.pantler(&get).expect(0).text(), large("changed"), "{at}");
        project.pantler(&["check", "--checksum"]).expect(0);
    }
}

fn ingest_six(project: &Project) -> Vec<String> {
    let pattern = project.path().join("pages/{item}.txt").into_string();
    ["ingest", "--type", "page", "--run", "second", &pattern].map(str::to_owned).to_vec()
}

fn with_six() -> Project {
    let project = pages();
    for item in SIX {
        project.write(&format!("pages/{item}.txt"), large(item));
    }
    project
}

/// The bulk save of P3, killed on its third page; and P10: whatever belongs to a page
/// (its RUN membership, its record) is there with it, or not at all.
#[test]
fn what_belongs_to_a_page_enters_with_it() {
    let prepared = with_six();
    let points = points(&prepared.duplicate(), &ingest_six(&prepared));
    println!("killing an ingest of six at {} points", points.len());
    points.par_iter().for_each(|at| {
        let project = prepared.duplicate();
        let args = ingest_six(&project);
        kill(&project, &args, at);
        let rows = project.picture().rows;
        let count = |table: &str| rows[table].len() - 1;
        let memberships: usize = rows
            .iter()
            .filter(|(table, _)| table.starts_with("membership"))
            .map(|(_, rows)| rows.len())
            .sum();
        // One of each is the page that was there before.
        assert!(matches!(count("dataset"), 0 | 6), "{at}: {rows:?}");
        assert_eq!(memberships - 1, count("dataset"), "{at}");
        assert!(matches!(count("file_datastore_record"), 0 | 6), "{at}: {rows:?}");
        let open = open_names(&project, "transaction").len();
        let managed = count("dataset") - count("file_datastore_record");
        assert_eq!(managed, 6 * open, "{at}: all are managed by it, or none");
        run(&project, &args).expect(0);
        assert_eq!(datasets(&project, &["--collections", "second"]).len(), 6, "{at}");
        project.pantler(&["check", "--checksum"]).expect(0);
    });
}

/// P3 on the command line: the failures are listed, and nothing of them is stored, not
/// even where the copy itself went well.
#[test]
fn what_cannot_be_stored_is_listed_and_the_rest_is_kept() {
    let prepared = with_six();
    let settled = |project: &Project, ran: &Ran, at: &str| {
        assert_eq!(ran.code(), Some(1), "{at}: {}", ran.stderr);
        let mut failed = 0;
        for item in SIX {
            let listed = ran.stderr.contains(&format!("page item={item}"));
            assert_eq!(row(project, "second", item).is_none(), listed, "{at}: {}", ran.stderr);
            failed += usize::from(listed);
        }
        for row in datasets(project, &["page"]) {
            assert_eq!(row["stored"], true, "{at}: {row}");
        }
        project.pantler(&["check", "--checksum"]).expect(0);
        let mut again = ingest_six(project);
        again.push("--keep-going".to_owned());
        run(project, &again).expect(0);
        assert_eq!(datasets(project, &["--collections", "second"]).len(), 6, "{at}");
        failed
    };
    let keep_going = |project: &Project| {
        let mut args = ingest_six(project);
        args.push("--keep-going".to_owned());
        args
    };
    for at in ["datastore.stage:3:denied", "datastore.write.half:3:partial"] {
        let project = prepared.duplicate();
        let ran = Ran::of(armed(&project, &keep_going(&project), "PANTLER_FAULT", at));
        assert_eq!(settled(&project, &ran, at), 1, "{at}");
    }
    // All files change while the first of them is being copied.
    let project = prepared.duplicate();
    let args = keep_going(&project);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let writer = paused(&project, &args, "datastore.write.half:1");
    for item in SIX {
        project.write(&format!("pages/{item}.txt"), format!("{}one more\n", large(item)));
    }
    let ran = go_on(writer);
    assert!(settled(&project, &ran, "changed files") >= 1);
}

/// P5: somebody reads while a page is being copied, and at every other step of the save.
#[test]
fn a_reader_gets_the_old_state_or_an_error_and_never_part_of_the_data() {
    let prepared = pages();
    // The RUN is in the chain before it has that page.
    put(&butler(&prepared), "second", &[("b", b"another\n")]).unwrap();
    set_chain(&butler(&prepared), "pages", &["second", "first"]);
    let points = points(&prepared.duplicate(), &put_file(&prepared, "old", "second"));
    println!("reading beside a put paused at {} points", points.len());
    let new = prepared.read("new.txt");
    let seen: Vec<&str> = points
        .par_iter()
        .map(|at| {
            let project = prepared.duplicate();
            let args = put_file(&project, "old", "second");
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let writer = paused(&project, &args, at);
            let get = ["get", "page", "item=old", "--collections", "pages"];
            let ran = project.pantler(&get);
            let seen = match ran.code() {
                Some(0) if ran.stdout == OLD => "old",
                Some(0) if ran.text() == new => "new",
                Some(1) if ran.stdout.is_empty() => {
                    assert!(ran.stderr.contains("not stored yet"), "{at}: {}", ran.stderr);
                    "error"
                }
                code => panic!("{at}: {code:?} {} bytes: {}", ran.stdout.len(), ran.stderr),
            };
            old_is_whole(&project);
            project.check();
            go_on(writer).expect(0);
            assert_eq!(project.pantler(&get).expect(0).text(), new, "{at}");
            seen
        })
        .collect();
    for state in ["old", "error", "new"] {
        assert!(seen.contains(&state), "never {state}: {seen:?}");
    }
    assert!(points.iter().any(|at| at.starts_with("datastore.write.half")), "{points:?}");
}

/// P6: the removal is killed anywhere. It is not begun, or open and listed, or done; what
/// is left on disk is never nobody's.
#[test]
fn a_delete_killed_half_way_is_finished_or_listed() {
    let prepared = pages();
    let pages: Vec<(&str, Vec<u8>)> =
        SIX.iter().map(|item| (*item, large(item).into_bytes())).collect();
    let pages: Vec<(&str, &[u8])> = pages.iter().map(|(item, text)| (*item, &**text)).collect();
    put(&butler(&prepared), "second", &pages).unwrap();
    let ids: Vec<String> = SIX
        .iter()
        .map(|item| row(&prepared, "second", item).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    for purge in [false, true] {
        let mut args = vec!["remove".to_owned()];
        args.extend(ids.iter().cloned());
        args.extend(purge.then(|| "--purge".to_owned()));
        let calm = prepared.duplicate();
        let points = points(&calm, &args);
        println!("killing a removal at {} points", points.len());
        let files = |project: &Project| {
            let files = project.picture().files;
            files.keys().filter(|path| path.contains("second@")).count()
        };
        assert_eq!(files(&calm), 0);
        let listed: Vec<bool> = points
            .par_iter()
            .map(|at| {
                let project = prepared.duplicate();
                kill(&project, &args, at);
                let open = open_names(&project, "transaction");
                let Some(name) = open.first() else {
                    // Not begun, or done.
                    assert!(matches!(files(&project), 0 | 6), "{at}");
                    if files(&project) == 6 {
                        run(&project, &args).expect(0);
                    }
                    assert_eq!(calm.picture().rows["dataset"], project.picture().rows["dataset"]);
                    return false;
                };
                for row in datasets(&project, &["--collections", "second"]) {
                    assert_eq!(row["state"], "managed", "{at}");
                }
                let left = files(&project);
                // Finished from here, or by the same command …
                let commit = ["transaction", "commit", name].map(str::to_owned).to_vec();
                for finish in [&commit, &args] {
                    let copy = project.duplicate();
                    run(&copy, finish).expect(0);
                    assert_eq!(files(&copy), 0, "{at}");
                    assert_eq!(copy.picture().rows["dataset"], calm.picture().rows["dataset"]);
                }
                // … or given up: what survived is stored again, whole.
                project.pantler(&["transaction", "abandon", name]).expect(0);
                let rows = datasets(&project, &["--collections", "second"]);
                let stored: Vec<_> = rows.iter().filter(|row| row["stored"] == true).collect();
                assert_eq!((rows.len(), stored.len()), (6, left), "{at}");
                for row in stored {
                    let got = project.pantler(&["get", row["id"].as_str().unwrap()]).expect(0);
                    let item = row["data_id"]["item"].as_str().unwrap();
                    assert_eq!(got.text(), large(item), "{at}");
                }
                project.pantler(&["check", "--checksum"]).expect(0);
                true
            })
            .collect();
        assert!(listed.contains(&true) && listed.contains(&false), "{listed:?}");
    }
}

/// The disk becomes full, for files and database alike, at any of the calls that can
/// fail, and there is room again later.
#[test]
fn a_full_disk_at_every_step_loses_nothing() {
    let prepared = pages();
    let put = put_file(&prepared, "a", "second");
    let calls = logged(&prepared.duplicate(), &put, "PANTLER_FAULT_LOG").len();
    println!("a put without room from each of {calls} calls on");
    let codes: Vec<i32> = (1..=calls)
        .into_par_iter()
        .map(|n| {
            let project = prepared.duplicate();
            let put = put_file(&project, "a", "second");
            let fault = format!("*:{n}+:full");
            let ran = Ran::of(armed(&project, &put, "PANTLER_FAULT", &fault));
            let code = ran.code().unwrap();
            project.check();
            old_is_whole(&project);
            let open = open_names(&project, "transaction");
            match code {
                0 => assert!(open.is_empty() && row(&project, "second", "a").is_some(), "{fault}"),
                1 => prepared.picture().assert_same(&project.picture(), &fault),
                4 => assert!(ran.stderr.contains(&open[0]), "{fault}: {}", ran.stderr),
                code => panic!("{fault}: {code} {}", ran.stderr),
            }
            run(&project, &put).expect(0);
            let path = artifact(&project, "second", "a");
            assert_eq!(std::fs::read_to_string(path).unwrap(), project.read("new.txt"), "{fault}");
            code
        })
        .collect();
    // Refused or undone; later, it is not even possible to undo it.
    assert!(codes.contains(&1) && codes.contains(&4), "{codes:?}");
}
