//! One client connection: TLS handshake, then HTTP/1.1 or HTTP/2 as ALPN settled, until it ends or the process drains.
//!
//! Everything that a client can make wait has a limit here. Requests are handed on as hyper parsed them; nothing is
//! decided about them. What hyper answers by itself, because it could not parse, is told to the caller for the record.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::Acceptor;
use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::accept::Accepted;
use super::activity::{Activity, Counted, Overdue, Patience, Tracked};
use super::guard::Guarded;
use crate::base::{Host, Peer, TlsFacts};
use crate::config::Limits;
use crate::message::AdmitError;
use crate::message::wire::HeadBounds;
use crate::tasks::Tasks;
use crate::tls;
use crate::tls::challenge;

/// How long an idle connection that was told to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(5);
/// TLS record: fatal alert `unrecognized_name` (RFC 6066 section 3), before any key exists.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// TLS record: fatal alert `no_application_protocol` (RFC 7301 section 3.2).
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
/// What one stream or connection may have under way unread (RFC 9113 section 5.2).
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bounds of a connection; the values come from `[server.limits]`.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) handshake_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) send_timeout: Duration,
    /// The start line included.
    pub(crate) header_bytes: usize,
    pub(crate) header_count: usize,
    pub(crate) target_bytes: usize,
    pub(crate) h2_max_streams: u32,
    pub(crate) h2_reset_budget: usize,
    pub(crate) h2_ping_interval: Duration,
    pub(crate) h2_ping_timeout: Duration,
    /// For refusals through TLS that are made here.
    pub(crate) transport_security: HeaderValue,
}

impl Rules {
    pub(crate) fn new(limits: &Limits, transport_security: HeaderValue) -> Self {
        // The start line counts too.
        let head = limits.header_bytes.saturating_add(limits.target_bytes);
        Self {
            handshake_timeout: limits.handshake_timeout,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            send_timeout: limits.send_timeout,
            header_bytes: usize::try_from(head).unwrap_or(usize::MAX),
            header_count: limits.header_count,
            target_bytes: usize::try_from(limits.target_bytes).unwrap_or(usize::MAX),
            h2_max_streams: limits.h2_max_streams,
            h2_reset_budget: limits.h2_reset_budget,
            h2_ping_interval: limits.h2_ping_interval,
            h2_ping_timeout: limits.h2_ping_timeout,
            transport_security,
        }
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// In order, by either side.
    Closed,
    /// Nothing was asked for the idle time.
    Idle,
    /// The client asked for a name that no certificate covers, or for none.
    UnknownName,
    /// An authority saw that a name leads to us (RFC 8737); there is nothing more to such a connection.
    Proved(Host),
    /// A proof was asked for that nobody presents.
    NothingToProve,
    /// The TLS handshake failed.
    Handshake(std::io::Error),
    HandshakeTimeout,
    /// A request's head did not end in time; nobody but this record knows of the request.
    HeaderTimeout(Arc<Peer>),
    /// The client did not take the bytes of an answer in time.
    SendTimeout,
    /// A message was refused on the wire and answered; nobody but this record knows of it.
    Refused(Arc<Peer>, AdmitError),
    /// A request could not be parsed and was answered 400; nobody but this record knows of it.
    Malformed(Arc<Peer>),
    /// A request's head was too large and was answered 431; nobody but this record knows of it.
    HeadTooLarge(Arc<Peer>),
    /// The connection broke, or the client broke HTTP/2's rules.
    Broken(hyper::Error),
    /// The socket was gone before anything was read.
    Gone(std::io::Error),
}

/// Serves one connection; `service` answers each request and never fails.
///
/// `tls: None` is the plain listener, which speaks HTTP/1.1 only.
pub(crate) async fn serve<S, F, B>(
    accepted: Accepted,
    tls: Option<&tls::Server>,
    rules: &Rules,
    tasks: &Tasks,
    service: S,
) -> End
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Accepted {
        socket,
        address,
        pass,
    } = accepted;
    let local = match socket.local_addr() {
        Ok(local) => local,
        Err(error) => return End::Gone(error),
    };
    let activity = Arc::new(Activity::default());
    let peer = |tls| {
        Arc::new(Peer {
            address,
            local,
            tls,
        })
    };
    let Some(tls) = tls else {
        let io = Counted::new(socket, Arc::clone(&activity), pass);
        let session = Session {
            peer: peer(None),
            activity,
            rules,
            tasks,
        };
        return session.http1(io, service).await;
    };
    let shaking = tokio::time::timeout(rules.handshake_timeout, handshake(socket, tls));
    let (stream, facts) = match shaking.await {
        Ok(Ok(established)) => established,
        Ok(Err(end)) => return end,
        Err(_elapsed) => return End::HandshakeTimeout,
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Counted::new(stream, Arc::clone(&activity), pass);
    let session = Session {
        peer: peer(Some(facts)),
        activity,
        rules,
        tasks,
    };
    if h2 {
        session.http2(io, service).await
    } else {
        session.http1(io, service).await
    }
}

async fn handshake(
    socket: TcpStream,
    tls: &tls::Server,
) -> Result<(TlsStream<TcpStream>, TlsFacts), End> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(End::Handshake)?;
    if challenge::asks(&start.client_hello()) {
        return Err(prove(start, tls).await);
    }
    let name = start
        .client_hello()
        .server_name()
        .and_then(|name| Host::parse(name).ok())
        .filter(|name| tls.certificates().covers(name));
    let Some(server_name) = name else {
        alert(&mut start.io, &UNRECOGNIZED_NAME).await;
        return Err(End::UnknownName);
    };
    let stream = start
        .into_stream(tls.config())
        .await
        .map_err(End::Handshake)?;
    let connection = stream.get_ref().1;
    let facts = TlsFacts {
        server_name,
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("unknown", |suite| iana_name(suite.suite())),
    };
    Ok((stream, facts))
}

