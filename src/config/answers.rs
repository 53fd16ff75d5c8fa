//! What a route changes in the answers of its upstream: headers, cookies, and which foreign pages may read them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::source::Spanned;
use super::table::table;
use super::words::words;
use crate::base::Origin;

table! {
    /// Changes to the headers of responses.
    ///
    /// Headers of a connection, of framing and of Portcullis itself cannot be named here.
    RouteHeaders ["route.NAME.headers"] {
        /// `X-Content-Type-Options: nosniff` and `Referrer-Policy: strict-origin-when-cross-origin` where the upstream says nothing.
        security: bool = true, reload;
        /// Headers set where the upstream did not set them.
        default: BTreeMap<HeaderKey, HeaderValue> = {}, reload;
        /// Headers set on every response, in place of the upstream's.
        set: BTreeMap<HeaderKey, HeaderValue> = {}, reload;
        /// Headers taken from every response.
        remove: Vec<Spanned<HeaderName>> = [], reload;
    }
}

/// A header name that sorts, for use as a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderKey(pub(crate) HeaderName);

impl Ord for HeaderKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for HeaderKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

table! {
    /// Changes to the cookies that the upstream sets.
    ///
    /// Whatever stands here, no upstream sets or clears a cookie of Portcullis.
    RouteCookies ["route.NAME.cookies"] {
        /// Adds `Secure` to cookies without it.
        secure: bool = true, reload;
        /// Adds `HttpOnly` to cookies without it. Scripts of the app cannot read them any more.
        http_only: bool = false, reload;
        /// Repairs `SameSite`.
        same_site: CookieSameSite = "keep", reload;
        /// What becomes of a cookie for more than the app's own host.
        domain: CookieDomain = "host", reload;
    }
}

words! {
    /// Which requests of other sites may carry a cookie of the app.
    CookieSameSite {
        /// As the upstream says.
        Keep = "keep",
        /// `Lax` for cookies that say nothing, `None` or nonsense.
        Lax = "lax",
        /// `Strict` for all.
        Strict = "strict",
    }
}

words! {
    /// What becomes of a cookie's `Domain`.
    CookieDomain {
        /// The cookie stays with the host that set it.
        Host = "host",
        /// A cookie for another name than the host's own is dropped.
        Refuse = "refuse",
        /// As the upstream says; the cookie reaches every app below that domain.
        Keep = "keep",
    }
}

table! {
    /// Pages of other origins that may read responses. Portcullis answers their preflight requests without asking the
    /// upstream, and what the upstream itself says about other origins is taken out.
    Cors ["route.NAME.cors"] {
        /// Origins whose scripts may read responses, or `"*"` for every one.
        origins: Vec<Spanned<CorsOrigin>> = required, reload;
        /// Methods that those scripts may use besides GET, HEAD and POST.
        methods: Vec<Method> = [], reload;
        /// Request headers that those scripts may set besides the harmless ones.
        headers: Vec<Spanned<HeaderName>> = [], reload;
        /// Response headers that those scripts may read besides the harmless ones.
        expose: Vec<Spanned<HeaderName>> = [], reload;
        /// Admits cookies and other credentials. The session's cookie comes along only from pages of the same site.
        credentials: bool = false, reload;
        /// How long a browser may remember the answer to a preflight request.
        max_age: Duration = "10m", reload;
    }
}

/// Whose pages may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CorsOrigin {
    Any,
    One(Origin),
}
