//! Bounds, lengths and endings of bodies.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError, Bound, read_at_most};
use crate::message::identity::Reserved;

/// Yields the given pieces, then ends or, when `stalls`, never does.
struct Pieces {
    pieces: VecDeque<&'static str>,
    declared: Option<u64>,
    stalls: bool,
}

impl Pieces {
    fn new(pieces: &[&'static str]) -> Self {
        Self {
            pieces: pieces.iter().copied().collect(),
            declared: None,
            stalls: false,
        }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.declared
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

const BOUND: Bound = Bound {
    bytes: 8,
    idle: Duration::from_millis(20),
};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_body_is_read_up_to_its_limit() {
    for (limit, fits) in [(10, true), (9, false)] {
        let body = Body::wrap(Pieces::new(&["hello", "world"]));
        let read = run(read_at_most(body, limit));
        assert_eq!(read.is_ok(), fits, "{limit}");
    }
    let read = run(read_at_most(Body::wrap(Pieces::new(&["a", "b", "c"])), 3));
    assert_eq!(read.unwrap(), "abc");
    assert_eq!(run(read_at_most(Body::Empty, 0)).unwrap(), "");
}

#[test]
fn a_declared_length_above_the_limit_is_refused_unread() {
    let mut pieces = Pieces::new(&[]);
    pieces.declared = Some(100);
    pieces.stalls = true;
    let read = run(read_at_most(Body::wrap(pieces), 99));
    assert!(matches!(read, Err(BodyError::TooLarge { limit: 99 })));
}

#[test]
fn a_bounded_body_passes_what_fits_and_stops_what_does_not() {
    for (pieces, fits) in [(["1234", "5678"], true), (["1234", "56789"], false)] {
        let body = Body::wrap(Pieces::new(&pieces)).into_bounded(BOUND, &Arc::default());
        let read = run(read_at_most(body, 100));
        assert_eq!(read.is_ok(), fits, "{pieces:?}");
        if let Err(error) = read {
            assert!(matches!(error, BodyError::TooLarge { .. }));
        }
    }
}

#[test]
fn a_later_bound_replaces_the_earlier_one() {
    let wide = Bound { bytes: 9, ..BOUND };
    let body = Body::wrap(Pieces::new(&["123456789"]))
        .into_bounded(BOUND, &Arc::default())
        .rebounded(wide);
    assert!(run(read_at_most(body, 100)).is_ok());
}

#[test]
fn a_stalled_body_times_out() {
    let mut pieces = Pieces::new(&["12"]);
    pieces.stalls = true;
    let read = run(read_at_most(
        Body::wrap(pieces).into_bounded(BOUND, &Arc::default()),
        100,
    ));
    assert!(matches!(read.unwrap_err(), BodyError::Stalled { .. }));
}

/// Ends with the given trailers.
struct Trailing(Option<http::HeaderMap>);

impl HttpBody for Trailing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

#[test]
fn trailers_of_a_client_cannot_claim_an_identity() {
    let chosen = http::HeaderName::from_static("acme-user");
    let reserved = Arc::new(Reserved::new(&[&chosen]));
    let mut trailers = http::HeaderMap::new();
    for name in ["acme_user", "x-portcullis-user", "grpc-status"] {
        let name = http::HeaderName::from_static(name);
        trailers.insert(name, http::HeaderValue::from_static("0"));
    }
    let mut body = Body::wrap(Trailing(Some(trailers))).into_bounded(BOUND, &reserved);
    let frame = run(std::future::poll_fn(|cx| {
        Pin::new(&mut body).poll_frame(cx)
    }));
    let left = frame.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left.contains_key("grpc-status"));
}

#[test]
fn a_body_shorter_or_longer_than_declared_is_an_error() {
    for (declared, fits) in [(4, true), (5, false), (3, false)] {
        let mut pieces = Pieces::new(&["1234"]);
        pieces.declared = Some(declared);
        let read = run(read_at_most(
            Body::wrap(pieces).into_bounded(BOUND, &Arc::default()),
            100,
        ));
        assert_eq!(read.is_ok(), fits, "{declared}");
    }
}

#[test]
fn an_empty_body_needs_no_bound() {
    assert!(matches!(
        Body::Empty.into_bounded(BOUND, &Arc::default()),
        Body::Empty
    ));
    assert!(matches!(Body::from(""), Body::Empty));
    assert!(Body::Empty.is_end_stream());
}
