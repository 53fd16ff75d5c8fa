//! The only place that spawns: every task has a name, is counted, and is found again by a drain.
//!
//! A panic ends the task it happens in and nothing else; it is counted and logged here, so that no defect is silent.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to one group of tasks; clones mean the same group.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
    panics: Arc<AtomicU64>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            panics: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Runs `future` on the current runtime until it ends, panics, or the runtime is gone.
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let panics = Arc::clone(&self.panics);
        // Boxed, because every wrapper below would double the room that the future takes for as long as it runs.
        let caught = Box::pin(AssertUnwindSafe(future).catch_unwind());
        // Nobody waits for a single task; the tracker counts it and a drain finds it.
        drop(self.tracker.spawn(async move {
            if let Err(panic) = caught.await {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, panic = panic_text(&*panic), "a task panicked");
            }
        }));
    }

    /// Cancelled as soon as a drain begins; long-lived tasks end their work in order when it is.
    pub(crate) const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// How many tasks have panicked since the start.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many tasks are running.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Tells every task to end and waits up to `grace`. Gives the number of those that go on; they end with their
    /// runtime, dropping what they hold.
    pub(crate) async fn drain(&self, grace: Duration) -> usize {
        self.draining.cancel();
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_grace_is_over) => self.tracker.len(),
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

/// hyper runs each HTTP/2 stream through this, so a panic costs one stream.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn("http2-stream", future);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::Tasks;

    #[tokio::test]
    async fn a_panic_is_counted_and_stays_in_its_task() {
        let tasks = Tasks::new();
        tasks.spawn("broken", async { panic!("on purpose") });
        let (tell, told) = oneshot::channel();
        tasks.spawn("sound", async { tell.send(7).unwrap() });
        assert_eq!(told.await, Ok(7));
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, 0);
        assert_eq!(tasks.panics(), 1);
    }

    #[test]
    fn a_drain_waits_for_tasks_that_end_and_the_runtime_takes_the_others_along() {
        let tasks = Tasks::new();
        let (tell, told) = oneshot::channel();
        let (held, mut never) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stop = tasks.draining().clone();
        let left = runtime.block_on(async {
            tasks.spawn("obedient", async move {
                stop.cancelled().await;
                tell.send(()).unwrap();
            });
            tasks.spawn("stubborn", async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            assert_eq!(tasks.running(), 2);
            tasks.drain(Duration::from_millis(50)).await
        });
        assert_eq!((left, told.blocking_recv()), (1, Ok(())));
        assert_eq!(never.try_recv(), Err(TryRecvError::Empty));
        drop(runtime);
        assert_eq!(never.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(tasks.running(), 0);
    }
}
