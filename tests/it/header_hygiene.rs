//! What a client says about itself never reaches an upstream, and what an upstream says about the edge never a client.

use http::HeaderMap;

use crate::harness::client::{Content, collect, content, request, request_h2};
use crate::harness::raw_h2::{Fate, RawH2};
use crate::harness::{Answer, Site, Upstream};

async fn open(upstream: &Upstream) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .start()
        .await
}

async fn send(site: &Site, asked: http::Request<Content>) -> Answer {
    let mut sender = site.client().h1("app.test").await;
    collect(sender.send_request(asked).await.unwrap()).await
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

const FORGED: [&str; 44] = [
    "X-Portcullis-Assertion",
    "X-Portcullis-User",
    "X-Portcullis-Groups",
    "X_Portcullis_User",
    "x-portcullis_groups",
    "X-PORTCULLIS-ANYTHING",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X_Forwarded_For",
    "X-Forwarded_Host",
    "Remote-User",
    "Remote_User",
    "REMOTE-GROUPS",
    "X-Remote-User",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Authentik-Username",
    "X-Authelia-User",
    "X-WebAuth-User",
    "X_WEBAUTH_USER",
    "X-Pomerium-Jwt-Assertion",
    "Cf-Access-Jwt-Assertion",
    "X-Goog-Iap-Jwt-Assertion",
    "X-Goog-Authenticated-User-Email",
    "X-Ms-Client-Principal",
    "X-Amzn-Oidc-Data",
    "Tailscale-User-Login",
    "X-Original-Url",
    "X-Original_Uri",
    "X-Rewrite-Url",
    "X-Http-Method-Override",
    "X_Http_Method_Override",
    "X-Method-Override",
    "Client-Cert",
    "Client_Cert_Chain",
    "Ssl-Client-Cert",
    "Client-Ip",
    "True-Client-Ip",
    "Proxy",
];

#[tokio::test(flavor = "multi_thread")]
async fn identity_and_forwarding_headers_of_a_client_never_pass_in_any_spelling() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut asked = request(&site, "GET", "app", "/");
    let mut raw = format!("GET / HTTP/1.1\r\nHost: app.test:{}\r\n", site.port);
    for name in FORGED {
        asked = asked.header(name, "root");
        raw.push_str(&format!("{name}: root\r\n{name}: root2\r\n"));
    }
    assert_eq!(
        send(&site, asked.body(content("")).unwrap()).await.status,
        200
    );
    let mut wire = site.client().wire("app.test").await;
    wire.send(raw + "\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    let mut h2 = site.client().h2("app.test").await;
    let mut asked = request_h2(&site, "GET", "app", "/");
    for name in FORGED {
        asked = asked.header(name, "root");
    }
    assert_eq!(
        h2.send_request(asked.body(content("")).unwrap())
            .await
            .unwrap()
            .status(),
        200
    );

    assert_eq!(upstream.hits(), 3);
    for seen in upstream.seen() {
        let all: Vec<_> = seen
            .headers
            .iter()
            .filter(|(_, value)| value.as_bytes().starts_with(b"root"))
            .collect();
        assert!(all.is_empty(), "{all:?}");
        let expected = [
            "forwarded",
            "host",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id",
        ];
        assert_eq!(names(&seen.headers), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_of_a_websocket_carries_no_identity_of_a_client_in_any_spelling() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let authority = format!("app.test:{}", site.port);
    let origin = format!("https://{authority}");
    let mut raw = format!(
        "GET /socket HTTP/1.1\r\nHost: {authority}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    );
    let names: Vec<_> = FORGED.iter().map(|name| name.to_lowercase()).collect();
    let mut fields = vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/socket"),
        (":authority", authority.as_str()),
        ("origin", origin.as_str()),
        ("sec-websocket-version", "13"),
    ];
    for (sent, lower) in FORGED.iter().zip(&names) {
        raw.push_str(&format!("{sent}: root\r\n{sent}: root2\r\n"));
        fields.extend([(lower.as_str(), "root"), (lower.as_str(), "root2")]);
    }
    let mut wire = site.client().wire("app.test").await;
    wire.send(raw + "\r\n").await;
    assert_eq!(wire.answer().await.status, 101);
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2.open(&fields).await.unwrap();
    assert_eq!(h2.fate(stream).await, Fate::Answered(200));
    assert_eq!(upstream.hits(), 2);
    for seen in upstream.seen() {
        assert_eq!(seen.header("upgrade"), Some("websocket"));
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
        for (name, value) in &seen.headers {
            assert!(!value.as_bytes().starts_with(b"root"), "{name}: {value:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_only_concern_client_and_app_pass_unchanged() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let passing = [
        ("authorization", "Bearer app-token"),
        ("x_custom_header", "underscores are fine"),
        ("x-csrf-token", "t"),
        ("cookie", "a=b; c=\"d e\""),
        ("accept-encoding", "gzip, br"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("x-forwardedness", "kept"),
        ("x-userland", "kept"),
        ("user-agent", "Test/1.0"),
        ("origin", "https://elsewhere.example"),
        ("referer", "https://elsewhere.example/a"),
    ];
    let mut asked = request(&site, "GET", "app", "/");
    for (name, value) in passing {
        asked = asked.header(name, value);
    }
    let asked = asked.header("accept", "a/b").header("accept", "c/d");
    assert_eq!(
        send(&site, asked.body(content("")).unwrap()).await.status,
        200
    );
    let seen = upstream.last();
    for (name, value) in passing {
        assert_eq!(seen.header(name), Some(value));
    }
    let accepts: Vec<_> = seen.headers.get_all("accept").iter().collect();
    assert_eq!(accepts, ["a/b", "c/d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_learns_exactly_who_asked_for_what_through_which_edge() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let authority = format!("app.test:{}", site.port);
    let asked = request(&site, "GET", "app", "/a")
        .header("via", "1.1 before")
        .header("x-forwarded-for", "6.6.6.6");
    send(
        &site,
        asked
            .header("forwarded", "for=6.6.6.6")
            .body(content(""))
            .unwrap(),
    )
    .await;
    let seen = upstream.last();
    let rows = [
        ("host", authority.clone()),
        ("x-forwarded-for", "127.0.0.1".into()),
        ("x-real-ip", "127.0.0.1".into()),
        ("x-forwarded-host", authority.clone()),
        ("x-forwarded-port", site.port.to_string()),
        ("x-forwarded-proto", "https".into()),
        (
            "forwarded",
            format!("for=127.0.0.1;host=\"{authority}\";proto=https;by=_portcullis"),
        ),
    ];
    for (name, value) in rows {
        let values: Vec<_> = seen.headers.get_all(name).iter().collect();
        assert_eq!(values, [value.as_str()], "{name}");
    }
    let via: Vec<_> = seen.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.1 before", "1.1 portcullis"]);
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/")
        .body(content(""))
        .unwrap();
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 200);
    assert_eq!(upstream.last().header("via"), Some("2 portcullis"));
    assert_eq!(upstream.last().header("host"), Some(authority.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarding_header_is_believed_only_from_a_listed_proxy() {
    let upstream = Upstream::start("app").await;
    let trusting = Site::plan()
        .route("app", &upstream, "public = true")
        .server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .start()
        .await;
    let other = Site::plan()
        .route("app", &upstream, "public = true")
        .server("trusted_proxies = [\"10.0.0.0/8\"]")
        .start()
        .await;
    let chain = "6.6.6.6, 192.0.2.7, 10.0.0.9";
    for (site, expected) in [(&trusting, "192.0.2.7"), (&other, "127.0.0.1")] {
        let asked = request(site, "GET", "app", "/").header("x-forwarded-for", chain);
        send(site, asked.body(content("")).unwrap()).await;
        assert_eq!(upstream.last().header("x-forwarded-for"), Some(expected));
        assert_eq!(upstream.last().header("x-real-ip"), Some(expected));
    }
    let contradicting = request(&trusting, "GET", "app", "/")
        .header("x-forwarded-for", "192.0.2.7")
        .header("forwarded", "for=192.0.2.8");
    send(&trusting, contradicting.body(content("")).unwrap()).await;
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_options_take_away_their_fields_and_nothing_of_the_edge() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let asked = request(&site, "GET", "app", "/")
        .header(
            "connection",
            "keep-alive, X-Mine, x-forwarded-for, via, forwarded, x-real-ip, x-request-id",
        )
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic eA==")
        .header("te", "gzip, trailers")
        .header("upgrade", "h2c")
        .header("http2-settings", "AA");
    assert_eq!(
        send(&site, asked.body(content("")).unwrap()).await.status,
        200
    );
    let seen = upstream.last();
    for gone in [
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    for kept in [
        "x-forwarded-for",
        "via",
        "forwarded",
        "x-real-ip",
        "x-request-id",
    ] {
        assert!(seen.header(kept).is_some(), "{kept}");
    }
    assert_eq!(seen.header("te"), Some("trailers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_session_cookie_is_a_strangers_on_a_public_route_and_refused_elsewhere() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .route("closed", &upstream, "allow = [\"everyone\"]")
        .start()
        .await;
    for garbled in ["x", "A%20B", &"A".repeat(42), &"A".repeat(500)] {
        let hits = upstream.hits();
        let asked = |route: &str| {
            request(&site, "GET", route, "/")
                .header("cookie", format!("__Host-portcullis={garbled}"))
                .body(content(""))
                .unwrap()
        };
        assert_eq!(send(&site, asked("app")).await.status, 200, "{garbled}");
        assert_eq!(upstream.last().header("cookie"), None);
        let mut sender = site.client().h1("closed.test").await;
        let refused = sender.send_request(asked("closed")).await.unwrap();
        assert_eq!(collect(refused).await.status, 401, "{garbled}");
        assert_eq!(upstream.hits(), hits + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_name_in_via_is_the_configured_one_and_finding_it_is_a_loop() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .server("via = \"edge-2\"")
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let asked = |via: &str| {
        request(&site, "GET", "app", "/")
            .header("via", via)
            .body(content(""))
            .unwrap()
    };
    assert_eq!(send(&site, asked("1.1 portcullis")).await.status, 200);
    let seen = upstream.last();
    let via: Vec<_> = seen.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.1 portcullis", "1.1 edge-2"]);
    assert!(seen.header("forwarded").unwrap().ends_with(";by=_edge-2"));
    let hits = upstream.hits();
    assert_eq!(send(&site, asked("1.1 edge-2")).await.status, 502);
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_cookies_never_reach_an_upstream() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let unknown = "A".repeat(43);
    let cookies = format!(
        "a=b; __Host-portcullis={unknown}; __Host-portcullis-csrf=secret; __HOST-PORTCULLIS=secret; c=d"
    );
    let asked = request(&site, "GET", "app", "/")
        .header("cookie", cookies)
        .body(content(""))
        .unwrap();
    assert_eq!(send(&site, asked).await.status, 200);
    assert_eq!(upstream.last().header("cookie"), Some("a=b; c=d"));

    let two = request(&site, "GET", "app", "/")
        .header("cookie", "__Host-portcullis=one; __Host-portcullis=two")
        .body(content(""))
        .unwrap();
    let hits = upstream.hits();
    assert_eq!(send(&site, two).await.status, 400);
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_cannot_speak_for_the_edge() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let asked = request(&site, "GET", "app", "/hostile")
        .body(content(""))
        .unwrap();
    let answer = send(&site, asked).await;
    let expected = [
        "allow",
        "clear-site-data",
        "content-length",
        "date",
        "etag",
        "referrer-policy",
        "set-cookie",
        "strict-transport-security",
        "x-content-type-options",
        "x-request-id",
    ];
    assert_eq!(names(&answer.headers), expected);
    assert_eq!(
        answer.header("set-cookie"),
        Some("app=1; Path=/; HttpOnly; Secure")
    );
    assert_eq!(
        answer.header("strict-transport-security"),
        Some("max-age=63072000; includeSubDomains")
    );
    assert_eq!(
        (answer.header("etag"), answer.header("allow")),
        (Some("\"kept\""), Some("GET, PATCH"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_through_tls_demands_tls_and_names_no_product() {
    let upstream = Upstream::start("app").await;
    let gone = Upstream::start("gone").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .route("gone", &gone, "public = true")
        .route("closed", &upstream, "allow = [\"everyone\"]")
        .start()
        .await;
    drop(gone);
    let rows = [
        ("app", "app", "/", 200),
        ("app", "app", "/status/500", 500),
        ("app", "app", "/a/../b", 400),
        ("app", "app", "/a#b", 400),
        ("app", "closed", "/", 421),
        ("gone", "gone", "/", 502),
        ("closed", "closed", "/", 401),
        ("login", "login", "/no-such-page", 404),
    ];
    for (server_name, host, target, expected) in rows {
        let mut wire = site.client().wire(&format!("{server_name}.test")).await;
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}.test:{}\r\n\r\n",
            site.port
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, expected, "{host}{target}");
        assert_eq!(
            answer.field("strict-transport-security"),
            Some("max-age=63072000; includeSubDomains")
        );
        assert_eq!(
            (answer.field("server"), answer.field("x-powered-by")),
            (None, None)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_reserve_more_names() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .toml("[server.headers]\nstrip = [\"Acme-User\"]\nuser = \"X-Who\"")
        .start()
        .await;
    let asked = request(&site, "GET", "app", "/")
        .header("acme_user", "root")
        .header("x_who", "root")
        .header("acme-use", "kept");
    assert_eq!(
        send(&site, asked.body(content("")).unwrap()).await.status,
        200
    );
    let seen = upstream.last();
    assert_eq!(
        (
            seen.header("acme_user"),
            seen.header("x_who"),
            seen.header("acme-use")
        ),
        (None, None, Some("kept"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_cannot_carry_identity() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(format!(
        "POST /echo HTTP/1.1\r\nHost: app.test:{}\r\nTrailer: X-Sum, X-Portcullis-User\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Portcullis-User: root\r\nX_Forwarded_User: root\r\nContent-Length: 9\r\n\r\n",
        site.port
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200);
    let seen = upstream.last();
    assert_eq!(names(&seen.trailers.unwrap()), ["x-sum"]);
    assert_eq!(seen.headers.get("x-portcullis-user"), None);

    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let authority = format!("app.test:{}", site.port);
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", authority.as_str()),
    ];
    let stream = h2.send(&fields, None).await.unwrap();
    assert_eq!(h2.fate(stream).await, Fate::Answered(200));
}
