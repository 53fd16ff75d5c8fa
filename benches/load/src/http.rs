//! Just enough HTTP/1.1 to tell one message from the next on connections between parties that know each other.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const FIELDS: usize = 64;

/// What the head of a request says.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) expects: bool,
    pub(crate) websocket_key: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) original_path: Option<String>,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    /// Bytes of the head itself.
    pub(crate) head: usize,
    pub(crate) length: usize,
}

pub(crate) fn malformed(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

pub(crate) fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Reads a request's head out of `data`; gives it with the number of its bytes, `None` while it is not whole.
pub(crate) fn request(data: &[u8]) -> io::Result<Option<(RequestHead, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(used) = parsed.parse(data).map_err(malformed)? else {
        return Ok(None);
    };
    let mut head = RequestHead {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        ..RequestHead::default()
    };
    for field in parsed.headers.iter() {
        let value = || String::from_utf8_lossy(field.value).trim().to_owned();
        let name = field.name;
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value().parse().map_err(malformed)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = true;
        } else if name.eq_ignore_ascii_case("expect") {
            head.expects = true;
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            head.websocket_key = Some(value());
        } else if name.eq_ignore_ascii_case("cookie") {
            head.cookie = Some(value());
        } else if name.eq_ignore_ascii_case("x-original-uri") {
            head.original_path = Some(value());
        }
    }
    Ok(Some((head, used)))
}

/// Reads an answer's head out of `data`; `None` while it is not whole.
pub(crate) fn answer(data: &[u8]) -> io::Result<Option<AnswerHead>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = parsed.parse(data).map_err(malformed)? else {
        return Ok(None);
    };
    let length = parsed
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
    Ok(Some(AnswerHead {
        status: parsed.code.unwrap_or_default(),
        head,
        length: length.unwrap_or(0),
    }))
}

/// `true` when `data` begins with a whole answer of status 200; refuses any other.
pub(crate) fn served(data: &[u8]) -> io::Result<bool> {
    let Some(head) = answer(data)? else {
        return Ok(false);
    };
    if head.status != 200 {
        return Err(malformed(format!("answered {}", head.status)));
    }
    Ok(data.len() >= head.head + head.length)
}

/// Reads one answer of status 200 into `data`, whose former content goes.
pub(crate) async fn read_served(
    stream: &mut (impl AsyncRead + Unpin),
    data: &mut Vec<u8>,
) -> io::Result<()> {
    data.clear();
    while !served(data)? {
        if stream.read_buf(data).await? == 0 {
            return Err(ended());
        }
    }
    Ok(())
}
