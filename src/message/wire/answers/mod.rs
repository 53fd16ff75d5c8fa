//! The bytes of an upstream's HTTP/1.1 connection, followed as strictly as those of a client.
//!
//! hyper forgives answers bare line feeds, repeated lengths, codings besides `chunked` and any number of interim
//! answers. This follows the same bytes on their way to it and says what has a second reading. It changes nothing,
//! and it never waits: where an answer ends is known as soon as its last byte has passed, so that whatever comes after
//! it is seen for what it is.

use super::head::Head;
use super::{HeadBounds, Lines, State};
use crate::message::AdmitError;

/// Interim answers (1xx) to one request. A server that has more to say is not saying anything.
const MOST_INTERIM: u8 = 32;

/// What was sent, as far as the answer's end depends on it (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// By HEAD: the answer has no content, whatever it declares.
    pub(crate) head: bool,
    /// For another protocol: 101 may be the answer.
    pub(crate) switch: bool,
}

/// An answer that must not be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerOffence {
    /// The end of "the upstream's answer breaks HTTP: ...".
    pub(crate) why: &'static str,
    /// Bytes before the offence that make up a whole answer.
    pub(crate) fine: usize,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked, so nothing is due.
    Silent,
    Head(Asked),
    Content,
    /// Content that ends with the connection.
    UntilClose,
    /// Another protocol is spoken.
    Foreign,
}

/// Follows one connection from its first byte.
#[derive(Debug)]
pub(crate) struct Answers {
    lines: Lines,
    phase: Phase,
    interim: u8,
}

impl Answers {
    pub(crate) fn new(bytes: usize, fields: usize) -> Self {
        let target = bytes;
        Self {
            lines: Lines::new(HeadBounds {
                bytes,
                fields,
                target,
            }),
            phase: Phase::Silent,
            interim: 0,
        }
    }

    /// A request is leaving: its answer is due.
    pub(crate) const fn expect(&mut self, asked: Asked) {
        self.phase = Phase::Head(asked);
        self.interim = 0;
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// The first [`AnswerOffence`]; nothing may be read after it.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), AnswerOffence> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let offence = |why| AnswerOffence { why, fine: 0 };
            rest = match self.phase {
                Phase::UntilClose | Phase::Foreign => return Ok(()),
                Phase::Silent => {
                    return Err(AnswerOffence {
                        why: "bytes came that belong to no answer",
                        fine: bytes.len() - rest.len(),
                    });
                }
                Phase::Head(asked) => self.head(rest, asked).map_err(offence)?,
                Phase::Content => self.content(rest).map_err(|why| offence(told(why)))?,
            };
        }
        Ok(())
    }

    fn content<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], AdmitError> {
        let rest = self.lines.step(bytes)?;
        // Where a request would begin, the answer has ended.
        if self.lines.state == State::Head {
            self.phase = Phase::Silent;
        }
        Ok(rest)
    }

    fn head<'a>(&mut self, bytes: &'a [u8], asked: Asked) -> Result<&'a [u8], &'static str> {
        let lines = &mut self.lines;
        let room = lines.bounds.bytes.saturating_sub(lines.head.bytes());
        let rest = lines.line(bytes, room, Lines::answer_line).map_err(told)?;
        if lines.state == State::Switching {
            let head = std::mem::take(&mut lines.head);
            lines.state = State::Head;
            self.ended(&head, asked)?;
        }
        Ok(rest)
    }

    /// The head is complete: says how the answer goes on.
    fn ended(&mut self, head: &Head, asked: Asked) -> Result<(), &'static str> {
        const TWICE: &str = "its length is in doubt";
        let has_content = head.is_chunked() || head.length().is_some_and(|length| length > 0);
        if head.is_chunked() && head.length().is_some() {
            return Err("it declares its length twice");
        }
        self.phase = match head.status() {
            101 if asked.switch => Phase::Foreign,
            101 => return Err("it switches protocols without being asked to"),
            100..=199 | 204 if has_content => return Err(TWICE),
            100..=199 => {
                self.interim += 1;
                if self.interim > MOST_INTERIM {
                    return Err("it has too many interim answers before it");
                }
                Phase::Head(asked)
            }
            204 | 304 => Phase::Silent,
            _ if asked.head => Phase::Silent,
            _ => self.begin_content(head),
        };
        Ok(())
    }

    fn begin_content(&mut self, head: &Head) -> Phase {
        let state = match (head.is_chunked(), head.length()) {
            (true, _) => State::ChunkSize,
            (false, None) => return Phase::UntilClose,
            (false, Some(0)) => return Phase::Silent,
            (false, Some(length)) => State::Sized(length),
        };
        self.lines.state = state;
        Phase::Content
    }
}

impl Lines {
    /// `Switching` says that the head is complete.
    fn answer_line(&mut self, line: &[u8]) -> Result<(), AdmitError> {
        if self.head.take_answer(line, &self.bounds)? {
            self.state = State::Switching;
        }
        Ok(())
    }
}

/// The same fault in an answer, as the end of "the upstream's answer breaks HTTP: ...".
const fn told(why: AdmitError) -> &'static str {
    match why {
        AdmitError::Framing => "its length is in doubt",
        AdmitError::TransferCoding => "it has a transfer coding besides `chunked`",
        AdmitError::TooManyFields | AdmitError::HeadTooLarge | AdmitError::TargetTooLong => {
            "its head is too large"
        }
        AdmitError::Version => "its version is neither HTTP/1.0 nor HTTP/1.1",
        _ => "its line structure is not that of HTTP/1.1",
    }
}

#[cfg(test)]
mod tests;
