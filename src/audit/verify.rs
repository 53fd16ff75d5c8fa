//! Is the log what was signed? From the folder and the public key alone, without the server, keys or database.
//!
//! Every line is hashed; every checkpoint must carry the key's signature and fit the lines. The first entry that
//! is wrong is named. Tiles are used only to say *which* entry is wrong, never to say that all is well.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::checkpoint::{Checkpoint, NoteError, notes};
use super::disk::Folder;
use super::line::LINE_LIMIT;
use super::segment::{Lines, Next, Segment};
use super::tiles;
use super::tree::{Hash, TILE_HEIGHT, Tree, leaf_hash};
use crate::base::Timestamp;
use crate::keys::NoteVerifier;

/// Times going back by more than this are a step of the clock.
const STEP_MICROS: i64 = 2_000_000;
/// As many clock steps are listed.
const STEPS: usize = 100;

/// The folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the audit log")]
pub(crate) struct VerifyError(#[from] io::Error);

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("there are entries but no signed checkpoint")]
    NeverSigned,
    #[error("{which}: {why}")]
    Note { which: String, why: NoteError },
    #[error("two checkpoints of {size} entries disagree")]
    Disagree { size: u64 },
    #[error("what stands at entry {entry} is not that entry: removed, moved, inserted or changed")]
    NotAnEntry { entry: u64 },
    #[error("entry {entry} is missing: {signed} entries were signed")]
    Missing { entry: u64, signed: u64 },
    #[error("entry {entry} was changed after it was signed")]
    Changed { entry: u64 },
    #[error("an entry from {from} to {to} was changed after it was signed")]
    ChangedWithin { from: u64, to: u64 },
}

