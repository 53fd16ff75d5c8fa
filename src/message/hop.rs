//! Removes what concerns one connection only (RFC 9110 section 7.6.1).
//!
//! Runs before anything of ours is added, so no `Connection` option can take away what the edge sets.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::identity::Reserved;

/// Fields that never cross the edge, listed in `Connection` or not; the last three of them RFC 9110 does not register.
///
/// `Trailer` is one of them as well, but the next connection needs the announcement: see [`is_hop_by_hop`].
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// `true` for what concerns one connection only. `announces` keeps `Trailer`, for content that may have trailers on the
/// next connection too.
pub(super) fn is_hop_by_hop(name: &HeaderName, announces: bool) -> bool {
    is_of_connection(name) || (!announces && *name == header::TRAILER)
}

/// Removes every field that `is_unwanted` names. A look at the few names that are there costs less than to ask for
/// each of the many that might be.
pub(super) fn remove_if(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_unwanted(name)).cloned() {
        headers.remove(name);
    }
}

/// `true` for a name that a `Connection` field must not list: removing it would change what was judged or framed.
pub(crate) fn is_end_to_end(name: &str) -> bool {
    [
        header::AUTHORIZATION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::HOST,
        header::ORIGIN,
    ]
    .iter()
    .any(|kept| kept.as_str().eq_ignore_ascii_case(name))
}

/// The options of every `Connection` field; values that are not ASCII give none.
pub(crate) fn options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(options_of)
}

/// The options of one `Connection` field.
pub(super) fn options_of(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

/// The fields that `Connection` names, except end-to-end ones.
pub(super) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let options = options(headers);
    options.filter_map(nomination).collect()
}

/// The field that an option names, when it may be taken away.
pub(super) fn nomination(option: &str) -> Option<HeaderName> {
    let usual = ["close", "keep-alive", "te", "upgrade"];
    if usual.iter().any(|usual| usual.eq_ignore_ascii_case(option)) || is_end_to_end(option) {
        return None;
    }
    option.parse().ok()
}

/// Removes connection-specific fields and those that `Connection` names, except end-to-end ones.
fn strip(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    remove_if(headers, |name| is_hop_by_hop(name, false));
}

/// Removes from trailers what must not be there (RFC 9110 section 6.5.1) and what only the edge may say.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap, reserved: &Reserved) {
    strip(trailers);
    for name in [
        header::AGE,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::EXPIRES,
        header::HOST,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::ORIGIN,
        header::RANGE,
        header::SET_COOKIE,
        header::STRICT_TRANSPORT_SECURITY,
        header::VARY,
        header::WWW_AUTHENTICATE,
    ] {
        trailers.remove(name);
    }
    reserved.strip(trailers);
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{strip, strip_trailers};
    use crate::message::identity::Reserved;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn connection_fields_and_what_they_name_are_removed() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("http2-settings", "AA"),
            ("accept", "*/*"),
        ]);
        strip(&mut map);
        assert_eq!(map, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn a_client_cannot_name_away_what_was_judged() {
        let mut map = headers(&[
            (
                "connection",
                "Cookie, host, authorization, origin, content-length",
            ),
            ("cookie", "a=b"),
            ("host", "a.example"),
            ("authorization", "Bearer x"),
            ("origin", "https://a.example"),
            ("content-length", "3"),
        ]);
        strip(&mut map);
        assert_eq!(map.len(), 5);
    }

    #[test]
    fn trailers_carry_neither_framing_nor_identity() {
        let mut map = headers(&[
            ("x-portcullis-user", "root"),
            ("x_forwarded_user", "root"),
            ("set-cookie", "a=b"),
            ("content-length", "3"),
            ("strict-transport-security", "max-age=0"),
            ("grpc-status", "0"),
        ]);
        strip_trailers(&mut map, &Reserved::default());
        assert_eq!(map, headers(&[("grpc-status", "0")]));
    }
}
