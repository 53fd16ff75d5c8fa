//! Sealed blobs by name, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::SqliteStore;
use crate::base::Timestamp;
use crate::store::{Keys, Pending, StoreError};

impl Keys for SqliteStore {
    fn find(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| find(connection, name))
    }

    fn create_if_absent(&self, name: String, blob: Vec<u8>, at: Timestamp) -> Pending<Vec<u8>> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO keys (name, blob, created, changed) VALUES (?1, ?2, ?3, ?3)",
                )?
                .execute(params![name, blob, at.micros()])?;
            find(connection, &name)?.ok_or(StoreError::Unknown("key"))
        })
    }

    fn replace(&self, name: String, old: Vec<u8>, new: Vec<u8>, at: Timestamp) -> Pending<bool> {
        self.write(move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE keys SET blob = ?3, changed = ?4 WHERE name = ?1 AND blob = ?2",
                )?
                .execute(params![name, old, new, at.micros()])?;
            Ok(changed > 0)
        })
    }

    fn destroy(&self, name: String) -> Pending<bool> {
        self.writer.outside(move |connection| {
            // `secure_delete` overwrites the row in the database file; the log, which may still hold the row as it was
            // written, is emptied right after. Until then the key is gone for every reader but not from the disk.
            let removed = connection
                .prepare_cached("DELETE FROM keys WHERE name = ?1")?
                .execute([&name])?;
            // Also when the row is gone already: an attempt before may have been stopped between the two steps.
            super::upkeep::empty_log(connection)?;
            Ok(removed > 0)
        })
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let names = connection
                .prepare_cached(
                    "SELECT name FROM keys WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name",
                )?
                .query_map([prefix], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            Ok(names)
        })
    }
}

fn find(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let blob = connection
        .prepare_cached("SELECT blob FROM keys WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(blob)
}
