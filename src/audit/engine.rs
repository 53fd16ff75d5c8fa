//! From accepted entries to signed history: render and seal, append, hash, flush, sign.
//!
//! The order is the safety argument; the comments between the steps say what a crash there leaves. Nothing
//! accepted is ever dropped: what cannot be written stays in memory and is tried again. Recovery and normal
//! running share this code.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::batch::Batch;
use super::checkpoint::Checkpoint;
use super::disk::{self, Folder};
use super::journal::Journal;
use super::ledger::Place;
use super::render::{Renderer, Work};
use super::seal::KeyringError;
use super::segment::Appender;
use super::tiles;
use super::tree::{FullTile, Tree};
use crate::base::{EntryId, Timestamp};
use crate::keys::NoteSigner;

/// Entries rendered and appended at once.
const BATCH: usize = 512;
/// A checkpoint is kept in the history at most this often; the newest always stands in `checkpoint`.
const HISTORY_EVERY: Duration = Duration::from_mins(1);

/// Why a step could not be done. All of them may pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("cannot write to the audit folder")]
    Disk(#[from] io::Error),
    #[error("cannot seal personal fields")]
    Seal(#[from] KeyringError),
}

/// What happens when an entry has been flushed.
#[derive(Debug)]
struct Effect {
    entry: EntryId,
    place: Option<Place>,
    durable: Option<oneshot::Sender<EntryId>>,
}

/// Everything the one writer owns.
pub(super) struct Engine {
    pub(super) folder: Folder,
    pub(super) renderer: Renderer,
    pub(super) signer: Arc<NoteSigner>,
    pub(super) journal: Arc<Journal>,
    pub(super) appender: Appender,
    pub(super) tree: Tree,
    /// Accepted, not rendered.
    pub(super) waiting: VecDeque<Work>,
    pub(super) pending: Pending,
    pub(super) signed: Option<u64>,
    /// Size of the tree when unfinished tiles were last written.
    pub(super) tiles_at: Option<u64>,
    pub(super) history_at: Option<Timestamp>,
}

/// What stands between two steps.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Rendered, not in the segment.
    ready: Batch,
    effects: Vec<Effect>,
    /// Complete tiles, not on disk.
    tiles: Vec<FullTile>,
    /// In the segment, not flushed.
    unflushed: Vec<Effect>,
    dirty: bool,
}

impl Pending {
    /// Appends one line that exists already.
    pub(super) fn append_line(
        &mut self,
        appender: &mut Appender,
        tree: &mut Tree,
        (line, time): (&[u8], Timestamp),
    ) -> io::Result<()> {
        let Ok(()) = self.ready.add(|out| {
            out.extend_from_slice(line);
            Ok::<_, Infallible>(time)
        });
        self.append(appender, tree)
    }

    /// Moves what is ready to the segment and the tree.
    fn append(&mut self, appender: &mut Appender, tree: &mut Tree) -> io::Result<()> {
        appender.append(&self.ready)?;
        // The lines are in the file. Dying here: recovery finds them behind the last checkpoint and
        // adds them to the tree exactly as the next lines do.
        let full = &mut self.tiles;
        self.ready.take_leaves(|leaf| tree.push(leaf, full));
        self.unflushed.append(&mut self.effects);
        self.dirty = true;
        Ok(())
    }
}

impl Engine {
    /// Accepted entries that are not in the segment yet.
    pub(super) fn backlog(&self) -> usize {
        self.waiting.len() + self.pending.ready.len()
    }

    pub(super) const fn needs_flush(&self) -> bool {
        self.pending.dirty
    }

    pub(super) fn needs_checkpoint(&self) -> bool {
        self.signed != Some(self.tree.size())
    }

    /// Somebody waits for the disk.
    pub(super) fn is_awaited(&self) -> bool {
        let waits = |effect: &Effect| effect.durable.is_some();
        self.pending.unflushed.iter().any(waits)
    }

