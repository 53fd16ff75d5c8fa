//! Every answer is read whole and byte by byte, and must be judged alike.

use proptest::prelude::*;

use super::{Answers, Asked, Phase};

const GET: Asked = Asked {
    head: false,
    switch: false,
};
const HEAD: Asked = Asked {
    head: true,
    switch: false,
};
const SWITCH: Asked = Asked {
    head: false,
    switch: true,
};

fn judged(asked: Asked, text: &str) -> Result<Phase, &'static str> {
    let follow = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut answers = Answers::new(4096, 20);
        answers.expect(asked);
        for piece in pieces {
            answers.read(piece).map_err(|offence| offence.why)?;
        }
        Ok(answers.phase)
    };
    let whole = follow(&mut std::iter::once(text.as_bytes()));
    let trickled = follow(&mut text.as_bytes().chunks(1));
    assert_eq!(whole.is_err(), trickled.is_err(), "{text:?}");
    if whole.is_ok() {
        assert_eq!(whole, trickled, "{text:?}");
    }
    whole
}

#[test]
fn answers_in_order_are_followed_to_their_end() {
    let rows = [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (GET, "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (SWITCH, "HTTP/1.1 403 Nein\r\nContent-Length: 2\r\n\r\nno"),
        (
            GET,
            "HTTP/1.1 200 Gr\u{fc}n\r\nX-A: \u{e9}\r\nContent-Length: 1\r\n\r\n\n",
        ),
    ];
    for (asked, row) in rows {
        assert_eq!(judged(asked, row), Ok(Phase::Silent), "{row:?}");
    }
    let open = "HTTP/1.1 200 OK\r\n\r\nanything\n\0 until the end";
    assert_eq!(judged(GET, open), Ok(Phase::UntilClose));
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\u{81}\0\n";
    assert_eq!(judged(SWITCH, switched), Ok(Phase::Foreign));
}

#[test]
fn answers_with_a_second_reading_are_refused_however_they_arrive() {
    let rows = [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\rX-C: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X-A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\u{e9}: b\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ];
    for row in rows {
        assert!(judged(GET, row).is_err(), "{row:?}");
    }
    let fields = "X-A: b\r\n".repeat(21);
    assert!(judged(GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).is_err());
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "b".repeat(4096));
    assert!(judged(GET, &long).is_err());
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    assert!(judged(GET, &interim.repeat(32)).is_ok());
    assert!(judged(GET, &interim.repeat(33)).is_err());
}

#[test]
fn nothing_is_due_before_it_is_asked_for_and_after_it_has_ended() {
    let mut answers = Answers::new(4096, 20);
    assert_eq!(answers.read(b"HTTP/1.1 200 OK\r\n").unwrap_err().fine, 0);
    let mut answers = Answers::new(4096, 20);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for _ in 0..2 {
        answers.expect(GET);
        answers.read(answer).unwrap();
    }
    let offence = answers.read(b"x").unwrap_err();
    assert_eq!(offence.fine, 0);
    let mut answers = Answers::new(4096, 20);
    answers.expect(GET);
    let both = [answer.as_slice(), b"HTTP/1.1 200 OK\r\n\r\n"].concat();
    assert_eq!(answers.read(&both).unwrap_err().fine, answer.len());
}

proptest! {
    #[test]
    fn no_bytes_make_the_follower_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in any::<bool>()) {
        let mut answers = Answers::new(256, 4);
        answers.expect(Asked { head, switch: !head });
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend_from_slice(&bytes);
        let fine = answers.read(&text).map_or_else(|offence| offence.fine, |()| text.len());
        prop_assert!(fine <= text.len());
    }
}
