//! A small project whose tasks a test writes itself, and what tests wait for.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_testkit::{Project, Ran};

use crate::program;

pub(crate) const UNIVERSE: &str = "version: 1\nname: toy\nelements:\n  item: {key: string}\n";

pub(crate) const PROJECT: &str = "\
version: 1
name: toy
repository: repo
universe: universe.yaml
ingest:
  - dataset_type: number
    dimensions: [item]
    storage_class: Text
    files: \"data/{item}.txt\"
pipeline: pipeline.yaml
";

pub(crate) const PIPELINE: &str = "\
version: 1
tasks:
  copy:
    dimensions: [item]
    inputs: {number: {type: number}}
    outputs: {copy: {type: copy, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/copy.sh\", \"{pipeline_dir}\", \"{inputs.number}\", \"{outputs.copy}\", \"{data_id.item}\"]
  total:
    dimensions: []
    inputs: {copies: {type: copy, multiple: true}}
    outputs: {total: {type: total, storage_class: Text}}
    command: [sh, \"{pipeline_dir}/total.sh\", \"{outputs.total}\", \"{inputs.copies}\"]
";

/// What `copy.sh` is given: `$1` the project folder, `$2` input, `$3` output, `$4` the
/// item.
pub(crate) const COPY: &str = "echo \"copying $4\"\ncat \"$2\" > \"$3\"\n";

/// Numbered files (the n-th holds n), copied one by one and added up: `items.len() + 1` quanta.
pub(crate) fn toy(items: &[&str]) -> Project {
    toy_with(items, COPY)
}

/// The same with another script for the copies.
pub(crate) fn toy_with(items: &[&str], copy: &str) -> Project {
    let project = Project::empty(&program());
    project.write("universe.yaml", UNIVERSE);
    project.write("project.yaml", PROJECT);
    project.write("pipeline.yaml", PIPELINE);
    project.write("copy.sh", copy);
    project.write(
        "total.sh",
        "out=$1\nshift\nawk '{ sum += $1 } END { print sum }' \"$@\" > \"$out\"\n",
    );
    for (n, item) in items.iter().enumerate() {
        project.write(&format!("data/{item}.txt"), format!("{}\n", n + 1));
    }
    project
}

/// Waits until something is the case; fails the test if that does not come.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A FIFO at which commands wait for the test. Commands that wait when it is dropped
/// read its end.
#[derive(Debug)]
pub(crate) struct Gate {
    file: File,
}

impl Gate {
    pub(crate) fn at(path: &Utf8Path) -> Self {
        let mut mkfifo = std::process::Command::new("mkfifo");
        assert!(mkfifo.arg(path).status().unwrap().success());
        // For reading as well: then neither side waits for the other in opening it.
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        Self { file }
    }

    /// Lets `n` commands through that read a line.
    pub(crate) fn open(&self, n: usize) {
        (&self.file).write_all("go\n".repeat(n).as_bytes()).unwrap();
    }
}

/// The names of what is open.
pub(crate) fn open_names(project: &Project, noun: &str) -> Vec<String> {
    names(&project.pantler(&[noun, "list", "--json"]).expect(0))
}

pub(crate) fn names(ran: &Ran) -> Vec<String> {
    let rows = ran.json();
    rows.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

/// Rows of `query datasets` with these arguments.
pub(crate) fn datasets(project: &Project, args: &[&str]) -> Vec<serde_json::Value> {
    let args = [&["query", "datasets", "--json"], args].concat();
    project.pantler(&args).expect(0).json().as_array().unwrap().clone()
}

/// The file that holds a dataset.
pub(crate) fn path_of(row: &serde_json::Value) -> Utf8PathBuf {
    Utf8PathBuf::from(row["path"].as_str().unwrap())
}

/// Runs it with a step at which it kills itself.
#[track_caller]
pub(crate) fn killed_at(project: &Project, step: &str, args: &[&str]) {
    let path = project.path();
    killed_verb(project, step, &[&["run", path.as_str()], args].concat());
}

/// Runs a command on its repository with a step at which it kills itself.
#[track_caller]
pub(crate) fn killed_verb(project: &Project, step: &str, args: &[&str]) {
    use std::os::unix::process::ExitStatusExt as _;
    let mut command = project.program().command(args);
    if args[0] != "run" {
        command.args(["--repo", project.repo().as_str()]);
    }
    command.env("PANTLER_CRASH", step);
    let ran = Ran::of(command);
    assert_eq!(ran.status.signal(), Some(9), "{step}: {}{}", ran.text(), ran.stderr);
}

/// A text without what differs from one run to the next: the project's folder, times
/// in names, process numbers, host.
pub(crate) fn tidy(project: &Project, text: &str) -> String {
    let text = text.replace(project.path().as_str(), "<project>");
    let mut tidied = String::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(length) = time_at(rest) {
            tidied.push_str("<time>");
            rest = &rest[length..];
        } else {
            tidied.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    tidied
}

/// The length of a time such as `20260102T030405.678Z` at the beginning.
fn time_at(text: &str) -> Option<usize> {
    const FORM: &[u8] = b"ddddddddTdddddd.dddZ";
    let bytes = text.as_bytes().get(..FORM.len())?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        form => byte == form,
    };
    bytes.iter().zip(FORM).all(fits).then_some(FORM.len())
}
