//! Opening a log: whatever a crash left is put in order before the first request is served.
//!
//! Never drops a complete line, never signs what contradicts an earlier signature (it refuses to open
//! instead), and gives the same result when it is itself interrupted and run again.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::checkpoint::{Checkpoint, NoteError, notes};
use super::disk::{self, Folder};
use super::engine::{Engine, Pending, StepError};
use super::event::{Action, Actor, SecurityEvent};
use super::journal::{self, Journal, Leftovers};
use super::line::LINE_LIMIT;
use super::render::{Renderer, Work};
use super::seal::Sealer;
use super::segment::{Appender, Lines, Next, Segment};
use super::tiles;
use super::tree::{Tree, leaf_hash};
use crate::base::{Reason, Timestamp};
use crate::keys::NoteSigner;

/// The log cannot be opened as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot use the audit folder `{}`", folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        why: io::Error,
    },
    #[error("another process writes to the audit folder `{}`", .0.display())]
    InUse(PathBuf),
    #[error("the newest checkpoint cannot be trusted")]
    Checkpoint(#[source] NoteError),
    /// Lines that were signed are missing or changed; going on would sign a contradiction.
    #[error("the log contradicts its checkpoint of {signed} entries at entry {entry}")]
    Broken { signed: u64, entry: u64 },
    #[error("cannot put the log in order")]
    Recovery(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What opening found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Entries in the log now.
    pub(crate) entries: u64,
    /// Entries that were on disk behind the last checkpoint.
    pub(crate) unsigned: u64,
    /// Admissions that became `interrupted` entries.
    pub(crate) interrupted: u64,
    /// Bytes of a torn line moved to `quarantine`.
    pub(crate) torn_bytes: u64,
}

/// What the engine is made of.
pub(super) struct Parts {
    pub(super) folder: Folder,
    pub(super) sealer: Arc<Sealer>,
    pub(super) signer: Arc<NoteSigner>,
    pub(super) segment_bytes: u64,
    pub(super) synced_journal: bool,
}

/// The fields of a line that recovery needs.
#[derive(Debug, Deserialize)]
struct Sketch {
    seq: u64,
    time: Timestamped,
    #[serde(rename = "event.name")]
    event: String,
    #[serde(rename = "portcullis.request.id")]
    request: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Timestamped(Timestamp);

impl TryFrom<String> for Timestamped {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

/// The end of the log as found.
struct Tail {
    tree: Tree,
    segment: Option<Segment>,
    /// Sound bytes of that segment.
    length: u64,
    latest: Timestamp,
    torn: Vec<u8>,
    /// Number of the entry after the last sound line that was read.
    reached: u64,
}

/// Opens the log in `parts.folder`, which must be locked by the caller.
pub(super) fn open(parts: Parts, now: Timestamp) -> Result<(Engine, Recovery), OpenError> {
    let folder = parts.folder.clone();
    let broken = |why: io::Error| OpenError::Folder {
        folder: folder.root().to_owned(),
        why,
    };
    let signed = newest_checkpoint(&parts)?;
    let left = journal::leftovers(&folder.journal()).map_err(broken)?;
    let tail = read_tail(&folder, signed.as_ref())?;
    let mut report = Recovery {
        unsigned: tail.tree.size() - signed.as_ref().map_or(0, |checkpoint| checkpoint.size),
        torn_bytes: u64::try_from(tail.torn.len()).unwrap_or(0),
        ..Recovery::default()
    };
    let mut engine = assemble(parts, tail, &left, signed.as_ref()).map_err(broken)?;
    close_admissions(&mut engine, &left, &mut report, now)?;
    report.entries = engine.tree.size();
    Ok((engine, report))
}

fn newest_checkpoint(parts: &Parts) -> Result<Option<Checkpoint>, OpenError> {
    let path = parts.folder.checkpoint();
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => Some(note),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            // Somebody removed it. What was signed before still binds us.
            let history = std::fs::read_to_string(parts.folder.history()).unwrap_or_default();
            notes(&history).last().map(str::to_owned)
        }
        Err(why) => return Err(OpenError::Folder { folder: path, why }),
    };
    note.map(|note| Checkpoint::open(&note, parts.signer.verifier()))
        .transpose()
        .map_err(OpenError::Checkpoint)
}

/// Reads the lines behind the checkpoint into the tree, from the tiles if they fit it, else from the first line.
fn read_tail(folder: &Folder, signed: Option<&Checkpoint>) -> Result<Tail, OpenError> {
    let failed = |why: io::Error| OpenError::Folder {
        folder: folder.segments(),
        why,
    };
    let segments = Segment::list(&folder.segments()).map_err(failed)?;
    let from_tiles = signed.and_then(|checkpoint| {
        let tree = tiles::restore(&folder.tiles(), checkpoint.size)?;
        (tree.root() == checkpoint.root).then_some(tree)
    });
    // Trusting the tiles is safe: their root is the signed one. Where they do not fit, they are computed again.
    let tree = from_tiles.unwrap_or_default();
    scan(folder, &segments, tree, signed)
}

fn scan(
    folder: &Folder,
    segments: &[Segment],
    tree: Tree,
    signed: Option<&Checkpoint>,
) -> Result<Tail, OpenError> {
    let failed = |why: io::Error| OpenError::Folder {
        folder: folder.segments(),
        why,
    };
    let signed_size = signed.map_or(0, |checkpoint| checkpoint.size);
    let from = tree.size();
    let mut tail = Tail {
        tree,
        segment: None,
        length: 0,
        latest: Timestamp::EPOCH,
        torn: Vec::new(),
        reached: 0,
    };
    let first = segments
        .iter()
        .rposition(|segment| segment.first <= from)
        .unwrap_or(0);
    for segment in segments.iter().skip(first) {
        let covered = tail.segment.is_none() && segment.first <= from;
        if !covered && segment.first != tail.tree.size() || !tail.torn.is_empty() {
            return Err(OpenError::Broken {
                signed: signed_size,
                entry: tail.tree.size(),
            });
        }
        read_segment(folder, segment, &mut tail, signed).map_err(failed)??;
    }
    // Missing, torn or changed lines that were promised: cutting or going on would contradict the signature.
    if tail.reached < signed_size {
        return Err(OpenError::Broken {
            signed: signed_size,
            entry: tail.reached,
        });
    }
    Ok(tail)
}

/// Adds what `segment` holds behind the tree's size; stops at the first line that is none.
fn read_segment(
    folder: &Folder,
    segment: &Segment,
    tail: &mut Tail,
    signed: Option<&Checkpoint>,
) -> io::Result<Result<(), OpenError>> {
    let size = tail.tree.size();
    let start = segment.start_for(size)?;
    let mut seq = start.seq;
    tail.reached = seq;
    let mut lines = Lines::open(&segment.path, start.offset)?;
    tail.segment = Some(segment.clone());
    tail.length = start.offset;
    tail.latest = tail.latest.max(start.time);
    let mut full = Vec::new();
    let torn_at = loop {
        match lines.next()? {
            Next::End => break None,
            Next::Torn { offset, .. } => break Some(offset),
            Next::Line { offset, bytes } => {
                let Some(time) = sound(bytes, seq) else {
                    break Some(offset);
                };
                tail.latest = tail.latest.max(time);
                tail.length = offset + u64::try_from(bytes.len()).unwrap_or(0) + 1;
                if seq >= tail.tree.size() {
                    tail.tree.push(leaf_hash(bytes), &mut full);
                }
            }
        }
        seq += 1;
        tail.reached = seq;
        tiles::write_full(&folder.tiles(), &full, None)?;
        full.clear();
        if contradicts(&tail.tree, signed) {
            let signed = tail.tree.size();
            let entry = signed - 1;
            return Ok(Err(OpenError::Broken { signed, entry }));
        }
    };
    if let Some(at) = torn_at {
        let bytes = std::fs::read(&segment.path)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        tail.torn = bytes.get(at..).unwrap_or_default().to_vec();
        if sound(&tail.torn, seq).is_some() {
            tail.reached = seq + 1;
        }
    }
    Ok(Ok(()))
}

fn contradicts(tree: &Tree, signed: Option<&Checkpoint>) -> bool {
    signed
        .is_some_and(|checkpoint| checkpoint.size == tree.size() && checkpoint.root != tree.root())
}

/// The time of a line that is entry `seq`; `None` for anything else.
fn sound(line: &[u8], seq: u64) -> Option<Timestamp> {
    if line.len() > LINE_LIMIT {
        return None;
    }
    let sketch: Sketch = serde_json::from_slice(line).ok()?;
    (sketch.seq == seq).then_some(sketch.time.0)
}

fn assemble(
    parts: Parts,
    tail: Tail,
    left: &Leftovers,
    signed: Option<&Checkpoint>,
) -> io::Result<Engine> {
    let next = tail.tree.size();
    // A last line that lacks nothing but its line feed is complete: a prefix of a JSON object is never one.
    // It is cut off below and appended again, which writes the same bytes and the line feed.
    let whole_last = sound(&tail.torn, next);
    if !tail.torn.is_empty() && whole_last.is_none() {
        // Kept for people to look at. Dying after this and before the cut keeps it twice.
        let kept = [tail.torn.as_slice(), b"\n"].concat();
        disk::append(&parts.folder.quarantine(), &kept)?;
    }
    let mut appender = match tail.segment {
        Some(segment) => {
            Appender::open(segment, tail.length, next, tail.latest, parts.segment_bytes)?
        }
        None => Appender::first(&parts.folder.segments(), parts.segment_bytes)?,
    };
    let mut tree = tail.tree;
    let mut pending = Pending::default();
    if let Some(time) = whole_last {
        pending.append_line(&mut appender, &mut tree, (&tail.torn, time))?;
    }
    let journal = Journal::open(
        parts.folder.journal(),
        left.next_number,
        parts.synced_journal,
    );
    journal.log_has(appender.next());
    Ok(Engine {
        folder: parts.folder,
        renderer: Renderer::new(parts.sealer),
        signer: parts.signer,
        journal: Arc::new(journal),
        appender,
        tree,
        waiting: std::collections::VecDeque::new(),
        pending,
        signed: signed.map(|checkpoint| checkpoint.size),
        tiles_at: None,
        history_at: None,
    })
}

/// Gives every admission without an entry exactly one, then drops the journal.
fn close_admissions(
    engine: &mut Engine,
    left: &Leftovers,
    report: &mut Recovery,
    now: Timestamp,
) -> Result<(), OpenError> {
    let failed = |why: StepError| OpenError::Recovery(Box::new(why));
    let mut closed = match left.since {
        Some(since) => closed_requests(&engine.folder, since)
            .map_err(|why| OpenError::Recovery(Box::new(why)))?,
        None => HashSet::new(),
    };
    for admitted in &left.admitted {
        // An id stands twice when it was carried to a newer file; `insert` tells.
        if closed.insert(admitted.id.to_string()) {
            report.interrupted += 1;
            engine.waiting.push_back(Work::Abandoned {
                admitted: Box::new(admitted.clone()),
                place: None,
                reason: Reason::Interrupted,
                now,
            });
        }
    }
    if report.interrupted > 0 || report.torn_bytes > 0 {
        let event = SecurityEvent::new(now, Action::AuditRecovered)
            .by(Actor::System)
            .detail("portcullis.interrupted", report.interrupted.to_string())
            .detail("portcullis.torn_bytes", report.torn_bytes.to_string());
        engine.waiting.push_back(Work::Event {
            event: Box::new(event),
            durable: None,
        });
    }
    engine.write().map_err(failed)?;
    // Dying here: the new entries are lines like any other, and the next recovery finds their ids.
    engine.flush().map_err(failed)?;
    if engine.needs_checkpoint() {
        engine.checkpoint(now, true).map_err(failed)?;
    }
    // Every admission has a durable entry. Dying between two deletions is harmless for the same reason.
    for path in &left.paths {
        disk::remove(path).map_err(|why| OpenError::Recovery(Box::new(why)))?;
    }
    Ok(())
}

/// Ids of the requests that have an entry at or behind `since`.
fn closed_requests(folder: &Folder, since: u64) -> io::Result<HashSet<String>> {
    let segments = Segment::list(&folder.segments())?;
    let first = segments
        .iter()
        .rposition(|segment| segment.first <= since)
        .unwrap_or(0);
    let mut ids = HashSet::new();
    for segment in segments.iter().skip(first) {
        let mut lines = Lines::open(&segment.path, segment.start_for(since)?.offset)?;
        while let Next::Line { bytes, .. } = lines.next()? {
            let sketch: Option<Sketch> = serde_json::from_slice(bytes).ok();
            if let Some(sketch) = sketch.filter(|sketch| sketch.event == "http.request") {
                ids.extend(sketch.request);
            }
        }
    }
    Ok(ids)
}
