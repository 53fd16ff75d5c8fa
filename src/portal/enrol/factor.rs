//! Step 3: the new authenticator. Nothing is in force before a code from it was right.

use super::{enter, frame, progress, purpose, standing, unusable};
use crate::authn::cookie;
use crate::authn::enrolment::{FactorStep, Invited, Step};
use crate::pages::{self, EnrolTotp, FormError, LinkState, Qr, paths, words};
use crate::portal::Fields;
use crate::portal::answer::{Answer, Outcome};
use crate::portal::destination::Destination;
use crate::portal::second_factor::looks_like_code;
use crate::portal::visit::Visit;

pub(in crate::portal) fn show(visit: &Visit<'_>) -> Outcome {
    let (invited, step) = standing(visit)?;
    Ok(page(visit, &invited, &step, Vec::new()))
}

fn page(visit: &Visit<'_>, invited: &Invited, step: &Step, errors: Vec<FormError>) -> Answer {
    let Step::ConfirmFactor { readable, otpauth } = step else {
        return Answer::to(paths::ENROL_PASSWORD);
    };
    let mut form = visit.form(paths::ENROL_FACTOR, &Destination::default());
    form.errors = errors;
    Answer::page(&EnrolTotp {
        frame: frame(visit),
        form,
        progress: progress(purpose(invited.purpose), pages::Step::SecondFactor),
        login: invited.email.clone(),
        secret: readable.expose().clone(),
        otpauth: otpauth.expose().clone(),
        qr: Qr::of(otpauth.expose()),
    })
}

/// Judges the first code. When it is right the account is set up and the person signed in.
pub(in crate::portal) async fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let (invited, step) = standing(visit)?;
    if !matches!(step, Step::ConfirmFactor { .. }) {
        return Ok(Answer::to(paths::ENROL_PASSWORD));
    }
    let again = |text: &str| {
        visit.again(page(
            visit,
            &invited,
            &step,
            vec![FormError::at("code", text)],
        ))
    };
    let code = fields.secret("code");
    if code.expose().trim().is_empty() {
        return Ok(again(words::CODE_MISSING));
    }
    if !looks_like_code(code.expose()) {
        return Ok(again(words::CODE_SHAPE));
    }
    visit.count_attempt()?;
    visit.check_log()?;
    let cookie = visit.cookie(cookie::ENROLMENT).unwrap_or_default();
    let told = visit
        .portal
        .auth
        .enrolment
        .confirm(cookie, &code, &visit.visitor())
        .await?;
    Ok(match visit.told(told).await? {
        FactorStep::Done { codes, signed_in } => {
            let session = &signed_in.principal.session.id;
            visit.portal.codes.put(session, codes, true, visit.now());
            enter(visit, paths::NEW_CODES, &signed_in)
        }
        FactorStep::Wrong => again(words::ENROL_CODE_WRONG),
        FactorStep::Gone => unusable(visit, LinkState::Gone),
    })
}
