//! Groups written in the file: who may be a member, and that membership ends somewhere.

use std::collections::BTreeMap;

use crate::config::problem::Problems;
use crate::config::rules::Group;
use crate::config::types::Subject;

/// Adds the findings about `groups`.
pub(super) fn check(groups: &BTreeMap<String, Group>, problems: &mut Problems) {
    for (name, group) in groups {
        for member in &group.members {
            let Subject::Everyone = member.value else {
                continue;
            };
            problems
                .error("PC1114")
                .message(format!("`everyone` cannot be a member of [group.{name}]"))
                .at(member.at())
                .help("write `everyone` in the route's `allow`");
        }
        if contains(groups, name, name, &mut Vec::new()) {
            problems
                .error("PC1412")
                .message(format!("[group.{name}] contains itself"))
                .at(&group.at);
        }
    }
}

/// `true` when `wanted` is a member of `group`, directly or through others.
fn contains<'g>(
    groups: &'g BTreeMap<String, Group>,
    group: &'g str,
    wanted: &str,
    seen: &mut Vec<&'g str>,
) -> bool {
    if seen.contains(&group) {
        return false;
    }
    seen.push(group);
    let members = groups
        .get(group)
        .map(|group| group.members.as_slice())
        .unwrap_or_default();
    members.iter().any(|member| match &member.value {
        Subject::Group(name) => name == wanted || contains(groups, name, wanted, seen),
        Subject::User(_) | Subject::Everyone => false,
    })
}
