//! The TLS edge as clients meet it: exactly Mozilla's guideline 6.0, no certificate for strangers, tickets bound to a name.

use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::pki::{Kind, Leaf, Pki};
use crate::harness::{Client, Site, Upstream, eventually};

/// Mozilla's guideline 6.0, `intermediate`, OpenSSL's names, ECDSA and RSA.
const SUITES_12_ECDSA: [&str; 3] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
];
const SUITES_12_RSA: [&str; 3] = [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
/// Both profiles of the guideline.
const SUITES_13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];
/// The guideline's groups, in its order, that OpenSSL 3.0 knows; X25519MLKEM768 is tried with rustls.
const GROUPS: [&str; 3] = ["X25519", "P-256", "P-384"];
const OTHER_GROUPS: &str = "X448:P-521:ffdhe2048:ffdhe3072:ffdhe4096";
const HSTS: &str = "max-age=63072000; includeSubDomains";
/// RFC 8446 section 6: a fatal alert `unrecognized_name`, outside of any encryption.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// One handshake of `openssl s_client`; gives what it tells about the session, `None` when there is none.
async fn openssl(site: &Site, name: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &site.address().to_string()])
        .args(["-servername", name])
        .args(args)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("openssl is not installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("Usage"),
        "{args:?}"
    );
    (!said.contains("Cipher is (NONE)") && output.status.success()).then_some(said)
}

/// A site with one route whose certificates are files of `pki`: one ECDSA, one RSA.
fn with_files(pki: &Pki, upstream: &Upstream, profile: &str) -> (Site, Leaf) {
    let mut site = Site::plan()
        .route("notes", upstream, "public = true")
        .prepare();
    let names = ["notes.test", "login.test"];
    let leaf = pki.leaf(Kind::P256, &names);
    site.write("tls/ec.crt", &leaf.cert);
    site.write("tls/ec.key", &leaf.key);
    let mut files = String::from("{ cert = \"tls/ec.crt\", key = { file = \"tls/ec.key\" } }");
    if profile == "intermediate" {
        let rsa = pki.leaf(Kind::Rsa2048, &names);
        site.write("tls/rsa.crt", &rsa.cert);
        site.write("tls/rsa.key", &rsa.key);
        files.push_str(", { cert = \"tls/rsa.crt\", key = { file = \"tls/rsa.key\" } }");
    }
    let tls = format!(
        "certificates = \"files\"\nprofile = \"{profile}\"\nrecheck = \"1s\"\nfiles = [{files}]"
    );
    site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
    (site, leaf)
}

