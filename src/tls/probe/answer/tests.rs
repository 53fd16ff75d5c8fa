//! What is read of a server's first flight, and what is refused.

use super::{Answer, Hello, Malformed, RETRY};
use crate::tls::probe::{Offer, Suite, Version};

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// A ServerHello with these extensions, already with their length.
fn hello(random: [u8; 32], suite: u16, extensions: &[u8]) -> Vec<u8> {
    let suite = suite.to_be_bytes();
    let body = [&[3, 3], &random[..], &[0], &suite, &[0], extensions].concat();
    message(2, &body)
}

fn taken(bytes: &[u8]) -> Hello {
    match Answer::read(bytes) {
        Ok(Answer::Hello(hello)) => *hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_retry_of_tls_13_tells_suite_and_group() {
    let extensions = [0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0x11, 0xEC];
    let mut bytes = record(22, &hello(RETRY, 0x1301, &extensions));
    bytes.extend(record(20, &[1]));
    let hello = taken(&bytes);
    assert_eq!((hello.version, hello.suite), (Version::TLS_1_3, 0x1301));
    assert_eq!((hello.group, hello.complete), (Some(0x11EC), true));
}

#[test]
fn a_flight_of_tls_12_tells_chain_prime_and_renegotiation() {
    let extensions = [0, 5, 0xFF, 1, 0, 1, 0];
    let prime = [&[0, 3, 0x7F, 1, 1][..], &[0, 1, 2, 0, 1, 3]].concat();
    let flight = [
        hello([7; 32], 0x0033, &extensions),
        message(11, &[0, 0, 9, 0, 0, 2, 5, 6, 0, 0, 1, 9]),
        message(12, &prime),
        message(14, &[]),
    ]
    .concat();
    let hello = taken(&record(22, &flight));
    assert_eq!(hello.chain, [vec![5, 6], vec![9]]);
    assert_eq!(hello.prime_bits, Some(23));
    assert!(hello.secure_renegotiation && hello.complete && !hello.compression);
    // However it is cut into records and pieces, it says the same, and nothing else before its end.
    let cut: Vec<u8> = flight.chunks(3).flat_map(|part| record(22, part)).collect();
    assert_eq!(taken(&cut), hello);
    for length in 0..cut.len() {
        match Answer::read(&cut[..length]) {
            Ok(Answer::Nothing) => {}
            Ok(Answer::Hello(part)) => assert!(!part.complete, "{length}"),
            other => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn a_fatal_alert_refuses_and_a_warning_decides_nothing() {
    assert_eq!(Answer::read(&record(21, &[2, 70])), Ok(Answer::Refused(70)));
    assert_eq!(Answer::read(&record(21, &[1, 112])), Ok(Answer::Nothing));
    assert_eq!(Answer::read(b""), Ok(Answer::Nothing));
}

#[test]
fn what_is_no_first_flight_is_malformed() {
    let good = hello([7; 32], 0xC02F, &[]);
    let rows: [Vec<u8>; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        b"\x16\x03\x03\x00\x00".to_vec(),
        b"\x16\x03\x03\xFF\xFF".to_vec(),
        record(22, &message(11, &[0, 0, 0])),
        record(22, &message(14, &[])),
        record(22, &hello([7; 32], 0xC02F, &[0, 9, 0, 1])),
        record(22, &[good.clone(), good.clone()].concat()),
        record(22, &[good, message(11, &[0, 0, 0])].concat()),
        record(23, &[1]),
    ];
    for bytes in rows {
        assert_eq!(Answer::read(&bytes), Err(Malformed), "{bytes:02x?}");
    }
}

#[test]
fn our_own_server_answers_what_is_written_here() {
    let pki = crate::tls::testing::TestPki::new();
    let profile = crate::config::Profile::Intermediate;
    let both = crate::tls::testing::BOTH;
    let server = pki.server(profile, both, &["app.localhost"]);
    let ask = |version, suites: &[u16], groups: &[u16]| {
        let offer = Offer {
            version,
            suites,
            groups,
            name: Some("app.localhost"),
            compression: version < Version::TLS_1_3,
        };
        let mut connection = rustls::ServerConnection::new(server.config()).unwrap();
        let hello = offer.record([9; 32]);
        connection.read_tls(&mut hello.as_slice()).unwrap();
        let outcome = connection.process_new_packets().map(|_state| ());
        let mut answer = Vec::new();
        connection.write_tls(&mut answer).unwrap();
        (Answer::read(&answer).unwrap(), outcome)
    };
    let (all_12, all_13) = (Suite::of_12_and_before(), Suite::of_13());
    let taken = |asked: (Answer, _)| match asked {
        (Answer::Hello(hello), Ok::<(), rustls::Error>(())) => hello,
        other => panic!("{other:?}"),
    };
    let hello = taken(ask(Version::TLS_1_2, &all_12, &[23]));
    assert_eq!((hello.version, hello.group), (Version::TLS_1_2, Some(23)));
    assert!(Suite(hello.suite).is_aead() && hello.secure_renegotiation);
    assert!(hello.complete && !hello.chain.is_empty() && !hello.compression);
    let hello = taken(ask(Version::TLS_1_3, &all_13, &[24, 23]));
    assert_eq!(hello.version, Version::TLS_1_3);
    assert!(matches!(hello.group, Some(23 | 24)));
    for version in [Version::TLS_1_0, Version::TLS_1_1] {
        let refused = ask(version, &all_12, &[23]);
        assert!(
            matches!(refused, (Answer::Refused(_), Err(_))),
            "{refused:?}"
        );
    }
}
