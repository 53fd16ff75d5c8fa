//! From a link to credentials in force, and what a link must not do.

use super::{Began, FactorStep, PasswordStep, Step};
use crate::authn::event::Action;
use crate::authn::factor::totp::TotpSecret;
use crate::authn::fixture::{PASSWORD, PORTAL, Site, actions, after, secret, visitor};
use crate::authn::sign_in::{FirstStep, SecondStep, Visitor};
use crate::authn::vault::SecondFactor;
use crate::base::Secret;
use crate::store::{EnrolmentPurpose, User};

async fn link_for(site: &Site, user: &User, purpose: EnrolmentPurpose) -> Secret<String> {
    let told = site
        .auth
        .enrolment
        .invite(user, purpose, Some("root"), after(0))
        .await
        .unwrap();
    assert_eq!(actions(&told.events), [Action::EnrolmentIssued]);
    assert_eq!(told.value.expires, after(3600));
    told.value.token
}

async fn kim_invited(site: &Site) -> Secret<String> {
    let kim = site.add("kim", &["staff"]).await;
    link_for(site, &kim, EnrolmentPurpose::Join).await
}

fn begin(site: &Site, token: &Secret<String>, cookie: Option<&str>, seconds: u64) -> Began {
    site.auth
        .enrolment
        .begin(token.expose(), cookie, after(seconds))
        .unwrap()
}

fn begun(site: &Site, token: &Secret<String>) -> Secret<String> {
    match begin(site, token, None, 1) {
        Began::Here(cookie) => cookie,
        other => panic!("{other:?}"),
    }
}

async fn give(
    site: &Site,
    cookie: &Secret<String>,
    password: &str,
    visitor: &Visitor<'_>,
) -> PasswordStep {
    let password = secret(password);
    let step = site
        .auth
        .enrolment
        .password(cookie.expose(), &password, visitor);
    step.await.unwrap().value
}

fn shown_secret(site: &Site, cookie: &Secret<String>, seconds: u64) -> TotpSecret {
    let standing = site
        .auth
        .enrolment
        .standing(cookie.expose(), after(seconds));
    match standing.unwrap().unwrap().1 {
        Step::ConfirmFactor { readable, otpauth } => {
            assert!(
                otpauth
                    .expose()
                    .starts_with("otpauth://totp/Example%20Ltd:")
            );
            TotpSecret::from_base32(readable.expose()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

async fn confirm(
    site: &Site,
    cookie: &Secret<String>,
    code: &str,
    visitor: &Visitor<'_>,
) -> FactorStep {
    let code = secret(code);
    let step = site.auth.enrolment.confirm(cookie.expose(), &code, visitor);
    step.await.unwrap().value
}

#[tokio::test]
async fn a_link_leads_to_password_factor_recovery_codes_and_a_session() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let invited = site
        .auth
        .enrolment
        .invited(token.expose(), after(1))
        .unwrap()
        .unwrap();
    assert_eq!(invited.email, "kim@example.com");
    let cookie = begun(&site, &token);
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(2)).await,
        PasswordStep::Next
    ));
    let totp = shown_secret(&site, &cookie, 3);
    let told = site
        .auth
        .enrolment
        .confirm(
            cookie.expose(),
            &secret(&totp.code_at(after(4))),
            &visitor(4),
        )
        .await
        .unwrap();
    let FactorStep::Done { codes, signed_in } = told.value else {
        panic!("the code is right");
    };
    assert_eq!(codes.len(), 10);
    assert_eq!(
        actions(&told.events),
        [
            Action::EnrolmentUsed,
            Action::PasswordChanged,
            Action::SecondFactorEnrolled,
            Action::RecoveryCodesCreated,
            Action::SignInSucceeded,
            Action::SessionCreated,
        ]
    );
    assert!(site.who(&signed_in.cookie, PORTAL, after(5)).is_ok());
    assert!(matches!(begin(&site, &token, None, 5), Began::Gone));
    assert!(
        site.auth
            .enrolment
            .invited(token.expose(), after(5))
            .unwrap()
            .is_none()
    );
    the_ordinary_way_works(&site, &totp, codes[9].text()).await;
}

