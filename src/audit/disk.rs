//! Where the log's files lie and how they are written; nothing here knows what they mean.
//!
//! Folders are 0700 and files 0600. A file that others may read while it changes is replaced whole by rename.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The parts of an audit folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Lines, the system of record.
    pub(super) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// Hash tiles, derived from the lines.
    pub(super) fn tiles(&self) -> PathBuf {
        self.root.join("tile")
    }

    /// Admissions whose entry is not on disk yet.
    pub(super) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The newest signed note.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// Earlier signed notes, oldest first.
    pub(super) fn history(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The verifier key, for convenience; a careful reader keeps an own copy elsewhere.
    pub(super) fn verifier_key(&self) -> PathBuf {
        self.root.join("log.vkey")
    }

    /// Bytes that recovery cut off.
    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Creates what is missing.
    pub(super) fn create(&self) -> io::Result<()> {
        for path in [
            self.root.clone(),
            self.segments(),
            self.tiles(),
            self.journal(),
        ] {
            create_dir(&path)?;
        }
        // The folder itself may have been made by hand, and with less care.
        std::fs::set_permissions(&self.root, Permissions::from_mode(0o700))?;
        sync_dir(&self.root)
    }

    /// Keeps a second writer out for as long as the file is open.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.root.join("lock"))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Bytes that may still be written where the log lies.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.root)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A new file that did not exist, open for reading and writing.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Makes names in `path` durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Adds `content` at the end of `path`, durably.
pub(super) fn append(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_data()
}

/// Writes `content` to `path`, and makes the folder if it must. Not synced, and until this returns a reader may see a
/// part.
pub(super) fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
    };
    let mut file = match (open(), path.parent()) {
        (Err(why), Some(folder)) if why.kind() == io::ErrorKind::NotFound => {
            create_dir(folder)?;
            open()?
        }
        (opened, _) => opened?,
    };
    file.write_all(content)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Replaces `path` by `content`: readers see the old or the new, never a mixture. Durable when this returns.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = beside(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(content)?;
    file.sync_data()?;
    // Dying here leaves the old file and a stray `.new`, which the next call overwrites.
    std::fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Files in `folder` in the order of their names; an absent folder has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Removes a file; it is fine if somebody was faster.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}
