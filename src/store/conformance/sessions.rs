//! Sessions.

use super::{add, at, on_every_database, winners};
use crate::base::{Host, PrincipalId, SessionId};
use crate::store::{
    EndReason, SessionCookieRow, SessionRow, Store, StoreError, UserChange, UserState,
    WhichSessions,
};

on_every_database!(
    a_session_comes_back_as_stored_with_its_cookies,
    a_session_needs_an_active_user,
    one_cookie_per_host,
    renewing_replaces_the_cookie_of_its_host_only,
    an_ended_session_takes_no_cookie_and_no_renewal,
    each_end_is_told_to_one_caller,
    ending_many_spares_the_one_to_keep,
    everybody_can_be_signed_out,
    expired_and_ended_sessions_are_not_live,
    a_touch_moves_forward_only,
    upkeep_removes_what_is_long_over,
);

pub(super) fn session(login: &str, number: u8) -> (SessionRow, SessionCookieRow) {
    let id = SessionId::new(format!("s-{login}-{number}"));
    let row = SessionRow {
        id: id.clone(),
        user: PrincipalId::new(format!("u-{login}")),
        created: at(100 + i64::from(number)),
        verified_at: at(100),
        methods: vec!["password".to_owned(), "totp".to_owned()],
        last_seen: at(100),
        expires: at(1000),
        ended: None,
        sealed_origin: vec![9, number],
    };
    (row, cookie(&id, number, "portal.example.com"))
}

fn cookie(session: &SessionId, number: u8, host: &str) -> SessionCookieRow {
    SessionCookieRow {
        hash: [number; 32],
        session: session.clone(),
        host: Host::parse(host).unwrap(),
    }
}

fn signed_in(store: &Store, login: &str, number: u8) -> SessionId {
    let (row, cookie) = session(login, number);
    store.sessions.insert(row.clone(), cookie).wait().unwrap();
    row.id
}

fn live(store: &Store) -> Vec<SessionId> {
    let mut ids: Vec<_> = store
        .sessions
        .load_live(at(500))
        .unwrap()
        .into_iter()
        .map(|(session, _)| session.id)
        .collect();
    ids.sort();
    ids
}

fn end(store: &Store, which: WhichSessions) -> Vec<SessionId> {
    let ended = store.sessions.end(which, at(300), EndReason::EndedByAdmin);
    let mut ended = ended.wait().unwrap();
    ended.sort();
    ended
}

fn a_session_comes_back_as_stored_with_its_cookies(store: &Store) {
    add(store, "ada");
    let (row, portal) = session("ada", 1);
    store
        .sessions
        .insert(row.clone(), portal.clone())
        .wait()
        .unwrap();
    let app = cookie(&row.id, 2, "grafana.example.com");
    assert!(store.sessions.add_cookie(app.clone()).wait().unwrap());
    let mut live = store.sessions.load_live(at(500)).unwrap();
    assert_eq!(live.len(), 1);
    let (found, mut cookies) = live.remove(0);
    cookies.sort_by_key(|cookie| cookie.hash);
    assert_eq!(found, row);
    assert_eq!(cookies, [portal, app]);
    assert_eq!(store.sessions.list(&row.user).unwrap(), [row]);
}

fn a_session_needs_an_active_user(store: &Store) {
    let (row, cookie) = session("ada", 1);
    let refused = store.sessions.insert(row.clone(), cookie.clone()).wait();
    assert!(matches!(refused, Err(StoreError::Unknown("user"))));
    let ada = add(store, "ada");
    let disabled = UserChange {
        state: Some(UserState::Disabled),
        ..UserChange::default()
    };
    store.users.change(ada.id, disabled).wait().unwrap();
    let refused = store.sessions.insert(row, cookie).wait();
    assert!(matches!(refused, Err(StoreError::Unknown("user"))));
    assert_eq!(live(store), []);
}

fn one_cookie_per_host(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    let newer = cookie(&id, 5, "portal.example.com");
    assert!(store.sessions.add_cookie(newer.clone()).wait().unwrap());
    assert_eq!(
        store.sessions.load_live(at(500)).unwrap().remove(0).1,
        [newer]
    );
}

