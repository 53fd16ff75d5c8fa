//! The log as the rest of the program sees it: reserve a place, admit, record.
//!
//! A request reserves its place in the bounded queue before anything else, so its completion cannot fail for
//! want of room. Whoever holds a [`super::Receipt`] has been admitted; there is no other way to get one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::disk::{self, Folder};
use super::event::SecurityEvent;
use super::group_sync::GroupSync;
use super::journal::Journal;
use super::queue::{Shared, Unavailable};
use super::recover::{self, OpenError, Parts, Recovery};
use super::render::{Renderer, Work};
use super::seal::{Keyring, KeyringError, Sealer};
use super::slot::Slot;
use super::writer::{self, Pace};
use crate::base::{Clock, EntryId, PrincipalId, Timestamp};
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
    /// Free bytes below which a warning is logged.
    pub(crate) warn_free: u64,
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
            warn_free: 2 << 30,
            segment_bytes: 64 << 20,
            queue: 65_536,
        }
    }
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
    /// Why a request would be refused now.
    pub(crate) unavailable: Option<Unavailable>,
}

/// The audit log, open for writing. One per folder; cheap to share behind an `Arc`.
#[derive(Debug)]
pub(crate) struct AuditLog {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Arc<Journal>,
    pub(super) sync: Option<GroupSync>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) clock: Clock,
    pub(super) options: Options,
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
            synced_journal: options.durability == Durability::Power,
        };
        let (engine, recovery) = recover::open(parts, clock.now())?;
        let journal = Arc::clone(&engine.journal);
        journal.prepare().map_err(failed)?;
        #[cfg(test)]
        let refuse = Arc::clone(&engine.appender.refuse);
        let free = folder.free_bytes().map_err(failed)?;
        let shared = Arc::new(Shared::new(options.queue, recovery.entries, free));
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
        let room = self.shared.reserve();
        let slot = Slot::new(Arc::clone(self));
        match (open.and(room), self.options.on_failure) {
            (Ok(()), _) => Ok(slot),
            // Dropping the slot gives the place back.
            (Err(why), OnFailure::Deny) => Err(why),
            (Err(Unavailable::Closed), OnFailure::Allow) => Err(Unavailable::Closed),
            (Err(_), OnFailure::Allow) => Ok(slot),
        }
    }

    /// What the writer makes lines with, for measurements; it writes none.
    pub(crate) fn renderer(&self) -> Renderer {
        Renderer::new(Arc::clone(&self.sealer))
    }

    /// Whether an event could be recorded now. Events need no place, so a full queue does not keep them out.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), Unavailable> {
        self.shared.check()
    }

    /// Records a security event. Never fails; it is on disk within the flush interval.
    pub(crate) fn record(&self, event: SecurityEvent) {
        self.accept(event, None);
    }

    /// Records what a stranger brought about, while there is room: it crowds out nothing that has to be recorded, and
    /// never uses up what the disk holds in reserve. It has to be counted elsewhere.
    pub(crate) fn offer(&self, event: SecurityEvent) {
        if self.shared.check().is_err() {
            return;
        }
        if self.shared.reserve().is_err() {
            self.shared.release(1);
            return;
        }
        let event = Box::new(event);
        let durable = None;
        self.shared.push(Work::Event { event, durable }, false);
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
        self.shared.reserve_for_event();
        let urgent = durable.is_some();
        let event = Box::new(event);
        self.shared.push(Work::Event { event, durable }, urgent);
    }

    /// Writes and signs everything accepted so far, then stops. Later calls do nothing. Blocks.
    pub(crate) fn close(&self) {
        self.shared.finish();
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

    /// Makes everything sealed for `person` unreadable for ever. Record a `user.erased` event beside it.
    /// Blocks; not for a runtime's thread.
    pub(crate) fn erase(&self, person: &PrincipalId) -> Result<bool, KeyringError> {
        let name = super::seal::key_name(Some(person), Timestamp::EPOCH);
        self.sealer.forget(&name)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.shared.entries.load(Ordering::Relaxed),
            queue: self.shared.taken(),
            write_failures: self.shared.failures.load(Ordering::Relaxed),
            unrecorded: self.shared.unrecorded.load(Ordering::Relaxed),
            free_bytes: self.shared.free.load(Ordering::Relaxed),
            unavailable: self.check().and_then(|()| self.shared.room()).err(),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}
