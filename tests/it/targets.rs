//! Where requests go: kinds of targets, several of them, and what is kept open to them.

use crate::harness::ca::Authority;
use crate::harness::client::{collect, content, request};
use crate::harness::site::free_port;
use crate::harness::{Answer, Site, Upstream};

fn route(name: &str, upstream: &str) -> String {
    format!(
        "[route.{name}]\nhost = \"{name}.test\"\nupstream = \"{name}\"\npublic = true\n[upstream.{name}]\n{upstream}\n"
    )
}

async fn get(site: &Site, name: &str, path: &str) -> Answer {
    let mut sender = site.client().h1(&format!("{name}.test")).await;
    let asked = request(site, "GET", name, path).body(content("")).unwrap();
    collect(sender.send_request(asked).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_like_any_other_target() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start_unix("socket", &folder.path().join("app.sock"));
    let site = Site::plan()
        .toml(&route(
            "app",
            &format!("targets = [\"{}\"]", upstream.url()),
        ))
        .start()
        .await;
    assert_eq!(get(&site, "app", "/a").await.text(), "upstream socket /a");
    assert_eq!(
        upstream.last().header("host"),
        Some(format!("app.test:{}", site.port).as_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_where_alpn_agrees_and_shares_one_connection() {
    let authority = Authority::new();
    let both = Upstream::start_tls("both", &authority, &[b"h2", b"http/1.1"]).await;
    let old = Upstream::start_tls("old", &authority, &[b"http/1.1"]).await;
    let keys = |upstream: &Upstream| {
        format!(
            "targets = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}",
            upstream.url()
        )
    };
    let mut site = Site::plan()
        .server("workers = 1")
        .toml(&route("both", &keys(&both)))
        .toml(&route("old", &keys(&old)))
        .prepare();
    site.write("ca.pem", &authority.pem());
    site.run().await;
    for _ in 0..3 {
        assert_eq!(get(&site, "both", "/a").await.text(), "upstream both /a");
        assert_eq!(get(&site, "old", "/a").await.text(), "upstream old /a");
    }
    let seen = both.last();
    assert_eq!(
        (seen.header("via"), seen.header("connection")),
        (Some("1.1 portcullis"), None)
    );
    assert_eq!(both.connections(), 1);
    assert_eq!(old.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_with_the_fewest_running_requests_is_next() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let keys = format!("targets = [\"{}\", \"{}\"]", one.url(), two.url());
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route("app", &keys))
        .start()
        .await;
    let mut running = Vec::new();
    for _ in 0..4 {
        let mut sender = site.client().h1("app.test").await;
        let asked = request(&site, "GET", "app", "/gated")
            .body(content(""))
            .unwrap();
        running.push((sender.send_request(asked).await.unwrap(), sender));
    }
    assert_eq!((one.hits(), two.hits()), (2, 2));
    for _ in 0..2 {
        one.release();
    }
    let mut finished = 0;
    for (response, _sender) in running {
        if finished < 2 && response.headers().contains_key("x-request-id") {
            finished += 1;
        }
        drop(response);
    }
    assert_eq!(finished, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_takes_targets_in_turn() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let keys = format!(
        "targets = [\"{}\", \"{}\"]\nbalance = \"round-robin\"",
        one.url(),
        two.url()
    );
    let site = Site::plan()
        .server("workers = 1")
        .toml(&route("app", &keys))
        .start()
        .await;
    for _ in 0..6 {
        assert_eq!(get(&site, "app", "/").await.status, 200);
    }
    assert_eq!((one.hits(), two.hits()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_connected_is_passed_over() {
    let alive = Upstream::start("alive").await;
    let keys = format!(
        "targets = [\"http://127.0.0.1:{}\", \"{}\"]",
        free_port(),
        alive.url()
    );
    let site = Site::plan().toml(&route("app", &keys)).start().await;
    for number in 1..=8 {
        let mut sender = site.client().h1("app.test").await;
        let asked = request(&site, "POST", "app", "/echo")
            .body(content("body"))
            .unwrap();
        assert_eq!(
            collect(sender.send_request(asked).await.unwrap())
                .await
                .text(),
            "body"
        );
        assert_eq!(alive.hits(), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_may_be_told_its_own_name() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true\npreserve_host = false")
        .start()
        .await;
    assert_eq!(get(&site, "app", "/").await.status, 200);
    assert_eq!(
        upstream.last().header("host"),
        Some(upstream.address.to_string().as_str())
    );
    assert_eq!(
        upstream.last().header("x-forwarded-host"),
        Some(format!("app.test:{}", site.port).as_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_an_upstream_are_kept_and_used_again() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .server("workers = 1")
        .route("app", &upstream, "public = true")
        .start()
        .await;
    for _ in 0..5 {
        assert_eq!(get(&site, "app", "/sized/70000").await.body.len(), 70_000);
    }
    assert_eq!(upstream.connections(), 1);
}
