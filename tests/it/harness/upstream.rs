//! An upstream that records what reaches it and answers by path.
//!
//! `/echo` returns the request's body, `/stream-echo` piece by piece, `/stream/N` sends N chunks one by one, `/gated`
//! sends `first` and, after [`Upstream::release`], `last`, `/sized/N` sends N bytes of declared length, `/flood` never
//! ends, `/trailers` ends with trailers, `/hostile` sets every header that an upstream must not set, `/status/N` answers
//! N, `/slow` waits until the client gives up, `/self/PATH` redirects to `/PATH` at the name it was called by and sets cookies
//! of its own idea; every other path answers `upstream NAME PATH`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::ca::Authority;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    /// What arrived of it, in full or not at all.
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What all connections of an upstream share.
#[derive(Debug, Clone)]
struct Book {
    name: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    gate: Arc<Semaphore>,
    connections: Arc<Mutex<usize>>,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    /// Where it listens; nothing is there for one on a Unix socket.
    pub(crate) address: SocketAddr,
    url: String,
    book: Book,
    serving: JoinHandle<()>,
}

impl Upstream {
    /// HTTP/1.1 in clear on loopback.
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Book::new(name);
        let record = book.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, false, record.clone()));
            }
        });
        let url = format!("http://{address}");
        Self {
            address,
            url,
            book,
            serving,
        }
    }

    /// HTTPS for `localhost` with a certificate of `authority`, speaking the first common one of `protocols`.
    pub(crate) async fn start_tls(
        name: &'static str,
        authority: &Authority,
        protocols: &[&[u8]],
    ) -> Self {
        Self::start_tls_after(b"", name, authority, protocols).await
    }

    /// The same, after these bytes in clear.
    pub(crate) async fn start_tls_after(
        plain: &'static [u8],
        name: &'static str,
        authority: &Authority,
        protocols: &[&[u8]],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(authority.server("localhost", protocols)));
        let book = Book::new(name);
        let record = book.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, record) = (acceptor.clone(), record.clone());
                tokio::spawn(async move {
                    stream.write_all(plain).await.unwrap();
                    // A refused certificate is the point of a test.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(stream, h2, record).await;
                });
            }
        });
        let url = format!("https://localhost:{}", address.port());
        Self {
            address,
            url,
            book,
            serving,
        }
    }

    /// HTTP/1.1 on a Unix socket.
    pub(crate) fn start_unix(name: &'static str, path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let book = Book::new(name);
        let record = book.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, false, record.clone()));
            }
        });
        let url = format!("unix:{}", path.display());
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            url,
            book,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Lets one `/gated` answer end.
    pub(crate) fn release(&self) {
        self.book.gate.add_permits(1);
    }

    /// How many connections were opened (with TLS: whose handshake succeeded).
    pub(crate) fn connections(&self) -> usize {
        *self.book.connections.lock()
    }

    /// How many requests have arrived.
    pub(crate) fn hits(&self) -> usize {
        self.book.seen.lock().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.book.seen.lock().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.book
            .seen
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

impl Book {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            seen: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            connections: Arc::default(),
        }
    }
}

async fn serve<T>(stream: T, h2: bool, book: Book)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    *book.connections.lock() += 1;
    let service = service_fn(move |request| answer(request, book.clone()));
    // A client that goes away in the middle is part of several tests.
    if h2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await,
        );
    } else {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        drop(connection.await);
    }
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

async fn answer(mut request: Request<Incoming>, book: Book) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut entry = Seen {
        method: request.method().clone(),
        target: request
            .uri()
            .path_and_query()
            .map_or_else(|| request.uri().to_string(), ToString::to_string),
        headers: request.headers().clone(),
        trailers: None,
        body: Bytes::new(),
    };
    if request.headers().contains_key(http::header::UPGRADE) {
        book.seen.lock().push(entry);
        return Ok(upgraded(&mut request));
    }
    if path == "/stream-echo" {
        book.seen.lock().push(entry);
        return Ok(Response::new(echo(request.into_body())));
    }
    if let Ok(collected) = request.into_body().collect().await {
        entry.trailers = collected.trailers().cloned();
        entry.body = collected.to_bytes();
    }
    if let Some(target) = path.strip_prefix("/self") {
        let host = entry.header("host").unwrap_or_default().to_owned();
        book.seen.lock().push(entry);
        return Ok(to_itself(&host, target));
    }
    let body = entry.body.clone();
    book.seen.lock().push(entry);
    Ok(reply(&book, &path, body).await)
}

