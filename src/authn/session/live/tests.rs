//! What a cookie opens, and what ends with a session.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Live, LiveSessions, Refresh, SignInOrigin};
use crate::authn::session::rules::SessionRules;
use crate::authn::{BadCredential, Method, Principal, SessionFacts};
use crate::base::{Host, PrincipalId, SessionId, Timestamp};
use crate::keys;
use crate::store::{Hash, WhichSessions};

const RULES: SessionRules = SessionRules {
    lifetime: Duration::from_secs(12 * 3600),
    idle: Duration::from_secs(1800),
    step_up: Duration::from_secs(300),
};
const START: Timestamp = Timestamp::from_secs(1_795_000_000);

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

fn hash(text: &str) -> Hash {
    keys::sha256(text.as_bytes())
}

fn live(owner: &str, session: &str) -> Live {
    let principal = Principal {
        id: PrincipalId::new(owner),
        login: "ana".into(),
        email: "ana@example.com".into(),
        name: "Ana".into(),
        groups: Arc::new(BTreeSet::from(["staff".to_owned()])),
        tenant: "example".into(),
        contractor: false,
        session: Arc::new(SessionFacts {
            id: SessionId::new(session),
            signed_in_at: START,
            verified_at: START,
            methods: vec![Method::Password, Method::Totp],
            idp: "local".into(),
            cancelled: CancellationToken::new(),
        }),
    };
    Live::new(principal, START, SignInOrigin::default())
}

fn with_one() -> LiveSessions {
    let sessions = LiveSessions::default();
    sessions.insert(
        live("u-1", "s-1"),
        vec![(host("login.example.com"), hash("portal"))],
    );
    sessions
}

fn find(
    sessions: &LiveSessions,
    cookie: &str,
    at: &str,
    seconds: u64,
) -> Result<Arc<Principal>, BadCredential> {
    let now = START.plus(Duration::from_secs(seconds));
    sessions.find(&hash(cookie), &host(at), &RULES, now)
}

#[test]
fn a_cookie_opens_its_own_host_and_no_other() {
    let sessions = with_one();
    assert_eq!(
        find(&sessions, "portal", "login.example.com", 1)
            .unwrap()
            .id
            .as_str(),
        "u-1"
    );
    assert_eq!(
        find(&sessions, "portal", "app.example.com", 1).unwrap_err(),
        BadCredential::Unknown
    );
    assert_eq!(
        find(&sessions, "other", "login.example.com", 1).unwrap_err(),
        BadCredential::Unknown
    );
}

#[test]
fn use_moves_the_idle_limit_and_refused_use_does_not() {
    let sessions = with_one();
    assert!(find(&sessions, "portal", "login.example.com", 1700).is_ok());
    assert!(find(&sessions, "portal", "login.example.com", 3400).is_ok());
    assert!(find(&sessions, "portal", "app.example.com", 5100).is_err());
    assert_eq!(
        find(&sessions, "portal", "login.example.com", 5200).unwrap_err(),
        BadCredential::Idle
    );
}

#[test]
fn a_route_with_shorter_limits_refuses_what_others_accept() {
    let sessions = with_one();
    let strict = SessionRules {
        idle: Duration::from_secs(60),
        ..RULES
    };
    let now = START.plus(Duration::from_secs(61));
    let portal = host("login.example.com");
    assert_eq!(
        sessions
            .find(&hash("portal"), &portal, &strict, now)
            .unwrap_err(),
        BadCredential::Idle
    );
    assert!(sessions.find(&hash("portal"), &portal, &RULES, now).is_ok());
}

#[test]
fn a_new_cookie_for_a_host_replaces_the_old_one() {
    let sessions = with_one();
    let app = host("app.example.com");
    assert!(sessions.put_cookie(&SessionId::new("s-1"), &app, hash("first")));
    assert!(sessions.put_cookie(&SessionId::new("s-1"), &app, hash("second")));
    assert!(find(&sessions, "first", "app.example.com", 1).is_err());
    assert!(find(&sessions, "second", "app.example.com", 1).is_ok());
    assert!(find(&sessions, "portal", "login.example.com", 1).is_ok());
}

#[test]
fn ending_a_session_closes_every_host_and_tells_its_streams() {
    let sessions = with_one();
    let app = host("app.example.com");
    sessions.put_cookie(&SessionId::new("s-1"), &app, hash("app"));
    let stream = find(&sessions, "app", "app.example.com", 1).unwrap();
    let ended = sessions.end(&WhichSessions::One(SessionId::new("s-1")));
    assert_eq!(ended.len(), 1);
    assert!(stream.session.cancelled.is_cancelled());
    assert!(find(&sessions, "portal", "login.example.com", 1).is_err());
    assert!(find(&sessions, "app", "app.example.com", 1).is_err());
    assert!(sessions.end(&WhichSessions::Everybody).is_empty());
}

