//! The head of an upstream's HTTP/1.1 answer, read as strictly as that of a request: what has a second reading is refused.
//!
//! Bare line feeds, repeated lengths, codings besides `chunked`, folded lines and any number of interim answers are what
//! lenient readers forgive and two readers take differently. This is the only reader of answers, so that nothing can be
//! judged in one way and understood in another. Where the content ends is said here, and read by [`super::content`].

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::has_control;
use super::head::{Framing, trimmed};
use crate::message::{AdmitError, hop, security};

/// Fields and bytes of an answer's head, and of its trailers.
pub(crate) const MOST_FIELDS: usize = 200;
pub(crate) const MOST_BYTES: usize = 128 * 1024;

/// For a status beyond 599 (RFC 9110 section 15).
pub(crate) const NO_STATUS: &str = "its status is none";

/// Interim answers (1xx) to one request. A server that has more to say is not saying anything.
const MOST_INTERIM: u8 = 32;
/// Fields of a usual answer and those that we add, so that the map never grows.
const USUAL_FIELDS: usize = 24;

/// What was sent, as far as the answer's end depends on it (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// By HEAD: the answer has no content, whatever it declares.
    pub(crate) head: bool,
    /// For another protocol: 101 may be the answer.
    pub(crate) switch: bool,
}

/// Where the content of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Nothing,
    /// Never 0.
    Sized(u64),
    Chunked,
    UntilClose,
    /// Another protocol is spoken from here on.
    Foreign,
}

/// The head of a final answer.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    /// Without what concerns the connection and what an upstream must not say.
    pub(crate) headers: HeaderMap,
    /// The protocol that a 101 switches to.
    pub(crate) upgrade: Option<HeaderValue>,
    pub(crate) extent: Extent,
    /// The upstream takes another request on the connection.
    pub(crate) persists: bool,
}

/// Reads the answer to one request.
#[derive(Debug)]
pub(crate) struct Answers {
    asked: Asked,
    interim: u8,
    /// Where the line that is not complete yet begins.
    line: usize,
    /// Bytes that were looked at.
    seen: usize,
}

impl Answers {
    pub(crate) const fn new(asked: Asked) -> Self {
        Self {
            asked,
            interim: 0,
            line: 0,
            seen: 0,
        }
    }

    /// Takes the answer's head off `buffer`, with the interim answers before it; `None` when it is not complete.
    ///
    /// # Errors
    /// The end of "the upstream's answer breaks HTTP: ..."; nothing may be read after it.
    pub(crate) fn read(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<AnswerHead>, &'static str> {
        while let Some(length) = self.length(buffer).map_err(told)? {
            (self.line, self.seen) = (0, 0);
            let head = read_head(buffer.split_to(length).freeze(), self.asked)?;
            if !head.status.is_informational() || head.extent == Extent::Foreign {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err("it has too many interim answers before it");
            }
        }
        Ok(None)
    }

    /// `true` as long as no byte of an answer has come.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.interim == 0 && self.seen == 0
    }

    /// Bytes of the head up to the end of its empty line; each byte is looked at once, however they arrive.
    fn length(&mut self, bytes: &[u8]) -> Result<Option<usize>, AdmitError> {
        while let Some(end) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let end = self.seen + end;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let text = line.strip_suffix(b"\r").ok_or(AdmitError::LineStructure)?;
            let first = self.line == 0;
            (self.line, self.seen) = (end + 1, end + 1);
            match (text.is_empty(), first) {
                // No empty line before an answer is forgiven.
                (true, true) => return Err(AdmitError::LineStructure),
                (true, false) => return bounded(end + 1),
                (false, _) => {}
            }
        }
        self.seen = bytes.len();
        bounded(bytes.len())?;
        unfinished(bytes, self.line)
    }
}

fn bounded(length: usize) -> Result<Option<usize>, AdmitError> {
    if length > MOST_BYTES {
        return Err(AdmitError::HeadTooLarge);
    }
    Ok(Some(length))
}

/// What is no answer need not be waited for.
fn unfinished(bytes: &[u8], first_lines: usize) -> Result<Option<usize>, AdmitError> {
    const START: &[u8] = b"HTTP/";
    let common = bytes.len().min(START.len());
    if bytes.get(..common) != START.get(..common) {
        return Err(AdmitError::LineStructure);
    }
    if first_lines > 0 {
        status_line(first_line(bytes).0)?;
    }
    Ok(None)
}

/// The first line without its end, and the length of both.
fn first_line(bytes: &[u8]) -> (&[u8], usize) {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = bytes.get(..end).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), end + 1)
}

/// What the fields of a head say about it, besides those that are passed on.
#[derive(Default)]
struct Said {
    framing: Framing,
    upgrade: Option<HeaderValue>,
    closes: bool,
    keeps: bool,
    nominated: Vec<HeaderName>,
}

/// Reads a complete head. Its values share the memory of `head`.
fn read_head(mut head: Bytes, asked: Asked) -> Result<AnswerHead, &'static str> {
    let (line, length) = first_line(&head);
    let (old, status) = status_line(line).map_err(told)?;
    head.advance(length);
    let mut said = Said::default();
    said.framing.old = old;
    let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
    let mut count = 0;
    loop {
        let (line, length) = first_line(&head);
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > MOST_FIELDS {
            return Err(told(AdmitError::TooManyFields));
        }
        let (name, value) = field(line).map_err(told)?;
        let start = line.len() - value.len();
        let value = head.slice(start..line.len());
        head.advance(length);
        said.take(&mut headers, name, value).map_err(told)?;
    }
    for name in &said.nominated {
        headers.remove(name);
    }
    let extent = extent(status, said.framing, asked)?;
    let status = StatusCode::from_u16(status).map_err(|_range| NO_STATUS)?;
    Ok(AnswerHead {
        status,
        headers,
        upgrade: said.upgrade,
        extent,
        // HTTP/1.0 has to say so (RFC 9112 section 9.3).
        persists: !said.closes && (!old || said.keeps) && extent != Extent::UntilClose,
    })
}

