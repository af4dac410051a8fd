//! The one place that reads the environment of the process.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

/// What the program takes from around it.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// `PANTLER_REPO`, unless it is empty.
    pub(crate) repository: Option<Utf8PathBuf>,
    /// The user, as recorded with transactions.
    pub(crate) owner: String,
    /// `PATH`: where programs are found.
    pub(crate) path: String,
    /// `HOME`.
    pub(crate) home: String,
    /// All variables that are UTF-8, for tasks that ask for them with `pass_env`.
    pub(crate) variables: BTreeMap<String, String>,
    /// The folder that the program was started in.
    pub(crate) current_dir: Utf8PathBuf,
    /// This program.
    pub(crate) program: Utf8PathBuf,
}

impl Environment {
    /// Reads it.
    pub(crate) fn of_this_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let of = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let utf8 =
            |path: std::io::Result<_>| path.ok().and_then(|p| Utf8PathBuf::from_path_buf(p).ok());
        Self {
            repository: of("PANTLER_REPO").map(Utf8PathBuf::from),
            owner: of("USER").or_else(|| of("LOGNAME")).unwrap_or_else(|| "unknown".to_owned()),
            path: of("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            home: of("HOME").unwrap_or_else(|| "/".to_owned()),
            // A relative path still works where the folder cannot be named.
            current_dir: utf8(std::env::current_dir()).unwrap_or_else(|| Utf8PathBuf::from(".")),
            program: utf8(std::env::current_exe()).unwrap_or_else(|| Utf8PathBuf::from("pantler")),
            variables,
        }
    }
}
