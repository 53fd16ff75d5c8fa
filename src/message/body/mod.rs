//! The one body type of the program, and the bounded ways to read it.
//!
//! A body never yields more than its bound, never fewer or more bytes than its declared length without an error,
//! and never passes a trailer that could be mistaken for a header of ours.

pub(crate) mod unread;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::hop;
use super::identity::Reserved;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("no byte of the body arrived for {} s", waited.as_secs())]
    Stalled { waited: Duration },
    #[error("the body has another length than its head declares")]
    LengthDiffers,
    #[error("the exchange was ended before its body was complete")]
    Cancelled,
    #[error("the connection failed while the body was read")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// The framing of the body was broken, rather than the connection.
    pub(crate) fn is_malformed(&self) -> bool {
        let Self::Connection(error) = self else {
            return matches!(self, Self::LengthDiffers);
        };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData
                );
            }
            cause = error.source();
        }
        false
    }
}

/// A boxed body, for wrappers that other modules write.
pub(crate) type Wrapped = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// Content of a request or a response, either direction.
#[derive(Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Straight from a connection; trailers are filtered.
    Incoming(Incoming),
    /// From a client: bounded in bytes and in waiting time.
    Bounded(Box<Bounded>),
    Wrapped(Wrapped),
}

impl Body {
    pub(crate) fn wrap<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::Wrapped(Box::pin(body))
    }

    /// Takes over a client's body under a bound; trailers lose the names that only the edge may set.
    #[must_use]
    pub(crate) fn into_bounded(self, bound: Bound, reserved: &Arc<Reserved>) -> Self {
        match self {
            Self::Empty => Self::Empty,
            inner => Self::Bounded(Box::new(Bounded::new(inner, bound, Arc::clone(reserved)))),
        }
    }

    /// Replaces the bound of a client's body. Other bodies are ours and have none.
    #[must_use]
    pub(crate) fn rebounded(mut self, bound: Bound) -> Self {
        if let Self::Bounded(bounded) = &mut self {
            bounded.bound = bound;
        }
        self
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full(..)",
            Self::Incoming(_) => "Body::Incoming(..)",
            Self::Bounded(_) => "Body::Bounded(..)",
            Self::Wrapped(_) => "Body::Wrapped(..)",
        })
    }
}

impl From<Incoming> for Body {
    fn from(body: Incoming) -> Self {
        if body.is_end_stream() {
            Self::Empty
        } else {
            Self::Incoming(body)
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Incoming(body) => poll_incoming(Pin::new(body), cx),
            Self::Bounded(body) => Pin::new(body.as_mut()).poll_frame(cx),
            Self::Wrapped(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Incoming(body) => body.is_end_stream(),
            Self::Bounded(body) => body.is_end_stream(),
            Self::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(body) => body.size_hint(),
            Self::Bounded(body) => body.size_hint(),
            Self::Wrapped(body) => body.size_hint(),
        }
    }
}

fn poll_incoming(body: Pin<&mut Incoming>, cx: &mut Context<'_>) -> Polled {
    Poll::Ready(match ready!(body.poll_frame(cx)) {
        None => None,
        Some(Err(error)) => Some(Err(BodyError::Connection(error.into()))),
        Some(Ok(frame)) => Some(Ok(filtered(frame, &NOTHING_CHOSEN))),
    })
}

static NOTHING_CHOSEN: Reserved = Reserved::EMPTY;

fn filtered(frame: Frame<Bytes>, reserved: &Reserved) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            hop::strip_trailers(&mut trailers, reserved);
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// How much of a request's body is read, and how long the next piece may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Bytes, all together.
    pub(crate) bytes: u64,
    /// Longest wait for the next piece, counted only while somebody asks for it.
    pub(crate) idle: Duration,
}

/// A client's body under a [`Bound`].
pub(crate) struct Bounded {
    inner: Body,
    bound: Bound,
    reserved: Arc<Reserved>,
    declared: Option<u64>,
    seen: u64,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    fn new(inner: Body, bound: Bound, reserved: Arc<Reserved>) -> Self {
        let declared = inner.size_hint().exact();
        Self {
            inner,
            bound,
            reserved,
            declared,
            seen: 0,
            ended: false,
            timer: None,
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.seen = self.seen.saturating_add(bytes as u64);
        if self.seen > self.bound.bytes {
            return Err(BodyError::TooLarge {
                limit: self.bound.bytes,
            });
        }
        if self.declared.is_some_and(|declared| self.seen > declared) {
            return Err(BodyError::LengthDiffers);
        }
        Ok(())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.bound.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        timer.as_mut().poll(cx)
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(polled) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.poll_timer(cx));
            this.ended = true;
            let waited = this.bound.idle;
            return Poll::Ready(Some(Err(BodyError::Stalled { waited })));
        };
        this.timer = None;
        let checked = match polled {
            Some(Ok(frame)) => this
                .count(frame.data_ref().map_or(0, Bytes::len))
                .map(|()| Some(filtered(frame, &this.reserved))),
            Some(Err(error)) => Err(error),
            None if this.declared.is_some_and(|declared| declared != this.seen) => {
                Err(BodyError::LengthDiffers)
            }
            None => Ok(None),
        };
        this.ended = !matches!(checked, Ok(Some(_)));
        Poll::Ready(checked.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a whole body of at most `limit` bytes; trailers are dropped.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as the declared or the received length passes `limit`, else what the body reports.
pub(crate) async fn read_at_most(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = || BodyError::TooLarge {
        limit: limit as u64,
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

#[cfg(test)]
mod tests;
