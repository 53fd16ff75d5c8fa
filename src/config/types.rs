//! The types that keys have, beyond plain text and numbers.
//!
//! Each is checked when it exists; how it is read from the file stands in [`super::values`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::table::{Reader, Value};
use super::tree::{Node, Raw};
use super::words::words;
use crate::base::host::HostError;
use crate::base::{Authority, Host};

/// A number of bytes, written with a unit.
pub(crate) type Bytes = u64;

words! { @enum
    /// Protocol versions and ciphers, by Mozilla's guideline 6.0.
    Profile {
        /// TLS 1.2 with ECDHE and AEAD, and 1.3.
        Intermediate = "intermediate",
        /// TLS 1.3 alone.
        Modern = "modern",
        /// As intermediate with 256-bit ciphers, X25519MLKEM768 and P-384 alone.
        Strict256 = "strict-256",
    }
}

impl Profile {
    /// Whom a profile that is stricter than Mozilla's guideline shuts out, in an operator's words.
    pub(crate) const fn cost(self) -> Option<&'static str> {
        match self {
            Self::Intermediate | Self::Modern => None,
            Self::Strict256 => Some(
                "profile strict-256: clients without AES-256 and ChaCha20 (RFC 8446 section 9.1 asks for AES-128 alone), and \
                 those with neither X25519MLKEM768 nor P-384, are shut out; who guesses another group first needs one more \
                 round trip",
            ),
        }
    }
}

impl Value for Profile {
    fn kind() -> String {
        Self::words()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(&node.raw, Raw::Text(word) if word == "old") {
            reader
                .refuse("PC1210", node, "is \"old\", which Portcullis does not have")
                .label("TLS 1.0 and 1.1 are broken")
                .help("profile = \"intermediate\" serves Firefox 27, Chrome 31, Safari 9, Android 4.4.2, Java 8u31 and later")
                .help("profile = \"modern\" serves Firefox 63, Chrome 70, Safari 12.1, Android 10, Java 11 and later");
            return None;
        }
        Self::choose(node, reader)
    }
}

/// HTTP versions in use; at least one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protocols {
    pub(crate) h1: bool,
    pub(crate) h2: bool,
}

/// So many in so much time; both are more than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) per: Duration,
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timezone {
    pub(crate) name: String,
    pub(crate) zone: TimeZone,
}

/// A colour as `#rrggbb`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Colour(pub(super) String);

