//! Groups that the configuration gives people, on top of those the person already has.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Group, Spanned, Subject};

/// The written groups, turned round: from member to group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    of_user: BTreeMap<String, BTreeSet<String>>,
    of_group: BTreeMap<String, BTreeSet<String>>,
    of_everyone: BTreeSet<String>,
}

impl Groups {
    /// From the tables `[group.NAME]`.
    pub(crate) fn new(written: &BTreeMap<String, Group>) -> Self {
        let members = |group: &'_ Group| -> Vec<Subject> {
            group
                .members
                .iter()
                .map(|member| Spanned::clone(member).value)
                .collect()
        };
        let written: Vec<_> = written
            .iter()
            .map(|(name, group)| (name.as_str(), members(group)))
            .collect();
        Self::of_members(
            written
                .iter()
                .map(|(name, members)| (*name, members.as_slice())),
        )
    }

    fn of_members<'a>(written: impl IntoIterator<Item = (&'a str, &'a [Subject])>) -> Self {
        let mut groups = Self::default();
        for (name, members) in written {
            for member in members {
                let of = match member {
                    Subject::User(user) => groups.of_user.entry(user.to_lowercase()).or_default(),
                    Subject::Group(group) => groups.of_group.entry(group.clone()).or_default(),
                    Subject::Everyone => &mut groups.of_everyone,
                };
                of.insert(name.to_owned());
            }
        }
        groups
    }

    /// Every group `user` is in: `own`, the written ones, and those that contain any of them.
    pub(crate) fn of(&self, user: &str, own: &BTreeSet<String>) -> BTreeSet<String> {
        let written = self.of_user.get(user).into_iter().flatten();
        self.closure(own.iter().chain(written).chain(&self.of_everyone))
    }

    /// `own` and every group that contains one of them.
    pub(crate) fn closure<'a>(
        &'a self,
        own: impl IntoIterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&String> = own.into_iter().collect();
        while let Some(group) = open.pop() {
            if found.insert(group.clone()) {
                open.extend(self.of_group.get(group).into_iter().flatten());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_within_groups_count_and_circles_end() {
        let members = [Subject::Group("b".to_owned())];
        let back = [
            Subject::Group("a".to_owned()),
            Subject::User("ana".to_owned()),
        ];
        let groups = Groups::of_members([("a", members.as_slice()), ("b", back.as_slice())]);
        let all: Vec<String> = groups.of("ana", &BTreeSet::new()).into_iter().collect();
        assert_eq!(all, ["a", "b"]);
        assert!(groups.of("bob", &BTreeSet::new()).is_empty());
    }
}
