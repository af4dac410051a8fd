//! Processes that create the same workspace at the same moment: one makes it, and the others
//! learn that.

use std::process::Child;

use pantler_testkit::Ran;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    external::{RUN, Scene, verb},
    toy::open_names,
    zombies::paused,
};

const ROUNDS: usize = 20;

/// Lets all go on from where they wait, at once.
fn set_off(children: Vec<Child>) -> Vec<Ran> {
    for child in &children {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::CONT).unwrap();
    }
    children.into_iter().map(Ran::finish).collect()
}

/// The one that made it, and what the others were told.
#[track_caller]
fn one_winner(ran: Vec<Ran>, round: usize) -> (usize, Vec<String>) {
    let codes: Vec<_> = ran.iter().map(Ran::code).collect();
    let winners: Vec<_> = (0..ran.len()).filter(|process| codes[*process] == Some(0)).collect();
    let told: Vec<String> =
        ran.into_iter().filter(|ran| ran.code() != Some(0)).map(|ran| ran.stderr).collect();
    assert_eq!(winners.len(), 1, "round {round}: {codes:?}\n{}", told.join("\n"));
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 1))), "round {round}: {codes:?}");
    (winners[0], told)
}

#[test]
fn of_those_that_create_one_internal_workspace_one_makes_it() {
    let scene = Scene::in_memory();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let before = scene.parent.picture();
    let mut wins = [0; 3];
    for round in 0..ROUNDS {
        let create = |chain: &str| {
            let args =
                ["workspace", "create", "w", "--pipeline", pipeline.as_str(), "-i", "toy/raw"];
            let args = [&args[..], &["--chain", chain]].concat();
            // They have read what there is, and found the name free.
            paused(&scene.parent, &args, "registry.begin:1")
        };
        // Two that want the same, and one that wants something else under the name.
        let children = ["one", "one", "other"].map(create).into_iter().collect();
        let (winner, told) = one_winner(set_off(children), round);
        wins[winner] += 1;
        for told in told {
            assert!(told.contains("workspace w is open already, by tester"), "{round}: {told}");
            assert!(told.contains("pantler workspace status w"), "{round}: {told}");
        }
        assert_eq!(open_names(&scene.parent, "workspace"), ["w"]);
        scene.parent.check();
        // It is the winner's, and whole.
        let shown = scene.parent.pantler(&["transaction", "show", "w", "--json"]).expect(0).text();
        let chain = if winner == 2 { "\"other\"" } else { "\"one\"" };
        assert!(shown.contains(chain), "round {round}: {shown}");
        scene.parent.pantler(&["workspace", "build", "w"]).expect(0);
        scene.parent.pantler(&["workspace", "revert", "w"]).expect(0);
        scene.parent.picture().assert_same(&before, "after a round");
    }
    println!("wins: {wins:?}");
}

#[test]
fn of_those_that_create_an_external_workspace_in_one_folder_one_makes_it() {
    let scene = Scene::in_memory();
    let pipeline = scene.parent.path().join("pipeline.yaml");
    let before = scene.parent.picture();
    let mut wins = [0; 2];
    for round in 0..ROUNDS {
        let root = scene.at(&format!("ext-{round}"));
        let create = |name: &str| {
            let args = ["workspace", "create", name, "--pipeline", pipeline.as_str()];
            let to = ["-i", "toy/raw", "--external", root.as_str()];
            // They have found the folder free.
            paused(&scene.parent, &[&args[..], &to].concat(), "external.folder.make:1")
        };
        let names = [RUN, "toy/other"];
        let children = names.map(create).into_iter().collect();
        let (winner, told) = one_winner(set_off(children), round);
        wins[winner] += 1;
        assert!(told[0].contains(root.as_str()), "round {round}: {}", told[0]);
        let status = verb("status", &root, &["--json"]).expect(0).json();
        assert_eq!(status["name"], names[winner], "round {round}");
        for step in ["build", "run", "convert"] {
            verb(step, &root, &[]).expect(0);
        }
        crate::program().run(&["check", "--repo", root.as_str()]).expect(0);
        scene.parent.picture().assert_same(&before, "after a round");
    }
    println!("wins: {wins:?}");
}

#[test]
fn one_name_may_be_given_to_external_workspaces_and_the_first_commit_takes_it() {
    let scene = Scene::in_memory();
    let roots = ["one", "two"].map(|name| scene.complete(name));
    verb("commit", &roots[0], &[]).expect(0);
    let refused = verb("commit", &roots[1], &[]).expect(1);
    assert!(refused.stderr.contains(RUN), "{}", refused.stderr);
    assert!(refused.stderr.contains("workspace convert"), "{}", refused.stderr);
    verb("convert", &roots[1], &[]).expect(0);
    scene.parent.check();
}
