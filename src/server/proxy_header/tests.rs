//! Every header, whole, cut at every byte, and with every byte changed.

use proptest::prelude::*;

use super::HeaderError::{
    Addresses, Checksum, Command, Extension, Family, Line, Missing, TooLong, Version,
};
use super::{Ends, Header, HeaderError, LONGEST, parse, v2::SIGNATURE};

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb];
const CLIENT_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    })
}

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    bytes.extend(block);
    bytes
}

fn v6() -> Vec<u8> {
    let mut block = Vec::new();
    for address in ["2001:db8::17", "2001:db8::80"] {
        block.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    block.extend([0x12, 0x67, 0x01, 0xbb]);
    block
}

/// IPv4 addresses with extensions behind.
fn extended(extensions: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&V4, extensions].concat())
}

/// Unknown extensions around a checksum that is right.
fn summed() -> Vec<u8> {
    // Made with an independent implementation over the same bytes with the field zeroed.
    extended(&[
        0x02, 0, 3, b'a', b'.', b'b', 0x03, 0, 4, 0x9c, 0xc7, 0x24, 0x43, 0x04, 0, 0, 0xea, 0, 2,
        1, 2,
    ])
}

fn good() -> Vec<(Vec<u8>, Option<Ends>)> {
    let four = ends("192.0.2.1:50000", "198.51.100.1:443");
    let six = ends("[2001:db8::17]:4711", "[2001:db8::80]:443");
    vec![
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n".to_vec(),
            four,
        ),
        (
            b"PROXY TCP6 2001:db8::17 2001:db8::80 4711 443\r\n".to_vec(),
            six,
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 0 65535\r\n".to_vec(),
            ends("1.1.1.1:0", "2.2.2.2:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (
            b"PROXY UNKNOWN ffff::1 anything  else 65536\r\n".to_vec(),
            None,
        ),
        (binary(0x21, 0x11, &V4), four),
        (binary(0x21, 0x21, &v6()), six),
        (extended(&[0x04, 0, 0]), four),
        (extended(&[0x20, 0, 5, 1, 0, 0, 0, 0, 0xe0, 0, 1, 9]), four),
        (summed(), four),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &[1, 2, 3]), None),
        (binary(0x20, 0x00, &[]), None),
        // The family of the sender's own connection is to be ignored, and the block with it.
        (binary(0x20, 0x11, &V4), None),
        (binary(0x20, 0x31, &[7; 5]), None),
    ]
}

#[test]
fn headers_are_read_to_their_last_byte_and_no_further() {
    for (bytes, ends) in good() {
        let whole = Ok(Some(Header {
            ends,
            length: bytes.len(),
        }));
        assert_eq!(parse(&bytes), whole, "{bytes:?}");
        let followed = [&bytes, CLIENT_HELLO].concat();
        assert_eq!(parse(&followed), whole, "{bytes:?}");
    }
}

#[test]
fn a_header_cut_anywhere_waits_for_the_rest() {
    for (bytes, _ends) in good() {
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} at {cut}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_with_its_reason() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
    let rows: [(&[u8], HeaderError); 37] = [
        (CLIENT_HELLO, Missing),
        (b"GET / HTTP/1.1\r\n", Missing),
        (b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Missing),
        (b"PROXY\tTCP4", Missing),
        (b"PROXYTCP4", Missing),
        (b"\r\n\r\n\0\r\nQUIT\r", Missing),
        (b"\r\n\r\n\r\n", Missing),
        (b"PROXY \r\n", Line),
        (b"PROXY TCP4\r\n", Line),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Line),
        (b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Line),
        (b"PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n", Line),
        (b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", Line),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", Line),
        (b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Line),
        (b"PROXY TCP6 [::1] ::1 1 2\r\n", Line),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Line),
        (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Line),
        (b"PROXY UNKNOWNS\r\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX", Line),
        (b"PROXY TCP4\t1.1.1.1", Line),
        (b"PROXY TCP4 \0", Line),
        (b"PROXY TCP4 \xc3\xa9", Line),
        (&long, TooLong),
        (&binary(0x11, 0x11, &V4), Version),
        (&binary(0x31, 0x11, &V4), Version),
        (&binary(0x22, 0x11, &V4), Command),
        (&binary(0x2f, 0x11, &V4), Command),
        (&binary(0x21, 0x11, &V4[..11]), Addresses),
        (&binary(0x21, 0x21, &v6()[..35]), Addresses),
    ];
    for (bytes, expected) in rows {
        assert_eq!(parse(bytes), Err(expected), "{bytes:?}");
        // Never a header first and refused later: what waits can still become one.
        for cut in 0..bytes.len() {
            assert!(!matches!(parse(&bytes[..cut]), Ok(Some(_))), "{bytes:?}");
        }
    }
}

