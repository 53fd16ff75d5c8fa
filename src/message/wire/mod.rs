//! The bytes of an HTTP/1.1 connection, followed as strictly as RFC 9112 lets one: what hyper hides from us is judged here.
//!
//! hyper forgives bare line feeds, a length beside a transfer coding, repeated lengths and fragments. This follows the
//! same bytes on their way to it and refuses what has a second reading. It changes nothing and keeps no message: only
//! where the message ends and whether every line of it is in order. Who asks, and for what, is judged later.

pub(crate) mod answer;
pub(crate) mod content;
mod head;

use self::head::Head;
use super::AdmitError;

/// Bytes of one chunk's extensions and of its size; hyper forgets extensions, so nobody behind us sees them.
const MOST_OF_CHUNK_LINE: usize = 1024;
/// Digits of a chunk's size (RFC 9112 section 7.1 leaves the bound to us).
const MOST_DIGITS: usize = 15;

/// Bounds of a head, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadBounds {
    /// The whole head with its start line.
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
    pub(crate) target: usize,
}

/// A message that must not be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) why: AdmitError,
    /// Bytes before the offending message, which are in order.
    pub(crate) fine: usize,
    /// The head came earlier, was in order and is being served; the fault is in the body.
    pub(crate) in_body: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// Content with this many bytes to come.
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Another protocol was asked for; no byte is due before the answer.
    Switching,
    /// Another protocol is spoken.
    Foreign,
}

/// Follows one connection from its first byte.
#[derive(Debug)]
pub(crate) struct Lines {
    bounds: HeadBounds,
    state: State,
    head: Head,
    /// The beginning of a line whose end has not arrived.
    held: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(bounds: HeadBounds) -> Self {
        Self {
            bounds,
            state: State::Head,
            head: Head::default(),
            held: Vec::new(),
        }
    }

    /// `true` after a request for another protocol: say with [`Lines::switched`] how it was answered, before reading on.
    pub(crate) fn is_switching(&self) -> bool {
        self.state == State::Switching
    }

    /// How the request for another protocol was answered.
    pub(crate) fn switched(&mut self, agreed: bool) {
        self.state = if agreed { State::Foreign } else { State::Head };
    }

