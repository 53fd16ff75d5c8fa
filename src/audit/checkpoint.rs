//! Checkpoints: a signed promise of how long the log is and what its root is.
//!
//! Text and signature follow C2SP `tlog-checkpoint` and `signed-note` (Ed25519, type 0x01), so standard tools
//! read them. Unknown signatures are ignored, a wrong one by the known key refuses the whole note.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};

use super::tree::Hash;

/// Note signature type of plain Ed25519.
const ED25519_TYPE: u8 = 1;
/// More signature lines than this are not read (C2SP signed-note asks for at least 16).
const SIGNATURES: usize = 64;

/// The signing key could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the audit signing key cannot be used")]
pub(crate) struct SignerError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Holds the log's Ed25519 key (RFC 8032).
pub(crate) trait NoteSigner: Send + Sync {
    fn public_key(&self) -> [u8; 32];

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// A note, key or checkpoint that does not read or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoteError {
    #[error("the key is not of the form NAME+HASH+BASE64")]
    Key,
    #[error("the text is not a signed checkpoint")]
    Form,
    #[error("the checkpoint belongs to another log")]
    Origin,
    #[error("no signature by the expected key")]
    Unsigned,
    #[error("the signature does not fit the text")]
    Forged,
}

/// A log's name and public key; printed as a C2SP verifier key: `NAME+KEYID+BASE64(0x01 || key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerifierKey {
    name: String,
    key: [u8; 32],
}

impl VerifierKey {
    pub(crate) fn new(name: impl Into<String>, key: [u8; 32]) -> Self {
        Self {
            name: name.into(),
            key,
        }
    }

    /// Reads the printed form; the key id in it must fit.
    pub(crate) fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64
            .decode(key.as_bytes())
            .map_err(|_not_base64| NoteError::Key)?;
        let [ED25519_TYPE, key @ ..] = bytes.as_slice() else {
            return Err(NoteError::Key);
        };
        let key = key.try_into().map_err(|_length| NoteError::Key)?;
        let whole = Self::new(name, key);
        if !is_name(name) || HEXLOWER.encode(&whole.id()) != id {
            return Err(NoteError::Key);
        }
        Ok(whole)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of `SHA-256(name || 0x0A || 0x01 || key)`.
    pub(crate) fn id(&self) -> [u8; 4] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', ED25519_TYPE]);
        context.update(&self.key);
        let hash = context.finish();
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        id
    }

    fn holds(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(text, signature)
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519_TYPE];
        typed.extend_from_slice(&self.key);
        let id = HEXLOWER.encode(&self.id());
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(&typed))
    }
}

/// A key name or origin: not empty, no spaces, no plus sign, one line.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|next| next == '+' || next.is_whitespace() || next.is_control())
}

/// The whole notes of a history file, each followed by an empty line; a torn last one is left out.
pub(crate) fn notes(history: &str) -> impl Iterator<Item = &str> {
    let mut rest = history;
    std::iter::from_fn(move || {
        let text = rest.find("\n\n")? + 2;
        let signatures = rest.get(text..)?.find("\n\n")?;
        let (note, after) = rest.split_at_checked(text + signatures + 1)?;
        rest = after.strip_prefix('\n').unwrap_or(after);
        Some(note)
    })
}

