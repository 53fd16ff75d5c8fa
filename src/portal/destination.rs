//! Where a person goes after signing in or confirming: an address of a host of ours, else the launcher.
//!
//! Addresses come from outside; `authn::return_to` decides on them and prints them. A way into an app's host leads
//! through a hand-over when that host asked for one.

use std::sync::Arc;

use super::form::encode;
use super::{Fields, Portal};
use crate::authn::Principal;
use crate::authn::return_to::ReturnTo;
use crate::base::{Authority, Origin, Timestamp};
use crate::pages::paths;
use crate::plan::{Plan, RequestContext};
use crate::route::Route;

/// Names of the fields in queries and forms.
pub(super) const RETURN_TO: &str = "return_to";
const STATE: &str = "state";

/// The way after a page of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) to: Option<ReturnTo>,
    /// What the app's host wants to hear again (D11).
    state: Option<String>,
}

impl Destination {
    /// Anything that is not plainly an address of ours is no address, so the launcher is what remains.
    pub(super) fn read(fields: &Fields, cx: &RequestContext) -> Self {
        let to = fields.get(RETURN_TO).and_then(|text| parse(text, cx));
        let state = fields
            .get(STATE)
            .filter(|_| to.is_some())
            .map(str::to_owned);
        Self { to, state }
    }

    pub(super) const fn of(to: ReturnTo) -> Self {
        Self {
            to: Some(to),
            state: None,
        }
    }

    /// For hidden fields.
    pub(super) fn kept(&self) -> Vec<(&'static str, String)> {
        let to = self.to.as_ref().map(|to| (RETURN_TO, to.to_string()));
        to.into_iter()
            .chain(self.state.clone().map(|state| (STATE, state)))
            .collect()
    }

    /// `path` with this destination as its query.
    pub(super) fn after(&self, path: &str) -> String {
        let pairs: Vec<String> = self
            .kept()
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    }

    /// The route that serves it.
    pub(super) fn route<'a>(&self, plan: &'a Plan) -> Option<&'a Arc<Route>> {
        let to = self.to.as_ref()?;
        plan.routes.find(to.host(), to.path())
    }

    /// The app's title, for people who have not signed in: nothing about hidden routes
    /// and those of other listeners.
    pub(super) fn app(&self, listener: &str, plan: &Plan) -> Option<String> {
        let route = self.route(plan).filter(|route| route.is_on(listener))?;
        let portal_page = plan.is_portal(self.to.as_ref()?.host()) && route.prefix == "/";
        (!route.hidden && !portal_page).then(|| route.title.clone())
    }

    /// The app's origin, when it is not the portal's: a form may end there.
    pub(super) fn foreign(&self, plan: &Plan) -> Option<Origin> {
        let to = self.to.as_ref().filter(|to| !plan.is_portal(to.host()))?;
        let authority = to.authority();
        Some(Origin {
            secure: true,
            host: authority.host.clone(),
            port: authority.port.unwrap_or(443),
        })
    }

    /// Does the session count where the person wants to go? An app may want a younger one.
    pub(super) fn admits(&self, person: &Principal, plan: &Plan, now: Timestamp) -> bool {
        let lifetime = self.route(plan).map(|route| route.session.lifetime);
        lifetime.is_none_or(|lifetime| now.since(person.session.signed_in_at) < lifetime)
    }

    /// The address to send a signed-in person to.
    pub(super) fn location(
        &self,
        portal: &Portal,
        person: &Principal,
        plan: &Plan,
        now: Timestamp,
    ) -> String {
        let Some(to) = &self.to else {
            return paths::APPS.to_owned();
        };
        if plan.is_portal(to.host()) {
            return to.to_string();
        }
        let code = self.state.as_deref().and_then(|state| {
            let code = portal.auth.handover.issue(person, state, to.clone(), now)?;
            Some((code, state))
        });
        match code {
            Some((code, state)) => {
                format!(
                    "https://{}{}?code={}&state={}",
                    to.authority(),
                    paths::CALLBACK,
                    code.expose(),
                    encode(state)
                )
            }
            // Its host will begin a hand-over of its own.
            None => to.to_string(),
        }
    }
}

/// An address of a host and a port of ours that is not one of our own pages on an app's host.
pub(super) fn parse(text: &str, cx: &RequestContext) -> Option<ReturnTo> {
    let known = |authority: &Authority| {
        let port = authority.port.unwrap_or(443);
        let ports = &cx.plan.message.ports;
        cx.plan.serves(&authority.host)
            && (ports.contains(&port) || port == cx.facts.peer.local.port())
    };
    ReturnTo::parse(text, known).filter(|to| !to.path().starts_with(paths::OWN))
}