#[tokio::test(flavor = "multi_thread")]
async fn intermediate_speaks_1_2_and_1_3_with_exactly_the_guidelines_suites_and_groups() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let (mut site, _) = with_files(&pki, &upstream, "intermediate");
    site.run().await;

    for old in ["-tls1", "-tls1_1"] {
        let weak = ["-cipher", "ALL:@SECLEVEL=0", old];
        assert_eq!(openssl(&site, "notes.test", &weak).await, None, "{old}");
    }
    for suite in SUITES_12_ECDSA.iter().chain(&SUITES_12_RSA) {
        let said = openssl(&site, "notes.test", &["-tls1_2", "-cipher", suite]).await;
        let said = said.unwrap_or_else(|| panic!("{suite} is not offered"));
        assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
        assert!(said.contains("Secure Renegotiation IS supported"), "{said}");
        assert!(said.contains("Extended master secret: yes"), "{said}");
        assert!(said.contains("Compression: NONE"), "{said}");
    }
    let known = SUITES_12_ECDSA.join(":!") + ":!" + &SUITES_12_RSA.join(":!");
    let others = format!("ALL:COMPLEMENTOFALL:@SECLEVEL=0:!{known}");
    let said = openssl(&site, "notes.test", &["-tls1_2", "-cipher", &others]).await;
    assert_eq!(said, None, "a suite beyond the guideline was taken");
    only_the_guidelines_13(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modern_speaks_1_3_alone() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let (mut site, _) = with_files(&pki, &upstream, "modern");
    site.run().await;

    let every = ["-tls1_2", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"];
    assert_eq!(openssl(&site, "notes.test", &every).await, None);
    only_the_guidelines_13(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_256_takes_no_key_below_256_bits_and_no_group_below_192() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let (mut site, _) = with_files(&pki, &upstream, "strict-256");
    let p384 = pki.leaf(Kind::P384, &["notes.test", "login.test"]);
    replace(&site, &p384);
    let said = site.command(&["check"]);
    assert!(
        said.err.contains("profile strict-256") && !said.err.contains("PC3113"),
        "{said:?}"
    );
    site.run().await;

    for (suites, offered) in [
        ("AES128", false),
        ("AESCCM", false),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", true),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", true),
    ] {
        let said = openssl(&site, "notes.test", &["-tls1_2", "-cipher", suites]).await;
        assert_eq!(said.is_some(), offered, "{suites}");
    }
    for (suite, offered) in SUITES_13.into_iter().zip([false, true, true]) {
        let said = openssl(&site, "notes.test", &["-tls1_3", "-ciphersuites", suite]).await;
        assert_eq!(said.is_some(), offered, "{suite}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        for (group, offered) in GROUPS.into_iter().zip([false, false, true]) {
            let said = openssl(&site, "notes.test", &[version, "-groups", group]).await;
            assert_eq!(said.is_some(), offered, "{version} {group}");
        }
    }
    let others = openssl(&site, "notes.test", &["-tls1_3", "-groups", OTHER_GROUPS]).await;
    assert_eq!(others, None);
    let client = Client::new(site.address(), pki.root());
    let hybrid = with_groups(&client, &[kx_group::X25519MLKEM768]);
    assert!(handshake(&site, hybrid, "notes.test").await.is_ok());
}

async fn only_the_guidelines_13(site: &Site) {
    for suite in SUITES_13 {
        let said = openssl(site, "notes.test", &["-tls1_3", "-ciphersuites", suite]).await;
        let said = said.unwrap_or_else(|| panic!("{suite} is not offered"));
        assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
    }
    let ccm = "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
    let said = openssl(site, "notes.test", &["-tls1_3", "-ciphersuites", ccm]).await;
    assert_eq!(said, None, "a CCM suite was taken");
    for group in GROUPS {
        let said = openssl(site, "notes.test", &["-tls1_3", "-groups", group]).await;
        assert!(said.is_some(), "{group} is not offered");
    }
    let said = openssl(site, "notes.test", &["-tls1_3", "-groups", OTHER_GROUPS]).await;
    assert_eq!(said, None, "a group beyond the guideline was taken");
}

async fn handshake(
    site: &Site,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(site.address()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn with_groups(
    client: &Client,
    groups: &[&'static dyn rustls::crypto::SupportedKxGroup],
) -> ClientConfig {
    let mut config = client.tls_config(&[b"http/1.1"]);
    let mut provider = (**config.crypto_provider()).clone();
    provider.kx_groups = groups.to_vec();
    let roots = client.roots();
    config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn the_post_quantum_group_is_taken_before_all_others() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    let client = site.client();
    let offers: [&[&'static dyn rustls::crypto::SupportedKxGroup]; 2] = [
        &[kx_group::X25519MLKEM768],
        &[
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ],
    ];
    for offer in offers {
        let stream = handshake(&site, with_groups(&client, offer), "notes.test")
            .await
            .unwrap();
        let group = stream
            .get_ref()
            .1
            .negotiated_key_exchange_group()
            .unwrap()
            .name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
    }
    let only = with_groups(&client, &[kx_group::MLKEM768]);
    assert!(
        handshake(&site, only, "notes.test").await.is_err(),
        "MLKEM768 alone was taken"
    );
}

/// Keeps one session for all names, as no honest client does.
#[derive(Debug)]
struct OneForAll(ClientSessionMemoryCache);

fn one() -> ServerName<'static> {
    ServerName::try_from("one.test").unwrap()
}

impl ClientSessionStore for OneForAll {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(one(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&one())
    }
    fn set_tls12_session(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls12ClientSessionValue,
    ) {
        self.0.set_tls12_session(one(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.0.tls12_session(&one())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&one());
    }
    fn insert_tls13_ticket(
        &self,
        _: ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.insert_tls13_ticket(one(), value);
    }
    fn take_tls13_ticket(
        &self,
        _: &ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&one())
    }
}

/// One request, so that tickets which follow the handshake are read; tells how the handshake went.
async fn kind_of_handshake(site: &Site, config: &ClientConfig, name: &str) -> HandshakeKind {
    let mut stream = handshake(site, config.clone(), name).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {name}:{}\r\nConnection: close\r\n\r\n",
        site.port
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A close without close_notify is an error to rustls; the tickets were read before it.
    drop(stream.read_to_end(&mut answer).await);
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_the_name_it_was_issued_for_and_no_other() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .route("wiki", &upstream, "public = true")
        .start()
        .await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = site.client();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(
            client.tls_config(&[]).crypto_provider(),
        ))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(client.roots())
        .with_no_client_auth();
        config.resumption =
            Resumption::store(Arc::new(OneForAll(ClientSessionMemoryCache::new(8))));

        let first = kind_of_handshake(&site, &config, "notes.test").await;
        assert_ne!(first, HandshakeKind::Resumed);
        let again = kind_of_handshake(&site, &config, "notes.test").await;
        assert_eq!(again, HandshakeKind::Resumed, "{version:?}");
        let other = kind_of_handshake(&site, &config, "wiki.test").await;
        assert_ne!(other, HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_offer_no_early_data() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    site.write(
        "request",
        &format!(
            "GET / HTTP/1.1\r\nHost: notes.test:{}\r\nConnection: close\r\n\r\n",
            site.port
        ),
    );
    let mut command = Command::new("openssl");
    command
        .args([
            "s_client",
            "-tls1_3",
            "-ign_eof",
            "-servername",
            "notes.test",
        ])
        .args(["-connect", &site.address().to_string()])
        .stdin(std::fs::File::open(site.path("request")).unwrap());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("Post-Handshake New Session Ticket arrived"),
        "{said}"
    );
    assert!(said.contains("Max Early Data: 0"), "{said}");
}

/// The raw bytes a server answers to the ClientHello of a client that verifies nothing before it sees them.
async fn refused_bytes(site: &Site, name: Option<&str>) -> Vec<u8> {
    let mut config = site.client().tls_config(&[b"http/1.1"]);
    config.enable_sni = name.is_some();
    let server = ServerName::try_from(name.unwrap_or("notes.test").to_owned()).unwrap();
    let mut hello = Vec::new();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), server).unwrap();
    connection.write_tls(&mut hello).unwrap();
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the alert is as good as a close.
    drop(stream.read_to_end(&mut answer).await);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_or_none_gets_an_alert_and_no_certificate() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    for name in [Some("other.test"), Some("x.notes.test"), None] {
        assert_eq!(
            refused_bytes(&site, name).await,
            UNRECOGNIZED_NAME,
            "{name:?}"
        );
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_none_of_our_protocols_is_refused() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    for protocol in ["h3", "http/1.0", "h2c", "HTTP/1.1"] {
        assert_eq!(
            openssl(&site, "notes.test", &["-alpn", protocol]).await,
            None,
            "{protocol}"
        );
    }
    for (offer, taken) in [("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")] {
        let said = openssl(&site, "notes.test", &["-alpn", offer])
            .await
            .unwrap();
        assert!(said.contains(&format!("ALPN protocol: {taken}")), "{said}");
    }

    let one = Site::plan()
        .route("notes", &upstream, "public = true")
        .server("http = [\"h1\"]")
        .start()
        .await;
    assert_eq!(openssl(&one, "notes.test", &["-alpn", "h2"]).await, None);
    assert!(
        openssl(&one, "notes.test", &["-alpn", "h2,http/1.1"])
            .await
            .is_some()
    );
}

async fn served(site: &Site, client: &Client) -> Vec<u8> {
    let stream = client.connect("notes.test", &[b"http/1.1"]).await;
    let stream = stream.unwrap_or_else(|error| panic!("{error}\n{}", site.log_text()));
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn replace(site: &Site, leaf: &Leaf) {
    site.write("tls/ec.crt", &leaf.cert);
    site.write("tls/ec.key", &leaf.key);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_certificate_files_are_served_and_broken_ones_are_not() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let (mut site, first) = with_files(&pki, &upstream, "modern");
    site.run().await;
    let client = Client::new(site.address(), pki.root());
    assert_eq!(served(&site, &client).await, first.der);
    let kept = client.connect("notes.test", &[b"http/1.1"]).await.unwrap();

    let second = pki.leaf(Kind::P256, &["notes.test", "login.test"]);
    replace(&site, &second);
    let shown = async || (served(&site, &client).await == second.der).then_some(());
    eventually("the new certificate", shown).await;
    assert!(
        kept.get_ref().1.peer_certificates().is_some(),
        "connections live on"
    );

    site.write("tls/ec.crt", "not a certificate");
    let told = async || site.log_text().contains("PC3101").then_some(());
    eventually("the finding in the log", told).await;
    assert_eq!(
        served(&site, &client).await,
        second.der,
        "the last good one stays"
    );

    // A key that belongs to another certificate is as bad as none.
    let third = pki.leaf(Kind::P256, &["notes.test", "login.test"]);
    site.write("tls/ec.crt", &third.cert);
    let told = async || site.log_text().contains("PC3103").then_some(());
    eventually("the mismatch in the log", told).await;
    assert_eq!(served(&site, &client).await, second.der);
    site.write("tls/ec.key", &third.key);
    let shown = async || (served(&site, &client).await == third.der).then_some(());
    eventually("the third certificate", shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_new_certificates_and_refuses_broken_ones() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let (mut site, first) = with_files(&pki, &upstream, "modern");
    site.edit_config(|text| text.replace("recheck = \"1s\"", "recheck = \"1h\""));
    site.run().await;
    let client = Client::new(site.address(), pki.root());
    assert_eq!(served(&site, &client).await, first.der);

    let second = pki.leaf(Kind::P256, &["notes.test", "login.test"]);
    replace(&site, &second);
    site.signal(rustix::process::Signal::HUP);
    let shown = async || (served(&site, &client).await == second.der).then_some(());
    eventually("the new certificate", shown).await;

    site.write("tls/ec.crt", "not a certificate");
    site.signal(rustix::process::Signal::HUP);
    let told = async || {
        site.log_text()
            .contains("portcullis.config.refused")
            .then_some(())
    };
    eventually("the refusal in the log", told).await;
    assert!(site.log_text().contains("PC3101"), "{}", site.log_text());
    assert_eq!(
        served(&site, &client).await,
        second.der,
        "the last good one stays"
    );
}

fn get(host: &str, port: u16, target: &str) -> Request<Full<Bytes>> {
    Request::get(target)
        .header("host", format!("{host}:{port}"))
        .body(Full::default())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_stay_with_https() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .route("wiki", &upstream, "allow = [\"everyone\"]")
        .toml("[route.gone]\nhost = \"gone.test\"\nto = \"http://127.0.0.1:9\"\npublic = true\n")
        .start()
        .await;
    let client = site.client();
    for (name, host, target, status) in [
        ("notes.test", "notes.test", "/", 200),
        ("notes.test", "notes.test", "/status/500", 500),
        ("notes.test", "notes.test", "/a/../b", 400),
        ("wiki.test", "wiki.test", "/", 401),
        ("notes.test", "wiki.test", "/", 421),
        ("gone.test", "gone.test", "/", 502),
        ("login.test", "login.test", "/nothing-here", 404),
    ] {
        let answer = client.send(name, get(host, site.port, target)).await;
        assert_eq!(answer.status, status, "{host}{target}");
        assert_eq!(
            answer.header("strict-transport-security"),
            Some(HSTS),
            "{host}{target}"
        );
    }
    let url = format!("https://notes.test:{}/", site.port);
    let answer = client
        .send_h2(
            "notes.test",
            Request::get(url).body(Full::default()).unwrap(),
        )
        .await;
    assert_eq!(answer.header("strict-transport-security"), Some(HSTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_for_one_name_serves_no_other() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .route("wiki", &upstream, "public = true")
        .start()
        .await;
    let client = site.client();
    let h1 = client
        .send("notes.test", get("wiki.test", site.port, "/"))
        .await;
    assert_eq!(h1.status, 421);
    let url = format!("https://wiki.test:{}/", site.port);
    let h2 = client
        .send_h2(
            "notes.test",
            Request::get(url).body(Full::default()).unwrap(),
        )
        .await;
    assert_eq!(h2.status, 421);
    assert_eq!(upstream.hits(), 0);
    let right = client
        .send("wiki.test", get("wiki.test", site.port, "/"))
        .await;
    assert_eq!((right.status, upstream.hits()), (200, 1));
}
