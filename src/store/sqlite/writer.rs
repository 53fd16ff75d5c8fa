//! The one thread that writes.
//!
//! Writes that wait together share one transaction and one flush; each has its own savepoint, so that one failing
//! leaves the others alone. A caller is answered only after the commit: what was answered survives a power cut
//! (`synchronous = FULL`). Notes that a session was in use are gathered and written without a flush (`NORMAL`):
//! losing the last of them makes a session look idle a little longer, nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::job::{Job, job};
use crate::base::{SessionId, Timestamp};
use crate::store::{Pending, StoreError};
use rusqlite::{Connection, ffi, params};

/// Writes that may wait. Beyond it callers are told at once rather than kept.
const QUEUE: usize = 8192;
/// Writes in one transaction.
const BATCH: usize = 256;
/// How long a touch may wait for company, and how many may.
const TOUCH_DELAY: Duration = Duration::from_secs(1);
const TOUCHES: usize = 1024;

enum Command {
    /// Outside, with the touches before it written.
    Flush(Box<dyn Job>),
    Inside(Box<dyn Job>),
    Outside(Box<dyn Job>),
    Touch(SessionId, Timestamp),
}

/// Hands writes to the thread. Dropping it waits until everything handed over is written.
pub(super) struct Writer {
    commands: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (commands, received) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || Loop::new(connection).run(&received))?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Runs `work` inside a transaction that others may share.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (job, pending) = job(work);
        self.hand_over(Command::Inside(job));
        pending
    }

    /// Runs `work` when everything handed over before is committed and no transaction is open.
    pub(super) fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (job, pending) = job(work);
        self.hand_over(Command::Outside(job));
        pending
    }

    /// Completes when everything handed over before is on disk.
    pub(super) fn flush(&self) -> Pending<()> {
        // A checkpoint flushes the log before it copies from it.
        let (job, pending) = job(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_row| Ok(()))?;
            Ok(())
        });
        self.hand_over(Command::Flush(job));
        pending
    }

    pub(super) fn touch(&self, session: SessionId, at: Timestamp) {
        self.hand_over(Command::Touch(session, at));
    }

    fn hand_over(&self, command: Command) {
        let Some(commands) = &self.commands else {
            return;
        };
        match commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(
                Command::Inside(job) | Command::Outside(job) | Command::Flush(job),
            )) => {
                job.finish(Err(StoreError::Busy));
            }
            Err(TrySendError::Disconnected(
                Command::Inside(job) | Command::Outside(job) | Command::Flush(job),
            )) => {
                job.finish(Err(StoreError::Closed));
            }
            Err(TrySendError::Full(Command::Touch(..)) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has already answered every waiting caller with `Closed`.
            drop(thread.join());
        }
    }
}

struct Loop {
    connection: Connection,
    touches: HashMap<SessionId, Timestamp>,
    touched_since: Option<tokio::time::Instant>,
    flushes: bool,
}

impl Loop {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            touches: HashMap::new(),
            touched_since: None,
            flushes: true,
        }
    }

    fn run(mut self, received: &Receiver<Command>) {
        loop {
            let wait = match self.touched_since {
                Some(since) => TOUCH_DELAY.saturating_sub(since.elapsed()),
                None => Duration::from_secs(3600),
            };
            match received.recv_timeout(wait) {
                Ok(first) => self.take_batch(first, received),
                Err(RecvTimeoutError::Timeout) => self.write_touches(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write_touches();
    }

    fn take_batch(&mut self, first: Command, received: &Receiver<Command>) {
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next.take() {
            match command {
                Command::Inside(job) => jobs.push(job),
                Command::Touch(session, at) => self.note(session, at),
                Command::Flush(job) => {
                    self.write_touches();
                    self.run_outside(std::mem::take(&mut jobs), job);
                }
                Command::Outside(job) => self.run_outside(std::mem::take(&mut jobs), job),
            }
            if jobs.len() < BATCH {
                next = received.try_recv().ok();
            }
        }
        self.commit(jobs);
        let overdue = self
            .touched_since
            .is_some_and(|since| since.elapsed() >= TOUCH_DELAY);
        if overdue || self.touches.len() >= TOUCHES {
            self.write_touches();
        }
    }

    fn run_outside(&mut self, before: Vec<Box<dyn Job>>, mut job: Box<dyn Job>) {
        self.commit(before);
        self.set_flushing(true);
        job.run(&self.connection);
        job.finish(Ok(()));
    }

    fn note(&mut self, session: SessionId, at: Timestamp) {
        let latest = self.touches.entry(session).or_insert(at);
        *latest = at.max(*latest);
        self.touched_since
            .get_or_insert_with(tokio::time::Instant::now);
    }

    /// One transaction for all `jobs`; then, and only then, the answers.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        self.set_flushing(true);
        let committed = self.run_all(&mut jobs).map_err(Arc::new);
        for job in jobs {
            job.finish(match &committed {
                Ok(()) => Ok(()),
                Err(cause) => Err(StoreError::NotCommitted(Arc::clone(cause))),
            });
        }
    }

    fn run_all(&self, jobs: &mut [Box<dyn Job>]) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for job in jobs.iter_mut() {
            job.run(&self.connection);
            if self.connection.is_autocommit() {
                // A full disk or an I/O error rolls the whole transaction back: nothing of this batch happened.
                let undone = ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK);
                return Err(rusqlite::Error::SqliteFailure(undone, None));
            }
        }
        self.connection.execute_batch("COMMIT").inspect_err(|_| {
            // Nothing to add: the next BEGIN would report a transaction that is still open.
            drop(self.connection.execute_batch("ROLLBACK"));
        })
    }

    /// A touch that cannot be written is not worth stopping for: the next one replaces it.
    fn write_touches(&mut self) {
        self.touched_since = None;
        let touches = std::mem::take(&mut self.touches);
        if touches.is_empty() {
            return;
        }
        self.set_flushing(false);
        let written = self.connection.unchecked_transaction().and_then(|batch| {
            {
                let mut touch = batch.prepare_cached(
                    "UPDATE sessions SET last_seen = ?2 WHERE id = ?1 AND ended IS NULL AND last_seen < ?2",
                )?;
                for (session, at) in &touches {
                    touch.execute(params![session.as_str(), at.micros()])?;
                }
            }
            batch.commit()
        });
        drop(written);
    }

    fn set_flushing(&mut self, flushes: bool) {
        if self.flushes != flushes {
            let level = if flushes { "FULL" } else { "NORMAL" };
            if self
                .connection
                .pragma_update(None, "synchronous", level)
                .is_ok()
            {
                self.flushes = flushes;
            }
        }
    }
}

/// Runs `work` so that its failure undoes what it did, and only that.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT job")?;
    let outcome = work(connection);
    let undo = if outcome.is_ok() {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    if !connection.is_autocommit() {
        connection.execute_batch(undo)?;
    }
    outcome
}
