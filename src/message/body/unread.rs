//! Content over HTTP/2 that nobody reads to its end, such as that of a refused request.
//!
//! When the server lets go of it, the stream is reset as soon as the answer is sent (RFC 9113 section 8.1). Some clients
//! lose the answer then, if they were still sending; so a little more is taken in and thrown away.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use super::{Body, BodyError};

/// What clients have sent by the time at which an answer reaches them; more is not worth it.
const MOST: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(1);

/// A body that is handed to its [`Rest`] when it is dropped before its end.
struct Kept {
    body: Body,
    home: Option<oneshot::Sender<Body>>,
}

/// What is left of a body that nobody wants any more.
#[derive(Debug)]
pub(crate) struct Rest(oneshot::Receiver<Body>);

/// The body to read, and its rest to [take in](Rest::take_in) beside that.
pub(crate) fn keep(body: Body) -> (Body, Rest) {
    let (home, rest) = oneshot::channel();
    let home = Some(home);
    (Body::wrap(Kept { body, home }), Rest(rest))
}

impl Rest {
    /// Waits until the body is dropped, and reads on: to its end, 64 KiB or one second.
    pub(crate) async fn take_in(self) {
        let Ok(mut body) = self.0.await else {
            return;
        };
        let mut seen = 0;
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                seen += frame.data_ref().map_or(0, Bytes::len);
                if seen > MOST {
                    break;
                }
            }
        };
        // Whoever is slower gets the reset.
        tokio::time::timeout(PATIENCE, read).await.ok();
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(polled, Some(Ok(_))) {
            self.home = None;
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(home) = self.home.take().filter(|_| !self.body.is_end_stream()) {
            // Nobody takes it in where the server is stopping.
            home.send(std::mem::take(&mut self.body)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::{Body as HttpBody, Frame};
    use http_body_util::BodyExt as _;

    use super::{Body, BodyError, MOST, keep};

    const PIECE: usize = 1 << 10;

    /// So many pieces, and how many are still to come.
    struct Pieces(Arc<AtomicUsize>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let took = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                });
            let piece = || Ok(Frame::data(Bytes::from_static(&[0; PIECE])));
            Poll::Ready(took.is_ok().then(piece))
        }
    }

    #[tokio::test]
    async fn what_nobody_reads_is_taken_in_up_to_a_bound() {
        for (sent, left) in [(0, 0), (3, 0), (MOST / PIECE + 9, 8)] {
            let pieces = Arc::new(AtomicUsize::new(sent));
            let (body, rest) = keep(Body::wrap(Pieces(Arc::clone(&pieces))));
            drop(body);
            rest.take_in().await;
            assert_eq!(pieces.load(Ordering::Relaxed), left);
        }
    }

    #[tokio::test]
    async fn of_a_body_that_was_read_to_its_end_there_is_no_rest() {
        let pieces = Arc::new(AtomicUsize::new(1));
        let (mut body, rest) = keep(Body::wrap(Pieces(pieces)));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.is_none());
        // While it is still held: nothing is waited for.
        rest.take_in().await;
        drop(body);
    }
}
