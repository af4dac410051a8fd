//! What a task is, so that it can be told whether another RUN's outputs are what it would make.

use std::collections::{BTreeMap, BTreeSet};

use pantler_core::{Checksum, ChecksumHasher};

use super::{
    Pipeline, TaskBody, TaskDefinition, Template,
    template::{Part, Placeholder},
};

/// The files and folders that a task's command and variables name by `{pipeline_dir}`, below
/// that; the empty text stands for the folder itself. `None` if they differ from quantum to
/// quantum.
pub fn named_files(pipeline: &Pipeline, task: &TaskDefinition) -> Option<BTreeSet<String>> {
    let config = pipeline.config_of(task);
    let value = |key: &str| config.get(key).map(ToString::to_string);
    let mut named = BTreeSet::new();
    for template in templates(task) {
        let mut path: Option<String> = None;
        for part in template.parts() {
            let text = match part {
                Part::Placeholder(Placeholder::PipelineDir) => {
                    named.extend(path.replace(String::new()).as_deref().map(finished));
                    continue;
                }
                Part::Text(text) => text.clone(),
                Part::Placeholder(Placeholder::Config(key)) => value(key.as_str())?,
                Part::Placeholder(_) if path.is_some() => return None,
                Part::Placeholder(_) => continue,
            };
            let Some(mut open) = path.take() else { continue };
            match text.find(ends) {
                None => {
                    open.push_str(&text);
                    path = Some(open);
                }
                Some(at) => {
                    open.push_str(&text[..at]);
                    if text[at..].starts_with(is_pattern) {
                        open.truncate(open.rfind('/').unwrap_or(0));
                    }
                    named.insert(finished(&open));
                }
            }
        }
        named.extend(path.as_deref().map(finished));
    }
    Some(named)
}

/// The digest of what a task is: command or Rust task, connections, configuration and
/// environment as the pipeline gives them, its `version`, and `files`, the content of what
/// [`named_files`] names. The version of Pantler counts if the command calls it. `None` for a
/// Rust task without a `version`: nothing says when its code has changed.
pub fn task_fingerprint(
    pipeline: &Pipeline,
    task: &TaskDefinition,
    files: &BTreeMap<String, Checksum>,
) -> Option<Checksum> {
    if matches!(task.body, TaskBody::Rust(_)) && task.version.is_none() {
        return None;
    }
    let mut hasher = ChecksumHasher::new();
    // Each piece with its length, so that no two lists of pieces give the same bytes.
    let mut add = |piece: &[u8]| {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    };
    add(b"pantler task 1");
    add(pipeline.task_json(task).as_bytes());
    let calls_pantler = templates(task)
        .flat_map(Template::placeholders)
        .any(|placeholder| *placeholder == Placeholder::Pantler);
    add(if calls_pantler { env!("CARGO_PKG_VERSION").as_bytes() } else { b"" });
    for (name, checksum) in files {
        add(name.as_bytes());
        add(checksum.as_bytes());
    }
    Some(hasher.finish())
}

fn templates(task: &TaskDefinition) -> impl Iterator<Item = &Template> {
    let command = match &task.body {
        TaskBody::Command(command) => command.arguments(),
        TaskBody::Rust(_) | TaskBody::Configuration => &[],
    };
    command.iter().chain(task.env.values())
}

/// Ends a path in a longer text, as in a line for a shell or in a list of folders.
fn ends(c: char) -> bool {
    c.is_whitespace() || "\"'`:;,|&<>()=#".contains(c) || is_pattern(c)
}

fn is_pattern(c: char) -> bool {
    "*?[]{}$~\\".contains(c)
}

