//! The bounded queue between requests and the writer, and the flag that says whether requests may pass.
//!
//! Pushing costs no system call while the writer is awake, and no thread waits for another to push. Places are counted
//! from reservation to disk.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::render::Work;
use crate::base::lane::{self, Lanes};

/// Nothing can be recorded now, so nothing may be let through. Passes by itself when the cause does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("the audit queue is full")]
    QueueFull,
    #[error("the audit folder cannot be written: {0}")]
    Disk(io::ErrorKind),
    #[error("only {free} bytes are free where the audit log lies; {least} are kept in reserve")]
    LowSpace { free: u64, least: u64 },
    #[error("the keys that seal personal fields cannot be read")]
    Keyring,
    #[error("the audit log is closed")]
    Closed,
}

/// So many entries of one thread are enough for the writer: more at once would hold up those who share its processor.
const ENOUGH: usize = 64;

/// What callers and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    inboxes: Lanes<Vec<Work>>,
    /// The writer waits for the first piece of work and has to be woken.
    asleep: AtomicBool,
    calls: Mutex<Calls>,
    wake: Condvar,
    taken: AtomicUsize,
    capacity: usize,
    /// `false` while `trouble` says why.
    able: AtomicBool,
    trouble: Mutex<Option<Unavailable>>,
    pub(super) entries: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) free: AtomicU64,
    pub(super) unrecorded: AtomicU64,
}

/// Why the writer should not wait any longer.
#[derive(Debug, Default)]
struct Calls {
    urgent: bool,
    closing: bool,
}

/// What the writer was given.
pub(super) struct Delivery {
    pub(super) work: Vec<Work>,
    pub(super) closing: bool,
}

impl Shared {
    pub(super) fn new(capacity: usize, entries: u64, free: u64) -> Self {
        Self {
            inboxes: Lanes::default(),
            asleep: AtomicBool::new(false),
            calls: Mutex::default(),
            wake: Condvar::new(),
            taken: AtomicUsize::new(0),
            capacity,
            able: AtomicBool::new(true),
            trouble: Mutex::new(None),
            entries: AtomicU64::new(entries),
            failures: AtomicU64::new(0),
            free: AtomicU64::new(free),
            unrecorded: AtomicU64::new(0),
        }
    }

    /// Takes a place; refuses, with the place taken all the same, when it is one too many.
    pub(super) fn reserve(&self) -> Result<(), Unavailable> {
        if self.taken.fetch_add(1, Ordering::AcqRel) < self.capacity {
            Ok(())
        } else {
            Err(Unavailable::QueueFull)
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether a place could be reserved now.
    pub(super) fn room(&self) -> Result<(), Unavailable> {
        if self.taken() < self.capacity {
            Ok(())
        } else {
            Err(Unavailable::QueueFull)
        }
    }

    /// More places are taken than there are.
    pub(super) fn is_overfull(&self) -> bool {
        self.taken() > self.capacity
    }

    /// Tells the writer to finish.
    pub(super) fn finish(&self) {
        self.calls.lock().closing = true;
        self.wake.notify_one();
    }

    pub(super) fn push(&self, work: Work, urgent: bool) {
        let enough = {
            let mut inbox = self.inboxes.at(lane::own()).lock();
            inbox.push(work);
            inbox.len().is_multiple_of(ENOUGH)
        };
        if urgent || enough {
            self.calls.lock().urgent = true;
            self.wake.notify_one();
            return;
        }
        // While the writer gathers it is on a short timer and needs no call, which would cost a system call
        // per entry; only the first entry after a pause, enough of them, and those whose sender waits, wake it.
        // The fence pairs with that in `take`: either the writer sees this work, or this thread sees it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            // The writer holds the lock until it waits, so the call cannot come too early.
            drop(self.calls.lock());
            self.wake.notify_one();
        }
    }

    /// Everything that was pushed, in the order of time: whoever reads the log reads what happened one after the other.
    fn drain(&self) -> Vec<Work> {
        let (mut all, mut several) = (Vec::new(), false);
        for inbox in self.inboxes.iter() {
            let mut inbox = inbox.lock();
            if all.is_empty() {
                std::mem::swap(&mut all, &mut inbox);
            } else if !inbox.is_empty() {
                several = true;
                all.append(&mut inbox);
            }
        }
        if several {
            // Each thread's part is in order already, and equal times keep it.
            all.sort_by_key(Work::time);
        }
        all
    }

    /// What has come; waits at most `patience` for the first of it.
    pub(super) fn take(&self, patience: Duration) -> Delivery {
        // Held to the end: what was pushed before somebody called is in the delivery that answers the call.
        let mut calls = self.calls.lock();
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut work = self.drain();
        if work.is_empty() && !calls.urgent && !calls.closing {
            self.wake.wait_for(&mut calls, patience);
            work = self.drain();
        }
        self.asleep.store(false, Ordering::Relaxed);
        calls.urgent = false;
        Delivery {
            work,
            closing: calls.closing,
        }
    }

    /// Lets work come together; ends early when somebody waits for it.
    pub(super) fn gather(&self, at_most: Duration) {
        let mut calls = self.calls.lock();
        if !calls.urgent && !calls.closing {
            self.wake.wait_for(&mut calls, at_most);
        }
    }

    /// Takes a place for an event of the writer's own.
    pub(super) fn reserve_for_event(&self) {
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits between the last attempts.
    pub(super) fn pause(&self, span: Duration) {
        self.wake.wait_for(&mut self.calls.lock(), span);
    }

    pub(super) fn release(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::AcqRel);
    }

    /// Sets or clears the reason for refusing; `true` when that is news.
    pub(super) fn set_trouble(&self, trouble: Option<Unavailable>) -> bool {
        let mut current = self.trouble.lock();
        let kind = |trouble: &Option<Unavailable>| trouble.as_ref().map(std::mem::discriminant);
        let news = kind(&current) != kind(&trouble);
        self.able.store(trouble.is_none(), Ordering::Release);
        *current = trouble;
        news
    }

    pub(super) fn check(&self) -> Result<(), Unavailable> {
        if self.able.load(Ordering::Acquire) {
            return Ok(());
        }
        match *self.trouble.lock() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Shared, Work};
    use crate::audit::event::{Action, SecurityEvent};
    use crate::base::Timestamp;

    #[test]
    fn what_several_threads_pushed_comes_in_the_order_of_time() {
        let shared = Arc::new(Shared::new(1_000, 0, 0));
        let threads: Vec<_> = (0..4_i64)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    for step in 0..50 {
                        let at = Timestamp::from_micros(step * 4 + thread);
                        let event = Box::new(SecurityEvent::new(at, Action::ServerStarted));
                        let durable = None;
                        shared.push(Work::Event { event, durable }, false);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let times: Vec<i64> = shared
            .take(Duration::ZERO)
            .work
            .iter()
            .map(|work| work.time().micros())
            .collect();
        assert_eq!(times, (0..200).collect::<Vec<_>>());
    }
}
