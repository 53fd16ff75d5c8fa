//! The names of our cookies and how they are set. Every one is host-only, https-only and out of reach of scripts.
//!
//! The names all begin with the session cookie's name: whoever strips cookies by that beginning strips them all.

use std::time::Duration;

/// Characters of a random reference: 256 bits in base64url.
const REFERENCE: usize = 43;

/// The cookies of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CookieNames {
    /// A session on one host.
    pub(crate) session: String,
    /// A sign-in under way, portal only.
    pub(crate) sign_in: String,
    /// An enrolment under way, portal only.
    pub(crate) enrolment: String,
    /// Binds a hand-over to the browser that asked for it, app hosts only.
    pub(crate) flow: String,
    /// Proves that this browser has signed in before, portal only.
    pub(crate) device: String,
}

impl CookieNames {
    /// `session` is the configured name; it begins with `__Host-` (RFC 6265bis section 4.1.3.2).
    pub(crate) fn from_session(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            sign_in: format!("{session}-signin"),
            enrolment: format!("{session}-enrol"),
            flow: format!("{session}-flow"),
            device: format!("{session}-device"),
        }
    }
}

/// The value of a `Set-Cookie` header. Without `max_age` the cookie ends with the browser.
pub(crate) fn set(name: &str, value: &str, max_age: Option<Duration>) -> String {
    let mut text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
    if let Some(age) = max_age {
        text.push_str(&format!("; Max-Age={}", age.as_secs()));
    }
    text
}

/// The value of a `Set-Cookie` header that makes the browser forget the cookie.
pub(crate) fn clear(name: &str) -> String {
    set(name, "", Some(Duration::ZERO))
}

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
    use std::time::Duration;

    use super::{CookieNames, Presented, clear, is_reference, set};
    use crate::keys::random;

    #[test]
    fn cookies_are_host_only_and_out_of_reach_of_scripts() {
        let names = CookieNames::from_session("__Host-portcullis");
        assert_eq!(
            set(&names.session, "abc", None),
            "__Host-portcullis=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            set(&names.device, "abc", Some(Duration::from_secs(60))),
            "__Host-portcullis-device=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        assert!(clear(&names.flow).ends_with("; Max-Age=0"));
    }

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
