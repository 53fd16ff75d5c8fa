//! Every stream is read whole and byte by byte, and must be judged alike.

use proptest::prelude::*;

use super::{HeadBounds, Lines, State};
use crate::message::AdmitError;

const BOUNDS: HeadBounds = HeadBounds {
    bytes: 4096,
    fields: 20,
    target: 1024,
};

fn whole(text: &str) -> Result<State, AdmitError> {
    let mut lines = Lines::new(BOUNDS);
    lines.read(text.as_bytes()).map_err(|offence| offence.why)?;
    Ok(lines.state)
}

fn drop_by_drop(text: &str) -> Result<State, AdmitError> {
    let mut lines = Lines::new(BOUNDS);
    for byte in text.as_bytes() {
        lines.read(&[*byte]).map_err(|offence| offence.why)?;
    }
    Ok(lines.state)
}

fn judged(text: &str) -> Result<State, AdmitError> {
    let (found, trickled) = (whole(text), drop_by_drop(text));
    // A line with two faults is refused for whichever is seen first; that it is refused must not depend on arrival.
    let refused = found.is_err() && trickled.is_err();
    assert!(
        refused || found == trickled,
        "{text:?}: {found:?}, byte by byte {trickled:?}"
    );
    found
}

#[test]
fn messages_in_order_are_followed_to_their_end() {
    let rows = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "POST /a?b HTTP/1.1\r\nContent-Length:\t5 \r\n\r\nhello",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"b c\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\nContent-Length: 9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\0\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n",
        "GET / HTTP/1.1\r\nX-A:\r\nX-B: \t\u{e9}\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "GET https://a/b HTTP/1.1\r\n\r\n",
    ];
    for row in rows {
        assert_eq!(judged(row), Ok(State::Head), "{row:?}");
    }
    assert_eq!(
        judged("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
        Ok(State::Switching)
    );
    assert_eq!(
        judged("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na"),
        Ok(State::Sized(2))
    );
}

#[test]
fn a_second_reading_is_an_offence() {
    use AdmitError::{LineStructure, TargetCharacter, TargetForm, UpgradeMalformed, Version};
    let rows = [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", LineStructure),
        ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nX: a\0\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nX: a\u{7f}\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\n X: a\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nX : a\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", LineStructure),
        ("GET / HTTP/1.1\r\nX\r\n\r\n", LineStructure),
        ("GET  / HTTP/1.1\r\n", LineStructure),
        ("GET / HTTP/1.1 \r\n", LineStructure),
        ("GET\t/ HTTP/1.1\r\n", LineStructure),
        ("GET /\r\n", LineStructure),
        ("G(T / HTTP/1.1\r\n", LineStructure),
        ("GET / http/1.1\r\n", LineStructure),
        ("\r\n\r\nGET / HTTP/1.1\r\n", LineStructure),
        ("GET / HTTP/1.2\r\n", Version),
        ("PRI * HTTP/2.0\r\n", Version),
        ("GET /a#b HTTP/1.1\r\n", TargetCharacter),
        ("GET /\u{e9} HTTP/1.1\r\n", TargetCharacter),
        ("GET a/b HTTP/1.1\r\n", TargetForm),
        ("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nG", UpgradeMalformed),
    ];
    for (row, why) in rows {
        assert_eq!(judged(row), Err(why), "{row:?}");
    }
}

#[test]
fn a_doubtful_length_is_an_offence() {
    use AdmitError::{Framing, TransferCoding};
    let rows = [
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            Framing,
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n", Framing),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n",
            Framing,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n", Framing),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n",
            TransferCoding,
        ),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", Framing),
    ];
    for (row, why) in rows {
        assert_eq!(judged(row), Err(why), "{row:?}");
    }
}

#[test]
fn a_malformed_chunk_is_an_offence() {
    let chunks = [
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhelloX\r\n",
        "0x5\r\n",
        "+5\r\n",
        "\r\n",
        " 5\r\n",
        "5 \r\n",
        "5 ;a\r\n",
        "1000000000000000\r\n",
        "5;a\nb\r\n",
        "0\r\nX: a\n",
        "0\r\n X: a\r\n",
        "0\r\nX\r\n",
    ];
    for row in chunks {
        let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{row}");
        assert!(judged(&text).is_err(), "{row:?}");
    }
}

#[test]
fn bounds_hold_before_the_line_has_ended() {
    use AdmitError::{Framing, HeadTooLarge, TargetTooLong, TooManyFields};
    let long = |count: usize| "x".repeat(count);
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let rows = [
        (format!("GET /{}", long(1100)), TargetTooLong),
        (format!("GET /{} HTTP/1.1\r\n", long(1024)), TargetTooLong),
        (format!("GET / HTTP/1.1\r\nX: {}", long(4100)), HeadTooLarge),
        (
            format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(21)),
            TooManyFields,
        ),
        (format!("{head}1;{}", long(1100)), Framing),
        (format!("{head}0\r\nX: {}", long(4100)), HeadTooLarge),
        (
            format!("{head}0\r\n{}", "X: y\r\n".repeat(21)),
            TooManyFields,
        ),
    ];
    for (row, why) in rows {
        assert_eq!(judged(&row), Err(why), "{row:.40}");
    }
}

#[test]
fn what_stands_before_the_offending_message_is_told() {
    let first = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let mut lines = Lines::new(BOUNDS);
    let offence = lines
        .read(format!("{first}GET / HTTP/1.1\r\nX: a\n\r\n").as_bytes())
        .unwrap_err();
    assert_eq!((offence.fine, offence.in_body), (first.len(), false));

    let mut lines = Lines::new(BOUNDS);
    lines.read(b"GET / HTTP/1.1\r\nX: ").unwrap();
    let offence = lines.read(b"a\n").unwrap_err();
    assert_eq!((offence.fine, offence.in_body), (0, false));

    let mut lines = Lines::new(BOUNDS);
    lines
        .read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx")
        .unwrap();
    let offence = lines.read(b"\r\n").unwrap_err();
    assert!(offence.in_body);
}

#[test]
fn after_an_agreed_switch_nothing_is_judged_and_after_a_refused_one_everything_is() {
    let ask = b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n";
    let mut lines = Lines::new(BOUNDS);
    lines.read(ask).unwrap();
    assert!(lines.is_switching());
    lines.switched(true);
    assert_eq!(lines.read(b"\0\n\r"), Ok(()));
    let mut lines = Lines::new(BOUNDS);
    lines.read(ask).unwrap();
    lines.switched(false);
    assert!(lines.read(b"\0\n\r").is_err());
}

#[test]
fn a_method_as_long_as_a_target_is_refused_however_it_arrives() {
    for letters in [1_050, 1_075, 1_076, 1_077, 1_078, 1_079, 1_200] {
        let text = format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(letters));
        assert_eq!(judged(&text).is_ok(), letters < 1_077, "{letters}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged_alike_however_they_arrive(text in "[A-Z /1.\r\n:;a5-]{0,60}") {
        for head in ["", "POST / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"] {
            judged(&format!("{head}{text}")).ok();
        }
    }
}
