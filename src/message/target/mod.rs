//! The request target: refused when two readers could read it differently, else kept byte for byte.
//!
//! The bytes that are judged are the bytes that are forwarded; nothing here rewrites a target.
//! The query takes no part in any decision, so only its characters are checked.

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXLOWER;
use http::uri::PathAndQuery;

use super::AdmitError;
use crate::config::PathClass;

/// Spellings that a route may admit although servers disagree about them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Oddities(u8);

impl Oddities {
    pub(crate) const NONE: Self = Self(0);
    /// `%2F` in a path.
    pub(crate) const ENCODED_SLASH: Self = Self(1);
    /// `;`, plain or encoded: path parameters to some servers.
    pub(crate) const SEMICOLON: Self = Self(2);
    /// `//`: merged by some servers.
    pub(crate) const DOUBLE_SLASH: Self = Self(4);

    #[must_use]
    pub(crate) const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    pub(crate) const fn contains(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    #[cfg(test)]
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl<'a> FromIterator<&'a PathClass> for Oddities {
    fn from_iter<I: IntoIterator<Item = &'a PathClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::NONE, |all, class| {
            all.with(match class {
                PathClass::EncodedSlash => Self::ENCODED_SLASH,
                PathClass::Semicolon => Self::SEMICOLON,
                PathClass::DoubleSlash => Self::DOUBLE_SLASH,
            })
        })
    }
}

impl fmt::Debug for Oddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::ENCODED_SLASH, "encoded-slash"),
            (Self::SEMICOLON, "semicolon"),
            (Self::DOUBLE_SLASH, "double-slash"),
        ];
        f.debug_set()
            .entries(
                names
                    .iter()
                    .filter(|(one, _)| self.contains(*one))
                    .map(|(_, name)| name),
            )
            .finish()
    }
}

/// A path with its query in origin form, or the asterisk of `OPTIONS *` (RFC 9112 section 3.2).
#[derive(Debug, Clone)]
pub(crate) struct Target {
    text: PathAndQuery,
    oddities: Oddities,
}

impl Target {
    /// Checks everything about a target but its length and what only a route can admit.
    ///
    /// # Errors
    /// Each class of decision D20 has its own error; all answer 400.
    pub(crate) fn check(text: PathAndQuery) -> Result<Self, AdmitError> {
        let oddities = check_path(text.path())?;
        if text
            .query()
            .is_some_and(|query| !query.bytes().all(is_query_byte))
        {
            return Err(AdmitError::TargetCharacter);
        }
        if !text.as_str().starts_with('/') {
            return Err(AdmitError::TargetForm);
        }
        Ok(Self { text, oddities })
    }

    /// `OPTIONS *`, which no route carries.
    pub(crate) fn asterisk() -> Self {
        Self {
            text: PathAndQuery::from_static("*"),
            oddities: Oddities::NONE,
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.text.path()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.text.query()
    }

    /// Exactly what the client sent.
    pub(crate) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    pub(crate) const fn path_and_query(&self) -> &PathAndQuery {
        &self.text
    }

    #[cfg(test)]
    pub(crate) const fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Refuses the first oddity that the route has not admitted.
    pub(crate) const fn permitted_by(&self, admitted: Oddities) -> Result<(), AdmitError> {
        let open = Oddities(self.oddities.0 & !admitted.0);
        if open.contains(Oddities::ENCODED_SLASH) {
            Err(AdmitError::PathEncodedSlash)
        } else if open.contains(Oddities::SEMICOLON) {
            Err(AdmitError::PathSemicolon)
        } else if open.contains(Oddities::DOUBLE_SLASH) {
            Err(AdmitError::PathDoubleSlash)
        } else {
            Ok(())
        }
    }
}

/// A path as a server reads it that ignores case: in lower case, letters written as escapes (RFC 3986 section 2.1)
/// included. Only for judging; what is forwarded stays as it came.
pub(crate) fn folded(path: &str) -> Cow<'_, str> {
    if !path
        .bytes()
        .any(|byte| byte.is_ascii_uppercase() || byte == b'%')
    {
        return Cow::Borrowed(path);
    }
    let (mut text, mut letters) = (String::with_capacity(path.len()), Vec::new());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        match escaped(rest) {
            // The bytes of letters beyond ASCII; several make up one letter.
            Some((byte @ 0x80.., after)) => {
                letters.push(byte);
                rest = after;
            }
            _ => {
                flush(&mut letters, &mut text);
                text.push(char::from(first.to_ascii_lowercase()));
                rest = after;
            }
        }
    }
    flush(&mut letters, &mut text);
    Cow::Owned(text)
}

/// The byte that an escape at the start of `text` stands for, and what follows it.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, after @ ..] = text else {
        return None;
    };
    let digits = [*high, *low];
    let byte = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    Some((byte, after))
}

