//! What an answer to a wish for another protocol must keep to before a client sees it.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::message::Body;
use crate::message::wire::answer::AnswerHead;
use crate::upstream::handshake::Handshake;
use crate::upstream::request::Upgrade;

/// The server chooses one of the protocols that it was asked for (RFC 9110 section 7.8).
pub(super) fn check(head: &AnswerHead, asked: Option<&Upgrade>) -> Result<(), &'static str> {
    let Some(asked) = asked else {
        return Ok(());
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(chosen) = &head.upgrade else {
            return Err("it switches protocols without being asked to");
        };
        if !asked.offers(chosen) {
            return Err("it switches to another protocol than asked for");
        }
    }
    match &asked.handshake {
        Some(handshake) => check_handshake(head, handshake),
        None => Ok(()),
    }
}

/// To a client of HTTP/2 every 2xx says that its WebSocket is open (RFC 8441 section 5), so only a proven one may.
fn check_handshake(head: &AnswerHead, handshake: &Handshake) -> Result<(), &'static str> {
    if head.status.is_success() {
        return Err("it answers a WebSocket handshake with a page");
    }
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !handshake.is_taken_up(&head.headers) {
        return Err("it does not prove that it took up the WebSocket handshake");
    }
    Ok(())
}

/// The answer that opens the client's stream: 101, or 200 in HTTP/2.
pub(super) fn switching(head: AnswerHead, extended: bool) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    let mut headers = head.headers;
    // RFC 9110 section 8.6: a switch of protocols has no length to tell.
    for name in [header::TRAILER, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
    if extended {
        headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    } else {
        *response.status_mut() = head.status;
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = head.upgrade {
            headers.insert(header::UPGRADE, protocol);
        }
    }
    *response.headers_mut() = headers;
    response
}
