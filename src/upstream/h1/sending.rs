//! A request on its way out: its head and its content, framed for HTTP/1.1 and written as they come.
//!
//! The framing is ours alone: the exact length of the body where it is known, else chunks. Never more and never fewer
//! bytes than declared are sent. At most one piece of the content is held.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::AsyncWrite;

use crate::dial::Stream;
use crate::message::forwarded::write_line;
use crate::message::{Body, BodyError};

/// Room for a usual head, so that it is written without growing.
const USUAL_HEAD: usize = 1024;

/// How the content's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Nothing,
    /// Bytes still to be sent.
    Sized(u64),
    Chunked,
}

/// Why a request did not get out as a whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// Its own body failed, or has another length than it declared.
    Body(BodyError),
    Connection(io::Error),
}

/// How far a request has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The body has more to give.
    Open,
    /// All that there is has been taken from the body.
    Complete,
    /// Nothing more will be sent, although there is more.
    GivenUp,
}

/// A request on its way out.
#[derive(Debug)]
pub(crate) struct Sending {
    /// The head and the beginning of a chunk, from `written` on.
    before: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    body: Body,
    framing: Framing,
    progress: Progress,
    begun: bool,
    flushed: bool,
}

impl Sending {
    /// `write` writes the head, without framing and without its empty line.
    pub(crate) fn new(method: &Method, body: Body, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut before = Vec::with_capacity(USUAL_HEAD);
        write(&mut before);
        let framing = Framing::of(&body);
        framing.declare(method, &mut before);
        before.extend_from_slice(b"\r\n");
        Self {
            before,
            written: 0,
            piece: Bytes::new(),
            after: b"",
            body,
            framing,
            progress: if framing == Framing::Nothing {
                Progress::Complete
            } else {
                Progress::Open
            },
            begun: false,
            flushed: true,
        }
    }

    /// All of it has been handed to the connection.
    pub(super) fn is_done(&self) -> bool {
        self.progress == Progress::Complete && self.is_drained() && self.flushed
    }

    /// A part of it may have been sent.
    pub(super) const fn is_begun(&self) -> bool {
        self.begun
    }

    /// Lets go of the rest.
    pub(super) fn give_up(&mut self) {
        self.progress = Progress::GivenUp;
        self.body = Body::Empty;
        self.piece = Bytes::new();
    }

    /// The body as it was before anything of it was taken, for another try.
    pub(crate) fn into_body(self) -> Body {
        if self.piece.is_empty() {
            return self.body;
        }
        Body::wrap(Rejoined {
            first: self.piece,
            rest: self.body,
        })
    }

    /// Takes what the body has and writes what the connection takes. Ready when nothing is left to do.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while self.progress != Progress::GivenUp && !self.is_done() {
            let taken = self.poll_piece(cx)?;
            if !self.is_drained() {
                let sent = ready!(self.poll_write(stream, cx)).map_err(Broken::Connection)?;
                self.advance(sent);
                continue;
            }
            if !self.flushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(Broken::Connection)?;
                self.flushed = true;
            }
            ready!(taken);
        }
        Poll::Ready(Ok(()))
    }

    fn is_drained(&self) -> bool {
        self.written == self.before.len() && self.piece.is_empty() && self.after.is_empty()
    }

    /// Holds the next piece, unless there is one or none will come; pending while the body has none.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Broken> {
        let is_free = self.piece.is_empty() && self.after.is_empty();
        if self.progress != Progress::Open || !is_free {
            return Ok(Poll::Ready(()));
        }
        let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) else {
            return Ok(Poll::Pending);
        };
        match polled {
            None => self.end()?,
            Some(Err(error)) => return Err(Broken::Body(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.hold(data)?,
                Err(rest) => self.trailers(&rest.into_trailers().unwrap_or_default())?,
            },
        }
        Ok(Poll::Ready(()))
    }

    fn hold(&mut self, data: Bytes) -> Result<(), Broken> {
        if data.is_empty() {
            return Ok(());
        }
        let length = data.len();
        self.framing = match self.framing {
            Framing::Nothing => return Err(Broken::Body(BodyError::LengthDiffers)),
            Framing::Sized(left) => left
                .checked_sub(length as u64)
                .map(Framing::Sized)
                .ok_or(Broken::Body(BodyError::LengthDiffers))?,
            Framing::Chunked => {
                write!(self.before, "{length:x}\r\n").map_err(Broken::Connection)?;
                self.after = b"\r\n";
                Framing::Chunked
            }
        };
        self.piece = data;
        if self.body.is_end_stream() {
            self.end()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Broken> {
        match self.framing {
            Framing::Nothing | Framing::Sized(0) => {}
            Framing::Sized(_missing) => return Err(Broken::Body(BodyError::LengthDiffers)),
            Framing::Chunked if self.after.is_empty() => {
                self.before.extend_from_slice(b"0\r\n\r\n");
            }
            Framing::Chunked => self.after = b"\r\n0\r\n\r\n",
        }
        self.progress = Progress::Complete;
        Ok(())
    }

    /// Only chunks have room for them.
    fn trailers(&mut self, trailers: &HeaderMap) -> Result<(), Broken> {
        if self.framing != Framing::Chunked {
            return self.end();
        }
        self.before.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            write_line(&mut self.before, name, value);
        }
        self.before.extend_from_slice(b"\r\n");
        self.progress = Progress::Complete;
        Ok(())
    }

    fn poll_write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.before.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let parts: [&[u8]; 3] = [before, &self.piece, self.after];
        let mut filled = parts.iter().filter(|part| !part.is_empty());
        let sent = match (filled.next(), filled.next()) {
            (Some(only), None) => ready!(stream.poll_write(cx, only))?,
            _ => ready!(stream.poll_write_vectored(cx, &parts.map(IoSlice::new)))?,
        };
        Poll::Ready(match sent {
            0 => Err(io::ErrorKind::WriteZero.into()),
            sent => Ok(sent),
        })
    }

    fn advance(&mut self, mut sent: usize) {
        (self.begun, self.flushed) = (true, false);
        let before = sent.min(self.before.len() - self.written);
        self.written += before;
        sent -= before;
        if self.written == self.before.len() {
            self.before.clear();
            self.written = 0;
        }
        let piece = sent.min(self.piece.len());
        self.piece.advance(piece);
        sent -= piece;
        self.after = self.after.get(sent..).unwrap_or_default();
    }
}

impl Framing {
    fn of(body: &Body) -> Self {
        match body.size_hint().exact() {
            _ if body.is_end_stream() => Self::Nothing,
            Some(0) => Self::Nothing,
            Some(length) => Self::Sized(length),
            None => Self::Chunked,
        }
    }

    /// Some servers refuse a request of these methods that does not say how long it is (RFC 9110 section 8.6).
    fn declare(self, method: &Method, out: &mut Vec<u8>) {
        let length = match self {
            Self::Chunked => return out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Self::Sized(length) => length,
            Self::Nothing if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => 0,
            Self::Nothing => return,
        };
        write_line(out, &CONTENT_LENGTH, &HeaderValue::from(length));
    }
}

/// A body whose first piece was taken and not sent.
struct Rejoined {
    first: Bytes,
    rest: Body,
}

impl HttpBody for Rejoined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        let first = std::mem::take(&mut self.first);
        Poll::Ready(Some(Ok(Frame::data(first))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let first = self.first.len() as u64;
        rest.exact().map_or_else(SizeHint::default, |rest| {
            SizeHint::with_exact(rest.saturating_add(first))
        })
    }
}
