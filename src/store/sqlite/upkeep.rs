//! Cleaning, copying and flushing, in SQLite.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{Place, SqliteStore};
use crate::base::Timestamp;
use crate::store::{Pending, StoreError, Upkeep};

impl Upkeep for SqliteStore {
    fn purge(&self, before: Timestamp) -> Pending<usize> {
        self.write(move |connection| {
            let sessions = connection
                .prepare_cached("DELETE FROM sessions WHERE ended < ?1 OR expires < ?1")?
                .execute([before.micros()])?;
            let links = connection
                .prepare_cached("DELETE FROM enrolment_links WHERE used < ?1 OR expires < ?1")?
                .execute([before.micros()])?;
            Ok(sessions.saturating_add(links))
        })
    }

    fn backup(&self, target: PathBuf) -> Pending<()> {
        let place = self.place.clone();
        let (caller, pending) = Pending::new();
        // Its own thread and connection: a copy of a large database must not hold up writes.
        let thread = std::thread::Builder::new().name("store-backup".to_owned());
        let spawned = thread.spawn(move || drop(caller.send(copy(&place, &target))));
        // If there is no thread, the caller's end is dropped with the closure and `pending` says `Closed`.
        drop(spawned);
        pending
    }

    fn flush(&self) -> Pending<()> {
        self.writer.flush()
    }
}

/// A compact copy from one snapshot. A copy that failed half-way is removed.
fn copy(place: &Place, target: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File {
        path: target.to_owned(),
        source,
    };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(failed)?;
    let name = target
        .to_str()
        .ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let copied = place
        .connect(OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| Ok(connection.execute("VACUUM INTO ?1", [name])?))
        .and_then(|_rows| {
            std::fs::File::open(target)
                .and_then(|file| file.sync_all())
                .map_err(failed)
        });
    if copied.is_err() {
        std::fs::remove_file(target).map_err(failed)?;
    }
    copied
}

/// Moves the write-ahead log into the database file and cuts it to nothing; waits for readers to finish.
pub(super) fn empty_log(connection: &Connection) -> Result<(), StoreError> {
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(StoreError::Busy) } else { Ok(()) }
}
