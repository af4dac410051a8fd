//! `cargo bench --bench remove [-- unstored|purged]`: 100,000 datasets unstored, and purged, against the bare
//! loop that deletes the same files and rows.

mod bare;
mod measure;
mod survey;

use std::time::{Duration, Instant};

use camino::Utf8Path;
use pantler::{butler::request::RemoveRequest, direct::DirectButler};

use crate::measure::{Fault, Place, alternate, expect, settle};

const VISITS: i64 = 25_000;
const DATASETS: usize = 100_000;
const SIZE: usize = 100;
const BOUND: f64 = 2.0;

fn main() -> Result<(), Fault> {
    // All, or those named.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for (what, purge) in [("unstored", false), ("purged", true)] {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == what) {
            continue;
        }
        let title = format!("{DATASETS} datasets of {SIZE} bytes {what}");
        let ours = |_: &Place, folder: &Utf8Path| ours(folder, purge);
        let bare = |_: &Place, folder: &Utf8Path| bare(folder, purge);
        alternate(&title, BOUND, ours, bare)?;
    }
    Ok(())
}

fn ours(folder: &Utf8Path, purge: bool) -> Result<Duration, Fault> {
    let (butler, made) = survey::stored(&folder.join("repo"), VISITS, SIZE)?;
    let datasets = made.datasets.iter().map(|dataset| dataset.id).collect();
    drop(made);
    let request = RemoveRequest { name: None, datasets, purge, force: false };
    settle(folder)?;
    let begin = Instant::now();
    let report = butler.remove_datasets(&request)?;
    let took = begin.elapsed();
    expect("removed", &(report.datasets, report.artifacts), &(DATASETS, DATASETS))?;
    verify(&butler, purge)?;
    Ok(took)
}

fn bare(folder: &Utf8Path, purge: bool) -> Result<Duration, Fault> {
    let (butler, made) = survey::stored(&folder.join("repo"), VISITS, SIZE)?;
    let connection = bare::connect(butler.registry().path())?;
    let ids = bare::ids(&connection, &made.datasets[0])?;
    settle(folder)?;
    let begin = Instant::now();
    bare::remove(&made.paths)?;
    bare::delete(&connection, ids, i64::try_from(DATASETS)?, purge)?;
    let took = begin.elapsed();
    verify(&butler, purge)?;
    Ok(took)
}

fn verify(butler: &DirectButler, purge: bool) -> Result<(), Fault> {
    let counts = survey::check_clean(butler)?.counts;
    let left = if purge { 0 } else { DATASETS };
    expect("datasets", &counts.datasets, &left)?;
    expect("stored", &(counts.stored, counts.artifacts), &(0, 0))
}