#[test]
fn an_ended_session_gets_no_further_cookie() {
    let sessions = with_one();
    sessions.end(&WhichSessions::Everybody);
    assert!(!sessions.put_cookie(
        &SessionId::new("s-1"),
        &host("app.example.com"),
        hash("late")
    ));
    assert!(find(&sessions, "late", "app.example.com", 1).is_err());
}

#[test]
fn what_a_worker_found_before_opens_nothing_once_it_has_ended_or_was_replaced() {
    let sessions = with_one();
    let portal = host("login.example.com");
    let second = (portal.clone(), hash("second"));
    sessions.insert(live("u-2", "s-2"), vec![second]);
    let (found, changed) = (Barrier::new(3), Barrier::new(3));
    std::thread::scope(|scope| {
        for _worker in 0..2 {
            scope.spawn(|| {
                for cookie in ["portal", "second"] {
                    assert!(find(&sessions, cookie, "login.example.com", 1).is_ok());
                }
                found.wait();
                changed.wait();
                for cookie in ["portal", "second"] {
                    let refused = find(&sessions, cookie, "login.example.com", 2);
                    assert_eq!(refused.unwrap_err(), BadCredential::Unknown);
                }
                assert!(find(&sessions, "third", "login.example.com", 2).is_ok());
            });
        }
        found.wait();
        sessions.end(&WhichSessions::One(SessionId::new("s-1")));
        assert!(sessions.put_cookie(&SessionId::new("s-2"), &portal, hash("third")));
        changed.wait();
    });
}

#[test]
fn ending_and_handing_out_cookies_at_once_leaves_no_cookie_behind() {
    for _round in 0..200 {
        let sessions = with_one();
        std::thread::scope(|scope| {
            scope.spawn(|| sessions.end(&WhichSessions::AllOf(PrincipalId::new("u-1"))));
            scope.spawn(|| {
                for number in 0..4 {
                    let name = format!("app{number}.example.com");
                    sessions.put_cookie(&SessionId::new("s-1"), &host(&name), hash(&name));
                }
            });
        });
        assert!(sessions.by_cookie.is_empty());
        assert_eq!(sessions.count(), 0);
    }
}

#[test]
fn one_persons_sessions_end_and_others_stay() {
    let sessions = with_one();
    sessions.insert(
        live("u-1", "s-2"),
        vec![(host("login.example.com"), hash("second"))],
    );
    sessions.insert(
        live("u-2", "s-3"),
        vec![(host("login.example.com"), hash("third"))],
    );
    let kept = WhichSessions::AllOfExcept(PrincipalId::new("u-1"), SessionId::new("s-2"));
    assert_eq!(sessions.end(&kept).len(), 1);
    assert!(find(&sessions, "second", "login.example.com", 1).is_ok());
    assert_eq!(
        sessions
            .end(&WhichSessions::AllOf(PrincipalId::new("u-1")))
            .len(),
        1
    );
    assert!(find(&sessions, "third", "login.example.com", 1).is_ok());
}

#[test]
fn a_changed_person_is_seen_by_the_next_request() {
    let sessions = with_one();
    let before = find(&sessions, "portal", "login.example.com", 1).unwrap();
    let ended = sessions
        .refresh::<()>(&PrincipalId::new("u-1"), || {
            let change: Refresh = Box::new(|principal| {
                principal.groups = Arc::new(BTreeSet::from(["admins".to_owned()]));
            });
            Ok(Some(change))
        })
        .unwrap();
    assert!(ended.is_empty());
    let after = find(&sessions, "portal", "login.example.com", 1).unwrap();
    assert!(before.groups.contains("staff"));
    assert!(after.groups.contains("admins"));
    assert!(!after.groups.contains("staff"));
    assert!(!after.session.cancelled.is_cancelled());
}

#[test]
fn a_person_who_may_not_be_signed_in_is_signed_out() {
    let sessions = with_one();
    let ended = sessions
        .refresh::<()>(&PrincipalId::new("u-1"), || Ok(None))
        .unwrap();
    assert_eq!(ended.len(), 1);
    assert!(find(&sessions, "portal", "login.example.com", 1).is_err());
}

#[test]
fn uses_are_reported_once_and_sessions_past_their_limits_are_named() {
    let sessions = with_one();
    assert!(sessions.take_used().is_empty());
    find(&sessions, "portal", "login.example.com", 10).unwrap();
    let used = sessions.take_used();
    assert_eq!(
        used,
        [(SessionId::new("s-1"), START.plus(Duration::from_secs(10)))]
    );
    assert!(sessions.take_used().is_empty());
    assert!(
        sessions
            .overdue(&RULES, START.plus(Duration::from_secs(60)))
            .is_empty()
    );
    let late = START.plus(Duration::from_secs(3600));
    assert_eq!(
        sessions.overdue(&RULES, late),
        [(SessionId::new("s-1"), BadCredential::Idle)]
    );
}
