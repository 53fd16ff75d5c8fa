//! What can go wrong with the database, in the operator's words.

use std::path::PathBuf;
use std::sync::Arc;

/// A read or write that did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A name, id or address that must be unique is somebody else's.
    #[error("the {0} is already in use")]
    Taken(&'static str),
    /// The person or session that the write belongs to does not exist, or may not have it.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// So many writes wait that this one was not accepted.
    #[error("the database does not keep up with the writes")]
    Busy,
    /// The store was closed before the write was done.
    #[error("the database is closed")]
    Closed,
    /// The file was written by a later version.
    #[error("`{path}` has schema {found}, this version knows up to {known}: use the newer portcullis or restore a backup", path = path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// A stored value that this program never writes.
    #[error("the database holds a {0} that cannot be read")]
    Corrupt(&'static str),
    #[error("could not open the database `{path}`", path = path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("could not prepare the file `{path}`", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The transaction was undone, with every write in it.
    #[error("the database could not commit")]
    NotCommitted(#[source] Arc<rusqlite::Error>),
    #[error("the database refused")]
    Database(#[from] rusqlite::Error),
}
