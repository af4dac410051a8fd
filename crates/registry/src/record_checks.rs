use std::{collections::HashSet, sync::Arc};

use pantler_core::{DataId, DimensionGroup, Element, ElementName, KeyValue, Universe};

use crate::{
    RegistryError,
    derivation::Derivation,
    schema,
    sqlite::{Bulk, Db},
};

/// Which dimension records must exist for values of some dimensions, and how they are
/// found: what [`RecordChecks`] does, without a database.
pub(crate) struct RecordPlan(Vec<Planned>);

struct Planned {
    element: Arc<Element>,
    /// The dimensions of its data ID, and which of the values make it, if they do alone.
    group: Arc<DimensionGroup>,
    own: Option<Vec<usize>>,
    /// Which of the values the check depends on; each is parameter `position + 1`.
    positions: Vec<usize>,
    sql: String,
}

/// Checks that the dimension records exist which values of dimensions name. Values
/// that were checked once are not looked up again: a batch of datasets names few
/// records many times.
pub(crate) struct RecordChecks<'c, 'v> {
    checks: Vec<Check<'c, 'v>>,
}

struct Check<'c, 'v> {
    planned: &'c Planned,
    statement: Bulk<'c>,
    seen: HashSet<Vec<&'v KeyValue>>,
    /// What was checked last; the next dataset often has the same values.
    last: Vec<&'v KeyValue>,
}

impl RecordPlan {
    /// Plans to check the records of the dimensions `targets` for values of the
    /// dimensions `known`.
    pub(crate) fn new<'n>(
        universe: &Arc<Universe>,
        known: &[ElementName],
        targets: impl IntoIterator<Item = &'n ElementName>,
    ) -> Result<Self, RegistryError> {
        let plan = |target: &ElementName| {
            let element =
                universe.element(target.as_str()).map_err(|e| RegistryError::UniverseMismatch {
                    subject: format!("`{target}`"),
                    reason: e.to_string(),
                })?;
            let start =
                known.iter().enumerate().map(|(i, name)| (name.clone(), format!("?{}", i + 1)));
            let mut derivation = Derivation::new(universe, start);
            let (required, _) = schema::element_dimensions(universe, element);
            let mut conditions = Vec::new();
            for name in &required {
                // A dimension of a closed group follows from the group's key.
                let expression =
                    derivation.expression(name).ok_or_else(|| RegistryError::UniverseMismatch {
                        subject: format!("`{target}`"),
                        reason: format!("the value of `{name}` does not follow from the data ID"),
                    })?;
                conditions.push(format!("t.{} = {expression}", schema::dimension(name)));
            }
            // The joined tables first, so that `t` may name them in its condition.
            let joins = derivation.joins();
            let table = schema::element(target);
            let sql = format!(
                "SELECT 1 FROM (SELECT 1){joins} JOIN {table} t ON {}",
                conditions.join(" AND ")
            );
            let used = derivation.used();
            let positions = known.iter().enumerate().filter(|(_, name)| used.contains(*name));
            Ok(Planned {
                element: Arc::clone(element),
                group: universe.group_of(element),
                own: required.iter().map(|name| known.iter().position(|k| k == name)).collect(),
                positions: positions.map(|(position, _)| position).collect(),
                sql,
            })
        };
        targets.into_iter().map(plan).collect::<Result<_, _>>().map(Self)
    }
}

impl<'c, 'v> RecordChecks<'c, 'v> {
    /// Prepares what was planned.
    pub(crate) fn new(db: Db<'c>, plan: &'c RecordPlan) -> Result<Self, RegistryError> {
        let check = |planned: &'c Planned| {
            let statement = db.bulk(&planned.sql)?;
            Ok(Check { planned, statement, seen: HashSet::new(), last: Vec::new() })
        };
        plan.0.iter().map(check).collect::<Result<_, _>>().map(|checks| Self { checks })
    }

    /// Checks the records for `values`, which stand in the order of the dimensions
    /// known; `data_id` is what an error names if the missing record's own data ID
    /// does not follow from the values alone.
    pub(crate) fn check(
        &mut self,
        values: &[&'v KeyValue],
        data_id: &DataId,
    ) -> Result<(), RegistryError> {
        self.checks.iter_mut().try_for_each(|check| check.check(values, data_id))
    }
}

impl<'v> Check<'_, 'v> {
    fn check(&mut self, values: &[&'v KeyValue], data_id: &DataId) -> Result<(), RegistryError> {
        let same = |(&position, &last): (&usize, &&KeyValue)| *values[position] == *last;
        if !self.last.is_empty() && self.planned.positions.iter().zip(&self.last).all(same) {
            return Ok(());
        }
        let mut key = std::mem::take(&mut self.last);
        key.clear();
        key.extend(self.planned.positions.iter().map(|&position| values[position]));
        if self.seen.contains(&key) {
            self.last = key;
            return Ok(());
        }
        for (&position, value) in self.planned.positions.iter().zip(&key) {
            self.statement.bind_key(position + 1, value)?;
        }
        if self.statement.first(|_| Ok(()))?.is_none() {
            let own = self.planned.own.iter().flatten().map(|&position| values[position].clone());
            let own = DataId::from_values(&self.planned.group, own.collect());
            let data_id = own.unwrap_or_else(|_| data_id.clone());
            return Err(RegistryError::MissingDimensionRecord {
                element: self.planned.element.name.clone(),
                data_id,
            });
        }
        self.seen.insert(key.clone());
        self.last = key;
        Ok(())
    }
}
