//! `cargo bench --bench scale`: one transaction of 1,000,000 datasets in a storage in
//! memory, and one of 100,000 in files: time, memory and the largest row.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod many;
mod measure;
mod survey;

use std::process::Command;

use crate::{
    many::Store,
    measure::{Fault, places},
};

/// Bytes, for all phases.
const MEMORY: u64 = 1_500_000_000;
const MEGABYTE: f64 = 1e6;

fn main() -> Result<(), Fault> {
    let only = std::env::args().nth(1);
    match only.as_deref() {
        Some("memory") => measure("tmpfs", 250_000, Store::Memory),
        Some("files") => measure("disk", 25_000, Store::Files),
        // Each in a process of its own: memory that was given back is not always
        // given to the next one.
        _ => ["memory", "files"].into_iter().try_for_each(|store| {
            let done = Command::new(std::env::current_exe()?).arg(store).status()?;
            if done.success() { Ok(()) } else { Err(format!("{store}: {done}").into()) }
        }),
    }
}

/// The database is in the place of that name, if there is one.
fn measure(place: &str, visits: i64, store: Store) -> Result<(), Fault> {
    let places = places();
    let place = places.iter().find(|found| found.name == place).unwrap_or(&places[0]);
    let folder = place.folder()?;
    let measured = many::one_transaction(&folder.path, visits, store)?;
    println!("{} datasets, artifacts in {store:?}, database on {}", measured.refs, place.name);
    for phase in &measured.phases {
        #[expect(clippy::cast_precision_loss, reason = "it is shown")]
        let memory = phase.memory as f64 / MEGABYTE;
        println!("  {:32} {:6.1} s, at most {memory:5.0} MB", phase.name, phase.took.as_secs_f64());
    }
    let holds = if measured.memory() <= MEMORY { "holds" } else { "missed" };
    println!(
        "  largest row {} bytes, of {} in all; memory at most {} bytes, bound {MEMORY}: {holds}",
        measured.largest_row,
        measured.manifest,
        measured.memory(),
    );
    Ok(())
}
