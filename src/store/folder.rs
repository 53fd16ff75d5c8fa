//! The data folder, and the lock by which one process at a time calls it its own.
//!
//! The lock is the kernel's (`flock`): it goes with its process, whatever way that ends. The number in the lock file is
//! for people only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

const LOCK_FILE: &str = "lock";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("could not use the data folder `{path}`", path = path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the data folder `{path}` is open to others (mode {mode:04o}): run `chmod 700` on it", path = path.display())]
    TooOpen { path: PathBuf, mode: u32 },
    /// Another process runs on it; its number, if it could be read.
    #[error("another portcullis runs on `{path}`{}", held_by.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path = path.display())]
    Held { path: PathBuf, held_by: Option<u32> },
}

/// A private folder.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder(PathBuf);

impl DataFolder {
    /// Uses `path`, creating it with mode 0700. A folder into which its group or others may write is refused.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let mode = std::fs::metadata(path)
            .map_err(failed)?
            .permissions()
            .mode()
            & 0o7777;
        if mode & 0o022 != 0 {
            return Err(FolderError::TooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        Ok(Self(path.to_owned()))
    }

    /// Takes the folder for this process until the lock is dropped, or says who has it.
    pub(crate) fn lock(&self) -> Result<Lock, FolderError> {
        let path = self.0.join(LOCK_FILE);
        let failed = |source| FolderError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(code) if std::io::Error::from(code).kind() == ErrorKind::WouldBlock => {
                return Err(FolderError::Held {
                    path: self.0.clone(),
                    held_by: read_pid(&mut file),
                });
            }
            Err(code) => return Err(failed(code.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Proof that no other process uses the folder.
#[derive(Debug)]
#[must_use = "the lock ends when this value is dropped"]
pub(crate) struct Lock {
    _file: File,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{DataFolder, FolderError};

    #[test]
    fn a_new_folder_is_private() {
        let base = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(&base.path().join("a/b")).unwrap();
        let mode = std::fs::metadata(&folder.0).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700);
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(
            DataFolder::open_or_create(base.path()),
            Err(FolderError::TooOpen { .. })
        ));
    }

    #[test]
    fn the_second_to_lock_learns_who_has_it_and_the_next_one_gets_it() {
        let base = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(base.path()).unwrap();
        let lock = folder.lock().unwrap();
        match folder.lock() {
            Err(FolderError::Held { held_by, .. }) => {
                assert_eq!(held_by, Some(std::process::id()));
            }
            other => panic!("{other:?}"),
        }
        drop(lock);
        let again = folder.lock();
        assert!(again.is_ok());
    }
}
