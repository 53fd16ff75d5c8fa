//! Passwords, second factors, recovery codes, enrolment links.

use std::time::Duration;

use super::{add, at, on_every_database, winners};
use crate::base::PrincipalId;
use crate::store::{Backoff, EnrolmentLink, EnrolmentPurpose, Lockout, Store, StoreError};

on_every_database!(
    a_password_is_set_and_replaced,
    nobody_has_no_credentials,
    rehashing_changes_only_the_hash_it_was_computed_from,
    concurrent_failures_all_count_and_clear_together,
    a_wait_grows_and_is_never_shortened_by_an_older_failure,
    a_proposal_is_not_in_force_until_confirmed,
    only_the_latest_proposal_can_be_confirmed,
    a_totp_step_is_used_once_and_never_backwards,
    one_of_sixteen_callers_uses_a_totp_step,
    one_of_sixteen_callers_uses_a_recovery_code,
    a_recovery_code_belongs_to_its_owner_and_set,
    one_of_sixteen_callers_uses_an_enrolment_link,
    a_link_ends_when_it_expires_is_cancelled_or_replaced,
    removing_factors_removes_all_of_them,
);

const BACKOFF: Backoff = Backoff {
    after: 2,
    delay: Duration::from_secs(10),
    max_delay: Duration::from_secs(60),
};

pub(super) fn link(login: &str, number: u8) -> EnrolmentLink {
    EnrolmentLink {
        token: [number; 32],
        user: PrincipalId::new(format!("u-{login}")),
        purpose: EnrolmentPurpose::Join,
        invited_by: Some("root".to_owned()),
        created: at(100),
        expires: at(3700),
    }
}

fn with_totp(store: &Store) -> PrincipalId {
    let ada = add(store, "ada").id;
    let proposed = store.factors.propose_totp(ada.clone(), vec![7], at(1));
    proposed.wait().unwrap();
    let confirmed = store
        .factors
        .confirm_totp(ada.clone(), vec![7], 1000, at(2));
    assert!(confirmed.wait().unwrap());
    ada
}

fn a_password_is_set_and_replaced(store: &Store) {
    let ada = add(store, "ada").id;
    assert_eq!(store.passwords.password(&ada).unwrap(), None);
    for (phc, time) in [("one", 1), ("two", 2)] {
        store
            .passwords
            .set_password(ada.clone(), phc.to_owned(), at(time))
            .wait()
            .unwrap();
        let row = store.passwords.password(&ada).unwrap().unwrap();
        assert_eq!((row.phc.as_str(), row.changed), (phc, at(time)));
    }
}

fn nobody_has_no_credentials(store: &Store) {
    let nobody = || PrincipalId::new("u-nobody");
    let unknown =
        |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::Unknown("user")));
    assert!(unknown(
        store
            .passwords
            .set_password(nobody(), "x".to_owned(), at(1))
            .wait()
    ));
    assert!(unknown(
        store.factors.propose_totp(nobody(), vec![1], at(1)).wait()
    ));
    assert!(unknown(
        store
            .recovery_codes
            .replace(nobody(), vec![[1; 32]], at(1))
            .wait()
    ));
    assert!(unknown(store.enrolments.create(link("nobody", 1)).wait()));
    assert!(unknown(
        store
            .passwords
            .note_failure(nobody(), at(1), BACKOFF)
            .wait()
            .map(|_| ())
    ));
    assert!(!store.factors.consume_totp_step(nobody(), 1).wait().unwrap());
}

fn rehashing_changes_only_the_hash_it_was_computed_from(store: &Store) {
    let ada = add(store, "ada").id;
    let set = store
        .passwords
        .set_password(ada.clone(), "old".to_owned(), at(1));
    set.wait().unwrap();
    let rehash = |old: &str, new: &str| {
        store
            .passwords
            .rehash_password(ada.clone(), old.to_owned(), new.to_owned())
            .wait()
            .unwrap()
    };
    assert!(!rehash("other", "new"));
    assert!(rehash("old", "new"));
    assert!(!rehash("old", "newer"));
    let row = store.passwords.password(&ada).unwrap().unwrap();
    assert_eq!((row.phc.as_str(), row.changed), ("new", at(1)));
}