    /// `true` when every message that began has ended.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.state == State::Head && self.head.is_untouched() && self.held.is_empty()
    }

    /// Gives back memory that only a message needs; it is taken again when one comes.
    pub(crate) fn release(&mut self) {
        self.held.shrink_to_fit();
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// The first [`Offence`]; nothing may be read after it.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let mut rest = bytes;
        let mut fine = 0;
        let in_content = !matches!(self.state, State::Head | State::Switching);
        while !rest.is_empty() {
            rest = self.step(rest).map_err(|why| Offence {
                why,
                fine,
                in_body: in_content && fine == 0,
            })?;
            if self.is_between_messages() || self.state == State::Switching {
                fine = bytes.len() - rest.len();
            }
        }
        Ok(())
    }

    /// Takes one line or one run of content; gives what is left.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], AdmitError> {
        match self.state {
            State::Head => {
                let room = self.bounds.bytes.saturating_sub(self.head.bytes());
                self.line(bytes, room, Self::head_line)
            }
            State::Trailers => {
                let room = self.bounds.bytes.saturating_sub(self.head.bytes());
                self.line(bytes, room, Self::trailer_line)
            }
            State::ChunkSize => self.line(bytes, MOST_OF_CHUNK_LINE, Self::chunk_line),
            State::ChunkEnd => self.line(bytes, 2, Self::chunk_end),
            State::Sized(left) => Ok(self.content(bytes, left, State::Sized, State::Head)),
            State::Chunk(left) => Ok(self.content(bytes, left, State::Chunk, State::ChunkEnd)),
            State::Switching => Err(AdmitError::UpgradeMalformed),
            State::Foreign => Ok(&[]),
        }
    }

    fn content<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        more: fn(u64) -> State,
        after: State,
    ) -> &'a [u8] {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - taken as u64;
        self.state = if left == 0 { after } else { more(left) };
        bytes.get(taken..).unwrap_or_default()
    }

    /// Hands the next line to `take`, or keeps its beginning until the rest arrives.
    fn line<'a>(
        &mut self,
        bytes: &'a [u8],
        room: usize,
        take: fn(&mut Self, &[u8]) -> Result<(), AdmitError>,
    ) -> Result<&'a [u8], AdmitError> {
        let Some(length) = line_length(&self.held, bytes)? else {
            self.held.extend_from_slice(bytes);
            return if self.held.len() > room {
                Err(self.overlong())
            } else {
                self.unfinished().map(|()| <&[u8]>::default())
            };
        };
        let (mine, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        if self.held.len() + mine.len() > room {
            return Err(self.overlong());
        }
        if self.held.is_empty() {
            take(self, mine.strip_suffix(b"\r\n").unwrap_or(mine))?;
            return Ok(rest);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(mine);
        let taken = take(self, held.strip_suffix(b"\r\n").unwrap_or(&held));
        held.clear();
        self.held = held;
        taken.map(|()| rest)
    }

    /// What a line is that does not end within its bound.
    fn overlong(&self) -> AdmitError {
        match self.state {
            State::Head if self.head.awaits_start() => AdmitError::TargetTooLong,
            State::Head | State::Trailers => AdmitError::HeadTooLarge,
            _ => AdmitError::Framing,
        }
    }

    /// A start line whose target is too long already need not be waited for.
    fn unfinished(&self) -> Result<(), AdmitError> {
        let start = self.state == State::Head && self.head.awaits_start();
        if start && self.held.len() > self.bounds.target + head::MOST_AROUND_TARGET {
            return Err(AdmitError::TargetTooLong);
        }
        Ok(())
    }

    fn head_line(&mut self, line: &[u8]) -> Result<(), AdmitError> {
        if !self.head.take(line, &self.bounds)? {
            return Ok(());
        }
        let head = std::mem::take(&mut self.head);
        let framing = head.framing();
        self.state = match (framing.chunked, framing.length) {
            (true, Some(_)) => return Err(AdmitError::Framing),
            (true, None) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Sized(length),
            (false, _) if head.asks_to_switch() => State::Switching,
            (false, _) => State::Head,
        };
        Ok(())
    }

    fn chunk_line(&mut self, line: &[u8]) -> Result<(), AdmitError> {
        self.state = match chunk_size(line)? {
            0 => State::Trailers,
            size => State::Chunk(size),
        };
        Ok(())
    }

    fn chunk_end(&mut self, line: &[u8]) -> Result<(), AdmitError> {
        self.state = State::ChunkSize;
        if line.is_empty() {
            Ok(())
        } else {
            Err(AdmitError::Framing)
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), AdmitError> {
        if self.head.take_trailer(line, &self.bounds)? {
            self.head = Head::default();
            self.state = State::Head;
        }
        Ok(())
    }
}

/// `chunk-size [ chunk-ext ]` (RFC 9112 section 7.1).
fn chunk_size(line: &[u8]) -> Result<u64, AdmitError> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (size, extension) = line.split_at_checked(digits).unwrap_or((line, &[]));
    if size.is_empty()
        || size.len() > MOST_DIGITS
        || !matches!(extension.first(), None | Some(b';'))
    {
        return Err(AdmitError::Framing);
    }
    Ok(size.iter().fold(0_u64, |size, digit| {
        size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    }))
}

/// Bytes of `bytes` up to the end of the line that `held` begins; `None` when it has not ended.
///
/// A line ends with CR LF. Any other control character in it, a lone CR or LF among them, is an offence.
fn line_length(held: &[u8], bytes: &[u8]) -> Result<Option<usize>, AdmitError> {
    let fault = AdmitError::LineStructure;
    if held.last() == Some(&b'\r') {
        return if bytes.first() == Some(&b'\n') {
            Ok(Some(1))
        } else {
            Err(fault)
        };
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let text = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        return if has_control(text) {
            Err(fault)
        } else {
            Ok(None)
        };
    };
    match bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
        Some(text) if !has_control(text) => Ok(Some(end + 1)),
        _ => Err(fault),
    }
}

/// Looks at every byte, because that is faster than stopping at the first one.
fn has_control(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |found, byte| found | is_control(*byte))
}

const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') | (byte == 0x7f)
}

#[cfg(test)]
mod tests;
