//! Progress on standard error: bars on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pantler_butler::request::StoreProgress;
use pantler_core::{CollectionName, TaskLabel, transaction::TransactionRow};
use pantler_exec::{FailureReason, ObservedQuantum, Observer, StopFlag, TaskCounts, Waiting};
use pantler_workspace::project::{JobProgress, Notice};

use crate::{
    interrupt::Phase,
    output::Output,
    summary,
    table::{bytes, count},
    time,
};

/// How often a plain line says how far it is.
const INTERVAL: Duration = Duration::from_secs(5);
/// How many failures are shown as they happen.
const FAILURES: usize = 10;

/// Follows ingest and quanta.
#[derive(Debug)]
pub(crate) struct Progress {
    ingest: StoreLines,
    quanta: Quanta,
    phase: Phase,
    workspace: Option<CollectionName>,
    done: Vec<&'static str>,
}

/// Follows artifacts that are being stored.
#[derive(Debug)]
pub(crate) struct StoreLines {
    verb: &'static str,
    stop: StopFlag,
    bar: ProgressBar,
    plain: bool,
    copied: AtomicUsize,
    bytes: AtomicU64,
    total: AtomicUsize,
}

#[derive(Debug)]
struct Quanta {
    bar: ProgressBar,
    plain: bool,
    done: usize,
    failed: usize,
    left: usize,
    said: Instant,
}

impl Progress {
    /// For one run, which says in `phase` how far it is.
    pub(crate) fn new(phase: Phase) -> Self {
        let plain = !std::io::stderr().is_terminal();
        Self {
            ingest: StoreLines::new("ingest", StopFlag::new()),
            quanta: Quanta {
                bar: ProgressBar::hidden(),
                plain,
                done: 0,
                failed: 0,
                left: 0,
                said: Instant::now(),
            },
            phase,
            workspace: None,
            done: Vec::new(),
        }
    }

    /// What this run has changed, apart from its workspace.
    pub(crate) fn done(&self) -> &[&'static str] {
        &self.done
    }

    /// The workspace that this run has opened or gone on with.
    pub(crate) fn workspace(&self) -> Option<&CollectionName> {
        self.workspace.as_ref()
    }
}

fn show(bar: &ProgressBar, length: usize, template: &str) {
    bar.set_length(length as u64);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_draw_target(ProgressDrawTarget::stderr());
}

/// A line above the bar, if there is one.
fn say(bar: &ProgressBar, text: &str) {
    if bar.is_hidden() || bar.is_finished() {
        Output::default().note(text);
    } else {
        bar.suspend(|| Output::default().note(text));
    }
}

impl StoreLines {
    /// For a command that `stop` ends.
    pub(crate) fn new(verb: &'static str, stop: StopFlag) -> Self {
        Self {
            verb,
            stop,
            bar: ProgressBar::hidden(),
            plain: !std::io::stderr().is_terminal(),
            copied: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicUsize::new(0),
        }
    }
}

impl StoreProgress for StoreLines {
    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    fn resuming(&self, row: &TransactionRow) {
        say(&self.bar, &format!("going on with {}, which {} left", row.name, row.process));
    }

    fn start(&self, files: usize) {
        self.total.store(files, Ordering::Relaxed);
        if !self.plain {
            let template = format!("{:7} [{{bar:30}}] {{pos}}/{{len}} files {{msg}}", self.verb);
            show(&self.bar, files, &template);
        }
    }

