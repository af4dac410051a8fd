use std::fmt;

use crate::ElementName;

/// A set of dimensions, closed under what they require and imply, in the order of
/// the universe. Made by [`crate::Universe::group`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DimensionGroup {
    required: Box<[ElementName]>,
    implied: Box<[ElementName]>,
}

impl DimensionGroup {
    /// The group without dimensions: its one data ID is the empty one.
    pub fn empty() -> Self {
        Self { required: Box::default(), implied: Box::default() }
    }

    pub(super) fn new(required: Vec<ElementName>, implied: Vec<ElementName>) -> Self {
        Self { required: required.into(), implied: implied.into() }
    }

    /// The dimensions whose values identify a data ID.
    pub fn required(&self) -> &[ElementName] {
        &self.required
    }

    /// The dimensions whose values follow from the required ones.
    pub fn implied(&self) -> &[ElementName] {
        &self.implied
    }

    /// All dimensions: the required ones, then the implied ones.
    pub fn names(&self) -> impl Iterator<Item = &ElementName> {
        self.required.iter().chain(&self.implied)
    }

    /// Whether `name` is one of the dimensions.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|n| n.as_str() == name)
    }

    /// Whether every dimension of `other` is one of this group's.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.names().all(|name| self.contains(name.as_str()))
    }

    /// Whether there are no dimensions.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
    }

    /// The required dimensions joined by commas: a stable text for the database.
    pub fn key(&self) -> String {
        let names: Vec<_> = self.required.iter().map(ElementName::as_str).collect();
        names.join(",")
    }
}

impl fmt::Display for DimensionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.key().replace(',', ", "))
    }
}
