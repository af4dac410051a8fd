//! The artifacts that records name, and the files outside that they name: whether each
//! is there and is what they say.

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::Location;
use rayon::prelude::*;

use super::{
    Depth, Finding, Found, Lost, Remedy, content,
    rows::{Artifact, Record, Snapshot},
    walk::{self, Look},
};

/// The code of an artifact that has its size and another content.
pub(super) const CHECKSUM: &str = "artifact-checksum";

/// How an artifact differs from its records.
pub(super) enum Fault {
    /// Nothing is there, or a link that leads nowhere.
    Missing { dangling: bool },
    /// It has another size, in bytes.
    Size(u64),
    /// It is no file.
    NotRegular(&'static str),
    /// It cannot be looked at or read.
    Unreadable(std::io::Error),
    /// It has other bytes than this record says.
    Checksum(Record),
}

/// Looks at every artifact that a record names. Returns the bytes of those that are
/// as they should be.
pub(super) fn examine(
    root: &Utf8Path,
    rows: &Snapshot,
    depth: &Depth,
    found: &mut Vec<Found>,
) -> u64 {
    let looked: Vec<_> = rows
        .artifacts
        .par_iter()
        // What is wrong with its rows is reported with them; such a path must not even
        // be looked at.
        .filter(|artifact| artifact.sound)
        .map(|artifact| (artifact, look_at(root, artifact, rows.records_of(artifact), depth)))
        .collect();
    let mut bytes = 0;
    for (artifact, looked) in looked {
        let (direct, fault) = match looked {
            Ok(size) => {
                bytes += size;
                continue;
            }
            Err(wrong) => wrong,
        };
        let records = rows.records_of(artifact);
        let finding = Finding::artifact(root, artifact, direct, &records[0], &fault);
        let misplaced = match fault {
            // Which of the records is wrong, only the backup of the database can tell.
            _ if artifact.contradicted || matches!(fault, Fault::Unreadable(_)) => {
                found.push(Found { finding, remedy: Remedy::None });
                continue;
            }
            Fault::Missing { dangling } => dangling && !direct,
            Fault::Size(_) | Fault::Checksum(_) => !direct,
            Fault::NotRegular(_) | Fault::Unreadable(_) => false,
        };
        let lost = Lost { records: records.to_vec(), misplaced };
        found.push(Found { finding, remedy: Remedy::Drop(lost) });
    }
    bytes
}

/// The size of an artifact that is as it should be, or whether it is a direct file and
/// how it differs.
fn look_at(
    root: &Utf8Path,
    artifact: &Artifact,
    records: &[Record],
    depth: &Depth,
) -> Result<u64, (bool, Fault)> {
    let (path, direct) = match Location::new(&artifact.location) {
        Ok(Location::Direct(uri)) => (Utf8PathBuf::from(uri.path()), true),
        _ => (root.join(&*artifact.location), false),
    };
    let wrong = |fault| (direct, fault);
    let size = match walk::look_at(&path) {
        Ok(Look::File(size)) => size,
        Ok(Look::Nothing) => return Err(wrong(Fault::Missing { dangling: false })),
        Ok(Look::Dangling) => return Err(wrong(Fault::Missing { dangling: true })),
        Ok(Look::Other(what)) => return Err(wrong(Fault::NotRegular(what))),
        Err(error) => return Err(wrong(Fault::Unreadable(error))),
    };
    // Of a shared artifact, the dataset with the last slice may have been removed.
    let fits = if artifact.sliced { size >= artifact.size } else { size == artifact.size };
    if !fits {
        return Err(wrong(Fault::Size(size)));
    }
    let read = match depth {
        Depth::None => false,
        Depth::All => true,
        Depth::Only(locations) => locations.contains(&*artifact.location),
    };
    if read {
        match content::differing(&path, records) {
            Ok(None) => {}
            Ok(Some(record)) => return Err(wrong(Fault::Checksum(record.clone()))),
            Err(error) => return Err(wrong(Fault::Unreadable(error))),
        }
    }
    Ok(size)
}
