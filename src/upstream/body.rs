//! The answer's body on its way to the client.
//!
//! It is passed piece by piece, never gathered. A body that ends early fails, so that the client's connection breaks
//! too and nobody takes a part for the whole. Its connection goes back to the pool only after a regular end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::group::{Group, Running};
use super::h1::{Connection, Exchange};
use super::meter::Uploading;
use super::pool::Pools;
use crate::base::Reason;
use crate::message::watch::WAKE;
use crate::message::{Body, BodyError};

/// The way back into the pool.
pub(super) struct Lease {
    pub(super) pools: Pools,
    pub(super) group: Arc<Group>,
    pub(super) running: Running,
    pub(super) upload: Uploading,
}

impl Lease {
    /// The answer ended in order, and with it its request; `connection` may carry another one.
    pub(super) fn settle(self, connection: Option<Connection>, now: Instant) {
        if let Some(connection) = connection {
            let place = (&*self.group, &**self.running.target());
            self.pools.put(place, connection, now);
        }
    }
}

/// Where the content comes from.
pub(super) enum Source {
    H1(Box<Exchange>),
    /// A stream of a connection that never left the pool.
    H2(Body),
    /// It broke, and the client's connection has yet to send what came before.
    Broken(BodyError),
    Ended,
}

/// The body of an answer.
pub(super) struct Download {
    source: Source,
    lease: Option<Lease>,
    /// When all of it must have arrived.
    deadline: Option<Instant>,
    /// Longest wait for the next piece.
    idle: Duration,
    /// Ends the body when the session behind the request is ended.
    ended: Option<CancellationToken>,
    wait: Option<Box<Wait>>,
}

struct Wait {
    /// Fires earlier than `until`, so that who watches the body gets to look (see [`WAKE`]).
    timer: Pin<Box<Sleep>>,
    until: Instant,
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// The timer counts from the last piece on.
    fresh: bool,
}

impl Download {
    pub(super) fn body(
        source: Source,
        lease: Lease,
        deadline: Option<Instant>,
        ended: Option<CancellationToken>,
    ) -> Body {
        Body::wrap(Self {
            source,
            idle: lease.group.timeouts.idle,
            lease: Some(lease),
            deadline,
            ended,
            wait: None,
        })
    }

    fn settle(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Ended);
        if let Some(lease) = self.lease.take() {
            let connection = match source {
                Source::H1(exchange) => exchange.into_rested(),
                Source::H2(_) | Source::Broken(_) | Source::Ended => None,
            };
            lease.settle(connection, Instant::now());
        }
    }

    /// The exchange did not end in order; `why` is what the upstream's bytes do not tell.
    fn give_up(&mut self, why: Option<Reason>) {
        self.source = Source::Ended;
        // The upload ends with the lease.
        let lease = self.lease.take();
        if let (Some(lease), Some(why)) = (&lease, why) {
            lease.upload.meter().blame(why);
        }
    }

    /// A server gives up a connection whose answer fails at once. What came before the fault is sent first, so that the
    /// client sees an answer that breaks off, and not none.
    fn break_off(&mut self, error: BodyError, cx: &Context<'_>) -> Polled {
        if self.lease.is_none() {
            return Poll::Ready(Some(Err(error)));
        }
        self.give_up(None);
        self.source = Source::Broken(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Polled {
        match &mut self.source {
            Source::H1(exchange) => exchange.poll_frame(cx),
            Source::H2(body) => Pin::new(body).poll_frame(cx),
            Source::Broken(_) => match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Broken(error) => Poll::Ready(Some(Err(error))),
                _ => Poll::Ready(None),
            },
            Source::Ended => Poll::Ready(None),
        }
    }

    fn has_ended(&self) -> bool {
        match &self.source {
            Source::H1(exchange) => exchange.is_ended(),
            Source::H2(body) => body.is_end_stream(),
            Source::Broken(_) => false,
            Source::Ended => true,
        }
    }

    /// Polled only while no piece is there: a body that keeps flowing pays for no timer.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<(BodyError, Reason)> {
        let until = || {
            let idle = Instant::now() + self.idle;
            self.deadline.map_or(idle, |deadline| deadline.min(idle))
        };
        let wait = self.wait.get_or_insert_with(|| {
            let until = until();
            Box::new(Wait {
                timer: Box::pin(sleep_until(until.min(Instant::now() + WAKE))),
                until,
                ended: self
                    .ended
                    .clone()
                    .map(|token| Box::pin(token.cancelled_owned())),
                fresh: true,
            })
        });
        if !wait.fresh {
            wait.until = until();
            let waking = wait.until.min(Instant::now() + WAKE);
            wait.timer.as_mut().reset(waking);
            wait.fresh = true;
        }
        if let Some(ended) = &mut wait.ended
            && ended.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready((BodyError::Cancelled, Reason::SessionEnded));
        }
        loop {
            ready!(wait.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= wait.until {
                let stalled = BodyError::Stalled { waited: self.idle };
                return Poll::Ready((stalled, Reason::UpstreamTimeout));
            }
            wait.timer.as_mut().reset(wait.until.min(now + WAKE));
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        if this
            .ended
            .as_ref()
            .is_some_and(CancellationToken::is_cancelled)
        {
            this.give_up(Some(Reason::SessionEnded));
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        let Poll::Ready(polled) = this.poll_source(cx) else {
            let (error, why) = ready!(this.poll_wait(cx));
            this.give_up(Some(why));
            return Poll::Ready(Some(Err(error)));
        };
        if let Some(wait) = &mut this.wait {
            wait.fresh = false;
        }
        match polled {
            Some(Ok(frame)) => {
                if let (Some(lease), Some(data)) = (&this.lease, frame.data_ref()) {
                    lease.upload.meter().add_down(data.len() as u64);
                }
                if this.has_ended() {
                    this.settle();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => this.break_off(error, cx),
            None => {
                this.settle();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.source {
            Source::H1(exchange) => exchange.left(),
            Source::H2(body) => return body.size_hint(),
            Source::Broken(_) => None,
            Source::Ended => Some(0),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.give_up(None);
    }
}
