//! Certificates by themselves: obtained from an authority by every kind of proof, renewed, kept when renewal fails.
//!
//! The authority is Pebble, which checks every name through a name server of its own.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::harness::pebble::{EXTERNAL_ID, EXTERNAL_KEY, Manner, Pebble};
use crate::harness::site::free_port;
use crate::harness::{Client, Site, Upstream, Wire, eventually};

const NOBODY_LISTENS: &str = "127.0.0.2";

/// A site with the app `app.test`, its port for http, and its authority.
async fn prepare(upstream: &Upstream, manner: Manner, more: &str) -> (Site, u16, Pebble) {
    let mut site = Site::plan()
        .route("app", upstream, "public = true")
        .prepare();
    let http = free_port();
    let pebble = Pebble::start(manner, site.port, http).await;
    pebble.serves(&mut site, more);
    site.edit_config(|text| {
        text.replace(
            "http_redirect = []",
            &format!("http_redirect = [\"127.0.0.1:{http}\"]"),
        )
    });
    (site, http, pebble)
}

/// A client that believes the authority, and not what stands in until a certificate is there.
fn visitor(site: &Site, pebble: &Pebble) -> Client {
    Client::new(site.address(), &pebble.root())
}

/// The leaf that is served under `name`, once the authority vouches for it.
async fn obtained(client: &Client, name: &str) -> Vec<u8> {
    eventually("a certificate of the authority", async || {
        let stream = client.connect(name, &[b"http/1.1"]).await.ok()?;
        let leaf = stream.get_ref().1.peer_certificates()?.first()?;
        Some(leaf.to_vec())
    })
    .await
}

fn get(site: &Site, name: &str) -> Request<Full<Bytes>> {
    Request::get("/")
        .header("host", format!("{name}:{}", site.port))
        .body(Full::default())
        .unwrap()
}

fn events(site: &Site, name: &str) -> Vec<serde_json::Value> {
    let mut entries = site.entries();
    entries.retain(|entry| entry["event.name"] == name);
    entries
}

fn certificates(site: &Site) -> Vec<serde_json::Value> {
    let said = site.command(&["--format", "json", "cert", "status"]);
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_obtained_by_tls_alpn_01_for_portal_and_routes_while_the_server_serves() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), "").await;
    site.run().await;
    let client = visitor(&site, &pebble);
    for name in ["app.test", "login.test"] {
        obtained(&client, name).await;
    }
    assert_eq!(
        client.send("app.test", get(&site, "app.test")).await.status,
        200
    );
    let listed = eventually("both to be current", async || {
        let listed = certificates(&site);
        listed
            .iter()
            .all(|one| one["state"] == "current")
            .then_some(listed)
    })
    .await;
    let names: Vec<_> = listed.iter().map(|one| one["names"].to_string()).collect();
    assert_eq!(names, ["[\"app.test\"]", "[\"login.test\"]"]);
    assert!(
        listed.iter().all(|one| one["source"] == "acme"),
        "{listed:?}"
    );
    assert_eq!(site.command(&["cert", "status"]).code, 0);
    assert!(
        site.metrics()
            .await
            .contains("portcullis_certificate_orders_total{outcome=\"issued\"} 2")
    );
    assert_eq!(events(&site, "certificate.issued").len(), 2);
    assert_eq!(pebble.orders(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_obtained_by_http_01() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) =
        prepare(&upstream, Manner::default(), "challenge = \"http-01\"").await;
    site.run().await;
    obtained(&visitor(&site, &pebble), "app.test").await;
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wildcards_and_all_names_in_one_certificate_are_obtained_by_dns_01() {
    let upstream = Upstream::start("app").await;
    let more = "challenge = \"dns-01\"\nbundle = true\ndns = { exec = \"hook\", wait = \"10ms\" }";
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), more).await;
    site.edit_config(|text| {
        text.replace("\"app.test\"", "\"*.apps.test\"") + "\n[process]\nwritable = [\"notes\"]\n"
    });
    site.write("notes/hooked", "");
    site.write(
        "hook",
        &format!(
            "#!/bin/sh\nexport PATH=/usr/bin:/bin\ncd \"${{0%/*}}\"; echo \"$1 $2\" >> notes/hooked; touch elsewhere\n\
         case $1 in present) verb=set-txt;; *) verb=clear-txt;; esac\n\
         curl -fsS -X POST -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" {}/$verb\n",
            pebble.names()
        ),
    );
    std::fs::set_permissions(site.path("hook"), std::fs::Permissions::from_mode(0o700)).unwrap();
    site.run().await;
    let client = visitor(&site, &pebble);
    let any = obtained(&client, "any.apps.test").await;
    assert_eq!(
        any,
        obtained(&client, "login.test").await,
        "one certificate for all"
    );
    let hooked = eventually("both records to be taken back", async || {
        let hooked = std::fs::read_to_string(site.path("notes/hooked")).ok()?;
        (hooked.lines().count() == 4).then_some(hooked)
    })
    .await;
    for name in ["apps.test", "login.test"] {
        for verb in ["present", "cleanup"] {
            assert!(
                hooked.contains(&format!("{verb} _acme-challenge.{name}\n")),
                "{hooked}"
            );
        }
    }
    assert!(
        !site.path("elsewhere").exists(),
        "it writes only where `writable` lets it"
    );
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_serves_what_is_kept_and_orders_nothing() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), "").await;
    site.run().await;
    let client = visitor(&site, &pebble);
    let before = obtained(&client, "app.test").await;
    obtained(&client, "login.test").await;
    eventually("both to be recorded", async || {
        (events(&site, "certificate.issued").len() == 2).then_some(())
    })
    .await;
    assert_eq!(site.stop().await, 0);
    let (orders, secrets) = (pebble.orders(), everything_below(&site.path("data")));
    for key in [&b"PRIVATE KEY"[..], b"key_pkcs8"] {
        assert!(
            !secrets.windows(key.len()).any(|window| window == key),
            "a key lies open"
        );
    }
    site.run().await;
    let stream = client.connect("app.test", &[b"http/1.1"]).await.unwrap();
    assert_eq!(
        stream.get_ref().1.peer_certificates().unwrap()[0].as_ref(),
        before
    );
    assert!(
        certificates(&site)
            .iter()
            .all(|one| one["state"] == "current")
    );
    assert_eq!(pebble.orders(), orders);
}

