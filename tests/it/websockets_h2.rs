//! WebSockets over HTTP/2 (RFC 8441): admitted, judged, recorded and ended by the rules of those over HTTP/1.1.

use rustix::process::Signal;

use crate::harness::raw_h2::{Fate, RawH2};
use crate::harness::scripted::{closes, keeps};
use crate::harness::{Browser, Person, Scripted, Site, Upstream};

const STAFF: &str = r#"allow = ["group:staff"]"#;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const FORGED_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

type Fields = Vec<(&'static str, String)>;

/// The fields with which a browser opens `/socket` on a route's host.
fn handshake(site: &Site, host: &str) -> Fields {
    let authority = format!("{host}.test:{}", site.port);
    vec![
        (":method", "CONNECT".to_owned()),
        (":protocol", "websocket".to_owned()),
        (":scheme", "https".to_owned()),
        (":path", "/socket".to_owned()),
        (":authority", authority.clone()),
        ("origin", format!("https://{authority}")),
        ("sec-websocket-version", "13".to_owned()),
    ]
}

async fn send(h2: &mut RawH2, fields: &Fields) -> u32 {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    h2.open(&fields).await.unwrap()
}

/// An open WebSocket and its stream.
async fn open(site: &Site, host: &str, browser: Option<&Browser>) -> (RawH2, u32) {
    let mut fields = handshake(site, host);
    if let Some(browser) = browser {
        let cookies = browser.cookie_header(&format!("{host}.test"));
        fields.extend(cookies.split("; ").map(|one| ("cookie", one.to_owned())));
    }
    let mut h2 = RawH2::connect(&site.client(), &format!("{host}.test")).await;
    let stream = send(&mut h2, &fields).await;
    assert_eq!(h2.fate(stream).await, Fate::Answered(200), "{host}");
    echoes(&mut h2, stream).await;
    (h2, stream)
}

async fn echoes(h2: &mut RawH2, stream: u32) {
    h2.data(stream, b"hello", false).await.unwrap();
    assert_eq!(h2.take(stream, 5).await, b"hello");
}

/// The entry of the WebSocket of a route.
async fn entry(site: &Site, route: &str) -> serde_json::Value {
    site.entry("the stream's entry", |entry| {
        entry["event.name"] == "http.request"
            && entry["http.route"] == route
            && entry["url.path"] == "/socket"
    })
    .await
}

async fn scripted(upstream: &Scripted) -> Site {
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    Site::plan().toml(&route).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_both_ways_and_the_upstream_sees_an_upgrade_of_our_own() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let mut fields = handshake(&site, "app");
    fields.extend([
        ("sec-websocket-key", FORGED_KEY.to_owned()),
        ("sec-websocket-protocol", "chat".to_owned()),
        ("x-portcullis-user", "root".to_owned()),
    ]);
    let stream = send(&mut h2, &fields).await;
    assert_eq!(h2.fate(stream).await, Fate::Answered(200));
    assert_eq!(h2.setting(ENABLE_CONNECT_PROTOCOL), Some(1));
    for text in ["hello", "\0\r\n\n other bytes", "GET / HTTP/1.1\r\n\r\n"] {
        h2.data(stream, text.as_bytes(), false).await.unwrap();
        assert_eq!(h2.take(stream, text.len()).await, text.as_bytes());
    }
    let seen = upstream.last();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/socket")
    );
    assert_eq!(
        (seen.header("upgrade"), seen.header("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert_eq!(seen.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(seen.header("via"), Some("2 portcullis"));
    assert_eq!(seen.header("x-portcullis-user"), None);
    let key = seen.header("sec-websocket-key").unwrap();
    assert_ne!(key, FORGED_KEY);
    let key = data_encoding::BASE64.decode(key.as_bytes()).unwrap();
    assert_eq!(key.len(), 16);

    // Another request has the connection to itself as before.
    let mut plain = handshake(&site, "app");
    plain.retain(|(name, _)| *name != ":protocol");
    plain[0].1 = "GET".to_owned();
    let page = send(&mut h2, &plain).await;
    h2.data(page, b"", true).await.unwrap();
    assert_eq!(h2.fate(page).await, Fate::Answered(200));

    h2.data(stream, b"", true).await.unwrap();
    assert_eq!(h2.ended(stream).await, None);
    drop(h2);
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let of_stream: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "stream.opened")
        .collect();
    assert_eq!(of_stream.len(), 1, "{entries:?}");
    let opened: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .collect();
    assert_eq!(opened.len(), 2);
    for entry in opened {
        assert_eq!(entry["http.request.method"], "GET");
        assert_eq!(entry["http.response.status_code"], 200);
        assert_eq!(entry["network.protocol.version"], "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http1_would_refuse_is_refused_and_reaches_nothing() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .route("none", &upstream, "public = true\nwebsocket = false")
        .route("post", &upstream, "public = true\nmethods = [\"POST\"]")
        .route("staff", &upstream, STAFF)
        .start()
        .await;
    let own = |host: &str| handshake(&site, host);
    let without = |gone: &str| {
        let mut fields = own("app");
        fields.retain(|(name, _)| *name != gone);
        fields
    };
    let replaced = |name: &str, value: &str| {
        let mut fields = own("app");
        let field = fields.iter_mut().find(|(own, _)| *own == name);
        field.unwrap().1 = value.to_owned();
        fields
    };
    let with =
        |name: &'static str, value: &str| [own("app"), vec![(name, value.to_owned())]].concat();
    let rows = [
        ("no version", "app", without("sec-websocket-version"), 400),
        (
            "old version",
            "app",
            replaced("sec-websocket-version", "8"),
            400,
        ),
        ("no origin", "app", without("origin"), 403),
        (
            "foreign",
            "app",
            replaced("origin", "https://evil.example"),
            403,
        ),
        ("null", "app", replaced("origin", "null"), 403),
        ("not carried", "none", own("none"), 403),
        ("method of the GET", "post", own("post"), 405),
        ("nobody signed in", "staff", own("staff"), 401),
        (
            "other protocol",
            "app",
            replaced(":protocol", "connect-udp"),
            501,
        ),
        ("spelling", "app", replaced(":protocol", "WebSocket"), 501),
        ("empty protocol", "app", replaced(":protocol", ""), 501),
        (
            "other host",
            "app",
            replaced(":authority", "none.test"),
            421,
        ),
        (
            "other port",
            "app",
            replaced(":authority", "app.test:22"),
            421,
        ),
        ("tunnel", "app", replaced(":authority", "10.0.0.1:22"), 421),
        ("two hosts", "app", with("host", "none.test"), 400),
        ("scheme", "app", replaced(":scheme", "http"), 400),
        ("dots", "app", replaced(":path", "/a/../socket"), 400),
        (
            "own page",
            "app",
            replaced(":path", "/.well-known/portcullis/jwks.json"),
            403,
        ),
        ("upgrade", "app", with("upgrade", "websocket"), 400),
        ("connection", "app", with("connection", "upgrade"), 400),
        ("chunked", "app", with("transfer-encoding", "chunked"), 400),
        (
            "two origins",
            "app",
            with("origin", "https://evil.example"),
            400,
        ),
    ];
    for (what, host, fields, expected) in rows {
        let mut h2 = RawH2::connect(&site.client(), &format!("{host}.test")).await;
        let stream = send(&mut h2, &fields).await;
        let fate = h2.fate(stream).await;
        // What h2 itself calls malformed is reset.
        let refused = match fate {
            Fate::Answered(status) => status == expected,
            Fate::Reset(code) => expected == 400 && code != 0,
            Fate::GoneAway(_) | Fate::Closed => false,
        };
        assert!(refused, "{what}: {fate:?}");
    }
    let plain = [(":method", "CONNECT"), (":authority", "app.test")];
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2.open(&plain).await.unwrap();
    assert!(matches!(h2.fate(stream).await, Fate::Answered(400..=499)));
    let get = [own("app"), vec![]].concat();
    let get: Vec<_> = get
        .iter()
        .map(|(name, value)| (*name, if *name == ":method" { "GET" } else { value }))
        .collect();
    let stream = h2.open(&get).await.unwrap();
    assert!(matches!(h2.fate(stream).await, Fate::Reset(1)));
    assert_eq!(upstream.hits(), 0);
    open(&site, "app", None).await;
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_take_up_the_handshake_opens_nothing() {
    let rows = [
        (keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 502),
        (keeps("HTTP/1.1 204 No Content\r\n\r\n"), 502),
        (
            closes(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            502,
        ),
        (
            closes(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            ),
            502,
        ),
        (
            closes(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x-other\r\n\r\n",
            ),
            502,
        ),
        (
            keeps("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            403,
        ),
        (
            keeps("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
            302,
        ),
    ];
    for (line, expected) in rows {
        let upstream = Scripted::start(vec![line.clone()]).await;
        let site = scripted(&upstream).await;
        let mut h2 = RawH2::connect(&site.client(), "app.test").await;
        let mut fields = handshake(&site, "app");
        fields.push(("sec-websocket-key", FORGED_KEY.to_owned()));
        let stream = send(&mut h2, &fields).await;
        h2.data(stream, b"not for anybody", false).await.unwrap();
        assert_eq!(h2.fate(stream).await, Fate::Answered(expected), "{line:?}");
        let received = upstream.received();
        let passed = received.iter().any(|bytes| bytes.contains("anybody"));
        assert!(!passed, "{received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_permission_and_another_goes_on() {
    let upstream = Upstream::start("app").await;
    let (ada, kim) = (
        Person::new("ada", &["staff"]),
        Person::new("kim", &["staff"]),
    );
    let mut site = Site::plan()
        .route("app", &upstream, STAFF)
        .route("open", &upstream, "public = true")
        .person(&ada)
        .person(&kim)
        .start()
        .await;
    let (mut first, mut second) = (Browser::new(&site), Browser::new(&site));
    first.sign_in(&site.url("app", "/"), &ada).await;
    second.sign_in(&site.url("app", "/"), &kim).await;
    let (mut hers, her_stream) = open(&site, "app", Some(&first)).await;
    let (mut his, his_stream) = open(&site, "app", Some(&second)).await;
    let (mut anyones, stream) = open(&site, "open", None).await;
    site.command(&["user", "group", "remove", "staff", "ada@example.com"])
        .ok();
    hers.ended(her_stream).await;
    assert_eq!(entry(&site, "app").await["portcullis.reason"], "no-permit");
    echoes(&mut his, his_stream).await;
    site.edit_config(|text| text.replace("public = true", r#"allow = ["everyone"]"#));
    site.signal(Signal::HUP);
    anyones.ended(stream).await;
    let reason = entry(&site, "open").await["portcullis.reason"].clone();
    assert_eq!(reason, "sign-in-required");
    echoes(&mut his, his_stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_ends_its_stream() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan()
        .route("app", &upstream, STAFF)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    let (mut h2, stream) = open(&site, "app", Some(&browser)).await;
    site.command(&["session", "revoke", "--user", "ada@example.com", "--yes"])
        .ok();
    h2.ended(stream).await;
    let reason = entry(&site, "app").await["portcullis.reason"].clone();
    assert_eq!(reason, "session-ended");
    let hits = upstream.hits();
    let mut fields = handshake(&site, "app");
    let cookies = browser.cookie_header("app.test");
    fields.extend(cookies.split("; ").map(|one| ("cookie", one.to_owned())));
    let again = send(&mut h2, &fields).await;
    assert_eq!(h2.fate(again).await, Fate::Answered(401));
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_closed_and_a_used_one_keeps_its_connection_open() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("idle_timeout = \"1s\"")
        .start()
        .await;
    let (mut used, stream) = open(&site, "app", None).await;
    // A connection that is opened later and not used any more ends first.
    let (mut spare, done) = open(&site, "app", None).await;
    spare.data(done, b"", true).await.unwrap();
    spare.ended(done).await;
    spare.closed().await;
    echoes(&mut used, stream).await;

    let brief = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("upgrade_idle_timeout = \"1s\"")
        .start()
        .await;
    let (mut silent, stream) = open(&brief, "app", None).await;
    silent.ended(stream).await;
}
