//! Staples: what a real responder says about our certificates is sent in the handshake, and nothing that proves less.

use std::process::{Command, Stdio};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::harness::pki::{Leaf, Pki};
use crate::harness::responder::Responder;
use crate::harness::site::free_port;
use crate::harness::{Client, Site, Upstream, eventually};

const SERIAL: u64 = 0x1234;

/// A site with one certificate, which says that `port` knows about it.
fn site(pki: &Pki, upstream: &Upstream, port: u16) -> (Site, Leaf) {
    let mut site = Site::plan()
        .route("notes", upstream, "public = true")
        .prepare();
    let responder = format!("http://127.0.0.1:{port}/");
    let leaf = pki.leaf_asked_about(&responder, SERIAL, &["notes.test", "login.test"]);
    serve(&site, pki, &leaf);
    let files = "[{ cert = \"tls/a.crt\", key = { file = \"tls/a.key\" } }]";
    let tls = format!("certificates = \"files\"\nrecheck = \"1s\"\nfiles = {files}");
    site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
    (site, leaf)
}

fn serve(site: &Site, pki: &Pki, leaf: &Leaf) {
    let root = std::str::from_utf8(pki.root()).unwrap();
    site.write("tls/a.crt", &format!("{}{root}", leaf.cert));
    site.write("tls/a.key", &leaf.key);
    site.write("tls/ca.crt", root);
}

