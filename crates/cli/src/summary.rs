//! What a run of quanta did, for people.

use std::fmt::Write as _;

use camino::Utf8Path;
use pantler_core::TaskLabel;
use pantler_exec::{Counts, Failure, RunSummary, log_tail};
use pantler_graph::Skipped;
use pantler_workspace::{Reusable, UnusableRun};

use crate::{
    output::Output,
    table::{Table, count},
};

/// How many failures are shown with the end of their log.
const FAILURES: usize = 3;
/// How many lines of a log are shown.
const LINES: usize = 10;

/// Prints the table of tasks, then the first failures with the end of their logs.
pub(crate) fn print(output: &Output, summary: &RunSummary, root: &Utf8Path) {
    print_without(output, summary, root, "not asked for");
}

/// As [`print`], and says why the other quanta of the graph were left out.
pub(crate) fn print_without(
    output: &Output,
    summary: &RunSummary,
    root: &Utf8Path,
    left_out: &str,
) {
    output.say(&table(summary).to_string());
    if summary.total().excluded > 0 {
        let excluded = count(summary.total().excluded, "quantum");
        output.say(&format!("{excluded} more, {left_out}"));
    }
    if summary.vanished > 0 {
        let vanished = count(summary.vanished, "quantum");
        output.say(&format!("{vanished} ran again because outputs had vanished"));
    }
    if summary.taken_over > 0 {
        let taken_over = count(summary.taken_over, "quantum");
        output.say(&format!("{taken_over} did not run: outputs of earlier RUNs were taken over"));
    }
    if summary.elsewhere > 0 {
        let elsewhere = count(summary.elsewhere, "quantum");
        output.say(&format!("{elsewhere} of those before were run by other runners meanwhile"));
    }
    for failure in summary.failures.iter().take(FAILURES) {
        output.say(&describe(failure, root));
    }
    let shown = summary.failures.len().min(FAILURES);
    let failed = summary.total().failed;
    if failed > shown {
        output.say(&format!(
            "\nand {} more that failed: pantler workspace status shows all",
            failed - shown
        ));
    }
}

/// What a build found that may be taken over.
pub(crate) fn reusable(found: &Reusable) -> String {
    let Reusable { quanta, unusable } = found;
    let mut text = format!("{} may be there already in earlier RUNs", count(*quanta, "quantum"));
    for UnusableRun { run, reason } in unusable {
        write!(text, "\nnothing can be taken over from {run}: {reason}")
            .expect("a string takes text");
    }
    text
}

/// What was not built since it exists, or was although some of it does.
pub(crate) fn skipped(skipped: &[Skipped]) -> String {
    let lines: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn table(summary: &RunSummary) -> Table {
    let mut table =
        Table::new(["task", "quanta", "succeeded", "before", "failed", "blocked", "not run"])
            .numbers([1, 2, 3, 4, 5, 6]);
    let mut add = |name: &str, counts: &Counts| {
        let Counts { total, succeeded, failed, blocked, skipped, not_run, .. } = counts;
        let numbers = [total, succeeded, skipped, failed, blocked, not_run];
        let [total, succeeded, skipped, failed, blocked, not_run] =
            numbers.map(ToString::to_string);
        table.row([name.to_owned(), total, succeeded, skipped, failed, blocked, not_run]);
    };
    for task in &summary.tasks {
        add(task.task.as_str(), &task.counts);
    }
    if summary.tasks.len() > 1 {
        add("all", &summary.total());
    }
    table
}

/// A failure in words, with the last lines of what it said. Control characters are
/// shown as `\xNN` by whoever prints.
pub(crate) fn describe(failure: &Failure, root: &Utf8Path) -> String {
    let Failure { task, data_id, reason, log, attempt, .. } = failure;
    let mut text = format!("\nfailed: {task} {data_id} (attempt {attempt}): {reason}");
    match log.as_ref().map(|slice| log_tail(root, slice, LINES)) {
        None => text.push_str("\n  it said nothing"),
        Some(Ok(tail)) => {
            for line in tail.lines() {
                text.push_str("\n  | ");
                text.push_str(line);
            }
        }
        Some(Err(error)) => {
            text.push_str("\n  its log cannot be read: ");
            text.push_str(&error.to_string());
        }
    }
    text
}

/// That init steps have run with other files than there are today.
pub(crate) fn changed_steps(changed: &[TaskLabel]) -> String {
    let steps: Vec<String> = changed.iter().map(|step| format!("`{step}`")).collect();
    format!("{} succeeded with other files than those of today", steps.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pantler_exec::TaskCounts;

    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_task_and_one_for_all() {
        let counts = Counts { total: 3, succeeded: 1, failed: 1, blocked: 1, ..Counts::default() };
        let task = |label| TaskCounts { task: TaskLabel::new(label).unwrap(), counts };
        let summary = RunSummary {
            runner: Some(1),
            tasks: vec![task("daily"), task("year")],
            failures: Vec::new(),
            vanished: 0,
            taken_over: 0,
            elsewhere: 0,
            unmade: Vec::new(),
            stopped: false,
            wall: Duration::ZERO,
        };
        let text = table(&summary).to_string();
        let words: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["daily", "3", "1", "0", "1", "1", "0"]);
        assert_eq!(words[3], ["all", "6", "2", "0", "2", "2", "0"]);
    }
}
