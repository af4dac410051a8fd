//! Dimensions: the named axes that label data.
//!
//! An *element* is a dimension (it has a key of its own) or a join of several. It
//! may *require* dimensions (their values are part of its identity: a `detector`
//! requires its `instrument`) and *imply* dimensions (their values follow from it:
//! a `visit` implies its `physical_filter`). The *universe* is the set of elements
//! that a repository uses; a *group* is a set of dimensions closed under both.

mod format;
mod group;
mod universe;

pub use format::UniverseFormatError;
pub use group::DimensionGroup;
pub use universe::{Element, MetadataField, Universe, UniverseError};
