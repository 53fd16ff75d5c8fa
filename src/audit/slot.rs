//! One request's way through the log: a place, the admission, the entry.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::{Admission, RequestEntry};
use super::journal::Ticket;
use super::ledger::Place;
use super::log::{AuditLog, OnFailure};
use super::queue::Unavailable;
use super::render::Work;
use crate::base::Reason;

/// A reserved place: the request's end can be recorded whatever happens. Dropping it unused gives it back.
///
/// Dropped when the request was admitted (a task that was cancelled or panicked), the admission is closed by an entry
/// of its own.
#[derive(Debug)]
#[must_use]
pub(crate) struct Slot {
    log: Arc<AuditLog>,
    admission: InJournal,
    recorded: bool,
}

/// How far the admission has come.
#[derive(Debug)]
enum InJournal {
    No,
    /// Among those of its turn.
    Gathered(Ticket),
    Written(Place),
}

/// Proof that a request was written down before it leaves.
#[derive(Debug)]
#[must_use]
pub(crate) struct Receipt(());

impl Slot {
    /// A place in the queue that was taken already.
    pub(super) const fn new(log: Arc<AuditLog>) -> Self {
        Self {
            log,
            admission: InJournal::No,
            recorded: false,
        }
    }

    /// Writes the admission, together with all that come in the same turn. Only who holds the receipt may leave for
    /// its upstream. May be dropped at any moment: the slot knows how far it has come.
    ///
    /// # Errors
    /// [`Unavailable`] when it could not be written, with [`OnFailure::Deny`].
    pub(crate) async fn admit(
        &mut self,
        admission: &Admission<'_>,
    ) -> Result<Receipt, Unavailable> {
        if !matches!(self.admission, InJournal::No) {
            return Err(Unavailable::Closed);
        }
        self.admission = InJournal::Gathered(self.log.journal.gather(admission));
        // Whoever else can run has run once when this returns, and its admission leaves in the same write.
        tokio::task::yield_now().await;
        let on_disk = match (self.settle(), &self.log.sync) {
            (Ok(Some(file)), Some(sync)) => sync.wait(file).await,
            (Ok(_), _) => Ok(()),
            (Err(kind), _) => Err(kind),
        };
        let Err(kind) = on_disk else {
            return Ok(Receipt(()));
        };
        self.log.shared.failures.fetch_add(1, Ordering::Relaxed);
        match self.log.options.on_failure {
            // If the record was written and only the disk failed, the slot still knows its place, so the
            // entry of the refusal closes it and the next start does not take it for interrupted.
            OnFailure::Deny => Err(Unavailable::Disk(kind)),
            OnFailure::Allow => Ok(Receipt(())),
        }
    }

    /// Has what is gathered written, so that its place is known.
    fn settle(&mut self) -> Result<Option<Arc<File>>, io::ErrorKind> {
        let InJournal::Gathered(ticket) = &self.admission else {
            return Ok(None);
        };
        let written = self.log.journal.written(ticket);
        self.admission = match &written {
            Ok((place, _)) => InJournal::Written(*place),
            Err(_) => InJournal::No,
        };
        written.map(|(_, file)| Some(file))
    }

    /// Where the admission stands. One that is dropped in the middle of its turn ends the turn for all: what was
    /// gathered is written, or known not to be, before anybody forgets about it.
    fn place(&mut self) -> Option<Place> {
        // A failed write is told to those who wait for it; this one no longer does.
        self.settle().ok();
        match self.admission {
            InJournal::Written(place) => Some(place),
            InJournal::No | InJournal::Gathered(_) => None,
        }
    }

    /// Hands over the entry.
    pub(crate) fn record(mut self, entry: Box<RequestEntry>) {
        self.recorded = true;
        let place = self.place();
        let shared = &self.log.shared;
        if self.log.options.on_failure == OnFailure::Allow && shared.is_overfull() {
            // Chosen by the operator: while nothing can be written, memory does not grow without end.
            shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            shared.release(1);
            return;
        }
        shared.push(Work::Request { entry, place }, false);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        match self.place() {
            Some(place) => self.log.abandon(place),
            None => self.log.shared.release(1),
        }
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
