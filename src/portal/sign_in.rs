//! The first step: a name and a password.
//!
//! An unknown name, a wrong password and a disabled account get one answer. Nobody is signed in here.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::answer::{Answer, Outcome};
use super::destination::Destination;
use super::visit::{NAME, Token, Visit};
use super::{Fields, second_factor};
use crate::authn::cookie;
use crate::authn::sign_in::FirstStep;
use crate::authn::vault::AuthnError;
use crate::keys::PasswordError;
use crate::message::cookie::Keep;
use crate::pages::{FormError, SignIn, paths, words};

/// How long a name stays on a device whose owner asked for that.
const NAME_KEPT: u32 = 180 * 24 * 3600;
/// In the query of the sign-in page: the half-done sign-in ran out.
const AGAIN: &str = "again";

/// What was typed, to be shown again.
struct Typed<'a> {
    name: &'a str,
    keep: bool,
}

/// The form, or straight on for somebody who is signed in already.
pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let destination = visit.destination(&visit.query);
    if let Some(person) = &visit.person
        && destination.admits(person, visit.plan(), visit.now())
    {
        return Ok(Answer::to(&destination.location(
            visit.portal,
            person,
            visit.plan(),
            visit.now(),
        )));
    }
    let kept = kept_name(visit);
    let typed = Typed {
        name: kept.as_deref().unwrap_or_default(),
        keep: kept.is_some(),
    };
    let errors = visit
        .query
        .get(AGAIN)
        .map(|_yes| FormError::whole(words::START_AGAIN));
    Ok(form(
        visit,
        &destination,
        &typed,
        errors.into_iter().collect(),
    ))
}

fn form(
    visit: &Visit<'_>,
    destination: &Destination,
    typed: &Typed<'_>,
    errors: Vec<FormError>,
) -> Answer {
    let mut form = visit.form(paths::SIGN_IN, destination);
    form.errors = errors;
    let mut frame = visit.frame();
    frame.visitor = None;
    let page = SignIn {
        frame,
        form,
        app: destination.app(visit.cx.facts.peer.listener(), visit.plan()),
        name: typed.name.to_owned(),
        keep_name: Some(typed.keep),
    };
    Answer::page(&page).hands_over_to(destination.foreign(visit.plan()).as_ref())
}

/// Judges a name and a password.
pub(super) async fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let destination = visit.destination(fields);
    let typed = Typed {
        name: fields.text("name").trim(),
        keep: fields.get("keep_name").is_some(),
    };
    if visit.judge_token(fields) == Token::Stale {
        let error = vec![FormError::whole(words::FORM_EXPIRED)];
        return Ok(visit.again(form(visit, &destination, &typed, error)));
    }
    let missing = missing(&typed, fields);
    if !missing.is_empty() {
        return Ok(visit.again(form(visit, &destination, &typed, missing)));
    }
    visit.count_attempt()?;
    let password = fields.secret("password");
    let step = match visit
        .portal
        .auth
        .sign_in
        .first_step(typed.name, &password, &visit.visitor())
        .await
    {
        Ok(told) => visit.told(told).await?,
        Err(AuthnError::Password(PasswordError::TooLong)) => FirstStep::NoMatch,
        Err(error) => return Err(error.into()),
    };
    let refused = |text: &str| {
        form(
            visit,
            &destination,
            &typed,
            vec![FormError::at("password", text)],
        )
    };
    Ok(match step {
        FirstStep::Continue { cookie, .. } => {
            second_factor::first(visit, &destination, &cookie).cookie(keep_name(visit, &typed))
        }
        FirstStep::NoMatch => visit.again(refused(words::NO_MATCH)),
        FirstStep::NoSecondFactor => visit.again(refused(words::NO_SECOND_FACTOR)),
        FirstStep::TryLater(until) => {
            visit.later(refused(&words::too_many_tries(&visit.clock(until))), until)
        }
    })
}

fn missing(typed: &Typed<'_>, fields: &Fields) -> Vec<FormError> {
    let mut missing = Vec::new();
    if typed.name.is_empty() {
        missing.push(FormError::at("name", words::NAME_MISSING));
    }
    if fields.text("password").is_empty() {
        missing.push(FormError::at("password", words::PASSWORD_MISSING));
    }
    missing
}

fn kept_name(visit: &Visit<'_>) -> Option<String> {
    let bytes = BASE64URL_NOPAD
        .decode(visit.cookie(NAME)?.as_bytes())
        .ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.chars().any(char::is_control))
}

fn keep_name(visit: &Visit<'_>, typed: &Typed<'_>) -> Option<http::HeaderValue> {
    if typed.keep {
        let value = BASE64URL_NOPAD.encode(typed.name.as_bytes());
        visit.set_cookie(NAME, &value, Keep::Seconds(NAME_KEPT))
    } else {
        visit
            .cookie(NAME)
            .and_then(|_kept| visit.set_cookie(NAME, "", Keep::Never))
    }
}

/// The way back to the first step for somebody whose sign-in ran out.
pub(super) fn start_again(visit: &Visit<'_>) -> Answer {
    let destination = visit.destination(&visit.query);
    let path = destination.after(paths::SIGN_IN);
    let mark = if path.contains('?') { '&' } else { '?' };
    let clear = visit.set_cookie(cookie::SIGN_IN, "", Keep::Never);
    Answer::to(&format!("{path}{mark}{AGAIN}=1")).cookie(clear)
}

/// How long cookies of a sign-in under way are kept.
pub(super) fn keep(life: Duration) -> Keep {
    Keep::Seconds(u32::try_from(life.as_secs()).unwrap_or(u32::MAX))
}

impl Visit<'_> {
    /// Signs a person in on this browser: the session's cookie comes, those of the way here go.
    pub(super) fn sign_in(
        &self,
        answer: Answer,
        signed_in: &crate::authn::sign_in::SignedIn,
    ) -> Answer {
        let device = keep(crate::authn::device::REMEMBERED);
        answer
            .by(&signed_in.principal)
            .cookie(self.set_session(signed_in.cookie.expose()))
            .cookie(self.set_cookie(cookie::DEVICE, &signed_in.device, device))
            .cookie(self.set_cookie(cookie::SIGN_IN, "", Keep::Never))
    }
}
