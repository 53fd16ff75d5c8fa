//! Lets the answers of one turn of the scheduler leave together: fewer and larger TLS records and system calls.
//!
//! HTTP/2 carries many answers on one connection, and each would be sent by itself. What is to be sent waits until
//! everything that can run has run once, never longer: a flush is complete only when all of it was handed to the
//! system. That others wake the connection meanwhile, each with an answer more, does not end the turn. The buffer exists
//! only while it holds something.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most that waits; a larger piece is sent as it comes.
const MOST: usize = 64 * 1024;
/// What the buffer begins with.
const FIRST: usize = 8 * 1024;

/// A connection that sends once per turn.
pub(super) struct Gather<T> {
    inner: T,
    waiting: Vec<u8>,
    /// How much of `waiting` was sent.
    sent: usize,
    turn: Turn,
}

/// When what waits may leave.
enum Turn {
    /// Nobody has asked for a flush since the last one.
    Open,
    /// When the bell rings: the others had theirs then.
    Yielding(Arc<Bell>),
    Over,
}

/// Rung by the scheduler when it has gone round.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    connection: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.connection.wake();
    }
}

impl Bell {
    /// Asks the scheduler to ring it once everything that can run has run.
    fn hang() -> Arc<Self> {
        let bell = Arc::new(Self::default());
        let waker = Waker::from(Arc::clone(&bell));
        // Polled once: that enters the waker in the scheduler's list, and ringing is all that is left to come.
        if pin!(tokio::task::yield_now())
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            bell.rung.store(true, Ordering::Release);
        }
        bell
    }

    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.register(cx.waker());
        if self.rung.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<T> Gather<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self {
            inner,
            waiting: Vec::new(),
            sent: 0,
            turn: Turn::Open,
        }
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    /// Sends all that waits, at once.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .waiting
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.waiting = Vec::new();
        self.sent = 0;
        self.turn = Turn::Open;
        Poll::Ready(Ok(()))
    }

    /// Whether the turn is over in which a flush was first asked for.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Turn::Open = self.turn {
            self.turn = Turn::Yielding(Bell::hang());
        }
        if let Turn::Yielding(bell) = &self.turn {
            ready!(bell.poll_rung(cx));
            self.turn = Turn::Over;
        }
        Poll::Ready(())
    }

    /// Makes room for `length` more bytes; `false` when they do not fit and nothing waits before them.
    fn poll_room(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + length > MOST {
            ready!(self.poll_send(cx))?;
        }
        if self.waiting.capacity() == 0 && length <= MOST {
            self.waiting.reserve(length.max(FIRST));
        }
        Poll::Ready(Ok(length <= MOST))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gather<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(cx, bytes.len()))? {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(self.poll_room(cx, length))? {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            ready!(self.poll_turn(cx));
            ready!(self.poll_send(cx))?;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

    use super::{Gather, MOST};

    /// Keeps each piece as it was sent.
    #[derive(Default)]
    struct Sent(Vec<Vec<u8>>);

    impl AsyncWrite for Sent {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_leaves_in_one_piece_and_the_buffer_is_given_back() {
        let mut gather = Gather::new(Sent::default());
        gather.write_all(b"one ").await.unwrap();
        let waits = poll_fn(|cx| {
            let flushing = Pin::new(&mut gather).poll_flush(cx);
            Poll::Ready(flushing.is_pending())
        });
        assert!(waits.await);
        gather.write_all(b"two").await.unwrap();
        assert!(gather.inner.0.is_empty());
        gather.flush().await.unwrap();
        assert_eq!(gather.inner.0, [b"one two"]);
        assert_eq!(gather.waiting.capacity(), 0);

        gather.write_all(b"three").await.unwrap();
        gather.flush().await.unwrap();
        assert_eq!(gather.inner.0, [&b"one two"[..], b"three"]);
    }

    #[tokio::test]
    async fn being_woken_for_another_reason_does_not_end_the_turn() {
        let mut gather = Gather::new(Sent::default());
        gather.write_all(b"one ").await.unwrap();
        // Asked twice without the scheduler going round in between, as by two answers of the same turn.
        let waits = poll_fn(|cx| {
            let first = Pin::new(&mut gather).poll_flush(cx).is_pending();
            let second = Pin::new(&mut gather).poll_flush(cx).is_pending();
            Poll::Ready(first && second)
        });
        assert!(waits.await);
        gather.write_all(b"two").await.unwrap();
        gather.flush().await.unwrap();
        assert_eq!(gather.inner.0, [b"one two"]);
    }

    #[tokio::test]
    async fn an_end_sends_what_waits() {
        let mut gather = Gather::new(Sent::default());
        gather.write_all(b"last").await.unwrap();
        gather.shutdown().await.unwrap();
        assert_eq!(gather.inner.0, [b"last"]);
    }

    #[tokio::test]
    async fn pieces_of_all_sizes_arrive_whole_and_in_order_at_a_slow_reader() {
        let (near, mut far) = tokio::io::duplex(1000);
        let sent: Vec<Vec<u8>> = [1, 9, MOST - 5, 20_000, MOST + 1, 3, 2 * MOST, 70]
            .iter()
            .zip(0_u8..)
            .map(|(length, byte)| vec![byte; *length])
            .collect();
        let whole = sent.concat();
        let writing = async move {
            let mut gather = Gather::new(near);
            for piece in &sent {
                gather.write_all(piece).await.unwrap();
                assert!(gather.waiting.capacity() <= 2 * MOST);
            }
            gather.flush().await.unwrap();
            gather.shutdown().await.unwrap();
        };
        let reading = async move {
            let mut arrived = Vec::new();
            far.read_to_end(&mut arrived).await.unwrap();
            arrived
        };
        let ((), arrived) = tokio::join!(writing, reading);
        assert!(
            arrived == whole,
            "{} bytes of {}",
            arrived.len(),
            whole.len()
        );
    }
}