impl Fault {
    /// The first bad entry, as far as it is known.
    pub(crate) const fn entry(&self) -> Option<u64> {
        match self {
            Self::NeverSigned | Self::Note { .. } | Self::Disagree { .. } => None,
            Self::NotAnEntry { entry } | Self::Missing { entry, .. } | Self::Changed { entry } => {
                Some(*entry)
            }
            Self::ChangedWithin { from, .. } => Some(*from),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Entries read before the end or the first fault.
    pub(crate) entries: u64,
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) last_time: Option<Timestamp>,
    /// Entries behind the newest checkpoint: written, not yet signed.
    pub(crate) unsigned: u64,
    /// Bytes of an incomplete last line: being written, or left by a crash.
    pub(crate) torn_bytes: u64,
    /// Checkpoints whose signature and root are right.
    pub(crate) checkpoints: u64,
    pub(crate) last_good: Option<Checkpoint>,
    /// Entries before which the clock went back.
    pub(crate) clock_steps: Vec<(u64, Timestamp)>,
    /// Everything that is wrong, the first bad entry first. Empty means verified.
    pub(crate) faults: Vec<Fault>,
}

impl Findings {
    pub(crate) fn is_verified(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Verifies the log in `folder`. `against` are further notes, kept elsewhere, that it must agree with.
pub(crate) fn verify(
    folder: &Path,
    key: &NoteVerifier,
    against: &[String],
) -> Result<Findings, VerifyError> {
    let folder = Folder::new(folder);
    let mut findings = Findings::default();
    // Checkpoints first: what a running server appends meanwhile is then merely unsigned.
    let promises = Promises::collect(&folder, key, against, &mut findings)?;
    let segments = Segment::list(&folder.segments())?;
    let mut walk = Walk {
        folder: &folder,
        promises: &promises,
        tree: Tree::default(),
        suspect: None,
        tile: None,
        findings: &mut findings,
    };
    walk.check_promise();
    walk.segments(&segments)?;
    let size = walk.tree.size();
    findings.entries = size;
    let signed = promises.largest();
    if findings.faults.iter().all(|fault| fault.entry().is_none()) && size < signed {
        let entry = size;
        findings.faults.push(Fault::Missing { entry, signed });
    }
    if size > 0 && promises.known.is_empty() && findings.faults.is_empty() {
        findings.faults.push(Fault::NeverSigned);
    }
    findings.unsigned = size.saturating_sub(signed);
    findings
        .faults
        .sort_by_key(|fault| (fault.entry().is_none(), fault.entry()));
    Ok(findings)
}

/// Roots that were signed, by size.
struct Promises {
    known: BTreeMap<u64, (Checkpoint, u64)>,
}

impl Promises {
    fn collect(
        folder: &Folder,
        key: &NoteVerifier,
        against: &[String],
        findings: &mut Findings,
    ) -> io::Result<Self> {
        let mut promises = Self {
            known: BTreeMap::new(),
        };
        let history = read_or_empty(&folder.history())?;
        for (note, number) in notes(&history).zip(1_u64..) {
            promises.add(
                note,
                key,
                format!("checkpoint {number} of the history"),
                findings,
            );
        }
        let current = read_or_empty(&folder.checkpoint())?;
        if !current.is_empty() {
            promises.add(&current, key, "the newest checkpoint".into(), findings);
        }
        for note in against {
            promises.add(note, key, "the checkpoint to compare with".into(), findings);
        }
        Ok(promises)
    }

    fn add(&mut self, note: &str, key: &NoteVerifier, which: String, findings: &mut Findings) {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => {
                let size = checkpoint.size;
                let (known, count) = self
                    .known
                    .entry(size)
                    .or_insert_with(|| (checkpoint.clone(), 0));
                *count += 1;
                if known.root != checkpoint.root {
                    findings.faults.push(Fault::Disagree { size });
                }
            }
            Err(why) => findings.faults.push(Fault::Note { which, why }),
        }
    }

    fn largest(&self) -> u64 {
        self.known.keys().next_back().copied().unwrap_or(0)
    }
}

fn read_or_empty(path: &Path) -> io::Result<String> {
    match std::fs::read(path) {
        // Bytes that are no text cannot be a note and are reported as one that does not read.
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap_or_else(|_binary| "?\n\n?\n\n".into())),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(why) => Err(why),
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    promises: &'a Promises,
    tree: Tree,
    /// First line since the last good checkpoint that differs from its tile.
    suspect: Option<u64>,
    tile: Option<(u64, Vec<Hash>)>,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    /// Reads every line; stops at the first fault.
    fn segments(&mut self, segments: &[Segment]) -> io::Result<()> {
        for (number, segment) in segments.iter().enumerate() {
            let last = number + 1 == segments.len();
            if segment.first != self.tree.size() {
                let entry = self.tree.size();
                self.findings.faults.push(Fault::NotAnEntry { entry });
                return Ok(());
            }
            if !self.segment(segment, last)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// `false` when there is no point in reading on.
    fn segment(&mut self, segment: &Segment, last: bool) -> io::Result<bool> {
        let mut lines = Lines::open(&segment.path, 0)?;
        loop {
            let entry = self.tree.size();
            match lines.next()? {
                Next::End => return Ok(true),
                Next::Torn { bytes, .. } if last && entry >= self.promises.largest() => {
                    self.findings.torn_bytes = u64::try_from(bytes.len()).unwrap_or(0);
                    return Ok(false);
                }
                Next::Torn { .. } => {
                    self.findings.faults.push(Fault::NotAnEntry { entry });
                    return Ok(false);
                }
                Next::Line { bytes, .. } => {
                    if !self.line(bytes, entry) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn line(&mut self, bytes: &[u8], entry: u64) -> bool {
        let Some(time) = time_of(bytes, entry) else {
            // Its bytes are not an entry of this number. If the lines before it are as signed, it is the first bad one.
            let entry = self.suspect.unwrap_or(entry);
            self.findings.faults.push(Fault::NotAnEntry { entry });
            return false;
        };
        self.note_time(entry, time);
        let leaf = leaf_hash(bytes);
        if self.suspect.is_none() && self.differs_from_tile(entry, &leaf) {
            self.suspect = Some(entry);
        }
        self.tree.push(leaf, &mut Vec::new());
        self.check_promise()
    }

    fn note_time(&mut self, entry: u64, time: Timestamp) {
        if let Some(before) = self.findings.last_time
            && before.micros() - time.micros() > STEP_MICROS
            && self.findings.clock_steps.len() < STEPS
        {
            self.findings.clock_steps.push((entry, time));
        }
        self.findings.first_time.get_or_insert(time);
        self.findings.last_time = Some(time);
    }

    fn differs_from_tile(&mut self, entry: u64, leaf: &Hash) -> bool {
        let index = entry >> TILE_HEIGHT;
        if self.tile.as_ref().is_none_or(|(known, _)| *known != index) {
            let hashes = tiles::read_leaves(&self.folder.tiles(), index);
            self.tile = Some((index, hashes));
        }
        let place = usize::try_from(entry & 0xff).unwrap_or(0);
        let expected = self.tile.as_ref().and_then(|(_, hashes)| hashes.get(place));
        expected.is_some_and(|expected| expected != leaf)
    }

    /// Compares with what was signed at this size, if anything was. `false` when it contradicts.
    fn check_promise(&mut self) -> bool {
        let size = self.tree.size();
        let Some((checkpoint, count)) = self.promises.known.get(&size) else {
            return true;
        };
        if checkpoint.root == self.tree.root() {
            self.findings.checkpoints += count;
            self.findings.last_good = Some(checkpoint.clone());
            self.suspect = None;
            return true;
        }
        let from = self.findings.last_good.as_ref().map_or(0, |good| good.size);
        let to = size.saturating_sub(1);
        self.findings.faults.push(match self.suspect {
            Some(entry) => Fault::Changed { entry },
            None if from == to => Fault::Changed { entry: from },
            None => Fault::ChangedWithin { from, to },
        });
        false
    }
}

/// The time of a line that is a JSON object with number `entry`.
fn time_of(line: &[u8], entry: u64) -> Option<Timestamp> {
    if line.len() > LINE_LIMIT {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
    let seq = object.get("seq")?.as_u64()?;
    let time = object.get("time")?.as_str()?.parse().ok()?;
    (seq == entry).then_some(time)
}
