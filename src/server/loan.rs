//! Lends a connection's bytes to whoever speaks HTTP on it, and takes them back when that one is dropped.
//!
//! hyper gives its input and output back only at the end of a connection that was not upgraded. Between two requests it
//! holds more memory than everything else about the connection, so it is dropped there and made anew. Nothing here
//! decides when.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where the connection comes back to.
#[derive(Debug)]
pub(super) struct Home<T>(Arc<Mutex<Option<Box<T>>>>);

/// The connection while it is lent. Dropped, it is home again.
#[derive(Debug)]
pub(super) struct Lent<T> {
    io: Option<Box<T>>,
    home: Arc<Mutex<Option<Box<T>>>>,
}

impl<T> Home<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(super) fn lend(&self, io: Box<T>) -> Lent<T> {
        Lent {
            io: Some(io),
            home: Arc::clone(&self.0),
        }
    }

    /// `None` while it is still lent.
    pub(super) fn take(&self) -> Option<Box<T>> {
        self.0.lock().take()
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        *self.home.lock() = self.io.take();
    }
}

impl<T: Unpin> Lent<T> {
    /// It is here as long as `self` is not dropped.
    fn io(&mut self) -> io::Result<Pin<&mut T>> {
        match self.io.as_deref_mut() {
            Some(io) => Ok(Pin::new(io)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(|io| io.is_write_vectored())
    }
}

#[cfg(test)]
mod tests {
    use super::Home;

    #[test]
    fn what_was_lent_is_home_again_when_the_borrower_is_gone() {
        let home = Home::new();
        let lent = home.lend(Box::new(7));
        assert_eq!(home.take(), None);
        drop(lent);
        assert_eq!(home.take(), Some(Box::new(7)));
    }
}
