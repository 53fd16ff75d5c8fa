//! Every answer is read whole and byte by byte, and must be judged alike.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use proptest::prelude::*;

use super::{AnswerHead, Answers, Asked, Extent};
use crate::message::wire::content::Content;

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

/// What became of an answer: its status, its fields, its content, and whether all of it came.
#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    extent: Extent,
    fields: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
    complete: bool,
    persists: bool,
    /// Bytes after the answer.
    beyond: Bytes,
}

/// Reads an answer that arrives in these pieces; `None` when its head is not complete.
fn read(
    asked: Asked,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> Result<Option<Read>, &'static str> {
    let (mut answers, mut buffer) = (Answers::new(asked), BytesMut::new());
    let mut begun: Option<(AnswerHead, Content)> = None;
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if begun.is_none() {
            let head = answers.read(&mut buffer)?;
            begun = head.map(|head| {
                let content = Content::new(head.extent);
                (head, content)
            });
        }
        if let Some((_, content)) = &mut begun {
            while let Some(frame) = content.read(&mut buffer)? {
                match frame.into_data() {
                    Ok(piece) => data.extend_from_slice(&piece),
                    Err(frame) => trailers = frame.into_trailers().unwrap(),
                }
            }
        }
    }
    Ok(begun.map(|(head, content)| Read {
        status: head.status.as_u16(),
        extent: head.extent,
        fields: head.headers,
        content: data,
        trailers,
        complete: content.is_ended(),
        persists: head.persists,
        beyond: buffer.freeze(),
    }))
}

/// The same however it arrives.
fn judged(asked: Asked, text: &str) -> Result<Option<Read>, &'static str> {
    let bytes = text.as_bytes();
    let whole = read(asked, &mut std::iter::once(bytes));
    for size in [1, 7] {
        let trickled = read(asked, &mut bytes.chunks(size));
        match (&whole, &trickled) {
            (Err(_), Err(_)) => {}
            _ => assert_eq!(whole, trickled, "{text:?}"),
        }
    }
    whole
}

/// What was asked, an answer in order, its content, and whether the connection takes another request.
const ORDERLY: [(Asked, &str, &str, bool); 12] = [
    (
        GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "hello",
        true,
    ),
    (
        GET,
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "",
        false,
    ),
    (
        GET,
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n",
        "",
        true,
    ),
    (
        GET,
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 0\r\n\r\n",
        "",
        false,
    ),
    (
        GET,
        "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n2\r\n, \r\n0\r\nX-Sum: 1\r\n\r\n",
        "hello, ",
        true,
    ),
    (
        GET,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "",
        true,
    ),
    (
        GET,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
        "",
        true,
    ),
    (
        HEAD,
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
        "",
        true,
    ),
    (HEAD, "HTTP/1.1 200 OK\r\n\r\n", "", true),
    (
        HEAD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "",
        true,
    ),
    (
        SWITCH,
        "HTTP/1.1 403 Nein\r\nContent-Length: 2\r\n\r\nno",
        "no",
        true,
    ),
    (
        GET,
        "HTTP/1.1 200 Gr\u{fc}n\r\nX-A: \u{e9}\r\nContent-Length: 1\r\n\r\n\n",
        "\n",
        true,
    ),
];

#[test]
fn answers_in_order_are_read_to_their_end() {
    for (asked, row, content, persists) in ORDERLY {
        let read = judged(asked, row).unwrap().unwrap();
        assert!(read.complete && read.beyond.is_empty(), "{row:?}");
        assert_eq!(read.content, content.as_bytes(), "{row:?}");
        assert_eq!(read.persists, persists, "{row:?}");
    }
    let open = judged(GET, "HTTP/1.1 200 OK\r\n\r\nanything\n\0 until the end");
    let open = open.unwrap().unwrap();
    assert_eq!((open.extent, open.persists), (Extent::UntilClose, false));
    assert_eq!(open.content, b"anything\n\0 until the end");
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\u{81}\0\n";
    let switched = judged(SWITCH, switched).unwrap().unwrap();
    assert_eq!(switched.extent, Extent::Foreign);
    assert_eq!(switched.beyond, "\u{81}\0\n");
}

#[test]
fn a_part_of_an_answer_is_never_complete() {
    let rows = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n",
    ];
    for row in rows {
        assert!(!judged(GET, row).unwrap().unwrap().complete, "{row:?}");
    }
    for row in [
        "",
        "HTT",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n\r",
    ] {
        assert_eq!(judged(GET, row), Ok(None), "{row:?}");
    }
}

#[test]
fn only_what_goes_to_the_client_is_kept_of_a_head() {
    let head = "HTTP/1.1 200 OK\r\nServer: x\r\nX-Inner: 1\r\nConnection: keep-alive, x-inner, Set-Cookie\r\n\
        Keep-Alive: timeout=5\r\nSet-Cookie: a=b\r\nSET-COOKIE:c=d \t\r\nContent-Length: 2\r\nTrailer: x-sum\r\n\
        X-Portcullis-User: root\r\nProxy-Authenticate: Basic\r\nX-Empty:\r\n\r\nok";
    let read = judged(GET, head).unwrap().unwrap();
    let mut fields: Vec<_> = read
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    assert_eq!(fields, ["content-length=2", "trailer=x-sum", "x-empty="]);
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
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello",
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
        "HTTP/1.1 600 Strange\r\nContent-Length: 0\r\n\r\n",
    ];
    for row in rows {
        assert!(judged(GET, row).is_err(), "{row:?}");
    }
    let fields = "X-A: b\r\n".repeat(201);
    assert!(judged(GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).is_err());
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "b".repeat(128 * 1024));
    assert!(judged(GET, &long).is_err());
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    assert!(judged(GET, &interim.repeat(32)).is_ok());
    assert!(judged(GET, &interim.repeat(33)).is_err());
}

#[test]
fn what_is_no_answer_is_refused_before_it_ends() {
    for row in [
        "S",
        "SSH-2.0-x\r\n",
        "\0\0\u{12}\u{4}",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 200 OK\n",
    ] {
        assert!(judged(GET, row).is_err(), "{row:?}");
    }
}

#[test]
fn bytes_after_an_answer_are_left_for_whoever_asks_whether_there_are_any() {
    for (asked, row) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\nHTTP"),
        (
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nHTTP",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHTTP"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        ),
    ] {
        let read = judged(asked, row).unwrap().unwrap();
        assert!(read.complete, "{row:?}");
        assert_eq!(read.beyond, "HTTP", "{row:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in any::<bool>(), size in 1_usize..50) {
        let asked = Asked { head, switch: !head };
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend_from_slice(&bytes);
        let whole = read(asked, &mut std::iter::once(text.as_slice()));
        let pieces = read(asked, &mut text.chunks(size));
        prop_assert!(whole == pieces || (whole.is_err() && pieces.is_err()));
    }
}
