//! A person's own sessions: the list, ending one, ending all.

use std::cmp::Reverse;
use std::sync::Arc;

use super::answer::{Answer, Outcome};
use super::destination::Destination;
use super::visit::Visit;
use super::{Fields, browser, sign_out};
use crate::authn::session::live::Live;
use crate::authn::{Method, Principal};
use crate::base::SessionId;
use crate::pages::{SessionRow, Sessions, paths, words};

/// What the last action did, in the query.
const DONE: &str = "done";

pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    let mut live = visit.portal.auth.sessions.of(&person.id);
    live.sort_by_key(|one| (one.id != person.session.id, Reverse(one.last_seen())));
    let notice = match visit.query.text(DONE) {
        "ended" => Some(words::SESSION_ENDED),
        "gone" => Some(words::SESSION_GONE),
        "others" => Some(words::SESSIONS_ENDED),
        _ => None,
    };
    Ok(Answer::page(&Sessions {
        frame: visit.frame(),
        form: visit.form(paths::SESSIONS, &Destination::default()),
        sessions: live.iter().map(|one| row(visit, person, one)).collect(),
        notice: notice.map(str::to_owned),
    }))
}

fn row(visit: &Visit<'_>, person: &Principal, live: &Arc<Live>) -> SessionRow {
    let rules = visit.portal.auth.rules().session;
    let principal = live.principal();
    let address = live
        .origin
        .address
        .map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    SessionRow {
        id: live.id.to_string(),
        current: live.id == person.session.id,
        browser: browser::describe(live.origin.user_agent.as_deref()),
        address,
        signed_in: visit.moment(live.signed_in_at),
        last_seen: visit.moment(live.last_seen()),
        methods: methods(&principal.session.methods),
        ends: visit.moment(live.signed_in_at.plus(rules.lifetime)),
    }
}

fn methods(methods: &[Method]) -> String {
    let words: Vec<&str> = methods
        .iter()
        .map(|method| match method {
            Method::Password => "password",
            Method::Totp => "code",
            Method::RecoveryCode => "recovery code",
        })
        .collect();
    words.join(" and ")
}

/// Ends one of this person's sessions; their own present one signs them out here.
pub(super) async fn end(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let person = visit.signed_in()?;
    let session = SessionId::new(fields.text("session"));
    let told = visit
        .portal
        .auth
        .end_own(person, &session, visit.now())
        .await?;
    let ended = visit.told(told).await?;
    if ended && session == person.session.id {
        return Ok(sign_out::ended(visit, paths::SIGNED_OUT));
    }
    let done = if ended { "ended" } else { "gone" };
    Ok(Answer::to(&format!("{}?{DONE}={done}", paths::SESSIONS)))
}

/// Ends them all, this one too unless the form keeps it.
pub(super) async fn end_all(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let person = visit.signed_in()?;
    let keep = fields.text("keep") == "this";
    let told = visit
        .portal
        .auth
        .sign_out_everywhere(person, keep, visit.now())
        .await?;
    visit.told(told).await?;
    if keep {
        return Ok(Answer::to(&format!("{}?{DONE}=others", paths::SESSIONS)));
    }
    Ok(sign_out::ended(
        visit,
        &format!("{}?{}=1", paths::SIGNED_OUT, sign_out::EVERYWHERE),
    ))
}
