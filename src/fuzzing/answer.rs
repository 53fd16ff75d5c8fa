//! Answers of upstreams as bytes: what is read never depends on how they arrive, and hyper's parser reads the same head.

use bytes::BytesMut;
use http::HeaderMap;

use crate::message::security;
use crate::message::wire::answer::{Answers, Asked};
use crate::message::wire::content::Content;

/// What an answer was read as.
#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    fields: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
    complete: bool,
    persists: bool,
    beyond: usize,
}

/// What an upstream sends after a request. The first byte says what was asked, and where the bytes are cut.
pub fn answer(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let asked = Asked {
        head: choice & 1 != 0,
        switch: choice & 2 != 0,
    };
    let step = usize::from(choice >> 2).saturating_add(1);
    let whole = read(asked, &mut std::iter::once(bytes));
    for step in [1, step] {
        let cut = read(asked, &mut bytes.chunks(step));
        assert!(
            whole == cut || (whole.is_none() && cut.is_none()),
            "{whole:?} {cut:?}"
        );
    }
    if let Some(Some(read)) = whole {
        assert!(read.fields.keys().all(security::is_passed_on));
        assert_eq!(hypers_status(bytes), Some(read.status));
    }
}

/// `None` when it is refused, and inside of it when its head is not complete.
fn read(asked: Asked, pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<Option<Read>> {
    let (mut answers, mut buffer) = (Answers::new(asked), BytesMut::new());
    let mut begun = None;
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if begun.is_none() {
            let head = answers.read(&mut buffer).ok()?;
            begun = head.map(|head| (Content::new(head.extent), head));
        }
        let Some((content, _)) = &mut begun else {
            continue;
        };
        while let Some(frame) = content.read(&mut buffer).ok()? {
            match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
    }
    Some(begun.map(|(content, head)| Read {
        status: head.status.as_u16(),
        fields: head.headers,
        content: data,
        trailers,
        complete: content.is_ended(),
        persists: head.persists,
        beyond: buffer.len(),
    }))
}

/// The status of the first final answer, as hyper's parser reads the heads.
fn hypers_status(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(bytes).ok()? else {
            return None;
        };
        let status = head.code?;
        if status == 101 || status >= 200 {
            return Some(status);
        }
        bytes = bytes.get(length..)?;
    }
}
