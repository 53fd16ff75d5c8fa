//! HTTP/2: what RFC 9113 calls malformed is refused and never translated; floods cost only their own connection.

use crate::harness::client::{content, request, request_h2};
use crate::harness::raw_h2::{Fate, RawH2};
use crate::harness::{Site, Upstream};

async fn open(upstream: &Upstream, limits: &str) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .limits(limits)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_reach_nothing() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "").await;
    let authority = format!("app.test:{}", site.port);
    let usual = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority.as_str()),
        (":path", "/"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [usual.as_slice(), more].concat();
    let without = |name: &str| {
        usual
            .into_iter()
            .filter(|(own, _)| *own != name)
            .collect::<Vec<_>>()
    };
    let replaced = |name: &str, value: &'static str| {
        usual
            .into_iter()
            .map(|(own, old)| (own, if own == name { value } else { old }))
            .collect::<Vec<_>>()
    };
    let rows = [
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
        ),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te", with(&[("te", "gzip")])),
        ("upper case", with(&[("X-Upper", "1")])),
        ("empty name", with(&[("", "1")])),
        ("space in name", with(&[("x y", "1")])),
        ("colon in name", with(&[("x:y", "1")])),
        (
            "line feed in value",
            with(&[("x-a", "b\nx-forwarded-for: 1")]),
        ),
        ("carriage return in value", with(&[("x-a", "b\rc")])),
        ("NUL in value", with(&[("x-a", "b\0c")])),
        ("padded value", with(&[("x-a", " b")])),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("two paths", with(&[(":path", "/admin")])),
        ("two methods", with(&[(":method", "POST")])),
        ("unknown pseudo-header field", with(&[(":x", "1")])),
        ("status in a request", with(&[(":status", "200")])),
        (
            "pseudo-header field after others",
            [&[("x-a", "b")], usual.as_slice()].concat(),
        ),
        ("empty path", replaced(":path", "")),
        ("relative path", replaced(":path", "a")),
        ("dots", replaced(":path", "/a/../b")),
        ("line feed in path", replaced(":path", "/a\nb")),
        ("space in path", replaced(":path", "/a b")),
        ("absolute path", replaced(":path", "https://app.test/")),
        ("http", replaced(":scheme", "http")),
        ("userinfo", replaced(":authority", "me@app.test")),
        ("another host", replaced(":authority", "other.test")),
        ("another Host", with(&[("host", "other.test")])),
        (
            "two Hosts",
            with(&[("host", "app.test"), ("host", "app.test")]),
        ),
        ("wrong length", with(&[("content-length", "5")])),
        (
            "two lengths",
            with(&[("content-length", "0"), ("content-length", "0")]),
        ),
        ("signed length", with(&[("content-length", "+0")])),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "10.0.0.1:22")],
        ),
        ("CONNECT with a path", replaced(":method", "CONNECT")),
        (
            "extended CONNECT",
            [
                replaced(":method", "CONNECT"),
                vec![(":protocol", "websocket")],
            ]
            .concat(),
        ),
        ("TRACE", replaced(":method", "TRACE")),
        ("method with a space", replaced(":method", "GET /x")),
    ];
    for (what, fields) in &rows {
        let mut h2 = RawH2::connect(&site.client(), "app.test").await;
        let stream = h2.send(fields, None).await.unwrap();
        let fate = h2.fate(stream).await;
        let refused = match fate {
            Fate::Answered(status) => (400..500).contains(&status),
            Fate::Reset(code) | Fate::GoneAway(code) => code != 0,
            Fate::Closed => true,
        };
        assert!(refused, "{what}: {fate:?}");
    }
    assert_eq!(upstream.hits(), 0);
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2.send(&usual, None).await.unwrap();
    assert_eq!(h2.fate(stream).await, Fate::Answered(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_is_gone_before_anything_is_decided() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "").await;
    let authority = format!("app.test:{}", site.port);
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority.as_str()),
        (":path", "/a?b#c/../d"),
    ];
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2.send(&fields, None).await.unwrap();
    assert_eq!(h2.fate(stream).await, Fate::Answered(200));
    assert_eq!(upstream.last().target, "/a?b");
    site.entry("the request", |entry| entry["url.path"] == "/a")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_differs_from_its_declared_length_is_never_a_complete_request() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "").await;
    let authority = format!("app.test:{}", site.port);
    for (declared, actual) in [("5", "hell"), ("5", "hello!"), ("0", "x")] {
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", authority.as_str()),
            (":path", "/echo"),
            ("content-length", declared),
        ];
        let mut h2 = RawH2::connect(&site.client(), "app.test").await;
        let stream = h2.send(&fields, Some(actual.as_bytes())).await.unwrap();
        assert_ne!(
            h2.fate(stream).await,
            Fate::Answered(200),
            "{declared} {actual}"
        );
    }
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn split_cookies_are_joined_for_the_upstream() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "").await;
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .body(content(""))
        .unwrap();
    assert_eq!(h2.send_request(asked).await.unwrap().status(), 200);
    let cookies: Vec<_> = upstream
        .last()
        .headers
        .get_all("cookie")
        .iter()
        .cloned()
        .collect();
    assert_eq!(cookies, ["a=b; c=d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_share_a_connection_without_waiting_for_each_other() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "").await;
    let mut h2 = site.client().h2("app.test").await;
    let asked = request_h2(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    let waiting = h2.send_request(asked).await.unwrap();
    for number in 0..50 {
        let asked = request_h2(&site, "GET", "app", &format!("/{number}"))
            .body(content(""))
            .unwrap();
        assert_eq!(h2.send_request(asked).await.unwrap().status(), 200);
    }
    upstream.release();
    assert_eq!(
        http_body_util::BodyExt::collect(waiting.into_body())
            .await
            .unwrap()
            .to_bytes(),
        "firstlast"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "h2_reset_budget = 20").await;
    let authority = format!("app.test:{}", site.port);
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority.as_str()),
        (":path", "/slow"),
    ];
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let mut refused = false;
    for _ in 0..5000 {
        let Ok(stream) = h2.send(&fields, None).await else {
            refused = true;
            break;
        };
        if h2.reset(stream).await.is_err() {
            refused = true;
            break;
        }
    }
    if !refused {
        let stream = h2.send(&fields, None).await.unwrap_or(u32::MAX);
        assert!(matches!(
            h2.fate(stream).await,
            Fate::GoneAway(_) | Fate::Closed
        ));
    }
    let asked = request(&site, "GET", "app", "/")
        .body(Default::default())
        .unwrap();
    assert_eq!(site.client().send("app.test", asked).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_header_list_is_refused() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream, "header_bytes = \"4KiB\"\nheader_count = 20").await;
    let mut many = request_h2(&site, "GET", "app", "/");
    for number in 0..30 {
        many = many.header(format!("x-{number}"), "y");
    }
    let mut h2 = site.client().h2("app.test").await;
    assert_eq!(
        h2.send_request(many.body(content("")).unwrap())
            .await
            .unwrap()
            .status(),
        431
    );
    let long = request_h2(&site, "GET", "app", "/")
        .header("x-a", "x".repeat(6000))
        .body(content(""))
        .unwrap();
    let outcome = h2.send_request(long).await;
    assert!(outcome.is_err_and(|_| true) || upstream.hits() == 0);
    assert_eq!(upstream.hits(), 0);
}

