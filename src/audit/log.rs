//! The log as the rest of the program sees it: reserve a place, admit, record.
//!
//! A request reserves its place in the bounded queue before anything else, so its completion cannot fail for
//! want of room. Whoever holds a [`Receipt`] has been admitted; there is no other way to get one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::disk::{self, Folder};
use super::engine::Work;
use super::entry::{Admission, RequestEntry};
use super::event::SecurityEvent;
use super::group_sync::GroupSync;
use super::journal::{Journal, Place};
use super::recover::{self, OpenError, Parts, Recovery};
use super::seal::{Keyring, KeyringError, Sealer};
use super::writer::{self, Pace};
use crate::base::{Clock, EntryId, PrincipalId, Reason, Timestamp};
use crate::keys::{NoteSigner, NoteVerifier};

/// How much survives a power cut when a request is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// What the kernel has, at most 100 ms of it not on disk.
    Process,
    /// On disk before the upstream is contacted.
    Power,
}

/// What to do while nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Refuse requests.
    Deny,
    /// Serve unrecorded, count, and record the count when writing works again.
    Allow,
}

/// How the log is kept.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) folder: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) on_failure: OnFailure,
    /// Longest time between an entry and its flush.
    pub(crate) flush: Duration,
    /// Longest time between an entry and its checkpoint.
    pub(crate) checkpoint: Duration,
    /// Free bytes below which requests are refused.
    pub(crate) min_free: u64,
    pub(crate) segment_bytes: u64,
    /// Requests under way and entries not yet written, together at most.
    pub(crate) queue: usize,
}

impl Options {
    /// The defaults of the configuration.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            durability: Durability::Process,
            on_failure: OnFailure::Deny,
            flush: Duration::from_millis(100),
            checkpoint: Duration::from_secs(1),
            min_free: 256 << 20,
            segment_bytes: 64 << 20,
            queue: 65_536,
        }
    }
}

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

/// Counters for metrics and `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Entries in the log.
    pub(crate) entries: u64,
    /// Places taken: requests under way and entries not yet written.
    pub(crate) queue: usize,
    pub(crate) write_failures: u64,
    /// Requests served unrecorded under [`OnFailure::Allow`].
    pub(crate) unrecorded: u64,
    /// Free bytes when last looked, at most a second ago.
    pub(crate) free_bytes: u64,
    pub(crate) unavailable: Option<Unavailable>,
}

/// What callers and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
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

#[derive(Debug, Default)]
struct Inbox {
    work: Vec<Work>,
    /// The writer waits for the first piece of work and has to be woken.
    asleep: bool,
    urgent: bool,
    closing: bool,
}

/// What the writer was given.
pub(super) struct Delivery {
    pub(super) work: Vec<Work>,
    pub(super) closing: bool,
}

impl Shared {
    fn push(&self, work: Work, urgent: bool) {
        let mut inbox = self.inbox.lock();
        inbox.work.push(work);
        // While the writer gathers it is on a short timer and needs no call, which would cost a system call
        // per entry; only the first entry after a pause, and those whose sender waits, wake it.
        let call = inbox.asleep || (urgent && !inbox.urgent);
        inbox.asleep = false;
        inbox.urgent |= urgent;
        drop(inbox);
        if call {
            self.wake.notify_one();
        }
    }

    /// Waits at most `patience` for the first piece of work, or `gather` for more of it.
    pub(super) fn take(&self, patience: Duration) -> Delivery {
        let mut inbox = self.inbox.lock();
        if inbox.work.is_empty() && !inbox.closing {
            inbox.asleep = true;
            self.wake.wait_for(&mut inbox, patience);
            inbox.asleep = false;
        }
        inbox.urgent = false;
        Delivery {
            work: std::mem::take(&mut inbox.work),
            closing: inbox.closing,
        }
    }

    /// Lets work come together; ends early when somebody waits for it.
    pub(super) fn gather(&self, at_most: Duration) {
        let mut inbox = self.inbox.lock();
        if !inbox.urgent && !inbox.closing {
            self.wake.wait_for(&mut inbox, at_most);
        }
    }

