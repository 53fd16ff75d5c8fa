//! From a one-use link to an account. Looking at the link changes nothing; beginning binds it to this browser.

pub(super) mod factor;
pub(super) mod password;

use super::answer::{Answer, Outcome, Stop};
use super::destination::Destination;
use super::sign_in;
use super::visit::Visit;
use crate::authn::cookie;
use crate::authn::enrolment::{Began, Invited, Step};
use crate::authn::sign_in::SignedIn;
use crate::message::cookie::Keep;
use crate::pages::{self, EnrolWelcome, LinkState, LinkUnusable, Progress, Purpose, paths};
use crate::store::EnrolmentPurpose;

/// Step 1: who this is for.
pub(super) fn welcome(visit: &Visit<'_>, token: &str) -> Outcome {
    let invited = link(visit, token)?;
    let purpose = purpose(invited.purpose);
    let page = EnrolWelcome {
        frame: frame(visit),
        form: visit.form(visit.path(), &Destination::default()),
        progress: progress(purpose, pages::Step::Welcome),
        purpose,
        name: invited.name,
        login: invited.email,
        invited_by: invited.invited_by,
        until: visit.moment(invited.expires),
    };
    Ok(Answer::page(&page))
}

/// Whoever is signed in on this browser is somebody else as far as these pages go.
fn frame(visit: &Visit<'_>) -> pages::Frame {
    let mut frame = visit.frame();
    frame.visitor = None;
    frame
}

fn link(visit: &Visit<'_>, token: &str) -> Result<Invited, Stop> {
    let found = if cookie::is_reference(token) {
        visit.portal.auth.enrolment.invited(token, visit.now())?
    } else {
        None
    };
    found.ok_or_else(|| unusable(visit, LinkState::Gone).into())
}

/// Binds the link to this browser and goes on to the password.
pub(super) fn begin(visit: &Visit<'_>, token: &str) -> Outcome {
    let invited = link(visit, token)?;
    let began =
        visit
            .portal
            .auth
            .enrolment
            .begin(token, visit.cookie(cookie::ENROLMENT), visit.now())?;
    Ok(match began {
        Began::Here(value) => {
            let keep = sign_in::keep(invited.expires.since(visit.now()));
            Answer::to(paths::ENROL_PASSWORD).cookie(visit.set_cookie(
                cookie::ENROLMENT,
                value.expose(),
                keep,
            ))
        }
        Began::Elsewhere => unusable(visit, LinkState::Elsewhere),
        Began::Gone => unusable(visit, LinkState::Gone),
    })
}

/// 410: whatever the link was, it is nothing now.
fn unusable(visit: &Visit<'_>, state: LinkState) -> Answer {
    let page = LinkUnusable {
        frame: frame(visit),
        state,
        request_id: visit.cx.facts.id,
    };
    let answer = Answer::page(&page)
        .status(http::StatusCode::GONE)
        .because(crate::base::Reason::CredentialRejected);
    match state {
        LinkState::Gone => answer.cookie(
            visit
                .cookie(cookie::ENROLMENT)
                .and_then(|_old| visit.set_cookie(cookie::ENROLMENT, "", Keep::Never)),
        ),
        LinkState::Elsewhere => answer,
    }
}

/// Where this browser's enrolment stands.
fn standing(visit: &Visit<'_>) -> Result<(Invited, Step), Stop> {
    let cookie = visit.cookie(cookie::ENROLMENT);
    let found = match cookie {
        Some(cookie) => visit.portal.auth.enrolment.standing(cookie, visit.now())?,
        None => None,
    };
    found.ok_or_else(|| unusable(visit, LinkState::Gone).into())
}

const fn purpose(purpose: EnrolmentPurpose) -> Purpose {
    match purpose {
        EnrolmentPurpose::Join => Purpose::Join,
        EnrolmentPurpose::NewFactor => Purpose::NewFactor,
        EnrolmentPurpose::NewPassword => Purpose::NewPassword,
    }
}

fn progress(purpose: Purpose, now: pages::Step) -> Progress {
    match purpose {
        Purpose::Join | Purpose::NewFactor => Progress::full(now),
        Purpose::NewPassword => Progress::password_only(now),
    }
}

/// The end of an enrolment: signed in on this browser.
fn enter(visit: &Visit<'_>, location: &str, signed_in: &SignedIn) -> Answer {
    let clear = visit.set_cookie(cookie::ENROLMENT, "", Keep::Never);
    visit.sign_in(Answer::to(location), signed_in).cookie(clear)
}
