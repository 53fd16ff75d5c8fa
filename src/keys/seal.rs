//! Authenticated encryption of values at rest.
//!
//! A sealed value is one byte of version, a 96-bit random nonce, the ciphertext and a 128-bit tag. Version 1 is
//! AES-256-GCM-SIV (RFC 8452): should a nonce ever repeat, nothing but the equality of two plaintexts shows.
//! Version 2 is AES-256-GCM, for keys that seal far fewer than 2^32 values.
//! The context is authenticated and not stored: a value moved to another row or another purpose does not open.

use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use zeroize::Zeroizing;

use super::{KeyError, MasterKey, random};

/// What a version byte stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    GcmSiv = 1,
    Gcm = 2,
}

/// Bytes that stand before the ciphertext: version, nonce.
pub(crate) const HEAD: usize = 1 + NONCE_LEN;
/// Bytes that sealing adds: these and the tag.
pub(crate) const OVERHEAD: usize = HEAD + 16;

/// A key ready to seal and open under one cipher.
pub(super) struct Sealer {
    cipher: Cipher,
    key: LessSafeKey,
}

impl Sealer {
    pub(super) fn new(cipher: Cipher, key: &[u8; 32]) -> Result<Self, KeyError> {
        let algorithm = match cipher {
            Cipher::GcmSiv => &AES_256_GCM_SIV,
            Cipher::Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key)
            .map_err(|_unspecified| KeyError::Refused("prepare a sealing key"))?;
        Ok(Self {
            cipher,
            key: LessSafeKey::new(key),
        })
    }

    pub(super) fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD));
        out.extend_from_slice(&[0; HEAD]);
        out.extend_from_slice(plaintext);
        self.seal_in_place(context, &mut out)?;
        Ok(out)
    }

    /// Seals what stands behind the first [`HEAD`] bytes of `value`, which are overwritten.
    fn seal_in_place(&self, context: &[u8], value: &mut Vec<u8>) -> Result<(), KeyError> {
        let ([version, space @ ..], body) = value
            .split_first_chunk_mut::<HEAD>()
            .ok_or(KeyError::Refused("seal a value"))?;
        *version = self.cipher as u8;
        let nonce: [u8; NONCE_LEN] = random::nonce();
        *space = nonce;
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                body,
            )
            .map_err(|_unspecified| KeyError::Refused("seal a value"))?;
        value.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Gives [`KeyError::Unsealable`] for anything that `seal` did not make under this key and context.
    pub(super) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (version, rest) = sealed.split_first().ok_or(KeyError::Unsealable)?;
        if *version != self.cipher as u8 {
            return Err(KeyError::Unsealable);
        }
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(KeyError::Unsealable)?;
        let mut buffer = Zeroizing::new(body.to_vec());
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut buffer,
            )
            .map_err(|_unspecified| KeyError::Unsealable)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// A random 256-bit key that seals one person's (or one day's) fields in the audit log, by AES-256-GCM.
///
/// It leaves the program only wrapped by the master key; when the wrapped key is destroyed, what it sealed is gone.
pub(crate) struct SealingKey {
    bytes: Zeroizing<[u8; 32]>,
    sealer: Sealer,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl SealingKey {
    pub(crate) fn generate() -> Result<Self, KeyError> {
        Self::from_bytes(Zeroizing::new(random::bytes()))
    }

    fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let sealer = Sealer::new(Cipher::Gcm, &bytes)?;
        Ok(Self { bytes, sealer })
    }

    /// The key for the store, sealed. `name` is the name under which it will be stored.
    pub(crate) fn wrap(&self, master: &MasterKey, name: &str) -> Result<Vec<u8>, KeyError> {
        master.seal(&wrapping_context(name), self.bytes.as_ref())
    }

    /// Reads what [`Self::wrap`] gave, under the same name.
    pub(crate) fn unwrap(master: &MasterKey, name: &str, wrapped: &[u8]) -> Result<Self, KeyError> {
        let opened = master.open(&wrapping_context(name), wrapped)?;
        let bytes: [u8; 32] = opened
            .as_slice()
            .try_into()
            .map_err(|_length| KeyError::Unreadable("sealing key"))?;
        Self::from_bytes(Zeroizing::new(bytes))
    }

    #[cfg(test)]
    pub(crate) fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sealer.seal(context, plaintext)
    }

    /// Seals what stands behind the first [`HEAD`] bytes of `value`, in its place. `context` says where it stands, so
    /// that it does not open anywhere else.
    pub(crate) fn seal_in_place(
        &self,
        context: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        self.sealer.seal_in_place(context, value)
    }

    pub(crate) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.sealer.open(context, sealed)
    }
}

fn wrapping_context(name: &str) -> Vec<u8> {
    [b"sealing-key\0".as_slice(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{Cipher, OVERHEAD, Sealer, SealingKey};
    use crate::keys::{KeyError, MasterKey};

    #[test]
    fn what_was_sealed_opens_under_the_same_context_only() {
        for cipher in [Cipher::GcmSiv, Cipher::Gcm] {
            let sealer = Sealer::new(cipher, &[7; 32]).unwrap();
            let sealed = sealer.seal(b"totp\0u-1", b"secret").unwrap();
            assert_eq!(sealed.len(), b"secret".len() + OVERHEAD);
            assert_eq!(
                sealer.open(b"totp\0u-1", &sealed).unwrap().as_slice(),
                b"secret"
            );
            assert!(matches!(
                sealer.open(b"totp\0u-2", &sealed),
                Err(KeyError::Unsealable)
            ));
        }
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let sealer = Sealer::new(Cipher::GcmSiv, &[7; 32]).unwrap();
        let sealed = sealer.seal(b"", b"secret").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(sealer.open(b"", &changed).is_err(), "byte {place}");
            assert!(
                sealer.open(b"", &sealed[..place]).is_err(),
                "length {place}"
            );
        }
    }

    #[test]
    fn the_same_text_sealed_twice_differs() {
        let sealer = Sealer::new(Cipher::Gcm, &[7; 32]).unwrap();
        assert_ne!(
            sealer.seal(b"", b"x").unwrap(),
            sealer.seal(b"", b"x").unwrap()
        );
    }

    #[test]
    fn a_wrapped_key_opens_what_it_sealed_and_only_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::open_or_create(&folder.path().join("master.key")).unwrap();
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal(b"entry 7", b"ada@example.com").unwrap();
        let wrapped = key.wrap(&master, "audit/u-1").unwrap();
        let again = SealingKey::unwrap(&master, "audit/u-1", &wrapped).unwrap();
        assert_eq!(
            again.open(b"entry 7", &sealed).unwrap().as_slice(),
            b"ada@example.com"
        );
        assert!(SealingKey::unwrap(&master, "audit/u-2", &wrapped).is_err());
    }
}
