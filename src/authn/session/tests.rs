//! Sessions in memory and store together, over a restart too.

use std::time::Duration;

use crate::authn::cookie::Presented;
use crate::authn::event::Action;
use crate::authn::fixture::{APP, PORTAL, Site, actions, after, host, visitor};
use crate::authn::{Authn, BadCredential};
use crate::store::{EndReason, WhichSessions};

#[tokio::test]
async fn nothing_presented_is_anonymous_and_anything_odd_is_refused() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let authenticate = |presented| {
        let rules = site.auth.rules().session;
        site.auth
            .sessions
            .authenticate(presented, &host(PORTAL), &rules, after(1))
    };
    assert!(matches!(
        authenticate(Presented::Nothing),
        Ok(Authn::Anonymous)
    ));
    let good = signed_in.cookie.expose();
    assert!(matches!(
        authenticate(Presented::of([good.as_str(), good])),
        Ok(Authn::Known(_))
    ));
    let planted = "A".repeat(43);
    for (presented, expected) in [
        (
            Presented::of([good.as_str(), &planted]),
            BadCredential::Conflicting,
        ),
        (
            Presented::of([good.as_str(), ""]),
            BadCredential::Conflicting,
        ),
        (Presented::One(&planted), BadCredential::Unknown),
        (Presented::One(""), BadCredential::Malformed),
        (Presented::One("abc"), BadCredential::Malformed),
        (
            Presented::One(good.get(1..).unwrap()),
            BadCredential::Malformed,
        ),
    ] {
        assert_eq!(
            authenticate(presented).unwrap_err(),
            expected,
            "{presented:?}"
        );
    }
}

#[tokio::test]
async fn sessions_survive_a_restart_with_all_their_cookies() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let session = &signed_in.principal.session.id;
    let app = site
        .auth
        .sessions
        .extend(session, &host(APP))
        .await
        .unwrap()
        .unwrap();
    site.who(&app, APP, after(600)).unwrap();
    site.auth.maintain(after(600)).await.unwrap();
    site.store.upkeep.flush().await.unwrap();

    let restarted = site.restarted();
    let before = site.who(&signed_in.cookie, PORTAL, after(700)).unwrap();
    let found = restarted
        .who(&signed_in.cookie, PORTAL, after(700))
        .unwrap();
    assert_eq!(found.session.id, before.session.id);
    assert_eq!(found.session.methods, before.session.methods);
    assert_eq!(found.groups, before.groups);
    assert!(restarted.who(&app, APP, after(700)).is_ok());
    assert!(restarted.who(&app, PORTAL, after(700)).is_err());
    let live = restarted.auth.sessions.get(session).unwrap();
    assert_eq!(live.origin.address, Some(visitor(0).address));
    assert_eq!(live.origin.user_agent.as_deref(), Some("Mozilla/5.0"));
}

#[tokio::test]
async fn an_ended_session_stays_ended_after_a_restart() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let which = WhichSessions::One(signed_in.principal.session.id.clone());
    let ended = site
        .auth
        .sessions
        .end(which, EndReason::SignedOut, after(1))
        .await
        .unwrap();
    assert_eq!(ended.len(), 1);
    assert!(signed_in.principal.session.cancelled.is_cancelled());
    assert!(site.who(&signed_in.cookie, PORTAL, after(2)).is_err());
    assert!(
        site.restarted()
            .who(&signed_in.cookie, PORTAL, after(2))
            .is_err()
    );
}

#[tokio::test]
async fn signing_out_anywhere_ends_the_session_everywhere() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let session = &signed_in.principal.session.id;
    let app = site
        .auth
        .sessions
        .extend(session, &host(APP))
        .await
        .unwrap()
        .unwrap();
    let on_app = site.who(&app, APP, after(1)).unwrap();
    let which = WhichSessions::One(on_app.session.id.clone());
    site.auth
        .sessions
        .end(which, EndReason::SignedOut, after(2))
        .await
        .unwrap();
    assert!(site.who(&signed_in.cookie, PORTAL, after(3)).is_err());
    assert!(
        site.auth
            .sessions
            .extend(session, &host(APP))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn maintenance_ends_idle_and_old_sessions_and_says_so() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    assert!(site.auth.maintain(after(1799)).await.unwrap().is_empty());
    let events = site.auth.maintain(after(1800)).await.unwrap();
    assert_eq!(actions(&events), [Action::SessionEnded]);
    assert_eq!(events[0].details, [("portcullis.cause", "idle".to_owned())]);
    assert!(signed_in.principal.session.cancelled.is_cancelled());
    assert!(
        site.restarted()
            .who(&signed_in.cookie, PORTAL, after(1))
            .is_err()
    );
}

#[tokio::test]
async fn shorter_rules_from_a_reload_hold_for_running_sessions() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let mut rules = (*site.auth.rules()).clone();
    rules.session.idle = Duration::from_secs(60);
    site.auth.adopt(rules);
    assert_eq!(
        site.who(&signed_in.cookie, PORTAL, after(61)).unwrap_err(),
        BadCredential::Idle
    );
}

#[tokio::test]
async fn the_database_alone_resumes_no_session() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let rows = site.store.sessions.load_live(after(1)).unwrap();
    let (_session, cookies) = &rows[0];
    let stolen = data_encoding::BASE64URL_NOPAD.encode(&cookies[0].hash);
    assert_ne!(&stolen, signed_in.cookie.expose());
    assert!(
        site.who(&crate::base::Secret::new(stolen), PORTAL, after(1))
            .is_err()
    );
}
