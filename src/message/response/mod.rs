//! What a route changes in the answers of its upstream: headers, cookies, addresses, and who else may read them.
//!
//! Compiled once per route. A route without rules costs a few comparisons per answer and no allocation. Nothing here
//! can weaken what the edge says: that is set afterwards, in [`super::security::finish`].

pub(crate) mod cookies;
pub(crate) mod cors;
mod rewrite;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use self::cookies::CookieRules;
use self::cors::CorsRules;
use self::rewrite::Rewrite;
use super::CleanRequest;
use super::cookie::OwnCookies;
use crate::base::Authority;
use crate::config::{self, CookieDomain};

/// What the edge says for an upstream that says nothing. Neither breaks an app: the first only stops guessing, the
/// second is what browsers do by themselves since 2021.
const SECURITY: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
];

/// A route's wishes for its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseRules {
    /// Set where the upstream did not.
    pub(crate) defaults: Vec<(HeaderName, HeaderValue)>,
    pub(crate) remove: Vec<HeaderName>,
    pub(crate) set: Vec<(HeaderName, HeaderValue)>,
    pub(crate) cookies: CookieRules,
    pub(crate) cors: Option<CorsRules>,
    pub(crate) rewrite: Option<Rewrite>,
}

/// What the rules need to remember of a request. Empty where they need nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking {
    origin: Option<HeaderValue>,
    authority: Option<Authority>,
}

/// Where an answer came from and what it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came<'a> {
    pub(crate) asking: &'a Asking,
    /// The target that answered, as the configuration writes it.
    pub(crate) target: &'a str,
}

static NOTHING: Asking = Asking {
    origin: None,
    authority: None,
};

impl Came<'static> {
    /// For answers to no request in particular.
    pub(crate) const fn nowhere() -> Self {
        Self {
            asking: &NOTHING,
            target: "",
        }
    }
}

/// The rules of a route that names none.
impl Default for ResponseRules {
    fn default() -> Self {
        let security = SECURITY.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Self {
            defaults: security.to_vec(),
            remove: Vec::new(),
            set: Vec::new(),
            cookies: CookieRules::default(),
            cors: None,
            rewrite: None,
        }
    }
}

impl ResponseRules {
    pub(crate) fn compile(written: &config::Route) -> Self {
        let headers = &written.headers;
        let named = |map: &std::collections::BTreeMap<config::HeaderKey, HeaderValue>| {
            let pairs = map.iter();
            pairs
                .map(|(name, value)| (name.0.clone(), value.clone()))
                .collect::<Vec<_>>()
        };
        let mut defaults = named(&headers.default);
        for (name, value) in SECURITY {
            if headers.security && defaults.iter().all(|(own, _)| *own != name) {
                defaults.push((name, HeaderValue::from_static(value)));
            }
        }
        let remove: Vec<_> = headers
            .remove
            .iter()
            .map(|name| name.value.clone())
            .collect();
        defaults.retain(|(name, _)| !remove.contains(name));
        Self {
            defaults,
            remove,
            set: named(&headers.set),
            cookies: CookieRules::compile(&written.cookies),
            cors: written.cors.as_ref().map(CorsRules::compile),
            rewrite: written.rewrite.then(|| Rewrite::compile(written)),
        }
    }

    /// What has to be remembered of `request` until its answer comes.
    pub(crate) fn asking(&self, request: &CleanRequest) -> Asking {
        let needs_host = self.rewrite.is_some() || self.cookies.domain == CookieDomain::Refuse;
        Asking {
            origin: self
                .cors
                .as_ref()
                .and_then(|_| request.headers().get(header::ORIGIN).cloned()),
            authority: needs_host.then(|| request.authority().clone()),
        }
    }

    /// Applies every rule to the headers of an answer.
    pub(crate) fn apply(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        own: &OwnCookies,
        came: &Came<'_>,
    ) {
        let rewriting = self.rewrite.as_ref().zip(came.asking.authority.as_ref());
        let rewriting =
            rewriting.map(|(rewrite, authority)| rewrite.for_answer(authority, came.target));
        if headers.contains_key(header::SET_COOKIE) {
            let host = came
                .asking
                .authority
                .as_ref()
                .map(|authority| &authority.host);
            self.cookies.apply(headers, own, host, rewriting.as_ref());
        }
        if let Some(rewriting) = &rewriting {
            rewriting.addresses(headers);
        }
        for (name, value) in &self.defaults {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        if let Some(cors) = &self.cors
            && status != StatusCode::SWITCHING_PROTOCOLS
        {
            cors.mark(headers, came.asking.origin.as_ref());
        }
    }
}

#[cfg(test)]
mod tests;
