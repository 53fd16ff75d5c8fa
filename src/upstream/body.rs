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
use super::meter::Meter;
use super::pool::{H1, Pools};
use crate::base::Reason;
use crate::message::watch::WAKE;
use crate::message::{Body, BodyError};

/// The way back into the pool.
pub(super) struct Lease {
    pub(super) pools: Pools,
    pub(super) group: Arc<Group>,
    /// `None` for HTTP/2, whose connection never left.
    pub(super) line: Option<H1>,
    pub(super) running: Running,
    pub(super) meter: Arc<Meter>,
    /// Longest wait for the next piece.
    pub(super) idle: Duration,
}

impl Lease {
    /// The exchange ended in order.
    pub(super) fn settle(self) {
        // An answer before the end of the request leaves the rest of it on the line.
        if let Some(line) = self.line
            && self.meter.is_uploaded()
        {
            self.pools.put(&self.group, self.running.target(), line);
        }
    }
}

/// The body of an answer.
pub(super) struct Download {
    body: Body,
    lease: Option<Lease>,
    /// When all of it must have arrived.
    deadline: Option<Instant>,
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
    pub(super) fn new(
        body: Body,
        lease: Lease,
        deadline: Option<Instant>,
        ended: Option<CancellationToken>,
    ) -> Self {
        Self {
            body,
            idle: lease.idle,
            lease: Some(lease),
            deadline,
            ended,
            wait: None,
        }
    }

    fn settle(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.settle();
        }
    }

    /// The exchange ended for a reason that the upstream's bytes do not tell.
    fn give_up(&mut self, why: &BodyError) {
        if let Some(lease) = self.lease.take() {
            lease.meter.blame(match why {
                BodyError::Cancelled => Reason::SessionEnded,
                BodyError::Stalled { .. } => Reason::UpstreamTimeout,
                BodyError::TooLarge { .. }
                | BodyError::LengthDiffers
                | BodyError::Connection(_) => Reason::UpstreamProtocol,
            });
        }
    }

    /// Polled only while no piece is there: a body that keeps flowing pays for no timer.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
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
            return Poll::Ready(BodyError::Cancelled);
        }
        loop {
            ready!(wait.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= wait.until {
                return Poll::Ready(BodyError::Stalled { waited: self.idle });
            }
            wait.timer.as_mut().reset(wait.until.min(now + WAKE));
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this
            .ended
            .as_ref()
            .is_some_and(CancellationToken::is_cancelled)
        {
            this.give_up(&BodyError::Cancelled);
            this.body = Body::Empty;
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        let Poll::Ready(polled) = Pin::new(&mut this.body).poll_frame(cx) else {
            let error = ready!(this.poll_wait(cx));
            this.give_up(&error);
            return Poll::Ready(Some(Err(error)));
        };
        if let Some(wait) = &mut this.wait {
            wait.fresh = false;
        }
        match &polled {
            Some(Ok(frame)) => {
                if let (Some(lease), Some(data)) = (&this.lease, frame.data_ref()) {
                    lease.meter.add_down(data.len());
                }
                if this.body.is_end_stream() {
                    this.settle();
                }
            }
            Some(Err(_)) => this.lease = None,
            None => this.settle(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
