//! An HTTP client that does exactly what it is told: no redirects, no retries, TLS verified against the site's CA.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Site, Wire};

/// Content that a test may send piece by piece.
pub(crate) type Content = UnsyncBoxBody<Bytes, std::io::Error>;

/// The sending end of a body: frames go out as they are given, dropping it ends the body, an error breaks it off.
pub(crate) type Feed = tokio::sync::mpsc::UnboundedSender<std::io::Result<Frame<Bytes>>>;

/// A body whose pieces the test sends one by one.
pub(crate) fn feed() -> (Feed, Content) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let frames = futures_util::stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

pub(crate) fn content(bytes: impl Into<Bytes>) -> Content {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request for `path` on the route's host `NAME.test`, ready for more headers.
pub(crate) fn request(site: &Site, method: &str, name: &str, path: &str) -> http::request::Builder {
    let host = format!("{name}.test:{}", site.port);
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
}

/// The same for HTTP/2, whose target carries the authority.
pub(crate) fn request_h2(
    site: &Site,
    method: &str,
    name: &str,
    path: &str,
) -> http::request::Builder {
    Request::builder().method(method).uri(site.url(name, path))
}

/// A complete answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").expect("the answer is no redirect")
    }
}

/// Opens TLS connections to one address under any server name.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    roots: Arc<RootCertStore>,
    /// The address to come from, when it matters.
    source: Option<IpAddr>,
}

impl Client {
    /// `ca` is the PEM of the authority that signed the site's certificates.
    pub(crate) fn new(address: SocketAddr, ca: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self {
            address,
            roots: Arc::new(roots),
            source: None,
        }
    }

    /// The same, coming from another address of this machine.
    pub(crate) fn from(mut self, source: &str) -> Self {
        self.source = Some(source.parse().unwrap());
        self
    }

    /// A connection without TLS.
    pub(crate) async fn dial(&self) -> std::io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    pub(crate) fn tls_config(&self, protocols: &[&[u8]]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    pub(crate) async fn connect(
        &self,
        server_name: &str,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.dial().await?;
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.tls_config(protocols)))
            .connect(name, stream)
            .await
    }

    /// Sends `request` over HTTP/1.1 on a connection of its own; its URI is the target, its `Host` header names the server.
    pub(crate) async fn send(&self, server_name: &str, request: Request<Full<Bytes>>) -> Answer {
        let stream = self.connect(server_name, &[b"http/1.1"]).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        collect(sender.send_request(request).await.unwrap()).await
    }

    /// Sends `request` over HTTP/2 on a connection of its own.
    pub(crate) async fn send_h2(&self, server_name: &str, request: Request<Full<Bytes>>) -> Answer {
        let stream = self.connect(server_name, &[b"h2"]).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(async move { drop(connection.await) });
        collect(sender.send_request(request).await.unwrap()).await
    }

    /// A kept HTTP/1.1 connection.
    pub(crate) async fn h1(&self, server_name: &str) -> http1::SendRequest<Content> {
        let stream = self.connect(server_name, &[b"http/1.1"]).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        sender
    }

    /// A kept HTTP/2 connection.
    pub(crate) async fn h2(&self, server_name: &str) -> http2::SendRequest<Content> {
        let stream = self.connect(server_name, &[b"h2"]).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        sender
    }

    /// An HTTP/1.1 connection for bytes of the test's own.
    pub(crate) async fn wire(&self, server_name: &str) -> Wire {
        Wire::new(self.connect(server_name, &[b"http/1.1"]).await.unwrap())
    }
}

pub(crate) async fn collect(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.expect("the answer ended early");
    let trailers = collected.trailers().cloned();
    Answer {
        status: StatusCode::as_u16(&head.status),
        headers: head.headers,
        trailers,
        body: collected.to_bytes(),
    }
}
