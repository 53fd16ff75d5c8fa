//! Counting under many keys in bounded memory, by the generic cell rate algorithm of `governor`.
//!
//! When a part of the memory is full, a new key takes the place of an arbitrary one of that part. So a flood of new
//! keys can make us forget, never make us grow and never lock out newcomers; what is forgotten starts afresh.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::num::NonZeroU32;
use std::time::Duration;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

/// Parts of the memory, each with its own lock.
const PARTS: usize = 32;

/// So many events in so much time, with a burst; the unit of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) count: u32,
    pub(super) per: Duration,
    pub(super) burst: u32,
}

/// Slowest pace that is counted: one event in ten years.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

impl Pace {
    /// A pace of nothing in any time becomes the slowest there is: one at once, then one in `per`.
    fn quota(self) -> Quota {
        let count = self.count.max(1);
        let interval = (self.per / count).clamp(Duration::from_nanos(1), LONGEST);
        // The algorithm adds up intervals in 64 bits of nanoseconds: 146 years of them are burst enough.
        let longest = Duration::from_nanos(u64::MAX / 4).as_nanos();
        let most = u32::try_from(longest / interval.as_nanos()).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(self.burst.min(most)).unwrap_or(NonZeroU32::MIN);
        Quota::with_period(interval)
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst)
    }
}

/// Counts events under keys of type `K`.
pub(super) struct Bucket<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    pace: Pace,
    clock: C,
    limiter: RateLimiter<K, Memory<K>, C, NoOpMiddleware<C::Instant>>,
}

impl<K: Hash + Eq + Clone> Bucket<K> {
    /// Remembers at most `most` keys (rounded up to one per part).
    pub(super) fn new(pace: Pace, most: usize) -> Self {
        Self::with_clock(pace, most, DefaultClock::default())
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Bucket<K, C> {
    fn with_clock(pace: Pace, most: usize, clock: C) -> Self {
        Self {
            pace,
            limiter: RateLimiter::new(pace.quota(), Memory::new(most), clock.clone()),
            clock,
        }
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Bucket<K, C> {
    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Counts one event, or says how long to wait until the next is admitted.
    pub(super) fn admit(&self, key: &K) -> Result<(), Duration> {
        self.limiter
            .check_key(key)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets keys whose counts have run out. Cheap enough for once a minute, too dear for a request.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.limiter.len()
    }
}

impl<K: Hash + Eq + Clone, C: Clock> fmt::Debug for Bucket<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// The counts, in parts of equal capacity.
struct Memory<K> {
    parts: Vec<Mutex<HashMap<K, InMemoryState>>>,
    hasher: RandomState,
    most_per_part: usize,
}

impl<K: Hash + Eq + Clone> Memory<K> {
    fn new(most: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            most_per_part: most.div_ceil(PARTS).max(1),
        }
    }

    fn part(&self, key: &K) -> Option<&Mutex<HashMap<K, InMemoryState>>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % PARTS as u64).unwrap_or(0);
        self.parts.get(index)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Memory<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(part) = self.part(key) else {
            return f(None).map(|(measured, _)| measured);
        };
        let mut part = part.lock();
        if let Some(state) = part.get(key) {
            return state.measure_and_replace(&NotKeyed::NonKey, f);
        }
        if part.len() >= self.most_per_part
            && let Some(victim) = part.keys().next().cloned()
        {
            part.remove(&victim);
        }
        part.entry(key.clone())
            .or_default()
            .measure_and_replace(&NotKeyed::NonKey, f)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Memory<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        for part in &self.parts {
            let mut part = part.lock();
            // A state that would admit at `drop_below` what a fresh one admits tells nothing.
            part.retain(|_, state| {
                let recent = |last: Option<Nanos>| match last {
                    Some(last) if last > drop_below => Err(()),
                    _ => Ok(((), Nanos::new(0))),
                };
                state
                    .measure_and_replace(&NotKeyed::NonKey, recent)
                    .is_err()
            });
            let wanted = part.len();
            if part.capacity() > 4 * wanted.max(16) {
                part.shrink_to(2 * wanted);
            }
        }
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::{Bucket, PARTS, Pace};

    const PACE: Pace = Pace {
        count: 10,
        per: Duration::from_secs(10),
        burst: 3,
    };

    fn bucket(most: usize) -> (Bucket<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Bucket::with_clock(PACE, most, clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_admitted_then_the_pace_holds() {
        let (bucket, clock) = bucket(100);
        for _ in 0..3 {
            assert_eq!(bucket.admit(&1), Ok(()));
        }
        assert_eq!(bucket.admit(&1), Err(Duration::from_secs(1)));
        assert_eq!(bucket.admit(&2), Ok(()), "another key has its own count");
        clock.advance(Duration::from_secs(1));
        assert_eq!(bucket.admit(&1), Ok(()));
        assert!(bucket.admit(&1).is_err());
        clock.advance(Duration::from_secs(3));
        for _ in 0..3 {
            assert_eq!(bucket.admit(&1), Ok(()));
        }
        assert!(bucket.admit(&1).is_err());
    }

    #[test]
    fn memory_never_exceeds_its_bound_and_newcomers_are_served() {
        let (bucket, _clock) = bucket(PARTS * 2);
        for key in 0..10_000 {
            assert_eq!(bucket.admit(&key), Ok(()));
            assert!(bucket.len() <= PARTS * 2);
        }
    }

    #[test]
    fn what_has_run_out_is_swept_and_what_counts_is_kept() {
        let (bucket, clock) = bucket(100);
        assert_eq!(bucket.admit(&1), Ok(()));
        clock.advance(Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(bucket.admit(&2), Ok(()));
        }
        bucket.sweep();
        assert_eq!(bucket.len(), 1);
        assert!(bucket.admit(&2).is_err(), "the sweep forgot a live count");
    }

    #[test]
    fn odd_paces_make_working_limits() {
        for (count, per, burst) in [
            (0, 10, 0),
            (1, 0, 1),
            (u32::MAX, 1, u32::MAX),
            (1, u64::MAX, 1),
        ] {
            let pace = Pace {
                count,
                per: Duration::from_secs(per.min(1_000_000)),
                burst,
            };
            let bucket: Bucket<u32, _> = Bucket::with_clock(pace, 10, FakeRelativeClock::default());
            assert_eq!(bucket.admit(&1), Ok(()), "{pace:?}");
        }
    }
}
