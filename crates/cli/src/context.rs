//! What every command has at hand: the environment, the output, and the repository,
//! which is found when it is first asked for.

use std::cell::OnceCell;

use camino::{Utf8Path, Utf8PathBuf};
use pantler_direct::DirectButler;
use pantler_registry::OpenOptions;
use pantler_workspace::{open_butler, project::Project};

use crate::{
    environment::Environment,
    error::{CommandError, Next},
    output::Output,
};

/// What every command has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    environment: Environment,
    flag: Option<Utf8PathBuf>,
    output: Output,
    located: OnceCell<Utf8PathBuf>,
}

impl Context {
    pub(crate) fn new(environment: Environment, flag: Option<Utf8PathBuf>, output: Output) -> Self {
        Self { environment, flag, output, located: OnceCell::new() }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Clock, ids and owner for the libraries.
    pub(crate) fn butler_environment(&self) -> pantler_direct::Environment {
        pantler_direct::Environment::of_this_process(self.environment.owner.clone())
    }

    /// The repository that this command works on, if it has come to that.
    pub(crate) fn located(&self) -> Option<&Utf8Path> {
        self.located.get().map(Utf8PathBuf::as_path)
    }

    /// Whether `--repo` was given.
    pub(crate) fn has_flag(&self) -> bool {
        self.flag.is_some()
    }

    /// Says which repository this command works on, where the arguments tell it.
    pub(crate) fn locate_at(&self, repository: &Utf8Path) {
        self.located.get_or_init(|| self.absolute(repository));
    }

    /// The repository: `--repo`, else `PANTLER_REPO`, else the nearest folder upwards
    /// that has a `pantler.yaml`.
    pub(crate) fn repository(&self) -> Result<&Utf8Path, CommandError> {
        if let Some(found) = self.located.get() {
            return Ok(found);
        }
        let given = self.flag.as_ref().or(self.environment.repository.as_ref());
        let found = match given {
            Some(given) => self.absolute(given),
            None => nearest(&self.environment.current_dir).ok_or_else(|| {
                CommandError::usage(format!(
                    "no repository: there is no pantler.yaml in {} or above it, and no project with one",
                    self.environment.current_dir
                ))
                .next(Next::plain("name one with --repo REPO or PANTLER_REPO=REPO"))
            })?,
        };
        Ok(self.located.get_or_init(|| found))
    }

    /// Opens the repository to change it.
    pub(crate) fn open(&self) -> Result<DirectButler, CommandError> {
        self.open_with(&OpenOptions::default())
    }

    /// Opens the repository to read it.
    pub(crate) fn open_to_read(&self) -> Result<DirectButler, CommandError> {
        self.open_with(&OpenOptions { read_only: true, ..OpenOptions::default() })
    }

    fn open_with(&self, options: &OpenOptions) -> Result<DirectButler, CommandError> {
        Ok(open_butler(self.repository()?, self.butler_environment(), options)?)
    }

    /// A path as seen from the folder that the program was started in.
    pub(crate) fn absolute(&self, path: &Utf8Path) -> Utf8PathBuf {
        self.environment.current_dir.join(path)
    }
}

/// The nearest repository upwards, or that of the nearest project.
fn nearest(from: &Utf8Path) -> Option<Utf8PathBuf> {
    from.ancestors().find_map(|folder| {
        if folder.join("pantler.yaml").is_file() {
            return Some(folder.to_owned());
        }
        let project = Project::read(folder).ok()?;
        project.repository.join("pantler.yaml").is_file().then_some(project.repository)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(flag: Option<&str>, repository: Option<&str>, current_dir: &Utf8Path) -> Context {
        let environment = Environment {
            repository: repository.map(Utf8PathBuf::from),
            owner: "tester".to_owned(),
            path: String::new(),
            home: String::new(),
            variables: std::collections::BTreeMap::new(),
            current_dir: current_dir.to_owned(),
            program: Utf8PathBuf::from("pantler"),
        };
        Context::new(environment, flag.map(Utf8PathBuf::from), Output::default())
    }

    #[test]
    fn the_flag_wins_over_the_variable_over_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::File::create(root.join("pantler.yaml")).unwrap();
        let deep = root.join("a/b");
        assert_eq!(context(Some("x"), Some("y"), &deep).repository().unwrap(), deep.join("x"));
        assert_eq!(context(None, Some("/y"), &deep).repository().unwrap(), "/y");
        assert_eq!(context(None, None, &deep).repository().unwrap(), root);
    }

    #[test]
    fn without_a_repository_the_ways_to_name_one_are_said() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let error = context(None, None, root).repository().unwrap_err();
        let report = error.report(None);
        assert!(report.starts_with("error: no repository"), "{report}");
        assert!(report.contains("--repo REPO or PANTLER_REPO"), "{report}");
    }
}
