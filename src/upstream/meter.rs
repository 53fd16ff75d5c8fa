//! What one exchange carried in each direction, readable while it runs and after it ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::base::Reason;
use crate::message::{Body, BodyError};

/// Counters of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    up: AtomicU64,
    down: AtomicU64,
    uploaded: AtomicBool,
    /// The answer is over, so nothing more of the request is carried.
    over: AtomicBool,
    /// Who waits for more of the request.
    uploading: AtomicWaker,
    fault: OnceLock<Reason>,
}

impl Meter {
    /// Bytes of content taken from the client.
    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes of content taken from the upstream.
    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// The whole request has been taken from the client.
    fn is_uploaded(&self) -> bool {
        self.uploaded.load(Ordering::Acquire)
    }

    fn set_uploaded(&self) {
        self.uploaded.store(true, Ordering::Release);
    }

    /// Ends the upload with the answer: what is written down and watched ends there.
    pub(super) fn end(&self) {
        if !self.is_uploaded() {
            self.over.store(true, Ordering::Release);
            self.uploading.wake();
        }
    }

    pub(super) fn add_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Why a body ended early; the first fault counts.
    pub(super) fn blame(&self, reason: Reason) {
        self.fault.get_or_init(|| reason);
    }

    /// Why the request's or the answer's body ended early, when it is known.
    pub(crate) fn fault(&self) -> Option<Reason> {
        self.fault.get().copied()
    }
}

/// An upload that ends with this, however the exchange came to its end: nothing of a request is carried any further than
/// its answer is.
#[derive(Debug)]
pub(super) struct Uploading {
    meter: Arc<Meter>,
    goes_on: bool,
}

impl Uploading {
    pub(super) fn new(meter: &Arc<Meter>) -> Self {
        Self {
            meter: Arc::clone(meter),
            goes_on: false,
        }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The exchange becomes a stream, which ends in its own way.
    pub(super) fn go_on(mut self) -> Arc<Meter> {
        self.goes_on = true;
        Arc::clone(&self.meter)
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if !self.goes_on {
            self.meter.end();
        }
    }
}

/// The request's body on its way to the upstream.
pub(super) struct Upload {
    body: Body,
    meter: Arc<Meter>,
}

impl Upload {
    /// Counts `body` in `meter`; an empty body is handed on as it is.
    pub(super) fn wrap(body: Body, meter: &Arc<Meter>) -> Body {
        if body.is_end_stream() {
            meter.set_uploaded();
            return Body::Empty;
        }
        Body::wrap(Self {
            body,
            meter: Arc::clone(meter),
        })
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.meter.uploading.register(cx.waker());
        if this.meter.over.load(Ordering::Acquire) {
            this.body = Body::Empty;
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.meter.add_up(frame.data_ref().map_or(0, Bytes::len));
                if this.body.is_end_stream() {
                    this.meter.set_uploaded();
                }
            }
            Some(Err(error)) => {
                // Only the first fault counts; a second one cannot come from the same body.
                this.meter.blame(reason_of(error));
            }
            None => this.meter.set_uploaded(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) fn reason_of(error: &BodyError) -> Reason {
    match error {
        BodyError::Connection(_) if error.is_malformed() => Reason::MalformedRequest,
        BodyError::TooLarge { .. } => Reason::BodyTooLarge,
        BodyError::Stalled { .. } => Reason::RequestTimeout,
        BodyError::LengthDiffers => Reason::MalformedRequest,
        BodyError::Cancelled => Reason::SessionEnded,
        BodyError::Connection(_) => Reason::ClientClosed,
    }
}