/// Best effort: the connection ends either way.
async fn alert(socket: &mut TcpStream, record: &[u8]) {
    if let Err(error) = socket.write_all(record).await {
        tracing::debug!(%error, "a connection was gone before the alert");
    }
}

/// Completes the handshake of TLS-ALPN-01 for a name that is being proved, and ends it (RFC 8737 section 3).
async fn prove(mut start: StartHandshake<TcpStream>, tls: &tls::Server) -> End {
    let hello = start.client_hello();
    let host = hello
        .server_name()
        .filter(|_| challenge::asks_alone(&hello))
        .and_then(|name| Host::parse(name).ok());
    let presented = host.and_then(|host| {
        let config = tls.challenges().tls(&host)?;
        Some((host, config))
    });
    let Some((host, config)) = presented else {
        alert(&mut start.io, &NO_APPLICATION_PROTOCOL).await;
        return End::NothingToProve;
    };
    match start.into_stream(config).await {
        Ok(mut stream) => {
            if let Err(error) = stream.shutdown().await {
                tracing::debug!(%error, "a validating authority was gone before the end");
            }
            End::Proved(host)
        }
        Err(error) => End::Handshake(error),
    }
}

/// rustls spells the three TLS 1.3 suites its own way.
fn iana_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

struct Session<'a> {
    peer: Arc<Peer>,
    activity: Arc<Activity>,
    rules: &'a Rules,
    tasks: &'a Tasks,
}

impl Session<'_> {
    async fn http1<T, S, F, B>(self, io: T, service: S) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            // One more than the guard admits: refusals are the guard's, and carry our headers.
            .max_header_size(self.rules.header_bytes.saturating_add(1));
        // hyper's own default; naming it would cost an allocation per request.
        if self.rules.header_count != 100 {
            builder.max_headers(self.rules.header_count);
        }
        let bounds = HeadBounds {
            bytes: self.rules.header_bytes,
            fields: self.rules.header_count,
            target: self.rules.target_bytes,
        };
        let transport_security = self
            .peer
            .tls
            .is_some()
            .then(|| self.rules.transport_security.clone());
        let io = Guarded::new(io, Arc::clone(&self.activity), bounds, transport_security);
        let connection = builder
            .serve_connection(TokioIo::new(io), self.tracked(service))
            .with_upgrades();
        let head = Some(self.rules.header_timeout);
        self.drive(connection, head, |one| one.graceful_shutdown())
            .await
    }

    async fn http2<T, S, F, B>(self, io: T, service: S) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut builder = http2::Builder::new(self.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.rules.h2_max_streams)
            .max_header_list_size(u32::try_from(self.rules.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(self.rules.h2_reset_budget)
            .max_local_error_reset_streams(self.rules.h2_reset_budget)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.rules.h2_ping_interval)
            .keep_alive_timeout(self.rules.h2_ping_timeout);
        let connection = builder.serve_connection(TokioIo::new(io), self.tracked(service));
        self.drive(connection, None, |one| one.graceful_shutdown())
            .await
    }

    fn tracked<S, F, B>(
        &self,
        service: S,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Tracked<B>>,
        Error = Infallible,
        Future: Send,
    > + use<S, F, B>
    where
        S: Fn(Request<Incoming>, Arc<Peer>) -> F,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Unpin + Send,
    {
        let (activity, peer) = (Arc::clone(&self.activity), Arc::clone(&self.peer));
        service_fn(move |request| {
            let busy = activity.begin();
            let answer = service(request, Arc::clone(&peer));
            let activity = Arc::clone(&activity);
            async move {
                let response = answer.await;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    activity.switch();
                }
                Ok(response.map(|body| Tracked::new(body, busy)))
            }
        })
    }

    /// Runs the connection to its end, or asks it to end when it idles or the process drains.
    async fn drive<C>(
        &self,
        connection: C,
        head: Option<Duration>,
        graceful_shutdown: impl FnOnce(Pin<&mut C>),
    ) -> End
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut connection = pin!(connection);
        let overdue = self.activity.overdue(Patience {
            head,
            idle: self.rules.idle_timeout,
            send: self.rules.send_timeout,
        });
        let idle = tokio::select! {
            outcome = connection.as_mut() => return self.end(outcome),
            () = self.tasks.draining().cancelled() => false,
            overdue = overdue => match overdue {
                Overdue::Head => return self.refused().unwrap_or_else(|| End::HeaderTimeout(Arc::clone(&self.peer))),
                Overdue::Send => return End::SendTimeout,
                Overdue::Idle => true,
            },
        };
        graceful_shutdown(connection.as_mut());
        if !idle {
            // How long requests under way may still take is the drain's business.
            return self.end(connection.await);
        }
        match tokio::time::timeout(FAREWELL, connection).await {
            Ok(Ok(())) | Err(_) => self.refused().unwrap_or(End::Idle),
            Ok(Err(error)) => self.end(Err(error)),
        }
    }

    fn refused(&self) -> Option<End> {
        let why = self.activity.refused()?;
        Some(End::Refused(Arc::clone(&self.peer), why))
    }

    fn end(&self, outcome: Result<(), hyper::Error>) -> End {
        if let Some(refused) = self.refused() {
            return refused;
        }
        let peer = || Arc::clone(&self.peer);
        match outcome {
            Ok(()) => End::Closed,
            Err(error) if error.is_parse_too_large() => End::HeadTooLarge(peer()),
            Err(error) if error.is_parse() => End::Malformed(peer()),
            Err(error) => End::Broken(error),
        }
    }
}

#[cfg(test)]
mod tests;