fn concurrent_failures_all_count_and_clear_together(store: &Store) {
    let ada = add(store, "ada").id;
    assert_eq!(store.passwords.lockout(&ada).unwrap(), Lockout::default());
    winners(|| {
        let failure = store.passwords.note_failure(ada.clone(), at(100), BACKOFF);
        failure.wait().is_ok()
    });
    let lockout = store.passwords.lockout(&ada).unwrap();
    assert_eq!(lockout.failures, 16);
    assert_eq!(lockout.until, Some(at(160)));
    store.passwords.clear_failures(ada.clone()).wait().unwrap();
    assert_eq!(store.passwords.lockout(&ada).unwrap(), Lockout::default());
}

fn a_wait_grows_and_is_never_shortened_by_an_older_failure(store: &Store) {
    let ada = add(store, "ada").id;
    let fail = |time| {
        let failure = store.passwords.note_failure(ada.clone(), at(time), BACKOFF);
        failure.wait().unwrap().until
    };
    assert_eq!(fail(100), None);
    assert_eq!(fail(100), None);
    assert_eq!(fail(100), Some(at(110)));
    assert_eq!(fail(110), Some(at(130)));
    assert_eq!(fail(10), Some(at(130)));
}

fn a_proposal_is_not_in_force_until_confirmed(store: &Store) {
    let ada = add(store, "ada").id;
    store
        .factors
        .propose_totp(ada.clone(), vec![1], at(1))
        .wait()
        .unwrap();
    assert_eq!(store.factors.totp(&ada).unwrap(), None);
    assert_eq!(store.factors.proposed_totp(&ada).unwrap(), Some(vec![1]));
    assert!(
        !store
            .factors
            .consume_totp_step(ada.clone(), 5)
            .wait()
            .unwrap()
    );
    assert!(
        store
            .factors
            .confirm_totp(ada.clone(), vec![1], 5, at(2))
            .wait()
            .unwrap()
    );
    let row = store.factors.totp(&ada).unwrap().unwrap();
    assert_eq!(
        (row.sealed_secret, row.last_step, row.confirmed_at),
        (vec![1], 5, at(2))
    );
    assert_eq!(store.factors.proposed_totp(&ada).unwrap(), None);
    // A new one is shown; the old one works until the new one is confirmed.
    store
        .factors
        .propose_totp(ada.clone(), vec![2], at(3))
        .wait()
        .unwrap();
    assert!(
        store
            .factors
            .consume_totp_step(ada.clone(), 6)
            .wait()
            .unwrap()
    );
    assert!(
        store
            .factors
            .confirm_totp(ada.clone(), vec![2], 3, at(4))
            .wait()
            .unwrap()
    );
    assert_eq!(store.factors.totp(&ada).unwrap().unwrap().last_step, 3);
}

fn only_the_latest_proposal_can_be_confirmed(store: &Store) {
    let ada = add(store, "ada").id;
    for secret in [1, 2] {
        store
            .factors
            .propose_totp(ada.clone(), vec![secret], at(1))
            .wait()
            .unwrap();
    }
    assert!(
        !store
            .factors
            .confirm_totp(ada.clone(), vec![1], 5, at(2))
            .wait()
            .unwrap()
    );
    assert_eq!(store.factors.totp(&ada).unwrap(), None);
    assert!(
        store
            .factors
            .confirm_totp(ada.clone(), vec![2], 5, at(2))
            .wait()
            .unwrap()
    );
    assert!(
        !store
            .factors
            .confirm_totp(ada, vec![2], 5, at(2))
            .wait()
            .unwrap()
    );
}

fn a_totp_step_is_used_once_and_never_backwards(store: &Store) {
    let ada = with_totp(store);
    for (step, accepted) in [
        (1000, false),
        (1001, true),
        (1001, false),
        (1000, false),
        (1005, true),
        (1004, false),
    ] {
        let used = store
            .factors
            .consume_totp_step(ada.clone(), step)
            .wait()
            .unwrap();
        assert_eq!(used, accepted, "{step}");
    }
}

