//! Named blobs.

use super::{at, on_every_database, winners};
use crate::store::Store;

on_every_database!(
    the_first_blob_of_a_name_stays,
    sixteen_creators_agree_on_one_blob,
    a_blob_is_replaced_only_by_who_knows_it,
    a_destroyed_blob_is_gone_and_its_name_free,
    names_are_found_by_prefix,
);

fn create(store: &Store, name: &str, blob: &[u8]) -> Vec<u8> {
    let created = store
        .keys
        .create_if_absent(name.to_owned(), blob.to_vec(), at(1));
    created.wait().unwrap()
}

fn the_first_blob_of_a_name_stays(store: &Store) {
    assert_eq!(store.keys.find("a").unwrap(), None);
    assert_eq!(create(store, "a", b"one"), b"one");
    assert_eq!(create(store, "a", b"two"), b"one");
    assert_eq!(store.keys.find("a").unwrap().unwrap(), b"one");
}

fn sixteen_creators_agree_on_one_blob(store: &Store) {
    let next = std::sync::atomic::AtomicU8::new(0);
    let won = winners(|| {
        let mine = [next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)];
        create(store, "a", &mine) == mine
    });
    assert_eq!(won, 1);
}

fn a_blob_is_replaced_only_by_who_knows_it(store: &Store) {
    let replace = |old: &[u8], new: &[u8]| {
        let replaced = store
            .keys
            .replace("a".to_owned(), old.to_vec(), new.to_vec(), at(2));
        replaced.wait().unwrap()
    };
    assert!(!replace(b"", b"new"));
    create(store, "a", b"one");
    assert!(!replace(b"other", b"new"));
    assert!(replace(b"one", b"two"));
    assert_eq!(store.keys.find("a").unwrap().unwrap(), b"two");
}

fn a_destroyed_blob_is_gone_and_its_name_free(store: &Store) {
    create(store, "a", b"one");
    assert!(store.keys.destroy("a".to_owned()).wait().unwrap());
    assert!(!store.keys.destroy("a".to_owned()).wait().unwrap());
    assert_eq!(store.keys.find("a").unwrap(), None);
    assert_eq!(create(store, "a", b"two"), b"two");
}

fn names_are_found_by_prefix(store: &Store) {
    for name in ["audit/u-2", "audit/u-1", "auditor", "signer"] {
        create(store, name, b"x");
    }
    assert_eq!(
        store.keys.names("audit/").unwrap(),
        ["audit/u-1", "audit/u-2"]
    );
    assert_eq!(store.keys.names("AUDIT/").unwrap(), Vec::<String>::new());
    assert_eq!(store.keys.names("").unwrap().len(), 4);
}