/// What `openssl s_client` says about the staple of one handshake; it verifies the staple as well.
async fn status(site: &Site, version: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-status", version, "-servername", "notes.test"])
        .args(["-connect", &site.address().to_string(), "-CAfile"])
        .arg(site.path("tls/ca.crt"))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("openssl is not installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn is_stapled(site: &Site) -> bool {
    let said = status(site, "-tls1_3").await;
    let none = said.contains("OCSP response: no response sent");
    let good = said.contains("OCSP Response Status: successful")
        && said.contains("Cert Status: good")
        && said.contains("Serial Number: 1234");
    assert!(none != good, "{said}");
    good
}

async fn stapled(site: &Site) {
    eventually("a staple", async || is_stapled(site).await.then_some(())).await;
}

async fn serves(site: &Site, pki: &Pki) {
    let client = Client::new(site.address(), pki.root());
    let request = Request::get("/")
        .header("host", format!("notes.test:{}", site.port))
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(client.send("notes.test", request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_or_its_delegate_answers_is_stapled_in_both_versions_of_tls() {
    for delegated in [false, true] {
        let (pki, upstream, port) = (Pki::new(), Upstream::start("notes").await, free_port());
        let delegate = delegated.then(|| pki.delegate());
        let known = [('V', SERIAL)];
        let _responder = Responder::start(port, &pki, &known, delegate.as_ref()).await;
        let (mut site, _leaf) = site(&pki, &upstream, port);
        site.run().await;
        stapled(&site).await;
        let said = status(&site, "-tls1_2").await;
        assert!(said.contains("Cert Status: good"), "{said}");
        serves(&site, &pki).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_is_away_holds_up_nothing_and_a_restart_staples_what_was_kept() {
    let (pki, upstream, port) = (Pki::new(), Upstream::start("notes").await, free_port());
    let (mut site, leaf) = site(&pki, &upstream, port);
    site.run().await;
    serves(&site, &pki).await;
    let told = async || site.log_text().contains("no new OCSP answer").then_some(());
    eventually("the failure in the log", told).await;
    assert!(!is_stapled(&site).await);

    let responder = Responder::start(port, &pki, &[('V', SERIAL)], None).await;
    stapled(&site).await;
    drop(responder);
    assert_eq!(site.stop().await, 0);
    site.run().await;
    stapled(&site).await;

    // Another certificate, about which nothing is known, is served without a staple; the old one comes back with it.
    let other = pki.leaf_asked_about("http://127.0.0.1:1/", 9, &["notes.test", "login.test"]);
    serve(&site, &pki, &other);
    eventually("the other certificate", async || {
        let said = status(&site, "-tls1_3").await;
        said.contains("OCSP response: no response sent")
            .then_some(())
    })
    .await;
    let forgotten = async || {
        let kept = std::fs::read_dir(site.path("data/ocsp")).unwrap().count();
        (kept == 0).then_some(())
    };
    eventually("the old answer to be forgotten", forgotten).await;
    serve(&site, &pki, &leaf);
    serves(&site, &pki).await;
}

/// The authority of the responder, who signs for it, what it knows, and what is told about its answer.
type Row<'a> = (&'a Pki, Option<&'a Leaf>, &'a [(char, u64)], &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_foreign_or_bad_answer_is_never_stapled() {
    let upstream = Upstream::start("notes").await;
    let (pki, stranger) = (Pki::new(), Pki::new());
    let (delegate, server) = (
        stranger.delegate(),
        pki.leaf(crate::harness::pki::Kind::P256, &["x.test"]),
    );
    // Signed by a namesake of the authority, by its delegate, by one who may only serve; then what is not good.
    let rows: [Row<'_>; 5] = [
        (
            &stranger,
            None,
            &[('V', SERIAL)],
            "the answer's signature is wrong",
        ),
        (
            &pki,
            Some(&delegate),
            &[('V', SERIAL)],
            "whoever signed the answer may not",
        ),
        (
            &pki,
            Some(&server),
            &[('V', SERIAL)],
            "whoever signed the answer may not",
        ),
        (
            &pki,
            None,
            &[('R', SERIAL)],
            "a certificate in force is revoked",
        ),
        (
            &pki,
            None,
            &[('V', SERIAL + 1)],
            "does not know the certificate",
        ),
    ];
    for (authority, signer, known, told) in rows {
        let port = free_port();
        let _responder = Responder::start(port, authority, known, signer).await;
        let (mut site, _leaf) = site(&pki, &upstream, port);
        site.run().await;
        let seen = async || site.log_text().contains(told).then_some(());
        eventually(told, seen).await;
        assert!(!is_stapled(&site).await, "{told}");
        serves(&site, &pki).await;
        assert!(!site.path("data/ocsp").exists(), "{told}");
    }
}

/// What the metrics say about revoked certificates.
async fn revoked(site: &Site) -> u64 {
    let metrics = site.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("portcullis_certificates_revoked "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_certificate_is_revoked_is_told_everywhere_until_another_is_in_force() {
    let (pki, upstream, port) = (Pki::new(), Upstream::start("notes").await, free_port());
    let good = Responder::start(port, &pki, &[('V', SERIAL)], None).await;
    let (mut site, _leaf) = site(&pki, &upstream, port);
    site.run().await;
    stapled(&site).await;
    assert_eq!(revoked(&site).await, 0);
    let is_event = |entry: &serde_json::Value| entry["event.name"] == "certificate.revoked";
    assert!(!site.entries().iter().any(is_event));
    assert_eq!(site.stop().await, 0);

    // What was kept of the good answer would be sent until half of its life is over.
    std::fs::remove_dir_all(site.path("data/ocsp")).unwrap();
    drop(good);
    let _responder = Responder::start(port, &pki, &[('R', SERIAL)], None).await;
    site.run().await;
    let event = site.entry("the event", is_event).await;
    assert_eq!(
        event["portcullis.certificate.names"],
        "notes.test login.test"
    );
    assert_eq!(
        event["portcullis.certificate.responder"],
        format!("http://127.0.0.1:{port}/")
    );
    eventually("the metric", async || {
        (revoked(&site).await == 1).then_some(())
    })
    .await;
    let log = site.log_text();
    let line = log
        .lines()
        .find(|line| line.contains("a certificate in force is revoked"))
        .unwrap();
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("put another one, with a new key"), "{line}");
    // There is no other, so it is served; clients decide.
    assert!(!is_stapled(&site).await);
    serves(&site, &pki).await;

    // Told once, also when the authority says it again.
    let again = async || {
        let told = site.log_text();
        let times = told.matches("a certificate in force is revoked").count();
        (times >= 2).then_some(())
    };
    eventually("the authority to be asked again", again).await;
    let events = site.entries().into_iter().filter(is_event).count();
    assert_eq!(events, 1);
    let other = pki.leaf_asked_about("http://127.0.0.1:1/", 9, &["notes.test", "login.test"]);
    serve(&site, &pki, &other);
    eventually("the metric to forget it", async || {
        (revoked(&site).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_staples_are_switched_off() {
    let (pki, upstream, port) = (Pki::new(), Upstream::start("notes").await, free_port());
    let _responder = Responder::start(port, &pki, &[('V', SERIAL)], None).await;
    let (mut site, _leaf) = site(&pki, &upstream, port);
    site.run().await;
    stapled(&site).await;
    site.edit_config(|text| text.replace("recheck = ", "staple = false\nrecheck = "));
    site.signal(rustix::process::Signal::HUP);
    eventually("the staple to go", async || {
        (!is_stapled(&site).await).then_some(())
    })
    .await;
    serves(&site, &pki).await;
}
