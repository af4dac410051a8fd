//! What must hold after anything went wrong, and what must come of it.

use std::{collections::BTreeSet, fmt::Write as _};

use pantler_testkit::{Picture, Project, Ran};

use super::{
    operation::{Copy, Operation, Special, Stage, Undone, has_repository, picture},
    state::{Holding, State, findings},
    workspaces::standing,
};
use crate::toy::names;

/// An operation with its stage and what it comes to if nothing disturbs it.
pub(crate) struct Trial<'o> {
    pub(crate) operation: &'o Operation,
    pub(crate) stage: Stage,
    before: State,
    expected: End,
    expected_findings: Vec<String>,
    /// The exit status of the undisturbed command.
    pub(crate) code: i32,
}

/// What an operation comes to.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// What everything means.
    State(Box<State>),
    /// What a chain holds: the names of RUNs tell the time.
    Chain(Vec<String>),
    /// What everything means but the files of the open workspace, and what that has come to.
    Workspace(Box<State>, Option<serde_json::Value>),
}

impl<'o> Trial<'o> {
    /// Does the operation once, undisturbed, with a variable that is to note something.
    pub(crate) fn of(operation: &'o Operation) -> Self {
        let stage = (operation.stage)();
        let calm = stage.copy();
        let ran = calm.run(operation.command, &[]);
        let code = ran.code().unwrap();
        assert!(matches!(code, 0 | 6), "{}: {}{}", operation.name, ran.text(), ran.stderr);
        let named = ran.text().lines().count();
        assert!(named == 3 || !operation.is(Special::EachByItself), "it names {}", ran.text());
        let before = State::of(&stage.project);
        let mut trial = Self {
            operation,
            stage,
            before,
            expected: End::Chain(Vec::new()),
            expected_findings: findings(&calm.project),
            code,
        };
        trial.expected = trial.end(&calm.project);
        trial
    }

    fn end(&self, project: &Project) -> End {
        if let Some(name) = self.operation.workspace {
            let state = State::of(project);
            let state = State { ids: BTreeSet::new(), artifacts: 0, workspaces: 0, ..state };
            return End::Workspace(Box::new(state), standing(project, name));
        }
        match self.operation.chain {
            Some(chain) => End::Chain(project.contents(chain)),
            None => End::State(Box::new(State { ids: BTreeSet::new(), ..State::of(project) })),
        }
    }

    /// `check` finds nothing that was not there before, the lists tell the truth, and
    /// what was good before is good still.
    pub(crate) fn check(&self, copy: &Copy, at: &str) {
        self.check_project(&copy.project, at);
    }

    fn check_project(&self, project: &Project, at: &str) {
        if !has_repository(project) {
            assert_eq!(self.before.datasets.len(), 0, "{at}: the repository is gone");
            return;
        }
        let found = findings(project);
        let new: Vec<_> = found.iter().filter(|finding| !self.was_found(finding)).collect();
        assert!(new.is_empty(), "{at}: check finds {new:?}");
        let after = State::of(project);
        let rows = picture(project).rows["artifact_transaction"].len();
        assert_eq!(after.open.len(), rows, "{at}: the list of transactions");
        for (name, held) in self.before.good() {
            if self.operation.is(Special::Takes) && name.contains("lab") {
                continue;
            }
            assert_eq!(after.datasets.get(name), Some(held), "{at}: {name} was good before");
        }
        for (name, held) in &after.datasets {
            let damaged_before = matches!(self.before.datasets.get(name), Some(Holding::Damage(_)));
            let damaged = matches!(held, Holding::Damage(_));
            assert!(!damaged || damaged_before, "{at}: {name} holds {held:?}");
        }
    }

    /// Whether it was found before. What is mended may lie at another key meanwhile.
    fn was_found(&self, finding: &String) -> bool {
        let code = |finding: &str| finding.split(' ').next().map(str::to_owned);
        let before = &self.stage.findings;
        let mends = self.operation.is(Special::Mends);
        before.contains(finding) || (mends && before.iter().any(|b| code(b) == code(finding)))
    }

