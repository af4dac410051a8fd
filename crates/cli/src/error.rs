//! How a command ends: its exit status, and what an error says.
//!
//! A library error says what happened; here it gets what state things are in now, and
//! the command that goes on from there (`sort.rs`).

mod sort;

use std::{error::Error, fmt, process::ExitCode};

use camino::Utf8Path;

pub(crate) use self::sort::activate_producer;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done.
    Done,
    /// Failed; nothing has changed.
    Failed,
    /// Wrong usage.
    Usage,
    /// Quanta failed; the workspace is open.
    QuantaFailed,
    /// A transaction was left open.
    LeftOpen,
    /// It is not known what happened.
    Unknown,
    /// `check` found something.
    Findings,
    /// Stopped by the user.
    Stopped,
}

impl Status {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::QuantaFailed => 3,
            Self::LeftOpen => 4,
            Self::Unknown => 5,
            Self::Findings => 6,
            Self::Stopped => 130,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        status.code().into()
    }
}

/// The state after a command that failed before its first change.
const UNCHANGED: &str = "nothing has changed";

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A command on the repository that this one worked on: `--repo` is added.
    InRepository(String),
    /// Several ways, of which a person takes one.
    OneOf(Vec<Self>),
    /// Anything else.
    Plain(String),
}

impl Next {
    /// A `pantler` command, without the program's name, on the same repository.
    pub(crate) fn command(arguments: impl fmt::Display) -> Self {
        Self::InRepository(format!("pantler {arguments}"))
    }

    /// Text that stands as it is.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    /// Several ways to go on.
    pub(crate) fn one_of(ways: impl IntoIterator<Item = Self>) -> Self {
        Self::OneOf(ways.into_iter().collect())
    }

    /// The text, for a command on `repository`.
    pub(crate) fn text(&self, repository: Option<&Utf8Path>) -> String {
        match (self, repository) {
            (Self::InRepository(command), Some(repository)) => {
                format!("{command} --repo {}", quoted(repository.as_str()))
            }
            (Self::InRepository(text) | Self::Plain(text), _) => text.clone(),
            (Self::OneOf(ways), _) => {
                let ways: Vec<_> = ways.iter().map(|way| way.text(repository)).collect();
                ways.join("\n  or: ")
            }
        }
    }
}

/// A text as a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.,=+:@%~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct CommandError {
    status: Status,
    error: Box<dyn Error + Send + Sync>,
    state: Option<String>,
    next: Option<Next>,
}

/// What a command gives back.
pub(crate) type CommandResult = Result<Status, CommandError>;

impl CommandError {
    /// An error with nothing said about state and ways on.
    pub(crate) fn new(status: Status, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { status, error: error.into(), state: None, next: None }
    }

    /// Failed; nothing has changed.
    pub(crate) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Status::Failed, error)
    }

    /// The arguments cannot be meant so.
    pub(crate) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Status::Usage, error)
    }

    /// Says what state things are in now.
    #[must_use]
    pub(crate) fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Says how to go on.
    #[must_use]
    pub(crate) fn next(mut self, next: Next) -> Self {
        self.next = Some(next);
        self
    }

    /// Names the workspace, where the library that failed knows only that there is one.
    #[must_use]
    pub(crate) fn of_workspace(mut self, name: &str) -> Self {
        if let Some(state) = &mut self.state
            && let Some(rest) = state.strip_prefix("the workspace is ")
        {
            *state = format!("workspace {name} is {rest}");
        }
        if let Some(Next::Plain(text)) = &mut self.next {
            *text = text.replace(
                "`pantler workspace revert NAME`",
                &format!("`pantler workspace revert {name}`"),
            );
        }
        self
    }

    /// Says that a workspace stays open after all, which the error itself did not know.
    #[must_use]
    pub(crate) fn with_open_workspace(mut self, name: &str, next: Next) -> Self {
        if self.status == Status::Failed {
            self.status = Status::LeftOpen;
            self.state = Some(format!("workspace {name} stays open"));
            self.next = Some(next);
        }
        self
    }

    /// Says what an earlier step of the same command has done, which the error itself
    /// did not know.
    #[must_use]
    pub(crate) fn after(mut self, done: &[&str]) -> Self {
        if let (Some(state), [_, ..]) = (&mut self.state, done)
            && state == UNCHANGED
        {
            *state = format!("{}; nothing else has changed", done.join(", "));
        }
        self
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// What happened and why, in one line.
    pub(crate) fn reason(&self) -> String {
        self.causes().join(": ")
    }

    /// How to go on, for a command on `repository`, if that is known.
    pub(crate) fn next_text(&self, repository: Option<&Utf8Path>) -> Option<String> {
        self.next.as_ref().map(|next| next.text(repository))
    }

    /// What happened, and why; a wrapper that adds nothing of its own is not repeated.
    fn causes(&self) -> Vec<String> {
        let mut said = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            said.push(error.to_string());
            cause = error.source();
        }
        said.dedup();
        said
    }

    /// All that is to be said, on several lines.
    pub(crate) fn report(&self, repository: Option<&Utf8Path>) -> String {
        let mut text = format!("error: {}", self.causes().join("\n  because: "));
        if let Some(state) = &self.state {
            text.push_str("\nnow: ");
            text.push_str(state);
        }
        if let Some(next) = &self.next {
            text.push_str("\nnext: ");
            text.push_str(&next.text(repository));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the list")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_report_has_causes_state_and_the_way_on() {
        let error = CommandError::failed(Outer(std::io::Error::other("no such thing")))
            .state("nothing has changed")
            .next(Next::command("check"));
        assert_eq!(
            error.report(Some(Utf8Path::new("/my repo"))),
            "error: cannot read the list\n  because: no such thing\nnow: nothing has changed\n\
             next: pantler check --repo '/my repo'"
        );
        let ways = Next::one_of([Next::command("check"), Next::plain("wait")]);
        assert_eq!(ways.text(Some(Utf8Path::new("r"))), "pantler check --repo r\n  or: wait");
    }

    #[test]
    fn what_was_done_before_is_not_denied() {
        let error = || CommandError::failed("x").state(UNCHANGED);
        assert_eq!(error().after(&[]).report(None), "error: x\nnow: nothing has changed");
        assert_eq!(
            error().after(&["the files are ingested"]).report(None),
            "error: x\nnow: the files are ingested; nothing else has changed"
        );
    }

    #[test]
    fn each_status_has_its_documented_code() {
        let statuses = [
            Status::Done,
            Status::Failed,
            Status::Usage,
            Status::QuantaFailed,
            Status::LeftOpen,
            Status::Unknown,
            Status::Findings,
            Status::Stopped,
        ];
        assert_eq!(statuses.map(Status::code), [0, 1, 2, 3, 4, 5, 6, 130]);
    }

    #[test]
    fn an_open_workspace_changes_a_failure_only() {
        let raise = |status| {
            CommandError::new(status, "x").with_open_workspace("w", Next::plain("y")).status()
        };
        assert_eq!(raise(Status::Failed), Status::LeftOpen);
        assert_eq!(raise(Status::Unknown), Status::Unknown);
        assert_eq!(raise(Status::Usage), Status::Usage);
    }
}
