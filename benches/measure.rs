//! Alternating rounds: Pantler and the bare loop, one after the other, so that both
//! meet the machine in the same mood; what counts is the median of the ratios of pairs.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `PANTLER_BENCH_DIR` | a folder on the disk to measure, instead of the target directory |
//! | `PANTLER_BENCH_ROUNDS` | how many pairs, 7 at least |
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

use std::{error::Error, fs::File, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use super::bare;

pub(crate) type Fault = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 7;

/// A file system to measure on.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) root: Utf8PathBuf,
}

/// tmpfs, where there is one, and the disk.
pub(crate) fn places() -> Vec<Place> {
    let mut places = Vec::new();
    let shared_memory = Utf8Path::new("/dev/shm");
    if shared_memory.is_dir() {
        places.push(Place { name: "tmpfs", root: shared_memory.to_owned() });
    }
    let disk = setting("PANTLER_BENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    places.push(Place { name: "disk", root: disk.into() });
    places
}

#[expect(clippy::disallowed_methods, reason = "a bench is a program: it reads its settings")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn rounds() -> usize {
    let wanted = setting("PANTLER_BENCH_ROUNDS").and_then(|text| text.parse().ok());
    wanted.map_or(ROUNDS, |wanted: usize| wanted.max(ROUNDS))
}

impl Place {
    /// A folder of its own there.
    pub(crate) fn folder(&self) -> Result<Folder, Fault> {
        std::fs::create_dir_all(&self.root)?;
        let dir = tempfile::Builder::new().prefix("pantler-bench").tempdir_in(&self.root)?;
        let path = Utf8Path::from_path(dir.path()).ok_or("the path is not UTF-8")?.to_owned();
        Ok(Folder { path, _dir: dir })
    }
}

/// A folder that is removed in the end.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: Utf8PathBuf,
    _dir: tempfile::TempDir,
}

/// Waits until nothing is left to be written back, so that nobody pays for what was
/// done before.
pub(crate) fn settle(folder: &Utf8Path) -> Result<(), Fault> {
    Ok(bare::flush(&File::open(folder)?)?)
}

/// Runs `ours` and `bare` in turn at every place, each in a fresh folder; the order is
/// swapped each round, and a first pair that warms up is not counted. Both say how long
/// the part took that counts.
pub(crate) fn alternate(
    title: &str,
    bound: f64,
    ours: impl Fn(&Place, &Utf8Path) -> Result<Duration, Fault>,
    bare: impl Fn(&Place, &Utf8Path) -> Result<Duration, Fault>,
) -> Result<(), Fault> {
    println!("{title}");
    let fresh = |place: &Place, work: &dyn Fn(&Place, &Utf8Path) -> Result<Duration, Fault>| {
        let folder = place.folder()?;
        let took = work(place, &folder.path)?.as_secs_f64();
        drop(folder);
        settle(&place.root)?;
        Ok::<_, Fault>(took)
    };
    for place in places() {
        let (mut pairs, mut ratios) = (Vec::new(), Vec::new());
        for round in 0..=rounds() {
            let (a, b);
            if round % 2 == 0 {
                a = fresh(&place, &ours)?;
                b = fresh(&place, &bare)?;
            } else {
                b = fresh(&place, &bare)?;
                a = fresh(&place, &ours)?;
            }
            let label = if round == 0 { "warm up".to_owned() } else { format!("round {round}") };
            println!(
                "  {:6} {label:8} Pantler {a:7.3} s, bare {b:7.3} s, ratio {:.2}",
                place.name,
                a / b
            );
            if round > 0 {
                pairs.push((a, b));
                ratios.push(a / b);
            }
        }
        let ratio = median(&mut ratios);
        let mut ours: Vec<f64> = pairs.iter().map(|(a, _)| *a).collect();
        let mut bare: Vec<f64> = pairs.iter().map(|(_, b)| *b).collect();
        println!(
            "{}: median ratio {ratio:.2} ({:.2} to {:.2}); Pantler {:.3} s, bare {:.3} s; bound {bound}: {}",
            place.name,
            ratios[0],
            ratios[ratios.len() - 1],
            median(&mut ours),
            median(&mut bare),
            verdict(ratio, bound),
        );
    }
    Ok(())
}

/// Sorts, and returns the one in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len() % 2 == 1 {
        values[upper]
    } else {
        f64::midpoint(values[upper - 1], values[upper])
    }
}

pub(crate) fn verdict(value: f64, bound: f64) -> String {
    if value <= bound { "holds".to_owned() } else { format!("missed by {:.2}", value - bound) }
}

/// How many files there are below `folder`, and how many bytes they hold.
pub(crate) fn files(folder: &Utf8Path) -> Result<(usize, u64), Fault> {
    let (mut count, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in at.read_dir_utf8()? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.into_path());
            } else {
                count += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok((count, bytes))
}

/// Fails if `found` is not what was to be done: a wrong measurement is worse than none.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), Fault> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {found:?} instead of {wanted:?}").into())
    }
}
