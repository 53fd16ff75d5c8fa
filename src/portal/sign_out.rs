//! The end of a session by its person's wish, in every app at once.

use super::answer::{Answer, Outcome};
use super::destination::Destination;
use super::visit::Visit;
use crate::message::cookie::Keep;
use crate::pages::{SignOut, SignedOut, paths};

/// In the query of the page: every session was ended.
pub(super) const EVERYWHERE: &str = "everywhere";

/// Asks first: links from apps and from refusals lead here, and no link ends a session by itself.
pub(super) fn ask(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    Ok(Answer::page(&SignOut {
        frame: visit.frame(),
        form: visit.form(paths::SIGN_OUT, &Destination::default()),
        login: person.email.to_string(),
        cancel: paths::APPS.to_owned(),
    }))
}

/// Ends this browser's session. Without one the browser is signed out already.
pub(super) async fn take(visit: &Visit<'_>) -> Outcome {
    if let Some(person) = &visit.person {
        let told = visit.portal.auth.sign_out(person, visit.now()).await?;
        visit.told(told).await?;
    }
    Ok(ended(visit, paths::SIGNED_OUT))
}

/// To `location`, without a session cookie.
pub(super) fn ended(visit: &Visit<'_>, location: &str) -> Answer {
    let sign_in = visit.set_cookie(crate::authn::cookie::SIGN_IN, "", Keep::Never);
    Answer::to(location)
        .cookie(visit.clear_session())
        .cookie(sign_in)
}

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    let everywhere = visit.query.get(EVERYWHERE).is_some();
    Answer::page(&SignedOut {
        frame: visit.frame(),
        everywhere,
    })
}

/// On an app's host: the portal's page that asks.
pub(super) fn elsewhere(visit: &Visit<'_>) -> Answer {
    Answer::to(&format!(
        "{}{}",
        visit.plan().portal_origin(),
        paths::SIGN_OUT
    ))
}
