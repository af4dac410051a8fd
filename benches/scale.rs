//! `cargo bench --bench scale`: one transaction of 1,000,000 datasets in a storage in
//! memory, and one of 100,000 in files: time, memory and the largest row.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod many;
mod measure;
mod survey;

use std::process::Command;

use crate::{
    many::{Ending, Store},
    measure::{Fault, places},
};

/// Bytes, for all phases.
const MEMORY: u64 = 1_500_000_000;
const MEGABYTE: f64 = 1e6;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = [
        ("memory", "reverted", 250_000, Store::Memory, Ending::Reverted),
        ("memory", "committed", 250_000, Store::Memory, Ending::Committed),
        ("files", "reverted", 25_000, Store::Files, Ending::Reverted),
        ("files", "committed", 25_000, Store::Files, Ending::Committed),
    ];
    for (place, name, visits, store, ending) in all {
        match arguments.as_slice() {
            [wanted, how] if wanted == place && how == name => measure(visits, store, ending)?,
            [_, _] => {}
            // Each in a process of its own.
            _ => {
                let done = Command::new(std::env::current_exe()?).args([place, name]).status()?;
                if !done.success() {
                    return Err(format!("{place}, {name}: {done}").into());
                }
            }
        }
    }
    Ok(())
}

/// The database is on tmpfs, if there is one, or where the files are.
fn measure(visits: i64, store: Store, ending: Ending) -> Result<(), Fault> {
    let places = places();
    let place = if store == Store::Memory { places.first() } else { places.last() };
    let place = place.ok_or("there is a place")?;
    let folder = place.folder()?;
    let measured = many::one_transaction(&folder.path, visits, store, ending)?;
    println!(
        "{} datasets, artifacts in {store:?}, database on {}, {ending:?}",
        measured.refs, place.name
    );
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
