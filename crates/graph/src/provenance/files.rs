//! Which files of several RUNs can know a dataset.

use std::{collections::HashMap, sync::Arc};

use pantler_core::{CollectionName, DataId, DimensionGroup, KeyValue};

/// The files of several RUNs, by position.
#[derive(Debug)]
pub(super) struct Runs {
    /// In the order in which they come first.
    runs: Vec<Files>,
    by_name: HashMap<CollectionName, usize>,
}

/// The files of one RUN.
#[derive(Debug, Default)]
struct Files {
    all: Vec<u32>,
    /// What each is about; `None` if it is about everything.
    parts: Vec<Option<DataId>>,
    /// The same the other way round, if all are about parts by the same dimensions.
    by_part: Option<(Arc<DimensionGroup>, HashMap<DataId, u32>)>,
}

impl Runs {
    pub(super) fn new<'a>(
        files: &[CollectionName],
        part: impl Fn(usize) -> Option<&'a DataId>,
    ) -> Self {
        let mut runs: Vec<Files> = Vec::new();
        let mut by_name = HashMap::new();
        for ((position, file), run) in (0_u32..).enumerate().zip(files) {
            let at = *by_name.entry(run.clone()).or_insert(runs.len());
            if at == runs.len() {
                runs.push(Files::default());
            }
            runs[at].all.push(file);
            runs[at].parts.push(part(position).cloned());
        }
        runs.iter_mut().for_each(Files::sort);
        Self { runs, by_name }
    }

    /// Whether a RUN has several files.
    pub(super) fn has_several(&self, run: &CollectionName) -> bool {
        self.by_name.get(run).is_some_and(|at| self.runs[*at].all.len() > 1)
    }

    /// The files of a RUN that can know a dataset with this data ID, in order.
    pub(super) fn files_of(&self, run: &CollectionName, data_id: &DataId) -> Vec<u32> {
        self.by_name.get(run).map_or_else(Vec::new, |at| self.runs[*at].with(data_id))
    }

    /// The files of all RUNs that can know a dataset with this data ID, in order.
    pub(super) fn files(&self, data_id: &DataId) -> Vec<u32> {
        let mut files: Vec<u32> = self.runs.iter().flat_map(|run| run.with(data_id)).collect();
        files.sort_unstable();
        files
    }
}

impl Files {
    fn sort(&mut self) {
        let Some(Some(first)) = self.parts.first() else { return };
        let dimensions = Arc::clone(first.group());
        let alike = self.parts.iter().flatten().filter(|part| *part.group() == dimensions);
        let by_part: HashMap<DataId, u32> = alike.cloned().zip(self.all.iter().copied()).collect();
        if by_part.len() == self.all.len() {
            self.by_part = Some((dimensions, by_part));
        }
    }

    /// Those that can know a dataset with this data ID.
    fn with(&self, data_id: &DataId) -> Vec<u32> {
        if let Some((dimensions, by_part)) = &self.by_part {
            let names = dimensions.required().iter();
            let values = names.map(|name| data_id.get(name.as_str()).cloned());
            let values: Option<Vec<KeyValue>> = values.collect();
            if let Some(part) = values.and_then(|v| DataId::from_values(dimensions, v).ok()) {
                return by_part.get(&part).copied().into_iter().collect();
            }
        }
        let can_know = |part: &Option<DataId>| {
            part.as_ref().is_none_or(|part| {
                let mut values = part.iter();
                values.all(|(name, value)| data_id.get(name.as_str()).is_none_or(|v| v == value))
            })
        };
        let files = self.all.iter().zip(&self.parts).filter(|(_, part)| can_know(part));
        files.map(|(file, _)| *file).collect()
    }
}

#[cfg(test)]
mod tests {
    use pantler_core::Universe;

    use super::*;

    type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

    const UNIVERSE: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  visit: {key: integer, requires: [instrument]}
  detector: {key: integer, requires: [instrument]}
";

    #[test]
    fn a_data_id_tells_which_files_can_know_it() -> Result<()> {
        let universe = Universe::from_yaml(UNIVERSE)?;
        let data_id = |names: &[&str], values: Vec<KeyValue>| -> Result<DataId> {
            Ok(DataId::from_values(&universe.group(names.iter().copied())?, values)?)
        };
        let visit = |n: i64| data_id(&["visit"], vec!["x".into(), n.into()]);
        let image = |n: i64| data_id(&["visit", "detector"], vec!["x".into(), n.into(), 7.into()]);
        let flat = data_id(&["detector"], vec!["x".into(), 7.into()])?;
        let elsewhere = data_id(&["detector"], vec!["y".into(), 7.into()])?;
        let run = |name: &str| CollectionName::new(name);
        let names = [run("night")?, run("night")?, run("night")?, run("whole")?];
        let same = [Some(visit(1)?), Some(visit(2)?), Some(visit(3)?), None];
        let mut mixed = same.clone();
        mixed[1] = Some(data_id(&["instrument"], vec!["x".into()])?);
        for (parts, of_three, of_none) in [(same, vec![2], vec![]), (mixed, vec![1, 2], vec![1])] {
            let runs = Runs::new(&names, |file| parts[file].as_ref());
            assert!(runs.has_several(&names[0]) && !runs.has_several(&names[3]));
            assert_eq!(runs.files_of(&names[0], &image(3)?), of_three);
            assert_eq!(runs.files_of(&names[0], &image(9)?), of_none);
            assert_eq!(runs.files_of(&names[0], &flat), [0, 1, 2]);
            assert_eq!(runs.files_of(&names[0], &elsewhere), [0_u32; 0]);
            assert_eq!(runs.files(&DataId::empty()), [0, 1, 2, 3]);
            assert_eq!(runs.files(&elsewhere), [3]);
            assert_eq!(runs.files_of(&run("other")?, &flat), [0_u32; 0]);
        }
        Ok(())
    }
}