    /// Takes a place for an event of the writer's own.
    pub(super) fn reserve_for_event(&self) {
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits between the last attempts.
    pub(super) fn pause(&self, span: Duration) {
        let mut inbox = self.inbox.lock();
        self.wake.wait_for(&mut inbox, span);
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

    fn check(&self) -> Result<(), Unavailable> {
        if self.able.load(Ordering::Acquire) {
            return Ok(());
        }
        match *self.trouble.lock() {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }
}

/// The audit log, open for writing. One per folder; cheap to share behind an `Arc`.
#[derive(Debug)]
pub(crate) struct AuditLog {
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    sync: Option<GroupSync>,
    sealer: Arc<Sealer>,
    clock: Clock,
    options: Options,
    key: NoteVerifier,
    recovery: Recovery,
    writer: Mutex<Option<JoinHandle<()>>>,
    #[cfg(test)]
    pub(super) refuse: Arc<AtomicBool>,
}

impl AuditLog {
    /// Opens or creates the log, puts it in order after a crash, and starts its writer.
    /// The signer's name is the log's origin. Blocks; not for a runtime's thread.
    pub(crate) fn open(
        options: Options,
        keyring: Arc<dyn Keyring>,
        signer: Arc<NoteSigner>,
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        let folder = Folder::new(&options.folder);
        let failed = |why: io::Error| OpenError::Folder {
            folder: options.folder.clone(),
            why,
        };
        folder.create().map_err(failed)?;
        let lock = folder.lock().map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse(options.folder.clone()),
            _ => failed(why),
        })?;
        let sealer = Arc::new(Sealer::new(keyring));
        let key = signer.verifier().clone();
        let printed = format!("{}\n", key.vkey());
        disk::replace(&folder.verifier_key(), printed.as_bytes()).map_err(failed)?;
        let parts = Parts {
            folder: folder.clone(),
            sealer: Arc::clone(&sealer),
            signer,
            segment_bytes: options.segment_bytes,
            durable_names: options.durability == Durability::Power,
        };
        let (engine, recovery) = recover::open(parts, clock.now())?;
        let journal = Arc::clone(&engine.journal);
        #[cfg(test)]
        let refuse = Arc::clone(&engine.appender.refuse);
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            wake: Condvar::new(),
            taken: AtomicUsize::new(0),
            capacity: options.queue,
            able: AtomicBool::new(true),
            trouble: Mutex::new(None),
            entries: AtomicU64::new(recovery.entries),
            failures: AtomicU64::new(0),
            free: AtomicU64::new(folder.free_bytes().map_err(failed)?),
            unrecorded: AtomicU64::new(0),
        });
        let sync = match options.durability {
            Durability::Process => None,
            Durability::Power => Some(GroupSync::start().map_err(failed)?),
        };
        let pace = Pace::new(&options, clock);
        let writer = writer::start(engine, Arc::clone(&shared), pace, lock).map_err(failed)?;
        Ok(Arc::new(Self {
            shared,
            journal,
            sync,
            sealer,
            clock,
            options,
            key,
            recovery,
            writer: Mutex::new(Some(writer)),
            #[cfg(test)]
            refuse,
        }))
    }

    /// Takes a place for one request. Refuses when it could not be recorded.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<Slot, Unavailable> {
        let open = self.shared.check();
        let before = self.shared.taken.fetch_add(1, Ordering::AcqRel);
        let room = if before < self.shared.capacity {
            Ok(())
        } else {
            Err(Unavailable::QueueFull)
        };
        let slot = Slot {
            log: Arc::clone(self),
            place: None,
            recorded: false,
        };
        match (open.and(room), self.options.on_failure) {
            (Ok(()), _) => Ok(slot),
            // Dropping the slot gives the place back.
            (Err(why), OnFailure::Deny) => Err(why),
            (Err(Unavailable::Closed), OnFailure::Allow) => Err(Unavailable::Closed),
            (Err(_), OnFailure::Allow) => Ok(slot),
        }
    }

    /// Records a security event. Never fails; it is on disk within the flush interval.
    pub(crate) fn record(&self, event: SecurityEvent) {
        self.accept(event, None);
    }

    /// Records a security event and waits until it would survive a power cut.
    pub(crate) async fn record_durably(
        &self,
        event: SecurityEvent,
    ) -> Result<EntryId, Unavailable> {
        self.shared.check()?;
        let (told, wait) = oneshot::channel();
        self.accept(event, Some(told));
        wait.await.map_err(|_writer_gone| Unavailable::Closed)
    }

    fn accept(&self, event: SecurityEvent, durable: Option<oneshot::Sender<EntryId>>) {
        self.shared.taken.fetch_add(1, Ordering::AcqRel);
        let urgent = durable.is_some();
        let event = Box::new(event);
        self.shared.push(Work::Event { event, durable }, urgent);
    }

    /// Writes and signs everything accepted so far, then stops. Later calls do nothing. Blocks.
    pub(crate) fn close(&self) {
        self.shared.inbox.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked left the journal, which the next start reads.
            drop(writer.join());
        }
        self.shared.set_trouble(Some(Unavailable::Closed));
    }

    /// What opening had to put in order.
    pub(crate) const fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The key with which anybody can verify this log.
    pub(crate) const fn verifier_key(&self) -> &NoteVerifier {
        &self.key
    }

    pub(crate) const fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.options.folder
    }

    /// Makes everything sealed for `person` unreadable for ever. Record a `user.erased` event beside it.
    pub(crate) fn erase(&self, person: &PrincipalId) -> Result<bool, KeyringError> {
        let name = super::seal::key_name(Some(person), Timestamp::EPOCH);
        self.sealer.forget(&name)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.shared.entries.load(Ordering::Relaxed),
            queue: self.shared.taken.load(Ordering::Relaxed),
            write_failures: self.shared.failures.load(Ordering::Relaxed),
            unrecorded: self.shared.unrecorded.load(Ordering::Relaxed),
            free_bytes: self.shared.free.load(Ordering::Relaxed),
            unavailable: self.shared.check().err(),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}

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
    /// Writes the admission, one write in the caller's thread. After this the request may leave for its upstream.
    pub(crate) async fn admit(self, admission: &Admission<'_>) -> Result<Receipt, Refused> {
        let mut slot = self;
        let written = slot.log.journal.admit(admission, slot.log.clock.now());
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
