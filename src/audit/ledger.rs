//! Which admissions have their entry on disk, and so which journal files are still needed.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use super::disk;
use crate::base::Timestamp;

/// Where an admission stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) file: u64,
    pub(super) record: u32,
}

/// What is known about a file.
#[derive(Debug)]
pub(super) struct FileState {
    pub(super) path: PathBuf,
    pub(super) created: Timestamp,
    /// Number of records, once the file takes no more.
    pub(super) closed: Option<u32>,
    done: Vec<bool>,
    count: u32,
}

impl FileState {
    pub(super) const fn new(path: PathBuf, created: Timestamp) -> Self {
        Self {
            path,
            created,
            closed: None,
            done: Vec::new(),
            count: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) files: BTreeMap<u64, FileState>,
    /// Admissions that were carried: old place to new.
    moved: HashMap<Place, Place>,
}

impl Ledger {
    /// The entry of the admission at `place` is on disk.
    pub(super) fn settle(&mut self, place: Place) {
        let mut place = place;
        if !self.moved.is_empty() {
            while let Some(newer) = self.moved.remove(&place) {
                place = newer;
            }
        }
        self.mark(place);
    }

    /// The admission at `old` stands at `new` too.
    pub(super) fn carried(&mut self, old: Place, new: Place) {
        self.moved.insert(old, new);
        self.mark(old);
    }

    /// Where the admission that was written at `place` stands now.
    pub(super) fn now_at(&self, place: Place) -> Place {
        let mut place = place;
        while let Some(newer) = self.moved.get(&place) {
            place = *newer;
        }
        place
    }

    fn mark(&mut self, place: Place) {
        let Some(state) = self.files.get_mut(&place.file) else {
            return;
        };
        let record = usize::try_from(place.record).unwrap_or(usize::MAX);
        if state.done.len() <= record {
            state.done.resize(record + 1, false);
        }
        if let Some(done) = state.done.get_mut(record)
            && !*done
        {
            *done = true;
            state.count += 1;
        }
    }

    pub(super) fn is_done(&self, place: Place) -> bool {
        let record = usize::try_from(place.record).unwrap_or(usize::MAX);
        self.files
            .get(&place.file)
            .is_none_or(|state| state.done.get(record).copied().unwrap_or(false))
    }

    /// Deletes the files that are no longer needed.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        let over: Vec<u64> = self
            .files
            .iter()
            .filter(|(_, state)| state.closed == Some(state.count))
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            if let Some(state) = self.files.get(&number) {
                disk::remove(&state.path)?;
            }
            self.files.remove(&number);
        }
        Ok(())
    }
}
