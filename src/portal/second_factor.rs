//! The second step: a code, and with it a session.

use super::answer::{Answer, Outcome};
use super::destination::Destination;
use super::visit::Visit;
use super::{Fields, sign_in};
use crate::authn::cookie;
use crate::authn::sign_in::SecondStep;
use crate::authn::vault::SecondFactor as Factor;
use crate::base::Secret;
use crate::message::cookie::Keep;
use crate::pages::{FormError, Method, SecondFactor, paths, words};

/// From a right password to this page.
pub(super) fn first(
    visit: &Visit<'_>,
    destination: &Destination,
    sign_in: &Secret<String>,
) -> Answer {
    let life = sign_in::keep(visit.portal.auth.rules().second_step_life);
    Answer::to(&destination.after(paths::SECOND_FACTOR)).cookie(visit.set_cookie(
        cookie::SIGN_IN,
        sign_in.expose(),
        life,
    ))
}

pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let destination = visit.destination(&visit.query);
    Ok(page(visit, &destination, Method::default(), Vec::new()))
}

fn page(
    visit: &Visit<'_>,
    destination: &Destination,
    method: Method,
    errors: Vec<FormError>,
) -> Answer {
    let cookie = visit.cookie(cookie::SIGN_IN).unwrap_or_default();
    let mut form = visit.form(paths::SECOND_FACTOR, destination);
    form.errors = errors;
    let mut frame = visit.frame();
    frame.visitor = None;
    let page = SecondFactor {
        frame,
        form,
        app: destination.app(visit.cx.facts.peer.listener(), visit.plan()),
        login: visit
            .portal
            .auth
            .sign_in
            .half_way(cookie, visit.now())
            .unwrap_or_default(),
        method,
    };
    Answer::page(&page).hands_over_to(destination.foreign(visit.plan()).as_ref())
}

/// Judges the second factor and begins the session.
pub(super) async fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let destination = visit.destination(fields);
    let (method, factor) = match read(fields) {
        Ok(given) => given,
        Err((method, error)) => {
            return Ok(visit.again(page(visit, &destination, method, vec![error])));
        }
    };
    visit.count_attempt()?;
    let cookie = visit.cookie(cookie::SIGN_IN).unwrap_or_default();
    let previous = visit.person.as_ref().map(|person| &person.session.id);
    let visitor = visit.visitor();
    let step = visit
        .portal
        .auth
        .sign_in
        .second_step(cookie, &factor, previous, &visitor);
    let again = |error| page(visit, &destination, method, vec![error]);
    Ok(match visit.told(step.await?).await? {
        SecondStep::SignedIn(signed_in) => {
            let mut to = destination.location(
                visit.portal,
                &signed_in.principal,
                visit.plan(),
                visit.now(),
            );
            if signed_in.recovery_codes_left.is_some() && to == paths::APPS {
                to = format!("{}?{}", paths::APPS, super::apps::TELL_CODES);
            }
            visit.sign_in(Answer::to(&to), &signed_in)
        }
        SecondStep::Wrong => visit.again(again(wrong(visit, method))),
        SecondStep::Used => visit.again(again(FormError::at("code", words::CODE_USED))),
        SecondStep::TryLater(until) => visit.later(again(try_later(visit, method, until)), until),
        SecondStep::StartAgain => sign_in::start_again(visit),
    })
}

/// Leaves a half-done sign-in.
pub(super) fn restart(visit: &Visit<'_>, fields: &Fields) -> Answer {
    let clear = visit.set_cookie(cookie::SIGN_IN, "", Keep::Never);
    Answer::to(&visit.destination(fields).after(paths::SIGN_IN)).cookie(clear)
}

/// The fields of `parts/factor.html`. What cannot be a code is told at once and costs no attempt.
pub(super) fn read(fields: &Fields) -> Result<(Method, Factor), (Method, FormError)> {
    let method = Method::from_code(fields.text("method")).unwrap_or_default();
    let field = field(method);
    let typed = fields.secret(field);
    if typed.expose().trim().is_empty() {
        return Err((method, FormError::at(field, words::CODE_MISSING)));
    }
    match method {
        Method::RecoveryCode => Ok((method, Factor::RecoveryCode(typed))),
        Method::Totp if looks_like_code(typed.expose()) => Ok((method, Factor::Code(typed))),
        Method::Totp => Err((method, FormError::at(field, words::CODE_SHAPE))),
    }
}

/// Six digits, in any grouping.
pub(super) fn looks_like_code(typed: &str) -> bool {
    let symbols = typed
        .chars()
        .filter(|symbol| !symbol.is_whitespace() && *symbol != '-');
    let digits: Vec<char> = symbols.take(7).collect();
    digits.len() == 6 && digits.iter().all(char::is_ascii_digit)
}

const fn field(method: Method) -> &'static str {
    match method {
        Method::Totp => "code",
        Method::RecoveryCode => "recovery_code",
    }
}

pub(super) fn wrong(visit: &Visit<'_>, method: Method) -> FormError {
    match method {
        Method::Totp => FormError::at("code", words::code_wrong(&visit.clock(visit.now()))),
        Method::RecoveryCode => FormError::at("recovery_code", words::RECOVERY_CODE_WRONG),
    }
}

pub(super) fn try_later(
    visit: &Visit<'_>,
    method: Method,
    until: crate::base::Timestamp,
) -> FormError {
    FormError::at(field(method), words::too_many_tries(&visit.clock(until)))
}

#[cfg(test)]
mod tests {
    use super::{looks_like_code, read};
    use crate::authn::vault::SecondFactor;
    use crate::pages::Method;
    use crate::portal::Fields;

    fn given(text: &str) -> Result<(Method, SecondFactor), String> {
        read(&Fields::parse(text.as_bytes()).unwrap())
            .map_err(|(_method, error)| error.field.unwrap_or_default().to_owned())
    }

    #[test]
    fn codes_may_be_grouped_but_nothing_else() {
        for typed in ["123456", "123 456", " 123-456 ", "1 2 3 4 5 6"] {
            assert!(looks_like_code(typed), "{typed}");
        }
        for typed in [
            "",
            "12345",
            "1234567",
            "12345a",
            "123 456 7",
            "\u{661}23456",
        ] {
            assert!(!looks_like_code(typed), "{typed}");
        }
    }

    #[test]
    fn the_chosen_method_decides_which_field_is_read() {
        assert!(matches!(
            given("method=totp&code=123456&recovery_code=x"),
            Ok((Method::Totp, SecondFactor::Code(_)))
        ));
        let recovery = given("method=recovery-code&code=123456&recovery_code=abc");
        assert!(matches!(
            recovery,
            Ok((Method::RecoveryCode, SecondFactor::RecoveryCode(_)))
        ));
        assert_eq!(given("code=").unwrap_err(), "code");
        assert_eq!(
            given("method=recovery-code&code=123456").unwrap_err(),
            "recovery_code"
        );
        assert_eq!(given("method=passkey&code=12").unwrap_err(), "code");
    }
}
