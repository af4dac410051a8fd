//! A pipeline file and those that it imports.

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Fault, FaultKind, PipelineError, PipelineText, ReadFile, parse,
    part::{Imported, Part, merge},
    sections::Import,
};

/// How deep imports may nest.
const DEPTH: usize = 100;

/// Reads `file`, whose text is `root`, and what it imports.
pub(super) fn read(
    file: &Utf8Path,
    root: &PipelineText,
    read: &ReadFile<'_>,
) -> Result<Arc<Part>, PipelineError> {
    let mut files = Files { read, parts: BTreeMap::new(), open: Vec::new(), faults: Vec::new() };
    match files.part(file, root) {
        Some(part) => Ok(part),
        None => Err(PipelineError { faults: files.faults }),
    }
}

struct Files<'a> {
    read: &'a ReadFile<'a>,
    /// Files that were read, by identity; `None` for one with faults.
    parts: BTreeMap<Utf8PathBuf, Option<Arc<Part>>>,
    /// The files that are being read, each imported by the one before: identity and name.
    open: Vec<(Utf8PathBuf, Utf8PathBuf)>,
    faults: Vec<Fault>,
}

impl Files<'_> {
    /// A file and what it imports; `None` if there were faults.
    fn part(&mut self, file: &Utf8Path, text: &PipelineText) -> Option<Arc<Part>> {
        if let Some(known) = self.parts.get(&text.identity) {
            return known.clone();
        }
        let part = self.read_part(file, text).map(Arc::new);
        self.parts.insert(text.identity.clone(), part.clone());
        part
    }

    fn read_part(&mut self, file: &Utf8Path, text: &PipelineText) -> Option<Part> {
        let mut parsed = parse::file(&text.text, file, &mut self.faults)?;
        let imports = std::mem::take(&mut parsed.sections.imports);
        self.open.push((text.identity.clone(), file.to_owned()));
        let count = imports.len();
        let imported: Vec<Imported> =
            imports.into_iter().filter_map(|import| self.import(file, import)).collect();
        self.open.pop();
        if imported.len() < count {
            return None;
        }
        let mut faults = Vec::new();
        let merged = merge(parsed, &imported, file, &text.identity, &mut faults);
        if merged.tasks.is_empty() && faults.is_empty() {
            faults.push(merged.fault("imports".to_owned(), FaultKind::NoTasks));
        }
        let is_good = faults.is_empty();
        self.faults.append(&mut PipelineError::sorted(faults).faults);
        is_good.then_some(merged)
    }

    fn import(&mut self, importing: &Utf8Path, import: Import) -> Option<Imported> {
        let folder = importing.parent().unwrap_or("".into());
        let file = folder.join(&import.location);
        let result = match (self.read)(&file) {
            Err(error) => {
                Err(FaultKind::Unreadable { file: file.clone(), reason: error.to_string() })
            }
            Ok(text) => match self.open.iter().position(|(open, _)| *open == text.identity) {
                Some(start) => {
                    let files = self.open[start..].iter().chain(&self.open[start..=start]);
                    let files: Vec<&str> = files.map(|(_, file)| file.as_str()).collect();
                    Err(FaultKind::ImportCycle { files: files.join(" imports ") })
                }
                None if self.open.len() > DEPTH => Err(FaultKind::ImportDepth(DEPTH)),
                None => Ok(text),
            },
        };
        match result {
            Ok(text) => {
                let part = self.part(&file, &text)?;
                Some(Imported { import, file, part })
            }
            Err(kind) => {
                self.faults.push(import.place.fault(&import.key, kind));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::pipeline::{Choices, Pipeline};

    /// A task that reads one dataset type, if any, and makes `made_<label>`.
    fn task(label: &str, input: &str, config: &str) -> String {
        let inputs =
            if input.is_empty() { String::new() } else { format!("inputs: {{i: {input}}}, ") };
        format!(
            "  {label}: {{dimensions: [], {inputs}config: {{{config}}}, outputs: {{o: {{type: made_{label}, storage_class: Csv}}}}, command: [sh, '{{pipeline_dir}}/{label}.sh']}}\n"
        )
    }

    fn load(files: &[(&str, String)]) -> Result<Pipeline, String> {
        let read = |file: &Utf8Path| {
            // As a file system would see it.
            let mut identity: Vec<&str> = Vec::new();
            for component in file.as_str().split('/') {
                match component {
                    ".." => drop(identity.pop()),
                    other => identity.push(other),
                }
            }
            let identity = identity.join("/");
            let found = files.iter().find(|(name, _)| *name == identity);
            let (_, text) = found.ok_or_else(|| io::Error::other("it is not there"))?;
            Ok(PipelineText { identity: identity.into(), text: text.clone() })
        };
        let file = Utf8Path::new(files[0].0);
        let root = read(file).map_err(|error: io::Error| error.to_string())?;
        Pipeline::from_files(file, &root, &Choices::default(), &read)
            .map_err(|error| error.to_string())
    }

    fn imports(list: &str, rest: &str) -> String {
        format!("version: 1\nimports: {list}\n{rest}")
    }

    fn labels(pipeline: &Pipeline) -> Vec<&str> {
        pipeline.tasks().keys().map(pantler_core::TaskLabel::as_str).collect()
    }

    #[test]
    fn imported_tasks_run_beside_their_own_file() {
        let lower = format!("version: 1\ntasks:\n{}", task("c", "", ""));
        let upper = imports("[../low/c.yaml]", &format!("tasks:\n{}", task("b", "made_c", "")));
        let root =
            imports("[{location: lib/up/b.yaml}]", &format!("tasks:\n{}", task("a", "made_b", "")));
        let pipeline =
            load(&[("d/a.yaml", root), ("d/lib/up/b.yaml", upper), ("d/lib/low/c.yaml", lower)]);
        let pipeline = pipeline.unwrap();
        assert_eq!(labels(&pipeline), ["a", "b", "c"]);
        let json = pipeline.to_json();
        for command in [
            r#"["sh","{pipeline_dir}/a.sh"]"#,
            r#"["sh","{pipeline_dir}/lib/up/b.sh"]"#,
            r#"["sh","{pipeline_dir}/lib/up/../low/c.sh"]"#,
        ] {
            assert!(json.contains(command), "{json}");
        }
    }

    #[test]
    fn what_is_included_excluded_replaced_and_overridden() {
        let base = format!(
            "version: 1\nparameters: {{n: 1, unused_later: x}}\nconfig: {{unit: C}}\ntasks:\n{}{}{}subsets: {{two: [a, b]}}\ncontracts: [a.n == b.n]\n",
            task("a", "", "n: '{parameters.n}'"),
            task("b", "", "n: '{parameters.n}'"),
            task("c", "", "x: '{parameters.unused_later}'"),
        );
        let with = |head: &str, rest: &str| {
            load(&[("root.yaml", imports(head, rest)), ("base.yaml", base.clone())])
        };
        let names = |head: &str| with(head, "").map(|p| labels(&p).join(" "));
        assert_eq!(names("[base.yaml]"), Ok("a b c".to_owned()));
        assert_eq!(names("[{location: base.yaml, include: [two]}]"), Ok("a b".to_owned()));
        assert_eq!(names("[{location: base.yaml, exclude: [two]}]"), Ok("c".to_owned()));
        assert_eq!(names("[{location: base.yaml, include: [a, c]}]"), Ok("a c".to_owned()));
        let replaced = with(
            "[base.yaml]",
            &format!(
                "parameters: {{n: 7}}\nconfig: {{unit: F}}\ntasks:\n{}",
                task("a", "", "n: 8")
            ),
        )
        .unwrap();
        let value = |label: &str, key: &str| {
            replaced.config_of(&replaced.tasks()[label]).get(key).map(ToString::to_string)
        };
        assert_eq!(value("a", "n").as_deref(), Some("8"));
        assert_eq!(value("b", "n").as_deref(), Some("7"));
        assert_eq!(value("b", "unit").as_deref(), Some("F"));
        assert_eq!(
            with("[{location: base.yaml, exclude: [two]}]", "parameters: {n: 2}\n").unwrap_err(),
            "root.yaml:3: parameters.n: no configuration value uses this parameter (as `{parameters.n}`); remove it, or use it"
        );
        assert_eq!(
            with("[base.yaml]", "parameters: {n: many}\n").unwrap_err(),
            "root.yaml:3: parameters.n: expected a number, as in the pipeline, found a text"
        );
        assert_eq!(
            names("[{location: base.yaml, include: [d]}]").unwrap_err(),
            "root.yaml:2: imports[0].include[0]: there is no task or subset `d`; there is a, b, c, two"
        );
        assert_eq!(
            names("[{location: base.yaml, exclude: [two, c]}]").unwrap_err(),
            "root.yaml:2: imports: the pipeline has no tasks"
        );
        assert_eq!(
            names("[{location: base.yaml, exclude: [a], include: [b]}]").unwrap_err(),
            "root.yaml:2: imports[0]: the import has both `include` and `exclude`; remove one"
        );
    }

    #[test]
    fn two_files_may_not_say_different_things() {
        let one = |x: &str| {
            format!(
                "version: 1\nconfig: {{x: {x}}}\ntasks:\n{}subsets: {{s: [t]}}\n",
                task("t", "", "")
            )
        };
        let both = |rest: &str| {
            load(&[
                ("root.yaml", imports("[one.yaml, two.yaml]", rest)),
                ("one.yaml", one("1")),
                ("two.yaml", one("2")),
            ])
        };
        assert_eq!(
            both("").unwrap_err(),
            "root.yaml:2: imports[1]: configuration value `x` comes from one.yaml and from two.yaml, and they differ; give it here\n\
             root.yaml:2: imports[1]: task `t` comes from one.yaml and from two.yaml, and they differ; exclude it from one of the imports, or give it here"
        );
        let here = format!("config: {{x: 3}}\ntasks:\n{}", task("t", "", "x: 4"));
        assert_eq!(labels(&both(&here).unwrap()), ["t"]);
        // The same file by two ways.
        let way = imports("[base.yaml]", "");
        let diamond = [
            ("root.yaml", imports("[l.yaml, r.yaml]", "")),
            ("l.yaml", way.clone()),
            ("r.yaml", way),
            ("base.yaml", one("1")),
        ];
        assert_eq!(labels(&load(&diamond).unwrap()), ["t"]);
    }

    #[test]
    fn cycles_and_missing_files_are_named() {
        assert_eq!(
            load(&[
                ("d/a.yaml", imports("[b.yaml]", "")),
                ("d/b.yaml", imports("\n  - ../d/c.yaml", "")),
                ("d/c.yaml", imports("[b.yaml]", "")),
            ])
            .unwrap_err(),
            "d/../d/c.yaml:2: imports[0]: cycle of imports: d/b.yaml imports d/../d/c.yaml imports d/b.yaml; remove one of them"
        );
        assert_eq!(
            load(&[("a.yaml", imports("[a.yaml]", ""))]).unwrap_err(),
            "a.yaml:2: imports[0]: cycle of imports: a.yaml imports a.yaml; remove one of them"
        );
        assert_eq!(
            load(&[
                ("a.yaml", imports("[{location: b.yaml}, c.yaml]", "")),
                ("c.yaml", "version: 1\ntasks: {t: {}}\n".to_owned())
            ])
            .unwrap_err(),
            "a.yaml:2: imports[0].location: cannot read b.yaml: it is not there\n\
             c.yaml:2: tasks.t: the field `dimensions` is missing\n\
             c.yaml:2: tasks.t: the task has nothing to run; give it a `command` or a `task`"
        );
        let deep: Vec<(String, String)> = (0..200)
            .map(|n| (format!("{n}.yaml"), imports(&format!("[{}.yaml]", n + 1), "")))
            .collect();
        let deep: Vec<(&str, String)> = deep.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        assert_eq!(
            load(&deep).unwrap_err(),
            "100.yaml:2: imports[0]: imports are more than 100 deep"
        );
    }
}
