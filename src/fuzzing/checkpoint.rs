//! What whoever can write to the audit log's folder may put there: a checkpoint counts when the log's key signed it.

use crate::audit::checkpoint::{Checkpoint, notes};
use crate::keys::NoteVerifier;

/// The key under which the notes of the corpus are signed.
const KEY: &str = "login.example.com/audit+266ba40e+AbUaWB8G+vYTW2wTql9J184t+RAJYWHvN+7VXuDJTjgN";
/// How long the log was when it signed.
const SIGNED: [u64; 2] = [0, 3];

/// A history of checkpoints: what is taken was signed, and reads as it was written.
pub fn checkpoint(data: &[u8]) {
    for (note, checkpoint) in taken(data) {
        assert!(SIGNED.contains(&checkpoint.size), "{checkpoint:?}");
        assert!(note.starts_with(&checkpoint.text()), "{checkpoint:?}");
    }
}

fn taken(data: &[u8]) -> Vec<(&str, Checkpoint)> {
    let (Ok(history), Ok(key)) = (std::str::from_utf8(data), NoteVerifier::parse(KEY)) else {
        return Vec::new();
    };
    let one = std::iter::once(history);
    let opened = |note| Some((note, Checkpoint::open(note, &key).ok()?));
    notes(history).chain(one).filter_map(opened).collect()
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn the_corpus_has_notes_that_are_taken() {
        for (name, notes) in [("history", 2), ("last", 1)] {
            let path = format!(
                "{}/fuzz/corpus/checkpoint/{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            let data = std::fs::read(path).unwrap();
            assert_eq!(taken(&data).len(), notes, "{name}");
        }
    }
}
