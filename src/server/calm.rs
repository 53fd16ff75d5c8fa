//! Stands between an HTTP/2 connection and hyper, and ends it when its frames become a flood.
//!
//! Bytes pass unchanged in both directions. A flood is answered with GOAWAY where no frame of ours is under way, and
//! only if that can be sent at once: nobody waits for an offender.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use crate::message::frames::{Frames, Tally, Walk};

/// A connection whose frames are counted.
#[derive(Debug)]
pub(super) struct Calm<T> {
    inner: T,
    activity: Arc<Activity>,
    frames: Frames,
    /// Where our own frames begin and end.
    sent: Walk,
    /// Bytes of them.
    answered: u64,
}

impl<T> Calm<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>, budgets: Tally) -> Self {
        Self {
            inner,
            activity,
            frames: Frames::new(budgets, Instant::now()),
            sent: Walk::default(),
            answered: 0,
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        self.sent.pass(bytes);
        self.answered = self.answered.saturating_add(bytes.len() as u64);
    }
}

impl<T: AsyncWrite + Unpin> Calm<T> {
    /// Best effort: the connection ends either way.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if !self.sent.is_between_frames() {
            return;
        }
        let farewell = self.frames.farewell();
        let written = Pin::new(&mut self.inner).poll_write(cx, &farewell);
        if written.is_ready() && Pin::new(&mut self.inner).poll_flush(cx).is_pending() {
            tracing::debug!("a flood was ended without a word");
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Calm<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.activity.flooded().is_some() {
            return Poll::Ready(Err(flooded()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let Err(flood) = this.frames.read(new, this.answered, Instant::now) else {
            return Poll::Ready(Ok(()));
        };
        buffer.set_filled(before);
        this.activity.flood(flood);
        this.say_goodbye(cx);
        Poll::Ready(Err(flooded()))
    }
}

fn flooded() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "too many frames")
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Calm<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.wrote(bytes.get(..count).unwrap_or(bytes));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, slices))?;
        let mut left = count;
        for slice in slices {
            let now = slice.get(..left).unwrap_or(slice);
            this.wrote(now);
            left -= now.len();
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
