//! The bundled list of common passwords.
//!
//! What the list is: passwords of 12 characters or more that guessing tools try first, composed for this program by rule
//! (see the head of `common-passwords.txt`): well-known long passwords and phrases, keyboard walks, and common words with
//! the usual endings. What it is not: a collection of leaked passwords. It stops the obvious choices, nothing more.

use std::collections::HashSet;
use std::sync::LazyLock;

static LIST: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common-passwords.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect()
});

/// Is `folded`, a password in lower case, on the list? Spaces and the usual separators do not hide a phrase.
pub(super) fn contains(folded: &str) -> bool {
    let bare = || -> String {
        folded
            .chars()
            .filter(|sign| !matches!(sign, ' ' | '-' | '_' | '.'))
            .collect()
    };
    LIST.contains(folded) || LIST.contains(bare().as_str())
}

#[cfg(test)]
mod tests {
    use super::{LIST, contains};

    #[test]
    fn every_entry_is_lower_case_and_at_least_twelve_characters() {
        assert!(LIST.len() > 3000, "{}", LIST.len());
        for entry in LIST.iter() {
            assert!(entry.chars().count() >= 12, "{entry}");
            assert_eq!(*entry, entry.to_lowercase());
        }
    }

    #[test]
    fn separators_do_not_hide_a_phrase() {
        assert!(contains("correct horse battery staple"));
        assert!(contains("correct-horse-battery-staple"));
        assert!(!contains("walnut clock harbour seven"));
    }
}
