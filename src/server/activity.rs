//! What a connection is doing, so that one that does nothing, or too slowly, can be closed.
//!
//! One timer per connection looks at counters a few times per limit; requests pay two atomic additions and no timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accept::Pass;
use crate::message::AdmitError;
use crate::message::frames::Flood;

/// Places of [`Activity::unsent`]: a stream that is still in the oldest one when its turn comes has waited too long.
const AGES: usize = 4;

/// Counters of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    running: AtomicUsize,
    served: AtomicU64,
    read: AtomicU64,
    /// `read` when the last request ended: more than that is the beginning of the next.
    read_at_rest: AtomicU64,
    /// All that was asked was answered and sent, and nothing more has come.
    at_rest: AtomicBool,
    /// There was no request for a while.
    quiet: AtomicBool,
    /// The connection speaks another protocol from here on.
    switched: AtomicBool,
    /// A message was refused on the wire, before hyper could read it.
    refused: OnceLock<AdmitError>,
    /// There were too many of some kind of frame.
    flooded: OnceLock<Flood>,
    /// Answers whose next piece waits for the client to take the one before, by when that began.
    unsent: [AtomicUsize; AGES],
    age: AtomicUsize,
}

/// What a connection has overstepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request's head has begun and does not end.
    Head,
    /// There was no request for the idle time.
    Idle,
    /// The client does not take the answer it asked for.
    Send,
}

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// `None` leaves this one to others.
    pub(super) head: Option<Duration>,
    /// How soon a connection without requests counts as quiet; `None`: never.
    pub(super) quiet: Option<Duration>,
    pub(super) idle: Duration,
    pub(super) send: Duration,
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

    pub(super) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    pub(super) fn has_switched(&self) -> bool {
        self.switched.load(Ordering::Relaxed)
    }

    pub(super) fn switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_at_rest(&self, at_rest: bool) {
        self.at_rest.store(at_rest, Ordering::Relaxed);
    }

    /// Something has come.
    pub(super) fn wake(&self) {
        self.at_rest.store(false, Ordering::Relaxed);
        self.quiet.store(false, Ordering::Relaxed);
    }

    /// Nothing is under way, and has not been for a while: what only a request needs may go.
    pub(super) fn rests(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
            && self.at_rest.load(Ordering::Relaxed)
            && !self.is_busy()
            && !self.has_switched()
    }

    /// How long nobody needs to look: a connection that is about to rest is looked at sooner, and one whose head does
    /// not end ever later.
    fn pause(&self, before: Duration, tick: Duration, quiet: Option<Duration>) -> Duration {
        match quiet {
            Some(_) if self.is_busy() || self.rests() => tick,
            Some(_) if self.head_has_begun() => tick.min(before * 2),
            Some(quiet) => tick.min(quiet),
            None => tick,
        }
    }

    pub(super) fn refuse(&self, why: AdmitError) {
        self.refused.get_or_init(|| why);
    }

    pub(super) fn refused(&self) -> Option<AdmitError> {
        self.refused.get().copied()
    }

    pub(super) fn flood(&self, flood: Flood) {
        self.flooded.get_or_init(|| flood);
    }

    pub(super) fn flooded(&self) -> Option<Flood> {
        self.flooded.get().copied()
    }

    fn unsent(&self, age: usize) -> Option<&AtomicUsize> {
        self.unsent.get(age % AGES)
    }

    /// Makes waiting answers older; `true` when one of them has waited through all ages.
    fn grow_older(&self) -> bool {
        let age = self.age.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.unsent(age)
            .is_some_and(|oldest| oldest.load(Ordering::Relaxed) > 0)
    }

    /// Ends when a limit is overstepped, by less than half of it.
    pub(super) async fn overdue(&self, patience: Patience) -> Overdue {
        let Patience {
            head,
            quiet,
            idle,
            send,
        } = patience;
        // An answer that waits through three full ages has waited for `send`.
        let age = send / 3;
        let tick = head.unwrap_or(idle).min(idle).min(age * 2) / 2;
        let (mut waiting, mut reading, mut sending) =
            (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut before = self.served.load(Ordering::Relaxed);
        let mut pause = quiet.unwrap_or(tick) / 2;
        loop {
            pause = self.pause(pause, tick, quiet);
            tokio::time::sleep(pause).await;
            sending += pause;
            if sending >= age {
                sending = Duration::ZERO;
                if self.grow_older() {
                    return Overdue::Send;
                }
            }
            let served = self.served.load(Ordering::Relaxed);
            if self.is_busy() || served != before {
                (waiting, reading) = (Duration::ZERO, Duration::ZERO);
                before = served;
                continue;
            }
            self.quiet.store(quiet.is_some(), Ordering::Relaxed);
            waiting += pause;
            reading = match head {
                Some(_) if self.head_has_begun() => reading + pause,
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
    busy: Busy,
    /// The age at which a piece was handed over and the next one not yet asked for.
    unsent: Option<usize>,
}

impl<B> Tracked<B> {
    pub(super) const fn new(body: B, busy: Busy) -> Self {
        Self {
            body,
            busy,
            unsent: None,
        }
    }

    /// The connection asks for a piece: the one before has been taken.
    fn asked(&mut self) {
        if let Some(place) = self.unsent.take().and_then(|age| self.busy.0.unsent(age)) {
            place.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn handed_over(&mut self) {
        let age = self.busy.0.age.load(Ordering::Relaxed);
        if let Some(place) = self.busy.0.unsent(age) {
            place.fetch_add(1, Ordering::Relaxed);
            self.unsent = Some(age);
        }
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.asked();
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.asked();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            self.handed_over();
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
