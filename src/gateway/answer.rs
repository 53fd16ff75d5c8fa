//! What a refused client gets to see: a page for people, problem+json for programs, a redirect where only that helps.
//!
//! The status is the real one. Causes stay in the log; the answer carries a sentence and the request id.
#![deny(clippy::wildcard_enum_match_arm)]

use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, ORIGIN, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::denial;
use super::refusal::{self, Refusal};
use crate::authn::BadCredential;
use crate::base::{Authority, Fault, Reason};
use crate::message::{AdmitError, Body, extended, navigation, security};
use crate::pages::{self, Failed, Frame, Mishap, Moment, Page as _, Style};
use crate::plan::{Plan, RequestContext};
use crate::portal::Portal;
use crate::upstream::error::ErrorKind;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What has to be remembered of a request until it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As it is judged: GET for a WebSocket over HTTP/2.
    pub(super) method: Method,
    version: Version,
    /// As sent, for the way back after sign-in; nothing is decided on it.
    uri: Uri,
    host: Option<HeaderValue>,
    pub(super) style: Style,
    navigates: bool,
    /// The page that asked, when a script of it did.
    origin: Option<HeaderValue>,
    /// Of a navigation only, for the way to the sign-in page.
    cookies: HeaderMap,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let page = navigation::wants_page(headers);
        let navigates = page && navigation::navigates(request.method());
        let mut cookies = HeaderMap::new();
        if navigates {
            for value in headers.get_all(COOKIE) {
                cookies.append(COOKIE, value.clone());
            }
        }
        Self {
            method: extended::method(request),
            version: request.version(),
            uri: request.uri().clone(),
            host: headers.get(HOST).cloned(),
            style: if page { Style::Page } else { Style::Problem },
            navigates,
            origin: headers.get(ORIGIN).cloned(),
            cookies,
        }
    }

    /// Path and query.
    fn target(&self) -> &str {
        let target = self.uri.path_and_query();
        target.map_or("", http::uri::PathAndQuery::as_str)
    }

    /// The path without its query.
    pub(super) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The status or the method forbids content (RFC 9110 section 6.4.1).
    pub(crate) fn expects_no_content(&self, status: StatusCode) -> bool {
        self.method == Method::HEAD || matches!(status.as_u16(), 204 | 304)
    }

    /// Takes the page out of an answer to HEAD and leaves its length: over HTTP/2 nobody else does, and a client would
    /// take the content for a broken stream.
    pub(super) fn leave_out_content(&self, response: &mut Response<Body>) {
        if self.method == Method::HEAD
            && let Body::Full(content) = response.body()
        {
            let length = HeaderValue::from(content.len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
            *response.body_mut() = Body::Empty;
        }
    }

    /// Lets a page that the route admits read a refusal too: a script must be able to tell 401 from a broken network.
    /// Nothing is said of a route that is hidden or served elsewhere: it must look like one that is not there.
    pub(super) fn let_read(&self, headers: &mut HeaderMap, listener: &str, plan: &Plan) {
        let Some(origin) = &self.origin else {
            return;
        };
        let authority = self.written_authority().map(Authority::parse);
        let Some(Ok(authority)) = authority else {
            return;
        };
        let route = plan
            .routes
            .find_on(&authority.host, self.path(), listener)
            .filter(|route| !route.hidden);
        if let Some(rules) = route.and_then(|route| route.responses.cors.as_ref())
            && rules.admits(origin)
        {
            rules.mark(headers, Some(origin));
        }
    }

    /// As the client wrote it.
    fn written_authority(&self) -> Option<&str> {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.host.as_ref()?.to_str().ok(),
        }
    }

    /// The address to come back to, when it can be one.
    pub(super) fn address(&self) -> Option<String> {
        let authority = self.written_authority()?;
        Some(format!("https://{authority}{}", self.target()))
    }
}

