//! Hash tiles on disk in the layout of C2SP tlog-tiles: `tile/<L>/<N>` full, `tile/<L>/<N>.p/<W>` unfinished.
//!
//! Tiles are derived: whatever is missing or wrong here can be computed again from the lines, and recovery does.
//! The folder always holds what the newest checkpoint needs; older widths of an unfinished tile are prefixes of it.

use std::io;
use std::path::{Path, PathBuf};

use super::disk;
use super::tree::{FullTile, Hash, TILE_HEIGHT, TILE_WIDTH, Tree, partial_width, tile_levels};

/// `067`, `x001/x234/067`: an index in groups of three digits.
fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    path
}

fn full_path(folder: &Path, level: u8, index: u64) -> PathBuf {
    folder.join(level.to_string()).join(index_path(index))
}

fn partial_folder(folder: &Path, level: u8, index: u64) -> PathBuf {
    folder
        .join(level.to_string())
        .join(format!("{}.p", index_path(index)))
}

fn partial_path(folder: &Path, level: u8, index: u64, width: u64) -> PathBuf {
    partial_folder(folder, level, index).join(width.to_string())
}

/// Writes full tiles. Not synced: a tile lost in a crash is computed again. `before` is the size at which unfinished
/// tiles were last written, if that is known.
///
/// Nobody looks for a tile before it is signed for, and that comes after this: a tile that dying leaves in part, or with
/// hashes of lines that a power cut took back, is written anew before anything signed refers to it.
pub(super) fn write_full(folder: &Path, tiles: &[FullTile], before: Option<u64>) -> io::Result<()> {
    for tile in tiles {
        let path = full_path(folder, tile.level, tile.index);
        disk::put(&path, tile.hashes.as_flattened())?;
        let last = before.map(|size| unfinished_index(size, tile.level));
        if last.is_some_and(|index| index != tile.index) {
            continue;
        }
        // The unfinished forms of this tile say nothing more; dying before this leaves harmless files.
        let unfinished = partial_folder(folder, tile.level, tile.index);
        match std::fs::remove_dir_all(&unfinished) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
    }
    Ok(())
}

/// Writes the unfinished tiles of `tree`, so that a reader of the checkpoint at this size finds them.
pub(super) fn write_unfinished(folder: &Path, tree: &Tree) -> io::Result<()> {
    for (hashes, level) in tree.rightmost().iter().zip(0_u8..) {
        let width = partial_width(tree.size(), level);
        let index = unfinished_index(tree.size(), level);
        let path = partial_path(folder, level, index, width);
        if width == 0 || path.exists() {
            continue;
        }
        disk::put(&path, hashes.as_flattened())?;
        for older in disk::list(&partial_folder(folder, level, index))? {
            if older != path {
                disk::remove(&older)?;
            }
        }
    }
    Ok(())
}

/// The tile of `level` that is growing in a tree of `size` leaves.
const fn unfinished_index(size: u64, level: u8) -> u64 {
    match size.checked_shr(TILE_HEIGHT * (level as u32 + 1)) {
        Some(index) => index,
        None => 0,
    }
}

/// The tree of a checkpoint from its tiles; `None` when one is missing or has another length.
pub(super) fn restore(folder: &Path, size: u64) -> Option<Tree> {
    let mut levels = Vec::new();
    for level in 0..u8::try_from(tile_levels(size)).ok()? {
        let width = partial_width(size, level);
        let index = unfinished_index(size, level);
        let tile = if width == 0 {
            Vec::new()
        } else {
            read_tile(folder, level, index, width)?
        };
        levels.push(tile);
    }
    Tree::restore(size, levels)
}

/// The first `width` hashes of a tile, from its exact unfinished form, its full form or a wider unfinished one. The exact
/// one is as it was signed; a full one may be ahead of that.
fn read_tile(folder: &Path, level: u8, index: u64, width: u64) -> Option<Vec<Hash>> {
    let mut forms = vec![
        partial_path(folder, level, index, width),
        full_path(folder, level, index),
    ];
    let width = usize::try_from(width).ok()?;
    forms.extend(disk::list(&partial_folder(folder, level, index)).ok()?);
    forms
        .iter()
        .find_map(|path| {
            let bytes = std::fs::read(path).ok()?;
            let (hashes, rest) = bytes.as_chunks::<32>();
            (rest.is_empty() && hashes.len() >= width && hashes.len() <= TILE_WIDTH)
                .then(|| hashes.to_vec())
        })
        .map(|mut hashes| {
            hashes.truncate(width);
            hashes
        })
}

/// The leaf hashes of tile `index`, as many as are there; none when it cannot be read.
pub(super) fn read_leaves(folder: &Path, index: u64) -> Vec<Hash> {
    (1..=256)
        .rev()
        .find_map(|width| read_tile(folder, 0, index, width))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::disk;
    use super::super::tree::{Hash, Tree, leaf_hash};
    use super::{index_path, restore, write_full, write_unfinished};

    #[test]
    fn indices_are_written_in_groups_of_three() {
        assert_eq!(index_path(67), "067");
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        assert_eq!(index_path(256_000), "x256/000");
    }

    #[test]
    fn a_full_tile_of_lines_that_were_taken_back_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        (0..100).for_each(|entry| tree.push(leaf(entry), &mut Vec::new()));
        write_unfinished(folder.path(), &tree).unwrap();
        // A power cut took back the lines from 90 on when their tile was full; others were signed in their place.
        let (mut other, mut full) = (Tree::default(), Vec::new());
        (0..256).for_each(|entry| other.push(leaf(entry + entry / 90), &mut full));
        write_full(folder.path(), &full, None).unwrap();
        write_unfinished(folder.path(), &tree).unwrap();
        assert_eq!(restore(folder.path(), 100).unwrap(), tree);
    }

    fn leaf(entry: u64) -> Hash {
        leaf_hash(format!("{entry}").as_bytes())
    }

    #[test]
    fn a_tree_is_restored_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tree, mut before) = (Tree::default(), None);
        for entry in 0..1_500 {
            let mut full = Vec::new();
            tree.push(leaf(entry), &mut full);
            write_full(folder.path(), &full, before).unwrap();
            if entry % 97 == 0 {
                write_unfinished(folder.path(), &tree).unwrap();
                before = Some(tree.size());
            }
        }
        write_unfinished(folder.path(), &tree).unwrap();
        let size = tree.size();
        assert_eq!(restore(folder.path(), size).unwrap(), tree);
        assert!(restore(folder.path(), size + 1).is_none());
        let left = |level: &str| {
            let names = disk::list(&folder.path().join(level)).unwrap().into_iter();
            names.filter(|path| path.is_dir()).count()
        };
        assert_eq!(
            (left("0"), left("1")),
            (1, 1),
            "one tile is growing at each level"
        );
    }
}
