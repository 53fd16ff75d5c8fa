//! What a connection is doing, so that one that does nothing, or too slowly, can be closed.
//!
//! One timer per connection looks at counters a few times per limit; requests pay two atomic additions and no timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accept::Pass;

/// Counters of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    running: AtomicUsize,
    served: AtomicU64,
    read: AtomicU64,
    /// `read` when the last request ended: more than that is the beginning of the next.
    read_at_rest: AtomicU64,
}

/// What a connection has overstepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request's head has begun and does not end.
    Head,
    /// There was no request for the idle time.
    Idle,
}

impl Activity {
    /// Marks a request as running until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Not even the first byte of a request has come.
    fn is_untouched(&self) -> bool {
        self.served.load(Ordering::Relaxed) == 0 && self.read.load(Ordering::Relaxed) == 0
    }

    fn head_has_begun(&self) -> bool {
        let rest = self.read_at_rest.load(Ordering::Relaxed);
        self.served.load(Ordering::Relaxed) == 0 || self.read.load(Ordering::Relaxed) > rest
    }

    /// Ends when a limit is overstepped, by less than half of it. `head: None` leaves the first limit to others.
    pub(super) async fn overdue(&self, head: Option<Duration>, idle: Duration) -> Overdue {
        let tick = head.unwrap_or(idle).min(idle) / 2;
        let (mut waiting, mut reading) = (Duration::ZERO, Duration::ZERO);
        let mut before = self.served.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(tick).await;
            let served = self.served.load(Ordering::Relaxed);
            if self.running.load(Ordering::Relaxed) > 0 || served != before {
                (waiting, reading) = (Duration::ZERO, Duration::ZERO);
                before = served;
                continue;
            }
            waiting += tick;
            reading = match head {
                Some(_) if self.head_has_begun() => reading + tick,
                _ => Duration::ZERO,
            };
            if head.is_some_and(|limit| reading >= limit) {
                // Browsers open connections ahead of need; one that is not used is no request to be recorded.
                return if self.is_untouched() {
                    Overdue::Idle
                } else {
                    Overdue::Head
                };
            }
            if waiting >= idle {
                return Overdue::Idle;
            }
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let read = self.0.read.load(Ordering::Relaxed);
        self.0.read_at_rest.store(read, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body; its request is under way until the body was sent or dropped.
#[derive(Debug)]
pub(crate) struct Tracked<B> {
    body: B,
    _busy: Busy,
}

impl<B> Tracked<B> {
    pub(super) const fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that counts what it reads, and keeps its place among the open connections, also after an upgrade.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    activity: Arc<Activity>,
    _pass: Pass,
}

impl<T> Counted<T> {
    pub(super) const fn new(inner: T, activity: Arc<Activity>, pass: Pass) -> Self {
        Self {
            inner,
            activity,
            _pass: pass,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        self.activity.read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
