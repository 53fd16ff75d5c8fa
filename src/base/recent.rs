//! A bounded table that keeps what was used lately, for every thread its own as long as there are enough lanes.
//!
//! Two generations: when the young one is full it becomes the old one, and the old one is dropped whole. So nothing
//! ever scans, and an entry that is not asked for leaves after at most two turns. No thread sees what another keeps, so a
//! value has to say by itself whether it still holds.

use std::borrow::Borrow;
use std::hash::Hash;

use foldhash::HashMap;

use super::lane::{self, Lanes};

/// At most `capacity` entries per thread.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    lanes: Lanes<Generations<K, V>>,
    /// Entries per generation of one thread.
    room: usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lanes: Lanes::default(),
            room: (capacity / 2).max(1),
        }
    }

    /// What `look` makes of the value that this thread keeps for `key`.
    pub(crate) fn with<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut lane = self.lanes.at(lane::own()).lock();
        if let Some(value) = lane.young.get(key) {
            return Some(look(value));
        }
        let value = lane.old.remove(key)?;
        let seen = look(&value);
        lane.keep(key.to_owned(), value, self.room);
        Some(seen)
    }

    /// A copy of the value that this thread keeps for `key`.
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        self.with(key, V::clone)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut lane = self.lanes.at(lane::own()).lock();
        lane.keep(key, value, self.room);
    }

    pub(crate) fn remove(&self, key: &K) {
        let mut lane = self.lanes.at(lane::own()).lock();
        lane.young.remove(key);
        lane.old.remove(key);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let sizes = self.lanes.iter().map(|lane| {
            let lane = lane.lock();
            lane.young.len() + lane.old.len()
        });
        sizes.sum()
    }
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn keep(&mut self, key: K, value: V, room: usize) {
        if self.young.len() >= room && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
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
        recent.remove(&7);
        assert_eq!(recent.find(&7), None);
    }

    #[test]
    fn a_thread_sees_only_its_own() {
        let recent: Recent<u64, u64> = Recent::new(320);
        recent.insert(7, 7);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let before = recent.find(&7);
                recent.insert(7, 8);
                (before, recent.find(&7))
            });
            assert_eq!(other.join().unwrap(), (None, Some(8)));
        });
        assert_eq!(recent.find(&7), Some(7));
    }
}
