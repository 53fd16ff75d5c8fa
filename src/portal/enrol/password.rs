//! Step 2: a new password, the one in force, or a new one beside the second factor in force.

use super::{enter, frame, progress, purpose, standing, unusable};
use crate::authn::cookie;
use crate::authn::enrolment::{Invited, PasswordStep, Step};
use crate::authn::vault::AuthnError;
use crate::base::Secret;
use crate::keys::{PasswordError, WeakPassword};
use crate::pages::{self, EnrolPassword, FormError, LinkState, Method, Purpose, paths, words};
use crate::portal::answer::{Answer, Outcome};
use crate::portal::destination::Destination;
use crate::portal::visit::Visit;
use crate::portal::{Fields, second_factor};

pub(in crate::portal) fn show(visit: &Visit<'_>) -> Outcome {
    let (invited, step) = standing(visit)?;
    Ok(match step {
        Step::ConfirmFactor { .. } => Answer::to(paths::ENROL_FACTOR),
        Step::ChoosePassword | Step::GivePassword | Step::ChoosePasswordWithFactor => {
            page(visit, &invited, Method::default(), Vec::new())
        }
    })
}

fn page(visit: &Visit<'_>, invited: &Invited, method: Method, errors: Vec<FormError>) -> Answer {
    let purpose = purpose(invited.purpose);
    let mut form = visit.form(paths::ENROL_PASSWORD, &Destination::default());
    form.errors = errors;
    Answer::page(&EnrolPassword {
        frame: frame(visit),
        form,
        progress: progress(purpose, pages::Step::Password),
        purpose,
        login: invited.email.clone(),
        min_length: visit.portal.auth.rules().password.min_length,
        method,
    })
}

pub(in crate::portal) async fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let (invited, _step) = standing(visit)?;
    let purpose = purpose(invited.purpose);
    let wrong = wrong(purpose, fields);
    let method = Method::from_code(fields.text("method")).unwrap_or_default();
    if !wrong.is_empty() {
        return Ok(visit.again(page(visit, &invited, method, wrong)));
    }
    visit.count_attempt()?;
    visit.check_log()?;
    let password = fields.secret("password");
    let judged = match judge(visit, purpose, fields, &password).await? {
        Ok(step) => step,
        Err(error) => return Ok(visit.again(page(visit, &invited, method, vec![error]))),
    };
    let again = |error| page(visit, &invited, method, vec![error]);
    Ok(match judged {
        PasswordStep::Next => Answer::to(paths::ENROL_FACTOR),
        PasswordStep::Weak(weak) => visit.again(again(FormError::at("password", say(weak)))),
        PasswordStep::NoMatch => visit.again(again(no_match(purpose, method))),
        PasswordStep::TryLater(until) => {
            let error = FormError::at("password", words::too_many_tries(&visit.clock(until)));
            visit.later(again(error), until)
        }
        PasswordStep::Gone => unusable(visit, LinkState::Gone),
        PasswordStep::SignedIn(signed_in) => enter(visit, paths::APPS, &signed_in),
    })
}

/// Asks `authn`; the inner error is what was typed wrongly before anything was judged.
async fn judge(
    visit: &Visit<'_>,
    purpose: Purpose,
    fields: &Fields,
    password: &Secret<String>,
) -> Result<Result<PasswordStep, FormError>, crate::portal::answer::Stop> {
    let (auth, visitor) = (&visit.portal.auth.enrolment, visit.visitor());
    let cookie = visit.cookie(cookie::ENROLMENT).unwrap_or_default();
    let told = if purpose == Purpose::NewPassword {
        let factor = match second_factor::read(fields) {
            Ok((_method, factor)) => factor,
            Err((_method, error)) => return Ok(Err(error)),
        };
        auth.renew_password(cookie, &factor, password, &visitor)
            .await
    } else {
        auth.password(cookie, password, &visitor).await
    };
    match told {
        Ok(told) => Ok(Ok(visit.told(told).await?)),
        Err(AuthnError::Password(PasswordError::TooLong)) => {
            Ok(Err(FormError::at("password", words::PASSWORD_LONG)))
        }
        Err(error) => Err(error.into()),
    }
}

fn wrong(purpose: Purpose, fields: &Fields) -> Vec<FormError> {
    let (password, repeat) = (fields.text("password"), fields.text("repeat"));
    if password.is_empty() {
        return vec![FormError::at("password", words::PASSWORD_MISSING)];
    }
    if purpose != Purpose::NewFactor && password != repeat {
        return vec![FormError::at("repeat", words::PASSWORD_DIFFERS)];
    }
    Vec::new()
}

fn no_match(purpose: Purpose, method: Method) -> FormError {
    match (purpose, method) {
        (Purpose::NewPassword, Method::Totp) => FormError::at("code", words::FACTOR_WRONG),
        (Purpose::NewPassword, Method::RecoveryCode) => {
            FormError::at("recovery_code", words::FACTOR_WRONG)
        }
        (Purpose::Join | Purpose::NewFactor, _) => {
            FormError::at("password", words::PASSWORD_NOT_YOURS)
        }
    }
}

fn say(weak: WeakPassword) -> String {
    match weak {
        WeakPassword::TooShort { min_length } => words::password_short(min_length),
        WeakPassword::TooLong { .. } => words::PASSWORD_LONG.to_owned(),
        WeakPassword::Common => words::PASSWORD_COMMON.to_owned(),
        WeakPassword::Personal => words::PASSWORD_PERSONAL.to_owned(),
        WeakPassword::Pattern => words::PASSWORD_PATTERN.to_owned(),
    }
}
