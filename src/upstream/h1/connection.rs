//! An open connection and the bytes read from it that nobody has taken yet.
//!
//! An idle one holds no buffer, and is healthy as long as its other side is silent: what comes without a request is the
//! answer to none.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;

use crate::dial::Stream;

/// Room for the first read of an answer: the whole of most.
const ROOM: usize = 16 * 1024;
/// Room for a read while content flows faster than it is taken.
const MOST_ROOM: usize = 32 * 1024;
/// What is read beyond the end of content shows that there is none: a read that fills its room says nothing.
const BEYOND: usize = 256;

/// One HTTP/1.1 connection to a target.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    room: usize,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            room: ROOM,
        }
    }

    /// Reads once; 0 bytes are the end. `left` bounds what is worth having room for.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        left: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        let left = left.and_then(|left| usize::try_from(left).ok());
        let room = left.map_or(self.room, |left| self.room.min(left.saturating_add(BEYOND)));
        if self.buffer.capacity() - self.buffer.len() < room.div_ceil(2) {
            self.buffer.reserve(room);
        }
        let free = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx))?;
        if read == free {
            self.room = self.room.saturating_mul(2).min(MOST_ROOM);
        }
        Poll::Ready(Ok(read))
    }

    /// Gives buffers back before the connection rests; `None` when bytes came that belong to no answer.
    pub(super) fn rested(mut self) -> Option<Self> {
        if !self.buffer.is_empty() || !self.is_silent() {
            return None;
        }
        self.buffer = BytesMut::new();
        self.room = ROOM;
        Some(self)
    }

    /// Whether a connection at rest can carry a request: not closed, and not a byte has come.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut byte = [0_u8; 1];
        let mut cx = Context::from_waker(Waker::noop());
        pin!(self.stream.read(&mut byte)).poll(&mut cx).is_pending()
    }

    /// For another protocol: the stream, and what was read of it already.
    pub(crate) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.buffer.freeze())
    }
}
