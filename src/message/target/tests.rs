//! Targets that mean one thing, and those that do not.

use http::uri::PathAndQuery;
use proptest::prelude::*;

use super::{Oddities, Target, check_path};
use crate::message::AdmitError;

fn check(text: &str) -> Result<Oddities, AdmitError> {
    let text: PathAndQuery = text.parse().expect("the test gives a parseable target");
    Target::check(text).map(|target| target.oddities())
}

#[test]
fn ordinary_targets_are_admitted_byte_for_byte() {
    for text in [
        "/",
        "/a/b/c",
        "/a/b/",
        "/%20a%C3%A4",
        "/a.b/..c/...",
        "/.well-known/x",
        "/@a:b=c&d,e+f!g$h'i(j)k*l",
        "/~user/a_b-c",
        "/a?b=/../..//;%2e%zz",
        "/a?",
        "/100%25",
        "/%252/b..c/4.",
        "/a[0]|b^c",
        "/%E2%82%AC",
    ] {
        let target = Target::check(text.parse().unwrap()).expect(text);
        assert_eq!(target.as_str(), text);
        assert!(target.oddities().is_empty(), "{text}");
        assert_eq!(target.permitted_by(Oddities::NONE), Ok(()));
    }
}

#[test]
fn targets_that_readers_disagree_about_are_refused() {
    let rows = [
        ("/a/../b", AdmitError::PathDotSegment),
        ("/..", AdmitError::PathDotSegment),
        ("/.", AdmitError::PathDotSegment),
        ("/a/./b", AdmitError::PathDotSegment),
        ("/a/..;x/b", AdmitError::PathDotSegment),
        ("/a/..;", AdmitError::PathDotSegment),
        ("/a/.;/b", AdmitError::PathDotSegment),
        ("/a/..%3bx/b", AdmitError::PathDotSegment),
        ("/a/..%2fb", AdmitError::PathDotSegment),
        ("/a%2f../b", AdmitError::PathDotSegment),
        ("/a/%2e%2e/b", AdmitError::PathEncodedUnreserved),
        ("/a/.%2E/b", AdmitError::PathEncodedUnreserved),
        ("/a%2Ejpg", AdmitError::PathEncodedUnreserved),
        ("/%61dmin", AdmitError::PathEncodedUnreserved),
        ("/%7euser", AdmitError::PathEncodedUnreserved),
        ("/a\\b", AdmitError::PathBackslash),
        ("/a%5cb", AdmitError::PathBackslash),
        ("/a%5Cb", AdmitError::PathBackslash),
        ("/a%00", AdmitError::PathControl),
        ("/a%0d%0aX:%20y", AdmitError::PathControl),
        ("/a%7f", AdmitError::PathControl),
        ("/a%C2%85", AdmitError::PathControl),
        ("/a%", AdmitError::PathEncoding),
        ("/a%2", AdmitError::PathEncoding),
        ("/a%zz", AdmitError::PathEncoding),
        ("/a%+1", AdmitError::PathEncoding),
        ("/a%u002e", AdmitError::PathEncoding),
        ("/a%252e%252e/", AdmitError::PathEncoding),
        ("/a%252F", AdmitError::PathEncoding),
        ("/a%ff", AdmitError::PathNotUtf8),
        ("/a%c0%ae", AdmitError::PathNotUtf8),
        ("/a%c3", AdmitError::PathNotUtf8),
        ("/ä", AdmitError::TargetCharacter),
        ("/a{b}", AdmitError::TargetCharacter),
        ("/a\"b", AdmitError::TargetCharacter),
        ("/a?ä", AdmitError::TargetCharacter),
        ("?a=b", AdmitError::TargetForm),
        ("*", AdmitError::TargetForm),
    ];
    for (text, error) in rows {
        assert_eq!(check(text), Err(error), "{text}");
    }
}

