use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{DimensionGroup, ElementName, KeyType, MetadataType};

/// A metadata field of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataField {
    /// Its name.
    pub name: ElementName,
    /// The type of its values.
    pub metadata_type: MetadataType,
    /// Whether a record must give it. An element without required metadata gets
    /// its missing records inserted by ingest.
    pub required: bool,
}

/// A dimension, or a join of dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: ElementName,
    /// The type of its own key; `None` for a join of others.
    pub key: Option<KeyType>,
    /// Dimensions that are part of its identity.
    pub requires: Vec<ElementName>,
    /// Dimensions whose values its records give.
    pub implies: Vec<ElementName>,
    /// Its metadata.
    pub metadata: Vec<MetadataField>,
}

impl Element {
    /// Whether it is a dimension: has a key of its own.
    pub fn is_dimension(&self) -> bool {
        self.key.is_some()
    }

    /// Whether its records can be made from keys alone.
    pub fn needs_no_metadata(&self) -> bool {
        self.implies.is_empty() && self.metadata.iter().all(|field| !field.required)
    }
}

/// The set of dimension elements that a repository uses.
///
/// - element names are unique; required and implied names exist and are dimensions;
/// - nothing requires or implies itself, directly or through others;
/// - elements stand after everything that they require or imply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Universe {
    name: ElementName,
    elements: Vec<Arc<Element>>,
    index: BTreeMap<ElementName, usize>,
}

/// Elements that do not make a universe, or a question about one it does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// No element of that name.
    #[error("unknown dimension {name:?} in universe {universe:?}: it has {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The universe.
        universe: String,
        /// The dimensions there are.
        known: String,
    },
    /// An element that a group cannot hold: it is a join.
    #[error("`{0}` is not a dimension: it joins others and has no key of its own")]
    NotADimension(ElementName),
    /// Two elements of one name.
    #[error("element `{0}` is defined twice")]
    Duplicate(ElementName),
    /// A required or implied name that is not a dimension of this universe.
    #[error("element `{element}` names `{dependency}`, which is not a dimension of this universe")]
    Dependency {
        /// The element.
        element: ElementName,
        /// The name it gives.
        dependency: ElementName,
    },
    /// An element that depends on itself.
    #[error("element `{0}` depends on itself through what it requires or implies")]
    Cycle(ElementName),
    /// A join that requires fewer than one dimension or has implied ones only.
    #[error("element `{0}` has neither a key nor required dimensions")]
    NoIdentity(ElementName),
    /// A metadata name that stands twice or is also the name of a dimension.
    #[error("element `{element}`: metadata `{name}` stands twice or has the name of a dimension")]
    Metadata {
        /// The element.
        element: ElementName,
        /// The metadata field.
        name: ElementName,
    },
}

impl Universe {
    /// Checks `elements` and puts them in order.
    ///
    /// # Errors
    /// [`UniverseError`] for the first rule broken.
    pub fn new(name: ElementName, elements: &[Element]) -> Result<Self, UniverseError> {
        let mut by_name: BTreeMap<&ElementName, &Element> = BTreeMap::new();
        for element in elements {
            if by_name.insert(&element.name, element).is_some() {
                return Err(UniverseError::Duplicate(element.name.clone()));
            }
        }
        for element in elements {
            if element.key.is_none() && element.requires.is_empty() {
                return Err(UniverseError::NoIdentity(element.name.clone()));
            }
            for dependency in element.requires.iter().chain(&element.implies) {
                if !by_name.get(dependency).is_some_and(|e| e.is_dimension()) {
                    return Err(UniverseError::Dependency {
                        element: element.name.clone(),
                        dependency: dependency.clone(),
                    });
                }
            }
            let mut seen = BTreeSet::new();
            for field in &element.metadata {
                if by_name.contains_key(&field.name) || !seen.insert(&field.name) {
                    return Err(UniverseError::Metadata {
                        element: element.name.clone(),
                        name: field.name.clone(),
                    });
                }
            }
        }
        let mut order: Vec<&ElementName> = Vec::with_capacity(elements.len());
        let mut on_path = Vec::new();
        for element in elements {
            visit(&element.name, &by_name, &mut order, &mut on_path)?;
        }
        let ordered: Vec<Arc<Element>> =
            order.iter().map(|name| Arc::new(by_name[name].clone())).collect();
        let index = ordered.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        Ok(Self { name, elements: ordered, index })
    }

    /// Its name.
    pub fn name(&self) -> &ElementName {
        &self.name
    }

    /// All elements, each after everything it requires or implies.
    pub fn elements(&self) -> &[Arc<Element>] {
        &self.elements
    }