fn finished(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(fields: &str) -> Pipeline {
        let text = format!(
            "version: 1\nconfig: {{name: daily}}\ntasks:\n  t:\n    dimensions: [city]\n    {fields}\n"
        );
        Pipeline::from_yaml(&text, "pipeline.yaml".into()).unwrap()
    }

    fn named(fields: &str) -> Option<Vec<String>> {
        let pipeline = pipeline(fields);
        named_files(&pipeline, &pipeline.tasks()["t"]).map(|named| named.into_iter().collect())
    }

    fn fingerprint(fields: &str) -> Option<Checksum> {
        let pipeline = pipeline(fields);
        task_fingerprint(&pipeline, &pipeline.tasks()["t"], &BTreeMap::new())
    }

    #[test]
    fn the_files_of_a_command_are_found() {
        let of = |command: &str| named(&format!("command: [sh, '{command}']"));
        let some = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of("{pipeline_dir}/tasks/a.sh"), some(&["tasks/a.sh"]));
        assert_eq!(of("{pipeline_dir}"), some(&[""]));
        assert_eq!(of("plain {data_id.city}"), some(&[]));
        assert_eq!(of("{pipeline_dir}/{config.name}.py"), some(&["daily.py"]));
        assert_eq!(of("{pipeline_dir}/{data_id.city}.py"), None, "another for each quantum");
        assert_eq!(of("{pipeline_dir}/a.py {data_id.city}"), some(&["a.py"]));
        assert_eq!(of("p={pipeline_dir}/a:{pipeline_dir}/b/"), some(&["a", "b"]));
        assert_eq!(of("cat {pipeline_dir}/rules/*.txt"), some(&["rules"]));
        assert_eq!(named("env: {LIBRARY: '{pipeline_dir}/lib'}\n    command: [x]"), some(&["lib"]));
    }

    #[test]
    fn whatever_the_task_is_given_makes_it_another() {
        let all = [
            "command: [sh]",
            "command: [sh, a]",
            "command: [sh]\n    version: 1",
            "command: [sh]\n    version: '2'",
            "command: [sh]\n    config: {a: 1}",
            "command: [sh]\n    config: {a: 2}",
            "command: [sh]\n    env: {A: x}",
            "command: [sh]\n    pass_env: [A]",
            "command: [sh]\n    inputs: {i: {type: x}}",
            "command: [sh]\n    outputs: {o: {type: x, storage_class: Csv}}",
            "task: sh\n    version: 1",
        ];
        let found: BTreeSet<_> = all.iter().map(|fields| fingerprint(fields).unwrap()).collect();
        assert_eq!(found.len(), all.len());
        assert_eq!(fingerprint("command: [sh] # with a shell"), fingerprint("command: [sh]"));
        assert_eq!(fingerprint("task: sh"), None, "its code may be any");
        let (own, pipeline) = (fingerprint("command: [sh]"), pipeline("command: [sh]"));
        let files = BTreeMap::from([("a".to_owned(), Checksum::of(b"x"))]);
        let with = task_fingerprint(&pipeline, &pipeline.tasks()["t"], &files);
        assert_ne!(own, with);
    }

    #[test]
    fn a_version_is_a_text_or_an_integer() {
        let version = |text: &str| {
            let fields = format!("command: [sh]\n    version: {text}");
            let text = format!("version: 1\ntasks:\n  t:\n    dimensions: []\n    {fields}\n");
            let pipeline = Pipeline::from_yaml(&text, "pipeline.yaml".into());
            pipeline.map(|pipeline| pipeline.tasks()["t"].version.clone())
        };
        assert_eq!(version("3").unwrap().as_deref(), Some("3"));
        assert_eq!(version("'1.10'").unwrap().as_deref(), Some("1.10"));
        for bad in ["1.10", "true", "[1]", "''"] {
            let fault = version(bad).unwrap_err().to_string();
            assert!(fault.contains("a text in quotes or an integer"), "{bad}: {fault}");
        }
        let pipeline = pipeline("command: [sh]\n    version: 7");
        let back = Pipeline::from_json(&pipeline.to_json(), "", "p.yaml".into()).unwrap();
        assert_eq!(back.digest(), pipeline.digest());
        assert_eq!(back.tasks()["t"].version.as_deref(), Some("7"));
    }
}
