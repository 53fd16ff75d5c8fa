//! Stands between an upstream's HTTP/1.1 connection and hyper: bytes pass while they are in order, and not one longer.
//!
//! A fault ends the connection. What was wrong is kept for whoever waits for the answer, and a connection with a fault
//! never returns to the pool.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::wire::answers::{Answers, Asked};

const HEAD: u8 = 1;
const SWITCH: u8 = 2;
const LEAVING: u8 = 4;

/// What both ends of a connection know: who sends requests on it, and who reads its bytes.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The request that is about to leave, until its first byte does.
    asked: AtomicU8,
    flaw: OnceLock<&'static str>,
}

impl Exchange {
    /// A request is about to be written. Bytes that came before its first one are no answer to it.
    pub(super) fn ask(&self, asked: Asked) {
        let head = if asked.head { HEAD } else { 0 };
        let switch = if asked.switch { SWITCH } else { 0 };
        self.asked.store(LEAVING | head | switch, Ordering::Release);
    }

    /// What was wrong with the upstream's bytes.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        self.flaw.get().copied()
    }

    fn leaving(&self) -> Option<Asked> {
        if self.asked.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let bits = self.asked.swap(0, Ordering::AcqRel);
        (bits != 0).then_some(Asked {
            head: bits & HEAD != 0,
            switch: bits & SWITCH != 0,
        })
    }
}

/// A connection whose bytes are followed.
#[derive(Debug)]
pub(super) struct Followed<T> {
    inner: T,
    answers: Answers,
    exchange: Arc<Exchange>,
}

impl<T> Followed<T> {
    /// `answers` has seen nothing of the connection yet.
    pub(super) fn new(inner: T, answers: Answers) -> (Self, Arc<Exchange>) {
        let exchange = Arc::new(Exchange::default());
        let this = Self {
            inner,
            answers,
            exchange: Arc::clone(&exchange),
        };
        (this, exchange)
    }

    fn writing(&mut self) {
        if let Some(asked) = self.exchange.leaving() {
            self.answers.expect(asked);
        }
    }
}

fn flawed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Followed<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(flaw) = this.exchange.flaw() {
            return Poll::Ready(Err(flawed(flaw)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let Err(offence) = this.answers.read(new) else {
            return Poll::Ready(Ok(()));
        };
        let flaw = *this.exchange.flaw.get_or_init(|| offence.why);
        buffer.set_filled(before + offence.fine);
        Poll::Ready(if offence.fine > 0 {
            Ok(())
        } else {
            Err(flawed(flaw))
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Followed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writing();
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
        self.writing();
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
