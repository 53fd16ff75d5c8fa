//! Entry points for the targets in `fuzz/`; nothing else may use them.
//!
//! Each takes bytes as a stranger would send them, and asserts what must hold whatever they are.

mod answer;
mod answer_fields;
mod checkpoint;
mod form;
mod frames;
mod ocsp;
mod tls;
mod wire;

pub use answer::answer;
pub use answer_fields::answer_fields;
pub use checkpoint::checkpoint;
pub use form::form;
pub use frames::frames;
pub use ocsp::ocsp_answer;
pub use tls::tls_answer;
pub use wire::{chunked, wire};

use data_encoding::HEXLOWER_PERMISSIVE;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

use crate::authz::load;
use crate::base::{Authority, Host, Origin, Peer, TlsFacts};
use crate::config::{self, Problems, Source};
use crate::message::cookie::{self, OwnCookies};
use crate::message::forwarded::client_address;
use crate::message::target::check_path;
use crate::message::{Body, CleanRequest, Oddities, Rules};
use crate::server::proxy_header;

/// A request head as on the wire: admitted or refused, and clean when admitted.
pub fn admit_request(data: &[u8]) {
    if let Some(request) = read_head(data) {
        admitted_is_clean(request);
    }
}

/// A request as HTTP/2 carries it: `METHOD URI` on the first line, then a field per line.
pub fn admit_http2(data: &[u8]) {
    let Some(request) = read_http2(data) else {
        return;
    };
    admitted_is_clean(request);
}

fn admitted_is_clean(request: Request<Body>) {
    let rules = Rules::default();
    let Some(peer) = peer() else { return };
    let sent = request.uri().clone();
    let Ok(clean) = CleanRequest::admit(request, &peer, &rules) else {
        return;
    };
    assert_eq!(
        Some(clean.host()),
        peer.tls.as_ref().map(|tls| &tls.server_name)
    );
    assert_eq!(clean.path(), sent.path());
    assert!(
        clean
            .headers()
            .keys()
            .all(|name| !rules.reserved.contains(name.as_str()))
    );
    let fields = clean.onward(peer.ip(), &peer, &rules).head.fields();
    assert!(!fields.contains_key("connection"));
    assert!(!fields.contains_key("transfer-encoding"));
    assert_eq!(fields.get_all("x-forwarded-for").iter().count(), 1);
}

/// A configuration file: everything wrong with it is told, at places that can be shown.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A file that it names is opened; devices would wait for somebody to type.
    if text.contains("include") || text.contains("file") || text.contains('~') {
        return;
    }
    let mut problems = Problems::new();
    let made = config::compile(
        Source::new("portcullis.toml", text),
        std::path::Path::new("/nonexistent"),
        &mut problems,
    );
    assert!(made.is_some() || problems.has_errors());
    problems.render(false);
    problems.to_json();
}

/// A file of policies: parsed, validated, and what is wrong is told at places that can be shown.
pub fn policies(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut problems = Problems::new();
    let rules = load::parse(&[Source::new("p.cedar", text)], &mut problems);
    let passed = load::validate(&rules, &mut problems);
    assert!(passed || problems.has_errors());
    problems.render(false);
    problems.to_json();
}

/// A host name, authority or origin: printing what was read and reading it again gives the same.
pub fn host(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(host.as_str()), Ok(host));
    }
    if let Ok(authority) = Authority::parse(text) {
        assert_eq!(Authority::parse(&authority.to_string()), Ok(authority));
    }
    if let Ok(origin) = Origin::parse(text) {
        assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
    }
}

