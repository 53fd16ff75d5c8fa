//! HTTP/1.1 as bytes: what the follower of a connection lets through, hyper must read in the same way.

use crate::message::wire::{HeadBounds, Lines};

const BOUNDS: HeadBounds = HeadBounds {
    bytes: 4096,
    fields: 20,
    target: 1024,
};

/// The bytes of a connection, cut where the first byte says: refused or not never depends on where, and what is let
/// through is read by hyper's parser in the same way.
pub fn wire(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step).saturating_add(1);
    let whole = follow(&[bytes]);
    assert_eq!(
        whole.is_some(),
        follow(&bytes.chunks(step).collect::<Vec<_>>()).is_some()
    );
    assert_eq!(
        whole.is_some(),
        follow(&bytes.chunks(1).collect::<Vec<_>>()).is_some()
    );
    let (before, after) = bytes.split_at(step.min(bytes.len()));
    assert_eq!(whole.is_some(), follow(&[before, after]).is_some());
    if whole.is_some() {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let read = httparse::Request::new(&mut fields).parse(whole_lines(bytes));
        assert!(read.is_ok(), "hyper refuses what was let through: {read:?}");
    }
}

/// The chunks of a body: what is let through, hyper's parser cuts at the same places.
pub fn chunked(data: &[u8]) {
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut lines = Lines::new(BOUNDS);
    assert_eq!(lines.read(head), Ok(()));
    if lines.read(data).is_err() {
        return;
    }
    let mut rest = whole_lines(data);
    loop {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((start, 0))) => {
                rest = rest.get(start..).unwrap_or_default();
                break;
            }
            Ok(httparse::Status::Complete((start, size))) => {
                let end = u64::try_from(start)
                    .unwrap_or(u64::MAX)
                    .saturating_add(size);
                let end = usize::try_from(end).unwrap_or(usize::MAX);
                let Some((line_end, after)) =
                    rest.get(end..).and_then(|rest| rest.split_at_checked(2))
                else {
                    return;
                };
                assert_eq!(line_end, b"\r\n");
                rest = after;
            }
            Ok(httparse::Status::Partial) => return,
            Err(error) => return refused(&error.to_string()),
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 100];
    match httparse::parse_headers(rest, &mut fields) {
        Ok(httparse::Status::Partial) => {}
        Ok(httparse::Status::Complete((end, _))) => {
            // What follows is a request of its own.
            let next = rest.get(end..).unwrap_or_default();
            assert!(follow(&[next]).is_some());
        }
        Err(error) => refused(&error.to_string()),
    }
}

/// Without a line that has not ended: the follower has not judged it yet.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(2).rposition(|pair| pair == b"\r\n");
    end.and_then(|end| bytes.get(..end + 2)).unwrap_or_default()
}

/// `None` when refused, else whether another protocol was asked for.
fn follow(parts: &[&[u8]]) -> Option<bool> {
    let mut lines = Lines::new(BOUNDS);
    for part in parts {
        lines.read(part).ok()?;
    }
    Some(lines.is_switching())
}

fn refused(why: &str) {
    assert_eq!(why, "", "hyper refuses what was let through");
}
