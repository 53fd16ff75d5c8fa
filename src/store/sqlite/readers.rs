//! Connections that only read, one per thread that reads at the moment.

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::Place;
use crate::store::StoreError;

/// More idle connections than this are closed.
const KEPT: usize = 32;

/// Lends a connection for one read. A read is short: it holds a snapshot, and old snapshots keep the log from shrinking.
pub(super) struct Readers {
    place: Place,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let kept = self.idle.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let outcome = work(&connection);
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        outcome
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = self.place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }
}
