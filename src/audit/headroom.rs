//! How long the disk will last, and when to say so: long before requests have to be refused.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::Unavailable;

/// Warnings are given when this much time, or less, is left at the present rate.
const WARN_BELOW: [Duration; 3] = [
    Duration::from_hours(72),
    Duration::from_hours(12),
    Duration::from_hours(1),
];
/// The rate is measured over at least this long.
const WINDOW: Duration = Duration::from_mins(5);

/// Watches free space.
#[derive(Debug)]
pub(super) struct Headroom {
    least: u64,
    warn: u64,
    free: u64,
    since: Option<(Instant, u64)>,
    /// How many of `WARN_BELOW` have been said.
    said: usize,
    low: bool,
    /// Less than `warn` was free at the last look.
    scarce: bool,
}

impl Headroom {
    pub(super) const fn new(least: u64, warn: u64) -> Self {
        Self {
            least,
            warn,
            free: u64::MAX,
            since: None,
            said: 0,
            low: false,
            scarce: false,
        }
    }

    /// Set while less than the reserve is free.
    pub(super) fn trouble(&self) -> Option<Unavailable> {
        self.low.then_some(Unavailable::LowSpace {
            free: self.free,
            least: self.least,
        })
    }

    /// Takes note of `free` bytes and logs what people should know.
    pub(super) fn look(&mut self, free: u64, folder: &Path, now: Instant) {
        self.free = free;
        let low = free < self.least;
        if low && !self.low {
            tracing::error!(
                "audit: {} MiB left in {}, less than the reserve of {} MiB; requests are refused until there is room",
                free >> 20,
                folder.display(),
                self.least >> 20
            );
        } else if self.low && !low {
            tracing::info!("audit: there is room again in {}", folder.display());
        }
        self.low = low;
        let scarce = free < self.warn;
        if scarce && !self.scarce && !low {
            tracing::warn!(
                "audit: {} MiB left in {}; at {} MiB requests will be refused; free space or move the store",
                free >> 20,
                folder.display(),
                self.least >> 20
            );
        }
        self.scarce = scarce;
        let (began, had) = *self.since.get_or_insert((now, free));
        let passed = now.saturating_duration_since(began);
        if passed < WINDOW {
            return;
        }
        self.since = Some((now, free));
        if let Some(left) = self.lasts(had.saturating_sub(free), passed) {
            self.warn(left, folder);
        } else {
            self.said = 0;
        }
    }

    /// How long the room above the reserve lasts when `used` bytes went in `passed`.
    fn lasts(&self, used: u64, passed: Duration) -> Option<Duration> {
        let room = self.free.saturating_sub(self.least);
        let secs = u128::from(room) * u128::from(passed.as_secs());
        let left = secs.checked_div(u128::from(used))?;
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX)))
    }

    fn warn(&mut self, left: Duration, folder: &Path) {
        let reached = WARN_BELOW.iter().filter(|limit| left <= **limit).count();
        if reached > self.said {
            tracing::warn!(
                "audit: {} MiB left in {}, about {} hours at today's rate; at {} MiB requests will be refused; free space or move the store",
                self.free >> 20,
                folder.display(),
                left.as_secs() / 3_600,
                self.least >> 20
            );
        }
        self.said = reached;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Headroom;

    #[test]
    fn a_full_disk_is_trouble_and_room_ends_it() {
        let mut headroom = Headroom::new(100, 200);
        let now = Instant::now();
        headroom.look(99, Path::new("/"), now);
        assert!(headroom.trouble().is_some());
        headroom.look(100, Path::new("/"), now);
        assert!(headroom.trouble().is_none());
    }

    #[test]
    fn scarcity_is_noticed_before_it_is_trouble() {
        let mut headroom = Headroom::new(100, 200);
        let now = Instant::now();
        headroom.look(200, Path::new("/"), now);
        assert!(!headroom.scarce);
        headroom.look(199, Path::new("/"), now);
        assert!(headroom.scarce && headroom.trouble().is_none());
    }

    #[test]
    fn the_rate_tells_how_long_it_lasts() {
        let mut headroom = Headroom::new(1_000, 0);
        let now = Instant::now();
        headroom.look(101_000, Path::new("/"), now);
        headroom.look(91_000, Path::new("/"), now + Duration::from_secs(300));
        assert_eq!(
            headroom.lasts(10_000, Duration::from_secs(300)),
            Some(Duration::from_secs(2_700))
        );
        assert_eq!(headroom.said, 3, "less than an hour");
        assert_eq!(headroom.lasts(0, Duration::from_secs(300)), None);
    }
}
