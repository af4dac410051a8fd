use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Event;

/// The file that changes of files are noted in, in order.
pub(crate) struct Trace {
    /// Held from before an action until its line is written.
    file: Mutex<File>,
}

impl Trace {
    pub(crate) fn new(file: File) -> Self {
        Self { file: Mutex::new(file) }
    }

    /// While this is held, nothing that is traced happens.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn around<T, E>(
        &self,
        event: Event<'_>,
        action: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut file = self.quiet();
        let value = action()?;
        note(&mut file, event);
        Ok(value)
    }

    pub(crate) fn make_directories(&self, path: &Path) -> io::Result<()> {
        let mut file = self.quiet();
        let missing = |at: &&Path| !at.as_os_str().is_empty() && !at.exists();
        let mut made: Vec<&Path> = path.ancestors().take_while(missing).collect();
        made.reverse();
        std::fs::create_dir_all(path)?;
        for directory in made {
            note(&mut file, Event::MakeDirectory(&directory.to_string_lossy()));
        }
        Ok(())
    }
}

/// In one write, so that a kill leaves no half of a line.
fn note(file: &mut File, event: Event<'_>) {
    let (word, paths) = event.parts();
    let mut line = word.to_owned();
    for path in paths.into_iter().flatten() {
        let path = std::path::absolute(path).expect("the working directory has a path");
        line.push('\t');
        line.push_str(&path.to_string_lossy());
    }
    line.push('\n');
    file.write_all(line.as_bytes()).expect("PANTLER_TRACE takes a line");
}
