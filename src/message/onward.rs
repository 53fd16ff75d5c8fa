//! From an admitted request to what an upstream gets: everything of the connection and of ours is left out, then the
//! edge's own statements are added.
//!
//! One rule for every kind of request and both versions, upgrades included, so that no path forgets a step. The head is
//! written only when the connection is chosen, and anew for each.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http_body::Body as _;

use super::admit::{CleanRequest, Parts};
use super::forwarded::{self, Edge, is_stated, write_line};
use super::upgrade::UpgradeRequest;
use super::{Body, Rules, hop};
use crate::base::{Peer, Statement};

/// A request that knows what it will say, but not yet to whom.
#[derive(Debug)]
pub(crate) struct Onward {
    pub(crate) head: Head,
    pub(crate) body: Body,
    pub(crate) upgrade: Option<UpgradeRequest>,
}

/// The head of a request for an upstream, in no HTTP version yet.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// The client's bytes.
    pub(crate) target: PathAndQuery,
    /// The client takes trailers: `TE: trailers` may be said to the upstream.
    pub(crate) wants_trailers: bool,
    /// The client's, cookies of ours taken out. Only what [`Self::passes`] is ever written.
    headers: HeaderMap,
    /// What the client's `Connection` names.
    nominated: Vec<HeaderName>,
    /// The body has no declared length, so that trailers may follow it.
    announces: bool,
    edge: Arc<Statement>,
    /// Further fields of ours, about this request.
    statements: Vec<(HeaderName, HeaderValue)>,
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
        rules.cookies.strip_request(&mut headers);
        count_forwards(&method, &mut headers);
        let edge = Edge {
            client,
            authority: &authority,
            secure,
            version,
            pseudonym: &rules.pseudonym,
        };
        let head = Head {
            method,
            target: target.path_and_query().clone(),
            wants_trailers: wants_trailers(&headers),
            nominated: hop::nominated(&headers),
            headers,
            announces: body.size_hint().exact().is_none(),
            edge: forwarded::state(&edge, &peer.statement),
            statements: Vec::new(),
        };
        Onward {
            head,
            body,
            upgrade,
        }
    }
}

impl Head {
    /// Adds fields of ours; what a client said under their names is left out.
    pub(crate) fn state(&mut self, fields: Vec<(HeaderName, HeaderValue)>) {
        if self.statements.is_empty() {
            self.statements = fields;
        } else {
            self.statements.extend(fields);
        }
    }

    /// The host that the client asked for, as an upstream is told it.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.edge.host
    }

    /// Sending it twice is the same as once (RFC 9110 section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Whether a field of the client's goes to the upstream. Neither framing, which is the body's own, nor `Expect`,
    /// which is answered on our side, ever does.
    fn passes(&self, name: &HeaderName) -> bool {
        let is_ours = |(ours, _): &(HeaderName, HeaderValue)| ours == name;
        !hop::is_hop_by_hop(name, self.announces)
            && !is_stated(name)
            && *name != header::CONTENT_LENGTH
            && *name != header::EXPECT
            && !self.nominated.contains(name)
            && !self.statements.iter().any(is_ours)
    }

    /// The client's fields that go to the upstream.
    fn passed(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().filter(|(name, _)| self.passes(name))
    }

    /// For HTTP/2, which names method, target and host elsewhere.
    pub(crate) fn fields(&self) -> HeaderMap {
        let ours = self.edge.fields.iter().chain(&self.statements);
        let mut fields: HeaderMap = self.passed().map(owned).collect();
        for (name, value) in ours {
            fields.append(name, value.clone());
        }
        fields
    }

    /// For HTTP/1.1: everything but the fields about the connection and the framing.
    pub(crate) fn write(&self, host: &HeaderValue, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_str().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_line(out, &header::HOST, host);
        for (name, value) in self.passed() {
            write_line(out, name, value);
        }
        out.extend_from_slice(&self.edge.lines);
        for (name, value) in &self.statements {
            write_line(out, name, value);
        }
    }
}

