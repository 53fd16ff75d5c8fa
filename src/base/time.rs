//! Time is a value: read once per request, passed as an argument everywhere else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) const EPOCH: Self = Self(0);

    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    pub(crate) const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    pub(crate) const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    pub(crate) const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// `self + by`, stopping at the end of representable time.
    #[must_use]
    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// `self - by`, stopping at the beginning of representable time.
    #[must_use]
    pub(crate) fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when the clock went backwards.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// For calendars and time zones.
    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time.as_microsecond())
    }
}

/// RFC 3339, UTC, milliseconds: `2026-11-22T08:14:03.120Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(Self::from)
    }
}

/// The only reader of the system clock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    System,
    #[cfg(test)]
    Fixed(Timestamp),
}

impl Clock {
    pub(crate) fn now(self) -> Timestamp {
        match self {
            Self::System => jiff::Timestamp::now().into(),
            #[cfg(test)]
            Self::Fixed(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Timestamp;

    #[test]
    fn prints_and_reads_rfc_3339_with_milliseconds() {
        let at: Timestamp = "2026-11-22T09:14:03.120+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-22T08:14:03.120Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
    }

    #[test]
    fn a_clock_that_went_backwards_gives_no_elapsed_time() {
        let later = Timestamp::from_secs(10);
        assert_eq!(Timestamp::from_secs(5).since(later), Duration::ZERO);
        assert_eq!(later.since(Timestamp::from_secs(5)), Duration::from_secs(5));
    }
}