    fn copied(&self, size: u64) {
        let copied = self.copied.fetch_add(1, Ordering::Relaxed) + 1;
        let sum = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.bar.inc(1);
        if !self.plain {
            self.bar.set_message(bytes(sum));
        }
        if copied == self.total.load(Ordering::Relaxed) {
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for StoreLines {
    fn drop(&mut self) {
        // A command that fails must not leave a bar under its error message.
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn on_start(&mut self, tasks: &[TaskCounts]) {
        self.phase.running();
        let total: usize = tasks.iter().map(|task| task.counts.total).sum();
        let skipped: usize = tasks.iter().map(|task| task.counts.skipped).sum();
        let quanta = &mut self.quanta;
        quanta.left = total - skipped;
        quanta.said = Instant::now();
        if skipped > 0 {
            say(&quanta.bar, &format!("{} done before", count(skipped, "quantum")));
        }
        if !quanta.plain && quanta.left > 0 {
            let template = "run     [{bar:30}] {pos}/{len} quanta {msg} {elapsed}";
            show(&quanta.bar, quanta.left, template);
            quanta.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        say(&self.quanta.bar, &waiting_line(waiting));
    }

    fn quantum_finished(&mut self, quantum: &ObservedQuantum<'_>, failure: Option<&FailureReason>) {
        let quanta = &mut self.quanta;
        quanta.done += 1;
        quanta.bar.inc(1);
        if let Some(reason) = failure {
            quanta.failed += 1;
            if quanta.failed <= FAILURES {
                let line = format!("failed: {} {}: {reason}", quantum.task(), quantum.data_id());
                say(&quanta.bar, &line);
            }
            quanta.bar.set_message(format!("({} failed)", quanta.failed));
        }
        if quanta.plain && quanta.said.elapsed() >= INTERVAL {
            quanta.said = Instant::now();
            let (done, left, failed) = (quanta.done, quanta.left, quanta.failed);
            say(&quanta.bar, &format!("{done} of {left} quanta ended, {failed} failed"));
        }
    }
}

/// What a run says while it waits.
fn waiting_line(waiting: &Waiting) -> String {
    let quanta = count(waiting.quanta, "quantum");
    let limit = time::human(waiting.limit);
    match &waiting.runner {
        Some((runner, process)) => format!(
            "waiting for {quanta} of other runners: of runner {runner} ({process}), {limit} at most without news"
        ),
        None => format!("waiting {limit} at most for a runner of {quanta}"),
    }
}

impl JobProgress for Progress {
    fn notice(&mut self, notice: &Notice<'_>) {
        let line = match notice {
            Notice::RepositoryMade(root) => {
                self.done.push("the repository is made");
                format!("made the repository {root}")
            }
            Notice::Ingested(report) => {
                self.ingest.bar.finish_and_clear();
                if report.stored == 0 {
                    format!("ingest: nothing new, {} there already", count(report.skipped, "file"))
                } else {
                    self.done.push("the files are ingested");
                    format!(
                        "ingested {} ({}), {} there already",
                        count(report.stored, "file"),
                        bytes(report.bytes),
                        report.skipped
                    )
                }
            }
            Notice::Resuming(row) => {
                self.workspace = CollectionName::new(row.name.as_str()).ok();
                format!("going on with the open workspace {}", row.name)
            }
            Notice::Created(client) => {
                let run = &client.transaction().run;
                self.workspace = Some(run.clone());
                format!("opened the workspace {run}")
            }
            Notice::Built(graph) => {
                let left_out =
                    graph.pruned().iter().take(10).map(|pruned| format!("\nleft out: {pruned}"));
                let left_out: String = left_out.collect();
                format!("{} in the graph{left_out}", count(graph.len(), "quantum"))
            }
            Notice::Skipped(skipped) => summary::skipped(skipped),
            Notice::Reusable(reusable) => summary::reusable(reusable),
            Notice::InitStepsChanged(client, steps) => format!(
                "{}; what was made is kept, unless it is reset (pantler workspace reset {} --task {})",
                summary::changed_steps(steps),
                client.transaction().run,
                steps.first().map_or("", TaskLabel::as_str)
            ),
            Notice::NothingLeft(name) => {
                format!("{name} was begun and nothing is left to make in it: it is reverted")
            }
            Notice::Committing => {
                self.phase.after();
                self.quanta.bar.finish_and_clear();
                "committing".to_owned()
            }
            Notice::WaitingFor(holder) => format!("waiting for {holder}"),
        };
        say(&self.quanta.bar, &line);
    }

    fn ingest(&self) -> &dyn StoreProgress {
        &self.ingest
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A run that fails must not leave a bar under its error message.
        self.quanta.bar.finish_and_clear();
    }
}
