//! Version 1, a line of text (section 2.1): `PROXY TCP4 192.0.2.1 198.51.100.1 50000 443` and CR LF.
//!
//! One spelling for everything: single spaces, addresses of the family that is named, numbers without signs or leading
//! zeros.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Ends, Header, HeaderError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Longest line, its end included.
pub(super) const LONGEST: usize = 107;

/// `bytes` agree with the signature as far as they go.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| !matches!(byte, b' '..=b'~')) else {
        return if window.len() < LONGEST {
            Ok(None)
        } else {
            Err(HeaderError::TooLong)
        };
    };
    match window.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if window.len() < LONGEST => return Ok(None),
        [b'\r'] => return Err(HeaderError::TooLong),
        _ => return Err(HeaderError::Line),
    }
    let line = window
        .get(SIGNATURE.len()..end)
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(HeaderError::Line)?;
    Ok(Some(Header {
        ends: ends(line)?,
        length: end + 2,
    }))
}

fn ends(line: &str) -> Result<Option<Ends>, HeaderError> {
    let mut words = line.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next() {
        Some("TCP4") => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some("TCP6") => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        _ => return Err(HeaderError::Line),
    };
    let parts = (
        words.next().and_then(address),
        words.next().and_then(address),
        words.next().and_then(port),
        words.next().and_then(port),
        words.next(),
    );
    match parts {
        (Some(source), Some(destination), Some(from), Some(to), None) => Ok(Some(Ends {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        })),
        _ => Err(HeaderError::Line),
    }
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    (plain && !padded).then(|| text.parse().ok()).flatten()
}
