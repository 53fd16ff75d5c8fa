//! The thread that drives the engine: gathers, writes, flushes and signs in time, and waits out trouble.
//!
//! While something cannot be written it refuses new requests and keeps what it has; when the cause passes,
//! it catches up and lets requests in again by itself.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::engine::{Engine, StepError};
use super::event::{Action, Actor, SecurityEvent};
use super::headroom::Headroom;
use super::log::Options;
use super::queue::{Shared, Unavailable};
use super::render::Work;
use crate::base::Clock;

/// Entries gather this long before they are written together.
const GATHER: Duration = Duration::from_millis(5);
/// Pause between attempts while writing fails.
const RETRY: Duration = Duration::from_millis(100);
/// Free space is looked at, and the journal tidied, this often.
const ROUND: Duration = Duration::from_secs(1);
/// Attempts to write what is left when the program ends.
const LAST_ATTEMPTS: u32 = 20;

/// When things are due.
pub(super) struct Pace {
    flush: Duration,
    checkpoint: Duration,
    min_free: u64,
    warn_free: u64,
    clock: Clock,
}

impl Pace {
    pub(super) fn new(options: &Options, clock: Clock) -> Self {
        Self {
            flush: options.flush,
            checkpoint: options.checkpoint,
            min_free: options.min_free,
            warn_free: options.warn_free,
            clock,
        }
    }
}

/// Starts the writer. It holds `lock` for as long as it runs.
pub(super) fn start(
    engine: Engine,
    shared: Arc<Shared>,
    pace: Pace,
    lock: File,
) -> io::Result<JoinHandle<()>> {
    let now = Instant::now();
    let mut writer = Writer {
        engine,
        shared,
        headroom: Headroom::new(pace.min_free, pace.warn_free),
        pace,
        flushed: now,
        signed: now,
        round: now,
        failing: None,
        noted: 0,
    };
    std::thread::Builder::new()
        .name("audit".into())
        .spawn(move || {
            writer.run();
            drop(lock);
        })
}

struct Writer {
    engine: Engine,
    shared: Arc<Shared>,
    headroom: Headroom,
    pace: Pace,
    flushed: Instant,
    signed: Instant,
    round: Instant,
    failing: Option<Unavailable>,
    /// Unrecorded requests that an entry tells of.
    noted: u64,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let delivery = self.shared.take(self.patience());
            self.engine.waiting.extend(delivery.work);
            self.step(false);
            if delivery.closing {
                return self.finish();
            }
            if self.failing.is_some() {
                self.shared.gather(RETRY);
            } else if self.engine.backlog() == 0 {
                self.shared.gather(GATHER);
            }
        }
    }

    /// How long to sleep when nothing comes.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let mut until = self.round + ROUND;
        if self.engine.needs_flush() {
            until = until.min(self.flushed + self.pace.flush);
        }
        if self.engine.needs_checkpoint() {
            until = until.min(self.signed + self.pace.checkpoint);
        }
        until.saturating_duration_since(now)
    }

    fn step(&mut self, closing: bool) {
        let result = self.advance(closing);
        let trouble = match result {
            Ok(()) => None,
            Err(why) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                let trouble = match &why {
                    StepError::Disk(why) => Unavailable::Disk(why.kind()),
                    StepError::Seal(_) => Unavailable::Keyring,
                };
                if self.failing.is_none() {
                    let cause: &dyn std::error::Error = &why;
                    tracing::error!(cause, "audit: {why}; requests are refused until it passes");
                }
                Some(trouble)
            }
        };
        if self.failing.is_some() && trouble.is_none() {
            tracing::info!("audit: writing works again");
        }
        self.failing = trouble;
        let low = self.headroom.trouble();
        self.shared.set_trouble(trouble.or(low));
    }

    fn advance(&mut self, closing: bool) -> Result<(), StepError> {
        let now = Instant::now();
        if now >= self.round + ROUND {
            self.round = now;
            self.look_around()?;
        }
        self.note_gap();
        let before = self.engine.tree.size();
        let written = self.engine.write();
        let added = self.engine.tree.size() - before;
        self.shared.release(usize::try_from(added).unwrap_or(0));
        self.shared
            .entries
            .store(self.engine.tree.size(), Ordering::Relaxed);
        written?;
        let flush_due = self.engine.needs_flush() && now >= self.flushed + self.pace.flush;
        if flush_due || self.engine.is_awaited() || closing {
            self.engine.flush()?;
            self.flushed = now;
        }
        let sign_due = now >= self.signed + self.pace.checkpoint;
        if self.engine.needs_checkpoint() && (sign_due || closing) {
            self.engine.checkpoint(self.pace.clock.now(), closing)?;
            self.signed = now;
        }
        self.engine.journal.prepare()?;
        Ok(())
    }

    fn look_around(&mut self) -> Result<(), StepError> {
        self.engine.renderer.forget();
        let free = self.engine.folder.free_bytes()?;
        self.shared.free.store(free, Ordering::Relaxed);
        self.headroom
            .look(free, self.engine.folder.root(), Instant::now());
        self.engine.journal.tidy(self.pace.clock.now())?;
        Ok(())
    }

    /// Requests that were served unrecorded are at least counted, as soon as writing works.
    fn note_gap(&mut self) {
        if self.failing.is_some() {
            return;
        }
        let total = self.shared.unrecorded.load(Ordering::Acquire);
        let lost = total - self.noted;
        if lost > 0 {
            self.noted = total;
            let event = SecurityEvent::new(self.pace.clock.now(), Action::AuditGap)
                .by(Actor::System)
                .detail("portcullis.unrecorded", lost.to_string());
            self.shared.reserve_for_event();
            self.engine.waiting.push_back(Work::Event {
                event: Box::new(event),
                durable: None,
            });
        }
    }

    /// The last entries: written and signed if at all possible. What cannot be written was never flushed, and the
    /// requests among it stand in the journal for the next start.
    fn finish(&mut self) {
        for _ in 0..LAST_ATTEMPTS {
            self.step(true);
            if self.failing.is_none() && self.engine.backlog() == 0 {
                break;
            }
            self.shared.pause(RETRY);
        }
        if let Err(why) = self.engine.journal.finish() {
            tracing::warn!(cause = %why, "audit: the journal could not be tidied; the next start does it");
        }
    }
}
