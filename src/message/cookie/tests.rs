//! Our cookies: found, stripped, built.

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

use super::{Found, Keep, OwnCookies, SameSite, build, find, join};
use crate::message::response::cookies::CookieRules;

fn cookies(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn our_cookie_is_found_once_or_refused() {
    let rows: [(&[&str], Found<'_>); 13] = [
        (&[], Found::None),
        (&["a=b"], Found::None),
        (&["s=x"], Found::One("x")),
        (&["a=b; s=x; c=d"], Found::One("x")),
        (&["a=b;s=x;c=d"], Found::One("x")),
        (&["s=x; s=x"], Found::One("x")),
        (&["s=x", "a=b"], Found::One("x")),
        (&["s=x; s=y"], Found::Conflict),
        (&["s=x", "s=y"], Found::Conflict),
        (&["s="], Found::Conflict),
        (&["s=\"x\""], Found::Conflict),
        (&["s=x y"], Found::Conflict),
        (&["S=x; ss=y; as=z"], Found::None),
    ];
    for (values, expected) in rows {
        assert_eq!(find(&cookies(values), "s"), expected, "{values:?}");
    }
}

#[test]
fn ours_never_reach_an_upstream_and_others_keep_their_bytes() {
    let own = OwnCookies::new("__Host-p");
    let rows: [(&[&str], Option<&str>); 10] = [
        (&["a=b"], Some("a=b")),
        (&["a=\"b c\";  d=ä=;junk"], Some("a=\"b c\";  d=ä=;junk")),
        (&["__Host-p=x"], None),
        (&["__Host-p=x; a=b"], Some("a=b")),
        (&["a=b; __Host-p=x"], Some("a=b")),
        (&["a=\"b\"; __HOST-P=x; c==d"], Some("a=\"b\"; c==d")),
        (&["__Host-p-theme=dark; a=b"], Some("a=b")),
        (&["__Host-p =x; a=b"], Some("a=b")),
        (&["__Host-p; a=b"], Some("a=b")),
        (&["__Host-pq=1", "__Host-p=x"], Some("__Host-pq=1")),
    ];
    for (values, expected) in rows {
        let mut headers = cookies(values);
        own.strip_request(&mut headers);
        let left = headers.get(COOKIE).map(|value| value.as_bytes());
        assert_eq!(left, expected.map(str::as_bytes), "{values:?}");
    }
}

#[test]
fn an_upstream_can_neither_set_nor_clear_ours() {
    let own = OwnCookies::new("__Host-p");
    for value in [
        "__Host-p=x",
        "__Host-p=; Max-Age=0",
        " __Host-p =x; Path=/",
        "__host-P=x",
        "__Host-p-theme=x",
        "__Host-p",
        "=__Host-p=x",
        "= __Host-p=x",
    ] {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_str(value).unwrap());
        CookieRules::default().apply(&mut headers, &own, None, None);
        assert!(headers.is_empty(), "{value}");
    }
}

#[test]
fn other_cookies_of_an_upstream_pass_and_become_secure() {
    let own = OwnCookies::new("__Host-p");
    let rows = [
        ("a=b", "a=b; Secure"),
        ("a=b; Path=/; secure", "a=b; Path=/; secure"),
        ("a=Secure", "a=Secure; Secure"),
        ("__Host-pq=1; Secure", "__Host-pq=1; Secure"),
    ];
    for (value, expected) in rows {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static(value));
        CookieRules::default().apply(&mut headers, &own, None, None);
        assert_eq!(headers[SET_COOKIE], expected);
    }
}

#[test]
fn crumbs_of_http2_become_one_field() {
    let mut headers = cookies(&["a=b", "c=d"]);
    join(&mut headers);
    let values: Vec<_> = headers.get_all(COOKIE).iter().collect();
    assert_eq!(values, ["a=b; c=d"]);
}

#[test]
fn our_own_cookies_are_host_only_secure_and_hidden_from_scripts() {
    let value = build("__Host-p", "x", SameSite::Lax, Keep::WhileOpen).unwrap();
    assert_eq!(value, "__Host-p=x; Path=/; Secure; HttpOnly; SameSite=Lax");
    let gone = build("__Host-p", "", SameSite::Lax, Keep::Never).unwrap();
    assert_eq!(
        gone,
        "__Host-p=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    );
}

#[test]
fn a_cookie_that_would_break_its_header_is_not_built() {
    let long = "x".repeat(4096);
    for (name, value) in [
        ("a;b", "x"),
        ("a", "x;y"),
        ("a", "x\r\ny"),
        ("a", "x y"),
        ("a", &long),
    ] {
        assert_eq!(build(name, value, SameSite::Lax, Keep::WhileOpen), None);
    }
}
