//! The content of an upstream's HTTP/1.1 answer, taken off a buffer piece by piece without copying it.
//!
//! It ends where its head or its own chunks say, and never a byte later. Chunks are read as strictly as those of a
//! request; their extensions are forgotten. Trailers lose what must not stand there and what only the edge may say.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::answer::{Extent, MOST_BYTES, MOST_FIELDS, checked, field, told};
use super::{MOST_OF_CHUNK_LINE, chunk_size, line_length};
use crate::message::identity::Reserved;
use crate::message::{AdmitError, hop};

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Ended,
}

/// Follows the content of one answer.
#[derive(Debug)]
pub(crate) struct Content {
    state: State,
    trailers: HeaderMap,
    trailer_bytes: usize,
}

impl Content {
    pub(crate) fn new(extent: Extent) -> Self {
        let state = match extent {
            Extent::Nothing | Extent::Foreign => State::Ended,
            Extent::Sized(length) => State::Sized(length),
            Extent::Chunked => State::ChunkSize,
            Extent::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: HeaderMap::new(),
            trailer_bytes: 0,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Bytes that are still to come, when that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self.state {
            State::Sized(left) => Some(left),
            State::Ended => Some(0),
            _ => None,
        }
    }

    /// The connection was closed in order; `true` when that ends the content too.
    pub(crate) fn closed(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Ended;
        }
        self.is_ended()
    }

    /// The next piece, or the trailers; `None` when more bytes are needed or the content has ended.
    ///
    /// # Errors
    /// The end of "the upstream's answer breaks HTTP: ..."; nothing may be read after it.
    pub(crate) fn read(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<Frame<Bytes>>, &'static str> {
        self.step(buffer).map_err(told)
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, AdmitError> {
        loop {
            match self.state {
                State::Ended => return Ok(None),
                _ if buffer.is_empty() => return Ok(None),
                State::UntilClose => return Ok(Some(Frame::data(buffer.split().freeze()))),
                State::Sized(left) => {
                    let (piece, left) = take(buffer, left);
                    self.state = if left == 0 {
                        State::Ended
                    } else {
                        State::Sized(left)
                    };
                    return Ok(Some(Frame::data(piece)));
                }
                State::Chunk(left) => {
                    let (piece, left) = take(buffer, left);
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::Chunk(left)
                    };
                    return Ok(Some(Frame::data(piece)));
                }
                State::ChunkSize | State::ChunkEnd => {
                    let Some(line) = line(buffer, MOST_OF_CHUNK_LINE, AdmitError::Framing)? else {
                        return Ok(None);
                    };
                    self.state = self.after_chunk_line(&line)?;
                }
                State::Trailers => {
                    let room = MOST_BYTES - self.trailer_bytes.min(MOST_BYTES);
                    let Some(line) = line(buffer, room, AdmitError::HeadTooLarge)? else {
                        return Ok(None);
                    };
                    if line.is_empty() {
                        self.state = State::Ended;
                        return Ok(self.take_trailers().map(Frame::trailers));
                    }
                    self.trailer(&line)?;
                }
            }
        }
    }

    fn after_chunk_line(&self, line: &[u8]) -> Result<State, AdmitError> {
        if self.state == State::ChunkEnd {
            return if line.is_empty() {
                Ok(State::ChunkSize)
            } else {
                Err(AdmitError::Framing)
            };
        }
        Ok(match chunk_size(line)? {
            0 => State::Trailers,
            size => State::Chunk(size),
        })
    }

    fn trailer(&mut self, line: &Bytes) -> Result<(), AdmitError> {
        self.trailer_bytes += line.len() + 2;
        if self.trailers.len() == MOST_FIELDS {
            return Err(AdmitError::TooManyFields);
        }
        let (name, value) = field(line)?;
        let start = line.len() - value.len();
        self.trailers.append(name, checked(line.slice(start..))?);
        Ok(())
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        if self.trailers.is_empty() {
            return None;
        }
        let mut trailers = std::mem::take(&mut self.trailers);
        hop::strip_trailers(&mut trailers, &Reserved::EMPTY);
        Some(trailers)
    }
}

/// At most `left` bytes of `buffer`, and how many are left then.
fn take(buffer: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    (buffer.split_to(length).freeze(), left - length as u64)
}

/// Takes a line off `buffer`, without its end; `None` when it is not complete.
fn line(
    buffer: &mut BytesMut,
    room: usize,
    overlong: AdmitError,
) -> Result<Option<Bytes>, AdmitError> {
    let length = line_length(&[], buffer)?;
    if length.unwrap_or(buffer.len()) > room {
        return Err(overlong);
    }
    Ok(length.map(|length| {
        let mut line = buffer.split_to(length).freeze();
        line.truncate(length - b"\r\n".len());
        line
    }))
}
