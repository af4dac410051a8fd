//! What the harness is given: a stage, a command, and what it must come to.

use std::collections::BTreeMap;

use pantler_testkit::{Picture, Project, Ran};

use super::state::{State, findings};
use crate::toy::names;

/// A project that stands just before an operation. Every test of the operation gets a
/// copy of its own.
pub(crate) struct Stage {
    pub(crate) project: Project,
    /// What a revert of everything that is open gives: the stage itself, or what it was
    /// before something was left open in it.
    pub(crate) ground: Picture,
    pub(crate) ground_state: State,
    /// What `check` finds, which the operation need not mend.
    pub(crate) findings: Vec<String>,
    /// What stands for what in commands.
    pub(super) words: BTreeMap<&'static str, String>,
}

impl Stage {
    pub(crate) fn of(project: Project) -> Self {
        let ground = picture(&project);
        let ground_state = State::of(&project);
        let findings = findings(&project);
        let mut words = BTreeMap::new();
        if has_repository(&project) {
            let open = names(&project.pantler(&["transaction", "list", "--json"]).expect(0));
            if let [name] = &open[..] {
                words.insert("{open}", name.clone());
            }
            for (word, id) in super::state::ids(&project) {
                words.insert(word, id);
            }
        }
        Self { project, ground, ground_state, findings, words }
    }

    /// A copy to work on.
    pub(crate) fn copy(&self) -> Copy {
        let mut project = self.project.duplicate();
        // What the stage had is there in the end, unless the test says otherwise.
        project.expect_damage();
        Copy { project, words: self.words.clone() }
    }
}

/// A repository that nobody has made yet has no rows.
pub(crate) fn picture(project: &Project) -> Picture {
    if has_repository(project) {
        project.picture()
    } else {
        Picture { rows: BTreeMap::new(), files: BTreeMap::new() }
    }
}

pub(crate) fn has_repository(project: &Project) -> bool {
    project.repo().join("pantler.yaml").exists()
}

/// A copy of a stage.
pub(crate) struct Copy {
    pub(crate) project: Project,
    pub(super) words: BTreeMap<&'static str, String>,
}

impl Copy {
    /// Another copy of the same, as it is by now.
    pub(crate) fn duplicate(&self) -> Self {
        let mut project = self.project.duplicate();
        project.expect_damage();
        Self { project, words: self.words.clone() }
    }

    /// Runs a command with variables.
    pub(crate) fn run(&self, command: &str, variables: &[(&str, &str)]) -> Ran {
        let args = self.args(command);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.project.program().command(&args);
        command.envs(variables.iter().copied()).current_dir(self.project.path());
        Ran::of(command)
    }

    fn args(&self, command: &str) -> Vec<String> {
        let (path, repo) = (self.project.path(), self.project.repo());
        let with_words = |part: &str| {
            let mut part =
                part.replace("{project}", path.as_str()).replace("{repo}", repo.as_str());
            for (word, meaning) in &self.words {
                part = part.replace(word, meaning);
            }
            part
        };
        let mut args: Vec<String> = command.split_whitespace().map(with_words).collect();
        if !matches!(args[0].as_str(), "init" | "run") {
            args.extend(["--repo".to_owned(), repo.into_string()]);
        }
        args
    }
}

/// What a revert must give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// The same rows and files.
    Exactly,
    /// The same, but for dataset types and dimension records that were registered before
    /// the opening.
    ButRegistrations,
    /// The same datasets with the same content, at other keys.
    AtOtherKeys,
    /// What the operation did in several transactions is not undone as a whole.
    InParts,
}

/// What the harness must allow an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// Exit status 1 of it may leave a part done, and says so.
    InParts,
    /// It takes datasets of the RUN `lab` away: they need not be good afterwards.
    Takes,
    /// Exit status 0 may leave something that the same command does again, and says so.
    Notes,
    /// It, or what the stage had done, cannot be reverted.
    OneWay,
    /// Exit status 1 of it leaves nothing open.
    EachByItself,
    /// It is about artifacts that are lost: until it is done, they are.
    Mends,
}

/// One operation; see the table in `mod.rs`.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) stage: Box<dyn Fn() -> Stage + Send + Sync>,
    pub(crate) command: &'static str,
    pub(crate) undone: Undone,
    /// Only what comes up to this step is killed, and nothing made to fail.
    pub(crate) until: Option<&'static str>,
    /// What is special about it.
    pub(crate) special: Vec<Special>,
    /// The chain whose content is compared, if RUNs are named after the time.
    pub(crate) chain: Option<&'static str>,
    /// The workspace that is open in the end: what it has come to is compared too, and not
    /// which files it has.
    pub(crate) workspace: Option<&'static str>,
}

/// An operation whose revert gives exactly what was before.
pub(crate) fn operation(
    name: &'static str,
    stage: impl Fn() -> Stage + Send + Sync + 'static,
    command: &'static str,
) -> Operation {
    Operation {
        name,
        stage: Box::new(stage),
        command,
        undone: Undone::Exactly,
        until: None,
        special: Vec::new(),
        chain: None,
        workspace: None,
    }
}

impl Operation {
    /// It registers types or records first.
    pub(crate) fn registers(self) -> Self {
        Self { undone: Undone::ButRegistrations, ..self }
    }

    /// It does one thing after the other, and what is done stays done.
    pub(crate) fn in_parts(self) -> Self {
        Self { undone: Undone::InParts, ..self }.special(Special::InParts)
    }

    /// See [`Special::InParts`]; a revert gives exactly what was before.
    pub(crate) fn may_leave_a_part(self) -> Self {
        self.special(Special::InParts)
    }

    /// See [`Special::Takes`].
    pub(crate) fn takes(self) -> Self {
        Self { undone: Undone::AtOtherKeys, ..self }.special(Special::Takes)
    }

    /// See [`Special::Notes`].
    pub(crate) fn notes(self) -> Self {
        self.special(Special::Notes)
    }

    /// See [`Special::Mends`].
    pub(crate) fn mends(self) -> Self {
        self.in_parts().special(Special::Mends)
    }

    fn special(mut self, special: Special) -> Self {
        self.special.push(special);
        self
    }

    pub(crate) fn is(&self, special: Special) -> bool {
        self.special.contains(&special)
    }

    /// See [`Operation::until`].
    pub(crate) fn until(self, step: &'static str) -> Self {
        Self { until: Some(step), ..self }
    }

    /// See [`Operation::workspace`].
    pub(crate) fn stays(self, workspace: &'static str) -> Self {
        Self { workspace: Some(workspace), ..self }
    }

    /// See [`Special::OneWay`].
    pub(crate) fn one_way(self) -> Self {
        self.special(Special::OneWay)
    }

    /// It does many things, each committed by itself, in one transaction that cannot be
    /// reverted: status 1 says that some are not done, and leaves nothing open.
    pub(crate) fn each_by_itself(self) -> Self {
        self.one_way().may_leave_a_part().special(Special::EachByItself)
    }

    /// See [`Operation::chain`].
    pub(crate) fn makes(self, chain: &'static str) -> Self {
        Self { chain: Some(chain), ..self }
    }
}
