//! Every refusal of admission with its admitted twin.

use http::{HeaderName, HeaderValue, Method, Request, Version};

use super::CleanRequest;
use crate::base::{Host, Peer, TlsFacts};
use crate::message::{AdmitError, Body, Rules};

/// A TLS connection for `app.example` on port 8443 of ours.
pub(crate) fn peer() -> Peer {
    let tls = TlsFacts {
        server_name: Host::parse("app.example").unwrap(),
        version: "1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
    };
    let (address, local) = ("198.51.100.7:50000", "192.0.2.80:8443");
    Peer::new(address.parse().unwrap(), local.parse().unwrap(), Some(tls))
}

struct Sent {
    method: &'static str,
    uri: &'static str,
    version: Version,
    headers: Vec<(&'static str, &'static [u8])>,
    body: &'static str,
}

/// A plain GET in HTTP/1.1, to be changed by each test.
fn get(uri: &'static str) -> Sent {
    Sent {
        method: "GET",
        uri,
        version: Version::HTTP_11,
        headers: vec![("host", b"app.example")],
        body: "",
    }
}

impl Sent {
    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value.as_bytes()));
        self
    }

    fn raw(mut self, name: &'static str, value: &'static [u8]) -> Self {
        self.headers.push((name, value));
        self
    }

    fn host(mut self, host: Option<&'static str>) -> Self {
        self.headers.retain(|(name, _)| *name != "host");
        match host {
            Some(host) => self.with("host", host),
            None => self,
        }
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method.parse().unwrap();
        *request.uri_mut() = self.uri.parse().unwrap();
        *request.version_mut() = self.version;
        for (name, value) in &self.headers {
            request.headers_mut().append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        request
    }

    fn admit(&self) -> Result<CleanRequest, AdmitError> {
        CleanRequest::admit(self.request(), &peer(), &Rules::default())
    }
}

#[track_caller]
fn refused(rows: Vec<(Sent, AdmitError)>) {
    for (row, (sent, error)) in rows.into_iter().enumerate() {
        let found = sent.admit().map(|_admitted| ());
        assert_eq!(
            found,
            Err(error),
            "row {row}: {} {:?}",
            sent.uri,
            sent.headers
        );
    }
}

#[track_caller]
fn admitted(rows: Vec<Sent>) {
    for (row, sent) in rows.into_iter().enumerate() {
        let found = sent.admit().map(|_admitted| ());
        assert_eq!(found, Ok(()), "row {row}: {} {:?}", sent.uri, sent.headers);
    }
}

#[test]
fn an_ordinary_request_keeps_its_bytes() {
    let request = get("/a/b?c=d").with("accept", "*/*").admit().unwrap();
    assert_eq!(request.path(), "/a/b");
    assert_eq!(request.target().query(), Some("c=d"));
    assert_eq!(request.host().as_str(), "app.example");
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.headers()["accept"], "*/*");
    assert!(request.upgrade().is_none() && request.is_secure());
}

#[test]
fn the_host_of_the_connection_is_shared_not_copied() {
    let peer = peer();
    let request = CleanRequest::admit(get("/").request(), &peer, &Rules::default()).unwrap();
    let name = &peer.tls.as_ref().unwrap().server_name;
    assert!(std::ptr::eq(request.host().as_str(), name.as_str()));
}

#[test]
fn one_host_that_is_the_connections_own() {
    let h2 = Version::HTTP_2;
    admitted(vec![
        get("/"),
        get("/").host(Some("APP.example")),
        get("/").host(Some("app.example:443")),
        get("/").host(Some("app.example:8443")),
        get("https://app.example/"),
        get("https://app.example/").version(h2).host(None),
        get("https://app.example/").version(h2),
        get("https://app.example:8443/").host(Some("app.example:8443")),
        get("/").version(h2),
        get("/").version(Version::HTTP_10),
    ]);
}

