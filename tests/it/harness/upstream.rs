//! An upstream that records what reaches it and answers by path.
//!
//! `/echo` returns the request's body, `/stream/N` sends N chunks one by one, `/trailers` ends with trailers,
//! `/status/N` answers N, `/slow` waits until the client gives up; every other path answers `upstream NAME PATH`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    serving: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                let service = service_fn(move |request| answer(name, request, Arc::clone(&record)));
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    // A client that goes away in the middle is part of several tests.
                    drop(connection.await);
                });
            }
        });
        Self {
            address,
            seen,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have arrived.
    pub(crate) fn hits(&self) -> usize {
        self.seen.lock().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen
            .lock()
            .last()
            .expect("no request reached the upstream")
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

async fn answer(
    name: &'static str,
    mut request: Request<Incoming>,
    record: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut entry = Seen {
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
        body: Bytes::new(),
    };
    if request.headers().contains_key(http::header::UPGRADE) {
        record.lock().push(entry);
        return Ok(upgraded(&mut request));
    }
    if path == "/stream-echo" {
        record.lock().push(entry);
        return Ok(Response::new(echo(request.into_body())));
    }
    let collected = request.into_body().collect().await;
    entry.body = collected.map(|body| body.to_bytes()).unwrap_or_default();
    let body = entry.body.clone();
    record.lock().push(entry);
    Ok(reply(name, &path, body).await)
}

/// Sends back every piece as it arrives.
fn echo(body: Incoming) -> Body {
    let frames = futures_util::stream::unfold(body, async |mut body| {
        let frame = body.frame().await?.ok()?;
        Some((Ok(frame), body))
    });
    StreamBody::new(frames).boxed_unsync()
}

async fn reply(name: &str, path: &str, body: Bytes) -> Response<Body> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [.., "echo"] => Response::new(full(body)),
        [.., "slow"] => std::future::pending().await,
        [.., "status", code] => {
            let status = StatusCode::from_bytes(code.as_bytes()).unwrap_or(StatusCode::IM_A_TEAPOT);
            Response::builder()
                .status(status)
                .body(full(format!("status {code}")))
                .unwrap()
        }
        [.., "stream", count] => {
            let count: usize = count.parse().unwrap_or(1);
            let frames =
                (0..count).map(|number| Ok(Frame::data(Bytes::from(format!("chunk {number}\n")))));
            Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
        }
        [.., "trailers"] => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", HeaderValue::from_static("abc"));
            let frames = [
                Ok(Frame::data(Bytes::from_static(b"body"))),
                Ok(Frame::trailers(trailers)),
            ];
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
            Response::builder()
                .header("trailer", "x-checksum")
                .body(body)
                .unwrap()
        }
        _ => Response::builder()
            .header("server", "SecretServer/1.0")
            .header("set-cookie", "app=1; Path=/")
            .body(full(format!("upstream {name} {path}")))
            .unwrap(),
    }
}

/// Answers 101 and echoes bytes from then on.
fn upgraded(request: &mut Request<Incoming>) -> Response<Body> {
    let protocol = request.headers()[http::header::UPGRADE].clone();
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = [0_u8; 4096];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(http::header::CONNECTION, "upgrade")
        .header(http::header::UPGRADE, protocol)
        .body(full(""))
        .unwrap()
}
