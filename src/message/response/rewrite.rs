//! Addresses that an upstream writes of itself become the app's own, for upstreams that know nothing of proxies.
//!
//! Only an address whose authority is that of the target which answered, of the route's list, or of the app itself
//! without TLS is changed, and only scheme and authority of it. Everything else passes as it is: what we cannot read
//! exactly as a browser does, we do not touch.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::base::{Authority, Host, Origin};
use crate::config::{self, TargetUrl};

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// A route's rule about its upstream's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewrite {
    from: Vec<Origin>,
    /// The route's path prefix, under which the app's cookies live.
    prefix: String,
}

/// The rule for one answer.
pub(crate) struct Rewriting<'a> {
    rule: &'a Rewrite,
    authority: &'a Authority,
    /// Host, port and whether that is the usual one of its scheme; `None` for a target that no address leads to.
    target: Option<(Host, u16, bool)>,
}

impl Rewrite {
    pub(super) fn compile(written: &config::Route) -> Self {
        Self {
            from: written
                .rewrite_from
                .iter()
                .map(|origin| origin.value.clone())
                .collect(),
            prefix: written.path.as_str().to_owned(),
        }
    }

    /// `authority` is what the client asked for; `target` the server that answered, as the configuration writes it.
    pub(super) fn for_answer<'a>(
        &'a self,
        authority: &'a Authority,
        target: &str,
    ) -> Rewriting<'a> {
        let target = match TargetUrl::parse(target) {
            Ok(TargetUrl::Https { host, port }) => Some((host, port, port == 443)),
            Ok(TargetUrl::Http { host, port }) => Some((host, port, port == 80)),
            // What we call a server on a socket in `Host`.
            Ok(TargetUrl::Unix(_)) => Host::parse("localhost").ok().map(|host| (host, 80, true)),
            Err(_) => None,
        };
        Rewriting {
            rule: self,
            authority,
            target,
        }
    }
}

impl Rewriting<'_> {
    /// Rewrites the fields that lead a browser somewhere.
    pub(super) fn addresses(&self, headers: &mut HeaderMap) {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let changed = headers
                .get(&name)
                .and_then(|value| self.address(value.to_str().ok()?));
            if let Some(value) = changed.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        let changed = headers
            .get(REFRESH)
            .and_then(|value| self.refresh(value.to_str().ok()?));
        if let Some(value) = changed.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(REFRESH, value);
        }
    }

    /// The address at the app, when `text` is one of the upstream's; `None` leaves it as it is.
    fn address(&self, text: &str) -> Option<String> {
        let (secure, rest) = match text.split_once("//") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https:") => (Some(true), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http:") => (Some(false), rest),
            Some(("", rest)) => (None, rest),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        // User information, a backslash or anything odd is no authority here.
        let authority = Authority::parse(authority).ok()?;
        self.is_upstreams(&authority, secure)
            .then(|| format!("https://{}{rest}", self.authority))
    }

    /// `secure` is the scheme; `None` where the address has none.
    fn is_upstreams(&self, found: &Authority, secure: Option<bool>) -> bool {
        let usual = if secure == Some(false) { 80 } else { 443 };
        let port = found.port.unwrap_or(usual);
        let is_target = self.target.as_ref().is_some_and(|(host, own, is_usual)| {
            found.host == *host && (port == *own || found.port.is_none() && *is_usual)
        });
        let is_listed = self.rule.from.iter().any(|origin| {
            let secure = secure.unwrap_or(origin.secure);
            let usual = if secure { 443 } else { 80 };
            origin.secure == secure
                && origin.host == found.host
                && origin.port == found.port.unwrap_or(usual)
        });
        // An upstream that gets our `Host` and does not know that TLS ends in front of it.
        let is_plain_self = secure == Some(false)
            && found.host == self.authority.host
            && (found.port.is_none() || found.port == self.authority.port);
        is_target || is_listed || is_plain_self
    }

    /// `5; url=http://...`, with or without quotes (HTML standard, section 4.2.5.3).
    fn refresh(&self, text: &str) -> Option<String> {
        let separator = text.find([';', ','])?;
        let (wait, rest) = text.split_at_checked(separator + 1)?;
        let trimmed = rest.trim_start();
        let named = trimmed
            .get(..3)
            .filter(|name| name.eq_ignore_ascii_case("url"))
            .and_then(|_| trimmed.get(3..)?.trim_start().strip_prefix('='))
            .unwrap_or(trimmed)
            .trim_start();
        let quote = named
            .chars()
            .next()
            .filter(|first| matches!(first, '"' | '\''));
        let address = match quote {
            Some(quote) => named.get(1..)?.split(quote).next()?,
            None => named.trim_end(),
        };
        self.address(address)
            .map(|address| format!("{wait} url={address}"))
    }

    /// `true` when `domain` is a name of the upstream and not of the app.
    pub(super) fn is_of_upstream(&self, domain: &[u8]) -> bool {
        let is = |host: &Host| {
            *host != self.authority.host && domain.eq_ignore_ascii_case(host.as_str().as_bytes())
        };
        self.target.as_ref().is_some_and(|(host, _, _)| is(host))
            || self.rule.from.iter().any(|origin| is(&origin.host))
    }

    /// The path that a cookie gets whose own path no request of this route can have.
    pub(super) fn path(&self, path: &[u8]) -> Option<String> {
        let prefix = self.rule.prefix.as_bytes();
        let below = |inner: &[u8], outer: &[u8]| {
            let outer = outer.strip_suffix(b"/").unwrap_or(outer);
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let reachable = !path.starts_with(b"/") || below(prefix, path) || below(path, prefix);
        (!reachable).then(|| self.rule.prefix.clone())
    }
}
