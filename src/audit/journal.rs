//! The admission journal: before a request leaves for its upstream, a record of it is with the kernel.
//!
//! Admissions of one turn of the scheduler leave in one write, in the thread of whoever comes first after it;
//! `kill -9` cannot take back what was written. A file is deleted as soon as every admission in it has its entry
//! flushed to disk; an admission that stays open long is carried to a newer file, so that personal data (addresses,
//! paths) stands here for minutes, never longer than its request.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::admitted::{Admitted, encode, encode_again, next_payload};
use super::disk;
use super::entry::Admission;
use super::ledger::{FileState, Ledger, Place};
use crate::base::Timestamp;
use crate::base::lane::{self, Lanes};

/// Format name at the head of a file, followed by the number of entries in the log when it was created.
const MAGIC: &[u8; 8] = b"PCADMIT2";
const HEAD: u64 = 16;
/// A file is closed when it has this many bytes ...
const FILE_BYTES: u64 = 4 << 20;
/// ... or is this old;
const FILE_AGE: Duration = Duration::from_secs(30);
/// what is still open in it after this long moves to a newer one.
const CARRY_AGE: Duration = Duration::from_mins(5);
/// Files made ready ahead of their use where syncing them is waited for.
const SPARES: usize = 2;
/// A buffer that one turn made larger than this is given back.
const BUFFER: usize = 256 << 10;

/// The admissions that leave in one write, and what became of it: the place of the first of them.
#[derive(Debug, Default)]
struct Turn {
    outcome: OnceLock<Result<(Place, Arc<File>), io::ErrorKind>>,
}

/// An admission among those of its turn. It is not written before [`Journal::written`] says so.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket {
    lane: usize,
    turn: Arc<Turn>,
    behind: u32,
}

/// What one thread writes to, and what it has not written.
#[derive(Debug, Default)]
struct Shard {
    current: Option<Current>,
    turn: Arc<Turn>,
    buffer: Vec<u8>,
    records: u32,
    /// When the newest of them came.
    now: Option<Timestamp>,
}

/// The file that a shard writes to.
#[derive(Debug)]
struct Current {
    number: u64,
    file: Arc<File>,
    length: u64,
    records: u32,
}

/// All journal files of a running log.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    shards: Lanes<Shard>,
    ledger: Mutex<Ledger>,
    next_number: AtomicU64,
    /// Entries in the log now; entries of admissions yet to come lie behind it.
    log_size: AtomicU64,
    /// `power`: the name of a new file must survive as well, and syncing it must be quick.
    synced: bool,
    /// Ready to take over, oldest first.
    spares: Mutex<VecDeque<(PathBuf, Current)>>,
    #[cfg(test)]
    pub(super) writes: AtomicU64,
}

impl Journal {
    /// A journal in an empty `folder`; recovery has dealt with what was there.
    pub(super) fn open(folder: PathBuf, first_number: u64, synced: bool) -> Self {
        Self {
            folder,
            shards: Lanes::default(),
            ledger: Mutex::default(),
            next_number: AtomicU64::new(first_number),
            log_size: AtomicU64::new(0),
            synced,
            spares: Mutex::default(),
            #[cfg(test)]
            writes: AtomicU64::new(0),
        }
    }

    pub(super) fn log_has(&self, entries: u64) {
        self.log_size.store(entries, Ordering::Release);
    }

    /// Adds the record of `admission` to those of this thread's turn.
    pub(super) fn gather(&self, admission: &Admission<'_>) -> Ticket {
        self.add(admission.received, |buffer| encode(buffer, admission))
    }

    fn add(&self, now: Timestamp, fill: impl FnOnce(&mut Vec<u8>)) -> Ticket {
        let lane = lane::own();
        let mut shard = self.shards.at(lane).lock();
        fill(&mut shard.buffer);
        shard.now = Some(now);
        let behind = shard.records;
        shard.records += 1;
        Ticket {
            lane,
            turn: Arc::clone(&shard.turn),
            behind,
        }
    }

    /// Where the record stands. When this returns the kernel has it; the file is given back for those who wait for
    /// the disk too. Whoever of a turn asks first writes for all of them.
    pub(super) fn written(&self, ticket: &Ticket) -> Result<(Place, Arc<File>), io::ErrorKind> {
        let outcome = &ticket.turn.outcome;
        if outcome.get().is_none() {
            let mut shard = self.shards.at(ticket.lane).lock();
            // Another thread may have been faster. A turn without an outcome is the present one of its shard.
            if outcome.get().is_none() {
                self.end_turn(&mut shard);
            }
        }
        let (first, file) = outcome
            .get()
            .cloned()
            .unwrap_or(Err(io::ErrorKind::Interrupted))?;
        let place = Place {
            file: first.file,
            record: first.record + ticket.behind,
        };
        Ok((place, file))
    }

