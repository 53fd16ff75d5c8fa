//! Connections that load balancers pass on: whose they are, and when they are closed.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::tests::{HOST, Site, client, text};
use crate::base::Peer;
use crate::message::Body;

/// Tells whom the service sees, and which port was asked.
async fn whose(_request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
    Response::new(format!("{} {}", peer.ip(), peer.local.port()).into())
}

fn loopback() -> [IpNet; 1] {
    ["127.0.0.0/8".parse().unwrap()]
}

/// Sends `pieces` one after the other, each taken by the kernel by itself, and asks over TLS behind them.
async fn ask_behind(site: &Site, pieces: &[&[u8]]) -> std::io::Result<Bytes> {
    let mut socket = client(site.address).await;
    socket.set_nodelay(true)?;
    for piece in pieces {
        socket.write_all(piece).await?;
    }
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(site.pki.client(&["http/1.1"])))
        .connect(name, socket)
        .await?;
    let (mut h1, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    site.tasks.spawn("client", connection);
    let request = Request::get("/").header("host", HOST).body(Body::Empty);
    Ok(text(h1.send_request(request.unwrap()).await.unwrap()).await)
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";
const V2_V6: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x17\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x80\x12\x67\x20\xfb";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[tokio::test]
async fn a_listed_balancer_says_whose_connection_it_is_however_its_bytes_arrive() {
    let site = Site::behind(&loopback(), true, whose).await;
    let own = format!("127.0.0.1 {}", site.address.port());
    let rows: [(&[u8], &str); 4] = [
        (V1, "192.0.2.7 443"),
        (V2_V6, "2001:db8::17 8443"),
        (V2_LOCAL, &own),
        (b"PROXY UNKNOWN\r\n", &own),
    ];
    for (header, expected) in rows {
        for cut in [0, 1, 5, 12, 13, header.len() - 1] {
            let (first, rest) = header.split_at(cut);
            let seen = ask_behind(&site, &[first, rest]).await.unwrap();
            assert_eq!(seen, expected.as_bytes(), "{header:?} cut at {cut}");
        }
        let bytes: Vec<_> = header.chunks(1).collect();
        assert_eq!(
            ask_behind(&site, &bytes).await.unwrap(),
            expected.as_bytes()
        );
    }
}

#[tokio::test]
async fn a_listed_balancer_without_a_header_is_closed_before_any_handshake() {
    let site = Site::behind(&loopback(), true, whose).await;
    let broken: [&[u8]; 3] = [
        b"",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        b"\r\n\r\n\0\r\nQUIT\n\x22\0\0\0",
    ];
    for (count, header) in (1..).zip(broken) {
        assert!(ask_behind(&site, &[header]).await.is_err(), "{header:?}");
        site.ended(&vec!["unannounced"; count]).await;
    }
    // Silence, and an end inside the header.
    let _silent = client(site.address).await;
    site.ended(&["unannounced"; 4]).await;
    let mut half = client(site.address).await;
    half.write_all(&V1[..20]).await.unwrap();
    half.shutdown().await.unwrap();
    site.ended(&["unannounced"; 5]).await;
    assert_eq!(site.gate.open(), 0);
}

#[tokio::test]
async fn a_header_from_anybody_else_is_no_tls() {
    let elsewhere: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
    let site = Site::behind(&elsewhere, true, whose).await;
    assert!(ask_behind(&site, &[V1]).await.is_err());
    site.ended(&["handshake"]).await;
    let seen = ask_behind(&site, &[]).await.unwrap();
    assert!(seen.starts_with(b"127.0.0.1 "));
}