/// Name and value of a field's line; the value runs to the line's end and begins without blanks.
///
/// Neither an empty name, nor a space before the colon, nor a folded line is one (RFC 9112 sections 5.1 and 5.2).
pub(super) fn field(line: &[u8]) -> Result<(HeaderName, &[u8]), AdmitError> {
    let colon = memchr::memchr(b':', line).ok_or(AdmitError::LineStructure)?;
    let (name, rest) = line.split_at_checked(colon).unwrap_or((line, &[]));
    let name = HeaderName::from_bytes(name).map_err(|_no_token| AdmitError::LineStructure)?;
    let value = rest.strip_prefix(b":").unwrap_or_default();
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(is_text).unwrap_or(value.len());
    Ok((name, value.get(start..).unwrap_or_default()))
}

impl Said {
    fn take(
        &mut self,
        headers: &mut HeaderMap,
        name: HeaderName,
        value: Bytes,
    ) -> Result<(), AdmitError> {
        match name {
            header::TRANSFER_ENCODING => self.framing.take_coding(trimmed(&value))?,
            header::CONNECTION => self.options(&checked(value)?),
            header::UPGRADE => self.upgrade = Some(checked(value)?),
            header::CONTENT_LENGTH => {
                self.framing.take_length(trimmed(&value))?;
                headers.insert(name, checked(value)?);
            }
            name if security::is_passed_on(&name) => {
                headers.append(name, checked(value)?);
            }
            _ if has_control(&value) => return Err(AdmitError::LineStructure),
            _ => {}
        }
        Ok(())
    }

    fn options(&mut self, value: &HeaderValue) {
        for option in hop::options_of(value) {
            self.closes |= option.eq_ignore_ascii_case("close");
            self.keeps |= option.eq_ignore_ascii_case("keep-alive");
            self.nominated.extend(hop::nomination(option));
        }
    }
}

/// A value without the blanks at its end. Control characters have no place in it, tabs excepted.
pub(super) fn checked(mut value: Bytes) -> Result<HeaderValue, AdmitError> {
    let length = trimmed(&value).len();
    value.truncate(length);
    HeaderValue::from_maybe_shared(value).map_err(|_control| AdmitError::LineStructure)
}

/// How the answer goes on after its head (RFC 9112 section 6.3).
fn extent(status: u16, framing: Framing, asked: Asked) -> Result<Extent, &'static str> {
    let Framing {
        length, chunked, ..
    } = framing;
    if chunked && length.is_some() {
        return Err("it declares its length twice");
    }
    let has_content = chunked || length.is_some_and(|length| length > 0);
    Ok(match status {
        600.. => return Err(NO_STATUS),
        101 if asked.switch => Extent::Foreign,
        101 => return Err("it switches protocols without being asked to"),
        ..=199 | 204 if has_content => return Err(told(AdmitError::Framing)),
        // RFC 9110 section 15.3.6; no chunk but the last says the same.
        205 if length.is_some_and(|length| length > 0) => {
            return Err(told(AdmitError::Framing));
        }
        ..=199 | 204 | 304 => Extent::Nothing,
        _ if asked.head => Extent::Nothing,
        _ => match (chunked, length) {
            (true, _) => Extent::Chunked,
            (false, None) => Extent::UntilClose,
            (false, Some(0)) => Extent::Nothing,
            (false, Some(length)) => Extent::Sized(length),
        },
    })
}

/// The same fault in an answer, as the end of "the upstream's answer breaks HTTP: ...".
pub(super) const fn told(why: AdmitError) -> &'static str {
    match why {
        AdmitError::Framing => "its length is in doubt",
        AdmitError::TransferCoding => "it has a transfer coding besides `chunked`",
        AdmitError::TooManyFields | AdmitError::HeadTooLarge => "its head is too large",
        AdmitError::Version => "its version is neither HTTP/1.0 nor HTTP/1.1",
        _ => "its line structure is not that of HTTP/1.1",
    }
}

/// `HTTP-version SP status-code [SP reason]`; `true` for HTTP/1.0. Many servers leave out the second blank as well.
fn status_line(line: &[u8]) -> Result<(bool, u16), AdmitError> {
    if has_control(line) {
        return Err(AdmitError::LineStructure);
    }
    let (version, rest) = line.split_at_checked(9).ok_or(AdmitError::LineStructure)?;
    let old = match version {
        b"HTTP/1.1 " => false,
        b"HTTP/1.0 " => true,
        _ if version.starts_with(b"HTTP/") => return Err(AdmitError::Version),
        _ => return Err(AdmitError::LineStructure),
    };
    let (digits, reason) = match rest {
        [hundreds @ b'1'..=b'9', tens, units, reason @ ..] => ([*hundreds, *tens, *units], reason),
        _ => return Err(AdmitError::LineStructure),
    };
    let plain = digits.iter().all(u8::is_ascii_digit) && matches!(reason, [] | [b' ', ..]);
    if !plain {
        return Err(AdmitError::LineStructure);
    }
    let status = digits
        .iter()
        .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Ok((old, status))
}

#[cfg(test)]
mod tests;
