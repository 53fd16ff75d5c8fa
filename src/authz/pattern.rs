//! Cedar's `like`, outside Cedar: which of the paths a policy asks about a request has.
//!
//! Only the key of the decision memory is made of these answers; a decision itself is always Cedar's.

use cedar_policy::pst::PatternElem;

/// A pattern as `like` takes it: characters, and wildcards that stand for any number of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    /// The texts between the wildcards; one more than there are wildcards.
    parts: Vec<String>,
}

impl Pattern {
    pub(crate) fn new(elements: &[PatternElem]) -> Self {
        let mut parts = vec![String::new()];
        for element in elements {
            match element {
                PatternElem::Wildcard => parts.push(String::new()),
                PatternElem::Char(letter) => {
                    if let Some(last) = parts.last_mut() {
                        last.push(*letter);
                    }
                }
            }
        }
        Self { parts }
    }

    /// The pattern that only `text` matches.
    pub(crate) fn exactly(text: &str) -> Self {
        Self {
            parts: vec![text.to_owned()],
        }
    }
    /// Leftmost matching of the parts is enough, because every wildcard admits any text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            let Some((_, after)) = rest.split_once(part.as_str()) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{EvalResult, Expression, Request, eval_expression};
    use proptest::prelude::*;

    use super::*;
    use crate::authz::schema::Kind;

    fn elements(text: &str) -> Vec<PatternElem> {
        text.chars()
            .map(|letter| match letter {
                '*' => PatternElem::Wildcard,
                letter => PatternElem::Char(letter),
            })
            .collect()
    }

    fn cedar_says(text: &str, pattern: &str) -> bool {
        let expression: Expression = format!("\"{text}\" like \"{pattern}\"").parse().unwrap();
        let user = Kind::User.uid("x");
        let request = Request::new(
            user.clone(),
            Kind::Action.uid("GET"),
            user,
            cedar_policy::Context::empty(),
            None,
        )
        .unwrap();
        let answer = eval_expression(&request, &cedar_policy::Entities::empty(), &expression);
        answer.unwrap() == EvalResult::Bool(true)
    }

    proptest! {
        #[test]
        fn agrees_with_cedar(text in "[ab/]{0,8}", pattern in "[ab/*]{0,6}") {
            prop_assert_eq!(
                Pattern::new(&elements(&pattern)).matches(&text),
                cedar_says(&text, &pattern)
            );
        }
    }

    #[test]
    fn an_exact_pattern_matches_one_text() {
        assert!(Pattern::exactly("/a").matches("/a"));
        assert!(!Pattern::exactly("/a").matches("/ab"));
    }
}
