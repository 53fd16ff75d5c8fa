//! Time is a value: read once per request, passed as an argument everywhere else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MICROS_OF_DAY: i64 = 86_400_000_000;

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

    /// Appends what [`fmt::Display`] prints.
    pub(crate) fn append_to(self, out: &mut Vec<u8>) {
        match self.rfc3339() {
            Some(text) => out.extend_from_slice(&text),
            None => out.extend_from_slice(self.to_string().as_bytes()),
        }
    }

    /// Days since the epoch, the present one not counted.
    pub(crate) const fn day(self) -> i64 {
        self.0.div_euclid(MICROS_OF_DAY)
    }

    /// `None` for years that do not have four digits.
    fn rfc3339(self) -> Option<[u8; 24]> {
        let (year, month, day) = civil(self.day());
        let year = u32::try_from(year).ok().filter(|year| *year <= 9_999)?;
        let millis = u32::try_from(self.0.rem_euclid(MICROS_OF_DAY) / 1_000).ok()?;
        let secs = millis / 1_000;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, secs / 3_600),
            (14..16, secs / 60 % 60),
            (17..19, secs % 60),
            (20..23, millis % 1_000),
        ];
        for (place, value) in fields {
            let mut rest = value;
            for digit in text.get_mut(place)?.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
        Some(text)
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
        match self.rfc3339() {
            Some(text) => f.write_str(std::str::from_utf8(&text).unwrap_or_default()),
            None => write!(f, "{:.3}", self.to_jiff()),
        }
    }
}

/// Year, month and day of the Gregorian calendar, `days` after the epoch
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
const fn civil(days: i64) -> (i64, u32, u32) {
    // Counted from 1 March of the year 0, so that the leap day ends a year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a month and a day of it are small and positive"
    )]
    (era * 400 + year + later, month as u32, day as u32)
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

    use proptest::prelude::*;

    use super::Timestamp;

    #[test]
    fn prints_and_reads_rfc_3339_with_milliseconds() {
        let at: Timestamp = "2026-11-22T09:14:03.120+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-22T08:14:03.120Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
    }

    proptest! {
        #[test]
        fn every_moment_prints_as_the_calendar_library_does(micros in -377_705_023_201_000_000_i64..253_402_207_200_000_000) {
            let at = Timestamp::from_micros(micros);
            let mut out = Vec::new();
            at.append_to(&mut out);
            prop_assert_eq!(at.to_string(), format!("{:.3}", at.to_jiff()));
            prop_assert_eq!(String::from_utf8(out).unwrap(), at.to_string());
        }
    }

    #[test]
    fn a_clock_that_went_backwards_gives_no_elapsed_time() {
        let later = Timestamp::from_secs(10);
        assert_eq!(Timestamp::from_secs(5).since(later), Duration::ZERO);
        assert_eq!(later.since(Timestamp::from_secs(5)), Duration::from_secs(5));
    }
}
