//! Whoever makes the edge wait loses its own connection, and nobody else's.

use std::time::Instant;

use crate::harness::client::{content, request, request_h2};
use crate::harness::{PATIENCE, Site, Upstream};

fn head(site: &Site, start: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: app.test:{}\r\n", site.port)
}

async fn open(upstream: &Upstream, limits: &str) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .limits(limits)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_closes_the_connection_and_is_recorded() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "header_timeout = \"400ms\"").await;
    let mut silent = site.client().wire("app.test").await;
    let mut slow = site.client().wire("app.test").await;
    slow.send(head(&site, "GET /") + "X-A: b").await;
    silent.closed().await;
    slow.closed().await;
    let mut kept = site.client().wire("app.test").await;
    kept.send(head(&site, "GET /") + "\r\n").await;
    assert_eq!(kept.answer().await.status, 200);
    kept.send("GET /sec").await;
    kept.closed().await;
    site.entry("the slow head", |entry| {
        entry["portcullis.reason"] == "request-timeout"
    })
    .await;
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_go_on_is_given_up() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "body_timeout = \"300ms\"").await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "POST /echo") + "Content-Length: 10\r\n\r\nhalf")
        .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 408);
    wire.closed().await;
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_without_requests_is_closed() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "idle_timeout = \"500ms\"").await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "GET /") + "\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    wire.closed().await;
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/")
        .body(content(""))
        .unwrap();
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 200);
    let begun = Instant::now();
    while !h2.is_closed() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_given_up() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "handshake_timeout = \"300ms\"").await;
    let socket = tokio::net::TcpStream::connect(site.address())
        .await
        .unwrap();
    crate::harness::Wire::new(socket).closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answer_loses_it_and_nobody_else_does() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream, "send_timeout = \"600ms\"").await;
    let mut stuck = site.client().wire("app.test").await;
    stuck.send(head(&site, "GET /flood") + "\r\n").await;
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/flood")
        .body(content(""))
        .unwrap();
    let unread = h2.send_request(asked).await.unwrap();

    let mut running = site.client().h1("app.test").await;
    let asked = request(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    let mut patient = running.send_request(asked).await.unwrap();
    // Both floods end, although nobody reads them; the answer that waits for its upstream does not.
    let count = |site: &Site| {
        site.entries()
            .iter()
            .filter(|entry| entry["portcullis.reason"] == "client-closed")
            .count()
    };
    crate::harness::eventually("both floods to end", async || {
        (count(&site) == 2).then_some(())
    })
    .await;
    upstream.release();
    let body = http_body_util::BodyExt::collect(patient.body_mut())
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "firstlast");
    drop((unread, stuck));
    assert_eq!(site.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_caps_are_closed_and_places_come_back() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("max_connections_per_address = 2")
        .start()
        .await;
    let mut first = site.client().wire("app.test").await;
    let mut second = site.client().wire("app.test").await;
    assert!(
        site.client()
            .connect("app.test", &[b"http/1.1"])
            .await
            .is_err()
    );
    for wire in [&mut first, &mut second] {
        wire.send(head(&site, "GET /") + "\r\n").await;
        assert_eq!(wire.answer().await.status, 200);
    }
    drop(first);
    crate::harness::eventually("a free place", async || {
        site.client().connect("app.test", &[b"http/1.1"]).await.ok()
    })
    .await;
}