#[test]
fn oddities_pass_only_where_a_route_admits_them() {
    let rows = [
        (
            "/a%2fb",
            Oddities::ENCODED_SLASH,
            AdmitError::PathEncodedSlash,
        ),
        (
            "/a%2Fb",
            Oddities::ENCODED_SLASH,
            AdmitError::PathEncodedSlash,
        ),
        ("/a;b=c/d", Oddities::SEMICOLON, AdmitError::PathSemicolon),
        ("/a%3Bb", Oddities::SEMICOLON, AdmitError::PathSemicolon),
        ("/a//b", Oddities::DOUBLE_SLASH, AdmitError::PathDoubleSlash),
        ("//a", Oddities::DOUBLE_SLASH, AdmitError::PathDoubleSlash),
        ("/a//", Oddities::DOUBLE_SLASH, AdmitError::PathDoubleSlash),
    ];
    let all = Oddities::ENCODED_SLASH
        .with(Oddities::SEMICOLON)
        .with(Oddities::DOUBLE_SLASH);
    for (text, oddity, error) in rows {
        let target = Target::check(text.parse().unwrap()).expect(text);
        assert_eq!(target.oddities(), oddity, "{text}");
        assert_eq!(target.permitted_by(Oddities::NONE), Err(error), "{text}");
        assert_eq!(target.permitted_by(oddity), Ok(()), "{text}");
        assert_eq!(target.permitted_by(all), Ok(()), "{text}");
    }
}

#[test]
fn every_oddity_of_a_target_must_be_admitted() {
    let target = Target::check("/a;b//c%2Fd".parse().unwrap()).unwrap();
    let two = Oddities::ENCODED_SLASH.with(Oddities::SEMICOLON);
    assert_eq!(target.permitted_by(two), Err(AdmitError::PathDoubleSlash));
    assert_eq!(
        target.permitted_by(two.with(Oddities::DOUBLE_SLASH)),
        Ok(())
    );
}

#[test]
fn an_empty_segment_made_by_an_encoded_slash_is_a_double_slash_too() {
    let both = Oddities::ENCODED_SLASH.with(Oddities::DOUBLE_SLASH);
    for text in ["/%2Fa", "/a%2F/b", "/a%2F%2Fb"] {
        assert_eq!(check(text), Ok(both), "{text}");
    }
}

/// What the most lenient server might make of a path: decoded repeatedly, parameters cut, slashes of all kinds.
fn lenient(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..3 {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let pair = bytes
                .get(at + 1..at + 3)
                .and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            match (bytes[at], pair) {
                (b'%', Some(byte)) => {
                    decoded.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    decoded.push(byte);
                    at += 1;
                }
            }
        }
        bytes = decoded;
    }
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    text.split(['/', '\\'])
        .map(|segment| segment.split(';').next().unwrap().to_owned())
        .collect()
}

proptest! {
    #[test]
    fn no_admitted_path_has_a_dot_segment_for_any_reader(
        path in "(/|%2[fF]|\\.|%2[eE]|;|%3b|%25|%|2|e|a|\\\\|%5c|//){0,12}"
    ) {
        let path = format!("/{path}");
        if check_path(&path).is_ok() {
            let segments = lenient(&path);
            prop_assert!(!segments.iter().any(|one| one == "." || one == ".."), "{path}: {segments:?}");
        }
    }

    #[test]
    fn a_path_without_oddities_has_one_reading(path in "[/a-c%2;.~\\\\eEfF0-9]{0,16}") {
        let path = format!("/{path}");
        if check_path(&path) == Ok(Oddities::NONE) {
            let strict: Vec<_> = path.split('/').map(|one| one.replace("%20", " ")).collect();
            prop_assert_eq!(strict.len(), lenient(&path).len());
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(path in ".{0,64}") {
        prop_assert!(check_path(&path).is_ok() || check_path(&path).is_err());
    }
}

#[test]
fn a_folded_path_is_the_same_for_every_spelling_that_differs_in_case() {
    use super::folded;
    for (path, expected) in [
        ("/admin", "/admin"),
        ("/ADMIN/Users", "/admin/users"),
        ("/a%2Fb%3B", "/a%2fb%3b"),
        ("/%C3%84rzte", "/%c3%a4rzte"),
        ("/%c3%a4RZTE", "/%c3%a4rzte"),
        // The Kelvin sign and the long s are k and s to a server that ignores case.
        ("/%E2%84%AAey/%C5%BF", "/key/s"),
        ("/100%25", "/100%25"),
        ("/stra%C3%9Fe", "/stra%c3%9fe"),
    ] {
        assert_eq!(folded(path), expected);
        assert_eq!(folded(expected), expected);
    }
}
