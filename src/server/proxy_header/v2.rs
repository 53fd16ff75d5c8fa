//! Version 2, binary (section 2.2): signature, version and command, family and transport, length, addresses,
//! extensions.
//!
//! Extensions are walked to their end and not believed, but for the checksum: where one is sent, it must be right.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Ends, Header, HeaderError, LONGEST};

pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, command, family and length.
const FIXED: usize = 16;
/// Extension type `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 0x03;

/// `bytes` agree with the signature as far as they go.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let Some(&command) = rest.first() else {
        return Ok(None);
    };
    let local = match (command >> 4, command & 0x0f) {
        (2, 0) => true,
        (2, 1) => false,
        (2, _) => return Err(HeaderError::Command),
        _ => return Err(HeaderError::Version),
    };
    let Some(&family) = rest.get(1) else {
        return Ok(None);
    };
    if !local && !matches!(family, 0x00 | 0x11 | 0x21) {
        return Err(HeaderError::Family);
    }
    let &[_, _, high, low, ..] = rest else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(HeaderError::TooLong);
    }
    let addresses = match family {
        0x11 if !local => 12,
        0x21 if !local => 36,
        _ => 0,
    };
    if length < FIXED + addresses {
        return Err(HeaderError::Addresses);
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(None);
    };
    let block = header.get(FIXED..).unwrap_or_default();
    let ends = if addresses == 0 {
        // The sender's own connection, or one it knows nothing about: the whole block is to be ignored.
        None
    } else {
        let (block, extensions) = block
            .split_at_checked(addresses)
            .ok_or(HeaderError::Addresses)?;
        check(header, extensions)?;
        Some(ends(block).ok_or(HeaderError::Addresses)?)
    };
    Ok(Some(Header { ends, length }))
}

fn ends(block: &[u8]) -> Option<Ends> {
    let (addresses, ports) = block
        .split_last_chunk::<4>()
        .map(|(all, ports)| (all, *ports))?;
    let [a, b, c, d] = ports;
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (source, destination) = addresses.split_at_checked(addresses.len() / 2)?;
    let address = |bytes: &[u8], port| {
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Some(SocketAddr::new(Ipv4Addr::from(four).into(), port));
        }
        let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
        Some(SocketAddr::new(Ipv6Addr::from(sixteen).into(), port))
    };
    Some(Ends {
        source: address(source, from)?,
        destination: address(destination, to)?,
    })
}

/// Walks the extensions, which are the end of `header`, to their last byte; verifies the checksum where there is one.
fn check(header: &[u8], extensions: &[u8]) -> Result<(), HeaderError> {
    let mut left = extensions;
    let mut seen = false;
    while !left.is_empty() {
        let &[kind, high, low, ref rest @ ..] = left else {
            return Err(HeaderError::Extension);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, after) = rest
            .split_at_checked(length)
            .ok_or(HeaderError::Extension)?;
        if kind == CHECKSUM {
            let stated = <[u8; 4]>::try_from(value).map_err(|_length| HeaderError::Checksum)?;
            let start = header.len() - after.len() - stated.len();
            if seen || crc32c(header, start..start + stated.len()) != u32::from_be_bytes(stated) {
                return Err(HeaderError::Checksum);
            }
            seen = true;
        }
        left = after;
    }
    Ok(())
}

/// CRC-32C (RFC 3720 appendix B.4) with the bytes of `hole` counted as zero. Headers are short, so bit by bit will do.
fn crc32c(bytes: &[u8], hole: std::ops::Range<usize>) -> u32 {
    let sum = bytes.iter().enumerate().fold(u32::MAX, |sum, (at, byte)| {
        let byte = if hole.contains(&at) { 0 } else { *byte };
        (0..8).fold(sum ^ u32::from(byte), |sum, _bit| {
            (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg())
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32c(b"123456789", 0..0), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32], 0..0), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32], 0..0), 0x62a8_ab43);
        assert_eq!(crc32c(&[0xff; 32], 0..32), 0x8a91_36aa);
    }
}
