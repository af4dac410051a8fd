//! From the files of a pipeline and what was said on top of them to the pipeline itself.

use std::{collections::BTreeMap, sync::Arc};

use camino::Utf8Path;
use pantler_core::TaskLabel;

use super::{
    Choices, Fault, FaultKind, GivenValue, Pipeline, PipelineError, ReadFile, TaskDefinition,
    parameters,
    parse::{self, Config},
    part::{Part, names},
    select::select,
};

/// Puts in parameters, then configuration values from files, then single ones; then leaves
/// out what was not selected.
pub(super) fn apply(
    part: &Arc<Part>,
    file: &Utf8Path,
    source: &str,
    choices: &Choices,
    read: &ReadFile<'_>,
) -> Result<Pipeline, PipelineError> {
    let mut making = Making {
        part,
        config: part.config.clone(),
        tasks: part
            .tasks
            .iter()
            .map(|(label, task)| (label.clone(), task.definition.clone()))
            .collect(),
        faults: Vec::new(),
    };
    let selected = select(part, file, &choices.select, &mut making.faults);
    making.put_in_parameters(choices);
    let is_selected = |label: &TaskLabel| selected.contains(label);
    making.files(choices, &is_selected, read);
    for choice in &choices.values {
        let set = making
            .task(&choice.task, &is_selected)
            .and_then(|label| making.set(&label, &choice.key, &choice.value));
        if let Err(kind) = set {
            making.faults.push(said(&choice.said, kind));
        }
    }
    let Making { config, mut tasks, faults, .. } = making;
    if !faults.is_empty() {
        return Err(PipelineError::sorted(faults));
    }
    let mut left_out = BTreeMap::new();
    tasks.retain(|label, task| {
        if selected.contains(label) {
            return true;
        }
        let outputs = task.outputs.values().chain(task.init.outputs.values());
        let outputs = outputs.map(|output| output.dataset_type.clone());
        left_out
            .extend(outputs.chain([label.log_dataset_type()]).map(|made| (made, label.clone())));
        false
    });
    let mut contracts = part.contracts.clone();
    contracts.retain(|standing| standing.contract.tasks().into_iter().all(&is_selected));
    parse::checked(Pipeline {
        file: file.to_owned(),
        source: source.to_owned(),
        config,
        tasks,
        contracts,
        left_out,
        places: part.places.clone(),
    })
}

struct Making<'a> {
    part: &'a Part,
    config: Config,
    tasks: BTreeMap<TaskLabel, TaskDefinition>,
    faults: Vec<Fault>,
}

impl Making<'_> {
    fn put_in_parameters(&mut self, choices: &Choices) {
        let mut values = self.part.parameters.clone();
        for choice in &choices.parameters {
            let set = match values.get_mut(&choice.name) {
                None => Err(FaultKind::NoSuch {
                    what: "parameter",
                    name: choice.name.clone(),
                    known: names(self.part.parameters.keys()),
                }),
                Some(value) => choice.value.in_place_of(value).map(|chosen| *value = chosen),
            };
            if let Err(kind) = set {
                self.faults.push(said(&choice.said, kind));
            }
        }
        let Self { part, config, tasks, faults } = self;
        let configs = tasks
            .iter_mut()
            .map(|(label, task)| (format!("tasks.{label}.config"), &mut task.config));
        for (path, config) in configs.chain([("config".to_owned(), config)]) {
            for (key, value) in config {
                match parameters::put_in(value, &values) {
                    Ok(filled) => *value = filled,
                    Err(kind) => faults.push(part.fault(format!("{path}.{key}"), kind)),
                }
            }
        }
    }

    fn files(
        &mut self,
        choices: &Choices,
        is_selected: &dyn Fn(&TaskLabel) -> bool,
        read: &ReadFile<'_>,
    ) {
        for choice in &choices.files {
            let label = match self.task(&choice.task, is_selected) {
                Ok(label) => label,
                Err(kind) => {
                    self.faults.push(said(&choice.said, kind));
                    continue;
                }
            };
            let text = match read(&choice.file) {
                Ok(text) => text.text,
                Err(error) => {
                    let (file, reason) = (choice.file.clone(), error.to_string());
                    self.faults.push(said(&choice.said, FaultKind::Unreadable { file, reason }));
                    continue;
                }
            };
            match parse::config_file(&text, &choice.file) {
                Ok((config, places)) => {
                    for (key, value) in config {
                        if let Err(kind) = self.set(&label, &key, &GivenValue::Value(value)) {
                            self.faults.push(places.fault(&choice.file, key, kind));
                        }
                    }
                }
                Err(mut faults) => self.faults.append(&mut faults),
            }
        }
    }

    fn task(
        &self,
        name: &str,
        is_selected: &dyn Fn(&TaskLabel) -> bool,
    ) -> Result<TaskLabel, FaultKind> {
        match self.tasks.get_key_value(name) {
            None => Err(self.part.no_task(&name)),
            Some((label, _)) if !is_selected(label) => Err(FaultKind::NotSelected(label.clone())),
            Some((label, _)) => Ok(label.clone()),
        }
    }

    fn set(&mut self, label: &TaskLabel, key: &str, value: &GivenValue) -> Result<(), FaultKind> {
        let Self { config, tasks, .. } = self;
        let Some(task) = tasks.get_mut(label) else { return Err(self.part.no_task(label)) };
        let Some(old) = task.config.get(key).or_else(|| config.get(key)) else {
            let mut known: Vec<&String> = task.config.keys().chain(config.keys()).collect();
            known.sort();
            known.dedup();
            return Err(FaultKind::NoSuchConfig {
                task: label.clone(),
                key: key.to_owned(),
                known: names(known.into_iter()),
            });
        };
        let value = value.in_place_of(old)?;
        task.config.insert(key.to_owned(), value);
        Ok(())
    }
}