/// Tells operators what happened, at the level of whose fault it is.
pub(crate) fn log(refusal: &Refusal, cx: &RequestContext) {
    let (id, reason) = (cx.facts.id, refusal.reason());
    match reason.fault() {
        Fault::Nobody | Fault::Client => {
            tracing::debug!(%id, %reason, cause = %refusal, "request refused")
        }
        Fault::Upstream => tracing::warn!(%id, %reason, cause = %refusal, "the upstream failed"),
        Fault::Ours => {
            tracing::error!(%id, %reason, cause = %refusal, "request refused by a fault of our own")
        }
    }
}

/// The answer to a refused request.
pub(crate) fn response(
    refusal: &Refusal,
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
) -> Response<Body> {
    let closes = closes_connection(refusal) && asked.version != Version::HTTP_2;
    let extra = extra_headers(refusal);
    let mut response = match (refusal, mishap(refusal, cx)) {
        (Refusal::Denied(denied), _) => denial::response(denied, asked, cx, portal),
        (_, rejected @ Mishap::CredentialRejected) => sign_in(asked, cx, portal, &rejected),
        (_, mishap) => failed(&mishap, asked, cx),
    };
    for (name, value) in extra {
        response.headers_mut().insert(name, value);
    }
    if closes {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn closes_connection(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Malformed(error) => error.closes_connection(),
        Refusal::UpgradeRefused(_)
        | Refusal::MethodRefused(_)
        | Refusal::OriginRefused
        | Refusal::NoRoute
        | Refusal::RateLimited(_)
        | Refusal::BadCredential(_)
        | Refusal::Denied(_)
        | Refusal::AuditUnavailable(_)
        | Refusal::SignerUnavailable
        | Refusal::PermissionLost(_)
        | Refusal::Upstream(_) => false,
    }
}

fn extra_headers(refusal: &Refusal) -> Vec<(HeaderName, HeaderValue)> {
    let text = |text: String| HeaderValue::try_from(text).ok();
    let pair = match refusal {
        Refusal::RateLimited(limited) => {
            text(limited.retry_after().to_string()).map(|value| (RETRY_AFTER, value))
        }
        Refusal::AuditUnavailable(_) => text("5".to_owned()).map(|value| (RETRY_AFTER, value)),
        Refusal::MethodRefused(methods) => {
            let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
            text(methods.join(", ")).map(|value| (ALLOW, value))
        }
        Refusal::Upstream(failed) => {
            text(format!("portcullis; error={}", failed.error.proxy_status()))
                .map(|value| (PROXY_STATUS, value))
        }
        Refusal::Malformed(_)
        | Refusal::UpgradeRefused(_)
        | Refusal::OriginRefused
        | Refusal::NoRoute
        | Refusal::BadCredential(_)
        | Refusal::Denied(_)
        | Refusal::SignerUnavailable
        | Refusal::PermissionLost(_) => None,
    };
    pair.into_iter().collect()
}

/// Which page a refusal without a policy's word is.
fn mishap(refusal: &Refusal, cx: &RequestContext) -> Mishap {
    match refusal {
        Refusal::Malformed(error) => malformed(*error, cx),
        Refusal::UpgradeRefused(_) => Mishap::UpgradeRefused,
        Refusal::MethodRefused(_) => Mishap::Method,
        Refusal::OriginRefused => Mishap::OriginRefused,
        Refusal::NoRoute => Mishap::NoRoute,
        Refusal::RateLimited(limited) => Mishap::RateLimited {
            wait: std::time::Duration::from_secs(limited.retry_after()),
        },
        Refusal::BadCredential(BadCredential::Conflicting) => Mishap::ConflictingCredentials,
        Refusal::BadCredential(
            BadCredential::Unknown
            | BadCredential::Expired
            | BadCredential::Idle
            | BadCredential::Malformed,
        ) => Mishap::CredentialRejected,
        Refusal::Denied(_) => Mishap::NoRoute,
        Refusal::AuditUnavailable(_) => Mishap::AuditUnavailable,
        Refusal::SignerUnavailable => Mishap::SignerUnavailable,
        Refusal::PermissionLost(Reason::SessionEnded) => Mishap::CredentialRejected,
        Refusal::PermissionLost(_) => Mishap::NoRoute,
        Refusal::Upstream(failed) => upstream_failed(failed),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else a message can be refused for, it is malformed; admission has no other reasons"
)]
fn malformed(error: AdmitError, cx: &RequestContext) -> Mishap {
    if let AdmitError::BodyTooLarge { limit } = error {
        return Mishap::BodyTooLarge { limit };
    }
    let limits = &cx.plan.config.server.limits;
    if error == AdmitError::TargetTooLong {
        return Mishap::TargetTooLong {
            limit: limits.target_bytes,
        };
    }
    let (status, reason) = (error.status().as_u16(), error.reason());
    if matches!(status, 417 | 501 | 502 | 505) {
        return Mishap::Unsupported { status, reason };
    }
    match reason {
        Reason::AmbiguousTarget => Mishap::AmbiguousTarget,
        Reason::MisdirectedRequest => Mishap::Misdirected,
        Reason::HeadTooLarge => Mishap::HeadTooLarge {
            limit: limits.header_bytes,
        },
        Reason::MethodNotAllowed => Mishap::Method,
        Reason::RequestTimeout => Mishap::RequestTimeout,
        _ => Mishap::Malformed,
    }
}

fn upstream_failed(failed: &refusal::Failed) -> Mishap {
    let app = failed.route.title.clone();
    match &failed.error.kind {
        ErrorKind::NoTarget | ErrorKind::Unreachable(_) => Mishap::Unreachable { app },
        ErrorKind::Untrusted(_) => Mishap::Untrusted { app },
        ErrorKind::ConnectTimeout | ErrorKind::AnswerTimeout => Mishap::NoAnswer {
            app,
            after: failed.patience,
        },
        ErrorKind::Broken(_) | ErrorKind::Answer(_) => Mishap::BadAnswer { app },
        ErrorKind::Interrupted(Reason::BodyTooLarge) => Mishap::BodyTooLarge {
            limit: failed.route.body.bytes,
        },
        ErrorKind::Interrupted(Reason::RequestTimeout) => Mishap::RequestTimeout,
        ErrorKind::Interrupted(Reason::SessionEnded) => Mishap::CredentialRejected,
        ErrorKind::Interrupted(_) => Mishap::Malformed,
    }
}

/// The page or document of a mishap.
pub(crate) fn failed(mishap: &Mishap, asked: &Asked, cx: &RequestContext) -> Response<Body> {
    let body = match asked.style {
        Style::Page => {
            let frame = Frame::bare(
                std::sync::Arc::clone(&cx.plan.brand),
                cx.plan.portal_origin(),
            );
            Failed {
                frame,
                mishap: mishap.clone(),
                request_id: cx.facts.id,
                at: moment(cx),
            }
            .html()
        }
        Style::Problem => mishap.problem(cx.facts.id).json(),
    };
    own(mishap.status(), asked.style, body)
}

/// A person is sent to sign in; everybody else is told that they have to (D25).
pub(super) fn sign_in(
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
    otherwise: &Mishap,
) -> Response<Body> {
    let redirect = asked.navigates.then(|| asked.address()).flatten();
    match redirect.and_then(|address| portal.to_sign_in(&address, &asked.cookies, cx)) {
        Some(response) => response,
        None => failed(otherwise, asked, cx),
    }
}

pub(super) fn moment(cx: &RequestContext) -> Moment {
    Moment::exact(cx.facts.now, &cx.plan.config.server.timezone.zone)
}

/// A page or problem document with the headers of our own answers.
pub(crate) fn own(status: u16, style: Style, body: String) -> Response<Body> {
    let content_type = match style {
        Style::Page => pages::CONTENT_TYPE,
        Style::Problem => pages::PROBLEM_JSON,
    };
    let mut response = Response::new(Body::from(bytes::Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    security::own_answer(response.headers_mut());
    response
}
