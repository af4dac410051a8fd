//! Sequences that once failed, as short as they can be.
