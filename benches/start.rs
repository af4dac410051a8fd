//! `cargo bench --bench start`: how much longer the program takes than `/bin/true`, for
//! `--help` and for a query that shows one row.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod measure;
mod survey;

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use crate::measure::{Fault, expect, median, places, verdict};

const PAIRS: usize = 100;
/// Milliseconds.
const BOUND: f64 = 8.0;

fn main() -> Result<(), Fault> {
    let program = env!("CARGO_BIN_EXE_pantler");
    println!("start of the program over /bin/true, {PAIRS} pairs");
    for place in places() {
        let folder = place.folder()?;
        let repository = folder.path.join("repo");
        // One RUN, and so one row.
        drop(survey::repository(&repository, 1)?);
        let query = ["--repo", repository.as_str(), "query", "collections"];
        let shown = Command::new(program).env_clear().args(query).output()?;
        expect("the query succeeds", &shown.status.success(), &true)?;
        let rows = String::from_utf8(shown.stdout)?.matches("RUN").count();
        expect("rows", &rows, &1)?;
        for (name, arguments) in [("--help", &["--help"][..]), ("query collections", &query[..])] {
            let mut differences = Vec::new();
            let (mut totals, mut base) = (Vec::new(), Vec::new());
            for pair in 0..PAIRS {
                let (ours, bare);
                if pair % 2 == 0 {
                    ours = milliseconds(program, arguments)?;
                    bare = milliseconds("/bin/true", &[])?;
                } else {
                    bare = milliseconds("/bin/true", &[])?;
                    ours = milliseconds(program, arguments)?;
                }
                differences.push(ours - bare);
                totals.push(ours);
                base.push(bare);
            }
            let difference = median(&mut differences);
            let at = |percent: usize| differences[differences.len() * percent / 100];
            println!(
                "{}: {name}: median difference {difference:.2} ms (middle half {:.2} to {:.2}); \
                 {:.2} ms against {:.2} ms; bound {BOUND}: {}",
                place.name,
                at(25),
                at(75),
                median(&mut totals),
                median(&mut base),
                verdict(difference, BOUND),
            );
        }
    }
    Ok(())
}

fn milliseconds(program: &str, arguments: &[&str]) -> Result<f64, Fault> {
    let mut command = Command::new(program);
    command.env_clear().args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    let took = begin.elapsed();
    expect("it succeeds", &status.success(), &true)?;
    Ok(took.as_secs_f64() * 1e3)
}
