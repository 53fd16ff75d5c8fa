//! The listener without TLS: it sends known hosts to https and does nothing else.

use crate::harness::site::free_port;
use crate::harness::{Site, Upstream, Wire};

async fn open(upstream: &Upstream) -> (Site, u16) {
    let port = free_port();
    let mut site = Site::plan()
        .route("app", upstream, "public = true")
        .prepare();
    site.edit_config(|text| {
        text.replace(
            "http_redirect = []",
            &format!("http_redirect = [\"127.0.0.1:{port}\"]"),
        )
    });
    site.run().await;
    (site, port)
}

async fn wire(port: u16) -> Wire {
    Wire::new(
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn get_and_head_of_known_hosts_are_sent_to_https_with_path_and_query() {
    let upstream = Upstream::start("app").await;
    let (site, port) = open(&upstream).await;
    for method in ["GET", "HEAD"] {
        for host in ["app.test", "login.test"] {
            let mut wire = wire(port).await;
            wire.send(format!(
                "{method} /a?b=c HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: a=b\r\n\r\n"
            ))
            .await;
            let answer = wire.head().await;
            let expected = format!("https://{host}:{}/a?b=c", site.port);
            assert_eq!(
                (answer.status, answer.field("location")),
                (308, Some(expected.as_str()))
            );
            assert_eq!(
                (
                    answer.field("set-cookie"),
                    answer.field("strict-transport-security")
                ),
                (None, None)
            );
            assert_eq!(answer.field("server"), None);
        }
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_refused_and_reflects_nothing() {
    let upstream = Upstream::start("app").await;
    let (_site, port) = open(&upstream).await;
    let rows = [
        ("POST /a", "app.test", 403),
        ("PUT /a", "app.test", 403),
        ("OPTIONS /a", "app.test", 403),
        ("GET /<script>", "app.test", 400),
        ("GET /a/../b", "app.test", 400),
        ("GET /a#b", "app.test", 400),
        ("GET /marker", "evil.example", 403),
        ("GET /marker", "sub.app.test", 403),
        ("GET https://app.test/", "app.test", 400),
    ];
    for (start, host, expected) in rows {
        let mut wire = wire(port).await;
        wire.send(format!("{start} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"))
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, expected, "{start} {host}");
        assert_eq!(
            (
                answer.field("location"),
                answer.field("strict-transport-security")
            ),
            (None, None)
        );
        assert!(
            !answer.text().contains("evil") && !answer.text().contains("marker"),
            "{}",
            answer.text()
        );
    }
    let mut wire = wire(port).await;
    wire.send(format!("GET / HTTP/1.1\nHost: app.test:{port}\r\n\r\n"))
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.field("strict-transport-security")),
        (400, None)
    );
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_are_in_the_log() {
    let upstream = Upstream::start("app").await;
    let (mut site, port) = open(&upstream).await;
    for start in ["GET /", "POST /"] {
        let mut wire = wire(port).await;
        wire.send(format!("{start} HTTP/1.1\r\nHost: app.test:{port}\r\n\r\n"))
            .await;
        wire.head().await;
    }
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let statuses: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .map(|entry| entry["http.response.status_code"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [308, 403]);
}
