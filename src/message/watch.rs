//! Tells somebody, exactly once, how a response's body ended and how long it was; asks meanwhile whether it may go on.
//!
//! The wrapper is a plain struct, so that the hot path pays no allocation for it, and a brief body no look at the
//! clock. It never changes a byte. It has no timer: it counts on bodies that wait to wake every [`WAKE`].

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::{Body, BodyError};

/// How long a body that lasts goes on without being asked for.
pub(crate) const AGAIN: Duration = Duration::from_millis(900);
/// A body that waits for its next piece wakes this often, so that each waking finds a question due.
pub(crate) const WAKE: Duration = Duration::from_millis(950);
/// Pieces that pass before anybody looks at the clock: most bodies end earlier.
const BRIEF: u8 = 4;

/// How the body of a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every byte was taken over by the connection.
    Complete,
    /// The connection let go of the body before its end: the client went away.
    Dropped,
    /// The body itself failed.
    Failed,
    /// The observer ended it.
    CutOff,
}

/// What the observer learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) how: Ending,
    /// Bytes of content handed to the connection.
    pub(crate) bytes: u64,
}

/// Somebody who waits for the end of a body. Closures qualify.
pub(crate) trait OnEnd: Unpin {
    /// Asked every [`AGAIN`] while the body lasts and the client takes it; `false` cuts it off.
    fn may_go_on(&mut self) -> bool {
        true
    }

    fn ended(self, ended: Ended);
}

impl<F: FnOnce(Ended) + Unpin> OnEnd for F {
    fn ended(self, ended: Ended) {
        self(ended);
    }
}

/// A body that reports its end.
#[derive(Debug)]
pub(crate) struct Watched<W: OnEnd> {
    inner: Body,
    observer: Option<W>,
    bytes: u64,
    /// The connection never asks for content that the status or the method forbids (HEAD, 204, 304).
    unwanted: bool,
    pieces: u8,
    /// When the observer is asked next; `None` as long as the body is brief.
    due: Option<Instant>,
}

impl<W: OnEnd> Watched<W> {
    pub(crate) const fn new(inner: Body, observer: W) -> Self {
        Self {
            inner,
            observer: Some(observer),
            bytes: 0,
            unwanted: false,
            pieces: 0,
            due: None,
        }
    }

    /// For answers whose content is not sent: being dropped unread is then their regular end.
    #[must_use]
    pub(crate) fn without_content(mut self) -> Self {
        self.unwanted = true;
        self
    }

    /// The observer was asked, and said no.
    fn is_over(&mut self) -> bool {
        let Some(due) = self.due else {
            self.pieces = self.pieces.saturating_add(1);
            if self.pieces > BRIEF {
                self.due = Some(Instant::now() + AGAIN);
            }
            return false;
        };
        let now = Instant::now();
        if now < due {
            return false;
        }
        self.due = Some(now + AGAIN);
        self.observer
            .as_mut()
            .is_some_and(|observer| !observer.may_go_on())
    }

    fn report(&mut self, how: Ending) {
        if let Some(observer) = self.observer.take() {
            let bytes = self.bytes;
            observer.ended(Ended { how, bytes });
        }
    }
}

