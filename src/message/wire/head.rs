//! The lines of a head: the grammar of each, and the fields that say where the message ends (RFC 9112 sections 3, 5, 6).

use http::Uri;

use super::HeadBounds;
use crate::message::AdmitError;

/// Method, version and their spaces; no registered method has more than 17 letters.
pub(super) const MOST_AROUND_TARGET: usize = 64;

/// What a head says about where its message ends.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Framing {
    /// Of HTTP/1.0, which knows no transfer codings.
    pub(super) old: bool,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

impl Framing {
    /// A `Content-Length` field.
    pub(super) fn take_length(&mut self, value: &[u8]) -> Result<(), AdmitError> {
        match self.length.replace(length(value)?) {
            Some(_repeated) => Err(AdmitError::Framing),
            None => Ok(()),
        }
    }

    /// A `Transfer-Encoding` field.
    pub(super) fn take_coding(&mut self, value: &[u8]) -> Result<(), AdmitError> {
        if self.chunked || self.old {
            return Err(AdmitError::Framing);
        }
        coding(value)?;
        self.chunked = true;
        Ok(())
    }
}

/// What the lines of one head have said so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    started: bool,
    /// RFC 9112 section 2.2: one empty line before a request is forgiven.
    blank: bool,
    bytes: usize,
    fields: usize,
    framing: Framing,
    switch: bool,
}

impl Head {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_untouched(&self) -> bool {
        !self.started && !self.blank
    }

    pub(super) const fn awaits_start(&self) -> bool {
        !self.started
    }

    pub(super) const fn framing(&self) -> Framing {
        self.framing
    }

    /// HTTP/1.0 knows no other protocols (RFC 9110 section 7.8).
    pub(super) const fn asks_to_switch(&self) -> bool {
        self.switch && !self.framing.old
    }

    /// Takes a line of the head; `true` for the empty one that ends it.
    pub(super) fn take(&mut self, line: &[u8], bounds: &HeadBounds) -> Result<bool, AdmitError> {
        self.bytes = self.bytes.saturating_add(line.len() + 2);
        if self.started {
            return self.field(line, bounds, true);
        }
        if line.is_empty() {
            let first = !self.blank;
            self.blank = true;
            return if first {
                Ok(false)
            } else {
                Err(AdmitError::LineStructure)
            };
        }
        self.started = true;
        self.framing.old = start_line(line, bounds.target)?;
        Ok(false)
    }

    /// Takes a line of the trailers, which never say anything about the message; `true` for the empty one.
    pub(super) fn take_trailer(
        &mut self,
        line: &[u8],
        bounds: &HeadBounds,
    ) -> Result<bool, AdmitError> {
        self.bytes = self.bytes.saturating_add(line.len() + 2);
        self.field(line, bounds, false)
    }

    fn field(
        &mut self,
        line: &[u8],
        bounds: &HeadBounds,
        counts: bool,
    ) -> Result<bool, AdmitError> {
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > bounds.fields {
            return Err(AdmitError::TooManyFields);
        }
        let colon = line
            .iter()
            .position(|byte| !is_token(*byte))
            .unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        // Neither an empty name, nor a space before the colon, nor a folded line (RFC 9112 sections 5.1 and 5.2).
        let Some(value) = value.strip_prefix(b":").filter(|_| !name.is_empty()) else {
            return Err(AdmitError::LineStructure);
        };
        if counts {
            self.judge(name, value)?;
        }
        Ok(false)
    }

    fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), AdmitError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            7 if is("upgrade") => self.switch = true,
            14 if is("content-length") => self.framing.take_length(trimmed(value))?,
            17 if is("transfer-encoding") => self.framing.take_coding(trimmed(value))?,
            _ => {}
        }
        Ok(())
    }
}

/// Optional whitespace is spaces and tabs (RFC 9110 section 5.6.3).
pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// `1*DIGIT`, at most 19 of them (RFC 9110 section 8.6).
fn length(value: &[u8]) -> Result<u64, AdmitError> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(AdmitError::Framing);
    }
    Ok(value
        .iter()
        .fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// `chunked` and nothing else. A known end with more before it is a coding we do not serve (RFC 9112 section 6.1).
fn coding(value: &[u8]) -> Result<(), AdmitError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|byte| *byte == b',').map(trimmed);
    let ends_chunked = codings
        .next_back()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let known = ends_chunked
        && codings.all(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked"));
    Err(if known {
        AdmitError::TransferCoding
    } else {
        AdmitError::Framing
    })
}

/// `method SP request-target SP HTTP-version`; `true` for HTTP/1.0.
fn start_line(line: &[u8], most: usize) -> Result<bool, AdmitError> {
    // The same bound as for a line that arrives in pieces, which is held with its carriage return.
    if line.len() >= most.saturating_add(MOST_AROUND_TARGET) {
        return Err(AdmitError::TargetTooLong);
    }
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(AdmitError::LineStructure);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || target.is_empty() {
        return Err(AdmitError::LineStructure);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(AdmitError::Version);
        }
        _ => return Err(AdmitError::LineStructure),
    };
    if target.len() > most {
        return Err(AdmitError::TargetTooLong);
    }
    check_target(target)?;
    Ok(old)
}

/// What hyper would cut off (`#`) or refuse on its own, before anybody could write it down.
fn check_target(target: &[u8]) -> Result<(), AdmitError> {
    if target.first() == Some(&b'/') && target.iter().all(|byte| is_simple(*byte)) {
        return Ok(());
    }
    if target
        .iter()
        .any(|byte| !matches!(byte, 0x21..=0x7e) || *byte == b'#')
    {
        return Err(AdmitError::TargetCharacter);
    }
    match Uri::try_from(target) {
        Ok(_) => Ok(()),
        Err(_) if target.first() == Some(&b'/') => Err(AdmitError::TargetCharacter),
        Err(_) => Err(AdmitError::TargetForm),
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
/// What most targets are made of and nobody reads differently.
const SIMPLE: [bool; 256] = table(b"/-_.=&?%+,:");

/// Letters, digits and `more`.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when compiled; a bad index would not compile"
)]
const fn table(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < more.len() {
        table[more[at] as usize] = true;
        at += 1;
    }
    table
}

fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).is_some_and(|token| *token)
}

fn is_simple(byte: u8) -> bool {
    SIMPLE.get(usize::from(byte)).is_some_and(|simple| *simple)
}
