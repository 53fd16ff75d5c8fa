//! What a refused client gets to see: a page for people, problem+json for programs, a redirect where only that helps.
//!
//! The status is the real one. Causes stay in the log; the answer carries a sentence and the request id.
#![deny(clippy::wildcard_enum_match_arm)]

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, COOKIE, HeaderMap, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::refusal::Refusal;
use crate::authn::BadCredential;
use crate::authz::{Denial, Remedy};
use crate::base::{Fault, Reason};
use crate::config::Explain;
use crate::message::{AdmitError, Body, navigation, security};
use crate::pages::{self, Cause, Denied, Details, Failed, Frame, Mishap, Moment, Page as _, Style};
use crate::plan::RequestContext;
use crate::portal::Portal;
use crate::upstream;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What has to be remembered of a request until it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    method: Method,
    version: Version,
    /// Path and query as sent, for the way back after sign-in; nothing is decided on it.
    target: String,
    authority: Option<String>,
    style: Style,
    navigates: bool,
    /// Of a navigation only, for the way to the sign-in page.
    cookies: HeaderMap,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let host = || {
            headers
                .get(http::header::HOST)
                .and_then(|value| value.to_str().ok())
        };
        let navigates = navigation::is_navigation(request.method(), headers);
        let mut cookies = HeaderMap::new();
        for value in headers.get_all(COOKIE).iter().filter(|_| navigates) {
            cookies.append(COOKIE, value.clone());
        }
        let authority = request
            .uri()
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(host);
        Self {
            method: request.method().clone(),
            version: request.version(),
            target: request
                .uri()
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            authority: authority.map(str::to_owned),
            style: if navigation::wants_page(headers) {
                Style::Page
            } else {
                Style::Problem
            },
            navigates,
            cookies,
        }
    }

    /// The status or the method forbids content (RFC 9110 section 6.4.1).
    pub(crate) fn expects_no_content(&self, status: StatusCode) -> bool {
        self.method == Method::HEAD || matches!(status.as_u16(), 204 | 304)
    }

    /// The address to come back to, when it can be one.
    fn address(&self) -> Option<String> {
        self.authority
            .as_ref()
            .map(|authority| format!("https://{authority}{}", self.target))
    }
}

/// Tells operators what happened, at the level of whose fault it is.
pub(crate) fn log(refusal: &Refusal, cx: &RequestContext) {
    let (id, reason) = (cx.facts.id, refusal.reason());
    match reason.fault() {
        Fault::Nobody | Fault::Client => {
            tracing::debug!(%id, %reason, cause = ?refusal, "request refused")
        }
        Fault::Upstream => tracing::warn!(%id, %reason, cause = ?refusal, "the upstream failed"),
        Fault::Ours => {
            tracing::error!(%id, %reason, cause = ?refusal, "request refused by a fault of our own")
        }
    }
}

/// The answer to a refused request.
pub(crate) fn response(
    refusal: Refusal,
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
) -> Response<Body> {
    let closes = closes_connection(&refusal) && asked.version != Version::HTTP_2;
    let extra = extra_headers(&refusal);
    let mut response = match refusal {
        Refusal::Denied(denial) => denied(&denial, asked, cx, portal),
        Refusal::BadCredential(error) if error != BadCredential::Conflicting => {
            sign_in(asked, cx, portal, Mishap::CredentialRejected)
        }
        other => failed(&mishap(&other, cx), asked, cx),
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
        Refusal::Draining => true,
        Refusal::UpgradeRefused(_)
        | Refusal::MethodRefused(_)
        | Refusal::NoRoute
        | Refusal::RateLimited(_)
        | Refusal::BadCredential(_)
        | Refusal::Denied(_)
        | Refusal::AuditUnavailable(_)
        | Refusal::SignerUnavailable
        | Refusal::Upstream { .. } => false,
    }
}

fn extra_headers(refusal: &Refusal) -> Vec<(HeaderName, HeaderValue)> {
    let text = |text: String| HeaderValue::try_from(text).ok();
    let pair = match refusal {
        Refusal::RateLimited(limited) => {
            text(limited.retry_after().to_string()).map(|value| (RETRY_AFTER, value))
        }
        Refusal::AuditUnavailable(_) | Refusal::Draining => {
            text("5".to_owned()).map(|value| (RETRY_AFTER, value))
        }
        Refusal::MethodRefused(methods) => {
            let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
            text(methods.join(", ")).map(|value| (ALLOW, value))
        }
        Refusal::Upstream { error, .. } => {
            text(format!("portcullis; error={}", error.proxy_status()))
                .map(|value| (PROXY_STATUS, value))
        }
        Refusal::Malformed(_)
        | Refusal::UpgradeRefused(_)
        | Refusal::NoRoute
        | Refusal::BadCredential(_)
        | Refusal::Denied(_)
        | Refusal::SignerUnavailable => None,
    };
    pair.into_iter().collect()
}