    /// On copies: what is open can be reverted, which gives what was before, or says why
    /// not; and it can be abandoned.
    pub(crate) fn close_copies(&self, copy: &Copy, at: &str) {
        if open(&copy.project).is_empty() {
            return;
        }
        let reverted = copy.duplicate();
        if self.close_all(&reverted, "revert", at) {
            self.assert_undone(&reverted.project, &format!("{at}, reverted"));
        } else {
            let gone = [Special::Takes, Special::Mends, Special::OneWay];
            assert!(
                gone.iter().any(|special| self.operation.is(*special)),
                "{at}: a revert is refused"
            );
            assert!(self.close_all(&reverted, "abandon", at), "{at}: abandon after revert");
            self.check_project(&reverted.project, &format!("{at}, revert refused, abandoned"));
        }
        let abandoned = copy.duplicate();
        assert!(self.close_all(&abandoned, "abandon", at), "{at}: an abandon is refused");
        self.check_project(&abandoned.project, &format!("{at}, abandoned"));
    }

    /// Closes all that is open; `false` if that was refused, and is still open.
    fn close_all(&self, copy: &Copy, verb: &str, at: &str) -> bool {
        for name in open(&copy.project) {
            let ran = copy.run(&format!("transaction {verb} {name}"), &[]);
            match ran.code() {
                Some(0) => {}
                Some(4) => {
                    assert!(ran.stderr.contains(&name), "{at}: {verb} says {}", ran.stderr);
                    assert!(open(&copy.project).contains(&name), "{at}: {verb} of {name}");
                    self.check_project(&copy.project, &format!("{at}, {verb} refused"));
                    return false;
                }
                code => panic!("{at}: {verb} of {name} ends with {code:?}: {}", ran.stderr),
            }
        }
        assert!(open(&copy.project).is_empty(), "{at}: open after {verb}");
        true
    }

    fn assert_undone(&self, project: &Project, at: &str) {
        self.check_project(project, at);
        let (now, before) = (picture(project), &self.stage.ground);
        match self.operation.undone {
            Undone::Exactly => before.assert_same(&without_roots(now), at),
            Undone::ButRegistrations => {
                unregistered(before).assert_same(&unregistered(&without_roots(now)), at);
            }
            Undone::AtOtherKeys => {
                let now = State::of(project);
                assert_eq!(now, self.stage.ground_state, "{at}");
            }
            Undone::InParts => {}
        }
    }

    /// Nothing was changed: it is as before, or as before what had been left open.
    pub(crate) fn assert_unchanged(&self, copy: &Copy, at: &str) {
        let (mut now, mut before) = (picture(&copy.project), picture(&self.stage.project));
        if self.operation.workspace.is_some() {
            (now, before) = (without_roots(now), without_roots(before));
        }
        if self.operation.undone == Undone::InParts || now == before {
            return;
        }
        let ground = &self.stage.ground;
        match self.operation.undone {
            Undone::ButRegistrations => {
                unregistered(ground).assert_same(&unregistered(&now), at);
            }
            _ => ground.assert_same(&now, at),
        }
    }

    /// Nothing that was there before, and before what had been left open, was deleted.
    pub(crate) fn assert_nothing_deleted(&self, copy: &Copy, at: &str) {
        if self.operation.is(Special::Takes) || self.operation.is(Special::Mends) {
            return;
        }
        let now = picture(&copy.project);
        for path in self.stage.ground.files.keys().filter(|path| path.starts_with("artifacts/")) {
            assert!(now.files.contains_key(path), "{at}: {path} was deleted");
        }
    }

    /// The same command again comes to what it would have come to undisturbed.
    pub(crate) fn finish(&self, copy: &Copy, at: &str) {
        let ran = copy.run(self.operation.command, &[]);
        if ran.code() != Some(self.code) {
            let said = format!("{at}, again: {:?} {}{}", ran.code(), ran.text(), ran.stderr);
            // Or everything is done already.
            let left = open(&copy.project);
            let stays = self.operation.workspace.is_some();
            assert!(
                (stays || left.is_empty()) && self.end(&copy.project) == self.expected,
                "{said}"
            );
        }
        self.assert_finished(copy, &format!("{at}, again\n{}\n", ran.stderr));
    }

    /// The same command again, or the closing that it names as the way on, and then the
    /// same command.
    pub(crate) fn finish_as_advised(&self, copy: &Copy, at: &str) {
        let ran = copy.run(self.operation.command, &[]);
        if let Some(advice) = advice(&ran) {
            let advised = copy.run(&advice, &[]);
            assert_eq!(advised.code(), Some(0), "{at}, {advice}: {}", advised.stderr);
        }
        self.finish(copy, at);
    }

    fn assert_finished(&self, copy: &Copy, at: &str) {
        self.assert_expected(copy, at);
        let found = findings(&copy.project);
        assert_eq!(found, self.expected_findings, "{at}: check finds something");
    }

