//! The embedded database: SQLite in one file, write-ahead log, one writing thread, readers in the caller's thread.
//!
//! `SqliteStore` implements every trait of the store; each file here holds one of them. SQL appears nowhere else.

mod enrolments;
mod factors;
mod job;
mod keys;
mod passwords;
mod readers;
mod schema;
mod sessions;
mod upkeep;
mod users;
mod writer;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::{Pending, StoreError};
use readers::Readers;
use writer::{Writer, in_savepoint};

/// How long to wait for another process, such as a backup, that holds the database.
const BUSY: Duration = Duration::from_secs(5);

/// The embedded store. Share it behind an `Arc`; dropping the last reference writes everything and closes the file.
pub(crate) struct SqliteStore {
    readers: Readers,
    // After the readers: the database in memory lives as long as the writer's connection.
    writer: Writer,
    place: Place,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.place).finish()
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    /// Name of a database that connections of this process share.
    #[cfg(test)]
    Memory(String),
}

impl SqliteStore {
    /// Opens the file at `path`, creating it or narrowing it to mode 0600, and brings its schema up to date.
    /// [`StoreError::Newer`] for a file of a later version, which is left alone.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its log and index files the mode of the database file. A copy brought back from a backup may
        // have come with a wider mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
            .map_err(|source| StoreError::File {
                path: path.to_owned(),
                source,
            })?;
        Self::open_at(Place::File(path.to_owned()))
    }

    /// Opens an existing file for reading alone: nothing is created or migrated, and every write fails.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let place = Place::File(path.to_owned());
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::require_current(&connection, path)?;
        Self::with_writer(place, connection)
    }

    #[cfg(test)]
    /// A database that lives as long as this value.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::open_at(Place::Memory(format!(
            "file:/portcullis-{number}?vfs=memdb"
        )))
    }

    fn open_at(place: Place) -> Result<Self, StoreError> {
        let mut connection = place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        prepare_writer(&connection).map_err(|source| place.not_opened(source))?;
        schema::migrate(&mut connection, place.path())?;
        Self::with_writer(place, connection)
    }

    fn with_writer(place: Place, connection: Connection) -> Result<Self, StoreError> {
        let writer = Writer::start(connection).map_err(|source| StoreError::File {
            path: place.path().to_owned(),
            source,
        })?;
        Ok(Self {
            readers: Readers::new(place.clone()),
            writer,
            place,
        })
    }

    /// Reads in the calling thread, on a connection that cannot write.
    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.readers.with(work)
    }

    /// All of `work` happens, or none of it.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        self.writer
            .write(move |connection| in_savepoint(connection, work))
    }
}

fn prepare_writer(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten: erasing a person must not leave their rows in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            #[cfg(test)]
            Self::Memory(name) => Path::new(name),
        }
    }

    fn not_opened(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Open {
            path: self.path().to_owned(),
            source,
        }
    }

    fn connect(&self, access: OpenFlags) -> Result<Connection, StoreError> {
        let (access, uri) = match self {
            Self::File(_) => (access, OpenFlags::empty()),
            #[cfg(test)]
            Self::Memory(_) => (
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
                OpenFlags::SQLITE_OPEN_URI,
            ),
        };
        let flags = access | uri | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(self.path(), flags)
            .and_then(|connection| connection.busy_timeout(BUSY).map(|()| connection))
            .map_err(|source| self.not_opened(source))
    }
}

/// A row that names somebody who does not exist becomes [`StoreError::Unknown`].
fn owner_known(error: rusqlite::Error) -> StoreError {
    if has_code(&error, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) {
        StoreError::Unknown("user")
    } else {
        error.into()
    }
}

fn has_code(error: &rusqlite::Error, extended: i32) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        && error
            .sqlite_error()
            .is_some_and(|cause| cause.extended_code == extended)
}

#[cfg(test)]
mod tests;