/// A fault of what was said outside of the files.
fn said(place: &str, kind: FaultKind) -> Fault {
    Fault { file: place.into(), line: 0, key: String::new(), kind }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::pipeline::{ConfigChoice, ConfigFile, ParameterChoice, PipelineText};

    const TEXT: &str = "version: 1
parameters: {n: 2, word: w}
config: {unit: C}
tasks:
  a: {dimensions: [], config: {n: '{parameters.n}', on: true}, outputs: {o: {type: x, storage_class: Csv}}, command: [a, '{config.n}']}
  b: {dimensions: [], inputs: {i: x}, config: {text: '{parameters.word}-{parameters.n}'}, outputs: {o: {type: y, storage_class: Csv}}, command: [b]}
  c: {dimensions: [], inputs: {i: y}, command: [c]}
  d: {dimensions: [], inputs: {i: z}, command: [d]}
subsets:
  first: [a]
  most: {subset: [a, b], description: what is mostly wanted}
";

    fn load(text: &str, choices: &Choices) -> Result<Pipeline, String> {
        let read = |file: &Utf8Path| match file.as_str() {
            "more.yaml" => {
                let text = "n: 5\nunit: F\n".to_owned();
                Ok(PipelineText { identity: file.to_owned(), text })
            }
            "bad.yaml" => {
                let text = "n: [5]\nn: 6\n".to_owned();
                Ok(PipelineText { identity: file.to_owned(), text })
            }
            _ => Err(io::Error::other("it is not there")),
        };
        let root = PipelineText { identity: "p.yaml".into(), text: text.to_owned() };
        Pipeline::from_files("p.yaml".into(), &root, choices, &read).map_err(|e| e.to_string())
    }

    fn selected(names: &[&str]) -> Result<String, String> {
        let select = names.iter().map(|name| (*name).to_owned()).collect();
        let pipeline = load(TEXT, &Choices { select, ..Choices::default() })?;
        Ok(names_of(&pipeline))
    }

    fn names_of(pipeline: &Pipeline) -> String {
        pipeline.tasks().keys().map(TaskLabel::as_str).collect()
    }

    fn value(task: &str, key: &str, value: &str) -> ConfigChoice {
        let (task, key) = (task.to_owned(), key.to_owned());
        let said = format!("--set {task}:{key}={value}");
        ConfigChoice { said, task, key, value: GivenValue::Text(value.to_owned()) }
    }

    fn parameter(name: &str, value: &str) -> ParameterChoice {
        let said = format!("--parameter {name}={value}");
        let value = GivenValue::Text(value.to_owned());
        ParameterChoice { said, name: name.to_owned(), value }
    }

    fn file(task: &str, file: &str) -> ConfigFile {
        let said = format!("--set-file {task}:{file}");
        ConfigFile { said, task: task.to_owned(), file: file.into() }
    }

    #[test]
    fn tasks_are_selected() {
        for (names, expected) in [
            (&["a"][..], "a"),
            (&["most", "d"], "abd"),
            (&["a.."], "abc"),
            (&["..b"], "ab"),
            (&["b..c"], "bc"),
            (&["first..b", "d"], "abd"),
        ] {
            assert_eq!(selected(names), Ok(expected.to_owned()), "{names:?}");
        }
        let known = "there is a, b, c, d, first, most";
        for bad in ["e", "", "..", "a..e", "a...b"] {
            let name = if bad == "a..e" {
                "e"
            } else if bad == "a...b" {
                ".b"
            } else {
                bad
            };
            let expected = format!("p.yaml: #{bad}: there is no task or subset `{name}`; {known}");
            assert_eq!(selected(&[bad]), Err(expected));
        }
        assert_eq!(
            selected(&["d..a"]).unwrap_err(),
            "p.yaml: #d..a: no task is in this range: the end needs nothing of what the start makes"
        );
    }

    #[test]
    fn choices_change_the_digest_and_what_tasks_see() {
        let plain = load(TEXT, &Choices::default()).unwrap();
        let choices = Choices {
            select: Vec::new(),
            parameters: vec![parameter("n", "3")],
            files: vec![file("a", "more.yaml")],
            values: vec![value("a", "unit", "K"), value("b", "text", "7")],
        };
        let chosen = load(TEXT, &choices).unwrap();
        assert_ne!(plain.digest(), chosen.digest());
        let see = |pipeline: &Pipeline, label: &str| {
            let config = pipeline.config_of(&pipeline.tasks()[label]);
            config
                .iter()
                .map(|(key, value)| format!("{key}={value:?} "))
                .collect::<Vec<_>>()
                .concat()
        };
        assert_eq!(see(&plain, "a"), "n=Integer(2) on=Boolean(true) unit=String(\"C\") ");
        assert_eq!(see(&plain, "b"), "text=String(\"w-2\") unit=String(\"C\") ");
        assert_eq!(see(&chosen, "a"), "n=Integer(5) on=Boolean(true) unit=String(\"K\") ");
        assert_eq!(see(&chosen, "b"), "text=String(\"7\") unit=String(\"C\") ");
        // What was effective is read back as it is, whatever stands in it.
        let json = chosen.to_json();
        let back = Pipeline::from_json(&json, TEXT, "p.yaml".into()).unwrap();
        assert_eq!((back.digest(), &back), (chosen.digest(), &chosen));
    }

    #[test]
    fn choices_that_cannot_be_are_named_with_their_place() {
        let choices = Choices {
            select: vec!["most".to_owned()],
            parameters: vec![parameter("m", "3"), parameter("n", "three")],
            files: vec![file("a", "gone.yaml"), file("a", "bad.yaml"), file("b", "more.yaml")],
            values: vec![value("e", "n", "1"), value("a", "on", "1"), value("c", "unit", "K")],
        };
        assert_eq!(
            load(TEXT, &choices).unwrap_err(),
            "--parameter m=3: there is no parameter `m`; there is n, word\n\
             --parameter n=three: expected a number, as in the pipeline, found \"three\"\n\
             --set a:on=1: expected true or false, as in the pipeline, found \"1\"\n\
             --set c:unit=K: task `c` is not selected; select it too, or leave this out\n\
             --set e:n=1: there is no task `e`; there is a, b, c, d\n\
             --set-file a:gone.yaml: cannot read gone.yaml: it is not there\n\
             bad.yaml:2: n: this key stands twice; remove one\n\
             bad.yaml:2: n: expected a text, a finite number, true or false, found a list\n\
             more.yaml:1: n: task `b` has no configuration value `n`; it has text, unit"
        );
    }

    #[test]
    fn sections_that_do_not_fit_are_named() {
        let faults = |rest: &str| {
            let task = "  t: {dimensions: [], config: {a: 1}, command: [x]}";
            load(&format!("version: 1\ntasks:\n{task}\n{rest}"), &Choices::default()).unwrap_err()
        };
        assert_eq!(
            faults("parameters: {p: 1, q: [2]}\n"),
            "p.yaml:4: parameters.q: expected a text, a finite number, true or false, found a list"
        );
        assert_eq!(
            faults("parameters: {p: 1}\n"),
            "p.yaml:4: parameters.p: no configuration value uses this parameter (as `{parameters.p}`); remove it, or use it"
        );
        assert_eq!(
            faults("config: {x: 'a{parameters.p}'}\n"),
            "p.yaml:4: config.x: there is no parameter `p`; there is none"
        );
        assert_eq!(
            faults("subsets:\n  t: [t]\n  s: [u]\n  e: []\n"),
            "p.yaml:7: subsets.e: the subset names no task"
        );
        assert_eq!(
            faults("subsets:\n  t: [t]\n  s: [u]\n"),
            "p.yaml:5: subsets.t: there is a task of that name; give the subset another\n\
             p.yaml:6: subsets.s: there is no task `u`; there is t"
        );
        assert_eq!(
            faults("contracts:\n  - t.a = 1\n  - {message: x}\n"),
            "p.yaml:5: contracts[0]: expected `==`\n    t.a = 1\n        ^\n\
             p.yaml:6: contracts[1]: the field `contract` is missing"
        );
        assert_eq!(
            faults("contracts: [t.a == u.a]\n"),
            "p.yaml:4: contracts[0]: there is no task `u`; there is t"
        );
    }
}
