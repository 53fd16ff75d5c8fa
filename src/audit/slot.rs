//! One request's way through the log: a place, the admission, the entry.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine::Work;
use super::entry::{Admission, RequestEntry};
use super::journal::Place;
use super::log::{AuditLog, OnFailure};
use super::queue::Unavailable;
use crate::base::Reason;

/// A reserved place: the request's end can be recorded whatever happens. Dropping it unused gives it back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Slot {
    log: Arc<AuditLog>,
    /// Set once the admission is in the journal.
    place: Option<Place>,
    recorded: bool,
}

impl Slot {
    /// A place in the queue that was taken already.
    pub(super) const fn new(log: Arc<AuditLog>) -> Self {
        Self {
            log,
            place: None,
            recorded: false,
        }
    }

    /// Writes the admission, one write in the caller's thread. After this the request may leave for its upstream.
    pub(crate) async fn admit(self, admission: &Admission<'_>) -> Result<Receipt, Refused> {
        let mut slot = self;
        let written = slot.log.journal.admit(admission);
        let written = match written {
            Ok((place, file)) => {
                slot.place = Some(place);
                match &slot.log.sync {
                    None => Ok(()),
                    Some(sync) => sync.wait(file).await,
                }
            }
            Err(why) => Err(why.kind()),
        };
        match (written, slot.log.options.on_failure) {
            (Ok(()), _) => Ok(Receipt { slot }),
            (Err(kind), OnFailure::Deny) => {
                slot.log.shared.failures.fetch_add(1, Ordering::Relaxed);
                // If the record was written and only the disk failed, the slot still knows its place, so the
                // entry of the refusal closes it and the next start does not take it for interrupted.
                let why = Unavailable::Disk(kind);
                Err(Refused { why, slot })
            }
            (Err(_), OnFailure::Allow) => {
                slot.log.shared.failures.fetch_add(1, Ordering::Relaxed);
                Ok(Receipt { slot })
            }
        }
    }

    /// Hands over the entry of a request that was not admitted.
    pub(crate) fn record(self, entry: RequestEntry) {
        let mut slot = self;
        slot.recorded = true;
        if slot.log.options.on_failure == OnFailure::Allow && slot.log.shared.is_overfull() {
            // Chosen by the operator: while nothing can be written, memory does not grow without end.
            slot.log.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            slot.log.shared.release(1);
            return;
        }
        let (entry, place) = (Box::new(entry), slot.place);
        slot.log.shared.push(Work::Request { entry, place }, false);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        match self.place {
            _ if self.recorded => {}
            Some(place) => self.log.abandon(place),
            None => self.log.shared.release(1),
        }
    }
}

/// The admission could not be written. The slot is still there to record the refusal with.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Refused {
    pub(crate) why: Unavailable,
    pub(crate) slot: Slot,
}

/// Proof that a request was written down before it leaves. Consumed by its entry.
///
/// Dropped without one (a task that was cancelled or panicked), the admission is closed by an entry of its own.
#[derive(Debug)]
#[must_use]
pub(crate) struct Receipt {
    slot: Slot,
}

impl Receipt {
    /// Hands over the entry of an admitted request.
    pub(crate) fn record(self, entry: RequestEntry) {
        self.slot.record(entry);
    }
}

impl AuditLog {
    /// Closes an admission that nobody completes. The place in the queue goes with the work.
    fn abandon(&self, place: Place) {
        match self.journal.read(place) {
            Some(admitted) => {
                let work = Work::Abandoned {
                    admitted: Box::new(admitted),
                    place: Some(place),
                    reason: Reason::Defect,
                    now: self.clock.now(),
                };
                self.shared.push(work, false);
            }
            // Unreadable now, but still in its file: the next start closes it.
            None => self.shared.release(1),
        }
    }
}