#[test]
fn a_host_that_is_missing_or_repeated_is_refused() {
    let h2 = Version::HTTP_2;
    refused(vec![
        (get("/").host(None), AdmitError::HostMissing),
        (
            get("/").version(Version::HTTP_10).host(None),
            AdmitError::HostMissing,
        ),
        (get("/").version(h2).host(None), AdmitError::HostMissing),
        (
            get("https://app.example/").host(None),
            AdmitError::HostMissing,
        ),
        (
            get("/").with("host", "app.example"),
            AdmitError::HostRepeated,
        ),
        (
            get("/").with("host", "other.example"),
            AdmitError::HostRepeated,
        ),
    ]);
}

#[test]
fn a_host_that_is_malformed_or_foreign_is_refused() {
    let h2 = Version::HTTP_2;
    refused(vec![
        (get("/").host(Some("")), AdmitError::HostMalformed),
        (
            get("/").host(Some("app.example.")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("user@app.example")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("app.example:")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("app.example:0443x")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("app.example/x")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("app.example, b")),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(None).raw("host", b"\xffapp"),
            AdmitError::HostMalformed,
        ),
        (
            get("/").host(Some("other.example")),
            AdmitError::Misdirected,
        ),
        (
            get("/").host(Some("app.example.evil")),
            AdmitError::Misdirected,
        ),
        (get("/").host(Some("192.0.2.80")), AdmitError::Misdirected),
        (
            get("/").host(Some("app.example:80")),
            AdmitError::Misdirected,
        ),
        (get("https://other.example/"), AdmitError::HostDisagrees),
        (
            get("https://other.example/").version(h2),
            AdmitError::HostDisagrees,
        ),
        (get("https://app.example:8443/"), AdmitError::HostDisagrees),
        (
            get("https://u@app.example/").version(h2).host(None),
            AdmitError::HostMalformed,
        ),
        (get("http://app.example/"), AdmitError::TargetForm),
    ]);
}

#[test]
fn only_known_methods_and_fitting_targets() {
    admitted(vec![
        get("/").method("DELETE"),
        get("/").method("PROPFIND"),
        get("*").method("OPTIONS"),
        get("/").method("OPTIONS"),
    ]);
    refused(vec![
        (get("*"), AdmitError::TargetForm),
        (get("app.example:443"), AdmitError::TargetForm),
        (
            get("app.example:443").method("CONNECT"),
            AdmitError::MethodRefused,
        ),
        (get("/").method("TRACE"), AdmitError::MethodRefused),
        (get("/").method("get"), AdmitError::MethodUnknown),
        (get("/").method("BREW"), AdmitError::MethodUnknown),
        (get("/a/../b"), AdmitError::PathDotSegment),
    ]);
}

#[test]
fn a_message_has_one_length() {
    let post = || get("/").method("POST");
    admitted(vec![
        post().with("content-length", "3").body("abc"),
        post().with("content-length", "0"),
        post().with("transfer-encoding", "chunked").body("abc"),
        post().with("transfer-encoding", "Chunked").body("abc"),
        post(),
    ]);
}

#[test]
fn a_message_with_another_length_than_one_is_refused() {
    let post = || get("/").method("POST");
    let both = post()
        .with("transfer-encoding", "chunked")
        .with("content-length", "3")
        .body("abc");
    let old = post()
        .version(Version::HTTP_10)
        .with("transfer-encoding", "chunked");
    let twice = post()
        .with("transfer-encoding", "chunked")
        .with("transfer-encoding", "chunked");
    refused(vec![
        (both, AdmitError::Framing),
        (old, AdmitError::Framing),
        (twice, AdmitError::Framing),
    ]);
}

