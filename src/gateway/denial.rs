//! The answer to a denial: a page that says why and what helps, or the same for a program. Never a redirect, unless what
//! helps is signing in.
#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use http::{Response, StatusCode};

use super::answer::{self, Asked, failed, moment, own};
use super::refusal::Denied;
use crate::authz::{Denial, Remedy};
use crate::base::Reason;
use crate::config::Explain;
use crate::message::Body;
use crate::pages::{self, Cause, Details, Frame, Mishap, Page as _, Style, paths};
use crate::plan::RequestContext;
use crate::portal::Portal;

/// What a denied client gets.
pub(super) fn response(
    denied: &Denied,
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
) -> Response<Body> {
    if denied.denial.remedy == Remedy::SignIn {
        return answer::sign_in(asked, cx, portal, &Mishap::SignInRequired);
    }
    if denied.denial.hide {
        return failed(&Mishap::NoRoute, asked, cx);
    }
    let page = page(denied, asked, cx, portal);
    let body = match asked.style {
        Style::Page => page.html(),
        Style::Problem => page.problem().json(),
    };
    own(page.status, asked.style, body)
}

fn page(denied: &Denied, asked: &Asked, cx: &RequestContext, portal: &Portal) -> pages::Denied {
    let Denied {
        denial,
        route,
        principal,
    } = denied;
    let told = route.explain != Explain::None;
    let path = asked.path();
    let portal_origin = cx.plan.portal_origin();
    let policies = denial
        .policies
        .iter()
        .map(|id| (id.to_string(), "limits".to_owned()));
    pages::Denied {
        status: StatusCode::FORBIDDEN.as_u16(),
        cause: cause(denial),
        app: route.title.clone(),
        because: denial
            .reason_text
            .iter()
            .filter(|_| told)
            .map(ToString::to_string)
            .collect(),
        remedies: remedies(denied, asked, cx, portal),
        details: (route.explain == Explain::Full).then(|| Details {
            policies: policies.collect(),
            request: format!("{} {path}", asked.method),
        }),
        request_id: cx.facts.id,
        at: moment(cx),
        login: principal
            .as_ref()
            .map(|principal| principal.login.to_string()),
        switch: principal
            .as_ref()
            .map(|_| format!("{portal_origin}{}", paths::SIGN_OUT)),
        frame: Frame::bare(Arc::clone(&cx.plan.brand), portal_origin),
    }
}

fn remedies(
    denied: &Denied,
    asked: &Asked,
    cx: &RequestContext,
    portal: &Portal,
) -> Vec<pages::Remedy> {
    let confirm = match (denied.denial.remedy, asked.address()) {
        (Remedy::StepUp(_), Some(address)) => Some(pages::Remedy::Confirm {
            url: portal.confirm_address(&address, &asked.method, cx),
        }),
        (Remedy::StepUp(_) | Remedy::None | Remedy::SignIn, _) => None,
    };
    let fix = denied
        .denial
        .fix_text
        .as_ref()
        .filter(|_| denied.route.explain != Explain::None);
    confirm
        .into_iter()
        .chain(fix.map(|fix| pages::Remedy::Advice(fix.to_string())))
        .collect()
}

fn cause(denial: &Denial) -> Cause {
    if matches!(denial.remedy, Remedy::StepUp(_)) {
        return Cause::StepUp;
    }
    if denial.reason == Reason::PolicyError {
        return Cause::PolicyError;
    }
    if denial.reason == Reason::NoPermit {
        Cause::NoPermit
    } else {
        Cause::Rule
    }
}
