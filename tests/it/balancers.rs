//! Load balancers and proxies in front: whose word about the client's address counts, and whose does not.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::site::free_port;
use crate::harness::{Site, Upstream, Wire, eventually};

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

/// TLS to `app.test` behind `header`.
async fn behind(site: &Site, header: &[u8]) -> std::io::Result<Wire> {
    let mut socket = TcpStream::connect(site.address()).await?;
    socket.write_all(header).await?;
    let config = site.client().tls_config(&[b"http/1.1"]);
    let name = ServerName::try_from("app.test").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await?;
    Ok(Wire::new(stream))
}

/// One request behind `header` with further fields; gives the address that the upstream was told.
async fn told(site: &Site, upstream: &Upstream, header: &[u8], fields: &str) -> String {
    let before = upstream.hits();
    let mut wire = behind(site, header).await.unwrap();
    wire.send(format!(
        "GET / HTTP/1.1\r\nHost: app.test:{}\r\n{fields}\r\n",
        site.port
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200, "{fields}");
    assert_eq!(upstream.hits(), before + 1);
    let seen = upstream.last();
    let address = seen.header("x-forwarded-for").unwrap().to_owned();
    assert_eq!(seen.header("x-real-ip"), Some(address.as_str()));
    address
}

async fn site(upstream: &Upstream, server: &str) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .server(server)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_a_listed_balancer_names_is_the_client_everywhere() {
    let upstream = Upstream::start("app").await;
    let mut site = site(&upstream, "proxy_protocol = { from = [\"127.0.0.0/8\"] }").await;
    assert_eq!(told(&site, &upstream, V1.as_bytes(), "").await, "192.0.2.7");
    let forged = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    assert_eq!(
        told(&site, &upstream, V1.as_bytes(), forged).await,
        "192.0.2.7"
    );
    let six = b"PROXY TCP6 2001:db8::17 2001:db8::80 4711 443\r\n";
    assert_eq!(told(&site, &upstream, six, "").await, "2001:db8::17");
    assert_eq!(
        told(&site, &upstream, b"PROXY UNKNOWN\r\n", "").await,
        "127.0.0.1"
    );

    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let requests: Vec<_> = entries
        .iter()
        .filter(|entry| entry["event.name"] == "http.request")
        .map(|entry| entry["client.address"].as_str().unwrap())
        .collect();
    let expected = ["192.0.2.7", "192.0.2.7", "2001:db8::17", "127.0.0.1"];
    assert_eq!(requests, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_capped_for_the_client_and_not_for_its_balancer() {
    let upstream = Upstream::start("app").await;
    let site = site(
        &upstream,
        "proxy_protocol = { from = [\"127.0.0.0/8\"] }\nmax_connections_per_address = 1",
    )
    .await;
    let mut kept = behind(&site, V1.as_bytes()).await.unwrap();
    assert!(behind(&site, V1.as_bytes()).await.is_err());
    let other = V1.replace("192.0.2.7", "192.0.2.8");
    assert_eq!(
        told(&site, &upstream, other.as_bytes(), "").await,
        "192.0.2.8"
    );
    kept.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert_eq!(kept.answer().await.status, 200);
    let metrics = site.metrics().await;
    assert!(
        metrics.contains("portcullis_connections_refused_total 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_balancer_without_a_good_header_is_closed_and_counted() {
    let upstream = Upstream::start("app").await;
    let site = site(&upstream, "proxy_protocol = { from = [\"127.0.0.1\"] }").await;
    let broken: [&[u8]; 4] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb\x03\0\x04\0\0\0\0",
    ];
    for header in broken {
        assert!(behind(&site, header).await.is_err(), "{header:?}");
        let mut socket = TcpStream::connect(site.address()).await.unwrap();
        let hello: &[u8] = if header.is_empty() {
            &[22, 3, 1]
        } else {
            header
        };
        socket.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        // Closed with bytes unread, which the kernel tells as a reset.
        drop(socket.read_to_end(&mut answer).await);
        assert!(answer.is_empty(), "{header:?}");
    }
    eventually("the count", async || {
        let metrics = site.metrics().await;
        metrics
            .contains("portcullis_proxy_headers_refused_total 8")
            .then_some(())
    })
    .await;
    assert_eq!(upstream.hits(), 0);
    assert_eq!(told(&site, &upstream, V1.as_bytes(), "").await, "192.0.2.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_from_anybody_else_ends_the_connection() {
    let upstream = Upstream::start("app").await;
    let port = free_port();
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("proxy_protocol = { from = [\"10.0.0.0/8\", \"2001:db8::/32\"] }")
        .prepare();
    site.edit_config(|text| {
        text.replace(
            "http_redirect = []",
            &format!("http_redirect = [\"127.0.0.1:{port}\"]"),
        )
    });
    site.run().await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb";
    for header in [V1.as_bytes(), v2] {
        assert!(behind(&site, header).await.is_err());
        let mut plain = Wire::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let request = format!("GET / HTTP/1.1\r\nHost: app.test:{port}\r\n\r\n");
        plain.send([header, request.as_bytes()].concat()).await;
        assert_eq!(plain.answer().await.status, 400);
    }
    assert_eq!(upstream.hits(), 0);
    assert_eq!(told(&site, &upstream, b"", "").await, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_listener_reads_headers_of_the_same_balancers() {
    let upstream = Upstream::start("app").await;
    let port = free_port();
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("proxy_protocol = { from = [\"127.0.0.1\"] }")
        .prepare();
    site.edit_config(|text| {
        text.replace(
            "http_redirect = []",
            &format!("http_redirect = [\"127.0.0.1:{port}\"]"),
        )
    });
    site.run().await;
    let request = format!("GET / HTTP/1.1\r\nHost: app.test:{port}\r\n\r\n");
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    let header = format!("PROXY TCP4 192.0.2.7 198.51.100.1 50000 {port}\r\n");
    wire.send(header + &request).await;
    assert_eq!(wire.head().await.status, 308);
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    wire.send(request).await;
    wire.closed().await;
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_headers_count_along_a_chain_of_listed_networks_and_no_further() {
    let upstream = Upstream::start("app").await;
    let site = site(
        &upstream,
        "proxy_protocol = { from = [\"127.0.0.1\"] }\n\
         trusted_proxies = [\"10.0.0.0/8\", \"2001:db8:f::/48\"]",
    )
    .await;
    let edge = "2001:db8:f::1";
    let rows = [
        (edge, "X-Forwarded-For: 2001:db8:c::9", "2001:db8:c::9"),
        (
            edge,
            "X-Forwarded-For: [2001:db8:c::9]:4711",
            "2001:db8:c::9",
        ),
        (
            edge,
            "X-Forwarded-For: 6.6.6.6, 2001:db8:c::9, 10.1.2.3, 2001:db8:f:ffff::2",
            "2001:db8:c::9",
        ),
        (
            edge,
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 2001:db8:c::9",
            "2001:db8:c::9",
        ),
        (edge, "X-Forwarded-For: ::ffff:192.0.2.9", "192.0.2.9"),
        (edge, "X-Forwarded-For: 6.6.6.6, ::ffff:10.1.2.3", "6.6.6.6"),
        (
            edge,
            "Forwarded: for=\"[2001:db8:c::9]:47\";proto=https, for=10.1.2.3",
            "2001:db8:c::9",
        ),
        (
            edge,
            "Forwarded: for=6.6.6.6, For=\"[2001:db8:c::9]\"",
            "2001:db8:c::9",
        ),
        // One step outside the network, and everything the client says is its own invention.
        (
            "2001:db8:10::1",
            "X-Forwarded-For: 6.6.6.6",
            "2001:db8:10::1",
        ),
        ("2001:db8:10::1", "Forwarded: for=6.6.6.6", "2001:db8:10::1"),
        ("::ffff:10.0.0.1", "X-Forwarded-For: 192.0.2.9", "192.0.2.9"),
        // What cannot be read ends the reading at the nearest proxy that can.
        (edge, "X-Forwarded-For: 6.6.6.6, fe80::1%eth0", edge),
        (
            edge,
            "X-Forwarded-For: 6.6.6.6, unknown, 10.1.2.3",
            "10.1.2.3",
        ),
        (edge, "Forwarded: for=_hidden", edge),
        (
            edge,
            "X-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.8",
            edge,
        ),
        (edge, "X-Real-IP: 6.6.6.6", edge),
    ];
    for (peer, fields, expected) in rows {
        let header = format!("PROXY TCP6 {peer} 2001:db8::80 4711 443\r\n");
        let found = told(
            &site,
            &upstream,
            header.as_bytes(),
            &format!("{fields}\r\n"),
        )
        .await;
        assert_eq!(found, expected, "{peer} {fields}");
    }
}
