//! Stands between an HTTP/1.1 connection and hyper: bytes pass while they are in order, and not one longer.
//!
//! Requests before an offence are served and answered first; then the offence is answered here, because hyper would
//! answer without the headers that every answer of ours carries, and the connection ends. Nothing is decided about a
//! request whose bytes are in order.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use crate::message::AdmitError;
use crate::message::wire::{HeadBounds, Lines};

/// How long a refused client may go on sending. Closing earlier would make its system throw our answer away
/// (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const MOST_DISCARDED: usize = 256 * 1024;
const PIECE: usize = 4096;

/// A connection whose bytes are followed.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    inner: T,
    activity: Arc<Activity>,
    lines: Lines,
    /// For answers through TLS: the value of `Strict-Transport-Security`.
    transport_security: Option<HeaderValue>,
    /// Everything that hyper wrote has left.
    flushed: bool,
    refusal: Option<Box<Refusal>>,
    /// What woke the connection, read before there was a hyper to read it.
    early: Option<io::Result<Vec<u8>>>,
}

#[derive(Debug)]
struct Refusal {
    why: AdmitError,
    step: Step,
    /// Whoever asked while earlier requests were being answered.
    asked: Option<Waker>,
}

#[derive(Debug)]
enum Step {
    /// Earlier requests are still being answered.
    Waiting,
    Answering {
        answer: Vec<u8>,
        sent: usize,
    },
    Flushing,
    Closing,
    Discarding {
        until: Pin<Box<Sleep>>,
        discarded: usize,
    },
    Done,
}

impl<T> Guarded<T> {
    pub(super) fn new(
        inner: T,
        activity: Arc<Activity>,
        bounds: HeadBounds,
        transport_security: Option<HeaderValue>,
    ) -> Self {
        Self {
            inner,
            activity,
            lines: Lines::new(bounds),
            transport_security,
            flushed: true,
            refusal: None,
            early: None,
        }
    }

    /// The offence is answered only where an answer is due: after all earlier ones.
    fn may_answer(&self) -> bool {
        self.flushed && !self.activity.is_busy()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guarded<T> {
    /// Ends when there is something to read, be it the end; the next read gives it.
    pub(super) fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0_u8; PIECE];
        let mut buffer = ReadBuf::new(&mut piece);
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer));
        self.early = Some(outcome.map(|()| buffer.filled().to_vec()));
        Poll::Ready(())
    }

    /// Gives back memory that is not needed between messages.
    pub(super) fn release(&mut self) {
        self.lines.release();
    }

    /// The next bytes; finding none between two messages, with nothing left to send, is rest.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(early) = self.early.take() {
            let mut bytes = early?;
            let now = bytes.len().min(buffer.remaining());
            let later = bytes.split_off(now);
            buffer.put_slice(&bytes);
            self.early = Some(later).filter(|later| !later.is_empty()).map(Ok);
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let at_rest = polled.is_pending() && self.flushed && self.lines.is_between_messages();
        self.activity.set_at_rest(at_rest);
        polled
    }

    /// Answers the offence, closes our side, and lets the client finish. Ends in an error, which ends the connection.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let may_answer = self.may_answer();
        let has_switched = self.activity.has_switched();
        let Some(refusal) = self.refusal.as_deref_mut() else {
            return Poll::Ready(Err(refused()));
        };
        loop {
            match &mut refusal.step {
                Step::Waiting => {
                    // Whatever was written since is another protocol, in which there is no answer.
                    if has_switched {
                        refusal.step = Step::Done;
                        continue;
                    }
                    if !may_answer {
                        refusal.asked = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    self.activity.refuse(refusal.why);
                    let answer = answer(refusal.why, self.transport_security.as_ref());
                    refusal.step = Step::Answering { answer, sent: 0 };
                }
                Step::Answering { answer, sent } => match answer.get(*sent..) {
                    None | Some([]) => refusal.step = Step::Flushing,
                    Some(rest) => *sent += ready!(Pin::new(&mut self.inner).poll_write(cx, rest))?,
                },
                Step::Flushing => {
                    ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
                    refusal.step = Step::Closing;
                }
                Step::Closing => {
                    ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
                    let until = Box::pin(sleep_until(Instant::now() + LINGER));
                    refusal.step = Step::Discarding {
                        until,
                        discarded: 0,
                    };
                }
                Step::Discarding { until, discarded } => {
                    let over = until.as_mut().poll(cx).is_ready();
                    if over || *discarded > MOST_DISCARDED {
                        refusal.step = Step::Done;
                        continue;
                    }
                    let mut piece = [0_u8; PIECE];
                    let mut buffer = ReadBuf::new(&mut piece);
                    ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
                    *discarded += buffer.filled().len();
                    if buffer.filled().is_empty() {
                        refusal.step = Step::Done;
                    }
                }
                Step::Done => return Poll::Ready(Err(refused())),
            }
        }
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the message breaks HTTP/1.1")
}

