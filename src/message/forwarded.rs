//! Whose address a request comes from, and what the edge tells upstreams about it.
//!
//! A header is believed only when the machine that sent it is on the operator's list; junk in it never changes the
//! outcome of a check, it only ends the reading. What goes to upstreams is written from scratch.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::Version;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, VIA};
use ipnet::IpNet;

use crate::base::{Authority, Statement};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Longest chain of hops that is read.
const MOST_HOPS: usize = 32;

/// The address that asks: `peer`, or the right-most one that no trusted machine of the chain vouches for
/// (RFC 7239 section 8.1).
///
/// When both `X-Forwarded-For` and `Forwarded` stand there and disagree, one of them is the client's own invention,
/// so `peer` it is.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let walk = |hops: &mut dyn Iterator<Item = Option<IpAddr>>| {
        let mut nearest = peer;
        for hop in hops.take(MOST_HOPS) {
            let Some(hop) = hop else { return nearest };
            nearest = hop;
            if !is_trusted(hop) {
                return nearest;
            }
        }
        nearest
    };
    let customary = headers
        .contains_key(X_FORWARDED_FOR)
        .then(|| walk(&mut customary_hops(headers)));
    let standard = headers
        .contains_key(FORWARDED)
        .then(|| walk(&mut standard_hops(headers)));
    match (customary, standard) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
    }
}

/// `X-Forwarded-For` from right to left; `None` for an element that is no address.
fn customary_hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','))
        .map(|element| parse_node(element.trim()))
}

/// The `for` parameters of `Forwarded` from right to left (RFC 7239 section 4).
fn standard_hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers
        .get_all(FORWARDED)
        .iter()
        .rev()
        .flat_map(|value| value.to_str().unwrap_or_default().rsplit(','))
        .map(|element| {
            let mut nodes = element.split(';').filter_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                name.eq_ignore_ascii_case("for").then_some(value)
            });
            match (nodes.next(), nodes.next()) {
                (Some(node), None) => parse_node(unquote(node)),
                _ => None,
            }
        })
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_node(text: &str) -> Option<IpAddr> {
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let address = text
        .parse()
        .ok()
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|pair| pair.ip()))?;
    Some(address.to_canonical())
}

/// What the edge states about a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge<'a> {
    pub(crate) client: IpAddr,
    pub(crate) authority: &'a Authority,
    pub(crate) secure: bool,
    /// The version the client spoke, for `Via`.
    pub(crate) version: Version,
    pub(crate) pseudonym: &'a str,
}

/// `X-Forwarded-*`, `X-Real-IP`, `Forwarded`, `Via` and the value of `Host` for a request. `known` keeps the text for the
/// connection's next request.
pub(crate) fn state(edge: &Edge<'_>, known: &OnceLock<Arc<Statement>>) -> Arc<Statement> {
    let first = known.get_or_init(|| Arc::new(edge.statement()));
    if edge.is_subject_of(first) {
        Arc::clone(first)
    } else {
        Arc::new(edge.statement())
    }
}

/// `true` for what [`state`] writes anew, so that nothing of the client's may stand beside it. Earlier `Via` hops stay.
pub(super) fn is_stated(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "forwarded"
            | "host"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-real-ip"
    )
}

impl Edge<'_> {
    /// Whether `statement` says about this request what would be said anew. A connection is secure or not for good.
    fn is_subject_of(&self, statement: &Statement) -> bool {
        statement.client == self.client
            && statement.version == self.version
            && statement.authority == *self.authority
            && statement.pseudonym == self.pseudonym
    }

    /// All values are built from parsed hosts and addresses, so they are header values.
    fn statement(&self) -> Statement {
        let (proto, usual) = if self.secure {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let client = self.client.to_string();
        let host = self.authority.to_string();
        let node = match self.client {
            IpAddr::V4(_) => client.clone(),
            IpAddr::V6(_) => format!("\"[{client}]\""),
        };
        let by = self.pseudonym;
        let version = match self.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        let port = self.authority.port.unwrap_or(usual);
        let written = HeaderValue::try_from(&host);
        let fields = [
            (
                FORWARDED,
                format!("for={node};host=\"{host}\";proto={proto};by=_{by}"),
            ),
            (X_FORWARDED_HOST, host),
            (X_FORWARDED_FOR, client.clone()),
            (X_REAL_IP, client),
            (X_FORWARDED_PROTO, proto.to_owned()),
            (X_FORWARDED_PORT, port.to_string()),
            (VIA, format!("{version} {by}")),
        ];
        let fields: Vec<_> = fields
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)))
            .collect();
        let mut lines = Vec::with_capacity(256);
        for (name, value) in &fields {
            write_line(&mut lines, name, value);
        }
        Statement {
            client: self.client,
            authority: self.authority.clone(),
            version: self.version,
            pseudonym: self.pseudonym.to_owned(),
            host: written.unwrap_or_else(|_impossible| HeaderValue::from_static("")),
            fields,
            lines: lines.into(),
        }
    }
}

