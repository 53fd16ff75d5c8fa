//! The socket below TLS, read in larger pieces than the TLS library asks for.
//!
//! The library asks for 4 KiB at a time, and each time is a system call. While the other side sends more than that, the
//! socket is read ahead; when it falls silent the room is given back, so an idle connection has none. Bytes are given
//! in order and unchanged, and nothing is known about them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio_util::io::poll_read_buf;

/// Four records of TLS (RFC 8446 section 5.2): as much as the kernel moves at once.
const AHEAD: usize = 64 * 1024;

/// A socket and what was read of it ahead.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    socket: TcpStream,
    held: BytesMut,
    /// The last read found as much as was asked for, or more.
    flows: bool,
}

impl ReadAhead {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            held: BytesMut::new(),
            flows: false,
        }
    }

    /// All that was read of the socket has been given.
    pub(crate) fn is_drained(&self) -> bool {
        self.held.is_empty()
    }

    /// Ready when the socket may have something.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Reads as much as is asked for.
    fn poll_exactly(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.flows = buffer.remaining() == 0;
        Poll::Ready(Ok(()))
    }

    /// Reads more than the `asked` bytes, if more is there.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, asked: usize) -> Poll<io::Result<()>> {
        self.held.reserve(AHEAD);
        let polled = poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.held);
        self.flows = matches!(polled, Poll::Ready(Ok(read)) if read >= asked);
        if !self.flows && self.held.is_empty() {
            self.held = BytesMut::new();
        }
        polled.map_ok(|_read| ())
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let some = self.held.len().min(buffer.remaining());
        buffer.put_slice(self.held.get(..some).unwrap_or_default());
        self.held.advance(some);
        if self.held.is_empty() && !self.flows {
            self.held = BytesMut::new();
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.held.is_empty() {
            if !this.flows {
                return this.poll_exactly(cx, buffer);
            }
            ready!(this.poll_ahead(cx, buffer.remaining()))?;
        }
        // What is held counts like what is read: a task that always finds some must leave room for others.
        let turn = ready!(coop::poll_proceed(cx));
        this.give(buffer);
        turn.made_progress();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::ReadAhead;

    async fn pair() -> (TcpStream, ReadAhead) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpSocket::new_v4().unwrap();
        let near = near.connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), ReadAhead::new(far.unwrap().0))
    }

    #[tokio::test]
    async fn much_arrives_in_order_and_a_silent_socket_has_no_room() {
        let (mut near, mut ahead) = pair().await;
        let sent: Vec<u8> = (0..1_000_000_u32).map(|one| one.to_le_bytes()[1]).collect();
        let writing = async {
            near.write_all(&sent).await.unwrap();
            near
        };
        let reading = async {
            let (mut seen, mut piece, mut most) = (Vec::new(), [0; 4096], 0);
            while seen.len() < sent.len() {
                let read = ahead.read(&mut piece).await.unwrap();
                assert!(read > 0);
                seen.extend_from_slice(&piece[..read]);
                most = most.max(ahead.held.len());
            }
            assert!(most > 0, "nothing was read ahead");
            (seen, ahead)
        };
        let (near, (seen, mut ahead)) = tokio::join!(writing, reading);
        assert!(seen == sent);
        let mut piece = [0; 4096];
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            std::pin::pin!(ahead.read(&mut piece))
                .poll(&mut cx)
                .is_pending()
        );
        assert_eq!(ahead.held.capacity(), 0);
        drop(near);
        assert_eq!(ahead.read(&mut piece).await.unwrap(), 0);
        assert_eq!(ahead.read(&mut piece).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_given_first() {
        let (mut near, mut ahead) = pair().await;
        near.write_all(&[7; 6000]).await.unwrap();
        let mut piece = [0; 1000];
        while ahead.is_drained() {
            assert!(ahead.read(&mut piece).await.unwrap() > 0);
        }
        let held = ahead.held.len();
        near.write_all(&[8; 10]).await.unwrap();
        let mut all = vec![0; held + 10];
        ahead.read_exact(&mut all).await.unwrap();
        assert!(all[..held].iter().all(|byte| *byte == 7));
        assert!(all[held..].iter().all(|byte| *byte == 8));
        assert!(ahead.is_drained());
    }
}
