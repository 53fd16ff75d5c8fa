//! What an upstream's answer must keep to before a client sees it.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;

use crate::message::{Body, hop};
use crate::upstream::handshake::Handshake;
use crate::upstream::request::Upgrade;

/// What hyper lets through and we do not (RFC 9112 section 6.3, RFC 9110 sections 7.8 and 15).
pub(super) fn check(
    response: &Response<Incoming>,
    asked: Option<&Upgrade>,
) -> Result<(), &'static str> {
    let headers = response.headers();
    if response.status().as_u16() > 599 {
        return Err("its status is none");
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH)
    {
        return Err("it declares its length twice");
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(wanted), Some(chosen)) = (asked, headers.get(header::UPGRADE)) else {
            return Err("it switches protocols without being asked to");
        };
        if !wanted.offers(chosen) {
            return Err("it switches to another protocol than asked for");
        }
    }
    asked
        .and_then(|asked| asked.handshake.as_ref())
        .map_or(Ok(()), |handshake| check_handshake(response, handshake))
}

/// To a client of HTTP/2 every 2xx says that its WebSocket is open (RFC 8441 section 5), so only a proven one may.
fn check_handshake(
    response: &Response<Incoming>,
    handshake: &Handshake,
) -> Result<(), &'static str> {
    if response.status().is_success() {
        return Err("it answers a WebSocket handshake with a page");
    }
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !handshake.is_taken_up(response.headers()) {
        return Err("it does not prove that it took up the WebSocket handshake");
    }
    Ok(())
}

/// The answer that opens the client's stream: 101, or 200 in HTTP/2.
pub(super) fn switching(response: Response<Incoming>, extended: bool) -> Response<Body> {
    let (mut parts, _no_content) = response.into_parts();
    if extended {
        hop::strip(&mut parts.headers);
        for name in [header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
            parts.headers.remove(name);
        }
        parts.status = StatusCode::OK;
        return Response::from_parts(parts, Body::Empty);
    }
    let protocol = parts.headers.remove(header::UPGRADE);
    hop::strip(&mut parts.headers);
    let upgrade = HeaderValue::from_static("upgrade");
    parts.headers.insert(header::CONNECTION, upgrade);
    if let Some(protocol) = protocol {
        parts.headers.insert(header::UPGRADE, protocol);
    }
    Response::from_parts(parts, Body::Empty)
}
