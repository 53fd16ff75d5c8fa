//! Answers on disk, so that a restart has them at once; one file for each certificate, named by its hash.
//!
//! They are public, and verified anew whenever they are read. A file that cannot be had costs a question.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use tempfile::NamedTempFile;

use crate::keys::sha256;

/// Below the data folder.
const FOLDER: &str = "ocsp";

#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(super) fn below(data_folder: &Path) -> Self {
        Self {
            folder: data_folder.join(FOLDER),
        }
    }

    fn path(&self, leaf: &[u8]) -> PathBuf {
        let name = HEXLOWER.encode(&sha256(leaf));
        self.folder.join(format!("{name}.der"))
    }

    pub(super) fn find(&self, leaf: &[u8]) -> Option<Vec<u8>> {
        std::fs::read(self.path(leaf)).ok()
    }

    pub(super) fn keep(&self, leaf: &[u8], answer: &[u8]) {
        if let Err(error) = self.write(leaf, answer) {
            tracing::warn!(%error, "an OCSP answer cannot be kept for the next start");
        }
    }

    /// The file is there whole or not at all.
    fn write(&self, leaf: &[u8], answer: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = NamedTempFile::new_in(&self.folder)?;
        file.write_all(answer)?;
        file.persist(self.path(leaf))?;
        Ok(())
    }

    pub(super) fn forget(&self, leaf: &[u8]) {
        match std::fs::remove_file(self.path(leaf)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an OCSP answer that is not needed stays on disk");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shelf;

    #[test]
    fn an_answer_is_found_for_its_certificate_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(folder.path());
        assert_eq!(shelf.find(b"leaf"), None);
        shelf.keep(b"leaf", b"first");
        shelf.keep(b"leaf", b"second");
        shelf.keep(b"other", b"third");
        assert_eq!(shelf.find(b"leaf"), Some(b"second".to_vec()));
        shelf.forget(b"leaf");
        shelf.forget(b"leaf");
        assert_eq!(shelf.find(b"leaf"), None);
        assert_eq!(shelf.find(b"other"), Some(b"third".to_vec()));
    }
}
