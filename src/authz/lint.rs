//! What is valid Cedar and still surely not meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Problems;

use super::routes::RouteFacts;
use super::rule::Rule;

/// Names that exist outside the policies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Groups with the number of their members where it is known.
    pub(crate) groups: BTreeMap<String, Option<u64>>,
    pub(crate) services: BTreeSet<String>,
    pub(crate) tenants: BTreeSet<String>,
    /// `true` when every group is in the list, so that any other is a mistake.
    pub(crate) complete: bool,
}

pub(crate) fn check(
    _rules: &[Rule],
    _routes: &[RouteFacts],
    _names: &Names,
    _problems: &mut Problems,
) {
}
