//! A client's TLS connection, read without asking the TLS library for what it cannot have.
//!
//! Whoever speaks HTTP asks for more several times per request, mostly before there is any. Then the socket alone is
//! looked at. Bytes are those that the library gives; nothing is decided about them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::tls::ReadAhead;

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    tls: TlsStream<ReadAhead>,
    /// Came behind bytes that had to be given first.
    later: Option<io::Error>,
}

impl Secured {
    pub(super) const fn new(tls: TlsStream<ReadAhead>) -> Self {
        Self { tls, later: None }
    }

    /// Nothing is left to be given that has been read already.
    fn is_drained(&self) -> bool {
        let (socket, library) = self.tls.get_ref();
        library.wants_read() && socket.is_drained()
    }

    /// Gives what the library has; `false` at the end.
    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut tls = Pin::new(&mut self.tls);
        let bytes = ready!(tls.as_mut().poll_fill_buf(cx))?;
        let some = bytes.len().min(buffer.remaining());
        buffer.put_slice(bytes.get(..some).unwrap_or_default());
        tls.consume(some);
        Poll::Ready(Ok(some > 0))
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.later.take() {
            return Poll::Ready(Err(error));
        }
        if this.is_drained() {
            ready!(this.tls.get_ref().0.poll_read_ready(cx))?;
        }
        let mut more = ready!(this.poll_some(cx, buffer))?;
        while more && buffer.remaining() > 0 && !this.is_drained() {
            more = match this.poll_some(cx, buffer) {
                Poll::Ready(Ok(more)) => more,
                Poll::Ready(Err(error)) => {
                    this.later = Some(error);
                    false
                }
                Poll::Pending => false,
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
