//! WebSockets over HTTP/2 (RFC 8441): which CONNECT stands for a handshake, and as which request it is judged.
//!
//! An extended CONNECT names its protocol in `:protocol`. It is the same wish as a GET with `Upgrade: websocket` over
//! HTTP/1.1, so every later step sees that GET. `:authority` is the host of the app as in any other request; nothing
//! here makes a tunnel to an address that a client chooses.

use std::any::Any;
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{Method, Request, Version};
use hyper::ext::Protocol;

use super::AdmitError;
use super::upgrade::WEBSOCKET;

/// Tells the client's connection that it is in use, until it is dropped: an opened stream has no answer to wait for.
#[derive(Clone)]
pub(crate) struct Keep(
    #[expect(dead_code, reason = "held, never read")] Arc<dyn Any + Send + Sync>,
);

impl Keep {
    pub(crate) fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(guard))
    }
}

fn protocol<B>(request: &Request<B>) -> Option<&Protocol> {
    if *request.method() == Method::CONNECT && request.version() == Version::HTTP_2 {
        request.extensions().get()
    } else {
        None
    }
}

/// Whether the request opens a WebSocket by extended CONNECT.
///
/// # Errors
/// [`AdmitError::ProtocolUnknown`] for any other protocol (RFC 9220 section 3 asks for 501).
pub(crate) fn asks<B>(request: &Request<B>) -> Result<bool, AdmitError> {
    match protocol(request).map(AsRef::as_ref) {
        None => Ok(false),
        Some(name) if name == WEBSOCKET.as_bytes() => Ok(true),
        Some(_other) => Err(AdmitError::ProtocolUnknown),
    }
}

/// The method that a request is judged by: GET for an extended CONNECT, else its own.
pub(crate) fn method<B>(request: &Request<B>) -> Method {
    if protocol(request).is_some() {
        Method::GET
    } else {
        request.method().clone()
    }
}

/// Checks what is left of the handshake, and takes away what `:protocol` replaced (RFC 8441 section 5): the key and
/// its proof are between us and the upstream.
///
/// # Errors
/// [`AdmitError::UpgradeMalformed`] for another version than 13.
pub(crate) fn settle(headers: &mut HeaderMap) -> Result<(), AdmitError> {
    headers.remove(header::SEC_WEBSOCKET_KEY);
    headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version == "13") {
        Ok(())
    } else {
        Err(AdmitError::UpgradeMalformed)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Request, Version, header};
    use hyper::ext::Protocol;

    use super::{asks, method, settle};
    use crate::message::AdmitError;

    fn connect(version: Version, protocol: Option<&'static str>) -> Request<()> {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .version(version)
            .uri("https://app.example/socket")
            .body(())
            .unwrap();
        if let Some(protocol) = protocol {
            let protocol = Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        request
    }

    #[test]
    fn only_websocket_is_opened_by_extended_connect() {
        assert_eq!(asks(&connect(Version::HTTP_2, Some("websocket"))), Ok(true));
        assert_eq!(asks(&connect(Version::HTTP_2, None)), Ok(false));
        for other in ["", "WebSocket", "connect-udp", "webtransport", "websocket "] {
            let asked = asks(&connect(Version::HTTP_2, Some(other)));
            assert_eq!(asked, Err(AdmitError::ProtocolUnknown), "{other:?}");
        }
        assert_eq!(
            asks(&connect(Version::HTTP_11, Some("websocket"))),
            Ok(false)
        );
    }

    #[test]
    fn it_is_judged_as_the_get_that_it_stands_for_and_nothing_else_is() {
        let extended = connect(Version::HTTP_2, Some("websocket"));
        assert_eq!(method(&extended), Method::GET);
        for plain in [
            connect(Version::HTTP_2, None),
            connect(Version::HTTP_11, Some("websocket")),
        ] {
            assert_eq!(method(&plain), Method::CONNECT);
        }
    }

    #[test]
    fn the_version_is_required_and_the_clients_key_goes_no_further() {
        let mut headers = http::HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
        assert_eq!(settle(&mut headers), Err(AdmitError::UpgradeMalformed));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
        let version = HeaderValue::from_static("13");
        headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        assert_eq!(settle(&mut headers), Ok(()));
        assert!(!headers.contains_key(header::SEC_WEBSOCKET_KEY));
    }
}
