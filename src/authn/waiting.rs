//! Things that wait a short while for somebody to come back with a reference: sign-ins, enrolments, hand-overs.
//!
//! Only the hash of a reference is kept. What was taken is gone: of two takers exactly one gets it. All values of one
//! table live equally long, so the oldest is the first to go, by time or because the table is full.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::base::{Secret, Timestamp};
use crate::keys::{self, random};
use crate::store::Hash;

/// More than this wait only under attack; the oldest make room.
const MOST: usize = 65_536;

#[derive(Debug)]
struct Table<T> {
    values: HashMap<Hash, (Timestamp, T)>,
    oldest_first: VecDeque<Hash>,
}

#[derive(Debug)]
pub(crate) struct Waiting<T> {
    table: Mutex<Table<T>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            table: Mutex::new(Table {
                values: HashMap::new(),
                oldest_first: VecDeque::new(),
            }),
        }
    }
}

impl<T> Waiting<T> {
    /// Keeps `value` until `expires` and gives the reference to it, which is told to nobody else.
    pub(crate) fn put(&self, value: T, now: Timestamp, expires: Timestamp) -> Secret<String> {
        let reference = random::token();
        let hash = hash(reference.expose());
        let mut table = self.table.lock();
        while let Some(oldest) = table.oldest_first.front().copied() {
            let gone = match table.values.get(&oldest) {
                None => true,
                Some((until, _value)) => now >= *until || table.values.len() >= MOST,
            };
            if !gone {
                break;
            }
            table.values.remove(&oldest);
            table.oldest_first.pop_front();
        }
        table.values.insert(hash, (expires, value));
        table.oldest_first.push_back(hash);
        reference
    }

    /// Looks at a value, and may change it, without using it up.
    pub(crate) fn look<R>(
        &self,
        reference: &str,
        now: Timestamp,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let mut table = self.table.lock();
        let (until, value) = table.values.get_mut(&hash(reference))?;
        (now < *until).then(|| look(value))
    }

    /// Uses a value up.
    pub(crate) fn take(&self, reference: &str, now: Timestamp) -> Option<T> {
        let (until, value) = self.table.lock().values.remove(&hash(reference))?;
        (now < until).then_some(value)
    }

    /// Drops every value that `unwanted` names.
    pub(crate) fn drop_where(&self, unwanted: impl Fn(&T) -> bool) {
        let mut table = self.table.lock();
        table
            .values
            .retain(|_hash, (_until, value)| !unwanted(value));
        let Table {
            values,
            oldest_first,
        } = &mut *table;
        oldest_first.retain(|hash| values.contains_key(hash));
    }

    /// Drops what has expired.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut table = self.table.lock();
        table.values.retain(|_hash, (until, _value)| now < *until);
        let Table {
            values,
            oldest_first,
        } = &mut *table;
        oldest_first.retain(|hash| values.contains_key(hash));
    }
}

fn hash(reference: &str) -> Hash {
    keys::sha256(reference.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{MOST, Waiting};
    use crate::base::Timestamp;

    const NOW: Timestamp = Timestamp::from_secs(100);
    const SOON: Timestamp = Timestamp::from_secs(160);

    #[test]
    fn a_value_is_taken_once_even_by_many_at_once() {
        for _round in 0..50 {
            let waiting = Waiting::default();
            let reference = waiting.put((), NOW, SOON);
            let taken = std::thread::scope(|scope| {
                let takers: Vec<_> = (0..8)
                    .map(|_taker| scope.spawn(|| waiting.take(reference.expose(), NOW)))
                    .collect();
                takers
                    .into_iter()
                    .filter_map(|taker| taker.join().unwrap())
                    .count()
            });
            assert_eq!(taken, 1);
        }
    }

    #[test]
    fn a_value_waits_until_its_time_and_not_longer() {
        let waiting = Waiting::default();
        let reference = waiting.put(7, NOW, SOON);
        let almost = Timestamp::from_micros(SOON.micros() - 1);
        assert_eq!(
            waiting.look(reference.expose(), almost, |value| *value),
            Some(7)
        );
        assert_eq!(waiting.look(reference.expose(), SOON, |value| *value), None);
        assert_eq!(waiting.take(reference.expose(), SOON), None);
    }

    #[test]
    fn an_unknown_reference_gives_nothing() {
        let waiting = Waiting::default();
        let _known = waiting.put(7, NOW, SOON);
        assert_eq!(waiting.take("", NOW), None);
        assert_eq!(waiting.take(&"A".repeat(43), NOW), None);
    }

    #[test]
    fn unwanted_values_are_dropped() {
        let waiting = Waiting::default();
        let one = waiting.put(1, NOW, SOON);
        let two = waiting.put(2, NOW, SOON);
        waiting.drop_where(|value| *value == 1);
        assert_eq!(waiting.take(one.expose(), NOW), None);
        assert_eq!(waiting.take(two.expose(), NOW), Some(2));
    }

    #[test]
    fn a_full_table_loses_its_oldest_value() {
        let waiting = Waiting::default();
        let first = waiting.put(0, NOW, SOON);
        for number in 1..=MOST {
            drop(waiting.put(number, NOW, SOON));
        }
        assert_eq!(waiting.take(first.expose(), NOW), None);
        assert_eq!(waiting.table.lock().values.len(), MOST);
    }
}
