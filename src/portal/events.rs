//! From what `authn` says happened to the audit log and the metrics.
//!
//! Changes of factors and passwords are on disk before the person sees that they worked.
#![deny(clippy::wildcard_enum_match_arm)]

use super::Portal;
use super::answer::Stop;
use super::visit::Visit;
use crate::audit::{Action, Actor};
use crate::authn::Method;
use crate::authn::event::Event;

impl Portal {
    /// Records `events` in their order. An event that must survive takes all before it along.
    pub(super) async fn record(&self, events: Vec<Event>, visit: &Visit<'_>) -> Result<(), Stop> {
        let last = events.iter().rposition(|event| must_survive(event.action));
        for (place, event) in events.into_iter().enumerate() {
            if let Some((method, outcome)) = counted(&event) {
                self.metrics.sign_in(method, outcome);
            }
            let visitor = visit.visitor();
            let mut entry = event
                .record(visit.now())
                .from(visitor.address, visitor.user_agent)
                .in_request(visit.cx.facts.id);
            if let Some(person) = &visit.person {
                entry = entry.by(Actor::Person(person.id.clone()));
            }
            if Some(place) == last {
                self.audit.record_durably(entry).await?;
            } else {
                self.audit.record(entry);
            }
        }
        Ok(())
    }
}

/// Credentials have changed.
fn must_survive(action: Action) -> bool {
    matches!(
        action,
        Action::SecondFactorEnrolled
            | Action::SecondFactorRemoved
            | Action::SecondFactorReset
            | Action::RecoveryCodesCreated
            | Action::RecoveryCodeUsed
            | Action::PasswordChanged
            | Action::EnrolmentUsed
    )
}

/// Method and outcome of a sign-in, as `portcullis_sign_ins` counts them.
fn counted(event: &Event) -> Option<(&'static str, &'static str)> {
    let detail = |wanted: &str| {
        event
            .details
            .iter()
            .find(|(name, _value)| *name == wanted)
            .map(|(_name, value)| value)
    };
    let second = |text: Option<&String>| {
        let known = [Method::RecoveryCode, Method::Totp];
        let found = known.iter().find(|method| {
            text.is_some_and(|text| text.split(' ').any(|word| word == method.code()))
        });
        found.map_or(Method::Totp.code(), |method| method.code())
    };
    if event.action == Action::SignInSucceeded {
        return Some((second(detail("portcullis.session.methods")), "succeeded"));
    }
    if event.action == Action::SignInFailed {
        return Some((Method::Password.code(), "failed"));
    }
    if event.action == Action::SecondFactorFailed {
        return Some((second(detail("portcullis.factor")), "failed"));
    }
    (event.action == Action::SignInThrottled).then_some((Method::Password.code(), "throttled"))
}

#[cfg(test)]
mod tests {
    use super::{counted, must_survive};
    use crate::audit::Action;
    use crate::authn::event::Event;

    #[test]
    fn sign_ins_are_counted_by_method_and_outcome() {
        let succeeded = Event::new(Action::SignInSucceeded);
        for (event, expected) in [
            (
                succeeded
                    .clone()
                    .detail("portcullis.session.methods", "password totp"),
                Some(("totp", "succeeded")),
            ),
            (
                succeeded.detail("portcullis.session.methods", "password recovery-code"),
                Some(("recovery-code", "succeeded")),
            ),
            (
                Event::new(Action::SignInFailed),
                Some(("password", "failed")),
            ),
            (
                Event::new(Action::SecondFactorFailed),
                Some(("totp", "failed")),
            ),
            (
                Event::new(Action::SignInThrottled),
                Some(("password", "throttled")),
            ),
            (Event::new(Action::SessionCreated), None),
        ] {
            assert_eq!(counted(&event), expected, "{:?}", event.action);
        }
    }

    #[test]
    fn every_change_of_a_credential_waits_for_the_disk() {
        let waiting: Vec<&str> = Action::ALL
            .iter()
            .filter(|action| must_survive(**action))
            .map(|action| action.code())
            .collect();
        assert_eq!(
            waiting,
            [
                "second_factor.enrolled",
                "second_factor.removed",
                "second_factor.reset",
                "recovery_code.used",
                "recovery_code.created",
                "password.changed",
                "user.enrolment_used",
            ]
        );
    }
}
