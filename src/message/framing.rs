//! The header section of a request: its size, fields that may stand once, and what tells where the message ends.
//!
//! hyper has already split the bytes; this judges what it tolerates and we do not (RFC 9112 section 6, RFC 9113
//! section 8.2). What hyper hides from us is judged on the wire itself, by the connection.

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{AdmitError, Rules};

/// What one pass over the header section found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) cookies: usize,
    pub(crate) has_connection: bool,
    pub(crate) has_via: bool,
    /// A name that only the edge may set stands among the fields.
    pub(crate) reserved: bool,
}

/// Fields that may stand once. Two of them let two readers take different ones.
fn singleton(name: &str) -> Option<u32> {
    Some(match name {
        "host" => 0,
        "content-length" => 1,
        "transfer-encoding" => 2,
        "authorization" => 3,
        "content-type" => 4,
        "expect" => 5,
        "max-forwards" => 6,
        "origin" => 7,
        "sec-fetch-mode" => 8,
        "sec-fetch-site" => 9,
        "sec-websocket-key" => 10,
        "sec-websocket-version" => 11,
        "upgrade" => 12,
        "content-range" => 13,
        "from" => 14,
        "user-agent" => 15,
        _ => return None,
    })
}

/// Reads the whole header section once.
pub(crate) fn survey(
    headers: &HeaderMap,
    version: Version,
    rules: &Rules,
) -> Result<Survey, AdmitError> {
    if headers.len() > rules.header_count {
        return Err(AdmitError::TooManyFields);
    }
    let mut survey = Survey::default();
    let mut size = 0_usize;
    let mut seen = 0_u32;
    for (name, value) in headers {
        size = size.saturating_add(name.as_str().len() + value.len() + 4);
        if size > rules.header_bytes {
            return Err(AdmitError::HeadTooLarge);
        }
        if let Some(bit) = singleton(name.as_str()) {
            if seen & (1 << bit) != 0 {
                return Err(repeated(name));
            }
            seen |= 1 << bit;
        }
        if version == Version::HTTP_2 {
            check_http2(name, value)?;
        }
        survey.take(name, value, version)?;
        survey.reserved |= rules.reserved.contains(name.as_str());
    }
    if survey.chunked && survey.content_length.is_some() {
        return Err(AdmitError::Framing);
    }
    Ok(survey)
}

fn repeated(name: &HeaderName) -> AdmitError {
    if name == header::HOST {
        AdmitError::HostRepeated
    } else if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
        AdmitError::Framing
    } else {
        AdmitError::FieldRepeated
    }
}

impl Survey {
    fn take(
        &mut self,
        name: &HeaderName,
        value: &HeaderValue,
        version: Version,
    ) -> Result<(), AdmitError> {
        match name.as_str() {
            "content-length" => self.content_length = Some(read_length(value)?),
            "transfer-encoding" => {
                // RFC 9112 section 6.1: a sender of HTTP/1.0 does not know it, so its meaning is in doubt.
                if version != Version::HTTP_11 {
                    return Err(AdmitError::Framing);
                }
                if !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                    return Err(coding(value));
                }
                self.chunked = true;
            }
            "expect"
                if version != Version::HTTP_10
                    && !value.as_bytes().eq_ignore_ascii_case(b"100-continue") =>
            {
                return Err(AdmitError::Expectation);
            }
            "cookie" => self.cookies += 1,
            "connection" => self.has_connection = true,
            "via" => self.has_via = true,
            _ => {}
        }
        Ok(())
    }
}

/// A coding that ends in something else than `chunked` leaves the length in doubt; a known end with more before it
/// is a coding we do not serve (RFC 9112 sections 6.1 and 6.3).
fn coding(value: &HeaderValue) -> AdmitError {
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next();
    if last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        AdmitError::TransferCoding
    } else {
        AdmitError::Framing
    }
}

/// `1*DIGIT` and nothing else; at most 19 digits, so that it fits.
fn read_length(value: &HeaderValue) -> Result<u64, AdmitError> {
    let text = value.to_str().unwrap_or_default();
    let digits =
        !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits => Ok(length),
        _ => Err(AdmitError::Framing),
    }
}

/// RFC 9113 sections 8.2.1 and 8.2.2.
fn check_http2(name: &HeaderName, value: &HeaderValue) -> Result<(), AdmitError> {
    match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
        | "http2-settings" => return Err(AdmitError::ConnectionField),
        "te" if value != "trailers" => return Err(AdmitError::ConnectionField),
        _ => {}
    }
    let padded = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    if padded(bytes.first()) || padded(bytes.last()) {
        return Err(AdmitError::FieldValue);
    }
    Ok(())
}
