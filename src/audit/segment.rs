//! Segments: the lines themselves, in files named after the number of their first entry. The system of record.
//!
//! Bytes are only ever added at the end. Beside each segment lies an index (entry number, offset, time every
//! 256 entries); it is a hint that every reader checks and recovery rewrites, never evidence.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::batch::Batch;
use super::disk;
use crate::base::Timestamp;

/// Entries between two index marks.
const STRIDE: u64 = 256;
const MARK_BYTES: usize = 24;

/// One file of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Number of its first entry.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

impl Segment {
    fn named(folder: &Path, first: u64) -> Self {
        Self {
            first,
            path: folder.join(format!("{first:020}.jsonl")),
        }
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Every segment, oldest first. Files of other names are nobody's entries and ignored.
    pub(crate) fn list(folder: &Path) -> io::Result<Vec<Self>> {
        let found = disk::list(folder)?.into_iter().filter_map(|path| {
            let stem = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
            let first = (stem.len() == 20).then(|| stem.parse().ok())??;
            Some(Self { first, path })
        });
        Ok(found.collect())
    }

    /// A place at or before entry `seq` where a line of this segment surely begins.
    pub(crate) fn start_for(&self, seq: u64) -> io::Result<Mark> {
        for mark in self.marks().into_iter().rev() {
            if mark.seq > seq {
                continue;
            }
            // An index that lies must not lead anybody to cut or skip lines.
            let mut lines = Lines::open(&self.path, mark.offset)?;
            if let Next::Line { bytes, .. } = lines.next()?
                && bytes.starts_with(format!("{{\"seq\":{},", mark.seq).as_bytes())
            {
                return Ok(mark);
            }
        }
        Ok(Mark {
            seq: self.first,
            offset: 0,
            time: Timestamp::EPOCH,
        })
    }

    /// The time of its first mark; `None` without an index.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        let mut record = [0; MARK_BYTES];
        let mut index = File::open(self.index_path()).ok()?;
        index.read_exact(&mut record).ok()?;
        let mark = Mark::read(&record);
        (mark.seq == self.first && mark.offset == 0).then_some(mark.time)
    }

    /// The marks of the index that can be true, in order.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let bytes = std::fs::read(self.index_path()).unwrap_or_default();
        let length = std::fs::metadata(&self.path).map_or(0, |facts| facts.len());
        let mut marks: Vec<Mark> = Vec::new();
        for record in bytes.as_chunks::<MARK_BYTES>().0 {
            let mark = Mark::read(record);
            let follows = marks
                .last()
                .is_none_or(|last| mark.seq > last.seq && mark.offset > last.offset);
            if follows && mark.seq >= self.first && mark.offset < length {
                marks.push(mark);
            }
        }
        marks
    }
}

/// A place in a segment where an entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    /// No earlier entry of the log is later than this.
    pub(crate) time: Timestamp,
}

impl Mark {
    fn bytes(self) -> [u8; MARK_BYTES] {
        let mut out = [0; MARK_BYTES];
        let parts = self
            .seq
            .to_be_bytes()
            .into_iter()
            .chain(self.offset.to_be_bytes())
            .chain(self.time.micros().to_be_bytes());
        for (to, from) in out.iter_mut().zip(parts) {
            *to = from;
        }
        out
    }

    fn read(bytes: &[u8; MARK_BYTES]) -> Self {
        let mut words = bytes.as_chunks::<8>().0.iter().copied();
        let mut next = || words.next().unwrap_or_default();
        Self {
            seq: u64::from_be_bytes(next()),
            offset: u64::from_be_bytes(next()),
            time: Timestamp::from_micros(i64::from_be_bytes(next())),
        }
    }
}

/// The complete lines of a segment from `offset` on, without their line feeds.
#[derive(Debug)]
pub(crate) struct Lines {
    reader: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
}

/// What [`Lines::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// Begins at `offset`.
    Line {
        offset: u64,
        bytes: &'a [u8],
    },
    /// Bytes without a line feed at the end of the file: being written just now, or torn.
    Torn {
        offset: u64,
        bytes: &'a [u8],
    },
    End,
}

/// A line longer than any entry is read no further than this.
const LONGEST: u64 = 1 << 20;

