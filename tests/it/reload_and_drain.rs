//! Changing the plan and ending the process, both without dropping a request that runs.

use crate::harness::client::{content, request};
use crate::harness::{Site, Upstream, eventually};
use http_body_util::BodyExt as _;
use rustix::process::Signal;

async fn open(upstream: &Upstream) -> Site {
    Site::plan()
        .route("app", upstream, "public = true")
        .start()
        .await
}

async fn status(site: &Site, host: &str) -> u16 {
    let asked = request(site, "GET", host, "/")
        .body(Default::default())
        .unwrap();
    site.client()
        .send(&format!("{host}.test"), asked)
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_request_ends_after_a_stop_was_asked_for_and_no_new_one_begins() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream).await;
    let mut sender = site.client().h1("app.test").await;
    let mut idle = site.client().wire("app.test").await;
    let mut response = sender
        .send_request(
            request(&site, "GET", "app", "/gated")
                .body(content(""))
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(
        response
            .body_mut()
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "first"
    );
    site.signal(Signal::TERM);
    idle.closed().await;
    eventually("the listener to close", async || {
        tokio::net::TcpStream::connect(site.address())
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert_eq!(site.ended(), None);
    upstream.release();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "last"
    );
    assert_eq!(
        eventually("the program to stop", async || site.ended()).await,
        0
    );
    let entries = site.entries();
    let request = entries
        .iter()
        .find(|entry| entry["event.name"] == "http.request")
        .unwrap();
    assert_eq!(
        (
            request["http.response.status_code"].as_u64(),
            request["portcullis.decision"].as_str()
        ),
        (Some(200), Some("allow"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_outlasts_the_grace_is_cut_off() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("shutdown_grace = \"300ms\"")
        .start()
        .await;
    let mut sender = site.client().h1("app.test").await;
    let response = sender
        .send_request(
            request(&site, "GET", "app", "/gated")
                .body(content(""))
                .unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(site.stop().await, 0);
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(
        site.entries()
            .iter()
            .filter(|entry| entry["event.name"] == "http.request")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_at_once_and_keeps_running_requests_and_connections() {
    let (upstream, second) = (
        Upstream::start("app").await,
        Upstream::start("second").await,
    );
    let mut site = open(&upstream).await;
    let mut sender = site.client().h1("app.test").await;
    let mut kept = site.client().wire("app.test").await;
    let running = sender
        .send_request(
            request(&site, "GET", "app", "/gated")
                .body(content(""))
                .unwrap(),
        )
        .await
        .unwrap();

    let second_url = second.url();
    site.edit_config(|text| {
        let text = text.replace("public = true", "public = true\nmethods = [\"GET\"]");
        format!(
            "{text}\n[route.second]\nhost = \"second.test\"\nto = \"{second_url}\"\npublic = true\n"
        )
    });
    site.signal(Signal::HUP);
    eventually("the reload", async || {
        site.log_text()
            .contains("portcullis.config.reloaded")
            .then_some(())
    })
    .await;

    assert_eq!(status(&site, "second").await, 200);
    kept.send(format!(
        "POST / HTTP/1.1\r\nHost: app.test:{}\r\nContent-Length: 0\r\n\r\n",
        site.port
    ))
    .await;
    assert_eq!(kept.answer().await.status, 405);
    upstream.release();
    assert_eq!(
        running.into_body().collect().await.unwrap().to_bytes(),
        "firstlast"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_leaves_the_plan_before_in_force_and_says_why() {
    let upstream = Upstream::start("app").await;
    let mut site = open(&upstream).await;
    for (bad, told) in [
        ("public = true\nallwo = [\"everyone\"]", "allwo"),
        ("public = \"yes\"", "public"),
    ] {
        let good = std::fs::read_to_string(site.path("portcullis.toml")).unwrap();
        site.edit_config(|text| text.replace("public = true", bad));
        site.signal(Signal::HUP);
        eventually("the refusal", async || {
            let log = site.log_text();
            let refused = log.matches("portcullis.config.refused").count();
            (refused > 0 && log.contains(told)).then_some(())
        })
        .await;
        assert_eq!(status(&site, "app").await, 200);
        site.edit_config(|_| good);
    }
    assert!(!site.log_text().contains("portcullis.config.reloaded"));
    site.entry("the refused reload", |entry| {
        entry["event.name"]
            .as_str()
            .is_some_and(|name| name.contains("config"))
    })
    .await;
}
