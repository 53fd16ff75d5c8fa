//! People.

use std::collections::BTreeSet;

use super::{add, at, new_user, on_every_database};
use crate::base::PrincipalId;
use crate::store::{EndReason, Store, StoreError, UserChange, UserState, WhichSessions};

on_every_database!(
    a_user_is_found_by_id_login_and_address,
    logins_and_addresses_share_one_name_space,
    an_id_is_used_once,
    a_change_applies_wholly_or_not_at_all,
    concurrent_group_changes_all_count,
    changing_nobody_is_unknown,
    everybody_is_listed_by_login_with_groups,
    the_last_sign_in_only_moves_forward,
    removing_a_user_removes_everything_of_theirs,
);

fn a_user_is_found_by_id_login_and_address(store: &Store) {
    let ada = add(store, "ada");
    assert_eq!(ada.state, UserState::Active);
    assert_eq!(ada.created, at(100));
    assert_eq!(ada.last_sign_in, None);
    assert_eq!(ada.groups, BTreeSet::from(["staff".to_owned()]));
    assert_eq!(store.users.find(&ada.id).unwrap().as_ref(), Some(&ada));
    for name in ["ada", "ada@example.com"] {
        assert_eq!(store.users.find_by_name(name).unwrap().as_ref(), Some(&ada));
    }
    assert_eq!(store.users.find_by_name("bob").unwrap(), None);
    assert_eq!(store.users.find(&PrincipalId::new("u-bob")).unwrap(), None);
}

fn logins_and_addresses_share_one_name_space(store: &Store) {
    add(store, "ada");
    let mut same_login = new_user("bob");
    same_login.login = "ada".to_owned();
    let mut login_is_address = new_user("bob");
    login_is_address.login = "ada@example.com".to_owned();
    let mut same_address = new_user("bob");
    same_address.email = "ada@example.com".to_owned();
    for (user, what) in [
        (same_login, "login"),
        (login_is_address, "login"),
        (same_address, "e-mail address"),
    ] {
        match store.users.create(user).wait() {
            Err(StoreError::Taken(taken)) => assert_eq!(taken, what),
            other => panic!("{other:?}"),
        }
    }
    let bob = add(store, "bob");
    let change = UserChange {
        email: Some("ada@example.com".to_owned()),
        ..UserChange::default()
    };
    assert!(matches!(
        store.users.change(bob.id, change).wait(),
        Err(StoreError::Taken("e-mail address"))
    ));
    let mut own = new_user("cleo@example.com");
    own.email = "cleo@example.com".to_owned();
    store.users.create(own).wait().unwrap();
}

fn an_id_is_used_once(store: &Store) {
    let ada = add(store, "ada");
    let mut other = new_user("bob");
    other.id = ada.id;
    assert!(matches!(
        store.users.create(other).wait(),
        Err(StoreError::Taken("user id"))
    ));
}

fn a_change_applies_wholly_or_not_at_all(store: &Store) {
    let ada = add(store, "ada");
    add(store, "bob");
    let change = UserChange {
        name: Some("Ada L.".to_owned()),
        contractor: Some(true),
        state: Some(UserState::Disabled),
        remove_groups: BTreeSet::from(["staff".to_owned(), "gone".to_owned()]),
        add_groups: BTreeSet::from(["admins".to_owned(), "dev".to_owned()]),
        ..UserChange::default()
    };
    let changed = store.users.change(ada.id.clone(), change).wait().unwrap();
    assert_eq!(changed.name, "Ada L.");
    assert_eq!(changed.login, "ada");
    assert!(changed.contractor);
    assert_eq!(changed.state, UserState::Disabled);
    assert_eq!(
        changed.groups,
        BTreeSet::from(["admins".to_owned(), "dev".to_owned()])
    );
    let refused = UserChange {
        name: Some("Someone".to_owned()),
        login: Some("bob".to_owned()),
        remove_groups: changed.groups.clone(),
        ..UserChange::default()
    };
    assert!(store.users.change(ada.id.clone(), refused).wait().is_err());
    assert_eq!(store.users.find(&ada.id).unwrap(), Some(changed));
}

fn concurrent_group_changes_all_count(store: &Store) {
    let ada = add(store, "ada");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (id, users) = (ada.id.clone(), &store.users);
            scope.spawn(move || {
                let change = UserChange {
                    add_groups: BTreeSet::from([format!("g{number}")]),
                    ..UserChange::default()
                };
                users.change(id, change).wait().unwrap();
            });
        }
    });
    assert_eq!(store.users.find(&ada.id).unwrap().unwrap().groups.len(), 17);
}

fn changing_nobody_is_unknown(store: &Store) {
    let nobody = PrincipalId::new("u-nobody");
    let change = UserChange {
        add_groups: BTreeSet::from(["admins".to_owned()]),
        ..UserChange::default()
    };
    assert!(matches!(
        store.users.change(nobody.clone(), change).wait(),
        Err(StoreError::Unknown("user"))
    ));
    assert!(!store.users.remove(nobody).wait().unwrap());
}

fn everybody_is_listed_by_login_with_groups(store: &Store) {
    for login in ["cleo", "ada", "bob"] {
        add(store, login);
    }
    let users = store.users.list().unwrap();
    let logins: Vec<_> = users.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(logins, ["ada", "bob", "cleo"]);
    assert!(users.iter().all(|user| user.groups.contains("staff")));
}

fn the_last_sign_in_only_moves_forward(store: &Store) {
    let ada = add(store, "ada");
    for (noted, kept) in [(200, 200), (150, 200), (300, 300)] {
        store
            .users
            .note_sign_in(ada.id.clone(), at(noted))
            .wait()
            .unwrap();
        let now = store.users.find(&ada.id).unwrap().unwrap();
        assert_eq!(now.last_sign_in, Some(at(kept)));
    }
}

fn removing_a_user_removes_everything_of_theirs(store: &Store) {
    let ada = add(store, "ada");
    let id = || ada.id.clone();
    store
        .passwords
        .set_password(id(), "phc".to_owned(), at(1))
        .wait()
        .unwrap();
    store
        .factors
        .propose_totp(id(), vec![1], at(1))
        .wait()
        .unwrap();
    store
        .recovery_codes
        .replace(id(), vec![[1; 32]], at(1))
        .wait()
        .unwrap();
    let link = super::credentials::link("ada", 1);
    store.enrolments.create(link.clone()).wait().unwrap();
    let (session, cookie) = super::sessions::session("ada", 1);
    store.sessions.insert(session, cookie).wait().unwrap();

    assert!(store.users.remove(id()).wait().unwrap());

    assert_eq!(store.users.find(&id()).unwrap(), None);
    assert_eq!(store.passwords.password(&id()).unwrap(), None);
    assert_eq!(store.factors.proposed_totp(&id()).unwrap(), None);
    assert_eq!(store.recovery_codes.count(&id()).unwrap(), 0);
    assert_eq!(store.enrolments.find(&link.token, at(2)).unwrap(), None);
    assert_eq!(store.sessions.load_live(at(2)).unwrap(), []);
    let ended = store
        .sessions
        .end(WhichSessions::Everybody, at(3), EndReason::UserRemoved);
    assert_eq!(ended.wait().unwrap(), []);
    // The name is free again, and the newcomer inherits nothing.
    add(store, "ada");
    assert_eq!(store.sessions.list(&id()).unwrap(), []);
}
