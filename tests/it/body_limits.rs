//! How large a request's body may be, declared or not, and which bound holds where.

use crate::harness::client::{collect, content, feed, request, request_h2};
use crate::harness::{Site, Upstream};
use bytes::Bytes;
use hyper::body::Frame;

async fn open(upstream: &Upstream) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .route("big", upstream, "public = true\nbody_bytes = \"3KiB\"")
        .route("small", upstream, "public = true\nbody_bytes = \"100B\"")
        .limits("body_bytes = \"1KiB\"")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_length_beyond_the_bound_is_refused_before_a_byte_is_read() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    for (name, bytes, expected) in [
        ("app", 1024, 200),
        ("app", 1025, 413),
        ("big", 3072, 200),
        ("big", 3073, 413),
        ("small", 100, 200),
        ("small", 101, 413),
    ] {
        let hits = upstream.hits();
        let mut wire = site.client().wire(&format!("{name}.test")).await;
        let host = format!("{name}.test:{}", site.port);
        wire.send(format!(
            "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\r\n"
        ))
        .await;
        if expected == 200 {
            wire.send(vec![b'x'; bytes]).await;
        }
        assert_eq!(wire.answer().await.status, expected, "{name} {bytes}");
        assert_eq!(upstream.hits() - hits, usize::from(expected == 200));
        let mut h2 = site.client().h2(&format!("{name}.test")).await;
        let asked = request_h2(&site, "POST", name, "/echo")
            .body(content(vec![b'x'; bytes]))
            .unwrap();
        assert_eq!(
            h2.send_request(asked).await.unwrap().status(),
            expected,
            "{name} {bytes}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_beyond_the_bound_is_cut_off_and_never_complete() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    for (pieces, expected) in [(10, 200), (11, 413)] {
        let (sender, body) = feed();
        for _ in 0..pieces {
            sender
                .send(Ok(Frame::data(Bytes::from(vec![b'x'; 100]))))
                .unwrap();
        }
        drop(sender);
        let mut h1 = site.client().h1("app.test").await;
        let asked = request(&site, "POST", "app", "/echo").body(body).unwrap();
        let answer = collect(h1.send_request(asked).await.unwrap()).await;
        assert_eq!(answer.status, expected);
        if expected == 413 {
            assert_eq!(answer.json()["reason"], "body-too-large");
        }
    }
    let whole: Vec<_> = upstream
        .seen()
        .iter()
        .map(|seen| seen.body.len())
        .filter(|length| *length > 0)
        .collect();
    assert_eq!(whole, [1000]);
    let (sender, body) = feed();
    for _ in 0..11 {
        sender
            .send(Ok(Frame::data(Bytes::from(vec![b'x'; 100]))))
            .unwrap();
    }
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "POST", "app", "/echo")
        .body(body)
        .unwrap();
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 413);
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_tells_a_person_which_bound_it_was() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let asked = request(&site, "POST", "app", "/")
        .header("accept", "text/html")
        .body(content(vec![b'x'; 2000]))
        .unwrap();
    let mut h1 = site.client().h1("app.test").await;
    let answer = collect(h1.send_request(asked).await.unwrap()).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("1 KiB"), "{}", answer.text());
}
