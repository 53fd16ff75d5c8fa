//! Cookies that an upstream sets: ours are never among them, and the others follow the route's rules.
//!
//! A cookie that needs no change keeps its bytes. What a browser would ignore is not mended.

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::rewrite::Rewriting;
use crate::base::Host;
use crate::config::{CookieDomain, CookieSameSite, RouteCookies};
use crate::message::cookie::{OwnCookies, split_pair};

/// A route's rules for the cookies of its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CookieRules {
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: CookieSameSite,
    pub(crate) domain: CookieDomain,
}

impl Default for CookieRules {
    fn default() -> Self {
        Self {
            secure: true,
            http_only: false,
            same_site: CookieSameSite::Keep,
            domain: CookieDomain::Host,
        }
    }
}

/// The attributes of one `Set-Cookie`, as a browser reads them (RFC 6265 section 5.2): the last one of a name counts.
#[derive(Default)]
struct Attributes<'a> {
    secure: bool,
    http_only: bool,
    same_site: Option<&'a [u8]>,
    domain: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
}

/// What is done to one cookie.
#[derive(Default)]
struct Change {
    without_domain: bool,
    same_site: Option<&'static str>,
    path: Option<String>,
    secure: bool,
    http_only: bool,
}

impl CookieRules {
    pub(super) fn compile(written: &RouteCookies) -> Self {
        Self {
            secure: written.secure,
            http_only: written.http_only,
            same_site: written.same_site,
            domain: written.domain,
        }
    }

    /// Drops every `Set-Cookie` that could set or clear a cookie of ours, and applies the rules to the others.
    ///
    /// `host` is the one that was asked for; it is needed where the rule for domains is to refuse.
    pub(in crate::message) fn apply(
        self,
        headers: &mut HeaderMap,
        own: &OwnCookies,
        host: Option<&Host>,
        rewriting: Option<&Rewriting<'_>>,
    ) {
        let kept: Vec<HeaderValue> = headers
            .get_all(SET_COOKIE)
            .iter()
            .filter(|value| !own.touches_own(value.as_bytes()))
            .filter_map(|value| self.judged(value, host, rewriting))
            .collect();
        headers.remove(SET_COOKIE);
        for value in kept {
            headers.append(SET_COOKIE, value);
        }
    }

    /// The cookie under the rules; `None` for one that is refused.
    fn judged(
        self,
        value: &HeaderValue,
        host: Option<&Host>,
        rewriting: Option<&Rewriting<'_>>,
    ) -> Option<HeaderValue> {
        let attributes = Attributes::of(value.as_bytes());
        let domain = attributes.domain.map(|domain| {
            let plain = domain.strip_prefix(b".").unwrap_or(domain);
            (
                plain,
                rewriting.is_some_and(|rewriting| rewriting.is_of_upstream(plain)),
            )
        });
        let without_domain = match (domain, self.domain) {
            (None, _) => false,
            (Some((_, true)), _) | (Some(_), CookieDomain::Host) => true,
            (Some(_), CookieDomain::Keep) => false,
            (Some((name, false)), CookieDomain::Refuse) => {
                let is_own =
                    host.is_some_and(|host| name.eq_ignore_ascii_case(host.as_str().as_bytes()));
                if !is_own {
                    return None;
                }
                false
            }
        };
        let path = attributes.path.and_then(|path| rewriting?.path(path));
        let change = Change {
            without_domain,
            same_site: repaired(self.same_site, attributes.same_site),
            path,
            secure: self.secure && !attributes.secure,
            http_only: self.http_only && !attributes.http_only,
        };
        Some(change.made(value))
    }
}

/// The value that replaces what the cookie says, when it has to be replaced.
fn repaired(rule: CookieSameSite, said: Option<&[u8]>) -> Option<&'static str> {
    let says = |word: &[u8]| said.is_some_and(|said| said.eq_ignore_ascii_case(word));
    match rule {
        CookieSameSite::Keep => None,
        CookieSameSite::Lax => (!says(b"lax") && !says(b"strict")).then_some("Lax"),
        CookieSameSite::Strict => (!says(b"strict")).then_some("Strict"),
    }
}

/// The parts of a cookie after its name and value.
fn parts(cookie: &[u8]) -> impl Iterator<Item = &[u8]> {
    cookie
        .split(|byte| *byte == b';')
        .skip(1)
        .map(<[u8]>::trim_ascii)
}

impl<'a> Attributes<'a> {
    fn of(cookie: &'a [u8]) -> Self {
        let mut found = Self::default();
        for part in parts(cookie) {
            let (name, value) = split_pair(part);
            let value = value.trim_ascii();
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"secure") {
                found.secure = true;
            } else if is(b"httponly") {
                found.http_only = true;
            } else if is(b"samesite") {
                found.same_site = Some(value);
            } else if is(b"domain") && !value.is_empty() {
                // Some browsers pass over an empty one, and an earlier one counts for them.
                found.domain = Some(value);
            } else if is(b"path") {
                found.path = Some(value);
            }
        }
        found
    }
}

impl Change {
    fn is_none(&self) -> bool {
        !self.without_domain
            && !self.secure
            && !self.http_only
            && self.same_site.is_none()
            && self.path.is_none()
    }

    fn drops(&self, attribute: &[u8]) -> bool {
        let (name, _) = split_pair(attribute);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        self.without_domain && is(b"domain")
            || self.same_site.is_some() && is(b"samesite")
            || self.path.is_some() && is(b"path")
    }

    fn made(&self, value: &HeaderValue) -> HeaderValue {
        if self.is_none() {
            return value.clone();
        }
        let cookie = value.as_bytes();
        let pair = cookie.split(|byte| *byte == b';').next();
        let mut made = pair.unwrap_or_default().to_vec();
        let mut add = |attribute: &[u8]| {
            made.extend_from_slice(b"; ");
            made.extend_from_slice(attribute);
        };
        for part in parts(cookie).filter(|part| !part.is_empty() && !self.drops(part)) {
            add(part);
        }
        if let Some(path) = &self.path {
            add(format!("Path={path}").as_bytes());
        }
        if self.secure {
            add(b"Secure");
        }
        if self.http_only {
            add(b"HttpOnly");
        }
        if let Some(same_site) = self.same_site {
            add(format!("SameSite={same_site}").as_bytes());
        }
        HeaderValue::from_bytes(&made).unwrap_or_else(|_cannot_be| value.clone())
    }
}
