//! Where a person may be sent after sign-in: https addresses of configured hosts, nothing else.
//!
//! The decision is made on the parsed address and what is handed out is printed from the same parse, so a browser
//! cannot read it differently. Whether the person may open the page is `authz`'s business.

use std::fmt;

use crate::base::{Authority, Host};

/// Longer addresses are not kept.
const MOST_BYTES: usize = 2048;

/// A checked address: `https`, a known host, one canonical path and maybe a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnTo {
    authority: Authority,
    /// Begins with one `/`.
    path_and_query: String,
}

impl ReturnTo {
    /// Reads an absolute address. `known` says whether a host and port are ours; the port is `None` for 443.
    ///
    /// Gives `None` for everything that is not plainly one of our pages: other schemes, user information, fragments,
    /// backslashes, control characters, spaces, non-ASCII, `//` at the start of the path, dot segments.
    pub(crate) fn parse(text: &str, known: impl FnOnce(&Authority) -> bool) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let rest = text.strip_prefix("https://")?;
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = (rest.get(..split)?, rest.get(split..)?);
        let mut authority = Authority::parse(authority).ok()?;
        if authority.port == Some(443) {
            authority.port = None;
        }
        let path = match path.chars().next() {
            None => "/".to_owned(),
            Some('?') => format!("/{path}"),
            Some(_slash) => path.to_owned(),
        };
        (plain_path(&path) && known(&authority)).then_some(Self {
            authority,
            path_and_query: path,
        })
    }

    /// Makes one from parts that the gateway has already admitted, such as the target of the current request.
    pub(crate) fn of(authority: &Authority, path_and_query: &str) -> Option<Self> {
        let text = format!("https://{authority}{path_and_query}");
        Self::parse(&text, |parsed| {
            parsed.host == authority.host
                && parsed.port.unwrap_or(443) == authority.port.unwrap_or(443)
        })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.authority.host
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    pub(crate) fn path(&self) -> &str {
        self.path_and_query
            .split_once('?')
            .map_or(self.path_and_query.as_str(), |(path, _query)| path)
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.path_and_query)
    }
}

fn plain_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !has_dot_segment(path)
        && path.bytes().all(|byte| {
            byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'<' | b'>' | b'"')
        })
}

/// Browsers would go elsewhere than what is read here.
fn has_dot_segment(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').map(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        name.to_ascii_lowercase().replace("%2e", ".")
    });
    segments.any(|name| name == "." || name == "..")
}

#[cfg(test)]
mod tests {
    use super::ReturnTo;
    use crate::base::{Authority, Host};

    fn parse(text: &str) -> Option<String> {
        let known = |authority: &Authority| {
            authority.host.as_str() == "app.example.com" && authority.port.is_none()
                || authority.host.as_str() == "dev.example.com" && authority.port == Some(8443)
        };
        ReturnTo::parse(text, known).map(|to| to.to_string())
    }

    #[test]
    fn addresses_of_known_hosts_come_back_in_one_spelling() {
        for (text, expected) in [
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com/", "https://app.example.com/"),
            (
                "https://APP.example.com:443/a/b?c=d&e",
                "https://app.example.com/a/b?c=d&e",
            ),
            (
                "https://app.example.com?q=1",
                "https://app.example.com/?q=1",
            ),
            (
                "https://app.example.com/?next=https://evil.example/",
                "https://app.example.com/?next=https://evil.example/",
            ),
            (
                "https://dev.example.com:8443/x",
                "https://dev.example.com:8443/x",
            ),
            ("https://app.example.com/a@b", "https://app.example.com/a@b"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_leads_nowhere() {
        for text in [
            "",
            "/",
            "//app.example.com/",
            "/\\evil.example",
            "http://app.example.com/",
            "HTTPS://app.example.com/",
            "javascript:alert(1)",
            "https:app.example.com",
            "https:///app.example.com",
            "https://evil.example/",
            "https://app.example.com.evil.example/",
            "https://app.example.com./",
            "https://evil.example#app.example.com/",
            "https://evil.example\\@app.example.com/",
            "https://user@app.example.com/",
            "https://app.example.com@evil.example/",
            "https://app.example.com:8443/",
            "https://app.example.com:0443x/",
            "https://app.example.com//evil.example",
            "https://app.example.com/\\evil",
            "https://app.example.com/a b",
            "https://app.example.com/a\r\nSet-Cookie: x=y",
            "https://app.example.com/\u{e9}",
            "https://app.example.com/#x",
            "https://xn--.example/",
            " https://app.example.com/",
            "https://[::1]/",
            "https://app.example.com/x/../.portcullis/callback",
            "https://app.example.com/x/%2e%2E/y?z",
            "https://app.example.com/.",
            "https://app.example.com/.;a/x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let long = format!("https://app.example.com/{}", "a".repeat(3000));
        assert_eq!(parse(&long), None);
    }

    #[test]
    fn the_target_of_a_request_makes_a_return_address() {
        let authority = Authority {
            host: Host::parse("app.example.com").unwrap(),
            port: Some(8443),
        };
        let to = ReturnTo::of(&authority, "/a?b=c").unwrap();
        assert_eq!(to.to_string(), "https://app.example.com:8443/a?b=c");
        assert_eq!(to.path(), "/a");
        assert!(ReturnTo::of(&authority, "//evil.example").is_none());
    }
}
