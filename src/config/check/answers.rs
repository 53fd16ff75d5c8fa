//! What routes say about the answers of their upstreams: names nobody may set, values no browser knows, origins.

use std::collections::BTreeSet;

use http::HeaderName;

use super::place;
use crate::config::answers::{CookieDomain, CorsOrigin};
use crate::config::problem::Problems;
use crate::config::route::Route;
use crate::config::source::At;
use crate::config::tree::{Field, Node};
use crate::config::{Config, HeaderNames};

/// Adds the findings about headers, cookies, rewriting and CORS of every route.
pub(super) fn check(config: &Config, root: &Node, problems: &mut Problems) {
    let ours = &config.server.headers;
    for route in config.routes.values() {
        headers(route, ours, root, problems);
        rewrite(route, root, problems);
        cors(route, problems);
    }
}

/// Why a header cannot be named in a route, as the end of "... has NAME".
fn reserved(name: &HeaderName, ours: &HeaderNames) -> Option<&'static str> {
    let own = [&ours.assertion, &ours.user, &ours.groups, &ours.request_id];
    match name.as_str() {
        "content-length" | "transfer-encoding" | "trailer" => {
            Some("which says where the message ends")
        }
        "strict-transport-security" => {
            Some("which Portcullis sets on every answer, see [tls.hsts]")
        }
        text if text.starts_with("x-portcullis-") || own.contains(&name) => {
            Some("which is a name of Portcullis itself")
        }
        _ => None,
    }
}

/// The same for a header that a route may remove and must not set.
fn unsettable(name: &HeaderName, has_cors: bool) -> Option<&'static str> {
    match name.as_str() {
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "upgrade"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "http2-settings" => Some("which concerns one connection alone"),
        "set-cookie" | "set-cookie2" => Some("which would give everybody the same cookie"),
        "clear-site-data" => Some("which could sign people out"),
        "alt-svc" => Some("which would lead browsers past Portcullis"),
        "server" => Some("which Portcullis takes out of every answer"),
        text if has_cors && text.starts_with("access-control-") => {
            Some("which `cors` of the same route decides")
        }
        _ => None,
    }
}

/// The words that a security header can consist of; one of them, or for `referrer-policy` several.
fn vocabulary(name: &HeaderName) -> Option<&'static [&'static str]> {
    Some(match name.as_str() {
        "x-content-type-options" => &["nosniff"],
        "x-frame-options" => &["DENY", "SAMEORIGIN"],
        "referrer-policy" => &[
            "no-referrer",
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ],
        "cross-origin-opener-policy" => &[
            "same-origin",
            "same-origin-allow-popups",
            "noopener-allow-popups",
            "unsafe-none",
        ],
        "cross-origin-embedder-policy" => &["credentialless", "require-corp", "unsafe-none"],
        "cross-origin-resource-policy" => &["cross-origin", "same-origin", "same-site"],
        _ => return None,
    })
}

fn headers(route: &Route, ours: &HeaderNames, root: &Node, problems: &mut Problems) {
    let name = route.name.as_str();
    let table = format!("[route.{name}.headers]");
    for (key, map) in [
        ("default", &route.headers.default),
        ("set", &route.headers.set),
    ] {
        let written = root.find(&["route", name, "headers", key]);
        let written = written.map(Node::fields).unwrap_or_default();
        repeated(&table, key, written, problems);
        for (header, value) in map {
            let at = field(written, &header.0);
            let why =
                reserved(&header.0, ours).or_else(|| unsettable(&header.0, route.cors.is_some()));
            if let Some(why) = why {
                refuse(
                    problems,
                    &at,
                    format!("`{key}` in {table} has {}, {why}", header.0),
                );
                continue;
            }
            let words = vocabulary(&header.0);
            let known = |word: &str| words.is_none_or(|words| words.contains(&word));
            let text = value.to_str().unwrap_or_default();
            let right = if header.0.as_str() == "referrer-policy" {
                text.split(',').all(|word| known(word.trim()))
            } else {
                known(text)
            };
            if !right {
                problems
                    .error("PC1113")
                    .message(format!(
                        "`{key}` in {table} has `{text}` for {}, which no browser knows",
                        header.0
                    ))
                    .at(&at)
                    .help(format!("it takes {}", words.unwrap_or_default().join(", ")));
            }
        }
    }
    for header in &route.headers.remove {
        if let Some(why) = reserved(header, ours) {
            let message = format!("`remove` in {table} has {}, {why}", header.value);
            refuse(problems, header.at(), message);
        }
    }
    contradictions(route, &table, root, problems);
}

