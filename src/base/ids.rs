//! Typed names. Two ids of different kinds never compare, and none is a bare string.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Timestamp;

/// Crockford's base 32 without padding, lower case (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SYMBOLS: usize = 20;
const RANDOM_BITS: u32 = 52;

/// A value that could not be read as an id of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {0}")]
pub(crate) struct NotAnId(&'static str);

/// Names one request everywhere: 48 bits of Unix milliseconds, then 52 random bits, so that ids sort by time.
///
/// Written `r-` and 20 symbols of Crockford base 32 in groups of four: `r-06cn-2v9k-80fa-x3te-yq1m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(u128);

impl RequestId {
    /// `random` gives the low 52 bits; higher bits of it are ignored.
    pub(crate) fn new(now: Timestamp, random: u64) -> Self {
        let millis = u128::from(u64::try_from(now.millis()).unwrap_or(0) & ((1 << 48) - 1));
        let low = u128::from(random & ((1 << RANDOM_BITS) - 1));
        Self(millis << RANDOM_BITS | low)
    }

    /// The id as a number below 2^100, for binary records.
    pub(crate) const fn to_u128(self) -> u128 {
        self.0
    }

    pub(crate) const fn from_u128(value: u128) -> Self {
        Self(value & ((1 << 100) - 1))
    }
}

impl RequestId {
    /// What [`fmt::Display`] prints: ASCII without a quote or a backslash.
    pub(crate) fn text(self) -> [u8; 26] {
        let mut text = [b'-'; 26];
        text[0] = b'r';
        let mut rest = self.0;
        let places = (0..SYMBOLS).rev().map(|symbol| 2 + symbol + symbol / 4);
        for place in places {
            let symbol = usize::try_from(rest & 31).unwrap_or(0);
            if let (Some(slot), Some(letter)) = (text.get_mut(place), ALPHABET.get(symbol)) {
                *slot = *letter;
            }
            rest >>= 5;
        }
        text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or("r-"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = NotAnId;

    /// Accepts upper case and any grouping, as people read ids aloud.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = NotAnId("request id");
        let symbols = text
            .strip_prefix("r-")
            .or_else(|| text.strip_prefix("R-"))
            .ok_or(wrong)?;
        let mut value: u128 = 0;
        let mut count = 0;
        for byte in symbols.bytes().filter(|byte| *byte != b'-') {
            let lower = byte.to_ascii_lowercase();
            let digit = ALPHABET
                .iter()
                .position(|symbol| *symbol == lower)
                .ok_or(wrong)?;
            value = value << 5 | u128::try_from(digit).unwrap_or(0);
            count += 1;
            if count > SYMBOLS {
                return Err(wrong);
            }
        }
        if count == SYMBOLS {
            Ok(Self(value))
        } else {
            Err(wrong)
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Shared text with a meaning: cheap to clone, compared by value.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(Arc<str>);

        impl $name {
            pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

named! {
    /// A person or service, for ever: `u-` and a number in base 32. Names and addresses change, this does not.
    PrincipalId
}
named! {
    /// Names a session in lists, logs and commands. It is not the cookie and opens nothing.
    SessionId
}
named! {
    /// The name of a `[route.NAME]` table.
    RouteName
}
named! {
    /// The `@id` of a Cedar policy.
    PolicyId
}

/// The position of an entry in the audit log, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EntryId(pub(crate) u64);

#[cfg(test)]
mod tests {
    use super::{RequestId, Timestamp};

    #[test]
    fn request_id_survives_printing_and_reading() {
        let id = RequestId::new(Timestamp::from_millis(1_795_000_000_123), u64::MAX);
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse::<RequestId>().unwrap(), id);
        assert_eq!(text.to_uppercase().parse::<RequestId>().unwrap(), id);
    }

    #[test]
    fn later_requests_sort_after_earlier_ones() {
        let early = RequestId::new(Timestamp::from_millis(1), u64::MAX);
        let late = RequestId::new(Timestamp::from_millis(2), 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn text_that_is_no_request_id_is_refused() {
        for text in [
            "",
            "r-",
            "r-06cn",
            "x-06cn-2v9k-80fa-x3te-yq1m",
            "r-06cn-2v9k-80fa-x3te-yq1u",
            "r-06cn-2v9k-80fa-x3te-yq1m0",
        ] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
