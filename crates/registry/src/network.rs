//! Whether a database would lie on a network file system, where SQLite's write-ahead
//! log does not work: its index is memory shared by the processes of one machine.

use camino::Utf8Path;

/// The name of the network file system that the folder of `path` is on; `None` for a
/// local one, and where the system does not say.
pub(crate) fn file_system(path: &Utf8Path) -> Option<&'static str> {
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
    kind_at(folder.unwrap_or(Utf8Path::new(".")))
}

#[cfg(target_os = "linux")]
fn kind_at(folder: &Utf8Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(folder.as_std_path()).ok()?;
    // The field is signed on some machines; the number is 32 bits wide on all.
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "32 bits wide")]
    network_kind(found.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn kind_at(_: &Utf8Path) -> Option<&'static str> {
    None
}

/// The network file system of a magic number (`linux/magic.h`, and those that their
/// own sources give).
fn network_kind(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "CephFS",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0xFE53_4D42), Some("SMB"));
        for local in [0xEF53, 0x0102_1994, 0x5846_5342, 0x9123_683E, 0x794C_7630] {
            assert_eq!(network_kind(local), None, "{local:#x}: ext4, tmpfs, xfs, btrfs, overlay");
        }
    }

    #[test]
    fn a_temporary_folder_is_local() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("registry.sqlite3");
        assert_eq!(file_system(&path), None);
    }
}
