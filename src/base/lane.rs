//! Parts of shared tables, one per thread: whoever writes only to its own part waits for nobody.
//!
//! A thread keeps its number for life. Two threads may have the same one, so a part still needs a lock; it is hardly
//! ever contended.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts that a table needs. Further threads share.
pub(crate) const LANES: usize = 8;

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The calling thread's number, below [`LANES`].
pub(crate) fn own() -> usize {
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
            own.set(Some(number));
            number
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{LANES, own};

    #[test]
    fn a_thread_keeps_its_number() {
        let first = own();
        assert!(first < LANES && own() == first);
        let others = std::thread::spawn(|| (own(), own())).join().unwrap();
        assert_eq!(others.0, others.1);
    }
}
