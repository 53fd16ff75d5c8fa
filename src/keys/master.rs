//! The master key: one file, from which everything sealed at rest depends.
//!
//! The key itself encrypts nothing. HKDF-SHA256 (RFC 5869) derives one key per purpose, so that no two uses meet
//! under one key. Losing the file loses every sealed value; a copy of the database without it opens none.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::{constant_time, hkdf, hmac};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::seal::{Cipher, Sealer};
use super::{KeyError, random};

/// First word of the file, so that no other file is taken for a key.
const PREFIX: &str = "portcullis-master-key-1 ";

/// HKDF's public salt: makes our derived keys ours.
const SALT: &[u8] = b"portcullis master key v1";

/// The root of all sealing. Cheap to share behind an `Arc`.
pub(crate) struct MasterKey {
    root: hkdf::Prk,
    sealer: Sealer,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Reads the key file; when there is none, creates it with mode 0600 and 256 random bits.
    ///
    /// A file that its group or others may read is refused, not repaired: it may have been read already.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::open_file(path) {
            Err(KeyError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Self::create_file(path)?;
                Self::open_file(path)
            }
            outcome => outcome,
        }
    }

    /// Reads an existing key file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let malformed = || KeyError::Malformed {
            path: path.to_owned(),
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        (&file).take(256).read_to_end(&mut text).map_err(failed)?;
        let encoded = text
            .trim_ascii_end()
            .strip_prefix(PREFIX.as_bytes())
            .ok_or_else(malformed)?;
        let key = BASE64URL_NOPAD
            .decode(encoded)
            .map(Zeroizing::new)
            .map_err(|_not_base64| malformed())?;
        let key: &[u8; 32] = key.as_slice().try_into().map_err(|_length| malformed())?;
        Self::from_bytes(key)
    }

    /// Writes a complete file under another name first: a crash leaves either no key or a whole one.
    fn create_file(path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let draft = path.with_extension(format!("new-{:016x}", random::u64()));
        let key = Zeroizing::new(random::bytes::<32>());
        let text = Zeroizing::new(format!(
            "{PREFIX}{}\n",
            BASE64URL_NOPAD.encode(key.as_ref())
        ));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed)?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            // Unlike a rename, a link never replaces a key that another process created meanwhile.
            .and_then(|()| std::fs::hard_link(&draft, path));
        let removed = std::fs::remove_file(&draft);
        match written {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => return Err(failed(source)),
            _ => removed.map_err(failed)?,
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    fn from_bytes(key: &[u8; 32]) -> Result<Self, KeyError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(key);
        let sealing = derive(&root, b"seal")?;
        let sealer = Sealer::new(Cipher::GcmSiv, &sealing)?;
        Ok(Self { root, sealer })
    }

    /// Encrypts and authenticates `plaintext`. `context` names the place where it will be kept.
    pub(crate) fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sealer.seal(context, plaintext)
    }

    /// Reads what [`Self::seal`] gave under the same context, else [`KeyError::Unsealable`].
    pub(crate) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.sealer.open(context, sealed)
    }

    /// A key for HMAC-SHA-256 that serves `purpose` and nothing else: form tokens, pseudonyms.
    pub(crate) fn mac_key(&self, purpose: &str) -> Result<MacKey, KeyError> {
        let info = [b"mac\0".as_slice(), purpose.as_bytes()].concat();
        let key = derive(&self.root, &info)?;
        Ok(MacKey(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }
}

fn derive(root: &hkdf::Prk, info: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut out = Zeroizing::new([0; 32]);
    root.expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .map_err(|_unspecified| KeyError::Refused("derive a key"))?;
    Ok(out)
}

/// A derived key that authenticates short values.
pub(crate) struct MacKey(hmac::Key);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(..)")
    }
}

impl MacKey {
    /// HMAC-SHA-256 over the parts, each preceded by its length, so that no two lists of parts give the same input.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.tag(parts), tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::MasterKey;
    use crate::keys::KeyError;

    #[test]
    fn a_new_key_file_is_private_and_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = MasterKey::open_or_create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        let second = MasterKey::open_or_create(&path).unwrap();
        let sealed = first.seal(b"context", b"plain").unwrap();
        assert_eq!(
            second.open(b"context", &sealed).unwrap().as_slice(),
            b"plain"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::open_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(
                MasterKey::open_or_create(&path),
                Err(KeyError::TooOpen { .. })
            ));
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        for text in [
            "",
            "portcullis-master-key-1 ",
            "portcullis-master-key-1 AAAA\n",
            "AAAA",
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(
                MasterKey::open_or_create(&path),
                Err(KeyError::Malformed { .. })
            ));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let one = MasterKey::from_bytes(&[1; 32]).unwrap();
        let other = MasterKey::from_bytes(&[2; 32]).unwrap();
        let sealed = one.seal(b"", b"plain").unwrap();
        assert!(matches!(
            other.open(b"", &sealed),
            Err(KeyError::Unsealable)
        ));
    }

    #[test]
    fn many_threads_that_create_the_file_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let start = std::sync::Barrier::new(8);
        let keys: Vec<MasterKey> = std::thread::scope(|scope| {
            let create = || {
                start.wait();
                MasterKey::open_or_create(&path).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let sealed = keys[0].seal(b"", b"x").unwrap();
        assert!(keys.iter().all(|key| key.open(b"", &sealed).is_ok()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn tags_depend_on_purpose_and_on_where_parts_end() {
        let master = MasterKey::from_bytes(&[1; 32]).unwrap();
        let forms = master.mac_key("form").unwrap();
        let names = master.mac_key("pseudonym").unwrap();
        let tag = forms.tag(&[b"ab", b"c"]);
        assert!(forms.verify(&[b"ab", b"c"], &tag));
        assert!(!forms.verify(&[b"a", b"bc"], &tag));
        assert!(!forms.verify(&[b"ab", b"c"], &tag[..31]));
        assert!(!names.verify(&[b"ab", b"c"], &tag));
    }
}
