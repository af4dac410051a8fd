//! What the verbs say to input that they cannot use.

use super::*;