/// Forwarding headers, one per line, from a trusted proxy that appends: the client is who the proxy saw.
pub fn forwarded(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (Ok(proxy), Ok(seen)) = ("10.0.0.1".parse(), "192.0.2.1".parse()) else {
        return;
    };
    let trusted = ["10.0.0.0/8".parse()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    let mut headers = HeaderMap::new();
    for line in text.lines().chain(["192.0.2.1"]) {
        if let Ok(value) = HeaderValue::from_str(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    assert_eq!(client_address(proxy, &headers, &trusted), seen);
    assert_eq!(client_address(seen, &headers, &trusted), seen);
    headers.clear();
    for line in text.lines() {
        if let Ok(value) = HeaderValue::from_str(line) {
            headers.append("forwarded", value);
        }
    }
    client_address(proxy, &headers, &trusted);
}

/// A `Cookie` value: ours are gone after stripping, and stripping twice changes nothing.
pub fn cookie(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let own = OwnCookies::default();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, value);
    own.session(&headers);
    own.strip_request(&mut headers);
    assert_eq!(
        cookie::find(&headers, own.session_name()),
        cookie::Found::None
    );
    let once = headers.clone();
    own.strip_request(&mut headers);
    assert_eq!(once, headers);
}

/// A path: what passes without oddities has the same segments for every reader, also for one who decodes twice.
pub fn route_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if check_path(text) != Ok(Oddities::NONE) {
        return;
    }
    let decoded = decode(data);
    assert_eq!(decode(&decoded), decoded, "{text:?}");
    for byte in &decoded {
        assert!(
            !byte.is_ascii_control() && !matches!(byte, b'\\' | b';'),
            "{text:?}"
        );
    }
    assert!(!text.contains(['#', '?']), "{text:?}");
    let segments = || decoded.split(|byte| *byte == b'/');
    assert_eq!(text.split('/').count(), segments().count(), "{text:?}");
    for segment in segments() {
        assert!(!matches!(segment, b"." | b".."), "{text:?}");
    }
}

/// The first bytes from a load balancer: what is read does not depend on how they arrive, and ends where it says.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy_header::parse(data);
    if let Ok(Some(header)) = whole {
        assert!(header.length <= data.len() && header.length <= proxy_header::LONGEST);
        assert_eq!(
            proxy_header::parse(data.get(..header.length).unwrap_or_default()),
            whole
        );
    }
    for cut in 0..data.len() {
        let early = proxy_header::parse(data.get(..cut).unwrap_or_default());
        assert!(early == Ok(None) || early == whole);
    }
}

/// What a lenient reader makes of escapes: those that are none stay as they are.
fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let escape = text.strip_prefix(b"%").and_then(|rest| rest.first_chunk());
        let byte = escape.and_then(|digits: &[u8; 2]| HEXLOWER_PERMISSIVE.decode(digits).ok());
        match byte.as_deref() {
            Some([byte]) => {
                decoded.push(*byte);
                text = text.get(3..).unwrap_or_default();
            }
            _ => {
                decoded.push(*first);
                text = rest;
            }
        }
    }
    decoded
}

fn peer() -> Option<Peer> {
    let tls = TlsFacts {
        server_name: Host::parse("app.example").ok()?,
        version: "1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
    };
    let (address, local) = ("198.51.100.7:50000", "192.0.2.80:443");
    Some(Peer::new(
        address.parse().ok()?,
        local.parse().ok()?,
        Some(tls),
    ))
}

fn read_http2(data: &[u8]) -> Option<Request<Body>> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let (method, target) = std::str::from_utf8(first).ok()?.split_once(' ')?;
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    *request.version_mut() = Version::HTTP_2;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        let name = HeaderName::from_lowercase(name).ok()?;
        let headers = request.headers_mut();
        headers.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

/// Reads a head as hyper does, body left out.
fn read_head(data: &[u8]) -> Option<Request<Body>> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    if !head.parse(data).ok()?.is_complete() {
        return None;
    }
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = head.path?.parse::<Uri>().ok()?;
    *request.version_mut() = match head.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        request
            .headers_mut()
            .append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every committed input is run by the ordinary tests too.
    #[test]
    fn the_committed_corpora_hold() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 18] = [
            ("admit_request", super::admit_request),
            ("host", super::host),
            ("forwarded", super::forwarded),
            ("cookie", super::cookie),
            ("route_path", super::route_path),
            ("proxy_header", super::proxy_header),
            ("wire", super::wire),
            ("frames", super::frames),
            ("chunked", super::chunked),
            ("answer", super::answer),
            ("answer_fields", super::answer_fields),
            ("checkpoint", super::checkpoint),
            ("form", super::form),
            ("ocsp_answer", super::ocsp_answer),
            ("admit_http2", super::admit_http2),
            ("configuration", super::configuration),
            ("policies", super::policies),
            ("tls_answer", super::tls_answer),
        ];
        for (name, target) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/corpus")
                .join(name);
            let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().collect();
            assert!(!inputs.is_empty(), "{name}");
            for input in inputs {
                target(&std::fs::read(input.path()).unwrap());
            }
        }
    }
}
