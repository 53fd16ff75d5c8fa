//! When a certificate is renewed and when a failed attempt is repeated, of this errand and others. Pure: times in, times out.

use std::time::Duration;

use crate::base::Timestamp;
use crate::keys;

/// The pause after the authority said that too much was asked of it, at least.
pub(super) const RATE_LIMITED: Duration = Duration::from_hours(1);

/// A number from 0 to 65,535 that is the same for the same certificate, so that a restart changes no time.
pub(crate) fn spread(seed: &[u8]) -> u16 {
    let [first, second, ..] = keys::sha256(seed);
    u16::from_be_bytes([first, second])
}

/// `spread`, of 65,536, of a time.
pub(crate) fn share(of: Duration, spread: u16) -> Duration {
    of.checked_mul(u32::from(spread))
        .map_or(of, |all| all / 65_536)
}

/// A third of the life is left, or up to a thirtieth of it more.
pub(super) fn renew_at(not_before: Timestamp, not_after: Timestamp, spread: u16) -> Timestamp {
    let life = not_after.since(not_before);
    not_after.minus(life / 3).minus(share(life / 30, spread))
}

/// A moment in the window that the authority suggests (RFC 9773 section 4.2), and before a sixth of the life is left
/// whatever it suggests.
pub(super) fn renew_within(
    (start, end): (Timestamp, Timestamp),
    (not_before, not_after): (Timestamp, Timestamp),
    spread: u16,
) -> Timestamp {
    let latest = not_after.minus(not_after.since(not_before) / 6);
    start.plus(share(end.since(start), spread)).min(latest)
}

/// How long to wait after so many failures in a row: `first`, doubled each time, up to `longest`, and up to a quarter
/// more so that names that failed together do not come back together.
pub(crate) fn pause(failures: u32, first: Duration, longest: Duration, spread: u16) -> Duration {
    let doubled = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let pause = first
        .checked_mul(doubled)
        .map_or(longest, |long| long.min(longest));
    pause.saturating_add(share(pause / 4, spread))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{pause, renew_at, renew_within};
    use crate::base::Timestamp;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    #[test]
    fn certificates_of_any_length_are_renewed_with_a_third_of_their_life_left() {
        for days in [6, 47, 90, 200] {
            let end = NOW.plus(days * DAY);
            for spread in [0, 1, 40_000, u16::MAX] {
                let left = end.since(renew_at(NOW, end, spread));
                assert!(left >= days * DAY / 3, "{days} {spread}");
                assert!(
                    left <= days * DAY * 11 / 30 + Duration::from_secs(1),
                    "{days} {spread}"
                );
            }
        }
    }

    #[test]
    fn a_suggested_window_is_kept_to_and_never_leads_past_a_sixth_of_the_life() {
        let end = NOW.plus(90 * DAY);
        let window = (NOW.plus(10 * DAY), NOW.plus(12 * DAY));
        for spread in [0, 30_000, u16::MAX] {
            let at = renew_within(window, (NOW, end), spread);
            assert!(window.0 <= at && at <= window.1, "{spread}");
        }
        let late = (NOW.plus(88 * DAY), NOW.plus(89 * DAY));
        assert_eq!(renew_within(late, (NOW, end), 0), NOW.plus(75 * DAY));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let minute = Duration::from_secs(60);
        let pauses: Vec<_> = (1..=6)
            .map(|n| pause(n, 5 * minute, 60 * minute, 0) / 60)
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60].map(Duration::from_secs));
        assert_eq!(pause(u32::MAX, minute, 60 * minute, 0), 60 * minute);
        assert!(pause(1, minute, minute, u16::MAX) < Duration::from_secs(76));
    }
}