impl Colour {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a cookie that begins with `__Host-` (RFC 6265bis section 4.1.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CookieName(pub(super) String);

impl CookieName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name in `Via` and, after an underscore, in `Forwarded` (RFC 9110 section 7.6.3, RFC 7239 section 6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pseudonym(pub(super) String);

impl Pseudonym {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of the embedded database's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database(pub(super) PathBuf);

impl Database {
    /// The folder that holds everything Portcullis keeps.
    pub(crate) fn folder(&self) -> &Path {
        self.0.parent().unwrap_or_else(|| Path::new("."))
    }
}

impl AsRef<Path> for Database {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl std::ops::Deref for Database {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

/// Which hosts a route answers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HostPattern {
    Exact(Host),
    /// Every name one label below this one; neither deeper ones nor the name itself.
    Wildcard(Host),
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix("*.") {
            Some(suffix) => {
                let suffix = Host::parse(suffix)?;
                if suffix.as_ip().is_some() {
                    return Err(HostError::Character);
                }
                Ok(Self::Wildcard(suffix))
            }
            None => Ok(Self::Exact(Host::parse(text)?)),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// A path prefix of whole segments: begins with `/`, ends without one unless it is `/` alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PathPrefix(String);

/// Why a text is no path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("does not begin with `/`")]
    Start,
    #[error("has an empty segment, `.` or `..`")]
    Segment,
    #[error("has a character that a canonical path cannot have")]
    Character,
}

impl PathPrefix {
    /// A trailing slash is dropped: prefixes count in whole segments.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let inner = text.strip_prefix('/').ok_or(PathError::Start)?;
        if inner.is_empty() {
            return Ok(Self("/".to_owned()));
        }
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        for segment in inner.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(PathError::Segment);
            }
            let plain =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
            if !segment.bytes().all(plain) {
                return Err(PathError::Character);
            }
        }
        Ok(Self(format!("/{inner}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    /// `true` when `path` is this prefix or lies below it.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.0 == "/"
            || path
                .strip_prefix(self.0.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody whom a rule can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Group(String),
    /// By e-mail address, as `portcullis user add` took it.
    User(String),
    /// Whoever has signed in.
    Everyone,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group:{name}"),
            Self::User(email) => write!(f, "user:{email}"),
            Self::Everyone => f.write_str("everyone"),
        }
    }
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: TargetUrl,
    /// Share of the requests relative to the other targets; at least 1.
    pub(crate) weight: u32,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TargetUrl {
    Https { host: Host, port: u16 },
    Http { host: Host, port: u16 },
    Unix(PathBuf),
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("begins with none of https://, http:// and unix:/")]
    Scheme,
    #[error("has a path, query or user name; a target is scheme, host and port alone")]
    Path,
    #[error("has no good host: {0}")]
    Host(#[from] HostError),
}

impl TargetUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') && path.len() > 1 {
                Ok(Self::Unix(path.into()))
            } else {
                Err(TargetError::Scheme)
            };
        }
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(TargetError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(TargetError::Path);
        }
        let Authority { host, port } = Authority::parse(rest)?;
        Ok(if secure {
            let port = port.unwrap_or(443);
            Self::Https { host, port }
        } else {
            let port = port.unwrap_or(80);
            Self::Http { host, port }
        })
    }

    /// `true` when what is sent there could be read on a network.
    pub(crate) fn is_exposed(&self) -> bool {
        matches!(self, Self::Http { host, .. } if !host.is_loopback())
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Https { host, port } => ("https", host, *port),
            Self::Http { host, port } => ("http", host, *port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        let authority = Authority {
            host: host.clone(),
            port: Some(port),
        };
        write!(f, "{scheme}://{authority}")
    }
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, PathPrefix, TargetError, TargetUrl};

    #[test]
    fn targets_are_scheme_host_and_port_alone() {
        let shown = |text: &str| TargetUrl::parse(text).map(|url| url.to_string());
        assert_eq!(
            shown("https://a.internal").unwrap(),
            "https://a.internal:443"
        );
        assert_eq!(shown("http://[::1]:3000/").unwrap(), "http://[::1]:3000");
        assert_eq!(shown("unix:/run/app.sock").unwrap(), "unix:/run/app.sock");
        assert_eq!(shown("https://a/b"), Err(TargetError::Path));
        assert_eq!(shown("https://me@a"), Err(TargetError::Path));
        assert_eq!(shown("a.internal:80"), Err(TargetError::Scheme));
        assert_eq!(shown("unix:app.sock"), Err(TargetError::Scheme));
    }

    #[test]
    fn http_is_exposed_unless_it_stays_on_the_machine() {
        assert!(TargetUrl::parse("http://10.0.0.1").unwrap().is_exposed());
        assert!(
            !TargetUrl::parse("http://127.0.0.1:80")
                .unwrap()
                .is_exposed()
        );
        assert!(!TargetUrl::parse("https://10.0.0.1").unwrap().is_exposed());
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        let prefix = PathPrefix::parse("/api/").unwrap();
        assert_eq!(prefix.as_str(), "/api");
        assert!(prefix.covers("/api") && prefix.covers("/api/x"));
        assert!(!prefix.covers("/apix") && !prefix.covers("/"));
        for text in ["api", "/a//b", "/../x", "/a b", "/a%2fb", "/a;b", "//"] {
            assert!(PathPrefix::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_the_whole_first_part() {
        assert!(
            matches!(HostPattern::parse("*.Example.com"), Ok(HostPattern::Wildcard(host)) if host.as_str() == "example.com")
        );
        for text in ["*", "*.", "a.*.com", "*a.com", "*.10.0.0.1"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
