//! The word to end in order, waited for beside something that wakes its task far more often.
//!
//! A token keeps its listeners in a list behind a lock that all connections share. This enters the list once and does
//! not touch it again before the word is given, however often it is asked.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Ends when its token is cancelled.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    token: &'a CancellationToken,
    word: Pin<Box<WaitForCancellationFuture<'a>>>,
    /// Who is on the token's list for this one.
    listener: Option<Waker>,
}

impl<'a> Leaving<'a> {
    pub(super) fn new(token: &'a CancellationToken) -> Self {
        Self {
            token,
            word: Box::pin(token.cancelled()),
            listener: None,
        }
    }
}

impl Future for Leaving<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.token.is_cancelled() {
            return Poll::Ready(());
        }
        let listens = |listener: &Waker| listener.will_wake(cx.waker());
        if self.listener.as_ref().is_some_and(listens) {
            return Poll::Pending;
        }
        self.listener = Some(cx.waker().clone());
        self.word.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use tokio_util::sync::CancellationToken;

    use super::Leaving;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_asked_last_is_woken_by_the_word() {
        let token = CancellationToken::new();
        let mut leaving = pin!(Leaving::new(&token));
        let wakers = [Arc::new(Woken::default()), Arc::new(Woken::default())];
        for woken in &wakers {
            let waker = Waker::from(Arc::clone(woken));
            let mut cx = Context::from_waker(&waker);
            for _ in 0..3 {
                assert_eq!(leaving.as_mut().poll(&mut cx), Poll::Pending);
            }
        }
        token.cancel();
        let counts = wakers
            .each_ref()
            .map(|woken| woken.0.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1]);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(leaving.as_mut().poll(&mut cx), Poll::Ready(()));
    }

    #[test]
    fn a_word_that_was_given_before_counts() {
        let token = CancellationToken::new();
        token.cancel();
        let mut leaving = pin!(Leaving::new(&token));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(leaving.as_mut().poll(&mut cx), Poll::Ready(()));
    }
}
