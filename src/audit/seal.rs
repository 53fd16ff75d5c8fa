//! Personal fields, readable only while the person's key exists.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce under a key per person, or per UTC day for the
//! anonymous. A key is durable in the keyring before the first line sealed under it is written, so no line
//! can be lost to a crash; destroying the key makes its lines unreadable and leaves every hash as it was.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::line::digits_into;
use crate::base::{PrincipalId, Timestamp};
use crate::keys::{HEAD, SealingKey};

/// The keyring did not answer; nothing was created or destroyed as far as is known.
#[derive(Debug, thiserror::Error)]
#[error("the keyring does not answer")]
pub(crate) struct KeyringError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Where sealing keys live, wrapped by the master key.
pub(crate) trait Keyring: Send + Sync {
    /// The key of that name; `None` when it never existed or was destroyed.
    fn find(&self, name: &str) -> Result<Option<Arc<SealingKey>>, KeyringError>;

    /// The key of that name, made if absent. Durable when this returns, and the same for two callers at once.
    fn find_or_create(&self, name: &str) -> Result<Arc<SealingKey>, KeyringError>;

    /// Removes the key beyond recall; `false` when there was none.
    fn destroy(&self, name: &str) -> Result<bool, KeyringError>;
}

/// Keys held in memory at most; beyond that all are dropped and read again when needed.
const CACHED: usize = 20_000;

/// The name of the key that seals for `subject`, or for everybody unknown on the UTC day of `at`.
pub(crate) fn key_name(subject: Option<&PrincipalId>, at: Timestamp) -> String {
    match subject {
        Some(id) => format!("person:{id}"),
        None => format!("day:{:.10}", at.to_string()),
    }
}

/// Seals and unseals. Shared by the writer and by readers in the same process, so that [`Sealer::forget`] holds for both.
pub(crate) struct Sealer {
    keyring: Arc<dyn Keyring>,
    cache: Mutex<HashMap<String, Arc<SealingKey>>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    pub(crate) fn new(keyring: Arc<dyn Keyring>) -> Self {
        Self {
            keyring,
            cache: Mutex::new(HashMap::new()),
        }
    }

    /// Closes `envelope`: gives version, nonce, ciphertext and tag (see [`crate::keys`]). `entry` and `name` are
    /// authenticated with it, so a sealed value moved to another line does not open.
    pub(super) fn seal<'a>(
        &self,
        name: &str,
        entry: u64,
        envelope: &'a mut Envelope,
    ) -> Result<&'a [u8], KeyringError> {
        let cached = self.cache.lock().get(name).cloned();
        let key = match cached {
            Some(key) => key,
            None => self.remember(name, self.keyring.find_or_create(name)?),
        };
        let Envelope { value, context } = envelope;
        context.clear();
        write_context(context, name, entry);
        key.seal_in_place(context, value)
            .map_err(|why| KeyringError(Box::new(why)))?;
        Ok(value)
    }

    /// The plain bytes; `None` when the key is gone (the person was erased) or the value is not of this line.
    pub(super) fn open(
        &self,
        name: &str,
        entry: u64,
        sealed: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
        let cached = self.cache.lock().get(name).cloned();
        let key = match cached {
            Some(key) => key,
            None => match self.keyring.find(name)? {
                Some(key) => self.remember(name, key),
                None => return Ok(None),
            },
        };
        let Ok(bytes) = BASE64.decode(sealed.as_bytes()) else {
            return Ok(None);
        };
        let mut context = Vec::new();
        write_context(&mut context, name, entry);
        Ok(key.open(&context, &bytes).ok())
    }

    /// Erases what was sealed under `name`. `false` when there was nothing to erase.
    pub(crate) fn forget(&self, name: &str) -> Result<bool, KeyringError> {
        let existed = self.keyring.destroy(name)?;
        // After the keyring, not before: a line sealed in between used the cached copy of a key that is
        // now gone, which is unreadable as wanted; the other order could put the dead key back here.
        self.cache.lock().remove(name);
        Ok(existed)
    }

    fn remember(&self, name: &str, key: Arc<SealingKey>) -> Arc<SealingKey> {
        let mut cache = self.cache.lock();
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(name.to_owned(), Arc::clone(&key));
        key
    }
}

