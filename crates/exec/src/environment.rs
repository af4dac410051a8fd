//! What commands see of the world around them.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

/// The environment of commands: values that the caller read, so that this crate
/// reads none. By default empty, which is enough for Rust tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `PATH`: where programs are found.
    pub path: String,
    /// `HOME`.
    pub home: String,
    /// All variables that a task may ask for with `pass_env`.
    pub variables: BTreeMap<String, String>,
    /// What `{pipeline_dir}` stands for.
    pub pipeline_dir: Utf8PathBuf,
    /// What `{pantler}` stands for: this program.
    pub pantler: Utf8PathBuf,
}