/// A field as HTTP/1.1 writes it. Names and values of these types hold no line end.
pub(crate) fn write_line(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::OnceLock;

    use http::{HeaderMap, HeaderName, HeaderValue, Version};
    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::{Edge, client_address, state};
    use crate::base::Authority;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]
    }

    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );

    const CHAINS: [Row; 16] = [
        (
            "198.51.100.1",
            &[("x-forwarded-for", "192.0.2.1")],
            "198.51.100.1",
        ),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1, 192.0.2.1")],
            "192.0.2.1",
        ),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.2")],
            "192.0.2.1",
        ),
        (
            "10.0.0.1",
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-for", "10.0.0.2"),
            ],
            "192.0.2.1",
        ),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "192.0.2.1, junk")],
            "10.0.0.1",
        ),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "junk, 10.0.0.2")],
            "10.0.0.2",
        ),
        ("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1"),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")],
            "10.0.0.3",
        ),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "[2001:db8::1]:443")],
            "2001:db8::1",
        ),
        (
            "10.0.0.1",
            &[("x-forwarded-for", "::ffff:192.0.2.9")],
            "192.0.2.9",
        ),
        (
            "fd00::1",
            &[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")],
            "2001:db8::1",
        ),
        (
            "10.0.0.1",
            &[("forwarded", "for=192.0.2.1;for=192.0.2.2")],
            "10.0.0.1",
        ),
        (
            "10.0.0.1",
            &[("forwarded", "For=192.0.2.1, for=_hidden")],
            "10.0.0.1",
        ),
        (
            "10.0.0.1",
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("forwarded", "for=192.0.2.2"),
            ],
            "10.0.0.1",
        ),
    ];

    #[test]
    fn the_right_most_untrusted_address_is_the_client() {
        for (peer, pairs, expected) in CHAINS {
            let found = client_address(peer.parse().unwrap(), &headers(pairs), &trusted());
            assert_eq!(
                found,
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {pairs:?}"
            );
        }
    }

    #[test]
    fn upstreams_learn_what_the_edge_knows_and_nothing_else() {
        let authority = Authority::parse("app.example").unwrap();
        let stated = state(
            &Edge {
                client: "2001:db8::17".parse().unwrap(),
                authority: &authority,
                secure: true,
                version: Version::HTTP_2,
                pseudonym: "portcullis",
            },
            &OnceLock::new(),
        );
        let rows = [
            ("x-forwarded-for", "2001:db8::17"),
            ("x-real-ip", "2001:db8::17"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("via", "2 portcullis"),
            (
                "forwarded",
                "for=\"[2001:db8::17]\";host=\"app.example\";proto=https;by=_portcullis",
            ),
        ];
        for (name, value) in rows {
            let mut said = stated.fields.iter().filter(|(said, _)| said == name);
            assert_eq!(said.next().unwrap().1, value, "{name}");
            assert!(said.next().is_none(), "{name}");
        }
        assert_eq!(stated.host, "app.example");
        let lines = std::str::from_utf8(&stated.lines).unwrap();
        let written: Vec<_> = lines.split_terminator("\r\n").collect();
        let fields = stated.fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(written, fields);
    }

    #[test]
    fn what_is_known_of_a_connection_is_said_of_no_other_client_host_or_version() {
        let known = OnceLock::new();
        let said = |client: &str, host: &str, version, pseudonym| {
            let authority = Authority::parse(host).unwrap();
            let edge = Edge {
                client: client.parse().unwrap(),
                authority: &authority,
                secure: true,
                version,
                pseudonym,
            };
            let stated = state(&edge, &known);
            let text = |name: &str| {
                let (_, value) = stated.fields.iter().find(|(said, _)| said == name).unwrap();
                value.to_str().unwrap().to_owned()
            };
            let host = stated.host.to_str().unwrap().to_owned();
            [text("x-forwarded-for"), host, text("via")]
        };
        let first = ["192.0.2.1", "app.example", "1.1 pc"];
        let http = Version::HTTP_11;
        for _ in 0..2 {
            assert_eq!(said("192.0.2.1", "app.example", http, "pc"), first);
        }
        let rows = [
            (
                said("192.0.2.2", "app.example", http, "pc"),
                ["192.0.2.2", "app.example", "1.1 pc"],
            ),
            (
                said("192.0.2.1", "app.example:8443", http, "pc"),
                ["192.0.2.1", "app.example:8443", "1.1 pc"],
            ),
            (
                said("192.0.2.1", "app.example", Version::HTTP_10, "pc"),
                ["192.0.2.1", "app.example", "1.0 pc"],
            ),
            (
                said("192.0.2.1", "app.example", http, "edge"),
                ["192.0.2.1", "app.example", "1.1 edge"],
            ),
        ];
        for (said, expected) in rows {
            assert_eq!(said, expected);
        }
    }

    proptest! {
        #[test]
        fn a_client_cannot_choose_its_address_through_a_proxy_that_appends(invented in "[0-9a-f:.,\\[\\] \"]{0,40}") {
            let value = format!("{invented}, 192.0.2.1");
            let map = headers(&[("x-forwarded-for", &value)]);
            let found = client_address("10.0.0.1".parse().unwrap(), &map, &trusted());
            prop_assert_eq!(found, "192.0.2.1".parse::<IpAddr>().unwrap());
        }
    }
}
