//! Which pages of other origins may read a route's answers (Fetch standard, section 3.2).
//!
//! The list is the route's. An origin is compared with its one serialised form, byte by byte; nothing that a request
//! says is ever reflected unless it stands on the list. What the upstream says about other origins is taken out.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::config::{Cors, CorsOrigin};

const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What only the rule says.
const SPOKEN: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    PRIVATE_NETWORK,
];

/// A route's rule about pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CorsRules {
    /// Every origin; never together with credentials.
    any: bool,
    /// As browsers write them.
    origins: Vec<HeaderValue>,
    credentials: bool,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl CorsRules {
    pub(super) fn compile(written: &Cors) -> Self {
        let any = written
            .origins
            .iter()
            .any(|origin| origin.value == CorsOrigin::Any);
        let origins = written
            .origins
            .iter()
            .filter_map(|origin| match &origin.value {
                CorsOrigin::Any => None,
                CorsOrigin::One(origin) => HeaderValue::try_from(origin.to_string()).ok(),
            });
        Self {
            any,
            origins: origins.collect(),
            credentials: written.credentials && !any,
            methods: list(written.methods.iter().map(Method::as_str)),
            headers: list(written.headers.iter().map(|name| name.as_str())),
            exposed: list(written.expose.iter().map(|name| name.as_str())),
            max_age: HeaderValue::from(written.max_age.as_secs()),
        }
    }

    /// `true` when pages of `origin` may read.
    pub(crate) fn admits(&self, origin: &HeaderValue) -> bool {
        self.any || self.origins.contains(origin)
    }

    /// The headers of the answer to a preflight request of an admitted origin.
    pub(crate) fn preflight(&self, origin: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.say(&mut headers, origin);
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
        ] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers
    }

    /// Puts the rule's word in place of the upstream's.
    pub(crate) fn mark(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        for name in &SPOKEN {
            headers.remove(name);
        }
        if !self.any {
            vary_by_origin(headers);
        }
        let Some(origin) = origin.filter(|origin| self.admits(origin)) else {
            return;
        };
        self.say(headers, origin);
        if let Some(exposed) = &self.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn say(&self, headers: &mut HeaderMap, origin: &HeaderValue) {
        let said = if self.any {
            HeaderValue::from_static("*")
        } else {
            origin.clone()
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, said);
        if self.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

/// The origin of a preflight request; `None` for every other request (Fetch standard, section 3.2.2).
pub(crate) fn preflight_origin<'a>(
    method: &Method,
    headers: &'a HeaderMap,
) -> Option<&'a HeaderValue> {
    if *method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    headers.get(header::ORIGIN)
}

/// The status of an answered preflight request: nothing more is to be said.
pub(crate) const PREFLIGHT_STATUS: StatusCode = StatusCode::NO_CONTENT;

/// Whoever keeps answers must not give one page what was meant for another.
fn vary_by_origin(headers: &mut HeaderMap) {
    let says = headers
        .get_all(header::VARY)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"origin")
        });
    if !says {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

fn list<'a, I: Iterator<Item = &'a str>>(names: I) -> Option<HeaderValue> {
    let text = names.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text)
        .ok()
        .filter(|value| !value.is_empty())
}