    fn end_turn(&self, shard: &mut Shard) {
        let written = self.write(shard).map_err(|why| why.kind());
        shard.buffer.clear();
        shard.buffer.shrink_to(BUFFER);
        shard.records = 0;
        let turn = std::mem::take(&mut shard.turn);
        // Set once: only here, with the shard held.
        turn.outcome.set(written).ok();
    }

    fn write(&self, shard: &mut Shard) -> io::Result<(Place, Arc<File>)> {
        let target = match &mut shard.current {
            Some(target) => target,
            none => none.insert(self.open_next(shard.now.unwrap_or(Timestamp::EPOCH))?),
        };
        #[cfg(test)]
        self.writes.fetch_add(1, Ordering::Relaxed);
        // Dying in here leaves a torn record, which recovery does not read, behind whole ones, which become
        // interrupted: none of their requests has left yet.
        if let Err(why) = target.file.write_all_at(&shard.buffer, target.length) {
            // The beginning of the turn may stand there in whole records. The next write, which goes to the same place,
            // could end where one of them begins, and a refused request would look admitted.
            target.file.set_len(target.length).ok();
            return Err(why);
        }
        let first = Place {
            file: target.number,
            record: target.records,
        };
        let file = Arc::clone(&target.file);
        target.length += u64::try_from(shard.buffer.len()).unwrap_or(0);
        target.records += shard.records;
        if target.length >= FILE_BYTES {
            self.close(&mut shard.current);
        }
        Ok((first, file))
    }

    /// The next file to write to: one that is ready, else a new one.
    fn open_next(&self, now: Timestamp) -> io::Result<Current> {
        let ready = self.spares.lock().pop_front();
        let (path, file) = match ready {
            Some(ready) => ready,
            None => self.create(|_| Ok(()))?,
        };
        let state = FileState::new(path, now);
        self.ledger.lock().files.insert(file.number, state);
        Ok(file)
    }

    /// Makes the next files ready where admissions wait for the disk: their names and blocks are there already, so that
    /// syncing an admission writes its data and nothing else, and no worker waits for a folder.
    pub(super) fn prepare(&self) -> io::Result<()> {
        while self.synced && self.spares.lock().len() < SPARES {
            let spare = self.create(|file| {
                let zeros = vec![0; BUFFER];
                let mut length = HEAD;
                // The last turn of a file may reach beyond its end.
                while length < FILE_BYTES + HEAD + BUFFER as u64 {
                    file.write_all_at(&zeros, length)?;
                    // Piece by piece: an admission that waits for the disk meanwhile waits behind one of them at most.
                    file.sync_data()?;
                    length += BUFFER as u64;
                }
                Ok(())
            })?;
            self.spares.lock().push_back(spare);
        }
        Ok(())
    }