/// What an app does that knows no other address than the one it was called by.
fn to_itself(host: &str, target: &str) -> Response<Body> {
    let name = host.split(':').next().unwrap_or_default();
    Response::builder()
        .status(StatusCode::FOUND)
        .header("location", format!("http://{host}{target}"))
        .header("refresh", format!("0; url=http://{host}{target}"))
        .header("content-location", "https://elsewhere.example/kept")
        .header("set-cookie", format!("sid=1; Domain={name}; Path=/"))
        .header("set-cookie", "wide=1; Domain=.test; SameSite=None")
        .body(full(""))
        .unwrap()
}

/// Sends back every piece as it arrives.
fn echo(body: Incoming) -> Body {
    let frames = futures_util::stream::unfold(body, async |mut body| {
        let frame = body.frame().await?.ok()?;
        Some((Ok(frame), body))
    });
    StreamBody::new(frames).boxed_unsync()
}

async fn reply(book: &Book, path: &str, body: Bytes) -> Response<Body> {
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
        [.., "gated"] => Response::new(gated(Arc::clone(&book.gate))),
        [.., "flood"] => {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            let frames = futures_util::stream::repeat_with(move || Ok(Frame::data(piece.clone())));
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
        [.., "sized", count] => Response::new(full(vec![b'x'; count.parse().unwrap_or(1)])),
        [.., "hostile"] => hostile(),
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
            .body(full(format!("upstream {} {path}", book.name)))
            .unwrap(),
    }
}

/// `first`, then `last` when the test says so.
fn gated(gate: Arc<Semaphore>) -> Body {
    let frames = futures_util::stream::unfold(0, move |step| {
        let gate = Arc::clone(&gate);
        async move {
            let text = match step {
                0 => "first",
                1 => {
                    gate.acquire().await.unwrap().forget();
                    "last"
                }
                _ => return None,
            };
            Some((
                Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
                step + 1,
            ))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// What an upstream must not say to a browser in our name.
fn hostile() -> Response<Body> {
    let mut response = Response::builder();
    for (name, value) in [
        ("server", "SecretServer/1.0"),
        ("x-powered-by", "Secret/2.0"),
        ("strict-transport-security", "max-age=0"),
        ("set-cookie", "__Host-portcullis=stolen; Path=/; Secure"),
        ("set-cookie", "__host-PORTCULLIS-csrf=stolen; Path=/"),
        ("set-cookie", "=__Host-portcullis=stolen; Path=/; Secure"),
        ("set-cookie", "app=1; Path=/; HttpOnly"),
        ("x-portcullis-user", "root"),
        ("clear-site-data", "\"*\""),
        ("alt-svc", "h3=\":8443\""),
        ("connection", "keep-alive, x-inner"),
        ("keep-alive", "timeout=5"),
        ("x-inner", "1"),
        ("etag", "\"kept\""),
        ("allow", "GET, PATCH"),
    ] {
        response = response.header(name, value);
    }
    response.body(full("hostile")).unwrap()
}

/// RFC 6455 section 4.2.2.
fn proof(key: &HeaderValue) -> String {
    let text = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    data_encoding::BASE64.encode(aws_lc_rs::digest::digest(sha1, &text).as_ref())
}

/// Answers 101 and echoes bytes from then on.
fn upgraded(request: &mut Request<Incoming>) -> Response<Body> {
    let protocol = request.headers()[http::header::UPGRADE].clone();
    let asked = request.headers().clone();
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
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(http::header::CONNECTION, "upgrade")
        .header(http::header::UPGRADE, protocol);
    if let Some(key) = asked.get(http::header::SEC_WEBSOCKET_KEY) {
        answer = answer.header(http::header::SEC_WEBSOCKET_ACCEPT, proof(key));
    }
    if let Some(protocols) = asked.get(http::header::SEC_WEBSOCKET_PROTOCOL) {
        answer = answer.header(http::header::SEC_WEBSOCKET_PROTOCOL, protocols);
    }
    answer.body(full("")).unwrap()
}
