//! From an app's host to the portal and back: the app's side of D11.
//!
//! The flow cookie binds the way back to the browser that left. A code that comes without it, late or twice gives no
//! session.

use http::HeaderMap;

use super::answer::{Answer, Outcome};
use super::destination::{Destination, parse};
use super::form::encode;
use super::visit::Visit;
use crate::authn::cookie;
use crate::authn::handover::{Flow, Refused};
use crate::base::Reason;
use crate::message::cookie::{Found, Keep, SameSite, build, find};
use crate::pages::{CookieRefused, FormExpired, paths};
use crate::plan::RequestContext;

/// 303 to the sign-in page. On an app's host the browser is marked with the flow cookie.
pub(super) fn begin(address: &str, headers: &HeaderMap, cx: &RequestContext) -> Option<Answer> {
    let to = parse(address, cx)?;
    let on_portal = cx.plan.is_portal(to.host());
    let path = format!(
        "{}{}",
        cx.plan.portal_origin(),
        Destination::of(to).after(paths::SIGN_IN)
    );
    if on_portal {
        return Some(Answer::to(&path));
    }
    let name = cx.plan.message.cookies.name_of(cookie::FLOW);
    let flow = Flow::begin(match find(headers, &name) {
        Found::One(value) => Some(value),
        Found::None | Found::Conflict => None,
    });
    let set = build(&name, flow.cookie.expose(), SameSite::Lax, Keep::WhileOpen);
    Some(Answer::to(&format!("{path}&state={}", encode(&flow.state))).cookie(set))
}

/// Takes the code that the portal gave, on the app's host.
pub(super) async fn arrive(visit: &Visit<'_>) -> Outcome {
    let host = &visit.authority().host;
    let code = visit.query.text("code");
    let flow = visit.cookie(cookie::FLOW);
    let accepted = visit
        .portal
        .auth
        .handover
        .accept(code, host, flow, visit.now())
        .await?;
    let refused = match accepted {
        Ok(arrived) => {
            let answer = Answer::to(&arrived.to.to_string());
            let clear = visit.set_cookie(cookie::FLOW, "", Keep::Never);
            return Ok(answer
                .cookie(visit.set_session(arrived.cookie.expose()))
                .cookie(clear));
        }
        Err(refused) => refused,
    };
    tracing::info!(id = %visit.cx.facts.id, why = %refused, "a hand-over was refused");
    let start = format!("https://{}/", visit.authority());
    // Another tab of this browser was faster, or somebody pressed "back".
    if visit.person.is_some() {
        return Ok(Answer::to(&start));
    }
    let answer = if flow.is_none() && refused == Refused::OtherBrowser {
        Answer::page(&CookieRefused {
            frame: visit.frame(),
            host: host.to_string(),
            again: start,
            request_id: visit.cx.facts.id,
        })
    } else {
        Answer::page(&FormExpired {
            frame: visit.frame(),
            again: start,
            request_id: visit.cx.facts.id,
        })
    };
    Ok(answer
        .status(http::StatusCode::FORBIDDEN)
        .because(Reason::CredentialRejected))
}
