/// One thing done to files, or one point of durability.
///
/// Each is a line of `PANTLER_TRACE`: the word below and its paths, absolute, separated
/// by tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// `write PATH`: a file was created, or data was written to it.
    Write(&'a str),
    /// `rename FROM TO`. What another program wrote first appears here.
    Rename(&'a str, &'a str),
    /// `link FROM TO`: what `FROM` is got the second name `TO`, or `TO` is a symbolic
    /// link to it.
    Link(&'a str, &'a str),
    /// `unlink PATH`.
    Unlink(&'a str),
    /// `mkdir PATH`.
    MakeDirectory(&'a str),
    /// `rmdir PATH`, with whatever was in it.
    RemoveDirectory(&'a str),
    /// `sync PATH`: the data of a file is on stable storage.
    Sync(&'a str),
    /// `syncdir PATH`: the entries of a directory are on stable storage.
    SyncDirectory(&'a str),
    /// `syncfs PATH`: everything in the file system that holds `PATH` is.
    SyncFileSystem(&'a str),
    /// `commit`: a database transaction is.
    Commit,
}

#[cfg(feature = "armed")]
impl<'a> Event<'a> {
    /// The word and the paths.
    pub(crate) const fn parts(self) -> (&'static str, [Option<&'a str>; 2]) {
        match self {
            Self::Write(path) => ("write", [Some(path), None]),
            Self::Rename(from, to) => ("rename", [Some(from), Some(to)]),
            Self::Link(from, to) => ("link", [Some(from), Some(to)]),
            Self::Unlink(path) => ("unlink", [Some(path), None]),
            Self::MakeDirectory(path) => ("mkdir", [Some(path), None]),
            Self::RemoveDirectory(path) => ("rmdir", [Some(path), None]),
            Self::Sync(path) => ("sync", [Some(path), None]),
            Self::SyncDirectory(path) => ("syncdir", [Some(path), None]),
            Self::SyncFileSystem(path) => ("syncfs", [Some(path), None]),
            Self::Commit => ("commit", [None, None]),
        }
    }
}
