//! Signatures on notes (C2SP signed-note): the audit log's checkpoints are signed with this key.
//!
//! The format of a checkpoint's text belongs to the audit log; here are the key, its name and the signature line.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use super::{KeyError, MasterKey, sha256};

/// Signature type 0x01, Ed25519 over the note's text (C2SP signed-note, section "Signatures").
const ED25519_TYPE: u8 = 1;

const CONTEXT: &[u8] = b"note-signer\0";

/// Signs notes under a name such as `portcullis.example.com/audit`.
pub(crate) struct NoteSigner {
    pair: Ed25519KeyPair,
    verifier: NoteVerifier,
}

impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NoteSigner").field(&self.verifier).finish()
    }
}

impl NoteSigner {
    /// A new key. `name` must be non-empty, without spaces and without `+`, and newlines are out of the question.
    pub(crate) fn generate(name: &str) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate()
            .map_err(|_unspecified| KeyError::Refused("make a signing key"))?;
        Self::of(name, pair)
    }

    fn of(name: &str, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public: [u8; 32] = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_length| KeyError::Unreadable("signing key"))?;
        let verifier = NoteVerifier::new(name, public)?;
        Ok(Self { pair, verifier })
    }

    /// The key for the store: its name and its PKCS#8 form, sealed.
    pub(crate) fn sealed(&self, master: &MasterKey) -> Result<Vec<u8>, KeyError> {
        let der: Pkcs8V1Der<'static> = self
            .pair
            .as_der()
            .map_err(|_unspecified| KeyError::Refused("export a signing key"))?;
        let mut plain = Zeroizing::new(self.verifier.name.clone().into_bytes());
        plain.push(b'\n');
        plain.extend_from_slice(der.as_ref());
        master.seal(CONTEXT, &plain)
    }

    /// Reads what [`Self::sealed`] gave.
    pub(crate) fn open(master: &MasterKey, sealed: &[u8]) -> Result<Self, KeyError> {
        let unreadable = || KeyError::Unreadable("signing key");
        let plain = master.open(CONTEXT, sealed)?;
        let end = plain
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(unreadable)?;
        let (name, der) = plain.split_at_checked(end).ok_or_else(unreadable)?;
        let name = std::str::from_utf8(name).map_err(|_not_text| unreadable())?;
        let pair = Ed25519KeyPair::from_pkcs8(der.get(1..).ok_or_else(unreadable)?)
            .map_err(|_rejected| unreadable())?;
        Self::of(name, pair)
    }

    pub(crate) fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// The bare 64-byte signature over `text`.
    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(self.pair.sign(text).as_ref()) {
            *to = *from;
        }
        out
    }

    /// The line to put below `text` and an empty line: `— NAME BASE64(key id, signature)` and a newline.
    /// `text` must end with a newline.
    pub(crate) fn signature_line(&self, text: &[u8]) -> String {
        let signed = [self.verifier.key_id.as_slice(), self.sign(text).as_slice()].concat();
        format!(
            "\u{2014} {} {}\n",
            self.verifier.name,
            BASE64.encode(&signed)
        )
    }
}

/// The public half: checks signature lines of one name and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteVerifier {
    name: String,
    key_id: [u8; 4],
    public: [u8; 32],
}

impl NoteVerifier {
    pub(crate) fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if name.is_empty() || name.contains(|sign: char| sign.is_whitespace() || sign == '+') {
            return Err(KeyError::Unreadable("key name"));
        }
        let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], &public].concat());
        let key_id = hash.first_chunk().copied().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            key_id,
            public,
        })
    }

    /// Reads the text form `NAME+KEYID+KEY` that [`Self::vkey`] prints and other tools use.
    pub(crate) fn parse(vkey: &str) -> Result<Self, KeyError> {
        let unreadable = || KeyError::Unreadable("verification key");
        let mut parts = vkey.trim().splitn(3, '+');
        let (Some(name), Some(key_id), Some(key)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(unreadable());
        };
        let key = BASE64
            .decode(key.as_bytes())
            .map_err(|_not_base64| unreadable())?;
        let Some((&ED25519_TYPE, public)) = key.split_first() else {
            return Err(unreadable());
        };
        let public = public.try_into().map_err(|_length| unreadable())?;
        let verifier = Self::new(name, public)?;
        if HEXLOWER.encode(&verifier.key_id) == key_id {
            Ok(verifier)
        } else {
            Err(unreadable())
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// First four bytes of SHA-256 over name, newline, type and key.
    pub(crate) fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The key as text, for people and for other tools.
    pub(crate) fn vkey(&self) -> String {
        let key = [[ED25519_TYPE].as_slice(), &self.public].concat();
        format!(
            "{}+{}+{}",
            self.name,
            HEXLOWER.encode(&self.key_id),
            BASE64.encode(&key)
        )
    }

    /// Is `signature` (64 bytes) this key's over `text`?
    pub(crate) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(text, signature)
            .is_ok()
    }

    /// Is `line`, without its newline, this key's signature line over `text`? Lines of other keys are `false`.
    pub(crate) fn verify_line(&self, text: &[u8], line: &str) -> bool {
        let Some((name, encoded)) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
        else {
            return false;
        };
        let Ok(signed) = BASE64.decode(encoded.as_bytes()) else {
            return false;
        };
        match signed.split_first_chunk::<4>() {
            Some((key_id, signature)) => {
                name == self.name && *key_id == self.key_id && self.verify(text, signature)
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NoteSigner, NoteVerifier};
    use crate::keys::MasterKey;

    const TEXT: &[u8] = b"portcullis.example.com/audit\n7\nhash\n";

    #[test]
    fn the_published_example_of_signed_notes_verifies() {
        // golang.org/x/mod/sumdb/note, package example.
        let verifier = NoteVerifier::parse(
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        )
        .unwrap();
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        assert!(verifier.verify_line(text.as_bytes(), line));
        assert!(!verifier.verify_line(b"other\n", line));
    }

    #[test]
    fn a_signer_survives_sealing_and_its_lines_verify() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::open_or_create(&folder.path().join("master.key")).unwrap();
        let signer = NoteSigner::generate("portcullis.example.com/audit").unwrap();
        let again = NoteSigner::open(&master, &signer.sealed(&master).unwrap()).unwrap();
        assert_eq!(again.verifier(), signer.verifier());
        let line = again.signature_line(TEXT);
        assert!(signer.verifier().verify_line(TEXT, line.trim_end()));
    }

    #[test]
    fn another_key_or_name_does_not_verify() {
        let one = NoteSigner::generate("one").unwrap();
        let other = NoteSigner::generate("one").unwrap();
        let line = one.signature_line(TEXT);
        assert!(!other.verifier().verify_line(TEXT, line.trim_end()));
        let renamed = NoteVerifier::new("two", *one.verifier().public_key()).unwrap();
        assert!(!renamed.verify_line(TEXT, line.trim_end()));
    }

    #[test]
    fn the_text_form_reads_back_and_a_wrong_id_is_refused() {
        let signer = NoteSigner::generate("portcullis.example.com/audit").unwrap();
        let vkey = signer.verifier().vkey();
        assert_eq!(&NoteVerifier::parse(&vkey).unwrap(), signer.verifier());
        assert!(NoteVerifier::parse(&vkey.replacen("audit", "audio", 1)).is_err());
        assert!(NoteVerifier::parse("name+00").is_err());
        assert!(NoteSigner::generate("a name").is_err());
        assert!(NoteSigner::generate("a+b").is_err());
    }
}