fn refuse(problems: &mut Problems, at: &At, message: String) {
    problems
        .error("PC1430")
        .message(message)
        .at(at)
        .label("not for a route to say");
}

/// Two spellings of one name would leave it to chance which value counts.
fn repeated(table: &str, key: &str, written: &[Field], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for field in written {
        if !seen.insert(field.name.to_ascii_lowercase()) {
            problems
                .error("PC1430")
                .message(format!("`{key}` in {table} has {} twice", field.name))
                .at(&field.at)
                .label("the same name in another spelling");
        }
    }
}

/// Warns of a name that stands in two of the three lists.
fn contradictions(route: &Route, table: &str, root: &Node, problems: &mut Problems) {
    let name = route.name.as_str();
    let headers = &route.headers;
    for (header, _) in headers.default.iter() {
        let stronger = if headers.set.contains_key(header) {
            "set"
        } else if headers
            .remove
            .iter()
            .any(|removed| removed.value == header.0)
        {
            "remove"
        } else {
            continue;
        };
        without_effect(
            problems,
            &place(root, &["route", name, "headers", "default"]),
            format!(
                "`default` in {table} has {}, and `{stronger}` has it too",
                header.0
            ),
        );
    }
    for removed in &headers.remove {
        if headers
            .set
            .iter()
            .any(|(header, _)| header.0 == removed.value)
        {
            without_effect(
                problems,
                removed.at(),
                format!(
                    "`remove` in {table} has {}, and `set` has it too",
                    removed.value
                ),
            );
        }
    }
}

fn without_effect(problems: &mut Problems, at: &At, message: String) {
    problems
        .warning("PC1413")
        .message(message)
        .at(at)
        .help("keep it in one of the two");
}

/// Where a header was written, in whatever case.
fn field(written: &[Field], name: &HeaderName) -> At {
    written
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name.as_str()))
        .map_or_else(At::nowhere, |field| field.at.clone())
}

fn rewrite(route: &Route, root: &Node, problems: &mut Problems) {
    let name = route.name.as_str();
    if let (false, Some(first)) = (route.rewrite, route.rewrite_from.first()) {
        problems
            .warning("PC1413")
            .message(format!(
                "`rewrite_from` in [route.{name}] has no effect: nothing is rewritten"
            ))
            .at(first.at())
            .help("add rewrite = true");
    }
    if route.rewrite && route.cookies.domain == CookieDomain::Refuse {
        problems
            .warning("PC1413")
            .message(format!(
                "`domain` in [route.{name}.cookies] refuses what `rewrite` in [route.{name}] would mend"
            ))
            .at(&place(root, &["route", name, "cookies", "domain"]))
            .help("an upstream that does not know its address: domain = \"host\"");
    }
}

fn cors(route: &Route, problems: &mut Problems) {
    let Some(cors) = &route.cors else {
        return;
    };
    let table = format!("[route.{}.cors]", route.name);
    for origin in &cors.origins {
        match &origin.value {
            CorsOrigin::Any if cors.credentials => {
                problems
                    .error("PC1431")
                    .message(format!(
                        "`origins` in {table} admits every page, and `credentials` lets it act for whoever looks at it"
                    ))
                    .at(origin.at())
                    .label("every page of the internet")
                    .help("list the origins, or take `credentials` out");
            }
            CorsOrigin::Any if cors.origins.len() > 1 => {
                problems
                    .warning("PC1413")
                    .message(format!(
                        "`origins` in {table} has \"*\", which makes the others superfluous"
                    ))
                    .at(origin.at())
                    .help("keep \"*\" alone, or take it out");
            }
            CorsOrigin::One(origin_) if !origin_.secure && !origin_.host.is_loopback() => {
                problems
                    .warning("PC1432")
                    .message(format!(
                        "`origins` in {table} has {origin_}, a page without TLS"
                    ))
                    .at(origin.at())
                    .label("whoever is on the way can write that page")
                    .help("list its https address");
            }
            CorsOrigin::Any | CorsOrigin::One(_) => {}
        }
    }
    let stars = cors.headers.iter().chain(&cors.expose);
    for star in stars.filter(|name| name.as_str() == "*") {
        problems
            .error("PC1431")
            .message(format!("{table} has \"*\" for a header name"))
            .at(star.at())
            .help("list the names");
    }
    for method in &cors.methods {
        if !route.methods.is_empty() && !route.methods.contains(method) {
            problems
                .warning("PC1413")
                .message(format!(
                    "`methods` in {table} has {method}, which [route.{}] does not carry",
                    route.name
                ))
                .at(&route.at)
                .help("add it to the route's methods, or take it out");
        }
    }
}
