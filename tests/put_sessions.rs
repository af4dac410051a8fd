//! Put sessions of real processes: `put-each`, told line by line.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use pantler::core::DatasetId;
use pantler_testkit::Ran;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{players::Depot, program, toy::until};

mod bad_input;
mod beside;
mod dead;
mod in_library;
mod zombies;

/// The RUN that sessions put into.
const RUN: &str = "live";

/// A `put-each` into [`RUN`] whose lines come from the test.
#[derive(Debug)]
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Starts one; it is open when it has answered.
    fn start(depot: &Depot, args: &[&str]) -> Self {
        Self::armed(depot, args, &[])
    }

    /// Starts one that may kill, pause or fail itself.
    fn armed(depot: &Depot, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::started(depot, &[&["--run", RUN], args].concat(), environment)
    }

    /// Starts one on whatever RUN the arguments say.
    fn started(depot: &Depot, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let repo = depot.repo();
        let all = ["put-each", "--type", "number", "--repo", repo.as_str()];
        let mut command = program().command(&[&all, args].concat());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Starts one under a name, and waits until it is open.
    fn named(depot: &Depot, name: &str) -> Self {
        Self::named_and_armed(depot, name, &[])
    }

    fn named_and_armed(depot: &Depot, name: &str, environment: &[(&str, &str)]) -> Self {
        let session = Self::armed(depot, &["--name", name], environment);
        until("the session is open", || depot.open_names().contains(&name.to_owned()));
        session
    }

    /// Gives it bytes as they are.
    fn tell(&mut self, text: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_ref()).unwrap();
        input.flush().unwrap();
    }

    /// Gives it the line of a number.
    fn ask(&mut self, depot: &Depot, item: &str, content: &str) {
        self.tell(line(depot, item, content));
    }

    /// What it answers next.
    #[track_caller]
    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "it ended before it answered: {answer:?}");
        answer.truncate(answer.len() - 1);
        answer
    }

    /// Gives it a number, and waits for its UUID.
    #[track_caller]
    fn put(&mut self, depot: &Depot, item: &str, content: &str) -> DatasetId {
        self.ask(depot, item, content);
        self.answer().parse().unwrap()
    }

    /// Ends its lines, and waits for its end: what was not read of its answers.
    fn end(mut self) -> Ran {
        self.input = None;
        let mut stdout = Vec::new();
        self.output.read_to_end(&mut stdout).unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { status: self.child.wait().unwrap(), stdout, stderr }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it.
    fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().code(), None);
    }

    /// Waits until it has killed itself.
    #[track_caller]
    fn wait_for_kill(self) {
        let ran = self.end();
        assert_eq!(ran.code(), None, "{}{}", ran.text(), ran.stderr);
    }

    /// Waits until it has stopped itself.
    #[track_caller]
    fn wait_for_pause(&mut self) {
        let stat = format!("/proc/{}/stat", self.child.id());
        until("it pauses", || {
            let text = std::fs::read_to_string(&stat).unwrap_or_default();
            let state = text.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
            if matches!(state, Some(b'Z') | None) {
                let mut stderr = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                panic!("it ended before it paused: {stderr}");
            }
            state == Some(b'T')
        });
    }

    /// Lets one that was paused go on to its end.
    fn go_on(self) -> Ran {
        self.signal(Signal::CONT);
        self.end()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Of a test that failed: nothing of it may stay behind.
        if std::thread::panicking() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The line of a number, whose file is written before.
fn line(depot: &Depot, item: &str, content: &str) -> String {
    let file = depot.file(&format!("sources/{item}-{content}"), content);
    format!("{}\n", json!({"file": file, "item": item}))
}

/// `put-each` into [`RUN`] of these lines.
fn put_each(depot: &Depot, lines: &str, args: &[&str]) -> Ran {
    let mut session = Session::start(depot, args);
    // It may end before it has read them.
    drop(session.input.as_mut().unwrap().write_all(lines.as_bytes()));
    session.end()
}

fn stored(item: &str, content: &str) -> (String, Option<String>) {
    (item.to_owned(), Some(content.to_owned()))
}

/// A text without what differs from run to run.
fn tidy(depot: &Depot, text: &str) -> String {
    let uuid =
        |word: &str| word.len() == 36 && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    // The opening in an artifact's key.
    let key = |word: &str| match word.split_once('~').and_then(|(a, b)| Some((a, b.get(24..)?))) {
        Some((before, after)) => format!("{before}~<opening>{after}"),
        None => word.to_owned(),
    };
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let name = bare.strip_prefix("put-session/").unwrap_or(bare);
        if uuid(name) { word.replace(name, "<uuid>") } else { key(word) }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    let text = text.replace(depot.beside("").as_str(), "<depot>/");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The one open transaction as `transaction list` has it.
#[track_caller]
fn only_open(depot: &Depot) -> Value {
    let rows = depot.pantler(&["transaction", "list", "--json"]).expect(0).json();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    rows[0].clone()
}
