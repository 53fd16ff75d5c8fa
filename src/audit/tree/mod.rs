//! The Merkle tree over the lines: RFC 6962 section 2.1 hashing, kept as C2SP tlog-tiles keeps it.
//!
//! Pure arithmetic on hashes; no files here. Tile level L holds the hashes of perfect subtrees of 256^L leaves,
//! 256 to a tile. The state of a growing tree is the unfinished rightmost tile of every level.

use aws_lc_rs::digest;

use crate::keys::sha256;

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// Hashes in a full tile.
pub(crate) const TILE_WIDTH: usize = 256;
/// `log2(TILE_WIDTH)`.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// What is hashed before a leaf.
const LEAF: u8 = 0;
/// What is hashed before two nodes.
const NODE: u8 = 1;

/// `SHA-256(0x00 || line)`; the line without its line feed.
pub(crate) fn leaf_hash(line: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[LEAF]);
    context.update(line);
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// As [`leaf_hash`], of a line with one byte before it that may be overwritten.
pub(super) fn leaf_hash_in_place(room_and_line: &mut [u8]) -> Hash {
    if let Some(first) = room_and_line.first_mut() {
        *first = LEAF;
    }
    sha256(room_and_line)
}

/// `SHA-256(0x01 || left || right)`.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [NODE; 65];
    let children = left.iter().chain(right);
    for (to, from) in node.iter_mut().skip(1).zip(children) {
        *to = *from;
    }
    sha256(&node)
}

/// The root over `hashes`, of which there must be a power of two.
fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

/// A tile that just became full, to be written once and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FullTile {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Hash>,
}

/// A growing tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    /// Per tile level the rightmost tile, always less than full.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// A tree of `size` leaves from its rightmost tiles, lowest level first. `None` when their widths do not
    /// fit the size.
    pub(crate) fn restore(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = levels.iter().zip(0_u8..).all(|(tile, level)| {
            u64::try_from(tile.len()).is_ok_and(|width| width == partial_width(size, level))
        });
        let whole = tile_levels(size) == levels.len();
        (fits && whole).then_some(Self { size, levels })
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The rightmost tile of every level, lowest first; empty ones included.
    pub(crate) fn rightmost(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// Adds a leaf; tiles that it completes are pushed to `full`, lowest level first.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(tile) = self.levels.get_mut(place) else {
                return;
            };
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                return;
            }
            hash = perfect_root(tile);
            full.push(FullTile {
                level,
                index: (self.size >> (TILE_HEIGHT * (u32::from(level) + 1))) - 1,
                hashes: std::mem::take(tile),
            });
        }
    }

    /// The root hash; of the empty tree that of the empty string.
    pub(crate) fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for tile in &self.levels {
            let mut rest = tile.as_slice();
            // The lowest set bit of the width is the rightmost, smallest perfect subtree.
            while !rest.is_empty() {
                let width = 1_usize << rest.len().trailing_zeros();
                let (left, subtree) = rest.split_at(rest.len() - width);
                let hash = perfect_root(subtree);
                root = Some(match root {
                    None => hash,
                    Some(right) => node_hash(&hash, &right),
                });
                rest = left;
            }
        }
        root.unwrap_or_else(|| sha256(&[]))
    }
}

/// How many tile levels a tree of `size` leaves has, empty rightmost tiles included.
pub(crate) fn tile_levels(size: u64) -> usize {
    let mut levels = 0;
    let mut rest = size;
    while rest > 0 {
        levels += 1;
        rest >>= TILE_HEIGHT;
    }
    levels
}

/// How many hashes the rightmost, unfinished tile of `level` holds.
pub(crate) fn partial_width(size: u64, level: u8) -> u64 {
    size.checked_shr(TILE_HEIGHT * u32::from(level))
        .unwrap_or(0)
        & 0xff
}

#[cfg(test)]
mod tests;
