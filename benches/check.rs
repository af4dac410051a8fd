//! `cargo bench --bench check`: the consistency check of 100,000 stored datasets, by
//! sizes and by checksums.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod measure;
mod survey;

use std::time::Instant;

use pantler::direct::check::{CheckOptions, check_with};

use crate::measure::{Fault, expect, median, places, settle, verdict};

const VISITS: i64 = 25_000;
const DATASETS: usize = 100_000;
const SIZE: usize = 1_000;
const ROUNDS: usize = 7;
/// Seconds.
const BOUND: f64 = 5.0;

fn main() -> Result<(), Fault> {
    println!("check of {DATASETS} datasets of {SIZE} bytes, {ROUNDS} times");
    for place in places() {
        let folder = place.folder()?;
        let (butler, _) = survey::stored(&folder.path.join("repo"), VISITS, SIZE)?;
        settle(&folder.path)?;
        for (name, options) in [
            ("check", CheckOptions::default()),
            ("check --checksum", CheckOptions { checksum: true }),
        ] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let begin = Instant::now();
                let report = check_with(&butler, options)?;
                times.push(begin.elapsed().as_secs_f64());
                expect("findings", &report.findings.len(), &0)?;
                expect("stored", &report.counts.stored, &DATASETS)?;
            }
            let took = median(&mut times);
            let holds = verdict(took, BOUND);
            let (least, most) = (times[0], times[times.len() - 1]);
            println!(
                "{}: {name}: median {took:.2} s ({least:.2} to {most:.2}); bound {BOUND} s: {holds}",
                place.name
            );
        }
    }
    Ok(())
}
