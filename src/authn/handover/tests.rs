//! Codes between the portal and the hosts of apps.

use super::{Flow, Refused};
use crate::authn::Principal;
use crate::authn::fixture::{APP, PORTAL, Site, after, host, visitor};
use crate::authn::return_to::ReturnTo;
use crate::base::Secret;
use crate::store::{EndReason, WhichSessions};

fn to_app() -> ReturnTo {
    ReturnTo::parse("https://app.example.com/reports?week=7", |to| {
        to.host.as_str() == APP
    })
    .unwrap()
}

fn issue(site: &Site, principal: &Principal, flow: &Flow) -> Secret<String> {
    site.auth
        .handover
        .issue(principal, &flow.state, to_app(), after(1))
        .unwrap()
}

async fn accept(
    site: &Site,
    code: &Secret<String>,
    at: &str,
    flow_cookie: Option<&str>,
    seconds: u64,
) -> Result<Secret<String>, Refused> {
    let handover = &site.auth.handover;
    let at = host(at);
    let arrived = handover.accept(code.expose(), &at, flow_cookie, after(seconds));
    arrived.await.unwrap().map(|arrived| {
        assert_eq!(arrived.to, to_app());
        arrived.cookie
    })
}

#[tokio::test]
async fn a_code_gives_the_app_s_host_a_cookie_of_its_own() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let flow = Flow::begin(None);
    let code = issue(&site, &signed_in.principal, &flow);
    let cookie = accept(&site, &code, APP, Some(flow.cookie.expose()), 2)
        .await
        .unwrap();
    let on_app = site.who(&cookie, APP, after(3)).unwrap();
    assert_eq!(on_app.session.id, signed_in.principal.session.id);
    assert!(site.who(&cookie, PORTAL, after(3)).is_err());
    assert!(site.who(&cookie, "other.example.com", after(3)).is_err());
    assert!(site.who(&signed_in.cookie, PORTAL, after(3)).is_ok());
    assert!(
        site.who(&code, APP, after(3)).is_err(),
        "a code is no session"
    );
}

#[tokio::test]
async fn a_code_is_refused_a_second_time_late_elsewhere_and_to_another_browser() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let flow = Flow::begin(None);
    let ours = Some(flow.cookie.expose().as_str());
    let strangers = Flow::begin(None);

    let code = issue(&site, &signed_in.principal, &flow);
    assert!(accept(&site, &code, APP, ours, 2).await.is_ok());
    assert_eq!(
        accept(&site, &code, APP, ours, 2).await.unwrap_err(),
        Refused::Code
    );

    let code = issue(&site, &signed_in.principal, &flow);
    assert_eq!(
        accept(&site, &code, APP, ours, 61).await.unwrap_err(),
        Refused::Code
    );

    let code = issue(&site, &signed_in.principal, &flow);
    let elsewhere = accept(&site, &code, "other.example.com", ours, 2).await;
    assert_eq!(elsewhere.unwrap_err(), Refused::OtherHost);
    assert_eq!(
        accept(&site, &code, APP, ours, 2).await.unwrap_err(),
        Refused::Code
    );

    for cookie in [
        None,
        Some(""),
        Some(strangers.cookie.expose().as_str()),
        Some(flow.state.as_str()),
    ] {
        let code = issue(&site, &signed_in.principal, &flow);
        let refused = accept(&site, &code, APP, cookie, 2).await.unwrap_err();
        assert_eq!(refused, Refused::OtherBrowser, "{cookie:?}");
    }
    assert_eq!(
        site.auth
            .sessions
            .hosts(&signed_in.principal.session.id)
            .len(),
        2
    );
}

#[tokio::test]
async fn a_code_of_an_ended_session_opens_nothing() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let flow = Flow::begin(None);
    let code = issue(&site, &signed_in.principal, &flow);
    let which = WhichSessions::One(signed_in.principal.session.id.clone());
    site.auth
        .sessions
        .end(which, EndReason::SignedOut, after(2))
        .await
        .unwrap();
    let refused = accept(&site, &code, APP, Some(flow.cookie.expose()), 3).await;
    assert_eq!(refused.unwrap_err(), Refused::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_with_one_code_exactly_one_arrives() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    let flow = Flow::begin(None);
    let code = issue(&site, &signed_in.principal, &flow);
    let tries = (0..16).map(|_try| accept(&site, &code, APP, Some(flow.cookie.expose()), 2));
    let outcomes = futures_util::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[test]
fn several_tabs_share_one_flow_cookie_and_a_malformed_one_is_replaced() {
    let first = Flow::begin(None);
    let second = Flow::begin(Some(first.cookie.expose()));
    assert_eq!(first.state, second.state);
    assert_ne!(first.state, *first.cookie.expose());
    let other = Flow::begin(Some("planted"));
    assert_ne!(other.cookie.expose(), "planted");
}

#[tokio::test]
async fn a_state_that_is_none_gets_no_code() {
    let site = Site::with_ana().await;
    let signed_in = site.signed_in(&visitor(0)).await;
    for state in ["", "x", "a b c"] {
        let code = site
            .auth
            .handover
            .issue(&signed_in.principal, state, to_app(), after(1));
        assert!(code.is_none(), "{state}");
    }
}
