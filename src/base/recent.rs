//! A bounded table that keeps what was used lately.
//!
//! Two generations: when the young one is full it becomes the old one, and the old one is dropped whole. So nothing
//! ever scans, and an entry that is not asked for leaves after at most two turns.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

const SHARDS: usize = 16;

/// At most `capacity` entries, spread over locks that are held for one look-up each.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    shards: Vec<Mutex<Generations<K, V>>>,
    hasher: RandomState,
    /// Entries per generation of one shard.
    room: usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS)
            .map(|_| {
                Mutex::new(Generations {
                    young: HashMap::with_hasher(hasher.clone()),
                    old: HashMap::with_hasher(hasher.clone()),
                })
            })
            .collect();
        Self {
            shards,
            hasher,
            room: (capacity / SHARDS / 2).max(1),
        }
    }

    pub(crate) fn find<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut shard = self.shard(key)?.lock();
        if let Some(value) = shard.young.get(key) {
            return Some(value.clone());
        }
        let value = shard.old.remove(key)?;
        shard.keep(key.to_owned(), value.clone(), self.room);
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().keep(key, value, self.room);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let sizes = self.shards.iter().map(|shard| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        });
        sizes.sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&Mutex<Generations<K, V>>> {
        // The high bits, because the tables inside use the low ones.
        let place = usize::try_from(self.hasher.hash_one(key) >> 60).unwrap_or_default();
        self.shards.get(place % SHARDS)
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn keep(&mut self, key: K, value: V, room: usize) {
        if self.young.len() >= room && !self.young.contains_key(&key) {
            self.old = std::mem::replace(
                &mut self.young,
                HashMap::with_hasher(self.old.hasher().clone()),
            );
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let recent: Recent<u64, u64> = Recent::new(320);
        for key in 0..100_000 {
            recent.insert(key, key);
        }
        assert!(recent.len() <= 320, "{}", recent.len());
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let recent: Recent<u64, u64> = Recent::new(320);
        recent.insert(7, 7);
        for key in 100..10_000 {
            recent.insert(key, key);
            assert_eq!(recent.find(&7), Some(7));
        }
        assert_eq!(recent.find(&100), None);
    }
}