/// With a later code or one from the list; the code that finished the enrolment is used up.
async fn the_ordinary_way_works(site: &Site, totp: &TotpSecret, recovery_code: &str) {
    let step = site.first("kim", PASSWORD, &visitor(60)).await;
    let FirstStep::Continue { cookie, .. } = step else {
        panic!("{step:?}");
    };
    let used = SecondFactor::Code(secret(&totp.code_at(after(4))));
    let step = site.second(&cookie, &used, &visitor(10)).await;
    assert!(matches!(step, SecondStep::Used), "{step:?}");
    let typed = SecondFactor::RecoveryCode(secret(recovery_code));
    let step = site.second(&cookie, &typed, &visitor(60)).await;
    assert!(matches!(step, SecondStep::SignedIn(_)), "{step:?}");
}

#[tokio::test]
async fn nothing_is_in_force_before_a_code_was_right() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    give(&site, &cookie, PASSWORD, &visitor(2)).await;
    for code in ["", "12345", "abcdef"] {
        assert!(matches!(
            confirm(&site, &cookie, code, &visitor(3)).await,
            FactorStep::Wrong
        ));
    }
    let shown = site.auth.people.show("kim").unwrap();
    assert!(!shown.has_password && !shown.has_second_factor);
    assert!(matches!(
        site.first("kim", PASSWORD, &visitor(3)).await,
        FirstStep::NoMatch
    ));
}

#[tokio::test]
async fn a_code_before_the_password_is_refused() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    assert!(matches!(
        confirm(&site, &cookie, "123456", &visitor(2)).await,
        FactorStep::Gone
    ));
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(2)).await,
        PasswordStep::Next
    ));
}

#[tokio::test]
async fn a_weak_password_is_refused_and_may_be_tried_again() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    for password in ["short", "passwordpassword", "kim@example.com"] {
        let step = give(&site, &cookie, password, &visitor(2)).await;
        assert!(
            matches!(step, PasswordStep::Weak(_)),
            "{password}: {step:?}"
        );
    }
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(2)).await,
        PasswordStep::Next
    ));
}

#[tokio::test]
async fn looking_changes_nothing_and_a_second_browser_cannot_take_over() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    for _scanner in 0..3 {
        assert!(
            site.auth
                .enrolment
                .invited(token.expose(), after(1))
                .unwrap()
                .is_some()
        );
    }
    let cookie = begun(&site, &token);
    assert!(matches!(begin(&site, &token, None, 2), Began::Elsewhere));
    assert!(matches!(
        begin(&site, &token, Some("somebody else's"), 2),
        Began::Elsewhere
    ));
    let Began::Here(same) = begin(&site, &token, Some(cookie.expose()), 2) else {
        panic!("this browser has begun");
    };
    assert_eq!(same, cookie);
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(3)).await,
        PasswordStep::Next
    ));
}

#[tokio::test]
async fn a_link_ends_after_an_hour_also_for_the_browser_that_began() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    let late = visitor(3600);
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &late).await,
        PasswordStep::Gone
    ));
    assert!(matches!(
        begin(&site, &token, Some(cookie.expose()), 3600),
        Began::Gone
    ));
}

#[tokio::test]
async fn a_newer_link_replaces_the_older_and_what_was_begun_with_it() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    let kim = site.auth.people.find("kim").unwrap();
    let newer = link_for(&site, &kim, EnrolmentPurpose::Join).await;
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(2)).await,
        PasswordStep::Gone
    ));
    assert!(matches!(begin(&site, &token, None, 2), Began::Gone));
    begun(&site, &newer);
}

