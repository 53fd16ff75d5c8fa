//! The fields of an upstream's answer under a route's rules: no cookie of ours, and no address but the app's.

use std::sync::LazyLock;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use http::{Request, StatusCode};

use crate::config::{self, Problems, Source};
use crate::message::cookie::{Found, OwnCookies, find};
use crate::message::response::{Asking, Came, ResponseRules};
use crate::message::{Body, CleanRequest, Rules};

const ROUTE: &str = r#"
[server]
portal = "login.example"
[tls]
certificates = "internal"
[route.app]
host = "app.example"
to = "http://127.0.0.1:8080"
path = "/app"
allow = ["everyone"]
rewrite = true
rewrite_from = ["https://old.example"]
[route.app.cookies]
http_only = true
same_site = "lax"
"#;

/// The rules of a route that rewrites, as a configuration writes them, and what it remembers of a request.
static RULES: LazyLock<Option<(ResponseRules, Asking)>> = LazyLock::new(|| {
    let source = Source::new("portcullis.toml", ROUTE);
    let here = std::path::Path::new("/nonexistent");
    let config = config::compile(source, here, &mut Problems::new())?;
    let rules = ResponseRules::compile(config.routes.values().next()?);
    let asked = Request::get("/app/").header("host", "app.example");
    let (asked, peer) = (asked.body(Body::Empty).ok()?, super::peer()?);
    let request = CleanRequest::admit(asked, &peer, &Rules::default()).ok()?;
    let asking = rules.asking(&request);
    Some((rules, asking))
});

/// Fields of an answer, `name:value` on each line.
pub fn answer_fields(data: &[u8]) {
    assert!(RULES.is_some());
    let Some((rules, asking)) = RULES.as_ref() else {
        return;
    };
    let came = Came {
        asking,
        target: "http://127.0.0.1:8080",
    };
    let own = OwnCookies::default();
    let sent = fields(data);
    let mut passed = sent.clone();
    rules.apply(StatusCode::OK, &mut passed, &own, &came);
    for cookie in passed.get_all(SET_COOKIE) {
        is_harmless(cookie.as_bytes(), &own);
    }
    if let Some(location) = passed.get(LOCATION)
        && Some(location) != sent.get(LOCATION)
    {
        let rest = location.as_bytes().strip_prefix(b"https://app.example");
        assert!(
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))),
            "{location:?}"
        );
    }
    let once = passed.clone();
    rules.apply(StatusCode::OK, &mut passed, &own, &came);
    assert_eq!(once, passed);
}

fn fields(data: &[u8]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = HeaderValue::from_bytes(value.get(1..)?).ok()?;
        Some((HeaderName::from_bytes(name).ok()?, value))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(name, value);
    }
    fields
}

/// What a browser makes of it (RFC 6265 section 5.2) follows the rules, and comes back as no cookie of ours.
fn is_harmless(cookie: &[u8], own: &OwnCookies) {
    let mut parts = cookie.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next().unwrap_or_default();
    let attributes: Vec<_> = parts
        .map(|part| {
            let mut halves = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let name = halves.next().unwrap_or_default().to_ascii_lowercase();
            (name, halves.next().unwrap_or_default())
        })
        .collect();
    let has = |name: &str| attributes.iter().any(|(other, _)| other == name.as_bytes());
    assert!(
        has("secure") && has("httponly") && has("samesite"),
        "{cookie:?}"
    );
    let names_a_domain = attributes
        .iter()
        .any(|(name, value)| name == b"domain" && !value.is_empty());
    assert!(!names_a_domain, "{cookie:?}");
    // A cookie without a name is sent back as its value alone.
    let kept = pair.strip_prefix(b"=").unwrap_or(pair).trim_ascii();
    let Ok(sent_back) = HeaderValue::from_bytes(kept) else {
        return;
    };
    let mut request = HeaderMap::new();
    request.insert(COOKIE, sent_back);
    assert_eq!(
        find(&request, own.session_name()),
        Found::None,
        "{cookie:?}"
    );
}