/// Which page a refusal without a policy's word is.
fn mishap(refusal: &Refusal, cx: &RequestContext) -> Mishap {
    match refusal {
        Refusal::Malformed(error) => malformed(*error, cx),
        Refusal::UpgradeRefused(_) => Mishap::UpgradeRefused,
        Refusal::MethodRefused(_) => Mishap::Method,
        Refusal::NoRoute => Mishap::NoRoute,
        Refusal::RateLimited(limited) => Mishap::RateLimited {
            wait: std::time::Duration::from_secs(limited.retry_after()),
        },
        Refusal::BadCredential(_) => Mishap::ConflictingCredentials,
        Refusal::Denied(_) => Mishap::NoRoute,
        Refusal::AuditUnavailable(_) => Mishap::AuditUnavailable,
        Refusal::SignerUnavailable => Mishap::SignerUnavailable,
        Refusal::Upstream { error, patience } => upstream_failed(error, *patience),
        Refusal::Draining => Mishap::Draining,
    }
}

fn malformed(error: AdmitError, cx: &RequestContext) -> Mishap {
    if let AdmitError::BodyTooLarge { limit } = error {
        return Mishap::BodyTooLarge { limit };
    }
    let head = cx.plan.config.server.limits.header_bytes;
    match error.reason() {
        Reason::AmbiguousTarget => Mishap::AmbiguousTarget,
        Reason::MisdirectedRequest => Mishap::Misdirected,
        Reason::HeadTooLarge => Mishap::HeadTooLarge { limit: head },
        Reason::MethodNotAllowed => Mishap::Method,
        Reason::RequestTimeout => Mishap::RequestTimeout,
        _ => Mishap::Malformed,
    }
}

fn upstream_failed(error: &upstream::Error, patience: std::time::Duration) -> Mishap {
    let app = String::from("The app");
    match error.reason() {
        Reason::UpstreamUntrusted => Mishap::Untrusted { app },
        Reason::UpstreamTimeout => Mishap::NoAnswer {
            app,
            after: patience,
        },
        Reason::UpstreamProtocol => Mishap::BadAnswer { app },
        Reason::BodyTooLarge => Mishap::BodyTooLarge { limit: 0 },
        Reason::RequestTimeout => Mishap::RequestTimeout,
        Reason::MalformedRequest => Mishap::Malformed,
        _ => Mishap::Unreachable { app },
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
fn sign_in(
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
    otherwise: Mishap,
) -> Response<Body> {
    let redirect = asked.navigates.then(|| asked.address()).flatten();
    match redirect.and_then(|address| portal.to_sign_in(&address, &asked.cookies, cx)) {
        Some(response) => response,
        None => failed(&otherwise, asked, cx),
    }
}

fn denied(denial: &Denial, asked: &Asked, cx: &RequestContext, portal: &Portal) -> Response<Body> {
    if denial.remedy == Remedy::SignIn {
        return sign_in(asked, cx, portal, Mishap::SignInRequired);
    }
    if denial.hide {
        return failed(&Mishap::NoRoute, asked, cx);
    }
    let page = denied_page(denial, asked, cx, portal);
    let body = match asked.style {
        Style::Page => page.html(),
        Style::Problem => page.problem().json(),
    };
    own(page.status, asked.style, body)
}

fn denied_page(denial: &Denial, asked: &Asked, cx: &RequestContext, portal: &Portal) -> Denied {
    let path = asked.target.split('?').next().unwrap_or_default();
    let host = asked
        .authority
        .as_deref()
        .and_then(|text| crate::base::Authority::parse(text).ok());
    let route = host.and_then(|authority| cx.plan.routes.find(&authority.host, path));
    let explain = route.map_or(Explain::None, |route| route.explain);
    let told = explain != Explain::None;
    let mut remedies = Vec::new();
    if let (Remedy::StepUp(_), Some(address)) = (denial.remedy, asked.address()) {
        let method = &asked.method;
        remedies.push(pages::Remedy::Confirm {
            url: portal.confirm_address(&address, method, cx),
        });
    }
    if let (true, Some(fix)) = (told, &denial.fix_text) {
        remedies.push(pages::Remedy::Advice(fix.to_string()));
    }
    let policies = denial
        .policies
        .iter()
        .map(|id| (id.to_string(), "limits".to_owned()))
        .collect();
    Denied {
        frame: Frame::bare(
            std::sync::Arc::clone(&cx.plan.brand),
            cx.plan.portal_origin(),
        ),
        status: StatusCode::FORBIDDEN.as_u16(),
        cause: cause(denial),
        app: route.map_or_else(String::new, |route| route.title.clone()),
        because: denial
            .reason_text
            .iter()
            .filter(|_| told)
            .map(ToString::to_string)
            .collect(),
        remedies,
        details: (explain == Explain::Full).then(|| Details {
            policies,
            request: format!("{} {path}", asked.method),
        }),
        request_id: cx.facts.id,
        at: moment(cx),
        login: None,
        switch: None,
    }
}

fn cause(denial: &Denial) -> Cause {
    match (denial.remedy, denial.reason) {
        (Remedy::StepUp(_), _) => Cause::StepUp,
        (Remedy::None | Remedy::SignIn, Reason::PolicyError) => Cause::PolicyError,
        (Remedy::None | Remedy::SignIn, Reason::NoPermit) => Cause::NoPermit,
        (Remedy::None | Remedy::SignIn, _) => Cause::Rule,
    }
}

fn moment(cx: &RequestContext) -> Moment {
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