fn renewing_replaces_the_cookie_of_its_host_only(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    let app = cookie(&id, 2, "grafana.example.com");
    store.sessions.add_cookie(app.clone()).wait().unwrap();
    let fresh = cookie(&id, 3, "portal.example.com");
    let renewed = store
        .sessions
        .renew(at(400), vec!["recovery-code".to_owned()], fresh.clone());
    assert!(renewed.wait().unwrap());
    let (row, mut cookies) = store.sessions.load_live(at(500)).unwrap().remove(0);
    cookies.sort_by_key(|cookie| cookie.hash);
    assert_eq!(row.verified_at, at(400));
    assert_eq!(row.methods, ["recovery-code"]);
    assert_eq!(cookies, [app, fresh]);
}

fn an_ended_session_takes_no_cookie_and_no_renewal(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    end(store, WhichSessions::One(id.clone()));
    let late = cookie(&id, 2, "grafana.example.com");
    assert!(!store.sessions.add_cookie(late.clone()).wait().unwrap());
    assert!(!store.sessions.renew(at(400), vec![], late).wait().unwrap());
    let row = store
        .sessions
        .list(&PrincipalId::new("u-ada"))
        .unwrap()
        .remove(0);
    assert_eq!(row.verified_at, at(100));
    assert_eq!(row.ended, Some((at(300), EndReason::EndedByAdmin)));
}

fn each_end_is_told_to_one_caller(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    let won = winners(|| !end(store, WhichSessions::One(id.clone())).is_empty());
    assert_eq!(won, 1);
    assert_eq!(
        end(store, WhichSessions::One(SessionId::new("s-unknown"))),
        []
    );
}

fn ending_many_spares_the_one_to_keep(store: &Store) {
    let ada = add(store, "ada").id;
    add(store, "bob");
    let ids: Vec<_> = (1..4)
        .map(|number| signed_in(store, "ada", number))
        .collect();
    let other = signed_in(store, "bob", 9);
    let which = WhichSessions::AllOfExcept(ada.clone(), ids[1].clone());
    assert_eq!(end(store, which), [ids[0].clone(), ids[2].clone()]);
    assert_eq!(live(store), [ids[1].clone(), other.clone()]);
    assert_eq!(end(store, WhichSessions::AllOf(ada)), [ids[1].clone()]);
    assert_eq!(live(store), [other]);
}

fn everybody_can_be_signed_out(store: &Store) {
    for (login, number) in [("ada", 1), ("bob", 2)] {
        add(store, login);
        signed_in(store, login, number);
    }
    assert_eq!(end(store, WhichSessions::Everybody).len(), 2);
    assert_eq!(live(store), []);
}

fn expired_and_ended_sessions_are_not_live(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    assert_eq!(store.sessions.load_live(at(999)).unwrap().len(), 1);
    assert_eq!(store.sessions.load_live(at(1000)).unwrap(), []);
    end(store, WhichSessions::One(id));
    assert_eq!(live(store), []);
}

fn a_touch_moves_forward_only(store: &Store) {
    add(store, "ada");
    let id = signed_in(store, "ada", 1);
    for time in [200, 400, 300] {
        store.sessions.touch(id.clone(), at(time));
    }
    store.upkeep.flush().wait().unwrap();
    store.sessions.touch(id, at(50));
    store.upkeep.flush().wait().unwrap();
    let row = store
        .sessions
        .list(&PrincipalId::new("u-ada"))
        .unwrap()
        .remove(0);
    assert_eq!(row.last_seen, at(400));
}

fn upkeep_removes_what_is_long_over(store: &Store) {
    add(store, "ada");
    let ended = signed_in(store, "ada", 1);
    let kept = signed_in(store, "ada", 2);
    end(store, WhichSessions::One(ended));
    store
        .enrolments
        .create(super::credentials::link("ada", 1))
        .wait()
        .unwrap();
    store.enrolments.consume([1; 32], at(200)).wait().unwrap();
    assert_eq!(store.upkeep.purge(at(200)).wait().unwrap(), 0);
    assert_eq!(store.upkeep.purge(at(301)).wait().unwrap(), 2);
    assert_eq!(live(store), [kept]);
    assert_eq!(store.upkeep.purge(at(1001)).wait().unwrap(), 1);
}