impl Lines {
    pub(crate) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 16, file),
            offset,
            line: Vec::new(),
        })
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let offset = self.offset;
        let read = (&mut self.reader)
            .take(LONGEST)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(Next::End);
        }
        self.offset += u64::try_from(read).unwrap_or(LONGEST);
        Ok(match self.line.split_last() {
            Some((b'\n', bytes)) => Next::Line { offset, bytes },
            _ => Next::Torn {
                offset,
                bytes: &self.line,
            },
        })
    }
}

/// The segment at the end of the log, open for appending. Only the writer has one.
#[derive(Debug)]
pub(super) struct Appender {
    folder: PathBuf,
    segment: Segment,
    file: File,
    length: u64,
    next: u64,
    latest: Timestamp,
    index: File,
    index_length: u64,
    limit: u64,
    /// Stands for a disk that refuses, in tests.
    #[cfg(test)]
    pub(super) refuse: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Appender {
    /// Opens `segment`, of which the first `length` bytes are sound and end before entry `next`.
    /// Anything beyond `length` is cut off.
    pub(super) fn open(
        segment: Segment,
        length: u64,
        next: u64,
        latest: Timestamp,
        limit: u64,
    ) -> io::Result<Self> {
        let file = disk::open_file(&segment.path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        file.sync_all()?;
        let index = disk::open_file(&segment.index_path())?;
        let sound: Vec<u8> = segment
            .marks()
            .into_iter()
            .filter(|mark| mark.seq < next)
            .flat_map(Mark::bytes)
            .collect();
        index.write_all_at(&sound, 0)?;
        let index_length = u64::try_from(sound.len()).unwrap_or(0);
        index.set_len(index_length)?;
        let folder = segment
            .path
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        disk::sync_dir(&folder)?;
        Ok(Self {
            folder,
            segment,
            file,
            length,
            next,
            latest,
            index,
            index_length,
            limit,
            #[cfg(test)]
            refuse: std::sync::Arc::default(),
        })
    }

    /// The first segment of an empty log.
    pub(super) fn first(folder: &Path, limit: u64) -> io::Result<Self> {
        Self::open(Segment::named(folder, 0), 0, 0, Timestamp::EPOCH, limit)
    }

    /// Adds the lines of `batch` as the next entries: all of them or, on an error, none as far as this log is concerned.
    pub(super) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        if self.length >= self.limit {
            self.rotate()?;
        }
        let mut marks = Vec::new();
        let (mut next, mut latest) = (self.next, self.latest);
        let mut inside = 0;
        for (end, time) in batch.ends() {
            latest = latest.max(time);
            if next % STRIDE == 0 || next == self.segment.first {
                let mark = Mark {
                    seq: next,
                    offset: self.length + inside,
                    time: latest,
                };
                marks.extend_from_slice(&mark.bytes());
            }
            // The byte before the first line makes up for the line feed.
            inside = u64::try_from(end).unwrap_or(0);
            next += 1;
        }
        let bytes = batch.bytes();
        self.write(bytes)?;
        // The entries are in the file. Dying here leaves an index that lags behind; readers go on from its last mark.
        self.length += u64::try_from(bytes.len()).unwrap_or(0);
        self.next = next;
        self.latest = latest;
        if !marks.is_empty() && self.index.write_all_at(&marks, self.index_length).is_ok() {
            self.index_length += u64::try_from(marks.len()).unwrap_or(0);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.refuse.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let result = self.file.write_all_at(bytes, self.length);
        if result.is_err() {
            // A part may have arrived. It lies beyond `length`: the next attempt writes over it, and should the
            // process die first, recovery reads it as entries that got in (whole) or as a torn line (the rest).
            // Cutting it off keeps readers from seeing entries that might still change; when even that
            // fails the same bytes are written again at the same place.
            drop(self.file.set_len(self.length));
        }
        result
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let segment = Segment::named(&self.folder, self.next);
        // The old segment is whole and durable. Dying after the next line leaves an empty last segment,
        // which `open` takes as it is.
        let fresh = Self::open(segment, 0, self.next, self.latest, self.limit)?;
        self.segment = fresh.segment;
        self.file = fresh.file;
        self.index = fresh.index;
        self.length = 0;
        self.index_length = 0;
        Ok(())
    }

    /// Makes everything appended so far survive a power cut.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }
}
