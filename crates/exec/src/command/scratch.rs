//! The directory in which one attempt works.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::FailureReason;

/// A fresh directory of one attempt; removed when this is dropped, if it can be.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: Utf8PathBuf,
}

impl Scratch {
    /// Makes `<scratch>/<runner>-<n>/`, which nobody has made before.
    pub(crate) fn create(scratch: &Utf8Path, runner: u32, n: u32) -> io::Result<Self> {
        let dir = scratch.join(format!("{runner}-{n}"));
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(scratch)?;
                fs::create_dir(&dir)?;
            }
            other => other?,
        }
        Ok(Self { dir })
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.dir
    }

    /// Makes a directory in it.
    pub(crate) fn subdir(&self, name: &str) -> io::Result<Utf8PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next run; it is in nobody's way.
        let _stays = pantler_datastore::fs::remove_tree(&self.dir);
    }
}

/// Looks at what a command has written into `out`: the declared outputs, as
/// (name, file name), and nothing else. Returns their files in the same order.
pub(crate) fn outputs(
    out: &Utf8Path,
    declared: &[(&str, String)],
) -> Result<Vec<Utf8PathBuf>, FailureReason> {
    let storage = |error: io::Error| FailureReason::Storage { message: format!("{out}: {error}") };
    for entry in fs::read_dir(out).map_err(storage)? {
        let file = entry.map_err(storage)?.file_name();
        if !declared.iter().any(|(_, name)| file == name.as_str()) {
            let file = file.to_string_lossy().into_owned();
            return Err(FailureReason::UndeclaredOutput { file });
        }
    }
    declared
        .iter()
        .map(|(name, file)| {
            let path = out.join(file);
            match path.symlink_metadata() {
                Ok(metadata) if !metadata.is_file() => {
                    Err(FailureReason::NotAFile { name: (*name).to_owned() })
                }
                // Another name of the same file, who knows where: what is written
                // to it there must not change the artifact.
                Ok(metadata) if metadata.nlink() > 1 => own_copy(&path).map_err(storage),
                Ok(_) => Ok(path),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Err(FailureReason::MissingOutput { name: (*name).to_owned() })
                }
                Err(error) => Err(storage(error)),
            }
        })
        .collect()
}

fn own_copy(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let copy = Utf8PathBuf::from(format!("{path}.copy"));
    fs::copy(path, &copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_what_was_declared() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let root = Utf8Path::from_path(dir.path()).ok_or("a UTF-8 path")?;
        let scratch = Scratch::create(&root.join("scratch"), 1, 1)?;
        assert!(Scratch::create(&root.join("scratch"), 1, 1).is_err(), "it is there already");
        let out = scratch.subdir("out")?;
        let declared = [("a", "a.csv".to_owned()), ("b", "b.txt".to_owned())];
        fs::File::create(out.join("a.csv"))?;
        let missing = FailureReason::MissingOutput { name: "b".to_owned() };
        assert_eq!(outputs(&out, &declared), Err(missing));
        std::os::unix::fs::symlink("a.csv", out.join("b.txt"))?;
        let link = FailureReason::NotAFile { name: "b".to_owned() };
        assert_eq!(outputs(&out, &declared), Err(link));
        fs::remove_file(out.join("b.txt"))?;
        fs::hard_link(out.join("a.csv"), root.join("elsewhere"))?;
        fs::File::create(out.join("b.txt"))?;
        let files = outputs(&out, &declared)?;
        assert_eq!(files, [out.join("a.csv.copy"), out.join("b.txt")]);
        assert_eq!(files[0].metadata()?.nlink(), 1);
        let undeclared = FailureReason::UndeclaredOutput { file: "a.csv.copy".to_owned() };
        assert_eq!(outputs(&out, &declared), Err(undeclared));
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
        Ok(())
    }
}
