//! A request as it is written for the connection that was chosen.

use http::header::{self, HeaderValue};
use http::{Method, Request, Uri, uri};

use crate::base::Reason;
use crate::message::Body;
use crate::message::onward::Head;
use crate::message::wire::answer::Asked;
use crate::upstream::error::ErrorKind;
use crate::upstream::group::Target;
use crate::upstream::h1::Sending;

/// The head of a request, and what else is said to whoever gets it.
pub(super) struct Outgoing {
    pub(super) head: Head,
    pub(super) preserve_host: bool,
    /// The protocols to change to, in HTTP/1.1 only.
    pub(super) upgrade: Option<HeaderValue>,
}

impl Outgoing {
    /// What the end of the answer depends on.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            head: self.head.method == Method::HEAD,
            switch: self.upgrade.is_some(),
        }
    }

    /// Sending it twice is the same as once.
    pub(super) fn is_idempotent(&self) -> bool {
        self.head.is_idempotent() && self.upgrade.is_none()
    }

    fn host<'a>(&'a self, target: &'a Target) -> &'a HeaderValue {
        if self.preserve_host {
            self.head.host()
        } else {
            &target.host
        }
    }

    /// For HTTP/1.1, with what concerns the connection alone (RFC 9110 sections 7.6.1, 7.8 and 10.1.4).
    pub(super) fn for_h1(&self, target: &Target, body: Body) -> Sending {
        Sending::new(&self.head.method, body, |out| {
            self.head.write(self.host(target), out);
            let options: &[u8] = match (self.head.wants_trailers, &self.upgrade) {
                (true, None) => b"te: trailers\r\nconnection: te\r\n",
                (true, Some(_)) => b"te: trailers\r\nconnection: te, upgrade\r\n",
                (false, Some(_)) => b"connection: upgrade\r\n",
                (false, None) => b"",
            };
            out.extend_from_slice(options);
            if let Some(protocols) = &self.upgrade {
                out.extend_from_slice(b"upgrade: ");
                out.extend_from_slice(protocols.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        })
    }

    /// For HTTP/2, which names the authority in `:authority`; a second place could contradict it.
    pub(super) fn for_h2(&self, target: &Target, body: Body) -> Result<Request<Body>, ErrorKind> {
        let mut uri = uri::Parts::default();
        uri.path_and_query = Some(self.head.target.clone());
        uri.authority = uri::Authority::try_from(self.host(target).as_bytes()).ok();
        uri.scheme = Some(if target.tls.is_some() {
            uri::Scheme::HTTPS
        } else {
            uri::Scheme::HTTP
        });
        let malformed = |_error| ErrorKind::Interrupted(Reason::MalformedRequest);
        let mut request = Request::new(body);
        *request.uri_mut() = Uri::from_parts(uri).map_err(malformed)?;
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.fields();
        if self.head.wants_trailers {
            let trailers = HeaderValue::from_static("trailers");
            request.headers_mut().insert(header::TE, trailers);
        }
        Ok(request)
    }
}