/// The same problem document that a parsed request would get, short of the id that no request has.
fn answer(why: AdmitError, transport_security: Option<&HeaderValue>) -> Vec<u8> {
    let status = why.status();
    let title = status.canonical_reason().unwrap_or("Bad Request");
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"reason\":\"{}\",\"detail\":\"{why}\"}}",
        status.as_u16(),
        why.reason(),
    );
    let mut answer = format!(
        "HTTP/1.1 {} {title}\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n",
        status.as_u16(),
        body.len(),
    )
    .into_bytes();
    if let Some(value) = transport_security {
        answer.extend_from_slice(b"Strict-Transport-Security: ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(body.as_bytes());
    answer
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refuse(cx);
        }
        let before = buffer.filled().len();
        ready!(this.poll_next(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if this.lines.is_switching() && !new.is_empty() {
            if this.activity.has_switched() {
                this.lines.switched(true);
            } else if !this.activity.is_busy() {
                this.lines.switched(false);
            }
        }
        let Err(offence) = this.lines.read(new) else {
            return Poll::Ready(Ok(()));
        };
        if offence.in_body || this.activity.has_switched() {
            return Poll::Ready(Err(refused()));
        }
        buffer.set_filled(before + offence.fine);
        this.refusal = Some(Box::new(Refusal {
            why: offence.why,
            step: Step::Waiting,
            asked: None,
        }));
        if offence.fine > 0 {
            return Poll::Ready(Ok(()));
        }
        this.poll_refuse(cx)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        self.activity.set_at_rest(false);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // The answer before may have left; hyper does not ask again by itself. It flushes each time it is woken, so one that
        // sent nothing must not wake it again.
        let sent = !std::mem::replace(&mut self.flushed, true);
        let refusal = self.refusal.as_mut().filter(|_| sent);
        if let Some(asked) = refusal.and_then(|refusal| refusal.asked.take()) {
            asked.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        self.activity.set_at_rest(false);
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
    use tokio::io::{ReadBuf, duplex};

    use super::super::activity::Activity;
    use super::{Guarded, HeadBounds};

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const BOUNDS: HeadBounds = HeadBounds {
        bytes: 1 << 14,
        fields: 100,
        target: 1 << 13,
    };

    #[tokio::test]
    async fn an_offence_that_waits_is_asked_for_once_per_answer_and_not_by_every_flush() {
        let (mut client, server) = duplex(1 << 10);
        let activity = Arc::new(Activity::default());
        let mut guarded = Guarded::new(server, Arc::clone(&activity), BOUNDS, None);
        let sent = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX : y\r\n\r\n";
        client.write_all(sent).await.unwrap();
        let mut first = vec![0; 1 << 10];
        assert_eq!(guarded.read(&mut first).await.unwrap(), 27);
        let under_way = activity.begin();

        let calls = Arc::new(Calls::default());
        let waker = Waker::from(Arc::clone(&calls));
        let mut cx = Context::from_waker(&waker);
        let mut guarded = Pin::new(&mut guarded);
        let mut more = [0; 64];
        for _ in 0..3 {
            let read = guarded
                .as_mut()
                .poll_read(&mut cx, &mut ReadBuf::new(&mut more));
            assert!(read.is_pending());
            assert!(guarded.as_mut().poll_flush(&mut cx).is_ready());
        }
        assert_eq!(calls.0.load(Ordering::Relaxed), 0);

        assert!(guarded.as_mut().poll_write(&mut cx, b"answer").is_ready());
        drop(under_way);
        assert!(guarded.as_mut().poll_flush(&mut cx).is_ready());
        assert_eq!(calls.0.load(Ordering::Relaxed), 1);
        let read = guarded
            .as_mut()
            .poll_read(&mut cx, &mut ReadBuf::new(&mut more));
        assert!(matches!(read, Poll::Pending), "the client may still send");
        assert!(activity.refused().is_some());
    }
}
