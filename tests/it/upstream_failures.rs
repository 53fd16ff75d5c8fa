//! Upstreams that are away, slow, untrusted or wrong: the client gets an honest answer, and no request is lost twice.

use crate::harness::ca::Authority;
use crate::harness::client::{collect, content, request};
use crate::harness::scripted::{OK, closes, keeps};
use crate::harness::site::free_port;
use crate::harness::{Answer, Scripted, Site, Upstream};

fn route(name: &str, upstream: &str) -> String {
    format!(
        "[route.{name}]\nhost = \"{name}.test\"\nupstream = \"{name}\"\npublic = true\n[upstream.{name}]\n{upstream}\n"
    )
}

async fn get(site: &Site, name: &str, method: &str) -> Answer {
    let mut sender = site.client().h1(&format!("{name}.test")).await;
    let asked = request(site, method, name, "/").body(content("")).unwrap();
    collect(sender.send_request(asked).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_upstream_is_told_to_people_and_programs_without_its_address() {
    let port = free_port();
    let site = Site::plan()
        .toml(&route(
            "gone",
            &format!("targets = [\"http://127.0.0.1:{port}\"]"),
        ))
        .start()
        .await;
    let answer = get(&site, "gone", "GET").await;
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (502, Some("portcullis; error=connection_refused"))
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["reason"], "upstream-unreachable");
    let asked = request(&site, "GET", "gone", "/")
        .header("accept", "text/html")
        .body(content(""))
        .unwrap();
    let mut sender = site.client().h1("gone.test").await;
    let page = collect(sender.send_request(asked).await.unwrap()).await;
    assert_eq!(page.status, 502);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.text().contains(page.header("x-request-id").unwrap()));
    for text in [answer.text(), page.text()] {
        assert!(
            !text.contains(&port.to_string()) && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let upstream = Upstream::start("app").await;
    let keys = format!(
        "targets = [\"{}\"]\ntimeout = {{ first_byte = \"300ms\" }}",
        upstream.url()
    );
    let site = Site::plan().toml(&route("app", &keys)).start().await;
    let mut sender = site.client().h1("app.test").await;
    let asked = request(&site, "GET", "app", "/slow")
        .body(content(""))
        .unwrap();
    let answer = collect(sender.send_request(asked).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("proxy-status")),
        (504, Some("portcullis; error=http_response_timeout"))
    );
    assert_eq!(answer.json()["reason"], "upstream-timeout");
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_cut_off() {
    let upstream = Upstream::start("app").await;
    let keys = format!(
        "targets = [\"{}\"]\ntimeout = {{ idle = \"300ms\" }}",
        upstream.url()
    );
    let site = Site::plan().toml(&route("app", &keys)).start().await;
    let mut wire = site.client().wire("app.test").await;
    wire.send(format!(
        "GET /gated HTTP/1.1\r\nHost: app.test:{}\r\n\r\n",
        site.port
    ))
    .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.complete),
        (200, "first", false)
    );
}

/// Heads that no two readers need to understand alike. None of them reaches a client.
const MALFORMED_HEADS: [&str; 38] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: b\0\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: b\rX-C: d\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: b\u{7f}\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "nonsense\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "",
];

/// Bodies that break off or whose framing has a second reading: no client takes what came of them for the whole.
const BROKEN_BODIES: [&str; 12] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\n\n",
];

