//! One request and its answer on one connection, driven by whoever waits for it.
//!
//! The answer may come before the request is out; both go on then, in one place. Where the upstream stops reading but
//! still answers, its answer counts. The connection is given back only after both have ended in order.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use super::connection::Connection;
use super::sending::{Broken, Sending};
use crate::message::wire::answer::{AnswerHead, Answers, Asked, Extent};
use crate::message::wire::content::Content;
use crate::message::{Body, BodyError};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection failed before anything was sent on it.
    Unsent(io::Error),
    /// It failed or closed before anything of the answer came.
    Lost(io::Error),
    /// It failed or closed within the answer's head.
    Broken(io::Error),
    /// The answer breaks HTTP.
    Answer(&'static str),
    /// The request's own body failed.
    Interrupted(BodyError),
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Connection,
    sending: Sending,
    answers: Answers,
    content: Content,
    persists: bool,
}

impl Exchange {
    pub(crate) fn new(connection: Connection, sending: Sending, asked: Asked) -> Self {
        Self {
            connection,
            sending,
            answers: Answers::new(asked),
            content: Content::new(Extent::Nothing),
            persists: false,
        }
    }

    /// Sends the request and waits for the head of its answer.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Failure>> {
        let mut unsent = None;
        match self.poll_sending(cx) {
            Poll::Pending | Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Broken::Body(error))) => {
                return Poll::Ready(Err(Failure::Interrupted(error)));
            }
            Poll::Ready(Err(Broken::Connection(error))) if !self.sending.is_begun() => {
                return Poll::Ready(Err(Failure::Unsent(error)));
            }
            // What the upstream said before it stopped reading is still worth hearing.
            Poll::Ready(Err(Broken::Connection(error))) => {
                self.sending.give_up();
                unsent = Some(error);
            }
        }
        loop {
            let Connection { buffer, .. } = &mut self.connection;
            if let Some(head) = self.answers.read(buffer).map_err(Failure::Answer)? {
                self.content = Content::new(head.extent);
                self.persists = head.persists;
                return Poll::Ready(Ok(head));
            }
            let error = match ready!(self.connection.poll_fill(cx, None)) {
                Ok(0) => unsent.unwrap_or_else(closed),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Poll::Ready(Err(if self.answers.is_untouched() {
                Failure::Lost(error)
            } else {
                Failure::Broken(error)
            }));
        }
    }

    /// The next piece of the answer's content; the rest of the request is sent meanwhile.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.poll_sending(cx) {
            Poll::Pending | Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Broken::Body(error))) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Err(Broken::Connection(_))) => self.sending.give_up(),
        }
        loop {
            let Connection { buffer, .. } = &mut self.connection;
            match self.content.read(buffer) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.content.is_ended() => return Poll::Ready(None),
                Ok(None) => {}
                Err(flaw) => return Poll::Ready(Some(Err(flawed(flaw)))),
            }
            let left = self.content.left();
            let error = match ready!(self.connection.poll_fill(cx, left)) {
                Ok(0) if self.content.closed() => return Poll::Ready(None),
                Ok(0) => closed(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Poll::Ready(Some(Err(BodyError::Connection(error.into()))));
        }
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.sending.poll(&mut self.connection.stream, cx)
    }

    /// The whole content, when it came with the head and needs no more than one piece.
    pub(crate) fn whole(&mut self) -> Option<Body> {
        if self.content.is_ended() {
            return Some(Body::Empty);
        }
        let length = usize::try_from(self.content.left()?).ok()?;
        if self.connection.buffer.len() < length {
            return None;
        }
        let frame = self.content.read(&mut self.connection.buffer).ok()??;
        frame.into_data().ok().map(Body::from)
    }

    /// Every byte of the answer was taken.
    pub(crate) fn is_ended(&self) -> bool {
        self.content.is_ended()
    }

    /// Bytes of content still to come, when that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        self.content.left()
    }

    /// The connection, when it can carry another request: not after an answer that came before its request was out.
    pub(crate) fn into_rested(self) -> Option<Connection> {
        if !self.persists || !self.content.is_ended() || !self.sending.is_done() {
            return None;
        }
        self.connection.rested()
    }

    /// The connection, for the protocol that both sides agreed to.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// The request's body as it was, after [`Failure::Unsent`].
    pub(crate) fn into_body(self) -> Body {
        self.sending.into_body()
    }
}

fn closed() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn flawed(why: &'static str) -> BodyError {
    tracing::debug!(why, "the upstream's answer breaks HTTP");
    BodyError::Connection(io::Error::new(io::ErrorKind::InvalidData, why).into())
}
