//! Reads what a server answers to a ClientHello, up to where it waits for the client.
//!
//! Strict: a length that does not fit, a message that has no place there, or too much of everything is malformed.

use super::Version;

/// More than any honest first flight, with a long chain, has.
pub(crate) const LARGEST: usize = 128 * 1024;
/// RFC 8446 section 5.1, and what RFC 5246 let encryption add.
const LARGEST_RECORD: usize = (1 << 14) + 2048;
/// RFC 8446 section 4.1.3: a ServerHello with this random is a HelloRetryRequest.
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// The server's bytes are no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no TLS")]
pub(crate) struct Malformed;

/// What a server said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing that decides yet.
    Nothing,
    /// A fatal alert, by its number.
    Refused(u8),
    Hello(Box<Hello>),
}

/// What a server chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) suite: u16,
    pub(crate) compression: bool,
    /// RFC 5746.
    pub(crate) secure_renegotiation: bool,
    /// The group for key exchange, where one was named.
    pub(crate) group: Option<u16>,
    /// The size of the prime of a finite field, where one was sent.
    pub(crate) prime_bits: Option<usize>,
    /// As sent in the clear before TLS 1.3, leaf first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Whether nothing more comes before it is the client's turn.
    pub(crate) complete: bool,
}

impl Answer {
    /// Reads everything that arrived so far.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > LARGEST {
            return Err(Malformed);
        }
        let mut rest = Reader(bytes);
        let mut messages = Vec::new();
        while let Some((kind, body)) = rest.record()? {
            match kind {
                22 => messages.extend(body),
                21 => return alert(body, &messages),
                // What follows a ServerHello of TLS 1.3 is not for us to read.
                20 | 23 if matches!(read_messages(&messages)?, Self::Hello(hello) if hello.complete) =>
                {
                    break;
                }
                _ => return Err(Malformed),
            }
        }
        read_messages(&messages)
    }
}

/// An alert ends a handshake; one that is only a warning (level 1) says nothing about what was offered.
fn alert(body: &[u8], messages: &[u8]) -> Result<Answer, Malformed> {
    match (body, read_messages(messages)?) {
        (_, hello @ Answer::Hello(_)) => Ok(hello),
        ([2, number], Answer::Nothing | Answer::Refused(_)) => Ok(Answer::Refused(*number)),
        ([1, _], Answer::Nothing | Answer::Refused(_)) => Ok(Answer::Nothing),
        _ => Err(Malformed),
    }
}

fn read_messages(bytes: &[u8]) -> Result<Answer, Malformed> {
    let mut rest = Reader(bytes);
    let mut answer: Option<Hello> = None;
    while let Some((kind, body)) = rest.message()? {
        match (kind, &mut answer) {
            (2, None) => answer = Some(server_hello(body)?),
            // Of TLS 1.3 nothing but the ServerHello is readable.
            (_, Some(hello)) if hello.complete => return Err(Malformed),
            (11, Some(hello)) if hello.chain.is_empty() => hello.chain = certificates(body)?,
            (12, Some(hello)) => key_exchange(body, hello)?,
            // CertificateStatus and CertificateRequest.
            (22 | 13, Some(_)) => {}
            (14, Some(hello)) if body.is_empty() => hello.complete = true,
            _ => return Err(Malformed),
        }
    }
    Ok(answer.map_or(Answer::Nothing, |hello| Answer::Hello(Box::new(hello))))
}

fn server_hello(body: &[u8]) -> Result<Hello, Malformed> {
    let mut body = Reader(body);
    let mut version = Version(body.u16()?);
    let random = body.take(32)?;
    let _session = body.vector8()?;
    let suite = body.u16()?;
    let compression = body.u8()? != 0;
    let (mut secure_renegotiation, mut group) = (false, None);
    if !body.0.is_empty() {
        let mut extensions = Reader(body.vector16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut value = Reader(extensions.vector16()?);
            match kind {
                0xFF01 => secure_renegotiation = true,
                43 => version = Version(value.only_u16()?),
                // A HelloRetryRequest names the group alone.
                51 if random == RETRY => group = Some(value.only_u16()?),
                51 => group = Some(value.u16()?),
                _ => {}
            }
        }
    }
    if !body.0.is_empty() {
        return Err(Malformed);
    }
    Ok(Hello {
        version,
        suite,
        compression,
        secure_renegotiation,
        group,
        prime_bits: None,
        chain: Vec::new(),
        complete: version == Version::TLS_1_3,
    })
}

fn certificates(body: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut body = Reader(body);
    let mut list = Reader(body.vector24()?);
    let mut chain = Vec::new();
    while !list.0.is_empty() {
        chain.push(list.vector24()?.to_vec());
    }
    if chain.is_empty() || !body.0.is_empty() {
        return Err(Malformed);
    }
    Ok(chain)
}

/// RFC 5246 section 7.4.3 with a finite field, RFC 8422 section 5.4 with a named curve. The signature is not read.
fn key_exchange(body: &[u8], hello: &mut Hello) -> Result<(), Malformed> {
    let mut body = Reader(body);
    let name = crate::tls::probe::Suite(hello.suite).name();
    if name.starts_with("TLS_ECDH") {
        if body.u8()? != 3 {
            return Err(Malformed);
        }
        hello.group = Some(body.u16()?);
    } else if name.starts_with("TLS_DH") {
        let prime = body.vector16()?;
        let zeros = prime.iter().take_while(|byte| **byte == 0).count();
        let significant = prime.get(zeros..).unwrap_or_default();
        let first = significant.first().map_or(8, |byte| byte.leading_zeros());
        let bits = significant.len().saturating_mul(8);
        hello.prime_bits = Some(bits.saturating_sub(usize::try_from(first).unwrap_or(0)));
    }
    Ok(())
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?.iter().fold(0, |_, byte| *byte))
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.number(2)?).map_err(|_beyond| Malformed)
    }

    fn only_u16(&mut self) -> Result<u16, Malformed> {
        let value = self.u16()?;
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }

    fn vector8(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number(1)?;
        self.take(length)
    }

    fn vector16(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number(2)?;
        self.take(length)
    }

    fn vector24(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number(3)?;
        self.take(length)
    }

    /// The next record; `None` while it is not there whole. What cannot become one is malformed at its first bytes.
    fn record(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        let before = self.0;
        let Some((head, _)) = before.split_first_chunk::<5>() else {
            let starts = before.first().is_none_or(|kind| (20..=23).contains(kind));
            return if starts { Ok(None) } else { Err(Malformed) };
        };
        let [kind, major, _minor, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(20..=23).contains(&kind) || major != 3 || length == 0 || length > LARGEST_RECORD {
            return Err(Malformed);
        }
        self.take(5)?;
        match self.take(length) {
            Ok(body) => Ok(Some((kind, body))),
            Err(Malformed) => {
                self.0 = before;
                Ok(None)
            }
        }
    }

    /// The next handshake message; `None` while it is not there whole.
    fn message(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        let before = self.0;
        let Some((head, _)) = before.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let [kind, high, middle, low] = *head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if length > LARGEST {
            return Err(Malformed);
        }
        self.take(4)?;
        match self.take(length) {
            Ok(body) => Ok(Some((kind, body))),
            Err(Malformed) => {
                self.0 = before;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