    /// The element called `name`.
    ///
    /// # Errors
    /// [`UniverseError::Unknown`], with the elements there are.
    pub fn element(&self, name: &str) -> Result<&Arc<Element>, UniverseError> {
        self.index.get(name).map(|&i| &self.elements[i]).ok_or_else(|| {
            let known: Vec<_> = self.elements.iter().map(|e| e.name.as_str()).collect();
            UniverseError::Unknown {
                name: name.to_owned(),
                universe: self.name.to_string(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            }
        })
    }

    /// The group of the dimensions `names`, with all that they require and imply.
    ///
    /// # Errors
    /// [`UniverseError::Unknown`] or [`UniverseError::NotADimension`].
    pub fn group<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Arc<DimensionGroup>, UniverseError> {
        let mut members = BTreeSet::new();
        for name in names {
            let element = self.element(name.as_ref())?;
            if !element.is_dimension() {
                return Err(UniverseError::NotADimension(element.name.clone()));
            }
            self.add_closure(&element.name, &mut members);
        }
        Ok(Arc::new(self.close(&members)))
    }

    /// The dimensions that identify a record of `element`, and those it implies.
    pub fn group_of(&self, element: &Element) -> Arc<DimensionGroup> {
        let mut members = BTreeSet::new();
        for name in element.requires.iter().chain(&element.implies) {
            self.add_closure(name, &mut members);
        }
        if element.is_dimension() {
            self.add_closure(&element.name, &mut members);
        }
        Arc::new(self.close(&members))
    }

    fn add_closure(&self, name: &ElementName, members: &mut BTreeSet<usize>) {
        let index = self.index[name];
        if members.insert(index) {
            let element = &self.elements[index];
            for dependency in element.requires.iter().chain(&element.implies) {
                self.add_closure(dependency, members);
            }
        }
    }

    /// Splits members into required and implied: implied is what another member
    /// implies and no required member requires.
    fn close(&self, members: &BTreeSet<usize>) -> DimensionGroup {
        let mut required: BTreeSet<usize> = members.clone();
        for &i in members {
            for implied in &self.elements[i].implies {
                required.remove(&self.index[implied]);
            }
        }
        let mut pending: Vec<usize> = required.iter().copied().collect();
        while let Some(i) = pending.pop() {
            for name in &self.elements[i].requires {
                if required.insert(self.index[name]) {
                    pending.push(self.index[name]);
                }
            }
        }
        let names = |keep: &dyn Fn(&usize) -> bool| {
            members.iter().filter(|i| keep(i)).map(|&i| self.elements[i].name.clone()).collect()
        };
        DimensionGroup::new(names(&|i| required.contains(i)), names(&|i| !required.contains(i)))
    }
}

fn visit<'a>(
    name: &'a ElementName,
    by_name: &BTreeMap<&'a ElementName, &'a Element>,
    order: &mut Vec<&'a ElementName>,
    on_path: &mut Vec<&'a ElementName>,
) -> Result<(), UniverseError> {
    if order.contains(&name) {
        return Ok(());
    }
    if on_path.contains(&name) {
        return Err(UniverseError::Cycle(name.clone()));
    }
    on_path.push(name);
    let element = by_name[name];
    for dependency in element.requires.iter().chain(&element.implies) {
        visit(dependency, by_name, order, on_path)?;
    }
    on_path.pop();
    order.push(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURVEY: &str = "
version: 1
name: survey
elements:
  instrument: {key: string}
  physical_filter: {key: string, requires: [instrument], implies: [band]}
  band: {key: string}
  visit: {key: integer, requires: [instrument], implies: [physical_filter]}
  detector: {key: integer, requires: [instrument]}
  visit_detector_region: {requires: [visit, detector]}
";

    fn names(names: &[ElementName]) -> Vec<&str> {
        names.iter().map(ElementName::as_str).collect()
    }

    #[test]
    fn groups_close_over_required_and_implied() -> Result<(), Box<dyn std::error::Error>> {
        let universe = Universe::from_yaml(SURVEY)?;
        let group = universe.group(["visit", "detector"])?;
        assert_eq!(names(group.required()), ["instrument", "visit", "detector"]);
        assert_eq!(names(group.implied()), ["band", "physical_filter"]);
        let filter = universe.group(["physical_filter"])?;
        assert_eq!(names(filter.required()), ["instrument", "physical_filter"]);
        assert!(universe.group(["visit"])?.is_superset(&filter));
        assert!(matches!(universe.group(["tract"]), Err(UniverseError::Unknown { .. })));
        assert!(matches!(
            universe.group(["visit_detector_region"]),
            Err(UniverseError::NotADimension(_))
        ));
        Ok(())
    }

    #[test]
    fn a_universe_survives_writing_and_reading() -> Result<(), Box<dyn std::error::Error>> {
        let universe = Universe::from_yaml(SURVEY)?;
        assert_eq!(Universe::from_json(&universe.to_json())?, universe);
        Ok(())
    }

    #[test]
    fn faults_are_named() {
        let fault = |elements: &str| {
            Universe::from_yaml(&format!("version: 1\nname: u\nelements:\n{elements}"))
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            fault("  a: {key: string, requires: [b]}\n  b: {key: string, implies: [a]}\n"),
            Err("element `a` depends on itself through what it requires or implies".to_owned())
        );
        assert!(fault("  a: {key: string, requires: [z]}\n").is_err());
        assert!(fault("  a: {}\n").is_err());
        assert!(fault("  a: {key: date}\n").is_err());
        assert!(fault("  a: {key: string, metadata: {a: {type: string}}}\n").is_err());
    }
}
