//! Numbers with a unit: `"30s"`, `"8MiB"`, `"100/10s"`.
//!
//! A number without its unit is never guessed at.

use std::time::Duration;

/// Text that is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("has no unit")]
    Missing,
    #[error("has an unknown unit")]
    Unknown,
    #[error("does not begin with a whole number")]
    Number,
    #[error("is too large")]
    TooLarge,
    #[error("must be more than zero")]
    Zero,
}

const TIMES: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `"250ms"`, `"30s"`, `"5m"`, `"12h"`, `"400d"`: one whole number, one unit.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    let millis = quantity(text, TIMES)?;
    // A thousand years: keeps sums of durations and instants within every clock's range.
    if millis > 1_000 * 366 * 86_400_000 {
        return Err(UnitError::TooLarge);
    }
    Ok(Duration::from_millis(millis))
}

/// Reads `"512B"`, `"32KiB"`, `"8MiB"`, `"1GiB"`, `"2TiB"` into bytes.
pub(crate) fn size(text: &str) -> Result<u64, UnitError> {
    quantity(text, SIZES)
}

/// Reads `"100/10s"` into a count and the time it counts for; both are more than zero.
pub(crate) fn rate(text: &str) -> Result<(u32, Duration), UnitError> {
    let (count, per) = text.split_once('/').ok_or(UnitError::Missing)?;
    let count: u32 = whole(count)?
        .try_into()
        .map_err(|_too_large| UnitError::TooLarge)?;
    let per = duration(per)?;
    if count == 0 || per.is_zero() {
        return Err(UnitError::Zero);
    }
    Ok((count, per))
}

/// The shortest text that [`duration`] reads as `value`, which is cut to milliseconds.
pub(crate) fn show_duration(value: Duration) -> String {
    show(u64::try_from(value.as_millis()).unwrap_or(u64::MAX), TIMES)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .rev()
        .find(|(_, factor)| value > 0 && value.is_multiple_of(*factor))
        .or_else(|| units.first())
        .map_or_else(String::new, |(unit, factor)| {
            format!("{}{unit}", value.checked_div(*factor).unwrap_or(value))
        })
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let number = whole(digits)?;
    if unit.is_empty() {
        return Err(UnitError::Missing);
    }
    let (_, factor) = units
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(UnitError::Unknown)?;
    number.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

fn whole(digits: &str) -> Result<u64, UnitError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnitError::Number);
    }
    digits.parse().map_err(|_overflow| UnitError::TooLarge)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{UnitError, duration, rate, show_duration, size};

    #[test]
    fn durations_take_one_whole_number_and_one_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("400d"), Ok(Duration::from_secs(400 * 86_400)));
        assert_eq!(duration("30"), Err(UnitError::Missing));
        assert_eq!(duration("30 s"), Err(UnitError::Unknown));
        assert_eq!(duration("1.5h"), Err(UnitError::Unknown));
        assert_eq!(duration("-1s"), Err(UnitError::Number));
        assert_eq!(duration(""), Err(UnitError::Number));
        assert_eq!(duration("99999999999999999999s"), Err(UnitError::TooLarge));
        assert_eq!(duration("400000d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_are_binary_and_say_so() {
        assert_eq!(size("32KiB"), Ok(32_768));
        assert_eq!(size("8MiB"), Ok(8 << 20));
        assert_eq!(size("8MB"), Err(UnitError::Unknown));
        assert_eq!(size("8"), Err(UnitError::Missing));
        assert_eq!(size("99999999999TiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn rates_are_a_count_and_a_time() {
        assert_eq!(rate("100/10s"), Ok((100, Duration::from_secs(10))));
        assert_eq!(rate("100"), Err(UnitError::Missing));
        assert_eq!(rate("0/10s"), Err(UnitError::Zero));
        assert_eq!(rate("5/0s"), Err(UnitError::Zero));
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["250ms", "90s", "5m", "12h", "400d", "0ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }
}
