//! Administration of people, the last administrator, and imports.

use std::collections::BTreeSet;

use super::{NewPerson, PeopleError};
use crate::authn::event::Action;
use crate::authn::fixture::{PASSWORD, PORTAL, Site, actions, after, secret, visitor};
use crate::authn::sign_in::{FirstStep, SecondStep};
use crate::authn::vault::SecondFactor;
use crate::store::UserState;

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn person(login: &str) -> NewPerson {
    NewPerson {
        login: login.to_owned(),
        email: None,
        name: None,
        groups: BTreeSet::new(),
        tenant: "default".to_owned(),
        contractor: false,
    }
}

#[tokio::test]
async fn a_person_is_added_in_one_spelling_and_found_in_every() {
    let site = Site::empty();
    let told = site
        .auth
        .people
        .add(person("Kim@Example.com"), after(0))
        .await
        .unwrap();
    assert_eq!(actions(&told.events), [Action::UserCreated]);
    let kim = told.value;
    assert_eq!(
        (kim.login.as_str(), kim.email.as_str()),
        ("kim@example.com", "kim@example.com")
    );
    assert!(kim.id.as_str().starts_with("u-"));
    assert_eq!(
        site.auth.people.find(" KIM@example.COM ").unwrap().id,
        kim.id
    );
    assert!(matches!(
        site.auth.people.find("lena"),
        Err(PeopleError::Nobody(_))
    ));
    let shown = site.auth.people.show("kim@example.com").unwrap();
    assert!(!shown.has_password && !shown.has_second_factor);
    assert_eq!(site.auth.people.list().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_a_person_is_refused() {
    let site = Site::empty();
    drop(
        site.auth
            .people
            .add(person("kim@example.com"), after(0))
            .await
            .unwrap(),
    );
    let add = async |new: NewPerson| site.auth.people.add(new, after(0)).await.unwrap_err();
    assert!(matches!(
        add(person("KIM@example.com")).await,
        PeopleError::Taken(_)
    ));
    assert!(matches!(add(person("no mail")).await, PeopleError::Name(_)));
    assert!(matches!(add(person("nomail")).await, PeopleError::Email(_)));
    assert!(matches!(
        add(person("a@b@example.com")).await,
        PeopleError::Email(_)
    ));
    assert!(matches!(add(person("")).await, PeopleError::Name(_)));
    let new = NewPerson {
        groups: BTreeSet::from(["Not A Group".to_owned()]),
        ..person("lena@example.com")
    };
    assert!(matches!(add(new).await, PeopleError::Group(_)));
    let new = NewPerson {
        name: Some("Lena\u{7}".to_owned()),
        ..person("lena@example.com")
    };
    assert!(matches!(add(new).await, PeopleError::Text));
    assert_eq!(site.auth.people.list().unwrap().len(), 1);
}

#[tokio::test]
async fn disabling_ends_sessions_now_and_enabling_does_not_revive_them() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let told = site.auth.people.disable("ana", after(1)).await.unwrap();
    assert_eq!(
        actions(&told.events),
        [Action::UserDisabled, Action::SessionEnded]
    );
    assert!(site.who(&signed_in.cookie, PORTAL, after(1)).is_err());
    assert!(signed_in.principal.session.cancelled.is_cancelled());
    assert!(matches!(
        site.first("ana", PASSWORD, &visitor(2)).await,
        FirstStep::NoMatch
    ));
    let told = site.auth.people.enable("ana").await.unwrap();
    assert_eq!(actions(&told.events), [Action::UserEnabled]);
    assert!(site.who(&signed_in.cookie, PORTAL, after(3)).is_err());
    site.signed_in(&visitor(60)).await;
}

#[tokio::test]
async fn enabling_forgives_failed_attempts() {
    let site = Site::with_ana().await;
    for _try in 0..6 {
        site.first("ana", "guess guess guess", &visitor(0)).await;
    }
    assert!(matches!(
        site.first("ana", PASSWORD, &visitor(0)).await,
        FirstStep::TryLater(_)
    ));
    drop(site.auth.people.enable("ana").await.unwrap());
    site.signed_in(&visitor(0)).await;
}

#[tokio::test]
async fn a_group_change_holds_for_the_next_request() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let told = site
        .auth
        .people
        .add_to_group("ana", "finance", after(1))
        .await
        .unwrap();
    assert_eq!(actions(&told.events), [Action::GroupMemberAdded]);
    let groups = |seconds| {
        site.who(&signed_in.cookie, PORTAL, after(seconds))
            .unwrap()
            .groups
            .clone()
    };
    assert!(groups(2).contains("finance"));
    drop(
        site.auth
            .people
            .remove_from_group("ana", "finance", after(3))
            .await
            .unwrap(),
    );
    assert!(!groups(4).contains("finance"));
    assert!(groups(4).contains("staff"));
    let again = site
        .auth
        .people
        .remove_from_group("ana", "finance", after(5))
        .await
        .unwrap();
    assert!(again.events.is_empty());
    let bad = site
        .auth
        .people
        .add_to_group("ana", "no such thing", after(5))
        .await;
    assert!(matches!(bad, Err(PeopleError::Group(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn group_changes_and_sign_ins_at_once_leave_no_stale_session() {
    let site = Site::with_ana().await;
    for round in 0..5 {
        let at = round * 60;
        let group = format!("g{round}");
        let visitor = visitor(at);
        let (signed_in, changed) = futures_util::future::join(
            site.signed_in(&visitor),
            site.auth.people.add_to_group("ana", &group, after(at)),
        )
        .await;
        drop(changed.unwrap());
        let seen = site.who(&signed_in.cookie, PORTAL, after(at + 1)).unwrap();
        assert!(seen.groups.contains(&group), "round {round}");
    }
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let site = Site::empty();
    site.add("lena", &["admins"]).await;
    site.add("kim", &["staff"]).await;
    let people = &site.auth.people;
    let last = |outcome: Result<_, PeopleError>| matches!(outcome, Err(PeopleError::LastAdministrator(who)) if who == "lena@example.com");
    assert!(last(people.disable("lena", after(0)).await.map(drop)));
    assert!(last(people.remove("lena", after(0)).await.map(drop)));
    assert!(last(
        people
            .remove_from_group("lena", "admins", after(0))
            .await
            .map(drop)
    ));
    drop(people.remove("kim", after(0)).await.unwrap());

    // A disabled administrator is none.
    site.add("omar", &["admins"]).await;
    drop(people.disable("omar", after(0)).await.unwrap());
    assert!(last(people.remove("lena", after(0)).await.map(drop)));
    drop(people.enable("omar").await.unwrap());
    drop(people.remove("lena", after(0)).await.unwrap());
    assert!(matches!(people.find("lena"), Err(PeopleError::Nobody(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_administrators_cannot_remove_each_other_at_once() {
    let site = Site::empty();
    site.add("lena", &["admins"]).await;
    site.add("omar", &["admins"]).await;
    let people = &site.auth.people;
    let (one, two) = futures_util::future::join(
        people.remove("lena", after(0)),
        people.disable("omar", after(0)),
    )
    .await;
    assert!(one.is_ok() != two.is_ok());
}

#[tokio::test]
async fn removing_ends_sessions_and_frees_the_name() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let told = site.auth.people.remove("ana", after(1)).await.unwrap();
    assert_eq!(
        actions(&told.events),
        [Action::UserRemoved, Action::SessionEnded]
    );
    assert!(site.who(&signed_in.cookie, PORTAL, after(1)).is_err());
    assert!(
        site.restarted()
            .who(&signed_in.cookie, PORTAL, after(1))
            .is_err()
    );
    let again = site.add("ana", &[]).await;
    assert_ne!(again.id, told.value.id);
}

#[tokio::test]
async fn resetting_the_second_factor_needs_a_reason_and_ends_sessions() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let people = &site.auth.people;
    let without = people.two_factor_reset("ana", "  ", None, after(1)).await;
    assert!(matches!(without, Err(PeopleError::ReasonMissing)));
    assert!(site.who(&signed_in.cookie, PORTAL, after(1)).is_ok());
    let told = people
        .two_factor_reset("ana", "phone lost", Some("root"), after(1))
        .await
        .unwrap();
    assert_eq!(
        actions(&told.events),
        [
            Action::SecondFactorReset,
            Action::SessionEnded,
            Action::EnrolmentIssued
        ]
    );
    assert!(site.who(&signed_in.cookie, PORTAL, after(2)).is_err());
    assert!(matches!(
        site.first("ana", PASSWORD, &visitor(2)).await,
        FirstStep::NoSecondFactor
    ));
    assert!(people.show("ana").unwrap().has_password);
}

#[tokio::test]
async fn sessions_are_revoked_one_by_one_for_a_person_and_for_everybody() {
    let site = Site::with_ana().await;
    let one = site.signed_in(&visitor(0)).await;
    let two = site.signed_in(&visitor(60)).await;
    let people = &site.auth.people;
    let told = people
        .revoke_session(&one.principal.session.id, after(61))
        .await
        .unwrap();
    assert_eq!(actions(&told.events), [Action::SessionRevoked]);
    assert!(told.value.is_some());
    assert!(site.who(&one.cookie, PORTAL, after(62)).is_err());
    assert!(site.who(&two.cookie, PORTAL, after(62)).is_ok());
    let again = people
        .revoke_session(&one.principal.session.id, after(63))
        .await
        .unwrap();
    assert!(again.value.is_none() && again.events.is_empty());
    assert_eq!(
        people
            .revoke_all(None, after(64))
            .await
            .unwrap()
            .value
            .len(),
        1
    );
    assert!(matches!(
        people.revoke_all(Some("nobody"), after(64)).await,
        Err(PeopleError::Nobody(_))
    ));
}

#[tokio::test]
async fn imported_people_sign_in_with_what_they_had() {
    let site = Site::empty();
    let lines = format!(
        r#"{{"name": "Kim", "email": "kim@example.com", "groups": ["staff"], "password": "{PASSWORD}", "totp_secret": "{TOTP}"}}

{{"name": "lena@example.com", "full_name": "Lena M", "tenant": "north", "contractor": true}}
"#
    );
    let told = site.auth.people.import(&lines, after(0)).await.unwrap();
    assert_eq!(
        actions(&told.events),
        [Action::UserImported, Action::UserImported]
    );
    let complete: Vec<bool> = told.value.iter().map(|one| one.complete).collect();
    assert_eq!(complete, [true, false]);
    let lena = site.auth.people.find("lena@example.com").unwrap();
    assert_eq!(
        (lena.name.as_str(), lena.tenant.as_str()),
        ("Lena M", "north")
    );
    assert!(lena.contractor && lena.state == UserState::Active);

    let FirstStep::Continue { cookie, .. } = site.first("kim", PASSWORD, &visitor(0)).await else {
        panic!("the password is right");
    };
    let totp = crate::authn::factor::totp::TotpSecret::from_base32(TOTP).unwrap();
    let code = SecondFactor::Code(secret(&totp.code_at(after(0))));
    let step = site.second(&cookie, &code, &visitor(0)).await;
    assert!(matches!(step, SecondStep::SignedIn(_)), "{step:?}");
}

#[tokio::test]
async fn one_bad_line_imports_nobody_and_every_problem_is_told() {
    let site = Site::with_ana().await;
    let lines = [
        r#"{"name": "good@example.com"}"#,
        r#"{"name": "ana@example.com"}"#,
        r#"{"name": "good@example.com"}"#,
        r#"{"name": "x@example.com", "colour": "red"}"#,
        r#"{"name": "short@example.com", "password": "hunter2"}"#,
        r#"{"name": "hash@example.com", "password_hash": "$2y$10$abcdefghijklmnopqrstuv"}"#,
        r#"{"name": "totp@example.com", "totp_secret": "JBSWY3DPEHPK3PXP"}"#,
        r#"{"name": "group@example.com", "groups": ["No Good"]}"#,
        "not json",
        r#"{"email": "noname@example.com"}"#,
        r#"{"name": "typed@example.com", "password": 12345678901234}"#,
    ];
    let error = site
        .auth
        .people
        .import(&lines.join("\n"), after(0))
        .await
        .unwrap_err();
    let PeopleError::Lines(problems) = error else {
        panic!("{error}");
    };
    let numbers: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "{problems:?}");
    let printed = format!("{problems:?}");
    for hidden in ["hunter2", "JBSWY3DPEHPK3PXP", "12345678901234"] {
        assert!(!printed.contains(hidden), "{hidden}");
    }
    assert_eq!(site.auth.people.list().unwrap().len(), 1);
}

#[tokio::test]
async fn an_enrolment_link_is_issued_for_people_who_exist() {
    let site = Site::with_ana().await;
    let told = site
        .auth
        .people
        .enrol("ana@example.com", None, after(0))
        .await
        .unwrap();
    let (ana, invitation) = told.value;
    assert_eq!(ana.login, "ana");
    assert_eq!(invitation.expires, after(3600));
    let invited = site
        .auth
        .enrolment
        .invited(invitation.token.expose(), after(1))
        .unwrap();
    assert!(invited.is_some());
    assert!(matches!(
        site.auth.people.enrol("nobody", None, after(0)).await,
        Err(PeopleError::Nobody(_))
    ));
}