fn one_of_sixteen_callers_uses_a_totp_step(store: &Store) {
    let ada = with_totp(store);
    let won = winners(|| {
        store
            .factors
            .consume_totp_step(ada.clone(), 1001)
            .wait()
            .unwrap()
    });
    assert_eq!(won, 1);
}

fn one_of_sixteen_callers_uses_a_recovery_code(store: &Store) {
    let ada = add(store, "ada").id;
    store
        .recovery_codes
        .replace(ada.clone(), vec![[1; 32], [2; 32]], at(1))
        .wait()
        .unwrap();
    let won = winners(|| {
        store
            .recovery_codes
            .consume(ada.clone(), [1; 32])
            .wait()
            .unwrap()
    });
    assert_eq!(won, 1);
    assert_eq!(store.recovery_codes.count(&ada).unwrap(), 1);
    assert!(store.recovery_codes.made(&ada).unwrap().is_some());
}

fn a_recovery_code_belongs_to_its_owner_and_set(store: &Store) {
    let (ada, bob) = (add(store, "ada").id, add(store, "bob").id);
    store
        .recovery_codes
        .replace(ada.clone(), vec![[1; 32], [2; 32]], at(1))
        .wait()
        .unwrap();
    assert!(!store.recovery_codes.consume(bob, [1; 32]).wait().unwrap());
    store
        .recovery_codes
        .replace(ada.clone(), vec![[3; 32]], at(2))
        .wait()
        .unwrap();
    assert!(
        !store
            .recovery_codes
            .consume(ada.clone(), [1; 32])
            .wait()
            .unwrap()
    );
    assert!(store.recovery_codes.consume(ada, [3; 32]).wait().unwrap());
}

fn one_of_sixteen_callers_uses_an_enrolment_link(store: &Store) {
    add(store, "ada");
    store.enrolments.create(link("ada", 1)).wait().unwrap();
    let won = winners(|| {
        let used = store.enrolments.consume([1; 32], at(200)).wait().unwrap();
        used.inspect(|used| assert_eq!(*used, link("ada", 1)))
            .is_some()
    });
    assert_eq!(won, 1);
    assert_eq!(store.enrolments.find(&[1; 32], at(200)).unwrap(), None);
}

fn a_link_ends_when_it_expires_is_cancelled_or_replaced(store: &Store) {
    let ada = add(store, "ada").id;
    store.enrolments.create(link("ada", 1)).wait().unwrap();
    assert!(store.enrolments.find(&[1; 32], at(3699)).unwrap().is_some());
    assert_eq!(store.enrolments.find(&[1; 32], at(3700)).unwrap(), None);
    assert_eq!(
        store.enrolments.consume([1; 32], at(3700)).wait().unwrap(),
        None
    );
    store.enrolments.create(link("ada", 2)).wait().unwrap();
    assert_eq!(
        store.enrolments.consume([1; 32], at(200)).wait().unwrap(),
        None
    );
    assert!(store.enrolments.cancel(ada.clone()).wait().unwrap());
    assert!(!store.enrolments.cancel(ada).wait().unwrap());
    assert_eq!(
        store.enrolments.consume([2; 32], at(200)).wait().unwrap(),
        None
    );
}

fn removing_factors_removes_all_of_them(store: &Store) {
    let ada = with_totp(store);
    store
        .factors
        .propose_totp(ada.clone(), vec![8], at(3))
        .wait()
        .unwrap();
    store
        .recovery_codes
        .replace(ada.clone(), vec![[1; 32]], at(3))
        .wait()
        .unwrap();
    store.factors.remove_factors(ada.clone()).wait().unwrap();
    assert_eq!(store.factors.totp(&ada).unwrap(), None);
    assert_eq!(store.factors.proposed_totp(&ada).unwrap(), None);
    assert_eq!(store.recovery_codes.count(&ada).unwrap(), 0);
}