/// A site whose upstream gives each of `rows`, closing after it, and then `OK` on the connection opened next.
async fn after_each(rows: &[&'static str]) -> (Scripted, Site) {
    let script = rows.iter().flat_map(|row| [closes(row), keeps(OK)]);
    let upstream = Scripted::start(script.collect()).await;
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route(
            "app",
            &format!("targets = [\"{}\"]", upstream.url()),
        ))
        .start()
        .await;
    (upstream, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_become_bad_gateway_and_their_connection_is_not_used_again() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 0\r\n\r\n",
        "b".repeat(130 * 1024)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "X-A: b\r\n".repeat(200)
    );
    let flood = format!("{}{OK}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(33));
    let mut rows = MALFORMED_HEADS.to_vec();
    rows.extend([large, many, flood].map(|row| &*row.leak()));
    let (upstream, mut site) = after_each(&rows).await;
    for (at, row) in rows.iter().enumerate() {
        let shown = &row[..row.len().min(100)];
        let answer = get(&site, "app", "POST").await;
        assert_eq!(answer.status, 502, "{shown:?}");
        assert_eq!(answer.json()["reason"], "upstream-protocol", "{shown:?}");
        assert_eq!(upstream.received().len(), 2 * at + 1, "{shown:?}");
        assert_eq!(get(&site, "app", "POST").await.text(), "ok", "{shown:?}");
    }
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let told = entries
        .iter()
        .filter(|entry| entry["portcullis.reason"] == "upstream-protocol")
        .count();
    assert_eq!(told, rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_never_complete_and_their_connection_is_not_used_again() {
    let (upstream, mut site) = after_each(&BROKEN_BODIES).await;
    for (at, row) in BROKEN_BODIES.iter().enumerate() {
        let mut wire = site.client().wire("app.test").await;
        let asked = format!("POST / HTTP/1.1\r\nHost: app.test:{}\r\n", site.port);
        wire.send(format!("{asked}Content-Length: 0\r\n\r\n")).await;
        let answer = wire.answer().await;
        assert!(
            answer.status == 502 || !answer.complete,
            "{row:?}: {answer:?}"
        );
        assert_eq!(upstream.received().len(), 2 * at + 1, "{row:?}");
        assert_eq!(get(&site, "app", "POST").await.text(), "ok", "{row:?}");
    }
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let told = entries
        .iter()
        .filter(|entry| entry["portcullis.reason"] == "upstream-protocol")
        .count();
    assert_eq!(told, BROKEN_BODIES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_merely_unusual_pass() {
    let rows = [
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING:chunked\r\n\r\n2;x=\"y\"\r\nok\r\n000\r\nX-Sum: 1\r\n\r\n",
        "HTTP/1.1 200 Sch\u{f6}n\r\nX-A: \u{e4}\r\nX-B:\r\nContent-Length: \t2 \r\n\r\nok",
    ];
    let (_upstream, site) = after_each(&rows).await;
    for row in rows {
        assert_eq!(get(&site, "app", "POST").await.text(), "ok", "{row:?}");
        assert_eq!(get(&site, "app", "POST").await.text(), "ok", "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_after_an_answer_are_never_taken_for_the_next_one() {
    let upstream = Scripted::start(vec![
        keeps("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        keeps(OK),
    ])
    .await;
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route(
            "app",
            &format!("targets = [\"{}\"]", upstream.url()),
        ))
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(get(&site, "app", "GET").await.text(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_changes_something_is_never_sent_twice() {
    let upstream = Scripted::start(vec![keeps(OK), closes(""), keeps(OK)]).await;
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route(
            "app",
            &format!("targets = [\"{}\"]", upstream.url()),
        ))
        .start()
        .await;
    assert_eq!(get(&site, "app", "POST").await.status, 200);
    assert_eq!(get(&site, "app", "POST").await.status, 502);
    assert_eq!(upstream.received().len(), 2);
    assert_eq!(get(&site, "app", "POST").await.status, 200);
    assert_eq!(upstream.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_changes_nothing_survives_a_connection_that_the_upstream_closed() {
    let upstream = Scripted::start(vec![keeps(OK), closes(""), keeps(OK)]).await;
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route(
            "app",
            &format!("targets = [\"{}\"]", upstream.url()),
        ))
        .start()
        .await;
    assert_eq!(get(&site, "app", "GET").await.status, 200);
    assert_eq!(get(&site, "app", "GET").await.status, 200);
    assert_eq!(upstream.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_whose_certificate_does_not_verify_gets_no_request() {
    let (known, foreign) = (Authority::new(), Authority::new());
    let trusted = Upstream::start_tls("trusted", &known, &[b"http/1.1"]).await;
    let untrusted = Upstream::start_tls("untrusted", &foreign, &[b"http/1.1"]).await;
    let keys = |url: &str, more: &str| {
        format!("targets = [\"{url}\"]\ntls = {{ ca = \"known.pem\"{more} }}")
    };
    let mut site = Site::plan()
        .toml(&route("trusted", &keys(&trusted.url(), "")))
        .toml(&route("untrusted", &keys(&untrusted.url(), "")))
        .toml(&route(
            "misnamed",
            &keys(&trusted.url(), ", server_name = \"other.test\""),
        ))
        .toml(&route(
            "system",
            &format!("targets = [\"{}\"]", trusted.url()),
        ))
        .prepare();
    site.write("known.pem", &known.pem());
    site.run().await;
    assert_eq!(
        get(&site, "trusted", "GET").await.text(),
        "upstream trusted /"
    );
    assert_eq!(
        trusted.last().header("host"),
        Some(format!("trusted.test:{}", site.port).as_str())
    );
    for name in ["untrusted", "misnamed", "system"] {
        let answer = get(&site, name, "GET").await;
        assert_eq!(
            (answer.status, answer.header("proxy-status")),
            (502, Some("portcullis; error=tls_certificate_error")),
            "{name}"
        );
        assert_eq!(answer.json()["reason"], "upstream-untrusted");
    }
    assert_eq!(
        (trusted.hits(), untrusted.hits(), untrusted.connections()),
        (1, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_bytes_before_the_upstreams_handshake_are_no_answer_and_end_it() {
    const INJECTED: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.0\r\n\r\n",
        b"220 ready\r\n",
        b"\r\n",
        b"\0",
    ];
    let authority = Authority::new();
    let keys = |upstream: &Upstream| {
        format!(
            "targets = [\"{}\"]\ntls = {{ ca = \"known.pem\" }}",
            upstream.url()
        )
    };
    let clean = Upstream::start_tls("clean", &authority, &[b"http/1.1"]).await;
    for plain in INJECTED {
        let spoilt = Upstream::start_tls_after(plain, "spoilt", &authority, &[b"http/1.1"]).await;
        let mut site = Site::plan()
            .toml(&route("clean", &keys(&clean)))
            .toml(&route("spoilt", &keys(&spoilt)))
            .prepare();
        site.write("known.pem", &authority.pem());
        site.run().await;
        let shown = plain.escape_ascii().to_string();
        for _ in 0..2 {
            let answer = get(&site, "spoilt", "GET").await;
            assert_eq!(answer.status, 502, "{shown}");
            assert!(!answer.text().contains("forged"), "{shown}");
        }
        assert_eq!((spoilt.hits(), spoilt.connections()), (0, 0), "{shown}");
        let answer = get(&site, "clean", "GET").await;
        assert_eq!(answer.text(), "upstream clean /", "{shown}");
    }
    assert_eq!(clean.hits(), INJECTED.len());
}

/// Nobody but the service that was judged sees what its visitors send, also when it is away or refuses.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_the_upstream_that_was_judged_and_to_no_other() {
    let (app, other) = (Upstream::start("app").await, Upstream::start("other").await);
    let failing = Scripted::start(vec![closes("HTTP/1.1 200 OK\r\nBroken\r\n\r\n")]).await;
    let gone = format!("targets = [\"http://127.0.0.1:{}\"]", free_port());
    let site = Site::plan()
        .route("app", &app, "public = true")
        .route("other", &other, "public = true")
        .route("locked", &other, "allow = [\"group:staff\"]")
        .toml(&route("gone", &gone))
        .toml(&route(
            "failing",
            &format!("targets = [\"{}\"]", failing.url()),
        ))
        .start()
        .await;
    for (name, status) in [
        ("app", 200),
        ("gone", 502),
        ("failing", 502),
        ("locked", 401),
    ] {
        let mut sender = site.client().h1(&format!("{name}.test")).await;
        let asked = request(&site, "GET", name, "/")
            .header("authorization", "Basic c2VjcmV0")
            .header("x-api-key", "c2VjcmV0")
            .header("cookie", "app=c2VjcmV0")
            .body(content(""))
            .unwrap();
        let answer = collect(sender.send_request(asked).await.unwrap()).await;
        assert_eq!(answer.status, status, "{name}");
        assert!(!answer.text().contains("c2VjcmV0"), "{name}");
        assert!(
            answer
                .headers
                .values()
                .all(|value| !value.as_bytes().windows(8).any(|part| part == b"c2VjcmV0")),
            "{name}"
        );
    }
    let seen = app.last();
    assert_eq!(seen.header("authorization"), Some("Basic c2VjcmV0"));
    assert_eq!(seen.header("cookie"), Some("app=c2VjcmV0"));
    assert_eq!((app.hits(), other.hits()), (1, 0));
    let failed = failing.received();
    assert!(!failed.is_empty(), "it was never asked");
    for request in failed {
        assert!(request.to_ascii_lowercase().contains("host: failing.test"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_in_the_log_with_its_reason() {
    let upstream = Upstream::start("app").await;
    let slow = format!(
        "targets = [\"{}\"]\ntimeout = {{ first_byte = \"200ms\" }}",
        upstream.url()
    );
    let mut site = Site::plan()
        .toml(&route(
            "gone",
            &format!("targets = [\"http://127.0.0.1:{}\"]", free_port()),
        ))
        .toml(&route("slow", &slow))
        .start()
        .await;
    assert_eq!(get(&site, "gone", "GET").await.status, 502);
    let mut sender = site.client().h1("slow.test").await;
    let asked = request(&site, "GET", "slow", "/slow")
        .body(content(""))
        .unwrap();
    assert_eq!(sender.send_request(asked).await.unwrap().status(), 504);
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let reasons: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .map(|entry| {
            (
                entry["http.route"].as_str().unwrap(),
                entry["portcullis.reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("gone", "upstream-unreachable"),
            ("slow", "upstream-timeout")
        ]
    );
}
