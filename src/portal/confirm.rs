//! A fresh second factor for somebody who is signed in: step-up.
//!
//! The session is refreshed as a whole, so every app sees it at once. What a request carried is not kept: after
//! anything but GET the person is told to repeat it.

use std::sync::Arc;

use http::Method as Verb;

use super::answer::{Answer, Outcome};
use super::destination::{Destination, RETURN_TO};
use super::form::encode;
use super::visit::Visit;
use super::{Fields, second_factor};
use crate::authn::Principal;
use crate::authn::return_to::ReturnTo;
use crate::authn::sign_in::Confirmed as Judged;
use crate::authz::{AccessRequest, Action, Caller, Circumstances, Decision, Target};
use crate::config::Explain;
use crate::message::cookie::Keep;
use crate::pages::{Confirm, Confirmed, FormError, Method, paths, words};
use crate::plan::Plan;

/// The refused request's method, in queries and forms. `method` is the factor's.
const VERB: &str = "verb";

/// Address of this page for a refused `method` on `address`.
pub(super) fn address(address: &str, method: &Verb, plan: &Plan) -> String {
    let (origin, address) = (plan.portal_origin(), encode(address));
    format!(
        "{origin}{}?{RETURN_TO}={address}&{VERB}={}",
        paths::CONFIRM,
        encode(method.as_str())
    )
}

/// From a page of the account that wants a fresh second factor to this one, and back to that page.
pub(super) fn first(visit: &Visit<'_>) -> Answer {
    match ReturnTo::of(visit.authority(), visit.path()) {
        Some(to) => Answer::to(&Destination::of(to).after(paths::CONFIRM)),
        None => Answer::to(paths::CONFIRM),
    }
    .because(crate::base::Reason::StepUpRequired)
}

/// What the person was about to do.
struct Wish {
    destination: Destination,
    verb: Verb,
}

impl Wish {
    fn read(visit: &Visit<'_>, fields: &Fields) -> Self {
        let verb = fields
            .get(VERB)
            .and_then(|text| Verb::from_bytes(text.as_bytes()).ok());
        let known = [
            Verb::HEAD,
            Verb::POST,
            Verb::PUT,
            Verb::PATCH,
            Verb::DELETE,
            Verb::OPTIONS,
        ];
        let verb = verb
            .filter(|verb| known.contains(verb))
            .unwrap_or(Verb::GET);
        Self {
            destination: visit.destination(fields),
            verb,
        }
    }

    /// Following a link again does what was asked for.
    fn returns(&self) -> bool {
        matches!(self.verb, Verb::GET | Verb::HEAD)
    }

    fn request(&self) -> String {
        let path = self
            .destination
            .to
            .as_ref()
            .map_or(paths::APPS, ReturnTo::path);
        format!("{} {path}", self.verb)
    }

    fn app(&self, visit: &Visit<'_>) -> String {
        self.destination
            .app(visit.cx.facts.peer.listener(), visit.plan())
            .unwrap_or_else(|| visit.plan().brand.name.clone())
    }

    /// The policy's own words, where the route lets them be told.
    fn why(&self, visit: &Visit<'_>, person: &Arc<Principal>) -> Option<String> {
        let to = self.destination.to.as_ref()?;
        let route = self
            .destination
            .route(visit.plan())
            .filter(|route| route.explain != Explain::None)?;
        let question = AccessRequest {
            caller: Caller::Person(person),
            action: Action::Http(self.verb.as_str()),
            target: Target::Route(&route.name),
            host: to.host().as_str(),
            path: to.path(),
            client: visit.cx.facts.client,
            now: visit.now(),
            id: visit.cx.facts.id,
            circumstances: Circumstances::NONE,
        };
        match visit.plan().policies.decide(&question) {
            // Of a hidden app nobody learns more here than at its own address.
            Decision::Deny(denial) if denial.hide => None,
            Decision::Deny(denial) => denial.reason_text.as_deref().map(str::to_owned),
            Decision::Allow(_) => None,
        }
    }
}

pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let wish = Wish::read(visit, &visit.query);
    page(visit, &wish, Method::default(), Vec::new())
}

fn page(visit: &Visit<'_>, wish: &Wish, method: Method, errors: Vec<FormError>) -> Outcome {
    let person = visit.signed_in()?;
    let mut form = visit.form(paths::CONFIRM, &wish.destination);
    form.kept.push((VERB, wish.verb.to_string()));
    form.errors = errors;
    let page = Confirm {
        frame: visit.frame(),
        form,
        login: person.email.to_string(),
        method,
        app: wish.app(visit),
        request: wish.request(),
        why: wish.why(visit, person),
        returns: wish.returns(),
        cancel: paths::APPS.to_owned(),
    };
    Ok(Answer::page(&page).hands_over_to(wish.destination.foreign(visit.plan()).as_ref()))
}

/// Judges the code, then leads back or says that it may be repeated now.
pub(super) async fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let person = visit.signed_in()?;
    let wish = Wish::read(visit, fields);
    let (method, factor) = match second_factor::read(fields) {
        Ok(given) => given,
        Err((method, error)) => return Ok(visit.again(page(visit, &wish, method, vec![error])?)),
    };
    visit.count_attempt()?;
    let judged = visit
        .portal
        .auth
        .sign_in
        .confirm(person, &factor, &visit.visitor())
        .await?;
    let again = |error| page(visit, &wish, method, vec![error]);
    Ok(match visit.told(judged).await? {
        Judged::Yes { cookie, .. } => {
            done(visit, &wish)?.cookie(visit.set_session(cookie.expose()))
        }
        Judged::Wrong => visit.again(again(second_factor::wrong(visit, method))?),
        Judged::Used => visit.again(again(FormError::at("code", words::CODE_USED))?),
        Judged::TryLater(until) => visit.later(
            again(second_factor::try_later(visit, method, until))?,
            until,
        ),
        Judged::SignInAgain => Answer::to(&wish.destination.after(paths::SIGN_IN))
            .cookie(visit.set_cookie(crate::authn::cookie::SIGN_IN, "", Keep::Never))
            .cookie(visit.clear_session()),
    })
}

fn done(visit: &Visit<'_>, wish: &Wish) -> Outcome {
    let to = wish
        .destination
        .to
        .as_ref()
        .map_or_else(|| paths::APPS.to_owned(), ToString::to_string);
    if wish.returns() {
        return Ok(Answer::to(&to));
    }
    let plan = visit.plan();
    let general = visit.portal.auth.rules().session.step_up;
    let step_up = wish
        .destination
        .route(plan)
        .map_or(general, |route| route.session.step_up);
    let start = wish
        .destination
        .to
        .as_ref()
        .zip(wish.destination.route(plan));
    let mut frame = visit.frame();
    // The session's cookie is another one from here on, and with it the tokens of forms.
    frame.csrf = None;
    Ok(Answer::page(&Confirmed {
        frame,
        app: wish.app(visit),
        request: wish.request(),
        open: start.map_or(to, |(to, route)| {
            format!("https://{}{}", to.authority(), super::apps::start_of(route))
        }),
        until: visit.moment(visit.now().plus(step_up)),
    }))
}
