//! Recovery codes: how many are left, and making new ones.
//!
//! New codes are kept in memory for the session that made them until they are stored, so that they can be shown and
//! downloaded; after ten minutes, or the word of the person, nobody can read them any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, HeaderName};
use parking_lot::Mutex;

use super::Fields;
use super::answer::{Answer, Outcome, Stop};
use super::destination::Destination;
use super::visit::Visit;
use crate::authn::Principal;
use crate::authn::factor::recovery_code::RecoveryCode;
use crate::base::{SessionId, Timestamp};
use crate::pages::{
    CodesPage, FormError, Mishap, Progress, RecoveryCodes, Step, codes_as_text, paths, words,
};

const SHOWN_FOR: Duration = Duration::from_secs(600);

/// Codes that wait to be stored by their owner.
#[derive(Debug, Clone)]
struct Fresh {
    codes: Arc<[RecoveryCode]>,
    made: Timestamp,
    enrolling: bool,
}

/// By the session that made them.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<HashMap<SessionId, Fresh>>);

impl Shown {
    /// Keeps codes to be shown to this session.
    pub(super) fn put(
        &self,
        session: &SessionId,
        codes: Vec<RecoveryCode>,
        enrolling: bool,
        now: Timestamp,
    ) {
        self.sweep(now);
        let fresh = Fresh {
            codes: codes.into(),
            made: now,
            enrolling,
        };
        self.0.lock().insert(session.clone(), fresh);
    }

    fn get(&self, session: &SessionId, now: Timestamp) -> Option<Fresh> {
        let found = self.0.lock().get(session).cloned();
        found.filter(|fresh| now.since(fresh.made) < SHOWN_FOR)
    }

    fn forget(&self, session: &SessionId) {
        self.0.lock().remove(session);
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.0
            .lock()
            .retain(|_session, fresh| now.since(fresh.made) < SHOWN_FOR);
    }
}

pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    let described = visit.portal.auth.people.show(&person.login)?;
    let left = described.recovery_codes_left;
    Ok(Answer::page(&RecoveryCodes {
        frame: visit.frame(),
        form: visit.form(paths::RECOVERY_CODES, &Destination::default()),
        left,
        of: visit.portal.auth.rules().recovery_codes.max(left),
        made: described.recovery_codes_made.map(|made| visit.moment(made)),
    }))
}

/// Puts new codes in force; the table has asked for a fresh second factor.
pub(super) async fn make(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    visit.check_log()?;
    let told = visit
        .portal
        .auth
        .new_recovery_codes(person, visit.now())
        .await?;
    let Some(codes) = visit.told(told).await? else {
        return Ok(super::confirm::first(visit));
    };
    visit
        .portal
        .codes
        .put(&person.session.id, codes, false, visit.now());
    Ok(Answer::to(paths::NEW_CODES))
}

fn page(visit: &Visit<'_>, person: &Principal, fresh: &Fresh, errors: Vec<FormError>) -> CodesPage {
    let mut form = visit.form(paths::NEW_CODES, &Destination::default());
    form.errors = errors;
    CodesPage {
        frame: visit.frame(),
        form,
        progress: fresh.enrolling.then(|| Progress::full(Step::RecoveryCodes)),
        login: person.email.to_string(),
        codes: fresh
            .codes
            .iter()
            .map(|code| code.text().to_owned())
            .collect(),
        download: paths::NEW_CODES_FILE.to_owned(),
        made: visit.moment(fresh.made),
    }
}

/// The codes, or the overview when there are none to show.
fn fresh<'a>(visit: &'a Visit<'_>) -> Result<(&'a Arc<Principal>, Fresh), Stop> {
    let person = visit.signed_in()?;
    let found = visit.portal.codes.get(&person.session.id, visit.now());
    found
        .map(|fresh| (person, fresh))
        .ok_or_else(|| Answer::to(paths::RECOVERY_CODES).into())
}

pub(super) fn new(visit: &Visit<'_>) -> Outcome {
    let (person, fresh) = fresh(visit)?;
    Ok(Answer::page(&page(visit, person, &fresh, Vec::new())))
}

/// The person says that the codes are stored.
pub(super) fn stored(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let (person, fresh) = fresh(visit)?;
    if fields.text("stored") != "yes" {
        let error = FormError::at("stored", words::CODES_NOT_STORED);
        return Ok(visit.again(Answer::page(&page(visit, person, &fresh, vec![error]))));
    }
    visit.portal.codes.forget(&person.session.id);
    Ok(Answer::to(if fresh.enrolling {
        paths::APPS
    } else {
        paths::RECOVERY_CODES
    }))
}

pub(super) fn text(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    let fresh = visit
        .portal
        .codes
        .get(&person.session.id, visit.now())
        .ok_or(Mishap::NoPage)?;
    let page = page(visit, person, &fresh, Vec::new());
    let text = codes_as_text(&page, &visit.plan().portal().to_string());
    let name: HeaderName = CONTENT_DISPOSITION;
    Ok(
        Answer::of(StatusCode::OK, "text/plain; charset=utf-8", text)
            .with(name, "attachment; filename=\"recovery-codes.txt\""),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SHOWN_FOR, Shown};
    use crate::authn::factor::recovery_code::RecoveryCode;
    use crate::base::{SessionId, Timestamp};

    #[test]
    fn codes_are_shown_to_their_session_only_and_for_ten_minutes() {
        let (mine, other) = (SessionId::new("s-mine"), SessionId::new("s-other"));
        let (shown, now) = (Shown::default(), Timestamp::from_secs(1000));
        shown.put(&mine, RecoveryCode::generate_set(10), false, now);
        assert_eq!(shown.get(&mine, now).unwrap().codes.len(), 10);
        assert!(shown.get(&other, now).is_none());
        assert!(shown.get(&mine, now.plus(SHOWN_FOR)).is_none());
        shown.put(
            &other,
            RecoveryCode::generate_set(1),
            true,
            now.plus(SHOWN_FOR - Duration::from_secs(1)),
        );
        shown.forget(&mine);
        assert!(shown.get(&mine, now).is_none());
    }
}
