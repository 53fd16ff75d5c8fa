//! Upstreams that say exactly what a test wants, byte by byte. Nothing here is compiled into the program.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::group::{Balance, Group, Target};
use super::request::UpstreamRequest;
use crate::base::Host;
use crate::dial::Endpoint;
use crate::message::Body;
use crate::tasks::Tasks;

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
        drop(tasks.spawn("scripted", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let index = connections.fetch_add(1, Ordering::SeqCst);
                let steps = script[index.min(script.len() - 1)].clone();
                let heads = Arc::clone(&heads);
                drop(inner.spawn("scripted-connection", follow(stream, steps, heads)));
            }
        }));
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
    UpstreamRequest {
        group: Arc::clone(group),
        method: Method::GET,
        target: http::uri::PathAndQuery::from_static("/a?b=c"),
        host: Some(HeaderValue::from_static("app.example.com")),
        headers: HeaderMap::new(),
        body: Body::Empty,
        upgrade: None,
        ended: None,
    }
}
