//! Host names and origins in one canonical form.
//!
//! A [`Host`] that exists has been checked; two hosts that mean the same machine compare equal.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// Text that is no host name, authority or origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than 253 characters or has a part longer than 63")]
    TooLong,
    #[error("only letters, digits, hyphens and dots make a host name")]
    Character,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("an origin is a scheme and a host, such as https://app.example.com")]
    Origin,
}

/// A DNS name in lower case without a trailing dot, or an IP address (RFC 9110 section 4.2.3, RFC 1123 section 2.1).
///
/// IPv6 addresses are held without brackets; [`Authority`] adds them when printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct Host(Arc<str>);

impl Host {
    /// Checks and lower-cases `text`. A trailing dot is refused: some readers keep it, others drop it.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let address: Ipv6Addr = inner
                .parse()
                .map_err(|_not_an_address| HostError::Character)?;
            return Ok(Self(address.to_string().into()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string().into()));
        }
        if text.len() > 253 || text.split('.').any(|label| label.len() > 63) {
            return Err(HostError::TooLong);
        }
        let well_formed = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !text.split('.').all(well_formed) {
            return Err(HostError::Character);
        }
        // `0x7f.1` and `2130706433` are addresses to some resolvers; a name must not look like one.
        if text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(HostError::Character);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, when this host is written as one.
    pub(crate) fn as_ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// `true` for `localhost`, names below it, and loopback addresses.
    pub(crate) fn is_loopback(&self) -> bool {
        &*self.0 == "localhost"
            || self.0.ends_with(".localhost")
            || self.as_ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A host and, when written, a port (RFC 3986 section 3.2, without user information).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl Authority {
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port))
                if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) =>
            {
                (host, Some(port))
            }
            _ => (text, None),
        };
        let port = port.map(parse_port).transpose()?;
        Ok(Self {
            host: Host::parse(host)?,
            port,
        })
    }
}

impl Authority {
    /// Reads `text` when its host is `host`, whose name is then shared instead of written anew; `None` otherwise.
    pub(crate) fn of(host: &Host, text: &str) -> Option<Self> {
        let (name, rest) = text.split_at_checked(host.as_str().len())?;
        if !name.eq_ignore_ascii_case(host.as_str()) {
            return None;
        }
        let port = match rest {
            "" => None,
            port => Some(parse_port(port.strip_prefix(':')?).ok()?),
        };
        Some(Self {
            host: host.clone(),
            port,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    let digits =
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().unwrap_or(0) } else { 0 };
    if port == 0 {
        Err(HostError::Port)
    } else {
        Ok(port)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str().contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (false, None) => write!(f, "{}", self.host),
        }
    }
}

/// An `https` or `http` origin (RFC 6454): scheme, host, effective port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Origin {
    /// Reads `https://host[:port]` with nothing after it; `null` and other schemes are errors.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(HostError::Origin),
        };
        let authority = Authority::parse(rest)?;
        Ok(Self {
            secure,
            host: authority.host,
            port: authority.port.unwrap_or(if secure { 443 } else { 80 }),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.secure {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let port = (self.port != usual).then_some(self.port);
        write!(
            f,
            "{scheme}://{}",
            Authority {
                host: self.host.clone(),
                port
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Authority, Host, HostError, Origin};

    #[test]
    fn names_are_lower_cased() {
        assert_eq!(
            Host::parse("Grafana.Example.COM").unwrap().as_str(),
            "grafana.example.com"
        );
    }

    #[test]
    fn spellings_that_readers_disagree_about_are_refused() {
        for text in [
            "",
            "a..b",
            "a.",
            ".a",
            "-a.b",
            "a b",
            "a/b",
            "a@b",
            "münchen.de",
            "127.1",
            "a.1",
            "2130706433",
            "[::1",
            "a%2eb",
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
        assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::TooLong));
    }

    #[test]
    fn addresses_have_one_spelling() {
        assert_eq!(
            Host::parse("[0:0::1]").unwrap(),
            Host::parse("::1").unwrap()
        );
        assert!(Host::parse("127.0.0.1").unwrap().is_loopback());
        assert!(Host::parse("LOCALHOST").unwrap().is_loopback());
    }

    #[test]
    fn authority_keeps_the_port_apart() {
        let authority = Authority::parse("[::1]:8443").unwrap();
        assert_eq!(
            (authority.host.as_str(), authority.port),
            ("::1", Some(8443))
        );
        assert_eq!(authority.to_string(), "[::1]:8443");
        assert_eq!(Authority::parse("a.example").unwrap().port, None);
        for text in ["a:0", "a:", "a:65536", "a:+1", "a:b", "u@a:1", ":80"] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_compare_by_effective_port() {
        assert_eq!(
            Origin::parse("https://a.example").unwrap(),
            Origin::parse("https://A.example:443").unwrap()
        );
        assert_ne!(
            Origin::parse("https://a.example").unwrap(),
            Origin::parse("http://a.example").unwrap()
        );
        for text in ["null", "", "https://", "https://a/b", "ftp://a", "//a"] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
