//! The same work on many items, on all processors at once.
//!
//! For what is compiled at start and at a reload, where everybody waits for the whole. It blocks, so it must never be
//! called where requests are served.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{Builder, available_parallelism, scope};

/// More threads than this gain nothing for the work there is.
const MOST: usize = 16;

/// What `work` makes of each item, in the order of the items. A panic of `work` goes on in the caller.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = available_parallelism().map_or(1, NonZero::get).min(MOST);
    let share = items.len().div_ceil(threads).max(1);
    let all = |part: &[T]| part.iter().map(&work).collect::<Vec<R>>();
    let Some((first, rest)) = items.split_at_checked(share) else {
        return all(items);
    };
    scope(|scope| {
        let started: Vec<_> = rest
            .chunks(share)
            .map(|part| {
                let name = "portcullis-compile".to_owned();
                let thread = Builder::new().name(name);
                (part, thread.spawn_scoped(scope, || all(part)))
            })
            .collect();
        let mut found = all(first);
        for (part, thread) in started {
            found.extend(match thread.map(|thread| thread.join()) {
                Ok(Ok(theirs)) => theirs,
                Ok(Err(panic)) => resume_unwind(panic),
                // No further thread could be had.
                Err(_) => all(part),
            });
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn answers_come_in_the_order_of_the_items_however_many_there_are() {
        for count in [0_usize, 1, 2, 3, 17, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(&items, |item| item * 2), doubled);
        }
    }

    #[test]
    #[should_panic(expected = "seven hundred")]
    fn a_panic_is_not_lost() {
        let items: Vec<usize> = (0..1000).collect();
        map(&items, |item| assert!(*item != 700, "seven hundred"));
    }
}