#[test]
fn a_length_is_digits_alone_and_a_coding_is_chunked_alone() {
    let post = || get("/").method("POST");
    refused(vec![
        (
            post()
                .with("content-length", "3")
                .with("content-length", "3")
                .body("abc"),
            AdmitError::Framing,
        ),
        (
            post().with("content-length", "4").body("abc"),
            AdmitError::Framing,
        ),
        (post().with("content-length", "1"), AdmitError::Framing),
        (
            post().with("content-length", "+3").body("abc"),
            AdmitError::Framing,
        ),
        (
            post().with("content-length", "3, 3").body("abc"),
            AdmitError::Framing,
        ),
        (
            post().with("content-length", "0x3").body("abc"),
            AdmitError::Framing,
        ),
        (
            post().with("content-length", "").body("abc"),
            AdmitError::Framing,
        ),
        (
            post().with("content-length", "99999999999999999999"),
            AdmitError::Framing,
        ),
        (
            post().with("transfer-encoding", "gzip, chunked"),
            AdmitError::TransferCoding,
        ),
        (
            post().with("transfer-encoding", "chunked, gzip"),
            AdmitError::Framing,
        ),
        (
            post().with("transfer-encoding", "identity"),
            AdmitError::Framing,
        ),
        (
            post().with("transfer-encoding", "xchunked"),
            AdmitError::Framing,
        ),
    ]);
}

#[test]
fn a_header_section_stays_within_its_bounds() {
    let rules = Rules {
        header_count: 3,
        header_bytes: 60,
        target_bytes: 10,
        ..Rules::default()
    };
    let admit = |sent: Sent| CleanRequest::admit(sent.request(), &peer(), &rules).map(|_ok| ());
    let long = "1234567890123456789012345678901234567890";
    let rows = [
        (get("/").with("a", "1").with("b", "2"), Ok(())),
        (
            get("/").with("a", "1").with("b", "2").with("c", "3"),
            Err(AdmitError::TooManyFields),
        ),
        (get("/").with("a", long), Err(AdmitError::HeadTooLarge)),
        (get("/123456789"), Ok(())),
        (get("/1234567890"), Err(AdmitError::TargetTooLong)),
        (get("/1234?6789a"), Err(AdmitError::TargetTooLong)),
    ];
    for (row, (sent, expected)) in rows.into_iter().enumerate() {
        assert_eq!(admit(sent), expected, "row {row}");
    }
}

#[test]
fn http2_requests_carry_no_connection_fields() {
    let h2 = || get("https://app.example/").version(Version::HTTP_2);
    admitted(vec![
        h2().with("te", "trailers"),
        h2().with("accept", "a b"),
    ]);
    refused(vec![
        (
            h2().with("connection", "close"),
            AdmitError::ConnectionField,
        ),
        (
            h2().with("keep-alive", "timeout=5"),
            AdmitError::ConnectionField,
        ),
        (
            h2().with("proxy-connection", "close"),
            AdmitError::ConnectionField,
        ),
        (
            h2().with("transfer-encoding", "chunked"),
            AdmitError::ConnectionField,
        ),
        (
            h2().with("upgrade", "websocket"),
            AdmitError::ConnectionField,
        ),
        (h2().with("te", "gzip"), AdmitError::ConnectionField),
        (h2().with("accept", " a"), AdmitError::FieldValue),
        (h2().with("accept", "a\t"), AdmitError::FieldValue),
    ]);
}

#[test]
fn fields_that_may_stand_once_stand_once() {
    admitted(vec![
        get("/").with("expect", "100-Continue"),
        get("/").with("accept", "a").with("accept", "b"),
        get("/").with("connection", "keep-alive, x-mine"),
        get("/").with("connection", "x-portcullis-user"),
        get("/").with("via", "1.1 elsewhere"),
        get("/").with("via", "1.1 not-portcullis"),
    ]);
    refused(vec![
        (get("/").with("expect", "200-ok"), AdmitError::Expectation),
        (
            get("/")
                .with("authorization", "a")
                .with("authorization", "b"),
            AdmitError::FieldRepeated,
        ),
        (
            get("/").with("origin", "a").with("origin", "b"),
            AdmitError::FieldRepeated,
        ),
        (
            get("/").with("connection", "close, Host"),
            AdmitError::ConnectionNominates,
        ),
        (
            get("/").with("connection", "content-length"),
            AdmitError::ConnectionNominates,
        ),
        (
            get("/").with("connection", "Cookie"),
            AdmitError::ConnectionNominates,
        ),
        (get("/").with("via", "1.1 portcullis"), AdmitError::Loop),
        (
            get("/").with("via", "1.1 a, 2 portcullis"),
            AdmitError::Loop,
        ),
    ]);
}