/// `portcullis.audit.sealed.v1`, the key's name and the entry's number, a line each.
fn write_context(out: &mut Vec<u8>, name: &str, entry: u64) {
    out.extend_from_slice(b"portcullis.audit.sealed.v1\n");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    digits_into(out, entry, 1);
}

/// Where a value is written and then sealed in its place; used for one after the other.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Room for what stands before a ciphertext, then the value.
    value: Vec<u8>,
    context: Vec<u8>,
}

impl Envelope {
    /// Empty, to write the value behind what stands there.
    pub(super) fn open(&mut self) -> &mut Vec<u8> {
        self.value.clear();
        self.value.extend_from_slice(&[0; HEAD]);
        &mut self.value
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;

    use super::{Envelope, Keyring, KeyringError, Sealer, SealingKey, key_name};
    use crate::base::{PrincipalId, Timestamp};

    /// A keyring in memory that can be switched off.
    #[derive(Default)]
    pub(crate) struct MemoryKeyring {
        pub(crate) keys: Mutex<HashMap<String, Arc<SealingKey>>>,
        pub(crate) away: AtomicBool,
    }

    impl MemoryKeyring {
        fn answer(&self) -> Result<(), KeyringError> {
            if self.away.load(Ordering::SeqCst) {
                return Err(KeyringError("switched off".into()));
            }
            Ok(())
        }
    }

    impl Keyring for MemoryKeyring {
        fn find(&self, name: &str) -> Result<Option<Arc<SealingKey>>, KeyringError> {
            self.answer()?;
            Ok(self.keys.lock().get(name).cloned())
        }

        fn find_or_create(&self, name: &str) -> Result<Arc<SealingKey>, KeyringError> {
            self.answer()?;
            let mut keys = self.keys.lock();
            let key = keys
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(SealingKey::generate().unwrap()));
            Ok(Arc::clone(key))
        }

        fn destroy(&self, name: &str) -> Result<bool, KeyringError> {
            self.answer()?;
            Ok(self.keys.lock().remove(name).is_some())
        }
    }

    /// As it stands in a line.
    fn seal(sealer: &Sealer, name: &str, entry: u64, plain: &[u8]) -> String {
        let mut envelope = Envelope::default();
        envelope.open().extend_from_slice(plain);
        data_encoding::BASE64.encode(sealer.seal(name, entry, &mut envelope).unwrap())
    }

    #[test]
    fn sealed_values_open_only_in_their_own_line() {
        let sealer = Sealer::new(Arc::new(MemoryKeyring::default()));
        let sealed = seal(&sealer, "person:u-1", 7, b"kim");
        assert_eq!(
            **sealer.open("person:u-1", 7, &sealed).unwrap().unwrap(),
            *b"kim"
        );
        assert!(sealer.open("person:u-1", 8, &sealed).unwrap().is_none());
        assert!(sealer.open("person:u-2", 7, &sealed).unwrap().is_none());
        assert!(sealer.open("person:u-1", 7, "!").unwrap().is_none());
    }

    #[test]
    fn a_destroyed_key_erases_also_when_the_person_comes_back() {
        let sealer = Sealer::new(Arc::new(MemoryKeyring::default()));
        let sealed = seal(&sealer, "person:u-1", 7, b"kim");
        assert!(sealer.forget("person:u-1").unwrap());
        assert!(!sealer.forget("person:u-1").unwrap());
        assert!(sealer.open("person:u-1", 7, &sealed).unwrap().is_none());
        let again = seal(&sealer, "person:u-1", 8, b"kim");
        assert!(sealer.open("person:u-1", 8, &again).unwrap().is_some());
        assert!(sealer.open("person:u-1", 7, &sealed).unwrap().is_none());
    }

    #[test]
    fn the_anonymous_share_a_key_per_day() {
        let at: Timestamp = "2026-11-22T23:59:59Z".parse().unwrap();
        assert_eq!(key_name(None, at), "day:2026-11-22");
        assert_eq!(key_name(Some(&PrincipalId::new("u-41")), at), "person:u-41");
    }
}
