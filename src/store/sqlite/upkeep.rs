//! Cleaning and flushing, in SQLite.

use rusqlite::Connection;

use super::SqliteStore;
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

    fn flush(&self) -> Pending<()> {
        self.writer.flush()
    }
}

/// Moves the write-ahead log into the database file and cuts it to nothing; waits for readers to finish.
pub(super) fn empty_log(connection: &Connection) -> Result<(), StoreError> {
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy { Err(StoreError::Busy) } else { Ok(()) }
}
