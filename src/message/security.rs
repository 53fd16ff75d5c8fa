//! What the edge says and unsays in every answer.
//!
//! Strict-Transport-Security stands on every answer through TLS, errors included, with our value only. An upstream
//! cannot set or clear our cookies, move browsers to another port, or tell its product and version.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::response::{Came, ResponseRules};
use super::{Rules, hop};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// What an upstream must not say to a browser.
fn is_unsaid(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "alt-svc"
            | "proxy-authenticate"
            | "public-key-pins"
            | "public-key-pins-report-only"
            | "server"
            // A worker of one path would rule its whole host, the portal's pages included.
            | "service-worker-allowed"
            // Obsolete, and a second way to set a cookie for whoever still reads it (RFC 2965).
            | "set-cookie2"
            | "strict-transport-security"
            | "x-aspnet-version"
            | "x-aspnetmvc-version"
            | "x-generator"
            | "x-powered-by"
    ) || name.starts_with("x-portcullis-")
}

/// Policy of our own pages: no inline script or style, no frames, nothing from elsewhere.
pub(crate) const OWN_PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; \
    require-trusted-types-for 'script'";

const OWN_PAGE_PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), fullscreen=(), geolocation=(), \
    gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    publickey-credentials-create=(self), publickey-credentials-get=(self), screen-wake-lock=(), usb=(), \
    xr-spatial-tracking=()";

/// Whether a field of an upstream's answer goes to the client. `Trailer` does: the client's connection needs it too.
pub(crate) fn is_passed_on(name: &HeaderName) -> bool {
    !hop::is_hop_by_hop(name, true) && !is_unsaid(name)
}

/// Leaves out what [`is_passed_on`] does not let pass, for answers whose head somebody else has read.
pub(crate) fn leave_out(headers: &mut HeaderMap) {
    for name in hop::nominated(headers) {
        headers.remove(name);
    }
    hop::remove_if(headers, |name| !is_passed_on(name));
}

/// Applies the rules of the edge and of a route to an answer of which only what [`is_passed_on`] is left. `finish` must
/// follow, as for every answer.
pub(crate) fn from_upstream(
    status: StatusCode,
    headers: &mut HeaderMap,
    rules: &Rules,
    route: &ResponseRules,
    came: &Came<'_>,
) {
    if status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6: it says nothing there.
        headers.remove(header::CONTENT_LENGTH);
    }
    limit_site_data(headers);
    route.apply(status, headers, &rules.cookies, came);
}

/// Keeps of `Clear-Site-Data` what concerns the app alone. `"cookies"` would sign the person out, in some browsers on
/// every host of the domain; `"*"` contains it, so that it is told apart into what it may still mean.
fn limit_site_data(headers: &mut HeaderMap) {
    const HARMLESS: [&[u8]; 3] = [b"\"cache\"", b"\"storage\"", b"\"executionContexts\""];
    if !headers.contains_key(CLEAR_SITE_DATA) {
        return;
    }
    let mut said = [false; HARMLESS.len()];
    for value in headers.get_all(CLEAR_SITE_DATA) {
        for part in value.as_bytes().split(|byte| *byte == b',') {
            let part = part.trim_ascii();
            for (said, word) in said.iter_mut().zip(HARMLESS) {
                *said |= part == word || part == b"\"*\"";
            }
        }
    }
    headers.remove(CLEAR_SITE_DATA);
    let words = said.iter().zip(HARMLESS).filter(|(said, _)| **said);
    let kept: Vec<&[u8]> = words.map(|(_, word)| word).collect();
    if let (false, Ok(value)) = (
        kept.is_empty(),
        HeaderValue::from_bytes(&kept.join(b", ".as_slice())),
    ) {
        headers.insert(CLEAR_SITE_DATA, value);
    }
}

/// Headers of a page or a problem document of our own.
pub(crate) fn own_answer(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, OWN_PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (PERMISSIONS_POLICY, OWN_PAGE_PERMISSIONS),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
        (ROBOTS, "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// The last step of every answer, whoever made it.
pub(crate) fn finish(headers: &mut HeaderMap, secure: bool, rules: &Rules) {
    headers.remove(header::SERVER);
    // RFC 6797 section 7.2: never through plain HTTP.
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, rules.hsts.clone());
    } else {
        headers.remove(header::STRICT_TRANSPORT_SECURITY);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::{finish, from_upstream, leave_out, own_answer};
    use crate::message::Rules;
    use crate::message::response::{Came, ResponseRules};

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

    fn answered(pairs: &[(&'static str, &'static str)], route: &ResponseRules) -> HeaderMap {
        let rules = Rules::default();
        let mut map = headers(pairs);
        leave_out(&mut map);
        from_upstream(StatusCode::OK, &mut map, &rules, route, &Came::nowhere());
        finish(&mut map, true, &rules);
        map
    }

    #[test]
    fn there_is_one_transport_security_header_and_it_is_ours() {
        let map = answered(
            &[
                ("strict-transport-security", "max-age=0"),
                ("strict-transport-security", "max-age=1"),
            ],
            &ResponseRules::default(),
        );
        let values: Vec<_> = map.get_all("strict-transport-security").iter().collect();
        assert_eq!(values, ["max-age=63072000; includeSubDomains"]);
    }

    #[test]
    fn plain_answers_carry_no_transport_security() {
        let mut map = headers(&[("strict-transport-security", "max-age=1")]);
        finish(&mut map, false, &Rules::default());
        assert!(map.is_empty());
    }

    #[test]
    fn an_upstream_cannot_speak_for_the_edge() {
        let map = answered(
            &[
                ("server", "nginx/1.2"),
                ("x-powered-by", "PHP"),
                ("alt-svc", "h3=\":8443\""),
                ("clear-site-data", "\"cookies\""),
                ("service-worker-allowed", "/"),
                ("x-portcullis-user", "root"),
                ("connection", "keep-alive, x-inner"),
                ("x-inner", "1"),
                ("set-cookie", "__Host-portcullis=stolen; Path=/"),
                ("set-cookie", "app=1; Path=/"),
                ("content-type", "text/html"),
            ],
            &ResponseRules::default(),
        );
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-type",
                "referrer-policy",
                "set-cookie",
                "strict-transport-security",
                "x-content-type-options"
            ]
        );
        assert_eq!(map["set-cookie"], "app=1; Path=/; Secure");
    }

    #[test]
    fn a_route_sets_and_removes_headers_of_its_answers() {
        let route = ResponseRules {
            set: vec![(
                HeaderName::from_static("x-frame-options"),
                HeaderValue::from_static("DENY"),
            )],
            remove: vec![HeaderName::from_static("x-debug")],
            ..ResponseRules::default()
        };
        let map = answered(&[("x-debug", "1"), ("x-frame-options", "ALLOWALL")], &route);
        assert_eq!(map["x-frame-options"], "DENY");
        assert!(!map.contains_key("x-debug"));
    }

    #[test]
    fn own_pages_are_closed_to_scripts_frames_and_caches() {
        let mut map = HeaderMap::new();
        own_answer(&mut map);
        let policy = map["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{part}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(map["cache-control"], "no-store");
        assert_eq!(map["referrer-policy"], "no-referrer");
    }
}
