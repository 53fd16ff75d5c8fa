//! The keyring kept in the store: sealing keys wrapped by the master key, one row per person or day.

use std::sync::Arc;

use super::seal::{Keyring, KeyringError};
use crate::base::Clock;
use crate::keys::{KeyError, MasterKey, NoteSigner, NoteVerifier, SealingKey};
use crate::store::{Keys, StoreError};

/// Before the name of every sealing key in the store.
const PREFIX: &str = "audit/";
/// The checkpoint signer's name in the store.
const SIGNER: &str = "audit-signer";

/// Keys in the store.
pub(crate) struct StoredKeyring {
    keys: Arc<dyn Keys>,
    master: Arc<MasterKey>,
    clock: Clock,
}

impl std::fmt::Debug for StoredKeyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredKeyring(..)")
    }
}

impl From<StoreError> for KeyringError {
    fn from(why: StoreError) -> Self {
        Self(Box::new(why))
    }
}

impl From<KeyError> for KeyringError {
    fn from(why: KeyError) -> Self {
        Self(Box::new(why))
    }
}

impl StoredKeyring {
    pub(crate) fn new(keys: Arc<dyn Keys>, master: Arc<MasterKey>, clock: Clock) -> Self {
        Self {
            keys,
            master,
            clock,
        }
    }

    /// The checkpoint signer, made on the first start under the name `origin`; later starts keep the first name,
    /// since a log does not change its origin. Blocks.
    pub(crate) fn signer(&self, origin: &str) -> Result<NoteSigner, KeyringError> {
        let sealed = match self.keys.find(SIGNER)? {
            Some(sealed) => sealed,
            None => {
                let fresh = NoteSigner::generate(origin)?.sealed(&self.master)?;
                let now = self.clock.now();
                let kept = self.keys.create_if_absent(SIGNER.into(), fresh, now);
                kept.wait()?
            }
        };
        Ok(NoteSigner::open(&self.master, &sealed)?)
    }

    /// The public half of the signer; `None` before the first start. Creates nothing.
    pub(crate) fn verifier(&self) -> Result<Option<NoteVerifier>, KeyringError> {
        let Some(sealed) = self.keys.find(SIGNER)? else {
            return Ok(None);
        };
        let signer = NoteSigner::open(&self.master, &sealed)?;
        Ok(Some(signer.verifier().clone()))
    }
}

impl Keyring for StoredKeyring {
    fn find(&self, name: &str) -> Result<Option<Arc<SealingKey>>, KeyringError> {
        let name = format!("{PREFIX}{name}");
        let Some(wrapped) = self.keys.find(&name)? else {
            return Ok(None);
        };
        Ok(Some(Arc::new(SealingKey::unwrap(
            &self.master,
            &name,
            &wrapped,
        )?)))
    }

    fn find_or_create(&self, name: &str) -> Result<Arc<SealingKey>, KeyringError> {
        if let Some(key) = self.find(name)? {
            return Ok(key);
        }
        let name = format!("{PREFIX}{name}");
        let fresh = SealingKey::generate()?.wrap(&self.master, &name)?;
        // Durable when this returns. Dying here leaves a key that seals nothing yet.
        let now = self.clock.now();
        let kept = self
            .keys
            .create_if_absent(name.clone(), fresh, now)
            .wait()?;
        Ok(Arc::new(SealingKey::unwrap(&self.master, &name, &kept)?))
    }

    fn destroy(&self, name: &str) -> Result<bool, KeyringError> {
        Ok(self.keys.destroy(format!("{PREFIX}{name}")).wait()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::StoredKeyring;
    use crate::audit::seal::Keyring as _;
    use crate::base::Clock;
    use crate::keys::MasterKey;
    use crate::store::{SqliteStore, Store};

    fn keyring() -> (tempfile::TempDir, Store, Arc<MasterKey>) {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::open_or_create(&folder.path().join("master.key")).unwrap();
        let store = Store::of(Arc::new(SqliteStore::in_memory().unwrap()));
        (folder, store, Arc::new(master))
    }

    #[test]
    fn a_key_outlives_its_keyring_until_it_is_destroyed() {
        let (_folder, store, master) = keyring();
        let open =
            || StoredKeyring::new(Arc::clone(&store.keys), Arc::clone(&master), Clock::System);
        assert!(open().find("person:u-1").unwrap().is_none());
        let sealed = open()
            .find_or_create("person:u-1")
            .unwrap()
            .seal(b"7", b"kim")
            .unwrap();
        let again = open().find("person:u-1").unwrap().unwrap();
        assert_eq!(again.open(b"7", &sealed).unwrap().as_slice(), b"kim");
        assert!(open().destroy("person:u-1").unwrap());
        assert!(open().find("person:u-1").unwrap().is_none());
    }

    #[test]
    fn the_signer_is_made_once_and_keeps_its_name() {
        let (_folder, store, master) = keyring();
        let keyring = StoredKeyring::new(store.keys, master, Clock::System);
        assert!(keyring.verifier().unwrap().is_none());
        let first = keyring.signer("login.example.com/audit").unwrap();
        let later = keyring.signer("login.example.org/audit").unwrap();
        assert_eq!(first.verifier(), later.verifier());
        assert_eq!(keyring.verifier().unwrap().as_ref(), Some(first.verifier()));
    }
}