/// Some clients lose an answer when its stream is reset while they still send (RFC 9113 section 8.1); curl 7.88 is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_lost_while_the_content_it_refuses_is_still_on_its_way() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, r#"allow = ["everyone"]"#)
        .start()
        .await;
    for attempt in 0..20 {
        let asked = tokio::process::Command::new("curl")
            .args(["-sS", "--http2", "-d", "content", "-o", "/dev/null"])
            .args(["-w", "%{http_version} %{http_code}", "--cacert"])
            .arg(site.path("data/ca/root.crt"))
            .args(["--resolve", &format!("app.test:{}:127.0.0.1", site.port)])
            .arg(format!("https://app.test:{}/form", site.port))
            .output()
            .await
            .unwrap();
        let told = String::from_utf8(asked.stdout).unwrap();
        assert_eq!(told, "2 401", "{attempt}: {:?}", asked.stderr);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_nobody_wants_is_taken_in_to_a_bound_and_then_reset() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, r#"allow = ["everyone"]"#)
        .start()
        .await;
    let authority = format!("app.test:{}", site.port);
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", authority.as_str()),
        (":path", "/form"),
    ];
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2.open(&fields).await.unwrap();
    assert_eq!(h2.fate(stream).await, Fate::Answered(401));
    assert_eq!(h2.ended(stream).await, None);
    for _ in 0..5 {
        h2.data(stream, &[0; 16_000], false).await.unwrap();
    }
    const NO_ERROR: u32 = 0;
    assert_eq!(h2.ended(stream).await, Some(NO_ERROR));
    assert_eq!(upstream.hits(), 0);
}