/// Writes letters that stood as escapes, folded, as escapes again. Capitals first: two letters that a server holds for
/// the same have one capital. A canonical path has nothing else there; if it had, it would stay as it is.
fn flush(letters: &mut Vec<u8>, text: &mut String) {
    let folded: Vec<u8> = match std::str::from_utf8(letters) {
        Ok(letters) => letters.chars().map(fold).collect::<String>().into_bytes(),
        Err(_not_text) => letters.clone(),
    };
    for byte in folded {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&HEXLOWER.encode(&[byte]));
        }
    }
    letters.clear();
}

fn fold(letter: char) -> char {
    let capital = single(letter.to_uppercase()).unwrap_or(letter);
    single(capital.to_lowercase()).unwrap_or(capital)
}

fn single(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next()?;
    letters.next().is_none().then_some(first)
}

/// RFC 3986 `pchar` and `/`, and what browsers leave as it is in a path: `[ ] ^ |`.
const fn is_path_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'?' | b'`' | b'{' | b'}')
}

/// RFC 3986 `query`, and what browsers leave as it is in one.
const fn is_query_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'#'
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Judges a path byte by byte; allocates only when it holds encoded bytes beyond ASCII.
pub(crate) fn check_path(path: &str) -> Result<Oddities, AdmitError> {
    let bytes = path.as_bytes();
    let mut oddities = Oddities::NONE;
    let mut segment = Segment::default();
    let mut beyond_ascii = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let decoded = decode(bytes, at)?;
            beyond_ascii |= !decoded.is_ascii();
            oddities = oddities.with(judge_encoded(decoded, bytes.get(at + 3..))?);
            if decoded == b'/' && segment.is_empty() {
                oddities = oddities.with(Oddities::DOUBLE_SLASH);
            }
            segment.push(decoded)?;
            at += 3;
            continue;
        }
        match byte {
            b'\\' => return Err(AdmitError::PathBackslash),
            b';' => oddities = oddities.with(Oddities::SEMICOLON),
            b'/' if at > 0 && segment.is_empty() => {
                oddities = oddities.with(Oddities::DOUBLE_SLASH);
            }
            _ if !is_path_byte(byte) => return Err(AdmitError::TargetCharacter),
            _ => {}
        }
        segment.push(byte)?;
        at += 1;
    }
    segment.end()?;
    if beyond_ascii {
        check_utf8(bytes)?;
    }
    Ok(oddities)
}

fn decode(bytes: &[u8], at: usize) -> Result<u8, AdmitError> {
    match (hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(AdmitError::PathEncoding),
    }
}

/// What an encoded byte means; `rest` is what follows it.
fn judge_encoded(decoded: u8, rest: Option<&[u8]>) -> Result<Oddities, AdmitError> {
    match decoded {
        b'/' => Ok(Oddities::ENCODED_SLASH),
        b';' => Ok(Oddities::SEMICOLON),
        b'\\' => Err(AdmitError::PathBackslash),
        // `%252e`: another byte to whoever decodes twice.
        b'%' if rest
            .is_some_and(|rest| hex(rest.first()).is_some() && hex(rest.get(1)).is_some()) =>
        {
            Err(AdmitError::PathEncoding)
        }
        _ if decoded.is_ascii_control() => Err(AdmitError::PathControl),
        _ if is_unreserved(decoded) => Err(AdmitError::PathEncodedUnreserved),
        _ => Ok(Oddities::NONE),
    }
}

/// The segment being read, as a server would see it that decodes slashes and drops parameters.
#[derive(Default)]
struct Segment {
    length: usize,
    dots: usize,
    in_parameters: bool,
}

impl Segment {
    const fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push(&mut self, decoded: u8) -> Result<(), AdmitError> {
        match decoded {
            b'/' => {
                self.end()?;
                *self = Self::default();
                return Ok(());
            }
            b';' => self.in_parameters = true,
            b'.' if !self.in_parameters => self.dots += 1,
            _ => {}
        }
        self.length += usize::from(!self.in_parameters);
        Ok(())
    }

    const fn end(&self) -> Result<(), AdmitError> {
        if self.length == self.dots && matches!(self.dots, 1 | 2) {
            return Err(AdmitError::PathDotSegment);
        }
        Ok(())
    }
}

fn check_utf8(path: &[u8]) -> Result<(), AdmitError> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        if byte == b'%' {
            decoded.push(decode(path, at)?);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    match std::str::from_utf8(&decoded) {
        Ok(text) if text.contains(char::is_control) => Err(AdmitError::PathControl),
        Ok(_) => Ok(()),
        Err(_) => Err(AdmitError::PathNotUtf8),
    }
}

#[cfg(test)]
mod tests;