    /// Renders, seals and appends everything accepted.
    pub(super) fn write(&mut self) -> Result<(), StepError> {
        while !(self.waiting.is_empty() && self.pending.ready.is_empty()) {
            self.render()?;
            // Dying here loses nothing that was promised: admitted requests stand in the journal, and who
            // waits for an event's durability has not been told.
            self.pending.append(&mut self.appender, &mut self.tree)?;
        }
        self.write_full_tiles()?;
        Ok(())
    }

    /// Writes the tiles that the last entries made full: now, because those of a whole second would hold up everybody who
    /// shares a processor with this thread. Dying in the middle is harmless: nothing signed needs them yet.
    fn write_full_tiles(&mut self) -> io::Result<()> {
        tiles::write_full(&self.folder.tiles(), &self.pending.tiles, self.tiles_at)?;
        self.pending.tiles.clear();
        Ok(())
    }

    fn render(&mut self) -> Result<(), StepError> {
        while self.pending.ready.len() < BATCH {
            let Some(work) = self.waiting.front() else {
                break;
            };
            let behind = u64::try_from(self.pending.ready.len()).unwrap_or(0);
            let seq = self.appender.next() + behind;
            let renderer = &mut self.renderer;
            self.pending
                .ready
                .add(|out| renderer.line(work, seq, out))?;
            let Some(work) = self.waiting.pop_front() else {
                break;
            };
            let (place, durable) = match work {
                Work::Request { place, .. } | Work::Abandoned { place, .. } => (place, None),
                Work::Event { durable, .. } => (None, durable),
            };
            self.pending.effects.push(Effect {
                entry: EntryId(seq),
                place,
                durable,
            });
        }
        Ok(())
    }

    /// Makes what was appended survive a power cut, then releases those who waited and the journal.
    pub(super) fn flush(&mut self) -> Result<(), StepError> {
        if self.pending.dirty {
            self.appender.flush()?;
            self.pending.dirty = false;
        }
        // Only now may a journal file go. Dying before it is deleted is harmless: recovery sees that its
        // admissions have entries.
        let places = self.pending.unflushed.iter().filter_map(|done| done.place);
        self.journal.settle(places)?;
        // Not before: an admission whose entry is written but not settled may still be carried to a new file, and
        // recovery looks for its entry from that file's number on.
        self.journal.log_has(self.appender.next());
        for effect in self.pending.unflushed.drain(..) {
            if let Some(waiter) = effect.durable {
                // The waiter may have gone away; the entry stands all the same.
                waiter.send(effect.entry).ok();
            }
        }
        Ok(())
    }

    /// Signs the log as it stands. Call after [`Engine::flush`].
    pub(super) fn checkpoint(&mut self, now: Timestamp, closing: bool) -> Result<(), StepError> {
        self.flush()?;
        self.write_full_tiles()?;
        tiles::write_unfinished(&self.folder.tiles(), &self.tree)?;
        self.tiles_at = Some(self.tree.size());
        // Lines are durable and tiles in place. Dying here: the old checkpoint is still true of a prefix.
        // Signing first could promise an entry that a power cut takes back (and a log that shrank is a forged log).
        let size = self.tree.size();
        let checkpoint = Checkpoint {
            origin: self.signer.verifier().name().to_owned(),
            size,
            root: self.tree.root(),
        };
        let note = checkpoint.sign(&self.signer);
        disk::replace(&self.folder.checkpoint(), note.as_bytes())?;
        self.signed = Some(size);
        let due = self
            .history_at
            .is_none_or(|last| now.since(last) >= HISTORY_EVERY);
        if due || closing {
            self.remember(&note)?;
            self.history_at = Some(now);
        }
        Ok(())
    }

    /// Adds `note` to the history. Dying in the middle leaves a torn last note, which readers skip.
    fn remember(&self, note: &str) -> io::Result<()> {
        disk::append(&self.folder.history(), format!("{note}\n").as_bytes())
    }
}