    /// What does each by itself has told the truth: whatever it named is stored.
    pub(crate) fn assert_acknowledged(&self, copy: &Copy, ran: &Ran, at: &str) {
        if !self.operation.is(Special::EachByItself) {
            return;
        }
        let state = State::of(&copy.project);
        // Others say that something is not stored (`-`), or may be (`?`).
        for id in ran.text().lines().filter(|answer| answer.len() > 1) {
            let end = format!(": {id}");
            let name = state.ids.iter().find_map(|known| known.strip_suffix(&end));
            let held = name.and_then(|name| state.datasets.get(name));
            assert!(matches!(held, Some(Holding::Content(_))), "{at}: {id} is named: {held:?}");
        }
    }

    /// Nothing is open that was not before.
    pub(crate) fn assert_nothing_opened(&self, copy: &Copy, at: &str) {
        for name in open(&copy.project) {
            assert!(self.before.open.contains(&name), "{at}: {name} is left open");
        }
    }

    /// It came to what was expected.
    pub(crate) fn assert_expected(&self, copy: &Copy, at: &str) {
        // The root of a closed workspace is no fault, and may be left over.
        if self.before.workspaces > 0 || State::of(&copy.project).workspaces > 0 {
            let ran = copy.run("workspace vacuum", &[]);
            assert_eq!(ran.code(), Some(0), "{at}: {}", ran.stderr);
        }
        let end = self.end(&copy.project);
        assert!(end == self.expected, "{at}:\n{}", difference(&end, &self.expected));
    }

    /// Everything that must hold after a process died.
    pub(crate) fn settle(&self, copy: &Copy, at: &str) {
        self.check(copy, at);
        if has_repository(&copy.project) {
            self.close_copies(copy, at);
        }
        self.finish(copy, at);
    }
}

/// The closing that a refused command says must be finished first.
fn advice(ran: &Ran) -> Option<String> {
    let (_, next) = ran.stderr.split_once("\nnext: pantler ")?;
    let command = next.lines().next()?.split(" --repo").next()?;
    let closes = ["commit", "revert", "abandon"]
        .iter()
        .any(|verb| command.starts_with(&format!("transaction {verb} ")));
    (ran.code() == Some(4) && closes).then(|| command.to_owned())
}

/// The names of what is open.
pub(crate) fn open(project: &Project) -> Vec<String> {
    names(&project.pantler(&["transaction", "list", "--json"]).expect(0))
}

/// Without roots of workspaces: one that is closed may leave its root.
fn without_roots(mut picture: Picture) -> Picture {
    picture.files.retain(|path, _| !path.starts_with("workspaces/"));
    picture
}

/// Without dataset types and dimension records.
fn unregistered(picture: &Picture) -> Picture {
    let mut picture = picture.clone();
    picture.rows.retain(|table, rows| {
        let registers = table.starts_with("element_")
            || matches!(table.as_str(), "dataset_type" | "dimension_group");
        !registers && (!table.starts_with("membership_") || !rows.is_empty())
    });
    picture
}

fn difference(found: &End, expected: &End) -> String {
    let mut text = String::new();
    let (found, expected) = match (found, expected) {
        (End::State(found), End::State(expected)) => (found, expected),
        (End::Workspace(found, found_now), End::Workspace(expected, expected_now)) => {
            if found_now != expected_now {
                let _ = write!(
                    text,
                    "workspace:\n  found    {found_now:?}\n  expected {expected_now:?}\n"
                );
            }
            (found, expected)
        }
        _ => return format!("found    {found:?}\nexpected {expected:?}"),
    };
    let mut say = |what: &str, found: String, expected: String| {
        if found != expected {
            let _ = write!(text, "{what}:\n  found    {found}\n  expected {expected}\n");
        }
    };
    say("datasets", format!("{:?}", found.datasets), format!("{:?}", expected.datasets));
    say("collections", format!("{:?}", found.collections), format!("{:?}", expected.collections));
    say("registered", format!("{:?}", found.registered), format!("{:?}", expected.registered));
    say("open", format!("{:?}", found.open), format!("{:?}", expected.open));
    let names = |state: &State| format!("{:?}", state.others.keys());
    say("files", names(found), names(expected));
    say("artifacts", found.artifacts.to_string(), expected.artifacts.to_string());
    say("workspaces", found.workspaces.to_string(), expected.workspaces.to_string());
    text
}
