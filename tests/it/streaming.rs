//! Bodies pass piece by piece in both directions, whole or not at all, with what belongs to them.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Frame;

use crate::harness::client::{collect, content, feed, request, request_h2};
use crate::harness::scripted::{OK, closes, keeps};
use crate::harness::{Scripted, Site, Upstream, eventually};

async fn open(upstream: &Upstream) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .start()
        .await
}

async fn open_scripted(upstream: &Scripted) -> Site {
    let route = format!(
        "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    Site::plan().toml(&route).start().await
}

fn head(site: &Site, start: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: app.test:{}\r\n", site.port)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_piece_of_an_answer_arrives_before_the_last_is_made() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut h1 = site.client().h1("app.test").await;
    let mut h2 = site.client().h2("app.test").await;
    let old = request(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    let new = request_h2(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    for mut response in [
        h1.send_request(old).await.unwrap(),
        h2.send_request(new).await.unwrap(),
    ] {
        let first = response
            .body_mut()
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap();
        assert_eq!(first, "first");
        upstream.release();
        let rest = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rest, "last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_upstream_while_it_is_being_sent() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut h1 = site.client().h1("app.test").await;
    let mut h2 = site.client().h2("app.test").await;
    for version in ["h1", "h2"] {
        let (sender, body) = feed();
        let answering = if version == "h1" {
            h1.send_request(
                request(&site, "POST", "app", "/stream-echo")
                    .body(body)
                    .unwrap(),
            )
            .await
        } else {
            h2.send_request(
                request_h2(&site, "POST", "app", "/stream-echo")
                    .body(body)
                    .unwrap(),
            )
            .await
        };
        let mut response = answering.unwrap();
        for piece in ["one", "two"] {
            sender
                .send(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))
                .unwrap();
            let echoed = response
                .body_mut()
                .frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap();
            assert_eq!(echoed, piece, "{version}");
        }
        drop(sender);
        assert!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_in_both_directions_to_whom_takes_them() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "GET /trailers") + "TE: trailers\r\nConnection: te\r\n\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.field("trailer"), answer.text().as_str()),
        (Some("x-checksum"), "body")
    );
    assert_eq!(
        answer.trailers,
        [("x-checksum".to_owned(), "abc".to_owned())]
    );
    wire.send(head(&site, "GET /trailers") + "\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.text().as_str(), answer.trailers.len()), ("body", 0));

    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/trailers")
        .header("te", "trailers")
        .body(content(""))
        .unwrap();
    let answer = collect(h2.send_request(asked).await.unwrap()).await;
    assert_eq!(answer.trailers.unwrap()["x-checksum"], "abc");

    let (sender, body) = feed();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    sender
        .send(Ok(Frame::data(Bytes::from_static(b"data"))))
        .unwrap();
    sender.send(Ok(Frame::trailers(trailers))).unwrap();
    drop(sender);
    let asked = request_h2(&site, "POST", "app", "/echo")
        .header("trailer", "x-sum")
        .body(body)
        .unwrap();
    assert_eq!(
        collect(h2.send_request(asked).await.unwrap()).await.text(),
        "data"
    );
    assert_eq!(upstream.last().trailers.unwrap()["x-sum"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_content_have_none_and_leave_the_connection_in_order() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "HEAD /sized/5000") + "\r\n").await;
    let answer = wire.head().await;
    assert_eq!(
        (answer.status, answer.field("content-length")),
        (200, Some("5000"))
    );
    for status in [204, 304] {
        wire.send(head(&site, &format!("GET /status/{status}")) + "\r\n")
            .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.field("transfer-encoding")),
            (status, None)
        );
    }
    wire.send(head(&site, "HEAD /a/../b") + "\r\n").await;
    assert_eq!(wire.head().await.status, 400);
    wire.send(head(&site, "GET /sized/3") + "\r\n").await;
    assert_eq!(wire.answer().await.text(), "xxx");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_answer_is_never_presented_as_the_whole() {
    let rows = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npart",
    ];
    let upstream = Scripted::start(
        rows.iter()
            .flat_map(|row| [closes(row), closes(row)])
            .collect(),
    )
    .await;
    let mut site = open_scripted(&upstream).await;
    for row in rows {
        let mut wire = site.client().wire("app.test").await;
        wire.send(head(&site, "GET /") + "\r\n").await;
        let answer = wire.answer().await;
        // What is broken in the piece that has the head is refused as a whole.
        let refused = row.ends_with("z\r\n") && answer.status == 502;
        assert!(
            refused || (answer.status, answer.complete) == (200, false),
            "{row:?}"
        );
        let mut h2 = site.client().h2("app.test").await;
        let asked = request_h2(&site, "GET", "app", "/")
            .body(content(""))
            .unwrap();
        let response = h2.send_request(asked).await.unwrap();
        let refused = row.ends_with("z\r\n") && response.status() == 502;
        assert!(
            refused || response.into_body().collect().await.is_err(),
            "{row:?}"
        );
    }
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let requests: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .collect();
    assert_eq!(requests.len(), 8);
    assert!(
        requests
            .iter()
            .all(|entry| entry["portcullis.reason"] == "upstream-protocol"),
        "{requests:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_not_taken_for_the_final_one() {
    let upstream = Scripted::start(vec![
        keeps("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        keeps("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        keeps(OK),
    ])
    .await;
    let site = open_scripted(&upstream).await;
    let mut wire = site.client().wire("app.test").await;
    for _ in 0..3 {
        wire.send(head(&site, "GET /") + "\r\n").await;
        let mut answer = wire.answer().await;
        while answer.status == 103 {
            answer = wire.answer().await;
        }
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_is_answered_before_the_body_and_others_are_refused() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .route("closed", &upstream, "allow = [\"everyone\"]")
        .start()
        .await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "POST /echo") + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send("hello").await;
    assert_eq!(wire.answer().await.text(), "hello");
    assert_eq!(upstream.last().header("expect"), None);

    let mut wire = site.client().wire("app.test").await;
    wire.send(head(&site, "POST /echo") + "Expect: something\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 417);

    let mut wire = site.client().wire("closed.test").await;
    let refused = format!(
        "POST / HTTP/1.1\r\nHost: closed.test:{}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        site.port
    );
    wire.send(refused).await;
    assert_eq!(wire.answer().await.status, 401);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_exchange_with_the_upstream() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream).await;
    let mut h1 = site.client().h1("app.test").await;
    let asked = request(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    let mut response = h1.send_request(asked).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    drop((response, h1));
    site.entry("the request that the client left", |entry| {
        entry["portcullis.reason"] == "client-closed"
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), site.stop())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_is_not_presented_as_complete() {
    let upstream = Scripted::start(vec![keeps(OK)]).await;
    let site = open_scripted(&upstream).await;
    let rows = [
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "Content-Length: 10\r\n\r\npart",
    ];
    for (number, row) in rows.into_iter().enumerate() {
        let mut wire = site.client().wire("app.test").await;
        wire.send(head(&site, "POST /") + row).await;
        drop(wire);
        let received = eventually("the upstream to see the end", async || {
            upstream.received().get(number).cloned()
        })
        .await;
        let (_, body) = received.split_once("\r\n\r\n").unwrap();
        assert!(
            !body.ends_with("0\r\n\r\n") && body.len() < 10,
            "{received:?}"
        );
    }
    let left = |site: &Site| {
        site.entries()
            .iter()
            .filter(|entry| entry["portcullis.reason"] == "client-closed")
            .count()
    };
    eventually("both in the log", async || (left(&site) == 2).then_some(())).await;
}