#[test]
fn nothing_that_only_the_edge_may_say_survives() {
    let request = get("/")
        .with("x-forwarded-for", "6.6.6.6")
        .with("x_portcullis_user", "root")
        .with("remote-user", "root")
        .with("forwarded", "for=6.6.6.6")
        .with("accept", "*/*")
        .admit()
        .unwrap();
    let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["host", "accept"]);
}

#[test]
fn cookie_crumbs_are_joined() {
    let request = get("/")
        .with("cookie", "a=b")
        .with("cookie", "c=d")
        .admit()
        .unwrap();
    assert_eq!(request.headers()["cookie"], "a=b; c=d");
    assert_eq!(request.headers().get_all("cookie").iter().count(), 1);
}

fn handshake() -> Sent {
    get("/ws")
        .with("connection", "Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .with("sec-websocket-version", "13")
        .with("origin", "https://app.example")
}

#[test]
fn a_websocket_is_carried_only_where_the_route_says_so() {
    let carried = [String::from("websocket")];
    let mut request = handshake().admit().unwrap();
    assert_eq!(request.upgrade().unwrap().protocols, carried);
    assert_eq!(request.settle_upgrade(&carried, &[]), Ok(()));
    assert!(request.upgrade().unwrap().is_websocket());
    let mut request = handshake().admit().unwrap();
    assert!(request.settle_upgrade(&[], &[]).is_err());
    assert!(request.upgrade().is_none());
}

#[test]
fn an_upgrade_has_no_body() {
    refused(vec![
        (
            handshake().with("content-length", "3").body("abc"),
            AdmitError::UpgradeMalformed,
        ),
        (
            handshake().with("transfer-encoding", "chunked").body("abc"),
            AdmitError::UpgradeMalformed,
        ),
    ]);
}

#[test]
fn a_route_bounds_the_body_by_its_declared_length() {
    let bound = |bytes| crate::message::body::Bound {
        bytes,
        ..Rules::default().body
    };
    let mut request = get("/")
        .method("POST")
        .with("content-length", "3")
        .body("abc")
        .admit()
        .unwrap();
    assert_eq!(request.bound_body(bound(3)), Ok(()));
    assert_eq!(
        request.bound_body(bound(2)),
        Err(AdmitError::BodyTooLarge { limit: 2 })
    );
}

#[test]
fn the_plain_listener_speaks_http_only() {
    let mut plain = peer();
    plain.tls = None;
    let rules = Rules {
        ports: vec![80],
        ..Rules::default()
    };
    let admit = |sent: Sent| CleanRequest::admit(sent.request(), &plain, &rules).map(|_ok| ());
    assert_eq!(admit(get("/").host(Some("anything.example"))), Ok(()));
    assert_eq!(
        admit(get("https://app.example/")),
        Err(AdmitError::TargetForm)
    );
}

#[test]
fn every_error_has_a_client_status_and_a_reason() {
    let rows = [
        (AdmitError::MethodUnknown, 501),
        (AdmitError::MethodRefused, 405),
        (AdmitError::TargetTooLong, 414),
        (AdmitError::Misdirected, 421),
        (AdmitError::HeadTooLarge, 431),
        (AdmitError::TooManyFields, 431),
        (AdmitError::BodyTooLarge { limit: 1 }, 413),
        (AdmitError::Framing, 400),
        (AdmitError::PathDotSegment, 400),
    ];
    for (error, status) in rows {
        assert_eq!(error.status().as_u16(), status, "{error}");
        assert!(!error.to_string().ends_with('.') && !error.reason().code().is_empty());
    }
}
