//! Checkpoints: a signed promise of how long the log is and what its root is.
//!
//! Text and signature follow C2SP `tlog-checkpoint` and `signed-note` (Ed25519, type 0x01), so standard tools
//! read them. Unknown signatures are ignored, a wrong one by the known key refuses the whole note.

use data_encoding::BASE64;

use super::tree::Hash;
use crate::keys::{NoteSigner, NoteVerifier};

/// More signature lines than this are not read (C2SP signed-note asks for at least 16).
const SIGNATURES: usize = 64;

/// A checkpoint that does not read or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoteError {
    #[error("the text is not a signed checkpoint")]
    Form,
    #[error("the checkpoint belongs to another log")]
    Origin,
    #[error("no signature by the expected key")]
    Unsigned,
    #[error("the signature does not fit the text")]
    Forged,
}

/// Does a signature line say that it is by `key`?
fn claims(line: &str, key: &NoteVerifier) -> Result<bool, NoteError> {
    let rest = line.strip_prefix("\u{2014} ").ok_or(NoteError::Form)?;
    let (name, value) = rest.split_once(' ').ok_or(NoteError::Form)?;
    let value = BASE64
        .decode(value.as_bytes())
        .map_err(|_not_base64| NoteError::Form)?;
    let (id, _signature) = value.split_at_checked(4).ok_or(NoteError::Form)?;
    Ok(name == key.name() && id == key.key_id())
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
    pub(crate) fn sign(&self, signer: &NoteSigner) -> String {
        let text = self.text();
        format!("{text}\n{}", signer.signature_line(text.as_bytes()))
    }

    /// Reads a note and checks `key`'s signature on it.
    pub(crate) fn open(note: &str, key: &NoteVerifier) -> Result<Self, NoteError> {
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError::Form)?;
        let text = format!("{text}\n");
        let checkpoint = Self::parse(&text)?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::Origin);
        }
        let mut signed = false;
        for line in signatures.lines().take(SIGNATURES) {
            if !claims(line, key)? {
                continue;
            }
            if !key.verify_line(text.as_bytes(), line) {
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
        if !canonical {
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
mod tests {
    use super::{Checkpoint, NoteError};
    use crate::keys::{NoteSigner, NoteVerifier};

    fn note() -> (String, NoteVerifier) {
        let signer = NoteSigner::generate("login.example.com/audit").unwrap();
        let checkpoint = Checkpoint {
            origin: "login.example.com/audit".into(),
            size: 42,
            root: [9; 32],
        };
        (checkpoint.sign(&signer), signer.verifier().clone())
    }

    #[test]
    fn a_signed_checkpoint_reads_back() {
        let (note, key) = note();
        let back = Checkpoint::open(&note, &key).unwrap();
        assert_eq!((back.size, back.root), (42, [9; 32]));
    }

    #[test]
    fn a_changed_note_a_strange_key_and_a_strange_log_are_refused() {
        let (note, key) = note();
        let longer = note.replacen("42", "43", 1);
        assert_eq!(Checkpoint::open(&longer, &key), Err(NoteError::Forged));
        let (_, stranger) = self::note();
        assert_eq!(Checkpoint::open(&note, &stranger), Err(NoteError::Unsigned));
        let other = NoteVerifier::new("other.example/audit", *key.public_key()).unwrap();
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

    #[test]
    fn a_torn_last_note_of_the_history_is_left_out() {
        let (note, key) = note();
        let history = format!("{note}\n{note}\n{note}");
        for length in 0..history.len() {
            let Some(history) = history.get(..length) else {
                continue;
            };
            for note in super::notes(history) {
                assert!(Checkpoint::open(note, &key).is_ok());
            }
        }
        assert_eq!(super::notes(&history).count(), 2);
    }
}