/// All files of the database, so that what lies open in them is seen.
fn everything_below(folder: &std::path::Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let databases = files.filter(|path| path.to_string_lossy().contains("portcullis.db"));
    databases
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_ends_without_a_failed_handshake() {
    let upstream = Upstream::start("app").await;
    let manner = Manner {
        life: 30,
        ..Manner::default()
    };
    let (mut site, _, pebble) = prepare(&upstream, manner, "").await;
    site.run().await;
    let client = visitor(&site, &pebble);
    let first = obtained(&client, "app.test").await;
    eventually("another certificate", async || {
        let stream = client.connect("app.test", &[b"http/1.1"]).await.unwrap();
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        (leaf != first).then_some(())
    })
    .await;
    site.entry("the renewal", |entry| {
        entry["event.name"] == "certificate.renewed"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_nonces_are_tried_again_within_one_order() {
    let upstream = Upstream::start("app").await;
    let manner = Manner {
        bad_nonces: 30,
        ..Manner::default()
    };
    let (mut site, _, pebble) = prepare(&upstream, manner, "").await;
    site.run().await;
    obtained(&visitor(&site, &pebble), "app.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_account_is_bound_and_without_it_nothing_is_issued() {
    let upstream = Upstream::start("app").await;
    let manner = Manner {
        external_accounts: true,
        ..Manner::default()
    };
    let (mut site, _, pebble) = prepare(&upstream, manner, "").await;
    site.run().await;
    let refused = site
        .entry("the refusal", |entry| {
            entry["event.name"] == "certificate.failed"
        })
        .await;
    assert!(
        refused.to_string().contains("externalAccountRequired"),
        "{refused}"
    );
    assert_eq!(pebble.orders(), 0);
    assert_eq!(site.stop().await, 0);
    site.write("eab.key", EXTERNAL_KEY);
    site.edit_config(|text| {
        let external = format!("external_account = {{ id = \"{EXTERNAL_ID}\", key = {{ file = \"eab.key\" }} }}\nretry = ");
        text.replacen("retry = ", &external, 1)
    });
    site.run().await;
    obtained(&visitor(&site, &pebble), "app.test").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_renewal_fails_the_last_good_certificate_stays_and_everybody_is_told() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), "").await;
    site.run().await;
    let client = visitor(&site, &pebble);
    let before = obtained(&client, "app.test").await;
    pebble.point("app.test", NOBODY_LISTENS);
    let said = site.command(&["cert", "renew", "app.test"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err.contains("app.test") && said.err.contains("stays in force"),
        "{}",
        said.err
    );
    let failed = site
        .entry("the failure", |entry| {
            entry["event.name"] == "certificate.failed"
        })
        .await;
    assert!(failed.to_string().contains("app.test"), "{failed}");
    assert!(site.log_text().contains("portcullis.certificate.failed"));
    assert!(
        site.metrics()
            .await
            .contains("portcullis_certificate_orders_total{outcome=\"failed\"}")
    );
    let status = site.command(&["cert", "status"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert_eq!(obtained(&client, "app.test").await, before);
    assert_eq!(
        client.send("app.test", get(&site, "app.test")).await.status,
        200
    );
    pebble.point("app.test", "127.0.0.1");
    site.command(&["cert", "renew", "app.test"]).ok();
    assert_ne!(obtained(&client, "app.test").await, before);
    assert_eq!(site.command(&["cert", "status"]).code, 0);
    let unknown = site.command(&["cert", "renew", "other.test"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fails_holds_up_no_other_and_waits_for_its_pause() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), "").await;
    site.edit_config(|text| text.replace("retry = \"1s\"\nretry_max = \"2s\"", "retry = \"10m\""));
    pebble.point("app.test", NOBODY_LISTENS);
    site.run().await;
    let client = visitor(&site, &pebble);
    obtained(&client, "login.test").await;
    site.entry("the failure", |entry| {
        entry["event.name"] == "certificate.failed"
    })
    .await;
    assert!(
        client.connect("app.test", &[b"http/1.1"]).await.is_err(),
        "nobody vouches for it"
    );
    assert_eq!(site.stop().await, 0);
    let orders = pebble.orders();
    site.run().await;
    let failing = certificates(&site);
    let failing = failing
        .iter()
        .find(|one| one["names"][0] == "app.test")
        .unwrap();
    assert_eq!(
        (failing["state"].as_str(), failing["failures"].as_u64()),
        (Some("failing"), Some(1))
    );
    assert_eq!(
        pebble.orders(),
        orders,
        "a restart is no reason to order again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_not_found_and_reaches_nothing() {
    // An authority may look here whatever the challenge that we ask for ourselves.
    for challenge in ["http-01", "tls-alpn-01"] {
        let challenge = format!("challenge = \"{challenge}\"");
        let upstream = Upstream::start("app").await;
        let (mut site, http, _pebble) = prepare(&upstream, Manner::default(), &challenge).await;
        site.run().await;
        let rows = [
            ("GET /.well-known/acme-challenge/wrong", "app.test", 404),
            ("GET /.well-known/acme-challenge/", "app.test", 404),
            ("GET /.well-known/acme-challenge/wrong", "evil.example", 404),
            ("POST /.well-known/acme-challenge/wrong", "app.test", 403),
            ("GET /.well-known/acme-challenge/../x", "app.test", 400),
            ("GET /.well-known/acme-challenge%2fwrong", "app.test", 308),
            ("GET /.well-known/acme-challenges/wrong", "app.test", 308),
        ];
        for (start, host, expected) in rows {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", http))
                .await
                .unwrap();
            let mut wire = Wire::new(stream);
            wire.send(format!("{start} HTTP/1.1\r\nHost: {host}:{http}\r\n\r\n"))
                .await;
            let answer = wire.answer().await;
            assert_eq!(answer.status, expected, "{start} {host}");
        }
        assert_eq!(upstream.hits(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acme_tls_1_for_a_name_without_an_order_is_refused() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) =
        prepare(&upstream, Manner::default(), "challenge = \"http-01\"").await;
    site.run().await;
    let client = visitor(&site, &pebble);
    obtained(&client, "app.test").await;
    for (name, protocols) in [
        ("app.test", &[&b"acme-tls/1"[..]][..]),
        ("app.test", &[b"acme-tls/1", b"http/1.1"]),
        ("other.test", &[b"acme-tls/1"]),
    ] {
        let outcome = client.connect(name, protocols).await;
        let text = format!("{:?}", outcome.err());
        assert!(text.contains("NoApplicationProtocol"), "{name}: {text}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_a_certificate_is_there_an_own_one_stands_in_and_unknown_names_get_none() {
    let upstream = Upstream::start("app").await;
    let (mut site, _, pebble) = prepare(&upstream, Manner::default(), "").await;
    pebble.point("app.test", NOBODY_LISTENS);
    site.run().await;
    let client = site.client();
    assert_eq!(
        client.send("app.test", get(&site, "app.test")).await.status,
        200
    );
    assert!(client.connect("other.test", &[b"http/1.1"]).await.is_err());
}
