//! One write on its way to the writing thread, and the answer on its way back.

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::{Pending, StoreError};

/// One write, or one action that must stand outside a transaction.
pub(super) trait Job: Send {
    fn run(&mut self, connection: &Connection);
    /// Answers the caller: success counts only when it was `committed`.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct JobOf<T, W> {
    work: Option<W>,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for JobOf<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) {
        if let Some(work) = self.work.take() {
            self.outcome = Some(work(connection));
        }
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match self.outcome {
            Some(Ok(value)) => committed.map(|()| value),
            // Its own failure says more than that the batch went with it.
            Some(Err(own)) => Err(own),
            None => Err(committed.err().unwrap_or(StoreError::Closed)),
        };
        // Nobody may be waiting any more; the write stands all the same.
        drop(self.caller.send(outcome));
    }
}

/// A job for `work`, and the caller's end of it.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> (Box<dyn Job>, Pending<T>) {
    let (caller, pending) = Pending::new();
    let job = JobOf {
        work: Some(work),
        outcome: None,
        caller,
    };
    (Box::new(job), pending)
}