    /// A file without records. An older number of entries in its head than need be is no harm: it says behind which
    /// entry none of its admissions is told of yet.
    fn create(&self, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<(PathBuf, Current)> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number:020}.admit"));
        let file = disk::create_file(&path)?;
        if let Err(why) = self.write_head(&file).and_then(|()| fill(&file)) {
            disk::remove(&path)?;
            return Err(why);
        }
        let file = Current {
            number,
            file: Arc::new(file),
            length: HEAD,
            records: 0,
        };
        Ok((path, file))
    }

    fn write_head(&self, file: &File) -> io::Result<()> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&self.log_size.load(Ordering::Acquire).to_be_bytes());
        file.write_all_at(&head, 0)?;
        if self.synced {
            disk::sync_dir(&self.folder)?;
        }
        Ok(())
    }

    fn close(&self, current: &mut Option<Current>) {
        if let Some(closed) = current.take() {
            let mut ledger = self.ledger.lock();
            if let Some(state) = ledger.files.get_mut(&closed.number) {
                state.closed = Some(closed.records);
            }
        }
    }

    /// Notes that the entries of these admissions are flushed, and deletes files that are no longer needed.
    pub(super) fn settle(&self, places: impl IntoIterator<Item = Place>) -> io::Result<()> {
        let mut ledger = self.ledger.lock();
        for place in places {
            ledger.settle(place);
        }
        ledger.sweep()
    }

    /// Closes files that are old, and carries what stays open in very old ones to newer ones.
    pub(super) fn tidy(&self, now: Timestamp) -> io::Result<()> {
        self.close_older_than(now, FILE_AGE);
        let mut aged = Vec::new();
        for (number, state) in &self.ledger.lock().files {
            if let Some(records) = state.closed
                && now.since(state.created) >= CARRY_AGE
            {
                aged.push((*number, records, state.path.clone()));
            }
        }
        for (number, records, path) in aged {
            self.carry((number, records), &path, now)?;
        }
        self.ledger.lock().sweep()
    }

    /// Closes every file and deletes those without open admissions: the end of an orderly run.
    pub(super) fn finish(&self) -> io::Result<()> {
        for shard in self.shards.iter() {
            self.close(&mut shard.lock().current);
        }
        for (path, _unused) in self.spares.lock().drain(..) {
            disk::remove(&path)?;
        }
        self.ledger.lock().sweep()
    }

    fn close_older_than(&self, now: Timestamp, age: Duration) {
        for shard in self.shards.iter() {
            let mut shard = shard.lock();
            let number = shard.current.as_ref().map(|current| current.number);
            let created = number.and_then(|number| {
                let ledger = self.ledger.lock();
                ledger.files.get(&number).map(|state| state.created)
            });
            if created.is_some_and(|created| now.since(created) >= age) {
                self.close(&mut shard.current);
            }
        }
    }

    /// What stands behind the records of the file was refused, and stays where it is.
    fn carry(&self, (number, records): (u64, u32), path: &Path, now: Timestamp) -> io::Result<()> {
        let bytes = std::fs::read(path)?;
        for (record, payload) in (0..records).zip(payloads(&bytes)) {
            let old = Place {
                file: number,
                record,
            };
            if self.ledger.lock().is_done(old) {
                continue;
            }
            let ticket = self.add(now, |buffer| encode_again(buffer, payload));
            let (new, file) = self.written(&ticket)?;
            if self.synced {
                file.sync_data()?;
            }
            // The admission stands in both files now. Dying here is harmless: recovery counts ids, not records.
            self.ledger.lock().carried(old, new);
        }
        Ok(())
    }

    /// Reads one admission back.
    pub(super) fn read(&self, place: Place) -> Option<Admitted> {
        let ledger = self.ledger.lock();
        let place = ledger.now_at(place);
        let path = ledger.files.get(&place.file)?.path.clone();
        drop(ledger);
        let bytes = std::fs::read(path).ok()?;
        let record = usize::try_from(place.record).ok()?;
        payloads(&bytes).nth(record).and_then(Admitted::decode)
    }
}

fn payloads(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes
        .split_at_checked(usize::try_from(HEAD).unwrap_or(0))
        .map_or(&[][..], |(_head, rest)| rest);
    std::iter::from_fn(move || {
        let (payload, after) = next_payload(rest)?;
        rest = after;
        Some(payload)
    })
}

/// What a crashed run left: admissions, and the number of entries before which none of theirs can lie.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pub(super) paths: Vec<PathBuf>,
    pub(super) admitted: Vec<Admitted>,
    pub(super) since: Option<u64>,
    pub(super) next_number: u64,
}

/// Reads every journal file in `folder`. Torn records end a file: their requests were never let through.
pub(super) fn leftovers(folder: &Path) -> io::Result<Leftovers> {
    let mut found = Leftovers::default();
    for path in disk::list(folder)? {
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".admit")?.parse::<u64>().ok());
        let Some(number) = number else { continue };
        found.next_number = found.next_number.max(number + 1);
        let bytes = std::fs::read(&path)?;
        let other = |bytes: &[u8]| bytes.len() >= MAGIC.len() && !bytes.starts_with(MAGIC);
        if other(&bytes) {
            // Kept: it may hold admissions that only the version which wrote it can read.
            let why = format!("{} was written by another version", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if let Some(since) = log_size_of(&bytes) {
            let admitted: Vec<_> = payloads(&bytes).filter_map(Admitted::decode).collect();
            if !admitted.is_empty() {
                found.since = Some(found.since.map_or(since, |least| least.min(since)));
            }
            found.admitted.extend(admitted);
        }
        found.paths.push(path);
    }
    Ok(found)
}

fn log_size_of(bytes: &[u8]) -> Option<u64> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (size, _) = rest.split_first_chunk::<8>()?;
    (magic == MAGIC).then(|| u64::from_be_bytes(*size))
}
