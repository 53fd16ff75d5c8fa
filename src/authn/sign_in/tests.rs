//! Both steps of sign-in and step-up, each right way beside its refused twins.

use super::{Confirmed, FirstStep, SecondStep, Visitor};
use crate::authn::event::Action;
use crate::authn::factor::recovery_code::RecoveryCode;
use crate::authn::fixture::{
    APP, PASSWORD, PORTAL, Site, actions, after, secret, visitor, visitor_from,
};
use crate::authn::vault::SecondFactor;
use crate::authn::{BadCredential, Method};
use crate::base::Secret;
use crate::config::PasswordCost;
use crate::store::UserState;

async fn password_given(site: &Site, visitor: &Visitor<'_>) -> Secret<String> {
    match site.first("ana", PASSWORD, visitor).await {
        FirstStep::Continue { cookie } => cookie,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn password_and_code_make_a_session_on_the_portal_and_nowhere_else() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let principal = site.who(&signed_in.cookie, PORTAL, after(1)).unwrap();
    assert_eq!(&*principal.login, "ana");
    assert!(principal.groups.contains("staff"));
    assert_eq!(principal.session.methods, [Method::Password, Method::Totp]);
    assert_eq!(principal.session.verified_at, after(0));
    assert_eq!(
        site.who(&signed_in.cookie, APP, after(1)).unwrap_err(),
        BadCredential::Unknown
    );
}

#[tokio::test]
async fn every_spelling_of_the_name_is_the_same_person() {
    let site = Site::with_ana().await;
    for name in ["ana", "ANA", " ana ", "ana@example.com", "Ana@Example.COM"] {
        let step = site.first(name, PASSWORD, &visitor(0)).await;
        assert!(
            matches!(step, FirstStep::Continue { .. }),
            "{name}: {step:?}"
        );
    }
}

#[tokio::test]
async fn the_first_step_opens_nothing() {
    let site = Site::with_ana().await;
    let cookie = password_given(&site, &visitor(0)).await;
    assert_eq!(
        site.who(&cookie, PORTAL, after(1)).unwrap_err(),
        BadCredential::Unknown
    );
    assert_eq!(site.auth.sessions.count(), 0);
    let email = site.auth.sign_in.half_way(cookie.expose(), after(1));
    assert_eq!(email.as_deref(), Some("ana@example.com"));
    assert_eq!(
        site.auth.sign_in.half_way(cookie.expose(), after(300)),
        None
    );
}

#[tokio::test]
async fn every_step_has_an_identifier_of_its_own() {
    let site = Site::with_ana().await;
    let first = password_given(&site, &visitor(0)).await;
    let SecondStep::SignedIn(done) = site.second(&first, &site.code(after(0)), &visitor(0)).await
    else {
        panic!("the code is right");
    };
    assert_ne!(first, done.cookie);
    assert_eq!(site.auth.sign_in.half_way(first.expose(), after(1)), None);
    assert!(matches!(
        site.second(&first, &site.code(after(60)), &visitor(60))
            .await,
        SecondStep::StartAgain
    ));
}

#[tokio::test]
async fn unknown_wrong_and_disabled_get_the_same_answer() {
    let site = Site::with_ana().await;
    let kim = site.add("kim", &[]).await;
    site.give_factors(&kim, &site.totp).await;
    drop(site.auth.people.disable("kim", after(0)).await.unwrap());
    site.add("new", &[]).await;
    for (name, password) in [
        ("ana", "not the password at all"),
        ("nobody", PASSWORD),
        ("kim", PASSWORD),
        ("new", PASSWORD),
        ("", PASSWORD),
        ("a name with spaces", PASSWORD),
        ("ana", ""),
    ] {
        let told = site
            .auth
            .sign_in
            .first_step(name, &secret(password), &visitor(0))
            .await
            .unwrap();
        assert!(matches!(told.value, FirstStep::NoMatch), "{name}");
        assert_eq!(actions(&told.events), [Action::SignInFailed], "{name}");
    }
}

#[tokio::test]
async fn after_a_change_of_cost_the_right_password_is_hashed_anew_and_a_wrong_one_is_not() {
    let cost = PasswordCost {
        memory: 19_456,
        passes: 2,
        lanes: 1,
    };
    let site = Site::with_ana().await.restarted_at(cost);
    let ana = site.auth.people.find("ana").unwrap();
    let stored = || site.store.passwords.password(&ana.id).unwrap().unwrap().phc;
    let before = stored();
    assert!(before.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"));
    let wrong = site
        .first("ana", "not the password at all", &visitor(0))
        .await;
    assert!(matches!(wrong, FirstStep::NoMatch));
    assert_eq!(stored(), before);
    password_given(&site, &visitor(0)).await;
    assert!(stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    password_given(&site, &visitor(0)).await;
}

#[tokio::test]
async fn a_person_without_second_factor_is_not_let_in() {
    let site = Site::with_ana().await;
    let ana = site.auth.people.find("ana").unwrap();
    site.store.factors.remove_factors(ana.id).await.unwrap();
    assert!(matches!(
        site.first("ana", PASSWORD, &visitor(0)).await,
        FirstStep::NoSecondFactor
    ));
    assert_eq!(site.auth.sessions.count(), 0);
}

#[tokio::test]
async fn a_code_works_once_also_for_another_sign_in() {
    let site = Site::with_ana().await;
    let one = password_given(&site, &visitor(0)).await;
    let two = password_given(&site, &visitor(0)).await;
    let code = site.code(after(0));
    assert!(matches!(
        site.second(&one, &code, &visitor(0)).await,
        SecondStep::SignedIn(_)
    ));
    assert!(matches!(
        site.second(&two, &code, &visitor(0)).await,
        SecondStep::Used
    ));
    let before = site.code(after(0).minus(std::time::Duration::from_secs(30)));
    assert!(matches!(
        site.second(&two, &before, &visitor(1)).await,
        SecondStep::Used
    ));
    assert_eq!(site.auth.sessions.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_with_one_code_exactly_one_gets_in() {
    let site = Site::with_ana().await;
    let mut cookies = Vec::new();
    for _time in 0..5 {
        cookies.push(password_given(&site, &visitor(0)).await);
    }
    let code = site.code(after(0));
    let visitor = visitor(0);
    let steps = cookies
        .iter()
        .map(|cookie| site.second(cookie, &code, &visitor));
    let outcomes = futures_util::future::join_all(steps).await;
    let inside = outcomes
        .iter()
        .filter(|step| matches!(step, SecondStep::SignedIn(_)))
        .count();
    assert_eq!(inside, 1, "{outcomes:?}");
    assert_eq!(site.auth.sessions.count(), 1);
}

#[tokio::test]
async fn a_recovery_code_is_a_second_factor_once() {
    let site = Site::with_ana().await;
    let ana = site.auth.people.find("ana").unwrap();
    let codes = RecoveryCode::generate_set(3);
    let hashes = codes.iter().map(|code| code.hash(&ana.id)).collect();
    let write = site
        .store
        .recovery_codes
        .replace(ana.id.clone(), hashes, after(0));
    write.await.unwrap();
    let typed = SecondFactor::RecoveryCode(secret(&codes[0].text().to_uppercase()));
    let cookie = password_given(&site, &visitor(0)).await;
    let told = site
        .auth
        .sign_in
        .second_step(cookie.expose(), &typed, None, &visitor(0))
        .await
        .unwrap();
    let SecondStep::SignedIn(signed_in) = told.value else {
        panic!("the code is right");
    };
    assert_eq!(signed_in.recovery_codes_left, Some(2));
    assert_eq!(
        signed_in.principal.session.methods,
        [Method::Password, Method::RecoveryCode]
    );
    assert!(actions(&told.events).contains(&Action::RecoveryCodeUsed));
    let cookie = password_given(&site, &visitor(1)).await;
    assert!(matches!(
        site.second(&cookie, &typed, &visitor(1)).await,
        SecondStep::Wrong
    ));
}

#[tokio::test]
async fn wrong_codes_count_although_the_password_is_right() {
    let site = Site::with_ana().await;
    let mut tries = 0;
    loop {
        let step = site.first("ana", PASSWORD, &visitor(0)).await;
        let FirstStep::Continue { cookie, .. } = step else {
            assert!(matches!(step, FirstStep::TryLater(_)));
            break;
        };
        let wrong = SecondFactor::Code(secret("12345"));
        match site.second(&cookie, &wrong, &visitor(0)).await {
            SecondStep::Wrong => tries += 1,
            SecondStep::TryLater(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tries, 6);
    site.store.upkeep.flush().await.unwrap();
    let restarted = site.restarted();
    let later = restarted.first("ana", PASSWORD, &visitor(0)).await;
    assert!(
        matches!(later, FirstStep::TryLater(_)),
        "a restart forgets nothing: {later:?}"
    );
}

#[tokio::test]
async fn strangers_lock_out_neither_the_owners_device_nor_the_owners_session() {
    let site = Site::with_ana().await;
    let mine = site.signed_in(&visitor(0)).await;
    for last in 0..6 {
        let step = site
            .first("ana", "guess guess guess", &visitor_from(last, 60))
            .await;
        assert!(matches!(step, FirstStep::NoMatch));
    }
    let stranger = site.first("ana", PASSWORD, &visitor_from(99, 60)).await;
    assert!(matches!(stranger, FirstStep::TryLater(until) if until == after(61)));
    let owner = Visitor {
        device: Some(&mine.device),
        ..visitor_from(99, 60)
    };
    site.signed_in(&owner).await;
    assert!(site.who(&mine.cookie, PORTAL, after(60)).is_ok());
}

#[tokio::test]
async fn somebody_disabled_between_the_steps_does_not_get_in() {
    let site = Site::with_ana().await;
    let cookie = password_given(&site, &visitor(0)).await;
    drop(site.auth.people.disable("ana", after(0)).await.unwrap());
    assert!(matches!(
        site.second(&cookie, &site.code(after(1)), &visitor(1))
            .await,
        SecondStep::StartAgain
    ));
    drop(site.auth.people.enable("ana").await.unwrap());
    assert!(matches!(
        site.second(&cookie, &site.code(after(1)), &visitor(1))
            .await,
        SecondStep::StartAgain
    ));
}

#[tokio::test]
async fn signing_in_again_ends_the_session_of_this_browser() {
    let site = Site::with_ana().await;
    let old = site.signed_in(&visitor(0)).await;
    let cookie = password_given(&site, &visitor(60)).await;
    let previous = &old.principal.session.id;
    let (code, visitor) = (site.code(after(60)), visitor(60));
    let sign_in = &site.auth.sign_in;
    let step = sign_in.second_step(cookie.expose(), &code, Some(previous), &visitor);
    let SecondStep::SignedIn(new) = step.await.unwrap().value else {
        panic!("the code is right");
    };
    assert!(site.who(&old.cookie, PORTAL, after(61)).is_err());
    assert!(site.who(&new.cookie, PORTAL, after(61)).is_ok());
}

#[tokio::test]
async fn a_session_too_many_ends_the_oldest() {
    let site = Site::with_ana().await;
    let mut sessions = Vec::new();
    for number in 0..4 {
        sessions.push(site.signed_in(&visitor(number * 60)).await);
    }
    let now = after(300);
    let live: Vec<bool> = sessions
        .iter()
        .map(|one| site.who(&one.cookie, PORTAL, now).is_ok())
        .collect();
    assert_eq!(live, [false, true, true, true]);
    assert!(sessions[0].principal.session.cancelled.is_cancelled());
}

#[tokio::test]
async fn confirming_refreshes_the_second_factor_and_the_identifier() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let principal = site.who(&signed_in.cookie, PORTAL, after(600)).unwrap();
    let told = site
        .confirm(&principal, &site.code(after(600)), &visitor(600))
        .await;
    assert_eq!(
        actions(&told.events),
        [Action::SecondFactorSucceeded, Action::SessionRenewed]
    );
    let Confirmed::Yes { cookie, .. } = told.value else {
        panic!("the code is right");
    };
    assert!(site.who(&signed_in.cookie, PORTAL, after(601)).is_err());
    let renewed = site.who(&cookie, PORTAL, after(601)).unwrap();
    assert_eq!(renewed.session.verified_at, after(600));
    assert_eq!(renewed.session.signed_in_at, after(0));
    assert_eq!(renewed.session.id, principal.session.id);
}

#[tokio::test]
async fn a_wrong_confirmation_changes_nothing_and_is_slowed_down() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let principal = site.who(&signed_in.cookie, PORTAL, after(60)).unwrap();
    let wrong = SecondFactor::Code(secret("12345"));
    for _time in 0..6 {
        let told = site.confirm(&principal, &wrong, &visitor(60)).await;
        assert!(matches!(told.value, Confirmed::Wrong));
        assert_eq!(actions(&told.events), [Action::SecondFactorFailed]);
    }
    let told = site.confirm(&principal, &wrong, &visitor(60)).await;
    assert!(matches!(told.value, Confirmed::TryLater(_)));
    let still = site.who(&signed_in.cookie, PORTAL, after(61)).unwrap();
    assert_eq!(still.session.verified_at, after(0));
}

#[tokio::test]
async fn a_session_that_ended_cannot_be_confirmed() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let principal = site.who(&signed_in.cookie, PORTAL, after(60)).unwrap();
    drop(
        site.auth
            .people
            .revoke_all(Some("ana"), after(60))
            .await
            .unwrap(),
    );
    let told = site
        .confirm(&principal, &site.code(after(60)), &visitor(60))
        .await;
    assert!(matches!(told.value, Confirmed::SignInAgain));
    assert_eq!(site.auth.sessions.count(), 0);
}

#[tokio::test]
async fn no_event_carries_a_secret() {
    let site = Site::with_ana().await;
    let (visitor, sign_in) = (visitor(0), &site.auth.sign_in);
    let wrong = secret("hunter2 hunter2 hunter2");
    let failed = sign_in.first_step("ana", &wrong, &visitor).await.unwrap();
    let right = sign_in
        .first_step("ana", &secret(PASSWORD), &visitor)
        .await
        .unwrap();
    let FirstStep::Continue { cookie, .. } = &right.value else {
        panic!("the password is right");
    };
    let code = site.totp.code_at(visitor.now);
    let factor = SecondFactor::Code(secret(&code));
    let done = sign_in
        .second_step(cookie.expose(), &factor, None, &visitor)
        .await
        .unwrap();
    let printed = format!("{failed:?} {right:?} {done:?}");
    for hidden in ["hunter2", PASSWORD, cookie.expose(), code.as_str()] {
        assert!(!printed.contains(hidden), "{hidden}");
    }
    let ana = site.auth.people.find("ana").unwrap();
    assert_eq!(ana.state, UserState::Active);
    assert_eq!(ana.last_sign_in, Some(visitor.now));
}
