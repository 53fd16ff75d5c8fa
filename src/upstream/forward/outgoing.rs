//! A request as it is written for the connection that was chosen, and back again when the connection returns it.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri, uri};

use crate::base::Reason;
use crate::message::wire::answers::Asked;
use crate::message::{Body, hop};
use crate::upstream::error::ErrorKind;
use crate::upstream::group::Target;
use crate::upstream::pool::Line;

/// What may have to be sent again.
pub(super) struct Outgoing {
    pub(super) head: Head,
    pub(super) body: Body,
}

#[derive(Clone)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: uri::PathAndQuery,
    pub(super) host: Option<HeaderValue>,
    pub(super) headers: HeaderMap,
    pub(super) wants_trailers: bool,
    pub(super) upgrade: Option<HeaderValue>,
}

/// The part of a head that a sent request does not show any more.
pub(super) struct Kept {
    host: Option<HeaderValue>,
    wants_trailers: bool,
    upgrade: Option<HeaderValue>,
}

impl Outgoing {
    pub(super) fn into_request(
        self,
        line: &Line,
        target: &Target,
    ) -> Result<Request<Body>, ErrorKind> {
        let Self { mut head, body } = self;
        head.write_connection_fields(line);
        let mut uri = uri::Parts::default();
        uri.path_and_query = Some(head.target);
        match line {
            Line::H1(_) => {
                let host = match head.host {
                    Some(host) => host,
                    None => target.host.clone(),
                };
                head.headers.insert(header::HOST, host);
            }
            // HTTP/2 names the authority in `:authority`; a second place could contradict it.
            Line::H2(_) => {
                let authority = head.host.as_ref().unwrap_or(&target.host).as_bytes();
                uri.authority = uri::Authority::try_from(authority).ok();
                uri.scheme = Some(if target.tls.is_some() {
                    uri::Scheme::HTTPS
                } else {
                    uri::Scheme::HTTP
                });
            }
        }
        let malformed = |_error| ErrorKind::Interrupted(Reason::MalformedRequest);
        let mut request = Request::new(body);
        *request.uri_mut() = Uri::from_parts(uri).map_err(malformed)?;
        *request.method_mut() = head.method;
        *request.headers_mut() = head.headers;
        Ok(request)
    }

    /// Undoes [`Self::into_request`] for a request that its connection gave back.
    pub(super) fn from_request(request: Request<Body>, rest: Kept) -> Self {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        headers.remove(header::HOST);
        hop::strip_but_announced(&mut headers);
        let target = parts
            .uri
            .into_parts()
            .path_and_query
            .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        Self {
            head: Head {
                method: parts.method,
                target,
                host: rest.host,
                headers,
                wants_trailers: rest.wants_trailers,
                upgrade: rest.upgrade,
            },
            body,
        }
    }
}

impl Head {
    pub(super) fn kept(&self) -> Kept {
        Kept {
            host: self.host.clone(),
            wants_trailers: self.wants_trailers,
            upgrade: self.upgrade.clone(),
        }
    }

    /// What the end of the answer depends on.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            head: self.method == Method::HEAD,
            switch: self.upgrade.is_some(),
        }
    }

    /// Adds what concerns this connection alone (RFC 9110 sections 7.6.1, 7.8 and 10.1.4).
    fn write_connection_fields(&mut self, line: &Line) {
        let is_h1 = matches!(line, Line::H1(_));
        let mut options = Vec::new();
        if self.wants_trailers {
            let trailers = HeaderValue::from_static("trailers");
            self.headers.insert(header::TE, trailers);
            options.push("te");
        }
        if let Some(protocols) = self.upgrade.clone().filter(|_| is_h1) {
            self.headers.insert(header::UPGRADE, protocols);
            options.push("upgrade");
        }
        if is_h1
            && let Ok(options) = HeaderValue::try_from(options.join(", "))
            && !options.is_empty()
        {
            self.headers.insert(header::CONNECTION, options);
        }
    }
}

impl Head {
    /// Sending it twice is the same as once (RFC 9110 section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent() && self.upgrade.is_none()
    }
}