#[tokio::test]
async fn a_disabled_person_cannot_enrol() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    drop(site.auth.people.disable("kim", after(2)).await.unwrap());
    assert!(matches!(begin(&site, &token, None, 3), Began::Gone));
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(3)).await,
        PasswordStep::Gone
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_finishing_at_once_exactly_one_finishes() {
    let site = Site::with_ana().await;
    let token = kim_invited(&site).await;
    let cookie = begun(&site, &token);
    give(&site, &cookie, PASSWORD, &visitor(2)).await;
    let code = shown_secret(&site, &cookie, 3).code_at(after(4));
    let visitor = visitor(4);
    let tries = (0..8).map(|_try| confirm(&site, &cookie, &code, &visitor));
    let outcomes = futures_util::future::join_all(tries).await;
    let done = outcomes
        .iter()
        .filter(|step| matches!(step, FactorStep::Done { .. }))
        .count();
    assert_eq!(done, 1, "{outcomes:?}");
    assert_eq!(site.auth.sessions.count(), 1);
}

#[tokio::test]
async fn a_new_factor_asks_for_the_password_in_force_and_ends_older_sessions() {
    let site = Site::with_ana().await;
    let old = site.signed_in(&visitor(0)).await;
    let ana = site.auth.people.find("ana").unwrap();
    let token = link_for(&site, &ana, EnrolmentPurpose::NewFactor).await;
    let cookie = begun(&site, &token);
    let wrong = give(&site, &cookie, "not the password at all", &visitor(2)).await;
    assert!(matches!(wrong, PasswordStep::NoMatch));
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(3)).await,
        PasswordStep::Next
    ));
    let totp = shown_secret(&site, &cookie, 4);
    let step = confirm(&site, &cookie, &totp.code_at(after(60)), &visitor(60)).await;
    let FactorStep::Done { signed_in, .. } = step else {
        panic!("{step:?}");
    };
    assert!(site.who(&old.cookie, PORTAL, after(61)).is_err());
    assert!(old.principal.session.cancelled.is_cancelled());
    assert!(site.who(&signed_in.cookie, PORTAL, after(61)).is_ok());
}

#[tokio::test]
async fn guessing_the_password_through_a_link_is_slowed_down_too() {
    let site = Site::with_ana().await;
    let ana = site.auth.people.find("ana").unwrap();
    let token = link_for(&site, &ana, EnrolmentPurpose::NewFactor).await;
    let cookie = begun(&site, &token);
    for _try in 0..6 {
        give(&site, &cookie, "guess guess guess", &visitor(2)).await;
    }
    let step = give(&site, &cookie, PASSWORD, &visitor(2)).await;
    assert!(matches!(step, PasswordStep::TryLater(_)), "{step:?}");
}

#[tokio::test]
async fn a_new_password_still_asks_for_the_second_factor() {
    let site = Site::with_ana().await;
    let ana = site.auth.people.find("ana").unwrap();
    let token = link_for(&site, &ana, EnrolmentPurpose::NewPassword).await;
    let cookie = begun(&site, &token);
    let new = secret("violet harbour 9 lantern");
    let renew = async |factor: &SecondFactor, password: &Secret<String>, seconds| {
        let visitor = visitor(seconds);
        let step = site
            .auth
            .enrolment
            .renew_password(cookie.expose(), factor, password, &visitor);
        step.await.unwrap().value
    };
    assert!(matches!(
        give(&site, &cookie, PASSWORD, &visitor(1)).await,
        PasswordStep::Gone
    ));
    let wrong = SecondFactor::Code(secret("12345"));
    assert!(matches!(
        renew(&wrong, &new, 2).await,
        PasswordStep::NoMatch
    ));
    let right = site.code(after(3));
    assert!(matches!(
        renew(&right, &secret("short"), 3).await,
        PasswordStep::Weak(_)
    ));
    assert!(matches!(
        renew(&right, &new, 3).await,
        PasswordStep::SignedIn(_)
    ));
    assert!(matches!(renew(&right, &new, 3).await, PasswordStep::Gone));
    assert!(matches!(
        site.first("ana", PASSWORD, &visitor(60)).await,
        FirstStep::NoMatch
    ));
    let step = site.first("ana", new.expose(), &visitor(60)).await;
    assert!(matches!(step, FirstStep::Continue { .. }));
}
