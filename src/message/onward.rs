//! From an admitted request to what an upstream gets: everything of the connection and of ours is taken away first,
//! then the edge's own statements are added.
//!
//! One function for every kind of request, upgrades included, so that no path forgets a step.

use std::net::IpAddr;

use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http_body::Body as _;

use super::admit::{CleanRequest, Parts};
use super::forwarded::{self, Edge};
use super::upgrade::UpgradeRequest;
use super::{Body, Rules, hop};
use crate::base::Peer;

/// A request without framing, identity or connection fields, ready to be sent in any HTTP version.
#[derive(Debug)]
pub(crate) struct Onward {
    pub(crate) method: Method,
    /// The client's bytes.
    pub(crate) target: PathAndQuery,
    /// Has `Host` written from the authority; no `Content-Length`, whose value is the body's own.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) upgrade: Option<UpgradeRequest>,
    /// The client takes trailers: `TE: trailers` may be said to the upstream.
    pub(crate) wants_trailers: bool,
}

impl CleanRequest {
    /// `client` is the address that [`forwarded::client_address`] found behind `peer`.
    pub(crate) fn onward(self, client: IpAddr, peer: &Peer, rules: &Rules) -> Onward {
        let Parts {
            method,
            target,
            authority,
            version,
            secure,
            mut headers,
            body,
            upgrade,
        } = self.into_parts();
        let wants_trailers = wants_trailers(&headers);
        // A body of known length has no trailers.
        if body.size_hint().exact().is_none() {
            hop::strip_but_announced(&mut headers);
        } else {
            hop::strip(&mut headers);
        }
        rules.cookies.strip_request(&mut headers);
        headers.remove(header::CONTENT_LENGTH);
        // hyper has answered or will answer the client's expectation itself.
        headers.remove(header::EXPECT);
        count_forwards(&method, &mut headers);
        let edge = Edge {
            client,
            authority: &authority,
            secure,
            version,
            pseudonym: &rules.pseudonym,
        };
        forwarded::state(&mut headers, &edge, &peer.statement);
        Onward {
            method,
            target: target.path_and_query().clone(),
            headers,
            body,
            upgrade,
            wants_trailers,
        }
    }
}

/// `TE: trailers` (RFC 9110 section 10.1.4).
pub(crate) fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// One fewer for the next hop; only OPTIONS counts (RFC 9110 section 7.6.2).
fn count_forwards(method: &Method, headers: &mut HeaderMap) {
    if *method != Method::OPTIONS {
        return;
    }
    let left = headers
        .get(header::MAX_FORWARDS)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u32>().ok());
    if let Some(left) = left {
        headers.insert(
            header::MAX_FORWARDS,
            HeaderValue::from(left.saturating_sub(1)),
        );
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::Onward;
    use crate::message::admit::tests::peer;
    use crate::message::{Body, CleanRequest, Rules};

    fn onward(pairs: &[(&str, &str)]) -> Onward {
        let mut request = Request::get("/a%20b?c").header("host", "app.example");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::Empty).unwrap();
        let clean = CleanRequest::admit(request, &peer(), &Rules::default()).unwrap();
        clean.onward("192.0.2.1".parse().unwrap(), &peer(), &Rules::default())
    }

    #[test]
    fn a_client_can_neither_set_nor_remove_what_the_edge_states() {
        let sent = onward(&[
            (
                "connection",
                "x-forwarded-for, x-portcullis-user, forwarded, via",
            ),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_host", "evil.example"),
            ("x-portcullis-user", "root"),
            ("x-original-url", "/admin"),
            ("cookie", "a=b; __Host-portcullis=secret; c=d"),
        ]);
        assert_eq!(sent.headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(sent.headers["x-forwarded-host"], "app.example");
        assert_eq!(sent.headers["via"], "1.1 portcullis");
        assert_eq!(sent.headers["cookie"], "a=b; c=d");
        for name in [
            "connection",
            "x_forwarded_host",
            "x-portcullis-user",
            "x-original-url",
        ] {
            assert!(!sent.headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_target_is_forwarded_byte_for_byte() {
        assert_eq!(onward(&[]).target.as_str(), "/a%20b?c");
    }

    #[test]
    fn headers_that_concern_nobody_between_pass_unchanged() {
        let sent = onward(&[
            ("accept", "text/html"),
            ("authorization", "Bearer upstream"),
            ("te", "trailers"),
        ]);
        assert_eq!(sent.headers["accept"], "text/html");
        assert_eq!(sent.headers["authorization"], "Bearer upstream");
        assert!(sent.wants_trailers && !sent.headers.contains_key("te"));
    }
}
