//! An upgraded stream runs as long as its permission, whatever takes that away, and no longer.

use rustix::process::Signal;

use crate::harness::{Browser, Person, Site, Upstream, Wire};

const STAFF: &str = r#"allow = ["group:staff"]"#;

/// Opens a WebSocket on a route's host with what the browser holds for it.
async fn open(site: &Site, host: &str, browser: Option<&Browser>) -> Wire {
    let cookies = browser.map_or_else(String::new, |browser| {
        format!(
            "Cookie: {}\r\n",
            browser.cookie_header(&format!("{host}.test"))
        )
    });
    let mut wire = site.client().wire(&format!("{host}.test")).await;
    wire.send(handshake(site, host, &cookies)).await;
    assert_eq!(wire.answer().await.status, 101, "{host}");
    echoes(&mut wire).await;
    wire
}

/// The request for a WebSocket, with `more` header lines.
fn handshake(site: &Site, host: &str, more: &str) -> String {
    format!(
        "GET /socket HTTP/1.1\r\nHost: {host}.test:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Origin: https://{host}.test:{port}\r\n{more}\r\n",
        port = site.port
    )
}

async fn echoes(wire: &mut Wire) {
    wire.send("hello").await;
    assert_eq!(wire.take(5).await, b"hello");
}

/// Why the stream of a route ended, from its entry.
async fn why(site: &Site, route: &str) -> String {
    let entry = site
        .entry("the stream's entry", |entry| {
            entry["event.name"] == "http.request"
                && entry["http.route"] == route
                && entry["http.response.status_code"] == 101
        })
        .await;
    entry["portcullis.reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_entries_when_it_opens_and_while_it_goes_on_and_a_refused_one_has_none() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan()
        .route("app", &upstream, STAFF)
        .audit("stream_interval = \"1s\"")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    let hits = upstream.hits();
    let mut refused = site.client().wire("app.test").await;
    refused.send(handshake(&site, "app", "")).await;
    assert_eq!(refused.answer().await.status, 401);
    assert_eq!(upstream.hits(), hits);

    let mut wire = open(&site, "app", Some(&browser)).await;
    let named = |name: &'static str| move |entry: &serde_json::Value| entry["event.name"] == name;
    let opened = site.entry("the opening", named("stream.opened")).await;
    assert_eq!(opened["user.email"], "ada@example.com");
    assert_eq!(opened["http.route"], "app");
    let goes_on = site.entry("word of it", named("stream.continues")).await;
    assert_eq!(
        goes_on["portcullis.request.id"],
        opened["portcullis.request.id"]
    );
    assert_eq!(goes_on["portcullis.stream.bytes_up"], "5");
    assert_eq!(goes_on["portcullis.stream.bytes_down"], "5");
    echoes(&mut wire).await;
    drop(wire);
    let closed = site
        .entry("the end", |entry| {
            entry["event.name"] == "http.request" && entry["http.response.status_code"] == 101
        })
        .await;
    assert_eq!(
        closed["portcullis.request.id"],
        opened["portcullis.request.id"]
    );
    let entries = site.entries();
    let openings = entries
        .iter()
        .filter(|entry| entry["event.name"] == "stream.opened");
    assert_eq!(openings.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_person_leaves_the_group() {
    let upstream = Upstream::start("app").await;
    let (ada, kim) = (
        Person::new("ada", &["staff"]),
        Person::new("kim", &["staff"]),
    );
    let site = Site::plan()
        .route("app", &upstream, STAFF)
        .person(&ada)
        .person(&kim)
        .start()
        .await;
    let (mut first, mut second) = (Browser::new(&site), Browser::new(&site));
    first.sign_in(&site.url("app", "/"), &ada).await;
    second.sign_in(&site.url("app", "/"), &kim).await;
    let mut hers = open(&site, "app", Some(&first)).await;
    let mut his = open(&site, "app", Some(&second)).await;
    site.command(&["user", "group", "remove", "staff", "ada@example.com"])
        .ok();
    hers.closed().await;
    assert_eq!(why(&site, "app").await, "no-permit");
    echoes(&mut his).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_a_reload_takes_its_permission_or_its_route_away() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let mut site = Site::plan()
        .route("app", &upstream, STAFF)
        .route("twin", &upstream, STAFF)
        .route("open", &upstream, "public = true")
        .route("gone", &upstream, "public = true")
        .route("free", &upstream, "public = true")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    browser.open(&site.url("twin", "/")).await;
    let mut app = open(&site, "app", Some(&browser)).await;
    let mut twin = open(&site, "twin", Some(&browser)).await;
    let mut closing = open(&site, "open", None).await;
    let mut gone = open(&site, "gone", None).await;
    let mut free = open(&site, "free", None).await;
    site.edit_config(|text| {
        let (before, after) = text.split_once("[route.app]").unwrap();
        let after = after
            .replacen(STAFF, r#"allow = ["group:finance"]"#, 1)
            .replacen("public = true", r#"allow = ["everyone"]"#, 1)
            .replace("gone.test", "elsewhere.test");
        format!("{before}[route.app]{after}")
    });
    site.signal(Signal::HUP);
    for wire in [&mut app, &mut closing, &mut gone] {
        wire.closed().await;
    }
    for (route, reason) in [
        ("app", "no-permit"),
        ("open", "sign-in-required"),
        ("gone", "no-route"),
    ] {
        assert_eq!(why(&site, route).await, reason, "{route}");
    }
    echoes(&mut twin).await;
    echoes(&mut free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_sessions_lifetime_on_its_route() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let brief = format!("{STAFF}\nsession = {{ lifetime = \"4s\" }}");
    let site = Site::plan()
        .route("app", &upstream, &brief)
        .route("twin", &upstream, STAFF)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    browser.open(&site.url("twin", "/")).await;
    let mut app = open(&site, "app", Some(&browser)).await;
    let mut twin = open(&site, "twin", Some(&browser)).await;
    app.closed().await;
    assert_eq!(why(&site, "app").await, "session-ended");
    echoes(&mut twin).await;
}
