//! Rules as a configuration writes them, applied to answers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};

use super::cors::preflight_origin;
use super::{Asking, Came, ResponseRules};
use crate::config;
use crate::message::admit::tests::peer;
use crate::message::cookie::OwnCookies;
use crate::message::{Body, CleanRequest, Rules};

const TARGET: &str = "http://10.0.0.7:8080";

/// The rules of a route with these lines.
fn rules(lines: &str) -> ResponseRules {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.toml");
    let text = format!(
        "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n\
         [route.app]\nhost = \"app.example\"\nto = \"http://127.0.0.1:8080\"\nallow = [\"everyone\"]\n{lines}\n"
    );
    std::fs::write(&path, text).unwrap();
    let config = match config::load(&path) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:?}"),
    };
    ResponseRules::compile(config.routes.values().next().unwrap())
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::try_from(*name).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn request(pairs: &[(&str, &str)]) -> CleanRequest {
    let mut request = Request::get("/").header("host", "app.example");
    for (name, value) in pairs {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::Empty).unwrap();
    CleanRequest::admit(request, &peer(), &Rules::default()).unwrap()
}

/// What becomes of an answer's headers when the request had `asked`.
fn answered(rules: &ResponseRules, asked: &[(&str, &str)], answer: &[(&str, &str)]) -> HeaderMap {
    let asking = rules.asking(&request(asked));
    let came = Came {
        asking: &asking,
        target: TARGET,
    };
    let mut headers = headers(answer);
    let own = OwnCookies::default();
    rules.apply(StatusCode::OK, &mut headers, &own, &came);
    headers
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let all = headers.get_all(name).iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

fn cookies(lines: &str, cookie: &str) -> Vec<String> {
    let answer = answered(&rules(lines), &[], &[("set-cookie", cookie)]);
    let found = values(&answer, "set-cookie");
    found.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_route_without_rules_needs_nothing_of_its_requests() {
    let Asking { origin, authority } =
        rules("").asking(&request(&[("origin", "https://a.example")]));
    assert!(origin.is_none() && authority.is_none());
}

#[test]
fn security_headers_are_set_where_the_upstream_says_nothing_and_can_be_had_otherwise() {
    let said = [("referrer-policy", "no-referrer")];
    let plain = answered(&rules(""), &[], &said);
    assert_eq!(values(&plain, "x-content-type-options"), ["nosniff"]);
    assert_eq!(values(&plain, "referrer-policy"), ["no-referrer"]);
    let off = answered(&rules("headers = { security = false }"), &[], &said);
    assert_eq!(off.len(), 1);
    let removed = rules("headers = { remove = [\"Referrer-Policy\"] }");
    assert!(!answered(&removed, &[], &said).contains_key("referrer-policy"));
    let all = rules(
        "headers = { default = { \"X-Frame-Options\" = \"DENY\", \"Referrer-Policy\" = \"origin\" }, \
         set = { \"Cross-Origin-Opener-Policy\" = \"same-origin\" } }",
    );
    let absent = answered(&all, &[], &[("cross-origin-opener-policy", "unsafe-none")]);
    assert_eq!(values(&absent, "x-frame-options"), ["DENY"]);
    assert_eq!(values(&absent, "referrer-policy"), ["origin"]);
    assert_eq!(
        values(&absent, "cross-origin-opener-policy"),
        ["same-origin"]
    );
    let present = answered(&all, &[], &[("x-frame-options", "SAMEORIGIN")]);
    assert_eq!(values(&present, "x-frame-options"), ["SAMEORIGIN"]);
}

#[test]
fn a_cookie_stays_with_its_host_unless_the_route_says_otherwise() {
    let wide = "a=b; Domain=.example; Path=/";
    assert_eq!(cookies("", wide), ["a=b; Path=/; Secure"]);
    let keep = "cookies = { domain = \"keep\" }";
    assert_eq!(
        cookies(keep, wide),
        ["a=b; Domain=.example; Path=/; Secure"]
    );
    let refuse = "cookies = { domain = \"refuse\" }";
    assert!(cookies(refuse, wide).is_empty());
    assert!(cookies(refuse, "a=b; Domain=app.example; domain=example").is_empty());
    // To some browsers an empty one is none, and the first one counts.
    assert_eq!(
        cookies("", "a=b; Domain=.example; Domain="),
        ["a=b; Secure"]
    );
    assert!(cookies(refuse, "a=b; Domain=.example; Domain=").is_empty());
    assert_eq!(
        cookies(refuse, "a=b; Domain=App.Example"),
        ["a=b; Domain=App.Example; Secure"]
    );
}

#[test]
fn cookies_are_repaired_on_request_and_otherwise_keep_their_bytes() {
    let rows = [
        ("", "a=b;Secure;x", "a=b;Secure;x"),
        ("secure = false", "a=b", "a=b"),
        (
            "same_site = \"lax\"",
            "a=b; Secure",
            "a=b; Secure; SameSite=Lax",
        ),
        (
            "same_site = \"lax\"",
            "a=b; Secure; SameSite=None",
            "a=b; Secure; SameSite=Lax",
        ),
        (
            "same_site = \"lax\"",
            "a=b; samesite=STRICT; secure",
            "a=b; samesite=STRICT; secure",
        ),
        (
            "same_site = \"strict\"",
            "a=b; Secure; SameSite=Lax",
            "a=b; Secure; SameSite=Strict",
        ),
        ("http_only = true", "a=b; Secure", "a=b; Secure; HttpOnly"),
    ];
    for (keys, cookie, expected) in rows {
        assert_eq!(
            cookies(&format!("cookies = {{ {keys} }}"), cookie),
            [expected],
            "{keys}"
        );
    }
}

#[test]
fn only_addresses_of_the_upstream_become_the_apps() {
    let rules = rules("rewrite = true\nrewrite_from = [\"http://intranet:81\"]");
    let rows = [
        ("http://10.0.0.7:8080/a?b#c", "https://app.example/a?b#c"),
        ("HTTPS://10.0.0.7:8080", "https://app.example"),
        ("//10.0.0.7:8080/a", "https://app.example/a"),
        ("http://INTRANET:81/a", "https://app.example/a"),
        ("http://app.example/a", "https://app.example/a"),
    ];
    let untouched = [
        "/a",
        "a//10.0.0.7:8080",
        "http://10.0.0.7/a",
        "http://10.0.0.7:8081/a",
        "https://intranet:81/a",
        "http://intranet/a",
        "http://user@10.0.0.7:8080/a",
        "http://10.0.0.7:8080\\@evil.example/a",
        "http://10.0.0.7:8080.evil.example/a",
        "http:/10.0.0.7:8080/a",
        "https://elsewhere.example/?next=http://10.0.0.7:8080/",
        "https://app.example:8443/a",
        "javascript://10.0.0.7:8080/a",
    ];
    let rows = rows.into_iter().chain(untouched.map(|text| (text, text)));
    for (address, expected) in rows {
        for (name, before) in [
            ("location", ""),
            ("content-location", ""),
            ("refresh", "0; url="),
        ] {
            let value = format!("{before}{address}");
            let answer = answered(&rules, &[], &[(name, &value)]);
            assert_eq!(values(&answer, name), [format!("{before}{expected}")]);
        }
    }
    let quoted = answered(
        &rules,
        &[],
        &[("refresh", "5,URL = 'http://10.0.0.7:8080/a' x")],
    );
    assert_eq!(values(&quoted, "refresh"), ["5, url=https://app.example/a"]);
    let kept = answered(
        &self::rules(""),
        &[],
        &[("location", "http://10.0.0.7:8080/a")],
    );
    assert_eq!(values(&kept, "location"), ["http://10.0.0.7:8080/a"]);
}

#[test]
fn cookies_of_an_upstream_that_does_not_know_its_address_are_mended() {
    let lines = "path = \"/reports\"\nrewrite = true\ncookies = { domain = \"keep\" }";
    let rows = [
        ("a=b; Domain=10.0.0.7; Secure", "a=b; Secure"),
        ("a=b; Domain=example; Secure", "a=b; Domain=example; Secure"),
        ("a=b; Path=/inner; Secure", "a=b; Secure; Path=/reports"),
        ("a=b; Path=/; Secure", "a=b; Path=/; Secure"),
        (
            "a=b; Path=/reports/x; Secure",
            "a=b; Path=/reports/x; Secure",
        ),
    ];
    for (cookie, expected) in rows {
        assert_eq!(cookies(lines, cookie), [expected]);
    }
}

const CORS: &str = "cors = { origins = [\"https://a.example\", \"https://b.example:8443\"], methods = [\"PUT\"], \
    headers = [\"X-Token\"], expose = [\"X-Total\"], credentials = true, max_age = \"1m\" }";

#[test]
fn only_listed_origins_may_read_and_the_upstream_has_no_say() {
    let rules = rules(CORS);
    let upstream = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-private-network", "true"),
        ("vary", "Accept"),
    ];
    let listed = answered(&rules, &[("origin", "https://a.example")], &upstream);
    assert_eq!(
        values(&listed, "access-control-allow-origin"),
        ["https://a.example"]
    );
    assert_eq!(
        values(&listed, "access-control-allow-credentials"),
        ["true"]
    );
    assert_eq!(
        values(&listed, "access-control-expose-headers"),
        ["x-total"]
    );
    assert_eq!(values(&listed, "vary"), ["Accept", "Origin"]);
    for asked in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://a.example")],
        &[("origin", "https://a.example:444")],
        &[("origin", "https://A.example")],
        &[("origin", "https://a.example.evil.example")],
    ] {
        let other = answered(&rules, asked, &upstream);
        let said = other
            .keys()
            .any(|name| name.as_str().starts_with("access-control-"));
        assert!(!said, "{asked:?}");
        assert_eq!(values(&other, "vary"), ["Accept", "Origin"]);
    }
    let left = answered(
        &self::rules(""),
        &[("origin", "https://x.example")],
        &upstream,
    );
    assert_eq!(values(&left, "access-control-allow-origin"), ["*"]);
}

#[test]
fn every_origin_may_read_only_without_credentials() {
    let rules = rules("cors = { origins = [\"*\"] }");
    let answer = answered(&rules, &[("origin", "https://x.example")], &[]);
    assert_eq!(values(&answer, "access-control-allow-origin"), ["*"]);
    assert!(!answer.contains_key("access-control-allow-credentials"));
    assert!(!answer.contains_key("vary"));
}

#[test]
fn a_preflight_request_is_told_what_the_route_lists() {
    let rules = rules(CORS);
    let cors = rules.cors.as_ref().unwrap();
    let origin = HeaderValue::from_static("https://a.example");
    assert!(cors.admits(&origin) && !cors.admits(&HeaderValue::from_static("null")));
    let expected = headers(&[
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-token"),
        ("access-control-max-age", "60"),
        ("vary", "Origin"),
    ]);
    assert_eq!(cors.preflight(&origin), expected);
    let asks = headers(&[
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
    ]);
    assert_eq!(preflight_origin(&Method::OPTIONS, &asks), Some(&origin));
    assert_eq!(preflight_origin(&Method::GET, &asks), None);
    let plain = headers(&[("origin", "https://a.example")]);
    assert_eq!(preflight_origin(&Method::OPTIONS, &plain), None);
}
