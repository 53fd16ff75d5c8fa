//! Who asks too fast is told when to come back, before anything costs; others are not affected.

use crate::harness::client::{collect, content, request, request_h2};
use crate::harness::{Answer, Site, Upstream};

async fn get(site: &Site, name: &str, from: &str) -> Answer {
    let mut sender = site.client().h1(&format!("{name}.test")).await;
    let asked = request(site, "GET", name, "/")
        .header("x-forwarded-for", from)
        .body(content(""))
        .unwrap();
    collect(sender.send_request(asked).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_fast_is_held_back_before_anything_else_and_others_are_not() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .limits("address_rate = \"1/1h\"\naddress_burst = 3")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(get(&site, "app", "192.0.2.1").await.status, 200);
    }
    let held = get(&site, "app", "192.0.2.1").await;
    assert_eq!(held.status, 429);
    let wait: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    assert_eq!(held.json()["reason"], "rate-limited");
    assert_eq!(get(&site, "app", "192.0.2.2").await.status, 200);
    assert_eq!(upstream.hits(), 4);
    site.entry("the refusal", |entry| {
        entry["portcullis.reason"] == "rate-limited"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_own_limit_per_address_or_in_all() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("each", &upstream, "public = true\nrate_limit = \"each\"")
        .route("all", &upstream, "public = true\nrate_limit = \"all\"")
        .route("free", &upstream, "public = true")
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .toml("[rate_limit.each]\nrate = \"2/1h\"\nby = \"client.address\"")
        .toml("[rate_limit.all]\nrate = \"2/1h\"\nby = \"route\"")
        .start()
        .await;
    let statuses = async |name: &str| {
        let mut found = Vec::new();
        for from in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            found.push(get(&site, name, from).await.status);
        }
        found
    };
    assert_eq!(statuses("each").await, [200, 200, 429, 200]);
    assert_eq!(statuses("all").await, [200, 200, 429, 429]);
    assert_eq!(statuses("free").await, [200, 200, 200, 200]);
    assert_eq!(upstream.hits(), 9);
    let mut sender = site.client().h1("all.test").await;
    let asked = request(&site, "GET", "all", "/")
        .header("accept", "text/html")
        .body(content(""))
        .unwrap();
    let page = collect(sender.send_request(asked).await.unwrap()).await;
    assert_eq!(page.status, 429);
    assert!(
        page.header("retry-after").is_some()
            && page
                .header("content-type")
                .unwrap()
                .starts_with("text/html")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_a_reload() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true\nrate_limit = \"all\"")
        .toml("[rate_limit.all]\nrate = \"2/1h\"\nby = \"route\"")
        .start()
        .await;
    for expected in [200, 200, 429] {
        assert_eq!(get(&site, "app", "").await.status, expected);
    }
    site.signal(rustix::process::Signal::HUP);
    crate::harness::eventually("the reload", async || {
        site.log_text()
            .contains("portcullis.config.reloaded")
            .then_some(())
    })
    .await;
    assert_eq!(get(&site, "app", "").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_taken_fill_only_the_places_of_their_own_address() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .limits("requests_per_address = 2")
        .start()
        .await;
    let mut slow = site.client().h2("app.test").await;
    let mut ask = async |path: &str| {
        let asked = request_h2(&site, "GET", "app", path)
            .header("x-forwarded-for", "192.0.2.1")
            .body(content(""))
            .unwrap();
        slow.send_request(asked).await.unwrap()
    };
    let untaken = (ask("/flood").await, ask("/flood").await);
    // The refusal is in the log although nobody takes its body either.
    let refused = ask("/").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert!(refused.headers().contains_key("x-request-id"));
    site.entry("the refusal", |entry| {
        entry["portcullis.reason"] == "rate-limited"
    })
    .await;
    assert_eq!(get(&site, "app", "192.0.2.2").await.status, 200);
    assert_eq!(upstream.hits(), 3);
    drop((untaken, refused));
    crate::harness::eventually("a free place", async || {
        (get(&site, "app", "192.0.2.1").await.status == 200).then_some(())
    })
    .await;
}
