//! A connection after its handshake: hyper reads requests from it until it ends, idles, or the process drains.
//!
//! An HTTP/1.1 connection without a request keeps its TLS state and nothing else: hyper, whose buffers are larger than
//! all the rest, exists from the first byte of a request until there has been none for a moment. It must never be taken
//! away while a byte of a request or an answer is under way.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{End, Rules};
use crate::base::Peer;
use crate::message::extended::Keep;
use crate::message::frames::Flood;
use crate::message::wire::HeadBounds;
use crate::server::activity::{Activity, Overdue, Patience, Tracked};
use crate::server::guard::Guarded;
use crate::server::leaving::Leaving;
use crate::server::loan::Home;
use crate::tasks::Tasks;

/// How long an idle connection that was told to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(5);
/// How soon an HTTP/1.1 connection without requests gives back what only a request needs.
const QUIET: Duration = Duration::from_millis(100);
/// What an HTTP/1.1 connection may hold of an answer that its client does not take, or of an upload.
const HELD: usize = 64 * 1024;
/// What one stream or connection may have under way unread (RFC 9113 section 5.2).
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// One connection and what it is served by.
pub(super) struct Session<'a> {
    pub(super) peer: Arc<Peer>,
    pub(super) activity: Arc<Activity>,
    pub(super) rules: &'a Rules,
    pub(super) tasks: &'a Tasks,
    /// Cancelled when the connection should end in order.
    pub(super) leaving: CancellationToken,
}

/// Why a connection is not waited for any longer.
enum Stop {
    Ended(Result<(), hyper::Error>),
    Draining,
    Overdue(Overdue),
}

