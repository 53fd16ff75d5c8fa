//! Upgraded connections: only for the protocols of the route, only from its own pages, raw only after the upstream's 101.

use crate::harness::scripted::{OK, closes, keeps};
use crate::harness::{Scripted, Site, Upstream, Wire};

fn handshake(site: &Site, host: &str, origin: &str) -> String {
    let origin = if origin.is_empty() {
        String::new()
    } else {
        format!("Origin: {origin}\r\n")
    };
    format!(
        "GET /socket HTTP/1.1\r\nHost: {host}.test:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{origin}\r\n",
        site.port
    )
}

async fn wire(site: &Site, host: &str) -> Wire {
    site.client().wire(&format!("{host}.test")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_both_ways_after_the_upgrade_and_the_log_has_one_entry() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let mut wire = wire(&site, "app").await;
    wire.send(handshake(
        &site,
        "app",
        &format!("https://app.test:{}", site.port),
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.field("upgrade")),
        (101, Some("websocket"))
    );
    for text in [
        "hello",
        "\0\r\n\n bytes of another protocol",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        wire.send(text).await;
        assert_eq!(wire.take(text.len()).await, text.as_bytes());
    }
    let seen = upstream.last();
    assert_eq!(
        (seen.header("upgrade"), seen.header("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    wire.finish().await;
    wire.closed().await;
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let requests: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .collect();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["http.response.status_code"], 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_opens_no_socket() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route(
            "app",
            &upstream,
            "public = true\nwebsocket_origins = [\"https://friend.example\"]",
        )
        .start()
        .await;
    let own = format!("https://app.test:{}", site.port);
    let rows = [
        ("", 403),
        ("null", 403),
        ("https://evil.example", 403),
        ("https://app.test", 403),
        ("https://app.test.evil.example", 403),
        ("http://app.test", 403),
        ("https://friend.example:444", 403),
        ("https://friend.example", 101),
        (own.as_str(), 101),
    ];
    for (origin, expected) in rows {
        let hits = upstream.hits();
        let mut wire = wire(&site, "app").await;
        wire.send(handshake(&site, "app", origin)).await;
        assert_eq!(wire.answer().await.status, expected, "{origin:?}");
        assert_eq!(upstream.hits() - hits, usize::from(expected == 101));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_carries_only_the_protocols_it_names() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("none", &upstream, "public = true\nwebsocket = false")
        .route("other", &upstream, "public = true\nupgrades = [\"x-echo\"]")
        .start()
        .await;
    let mut refused = wire(&site, "none").await;
    refused
        .send(handshake(
            &site,
            "none",
            &format!("https://none.test:{}", site.port),
        ))
        .await;
    assert_eq!(refused.answer().await.status, 403);
    assert_eq!(upstream.hits(), 0);

    let ask = |host: &str, protocol: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: {host}.test:{}\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n",
            site.port
        )
    };
    let mut other = wire(&site, "other").await;
    other.send(ask("other", "x-echo")).await;
    assert_eq!(other.answer().await.status, 101);
    other.send("ping").await;
    assert_eq!(other.take(4).await, b"ping");

    for protocol in ["h2c", "x-unknown"] {
        let mut wire = wire(&site, "other").await;
        wire.send(ask("other", protocol)).await;
        assert_eq!(wire.answer().await.status, 200, "{protocol}");
        assert_eq!(upstream.last().header("upgrade"), None);
        // The connection is HTTP as before, as strictly as before.
        wire.send(ask("other", protocol)).await;
        assert_eq!(wire.answer().await.status, 200);
        wire.send("GET / HTTP/1.1\nHost: other.test\r\n\r\n").await;
        assert_eq!(wire.answer().await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_handshakes_are_refused() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let origin = format!("https://app.test:{}", site.port);
    let fine = handshake(&site, "app", &origin);
    let rows = [
        fine.replace("Version: 13", "Version: 12"),
        fine.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        fine.replace("GET /socket", "POST /socket"),
        fine.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
    ];
    for row in rows {
        let mut wire = wire(&site, "app").await;
        wire.send(&row).await;
        assert_eq!(wire.answer().await.status, 400, "{row}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_passes_before_the_upstream_agreed() {
    let upstream = Scripted::start(vec![keeps(OK)]).await;
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    let site = Site::plan().toml(&route).start().await;
    let origin = format!("https://app.test:{}", site.port);
    let mut wire = wire(&site, "app").await;
    wire.send(handshake(&site, "app", &origin) + "GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n")
        .await;
    drop(wire.rest().await);
    let received = upstream.received();
    assert!(
        received.iter().all(|request| !request.contains("smuggled")),
        "{received:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_too_early_ends_the_stream_and_no_answer_is_written_into_it() {
    let upstream = Scripted::start(vec![keeps(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x-other\r\n\r\n",
    )])
    .await;
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\nupgrades = [\"x-other\"]\n",
        upstream.url()
    );
    let site = Site::plan().toml(&route).start().await;
    let mut wire = wire(&site, "app").await;
    wire.send(format!(
        "GET /socket HTTP/1.1\r\nHost: app.test:{}\r\nConnection: Upgrade\r\nUpgrade: x-other\r\n\r\nJUNKJUNK",
        site.port
    ))
    .await;
    let told = String::from_utf8(wire.rest().await).unwrap();
    assert!(told.starts_with("HTTP/1.1 101 "), "{told}");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
    assert!(!upstream.received().concat().contains("JUNK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_switches_unasked_or_to_something_else_is_not_believed() {
    let upstream = Scripted::start(vec![closes(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x-other\r\n\r\n",
    )])
    .await;
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    let site = Site::plan().toml(&route).start().await;
    let mut asked = wire(&site, "app").await;
    asked
        .send(handshake(
            &site,
            "app",
            &format!("https://app.test:{}", site.port),
        ))
        .await;
    assert_eq!(asked.answer().await.status, 502);
    let mut unasked = wire(&site, "app").await;
    unasked
        .send(format!(
            "GET / HTTP/1.1\r\nHost: app.test:{}\r\n\r\n",
            site.port
        ))
        .await;
    assert_eq!(unasked.answer().await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upgrade_of_the_upstream_is_an_ordinary_answer() {
    let upstream = Scripted::start(vec![keeps(
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno",
    )])
    .await;
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    let site = Site::plan().toml(&route).start().await;
    let mut wire = wire(&site, "app").await;
    wire.send(handshake(
        &site,
        "app",
        &format!("https://app.test:{}", site.port),
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("upgrade_idle_timeout = \"1s\"")
        .start()
        .await;
    let mut wire = wire(&site, "app").await;
    wire.send(handshake(
        &site,
        "app",
        &format!("https://app.test:{}", site.port),
    ))
    .await;
    assert_eq!(wire.answer().await.status, 101);
    wire.closed().await;
}
