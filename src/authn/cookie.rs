//! What our cookies are for, and what a value must look like before it is looked up.
//!
//! How they are found, stripped and set is `message::cookie`'s business; what they open is decided elsewhere here.

/// Characters of a random reference: 256 bits in base64url.
const REFERENCE: usize = 43;

/// A sign-in under way, portal only. These words continue the session cookie's name: `__Host-portcullis-signin`.
pub(crate) const SIGN_IN: &str = "signin";
/// An enrolment under way, portal only.
pub(crate) const ENROLMENT: &str = "enrol";
/// Binds a hand-over to the browser that asked for it, app hosts only.
pub(crate) const FLOW: &str = "flow";
/// Proves that this browser has signed in before, portal only.
pub(crate) const DEVICE: &str = "device";

/// Could this be one of our random references? Everything else is refused before any look-up.
pub(crate) fn is_reference(value: &str) -> bool {
    value.len() == REFERENCE
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What a request presents under one cookie name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    Nothing,
    One(&'a str),
    /// Two different values: somebody planted one of them.
    Conflicting,
}

#[cfg(test)]
impl<'a> Presented<'a> {
    /// Repeating the same value is harmless; two values are not.
    pub(crate) fn of(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return Self::Nothing;
        };
        if values.all(|other| other == first) {
            Self::One(first)
        } else {
            Self::Conflicting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Presented, is_reference};
    use crate::keys::random;

    #[test]
    fn only_our_own_references_look_like_references() {
        assert!(is_reference(random::token().expose()));
        for value in [
            "",
            "abc",
            &"a".repeat(44),
            &"a".repeat(42),
            &"é".repeat(21),
            &" ".repeat(43),
        ] {
            assert!(!is_reference(value), "{value}");
        }
    }

    #[test]
    fn two_different_values_conflict_and_a_repeated_one_does_not() {
        assert_eq!(Presented::of([]), Presented::Nothing);
        assert_eq!(Presented::of(["a"]), Presented::One("a"));
        assert_eq!(Presented::of(["a", "a"]), Presented::One("a"));
        assert_eq!(Presented::of(["a", "b"]), Presented::Conflicting);
        assert_eq!(Presented::of(["a", ""]), Presented::Conflicting);
    }
}
