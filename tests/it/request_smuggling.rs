//! A message that two readers could understand differently is refused, and nothing of it reaches an upstream.

use crate::harness::client::request;
use crate::harness::scripted::{OK, keeps};
use crate::harness::{Scripted, Site, Upstream, Wire, eventually};

async fn open(upstream: &Upstream) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .start()
        .await
}

async fn wire(site: &Site) -> Wire {
    site.client().wire("app.test").await
}

fn host(site: &Site) -> String {
    format!("app.test:{}", site.port)
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_readers_understand_differently_are_refused() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let refused = [
        "/a/../admin",
        "/..",
        "/a/.",
        "/./a",
        "/a/%2e%2e/admin",
        "/a/.%2E/admin",
        "/%2e/a",
        "/a/..;/admin",
        "/a/..;x=1/admin",
        "/..%2fadmin",
        "/a/%2e%2e%2fadmin",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/\\evil.example",
        "//evil.example/a",
        "/a//b",
        "/a///b",
        "/a/;x=1/b",
        "/a;jsessionid=1",
        "/a%3bx",
        "/a%00",
        "/a%0d%0aX-Evil:%201",
        "/a%09b",
        "/a%7fb",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%252e%252e/admin",
        "/a%252fb",
        "/%61dmin",
        "/a%2db",
        "/a%ff",
        "/a%c0%af",
        "/a%c0%ae%c0%ae/admin",
        "/a%ed%a0%80",
        "/a%c2%80",
        "/a#b",
        "/a#",
        "/a?b#c",
        "/a\"b",
        "/a<b>",
        "/a{b}",
        "/a`b",
        "*",
        "a",
        "",
        "?a",
    ];
    for target in refused {
        let mut wire = wire(&site).await;
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n",
            host(&site)
        ))
        .await;
        assert_eq!(wire.answer().await.status, 400, "{target:?}");
    }
    for byte in [0_u8, 1, 0x0b, 0x1f, 0x7f, 0x80, 0xc3, 0xff] {
        let mut wire = wire(&site).await;
        wire.send(
            [
                b"GET /a",
                &[byte][..],
                b" HTTP/1.1\r\nHost: ",
                host(&site).as_bytes(),
                b"\r\n\r\n",
            ]
            .concat(),
        )
        .await;
        assert_eq!(wire.answer().await.status, 400, "{byte:#x}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_one_reading_are_carried_byte_for_byte() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let carried = [
        "/",
        "/a/b/",
        "/a.b/...",
        "/.well-known/x",
        "/..a/a..",
        "/a%20b",
        "/%c3%a9%E2%82%ac",
        "/a%25",
        "/a%25b",
        "/a%3Fb",
        "/a%23b",
        "/a+b,c=d@e:f!$&'()*~-_",
        "/[a]|^",
        "/a?b=%2e%2e/..//;%00\\&c={}",
        "/a??",
        "/a?",
    ];
    for target in carried {
        let mut wire = wire(&site).await;
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n",
            host(&site)
        ))
        .await;
        assert_eq!(wire.answer().await.status, 200, "{target:?}");
        assert_eq!(upstream.last().target, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_admit_a_class_of_paths_and_only_that_class() {
    let upstream = Upstream::start("app").await;
    let route = |name: &str, class: &str| {
        format!(
            "[route.{name}]\nhost = \"{name}.test\"\nto = \"{}\"\npublic = true\npath_allows = [\"{class}\"]\n",
            upstream.url()
        )
    };
    let site = Site::plan()
        .toml(&route("slash", "encoded-slash"))
        .toml(&route("semicolon", "semicolon"))
        .toml(&route("double", "double-slash"))
        .start()
        .await;
    let rows = [
        ("/a%2Fb", "slash"),
        ("/a;b=c", "semicolon"),
        ("/a%3Bb", "semicolon"),
        ("/a//b", "double"),
    ];
    for (target, admitting) in rows {
        for name in ["slash", "semicolon", "double"] {
            let hits = upstream.hits();
            let asked = request(&site, "GET", name, target)
                .body(Default::default())
                .unwrap();
            let status = site
                .client()
                .send(&format!("{name}.test"), asked)
                .await
                .status;
            let expected = if name == admitting { 200 } else { 400 };
            assert_eq!(status, expected, "{name} {target}");
            assert_eq!(upstream.hits() - hits, usize::from(name == admitting));
        }
    }
    let hits = upstream.hits();
    for (name, target) in [
        ("slash", "/a%2F..%2Fb"),
        ("semicolon", "/a/..;/b"),
        ("double", "//../b"),
        ("slash", "/a%5Cb"),
    ] {
        let asked = request(&site, "GET", name, target)
            .body(Default::default())
            .unwrap();
        assert_eq!(
            site.client()
                .send(&format!("{name}.test"), asked)
                .await
                .status,
            400,
            "{target}"
        );
    }
    assert_eq!(upstream.hits(), hits);
}

/// Rows in which `HOST` stands for the site's own host with its port.
#[tokio::test(flavor = "multi_thread")]
async fn messages_with_more_than_one_reading_are_refused_and_their_connection_closed() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let rows = [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        (
            "two hosts",
            "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
        ),
        (
            "two different hosts",
            "GET / HTTP/1.1\r\nHost: HOST\r\nHost: other.test\r\n\r\n",
        ),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        (
            "host list",
            "GET / HTTP/1.1\r\nHost: HOST, other.test\r\n\r\n",
        ),
        ("userinfo", "GET / HTTP/1.1\r\nHost: me@HOST\r\n\r\n"),
        ("path in host", "GET / HTTP/1.1\r\nHost: HOST/a\r\n\r\n"),
        (
            "absolute form of another host",
            "GET https://other.test/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        (
            "absolute form of another scheme",
            "GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        (
            "absolute form without host",
            "GET https://HOST/ HTTP/1.1\r\n\r\n",
        ),
        (
            "absolute form with userinfo",
            "GET https://me@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        (
            "length and chunked",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked and length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        ),
        (
            "the same length twice",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "length list",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5, 5\r\n\r\nhello",
        ),
        (
            "signed length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nhello",
        ),
        (
            "negative length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\nhello",
        ),
        (
            "hexadecimal length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0x5\r\n\r\nhello",
        ),
        (
            "empty length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length:\r\n\r\nhello",
        ),
        (
            "length beyond numbers",
            "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked is not last",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "identity",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "misspelt chunked",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "quoted chunked",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        ),
        (
            "vertical tab before chunked",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "space before the colon",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "folded line",
            "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\n\r\n",
        ),
        (
            "folded length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "space before the first field",
            "GET / HTTP/1.1\r\n Host: HOST\r\n\r\n",
        ),
        ("empty name", "GET / HTTP/1.1\r\nHost: HOST\r\n: x\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: HOST\r\nfoo\r\n\r\n"),
        (
            "bare LF after a field",
            "GET / HTTP/1.1\r\nHost: HOST\nX-A: b\r\n\r\n",
        ),
        (
            "bare LF after the request line",
            "GET / HTTP/1.1\nHost: HOST\r\n\r\n",
        ),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: HOST\r\n\n"),
        ("only bare LF", "GET / HTTP/1.1\nHost: HOST\n\n"),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\rX-Forwarded-For: 1\r\n\r\n",
        ),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\0c\r\n\r\n",
        ),
        (
            "NUL in a name",
            "GET / HTTP/1.1\r\nHost: HOST\r\nX\0A: b\r\n\r\n",
        ),
        (
            "bell in a value",
            "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: \u{7}\r\n\r\n",
        ),
        ("no version", "GET /\r\nHost: HOST\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        (
            "space in the target",
            "GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        (
            "space after the version",
            "GET / HTTP/1.1 \r\nHost: HOST\r\n\r\n",
        ),
        ("tab", "GET\t/ HTTP/1.1\r\nHost: HOST\r\n\r\n"),
        ("lower-case version", "GET / http/1.1\r\nHost: HOST\r\n\r\n"),
        ("version 1.2", "GET / HTTP/1.2\r\nHost: HOST\r\n\r\n"),
        ("version 2.0", "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n"),
        ("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (
            "many empty lines",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        (
            "empty line with bare LF",
            "\nGET / HTTP/1.1\r\nHost: HOST\r\n\r\n",
        ),
        ("not HTTP", "\u{16}\u{3}\u{1}\r\n\r\n"),
        (
            "two Authorization",
            "GET / HTTP/1.1\r\nHost: HOST\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
        ),
        (
            "Connection names Host",
            "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: host\r\n\r\n",
        ),
        (
            "Connection names Cookie",
            "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Cookie\r\nCookie: a=b\r\n\r\n",
        ),
        (
            "Connection names Content-Length",
            "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\nx",
        ),
    ];
    for (what, message) in rows {
        let mut wire = wire(&site).await;
        wire.send(message.replace("HOST", &host(&site))).await;
        // Whatever follows must not be taken for a second message.
        let answer = wire.answer().await;
        let fits = answer.status == 400
            || (answer.status == 505
                && (what.starts_with("version") || what.starts_with("preface")));
        assert!(fits, "{what}: {answer:?}");
        assert!(
            answer.field("strict-transport-security").is_some(),
            "{what}"
        );
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_doubtful_length_end_their_connection() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", host(&site));
    let rows = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for row in rows {
        let mut wire = wire(&site).await;
        wire.send(format!(
            "POST / HTTP/1.1\r\nHost: {}\r\n{row}{smuggled}",
            host(&site)
        ))
        .await;
        let answer = wire.answer().await;
        assert!(matches!(answer.status, 400 | 501), "{row:?}: {answer:?}");
        wire.closed().await;
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_never_make_a_complete_request() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let rows = [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-A: b\n\r\n",
        "5\r\nhello\r\n0\r\nX-A b\r\n\r\n",
        "5\r\nhello\r\n0\r\n folded: b\r\n\r\n",
    ];
    for row in rows {
        let mut wire = wire(&site).await;
        wire.send(format!(
            "POST /echo HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n{row}",
            host(&site)
        ))
        .await;
        let rest = String::from_utf8(wire.rest().await).unwrap();
        assert!(!rest.starts_with("HTTP/1.1 200"), "{row:?}: {rest}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()));

    let mut wire = wire(&site).await;
    let long = "x".repeat(20_000);
    wire.send(format!("POST /echo HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n5;{long}\r\nhello\r\n0\r\n\r\n", host(&site)))
        .await;
    assert!(
        !String::from_utf8(wire.rest().await)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn well_formed_chunks_are_carried_with_framing_of_our_own() {
    let upstream = Scripted::start(vec![keeps(OK)]).await;
    let site = Site::plan()
        .toml(&format!(
            "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
            upstream.url()
        ))
        .start()
        .await;
    let mut wire = wire(&site).await;
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext=\"quoted\"\r\nhello\r\n00000A\r\n0123456789\r\n0\r\n\r\n",
        host(&site)
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200);
    let received = upstream.received();
    let [request] = received.as_slice() else {
        panic!("{received:?}")
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        !head.to_ascii_lowercase().contains("content-length"),
        "{head}"
    );
    assert_eq!(
        head.to_ascii_lowercase()
            .matches("transfer-encoding: chunked")
            .count(),
        1,
        "{head}"
    );
    assert!(!body.contains("ext"), "{body}");
    let data: String = body.split("\r\n").filter(|line| line.len() > 4).collect();
    assert_eq!(data, "hello0123456789");
}

/// Whatever stands in the content of a method that has none as a rule, it stays content, and nothing is read as a request.
#[tokio::test(flavor = "multi_thread")]
async fn content_with_get_is_framed_anew_and_never_becomes_a_second_request() {
    const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let upstream = Scripted::start(vec![keeps(OK)]).await;
    let site = Site::plan()
        .toml(&format!(
            "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
            upstream.url()
        ))
        .start()
        .await;
    let length = HIDDEN.len();
    let framed = [
        format!("Content-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
    ];
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        for (number, framed) in framed.iter().enumerate() {
            let before = upstream.received().len();
            let mut wire = wire(&site).await;
            let head = format!("Host: {}\r\n", host(&site));
            wire.send(format!(
                "{method} /first HTTP/1.1\r\n{head}{framed}GET /next HTTP/1.1\r\n{head}\r\n"
            ))
            .await;
            let answer = if method == "HEAD" {
                wire.head().await
            } else {
                wire.answer().await
            };
            assert_eq!(answer.status, 200, "{method} {number}");
            assert_eq!(wire.answer().await.status, 200, "{method} {number}");
            let received = upstream.received().split_off(before);
            let [first, next] = received.as_slice() else {
                panic!("{method} {number}: {received:?}")
            };
            assert!(next.starts_with("GET /next "), "{next}");
            let (head, content) = first.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("{method} /first ")), "{head}");
            let head = head.to_ascii_lowercase();
            let fields = head.matches("content-length: ").count()
                + head.matches("transfer-encoding: chunked").count();
            assert_eq!(fields, 1, "{head}");
            let unframed = content
                .strip_prefix(&format!("{length:x}\r\n"))
                .and_then(|rest| rest.strip_suffix("\r\n0\r\n\r\n"))
                .unwrap_or(content);
            assert_eq!(unframed, HIDDEN, "{method} {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order_and_end_at_the_first_malformed_one() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let host = host(&site);
    let mut wire = wire(&site).await;
    wire.send(format!(
        "POST /one HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc\
         POST /two HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
         GET /three HTTP/1.1\nHost: {host}\r\n\r\n\
         GET /four HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer().await.text(), "upstream app /one");
    assert_eq!(wire.answer().await.text(), "upstream app /two");
    assert_eq!(wire.answer().await.status, 400);
    wire.closed().await;
    let bodies: Vec<_> = upstream.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["abc", "de"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_of_the_head_have_their_own_answers() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("header_bytes = \"4KiB\"\nheader_count = 20\ntarget_bytes = \"1KiB\"")
        .start()
        .await;
    let host = host(&site);
    let long = |count: usize| "x".repeat(count);
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("X-{number}: y\r\n"))
            .collect::<String>()
    };
    let rows = [
        (
            200,
            format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", long(1000)),
        ),
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", long(1100)),
        ),
        (
            414,
            format!("GET /?{} HTTP/1.1\r\nHost: {host}\r\n\r\n", long(3000)),
        ),
        (
            414,
            format!("GET /?{} HTTP/1.1\r\nHost: {host}\r\n\r\n", long(70_000)),
        ),
        (
            200,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX-A: {}\r\n\r\n",
                long(3800)
            ),
        ),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX-A: {}\r\n\r\n",
                long(4200)
            ),
        ),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX-A: {}\r\n\r\n",
                long(100_000)
            ),
        ),
        (
            200,
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", many(18)),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", many(21)),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", many(150)),
        ),
    ];
    for (expected, message) in &rows {
        let mut wire = wire(&site).await;
        // The answer may come while the rest is still on its way.
        drop(wire.try_send(message).await);
        let answer = wire.answer().await;
        assert_eq!(answer.status, *expected, "{}", &message[..60]);
        assert!(answer.field("strict-transport-security").is_some());
    }
    assert_eq!(upstream.hits(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_of_the_own_host_is_carried_in_origin_form() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let host = host(&site);
    let mut wire = wire(&site).await;
    wire.send(format!(
        "GET https://{host}/a?b HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(upstream.last().target, "/a?b");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_is_served_and_gets_no_kept_connection() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    for connection in ["", "Connection: keep-alive\r\n"] {
        let mut wire = wire(&site).await;
        wire.send(format!(
            "GET /stream/3 HTTP/1.0\r\nHost: {}\r\n{connection}\r\n",
            host(&site)
        ))
        .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "chunk 0\nchunk 1\nchunk 2\n")
        );
        assert_eq!(answer.field("transfer-encoding"), None);
        wire.closed().await;
    }
    assert_eq!(upstream.last().header("via"), Some("1.0 portcullis"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_message_has_one_entry_in_the_log_also_a_malformed_one() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream).await;
    let host = host(&site);
    let messages = [
        (200, format!("GET /fine HTTP/1.1\r\nHost: {host}\r\n\r\n")),
        (400, format!("GET /a/../b HTTP/1.1\r\nHost: {host}\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\nHost: {host}\r\n\r\n")),
        (
            400,
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
        ),
        (421, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n".to_owned()),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX-A: {}\r\n\r\n",
                "x".repeat(100_000)
            ),
        ),
        (405, format!("TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
    ];
    for (expected, message) in &messages {
        let mut wire = wire(&site).await;
        drop(wire.try_send(message).await);
        assert_eq!(wire.answer().await.status, *expected);
    }
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let mut statuses: Vec<u64> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .map(|entry| entry["http.response.status_code"].as_u64().unwrap())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400, 405, 421, 431]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_content_that_came_with_its_head_is_answered_after_what_came_before() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream).await;
    let host = host(&site);
    let fine = format!("POST /fine HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx");
    let bad = format!(
        "POST /bad HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"
    );
    let mut wire = wire(&site).await;
    wire.send(format!("{fine}{fine}{bad}")).await;
    for expected in [200, 200, 400] {
        assert_eq!(wire.answer().await.status, expected);
    }
    wire.closed().await;
    assert_eq!(upstream.hits(), 2);
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let recorded = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request");
    assert_eq!(recorded.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_a_server_may_fold_into_framing_or_identity_reach_none() {
    let upstream = Upstream::start("app").await;
    let site = open(&upstream).await;
    let mut wire = wire(&site).await;
    let host = host(&site);
    wire.send(format!(
        "POST /p HTTP/1.1\r\nHost: {host}\r\nTransfer_Encoding: chunked\r\nContent.Length: 9\r\n\
         X.Portcullis.User: root\r\nRemote~User: root\r\nX-Own.Name: kept\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200);
    let seen = upstream.last();
    for name in [
        "transfer_encoding",
        "content.length",
        "x.portcullis.user",
        "remote~user",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-own.name"), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offence_behind_an_answer_under_way_is_answered_as_soon_as_that_has_left() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        // No timer comes to the rescue while anybody waits.
        .limits("header_timeout = \"10m\"\nidle_timeout = \"10m\"")
        .start()
        .await;
    let host = host(&site);
    let mut wire = wire(&site).await;
    wire.send(format!(
        "GET /gated HTTP/1.1\r\nHost: {host}\r\n\r\nGET /evil HTTP/1.1\r\nX : y\r\nHost: {host}\r\n\r\n"
    ))
    .await;
    eventually("the request", async || (upstream.hits() == 1).then_some(())).await;
    upstream.release();
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(wire.answer().await.status, 400);
    wire.closed().await;
    assert_eq!(upstream.hits(), 1);
}