impl<W: OnEnd> HttpBody for Watched<W> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.is_over() {
            // The connection behind must not go on by itself.
            this.inner = Body::Empty;
            this.report(Ending::CutOff);
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            this.due.get_or_insert_with(|| Instant::now() + AGAIN);
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.bytes = this.bytes.saturating_add(length as u64);
            }
            Some(Err(_)) => this.report(Ending::Failed),
            None => this.report(Ending::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<W: OnEnd> Drop for Watched<W> {
    fn drop(&mut self) {
        let complete = self.unwanted || self.inner.is_end_stream();
        self.report(if complete {
            Ending::Complete
        } else {
            Ending::Dropped
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use http_body::{Body as HttpBody, Frame};
    use tokio::time::Instant;

    use super::{Ended, Ending, Watched};
    use crate::message::{Body, BodyError};

    type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;
    type Seen = Rc<RefCell<Vec<Ended>>>;

    fn watched(body: Body) -> (Watched<impl super::OnEnd>, Seen) {
        let seen = Seen::default();
        let log = Rc::clone(&seen);
        (
            Watched::new(body, move |ended| log.borrow_mut().push(ended)),
            seen,
        )
    }

    fn poll(body: &mut (impl HttpBody<Data = Bytes, Error = BodyError> + Unpin)) -> Polled {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    struct Broken;

    impl HttpBody for Broken {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(BodyError::Cancelled)))
        }
    }

    #[test]
    fn a_body_read_to_its_end_is_reported_once_with_its_length() {
        let (mut body, seen) = watched("hello".into());
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
        drop(body);
        let expected = Ended {
            how: Ending::Complete,
            bytes: 5,
        };
        assert_eq!(*seen.borrow(), [expected]);
    }

    #[test]
    fn a_body_whose_end_is_known_beforehand_counts_as_complete() {
        let (mut body, seen) = watched("hello".into());
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        drop(body);
        assert_eq!(seen.borrow()[0].how, Ending::Complete);
        let (empty, seen) = watched(Body::Empty);
        drop(empty);
        assert_eq!(seen.borrow()[0].how, Ending::Complete);
    }

    #[test]
    fn a_body_dropped_early_is_reported_as_dropped() {
        let (body, seen) = watched("hello".into());
        drop(body);
        assert_eq!(
            *seen.borrow(),
            [Ended {
                how: Ending::Dropped,
                bytes: 0
            }]
        );
    }

    #[test]
    fn content_that_must_not_be_sent_is_complete_when_dropped() {
        let (body, seen) = watched("hello".into());
        drop(body.without_content());
        assert_eq!(seen.borrow()[0].how, Ending::Complete);
    }

    /// Says what a body may do, and remembers what it was asked.
    struct Strict {
        goes_on: bool,
        asked: Rc<RefCell<usize>>,
        seen: Seen,
    }

    impl super::OnEnd for Strict {
        fn may_go_on(&mut self) -> bool {
            *self.asked.borrow_mut() += 1;
            self.goes_on
        }

        fn ended(self, ended: Ended) {
            self.seen.borrow_mut().push(ended);
        }
    }

    fn strict(body: Body, goes_on: bool) -> (Watched<Strict>, Rc<RefCell<usize>>, Seen) {
        let (asked, seen) = (Rc::default(), Seen::default());
        let observer = Strict {
            goes_on,
            asked: Rc::clone(&asked),
            seen: Rc::clone(&seen),
        };
        (Watched::new(body, observer), asked, seen)
    }

    /// Never has a piece.
    struct Waiting;

    impl HttpBody for Waiting {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_body_that_lasts_is_cut_off_when_the_observer_says_no() {
        let (mut body, asked, seen) = strict(Body::wrap(Waiting), false);
        assert!(poll(&mut body).is_pending());
        assert!(poll(&mut body).is_pending());
        assert_eq!(*asked.borrow(), 0);
        body.due = Some(Instant::now());
        let cut = poll(&mut body);
        assert!(matches!(cut, Poll::Ready(Some(Err(BodyError::Cancelled)))));
        drop(body);
        let expected = Ended {
            how: Ending::CutOff,
            bytes: 0,
        };
        assert_eq!(*seen.borrow(), [expected]);
    }

    #[test]
    fn a_body_that_lasts_goes_on_while_the_observer_agrees() {
        let (mut body, asked, seen) = strict(Body::wrap(Waiting), true);
        assert!(poll(&mut body).is_pending());
        body.due = Some(Instant::now());
        assert!(poll(&mut body).is_pending());
        assert!(poll(&mut body).is_pending());
        assert_eq!((*asked.borrow(), seen.borrow().len()), (1, 0));
    }

    #[test]
    fn a_brief_body_is_never_asked_about() {
        let (mut body, asked, seen) = strict("hello".into(), false);
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(body.due.is_none());
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
        assert_eq!(
            (*asked.borrow(), seen.borrow()[0].how),
            (0, Ending::Complete)
        );
    }

    #[test]
    fn a_body_that_fails_is_reported_as_failed_and_only_once() {
        let (mut body, seen) = watched(Body::wrap(Broken));
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
        drop(body);
        assert_eq!(seen.borrow().len(), 1);
        assert_eq!(seen.borrow()[0].how, Ending::Failed);
    }
}