#[test]
fn datagrams_and_unix_sockets_are_refused() {
    for family in [0x10, 0x12, 0x20, 0x22, 0x31, 0x32, 0x01, 0x02, 0x41, 0xff] {
        let bytes = binary(0x21, family, &[0; 216]);
        assert_eq!(parse(&bytes), Err(Family), "{family:#x}");
        assert_eq!(parse(&bytes[..14]), Err(Family), "{family:#x}");
    }
}

#[test]
fn a_line_of_107_bytes_is_read_and_one_more_is_too_long() {
    let line = |fill: usize| [b"PROXY UNKNOWN ", vec![b'x'; fill].as_slice(), b"\r\n"].concat();
    let longest = line(91);
    assert_eq!(longest.len(), 107);
    assert_eq!(parse(&longest).unwrap().unwrap().length, 107);
    assert_eq!(parse(&line(92)), Err(TooLong));
    assert_eq!(parse(&line(92)[..107]), Err(TooLong));
    assert_eq!(parse(&line(92)[..106]), Ok(None));
}

#[test]
fn an_announced_length_is_bounded_before_anything_is_awaited() {
    let filled = |length: usize| {
        let mut block = V4.to_vec();
        let value = u16::try_from(length - 16 - 12 - 3).unwrap();
        block.push(0x04);
        block.extend(value.to_be_bytes());
        block.resize(length - 16, 0);
        binary(0x21, 0x11, &block)
    };
    assert_eq!(parse(&filled(LONGEST)).unwrap().unwrap().length, LONGEST);
    let over = filled(LONGEST + 1);
    assert_eq!(parse(&over[..16]), Err(TooLong));
    assert_eq!(parse(&over), Err(TooLong));
}

#[test]
fn extensions_fill_their_block_exactly() {
    let rows: [&[u8]; 5] = [
        &[4],
        &[4, 0],
        &[4, 0, 1],
        &[4, 0, 0, 4],
        &[0xea, 0xff, 0xff, 0],
    ];
    for extensions in rows {
        assert_eq!(
            parse(&extended(extensions)),
            Err(Extension),
            "{extensions:?}"
        );
    }
}

#[test]
fn a_checksum_must_be_right_and_stand_there_once() {
    let right = summed();
    for at in 12..right.len() {
        for bit in 0..8 {
            let mut changed = right.clone();
            changed[at] ^= 1 << bit;
            let read = parse(&changed);
            // With another type the field is no checksum any more; a local command makes the block void.
            // Nothing else passes.
            let voided = (at == 12 && bit == 0) || at == 34;
            assert!(
                matches!(read, Err(_) | Ok(None)) || voided,
                "byte {at} bit {bit}: {read:?}"
            );
        }
    }
    assert_eq!(parse(&extended(&[3, 0, 3, 1, 2, 3])), Err(Checksum));
    assert_eq!(parse(&extended(&[3, 0, 5, 1, 2, 3, 4, 5])), Err(Checksum));
    assert_eq!(parse(&extended(&[3, 0, 0])), Err(Checksum));
    // The first one is right.
    let (sum, zero) = ([3, 0, 4, 0x6d, 0x14, 0x24, 0x01], [3, 0, 4, 0, 0, 0, 0]);
    assert_eq!(parse(&extended(&[sum, zero].concat())), Err(Checksum));
}

proptest! {
    #[test]
    fn whatever_is_read_is_read_alike_from_any_cut(
        head in prop::sample::select(good().into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        tail in prop::collection::vec(any::<u8>(), 0..16),
    ) {
        let mut bytes = [head, tail].concat();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let whole = parse(&bytes);
        if let Ok(Some(header)) = whole {
            prop_assert!(header.length <= bytes.len() && header.length <= LONGEST);
        }
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Ok(None) => {}
                // What was refused or read early stays so.
                early => prop_assert_eq!(early, whole),
            }
        }
    }

    #[test]
    fn no_bytes_are_trouble(bytes in prop::collection::vec(any::<u8>(), 0..300), signed in any::<bool>()) {
        let bytes = if signed { [SIGNATURE.as_slice(), &bytes].concat() } else { bytes };
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}
