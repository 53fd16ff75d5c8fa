//! The tree, compared with another implementation.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

/// All leaves in memory: the slow, obvious reading of RFC 6962.
struct Leaves(Vec<Hash>);

fn grow(size: u64) -> (Tree, Leaves, MemoryBackedTree<Sha256, Vec<u8>>) {
    let mut tree = Tree::default();
    let mut leaves = Leaves(Vec::new());
    let mut judge = MemoryBackedTree::new();
    for entry in 0..size {
        let line = format!("line {entry}").into_bytes();
        tree.push(leaf_hash(&line), &mut Vec::new());
        leaves.0.push(leaf_hash(&line));
        judge.push(line);
    }
    (tree, leaves, judge)
}

fn root_of(judge: &MemoryBackedTree<Sha256, Vec<u8>>) -> Hash {
    judge.root().as_bytes().as_slice().try_into().unwrap()
}

#[test]
fn roots_agree_with_an_independent_implementation() {
    for size in [0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 1_000] {
        let (tree, _, judge) = grow(size);
        assert_eq!(tree.root(), root_of(&judge), "{size}");
    }
}

#[test]
fn the_empty_tree_has_the_hash_of_nothing() {
    let known = data_encoding::HEXLOWER.encode(&Tree::default().root());
    assert_eq!(
        known,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

#[test]
fn full_tiles_appear_once_and_in_order() {
    let mut tree = Tree::default();
    let mut full = Vec::new();
    for entry in 0..65_536_u32 {
        tree.push(leaf_hash(&entry.to_be_bytes()), &mut full);
    }
    let low: Vec<u64> = full
        .iter()
        .filter(|tile| tile.level == 0)
        .map(|tile| tile.index)
        .collect();
    assert_eq!(low, (0..256).collect::<Vec<_>>());
    assert_eq!(full.iter().filter(|tile| tile.level == 1).count(), 1);
    assert!(tree.rightmost().iter().take(2).all(Vec::is_empty));
    let back = Tree::restore(65_536, tree.rightmost().to_vec()).unwrap();
    assert_eq!(back.root(), tree.root());
}

#[test]
fn tiles_of_the_wrong_width_are_refused() {
    let (tree, _, _) = grow(300);
    let levels = tree.rightmost().to_vec();
    assert!(Tree::restore(300, levels.clone()).is_some());
    assert!(Tree::restore(301, levels.clone()).is_none());
    assert!(Tree::restore(300, levels[..1].to_vec()).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_restored_from_its_tiles_grows_alike(size in 0_u64..1_200, more in 0_u64..600) {
        let (tree, _, _) = grow(size);
        let mut back = Tree::restore(size, tree.rightmost().to_vec()).unwrap();
        let mut whole = tree;
        for entry in 0..more {
            back.push(leaf_hash(&entry.to_be_bytes()), &mut Vec::new());
            whole.push(leaf_hash(&entry.to_be_bytes()), &mut Vec::new());
        }
        prop_assert_eq!(back, whole);
    }
}