/// What a checkpoint promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The log's name: a URL without scheme.
    pub(crate) origin: String,
    /// Number of entries.
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Checkpoint {
    /// The three lines that are signed.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64.encode(&self.root)
        )
    }

    /// The whole note. The signer's name is the origin.
    pub(crate) fn sign(&self, signer: &dyn NoteSigner) -> Result<String, SignerError> {
        let text = self.text();
        let key = VerifierKey::new(self.origin.clone(), signer.public_key());
        let mut signature = key.id().to_vec();
        signature.extend_from_slice(&signer.sign(text.as_bytes())?);
        Ok(format!(
            "{text}\n\u{2014} {} {}\n",
            self.origin,
            BASE64.encode(&signature)
        ))
    }

    /// Reads a note and checks `key`'s signature on it.
    pub(crate) fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError::Form)?;
        let text = format!("{text}\n");
        let checkpoint = Self::parse(&text)?;
        if checkpoint.origin != key.name {
            return Err(NoteError::Origin);
        }
        let mut signed = false;
        for line in signatures.lines().take(SIGNATURES) {
            let rest = line.strip_prefix("\u{2014} ").ok_or(NoteError::Form)?;
            let (name, value) = rest.split_once(' ').ok_or(NoteError::Form)?;
            let value = BASE64
                .decode(value.as_bytes())
                .map_err(|_not_base64| NoteError::Form)?;
            let (id, signature) = value.split_at_checked(4).ok_or(NoteError::Form)?;
            if name != key.name || id != key.id() {
                continue;
            }
            if !key.holds(text.as_bytes(), signature) {
                return Err(NoteError::Forged);
            }
            signed = true;
        }
        if signed {
            Ok(checkpoint)
        } else {
            Err(NoteError::Unsigned)
        }
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Form);
        };
        let canonical = size.bytes().all(|byte| byte.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let size = size.parse().map_err(|_not_a_number| NoteError::Form)?;
        let root = BASE64
            .decode(root.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(NoteError::Form)?;
        if !canonical || !is_name(origin) {
            return Err(NoteError::Form);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::{Checkpoint, NoteError, NoteSigner, SignerError, VerifierKey};

    /// A signer from a fixed seed.
    pub(crate) struct SeedSigner(Ed25519KeyPair);

    impl SeedSigner {
        pub(crate) fn new(seed: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
        }
    }

    impl NoteSigner for SeedSigner {
        fn public_key(&self) -> [u8; 32] {
            self.0.public_key().as_ref().try_into().unwrap()
        }

        fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignerError> {
            Ok(self.0.sign(text).as_ref().try_into().unwrap())
        }
    }

    fn note() -> (String, VerifierKey) {
        let signer = SeedSigner::new(1);
        let checkpoint = Checkpoint {
            origin: "login.example.com/audit".into(),
            size: 42,
            root: [9; 32],
        };
        let key = VerifierKey::new("login.example.com/audit", signer.public_key());
        (checkpoint.sign(&signer).unwrap(), key)
    }

    #[test]
    fn a_signed_checkpoint_reads_back() {
        let (note, key) = note();
        let back = Checkpoint::open(&note, &key).unwrap();
        assert_eq!((back.size, back.root), (42, [9; 32]));
        assert_eq!(VerifierKey::parse(&key.to_string()).unwrap(), key);
    }

    /// The example key of the C2SP signed-note text and of Go's `golang.org/x/mod/sumdb/note`.
    #[test]
    fn the_published_example_key_is_read() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(VerifierKey::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn a_changed_note_a_strange_key_and_a_strange_log_are_refused() {
        let (note, key) = note();
        let longer = note.replacen("42", "43", 1);
        assert_eq!(Checkpoint::open(&longer, &key), Err(NoteError::Forged));
        let stranger = VerifierKey::new(key.name(), SeedSigner::new(2).public_key());
        assert_eq!(Checkpoint::open(&note, &stranger), Err(NoteError::Unsigned));
        let other = VerifierKey::new("other.example/audit", SeedSigner::new(1).public_key());
        assert_eq!(Checkpoint::open(&note, &other), Err(NoteError::Origin));
        assert_eq!(Checkpoint::open("", &key), Err(NoteError::Form));
        assert_eq!(
            Checkpoint::open(&note.replacen("42", "042", 1), &key),
            Err(NoteError::Form)
        );
    }

    #[test]
    fn foreign_signatures_beside_ours_are_ignored() {
        let (note, key) = note();
        let cosigned = format!("{note}\u{2014} witness.example AAAAAAAA\n");
        assert!(Checkpoint::open(&cosigned, &key).is_ok());
    }
}
