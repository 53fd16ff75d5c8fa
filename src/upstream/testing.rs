//! Upstreams that say exactly what a test wants, byte by byte. Nothing here is compiled into the program.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::group::{Group, Target};
use super::request::{Destination, Upgrade, UpstreamRequest};
use super::{Error, Forwarded, Pools};
use crate::base::Host;
use crate::config::{Balance, Profile, Protocols};
use crate::dial::Endpoint;
use crate::message::onward::tests::onward;
use crate::message::{Body, BodyError};
use crate::tasks::Tasks;
use crate::tls::client::{Trust, UpstreamTls};
use crate::tls::testing::TestPki;

/// A plain TCP server on loopback that answers every request head with the next of its scripted pieces.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What to do after a request's head was read.
#[derive(Clone)]
pub(crate) enum Step {
    /// Send these bytes and wait for the next head.
    Send(&'static str),
    /// Send these bytes and close.
    SendAndClose(&'static str),
    /// Send these bytes, then send back whatever comes.
    SendAndEcho(&'static str),
    /// Never answer.
    Hang,
}

pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

impl Scripted {
    /// Connection `n` follows `script[n]`, the last one for all further connections.
    pub(crate) async fn start(tasks: &Tasks, script: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let this = Self {
            address,
            connections: Arc::clone(&connections),
            heads: Arc::clone(&heads),
        };
        let inner = tasks.clone();
        tasks.spawn("scripted", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let index = connections.fetch_add(1, Ordering::SeqCst);
                let steps = script[index.min(script.len() - 1)].clone();
                let heads = Arc::clone(&heads);
                inner.spawn("scripted-connection", follow(stream, steps, heads));
            }
        });
        this
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far, without the empty line.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    pub(crate) fn target(&self) -> Target {
        plain_target(self.address)
    }
}

pub(crate) fn plain_target(address: SocketAddr) -> Target {
    let endpoint = Endpoint::Tcp {
        host: Host::parse("127.0.0.1").unwrap(),
        port: address.port(),
    };
    let host = HeaderValue::from_str(&address.to_string()).unwrap();
    Target::new(&format!("http://{address}"), endpoint, host, None, 1)
}

async fn follow(mut stream: TcpStream, steps: Vec<Step>, heads: Arc<Mutex<Vec<String>>>) {
    let mut steps = steps.into_iter();
    while let Some(head) = read_head(&mut stream).await {
        heads.lock().push(head);
        match steps.next() {
            Some(Step::Send(bytes)) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Some(Step::SendAndClose(bytes)) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Some(Step::SendAndEcho(bytes)) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
                return;
            }
            Some(Step::Hang) => std::future::pending().await,
            None => return,
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    head.truncate(head.len() - 4);
    Some(String::from_utf8(head).unwrap())
}

pub(crate) fn group(targets: Vec<Target>) -> Group {
    Group::new("app", targets, Balance::LeastRequests)
}

pub(crate) fn get(group: &Arc<Group>) -> UpstreamRequest {
    asking(group, &[], Body::Empty)
}

/// A request for `/a?b=c` with these headers.
pub(crate) fn asking(group: &Arc<Group>, headers: &[(&str, &str)], body: Body) -> UpstreamRequest {
    let destination = Destination {
        group,
        preserve_host: true,
        statements: Vec::new(),
        ended: None,
    };
    UpstreamRequest::join(onward(headers, body), destination)
}

/// Sends `request` for as long as it takes.
pub(crate) async fn send(pools: &Pools, request: UpstreamRequest) -> Result<Forwarded, Error> {
    pools.forward(request, &mut || Ok(())).await
}

/// A body of prepared frames.
pub(crate) struct Pieces(std::collections::VecDeque<Piece>);

type Piece = Result<Frame<Bytes>, BodyError>;

impl Pieces {
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces.into())
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(self.0.pop_front())
    }
}

/// A TLS server on loopback, named `app.localhost`, made of this program's own server side.
pub(crate) async fn serve<F, A>(
    tasks: &Tasks,
    pki: &TestPki,
    protocols: Protocols,
    answer: F,
) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = pki
        .server(Profile::Intermediate, protocols, &["app.localhost"])
        .config();
    let inner = tasks.clone();
    tasks.spawn("test-server", async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (config, answer, executor) = (Arc::clone(&config), answer.clone(), inner.clone());
            inner.spawn("test-connection", async move {
                let Ok(stream) = TlsAcceptor::from(config).accept(socket).await else {
                    return;
                };
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(stream);
                if h2 {
                    let builder = hyper::server::conn::http2::Builder::new(executor);
                    builder.serve_connection(io, service).await.ok();
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    builder.serve_connection(io, service).await.ok();
                }
            });
        }
    });
    address
}

/// A group of the one server at `address`, which must prove to be `app.localhost`.
pub(crate) fn secure_group(pki: &TestPki, address: SocketAddr, protocols: Protocols) -> Arc<Group> {
    let name = Host::parse("app.localhost").unwrap();
    let root = pki.root_file();
    let tls = UpstreamTls::new(Trust::File(&root), Some(&name), protocols).unwrap();
    let host = Host::parse("127.0.0.1").unwrap();
    let server_name = tls.name_for(&host).unwrap();
    let target = Target::new(
        "https://app.localhost",
        Endpoint::Tcp {
            host,
            port: address.port(),
        },
        HeaderValue::from_static("app.localhost"),
        Some((tls, server_name)),
        1,
    );
    let mut group = group(vec![target]);
    group.protocols = protocols;
    Arc::new(group)
}

/// A WebSocket handshake for the first target of `group`.
pub(crate) fn upgrade(
    group: &Arc<Group>,
    client: OnUpgrade,
    ended: CancellationToken,
) -> UpstreamRequest {
    let mut request = get(group);
    request.upgrade = Some(Upgrade {
        client,
        protocols: HeaderValue::from_static("websocket"),
        handshake: None,
        keep: None,
    });
    request.ended = Some(ended);
    request
}