impl Session<'_> {
    pub(super) async fn http1<T, S, F, B>(self, io: T, service: S) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (builder, service) = (self.http1_builder(), self.tracked(service));
        let mut overdue = pin!(self.overdue(Some(self.rules.header_timeout), Some(QUIET)));
        let mut leaving = pin!(Leaving::new(&self.leaving));
        let home = Home::new();
        let mut io = Box::new(self.guarded(io));
        loop {
            let woken = self
                .sleep(&mut io, overdue.as_mut(), leaving.as_mut())
                .await;
            let speaking = builder.serve_connection(TokioIo::new(home.lend(io)), service.clone());
            let mut speaking = Box::pin(speaking.with_upgrades());
            let stop = match woken {
                Some(stop) => Some(stop),
                None => {
                    self.watch(speaking.as_mut(), overdue.as_mut(), leaving.as_mut())
                        .await
                }
            };
            if let Some(stop) = stop {
                return self
                    .conclude(stop, speaking.as_mut(), |one| one.graceful_shutdown())
                    .await;
            }
            drop(speaking);
            let Some(back) = home.take() else {
                return End::Closed;
            };
            io = back;
        }
    }

    fn http1_builder(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // One more than the guard admits: refusals are the guard's, and carry our headers.
        let head = self.rules.header_bytes.saturating_add(1);
        builder
            .header_read_timeout(None)
            .max_header_size(head)
            .max_buf_size(HELD.max(head));
        // hyper's own default; naming it would cost an allocation per request.
        if self.rules.header_count != 100 {
            builder.max_headers(self.rules.header_count);
        }
        builder
    }

    fn guarded<T>(&self, io: T) -> Guarded<T> {
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
        Guarded::new(io, Arc::clone(&self.activity), bounds, transport_security)
    }

    pub(super) async fn http2<T, S, F, B>(self, io: T, service: S) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + 'static,
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
            .keep_alive_timeout(self.rules.h2_ping_timeout)
            .enable_connect_protocol();
        let speaking = builder.serve_connection(TokioIo::new(io), self.tracked(service));
        let mut speaking = Box::pin(speaking);
        let overdue = pin!(self.overdue(None, None));
        let leaving = pin!(Leaving::new(&self.leaving));
        match self.watch(speaking.as_mut(), overdue, leaving).await {
            Some(stop) => {
                self.conclude(stop, speaking.as_mut(), |one| one.graceful_shutdown())
                    .await
            }
            None => End::Closed,
        }
    }

    fn tracked<S, F, B>(
        &self,
        service: S,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Tracked<B>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<S, F, B>
    where
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Unpin + Send,
    {
        let (activity, peer) = (Arc::clone(&self.activity), Arc::clone(&self.peer));
        service_fn(move |mut request: Request<Incoming>| {
            let busy = activity.begin();
            if request.method() == Method::CONNECT {
                // The body that would tell the end is gone as soon as hyper has opened the stream.
                let keep = Keep::new(activity.begin());
                request.extensions_mut().insert(keep);
            }
            // In a box: hyper keeps room for it from the first request on, and tasks would hold room for it several
            // times over.
            let answer = Box::pin(service(request, Arc::clone(&peer)));
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

    fn overdue(
        &self,
        head: Option<Duration>,
        quiet: Option<Duration>,
    ) -> impl Future<Output = Overdue> {
        self.activity.overdue(Patience {
            head,
            quiet,
            idle: self.rules.idle_timeout,
            send: self.rules.send_timeout,
        })
    }

    /// Waits without hyper until there is something to read: `None`.
    async fn sleep<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: &mut Guarded<T>,
        overdue: Pin<&mut impl Future<Output = Overdue>>,
        leaving: Pin<&mut Leaving<'_>>,
    ) -> Option<Stop> {
        io.release();
        let woken = tokio::select! {
            biased;
            () = poll_fn(|cx| io.poll_wake(cx)) => None,
            () = leaving => Some(Stop::Draining),
            overdue = overdue => Some(Stop::Overdue(overdue)),
        };
        self.activity.wake();
        woken
    }

    /// Runs the connection until it rests: `None`.
    async fn watch<C>(
        &self,
        mut connection: Pin<&mut C>,
        overdue: Pin<&mut impl Future<Output = Overdue>>,
        leaving: Pin<&mut Leaving<'_>>,
    ) -> Option<Stop>
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let rest = poll_fn(|_| {
            if self.activity.rests() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            // The clock first and rest last: only then has hyper done all it could when it is taken away.
            biased;
            overdue = overdue => Some(Stop::Overdue(overdue)),
            outcome = connection.as_mut() => Some(Stop::Ended(outcome)),
            () = leaving => Some(Stop::Draining),
            () = rest => None,
        }
    }

    /// Tells the connection to end and waits for it, if that is due.
    async fn conclude<C>(
        &self,
        stop: Stop,
        mut connection: Pin<&mut C>,
        graceful_shutdown: impl FnOnce(Pin<&mut C>),
    ) -> End
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let idle = match stop {
            Stop::Ended(outcome) => return self.end(outcome),
            Stop::Overdue(Overdue::Head) => {
                let peer = || Arc::clone(&self.peer);
                return self.refused().unwrap_or_else(|| End::HeaderTimeout(peer()));
            }
            Stop::Overdue(Overdue::Send) => return End::SendTimeout(Arc::clone(&self.peer)),
            Stop::Overdue(Overdue::Idle) => true,
            Stop::Draining => false,
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
        if let Some(flood) = self.activity.flooded() {
            return End::Flooded(peer(), flood);
        }
        match outcome {
            Ok(()) => End::Closed,
            Err(error) if is_flood(&error) => End::Flooded(peer(), Flood::Library),
            Err(error) if error.is_timeout() => End::Unresponsive,
            Err(error) if error.is_parse_too_large() => End::HeadTooLarge(peer()),
            Err(error) if error.is_parse() => End::Malformed(peer()),
            Err(error) => End::Broken(error),
        }
    }
}

/// Whether the HTTP/2 library ended the connection because a bound of its own was overstepped.
fn is_flood(error: &hyper::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| {
            error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
        })
}
