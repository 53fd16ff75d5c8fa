//! Which lane a thread uses, where each could stand in the other's way: every thread has its own, as long as there
//! are enough.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

const LANES: usize = 32;

/// The same thing once per lane. Nobody waits at a lock but for those who look at all of them.
#[derive(Debug, Default)]
pub(crate) struct Lanes<T>([Lane<T>; LANES]);

/// On cache lines of its own: neighbours do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane<T>(Mutex<T>);

impl<T> Lanes<T> {
    /// The lane with a number that [`own`] gave.
    pub(crate) fn at(&self, lane: usize) -> &Mutex<T> {
        &self.0.get(lane).unwrap_or(&self.0[0]).0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mutex<T>> {
        self.0.iter().map(|lane| &lane.0)
    }
}

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The lane of this thread, the same for its whole life.
pub(crate) fn own() -> usize {
    OWN.get().unwrap_or_else(|| {
        let lane = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
        OWN.set(Some(lane));
        lane
    })
}

#[cfg(test)]
mod tests {
    use super::{LANES, Lanes, own};

    #[test]
    fn a_thread_keeps_its_lane_and_all_lanes_are_seen() {
        let lanes = Lanes::<u64>::default();
        let mine = own();
        assert!(mine < LANES && own() == mine);
        *lanes.at(mine).lock() += 1;
        let theirs = std::thread::spawn(|| (own(), own())).join().unwrap();
        assert_eq!(theirs.0, theirs.1);
        *lanes.at(theirs.0).lock() += 1;
        let sum: u64 = lanes.iter().map(|lane| *lane.lock()).sum();
        assert_eq!(sum, 2);
    }
}
