//! Lines between being rendered and being part of the log: in one piece, so that they are written and hashed where they
//! stand.

use super::tree::{Hash, leaf_hash_in_place};
use crate::base::Timestamp;

/// A buffer that one batch made larger than this is given back.
const BUFFER: usize = 4 << 20;

/// Rendered lines that wait to be appended, one behind the other as they will stand in the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// One byte that is nobody's, then the lines, each with its line feed: so there is a byte before every line.
    bytes: Vec<u8>,
    /// Where each line feed is, and the line's time.
    lines: Vec<(usize, Timestamp)>,
}

impl Batch {
    pub(super) const fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the line that `render` appends, or nothing when it fails.
    pub(super) fn add<E>(
        &mut self,
        render: impl FnOnce(&mut Vec<u8>) -> Result<Timestamp, E>,
    ) -> Result<(), E> {
        if self.bytes.is_empty() {
            self.bytes.push(0);
        }
        let before = self.bytes.len();
        match render(&mut self.bytes) {
            Ok(time) => {
                self.lines.push((self.bytes.len(), time));
                self.bytes.push(b'\n');
                Ok(())
            }
            Err(why) => {
                self.bytes.truncate(before);
                Err(why)
            }
        }
    }

    /// What goes into the file.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(1..).unwrap_or_default()
    }

    /// How many bytes reach to the end of each line, and its time.
    pub(super) fn ends(&self) -> impl Iterator<Item = (usize, Timestamp)> {
        self.lines.iter().copied()
    }

    /// Gives the leaf hashes of the lines, in order, and is empty then. A leaf is hashed with a byte before it, and here
    /// there is one before every line: nothing is copied.
    pub(super) fn take_leaves(&mut self, mut take: impl FnMut(Hash)) {
        let mut from = 0;
        for (end, _) in self.lines.drain(..) {
            if let Some(leaf) = self.bytes.get_mut(from..end) {
                take(leaf_hash_in_place(leaf));
            }
            from = end;
        }
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::leaf_hash;
    use super::Batch;
    use crate::base::Timestamp;

    #[test]
    fn lines_are_hashed_as_they_are_read_and_a_failed_one_leaves_nothing() {
        let mut batch = Batch::default();
        // The second round finds the buffer used.
        for _ in 0..2 {
            for line in ["one", "", "three\u{0}"] {
                let written = batch.add(|out| {
                    out.extend_from_slice(line.as_bytes());
                    Ok::<_, ()>(Timestamp::EPOCH)
                });
                assert!(written.is_ok());
                let failed = batch.add(|out| {
                    out.extend_from_slice(b"half");
                    Err(())
                });
                assert!(failed.is_err());
            }
            assert_eq!(batch.bytes(), b"one\n\nthree\0\n");
            assert_eq!(
                batch.ends().map(|(end, _)| end).collect::<Vec<_>>(),
                [4, 5, 12]
            );
            let mut leaves = Vec::new();
            batch.take_leaves(|leaf| leaves.push(leaf));
            let expected = [&b"one"[..], b"", b"three\0"].map(leaf_hash);
            assert_eq!(leaves, expected);
            assert!(batch.is_empty() && batch.bytes().is_empty());
        }
    }
}