fn owned((name, value): (&HeaderName, &HeaderValue)) -> (HeaderName, HeaderValue) {
    (name.clone(), value.clone())
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
pub(crate) mod tests {
    use http::{HeaderMap, HeaderValue, Request};

    use super::Onward;
    use crate::message::admit::tests::peer;
    use crate::message::{Body, CleanRequest, Rules};

    /// A GET of `/a?b=c` with these headers, on its way.
    pub(crate) fn onward(pairs: &[(&str, &str)], body: Body) -> Onward {
        let mut request = Request::get("/a?b=c").header("host", "app.example");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let clean = CleanRequest::admit(request, &peer(), &Rules::default()).unwrap();
        clean.onward("192.0.2.1".parse().unwrap(), &peer(), &Rules::default())
    }

    /// What is said, which must be the same in both versions.
    fn said(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut sent = onward(pairs, Body::Empty);
        let name = "x-portcullis-user".parse().unwrap();
        sent.head
            .state(vec![(name, HeaderValue::from_static("alice"))]);
        let mut text = Vec::new();
        sent.head.write(sent.head.host(), &mut text);
        let text = String::from_utf8(text).unwrap();
        let (line, fields) = text.split_once("\r\n").unwrap();
        assert_eq!(line, "GET /a?b=c HTTP/1.1");
        let mut read = HeaderMap::new();
        for field in fields.split_terminator("\r\n") {
            let (name, value) = field.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            read.append(name, value.parse().unwrap());
        }
        assert_eq!(read.remove("host").unwrap(), "app.example");
        assert_eq!(read, sent.head.fields());
        read
    }

    #[test]
    fn a_client_can_neither_set_nor_remove_what_the_edge_states() {
        let sent = said(&[
            (
                "connection",
                "x-forwarded-for, x-portcullis-user, forwarded, via, x-inner, close",
            ),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_host", "evil.example"),
            ("x-portcullis-user", "root"),
            ("x-original-url", "/admin"),
            ("x-inner", "1"),
            ("cookie", "a=b; __Host-portcullis=secret; c=d"),
        ]);
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "app.example"),
            ("x-portcullis-user", "alice"),
            ("via", "1.1 portcullis"),
            ("cookie", "a=b; c=d"),
        ] {
            assert_eq!(sent.get_all(name).iter().collect::<Vec<_>>(), [value]);
        }
        for name in [
            "connection",
            "x_forwarded_host",
            "x-original-url",
            "x-inner",
        ] {
            assert!(!sent.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_the_edge_states_replaces_a_clients_word_even_if_admission_let_it_pass() {
        let mut sent = onward(&[], Body::Empty);
        for name in [
            "x-forwarded-for",
            "x-real-ip",
            "forwarded",
            "x-portcullis-user",
        ] {
            sent.head
                .headers
                .append(name, HeaderValue::from_static("evil"));
        }
        let name = "x-portcullis-user".parse().unwrap();
        sent.head
            .state(vec![(name, HeaderValue::from_static("alice"))]);
        let fields = sent.head.fields();
        assert!(fields.values().all(|value| value != "evil"), "{fields:?}");
        assert_eq!(fields["x-portcullis-user"], "alice");
    }

    #[test]
    fn framing_and_expectations_are_the_connections_own() {
        let sent = said(&[
            ("content-length", "0"),
            ("trailer", "x-sum"),
            ("expect", "100-continue"),
        ]);
        for name in ["content-length", "trailer", "expect"] {
            assert!(!sent.contains_key(name), "{name}");
        }
    }

    #[test]
    fn headers_that_concern_nobody_between_pass_unchanged() {
        let sent = said(&[
            ("accept", "text/html"),
            ("authorization", "Bearer upstream"),
            ("te", "trailers"),
            ("via", "1.0 before"),
            ("accept", "text/plain"),
        ]);
        assert_eq!(sent.get_all("accept").iter().count(), 2);
        assert_eq!(sent["authorization"], "Bearer upstream");
        assert!(!sent.contains_key("te"));
        let via: Vec<_> = sent.get_all("via").iter().collect();
        assert_eq!(via, ["1.0 before", "1.1 portcullis"]);
        assert!(
            onward(&[("te", "trailers")], Body::Empty)
                .head
                .wants_trailers
        );
    }
}
