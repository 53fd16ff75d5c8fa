//! `portcullis doctor --tls` grades whatever listens: our own profiles, nginx weak and strong, an old openssl.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::Said;
use crate::harness::pki::{Kind, Pki};
use crate::harness::site::free_port;
use crate::harness::{Site, Upstream, eventually};

/// A folder with a certificate for `notes.test`, and the program that serves it; both end with the test.
struct Peer {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Peer {
    fn new(pki: &Pki, kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let leaf = pki.leaf(kind, &["notes.test"]);
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let root = std::str::from_utf8(pki.root()).unwrap();
        write("ca.crt", root);
        write("a.crt", &(leaf.cert + root));
        write("a.key", &leaf.key);
        Self {
            folder,
            port: free_port(),
            process: None,
        }
    }

    async fn run(&mut self, command: &mut Command) {
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        self.process = Some(child);
        eventually("the peer to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .ok()
        })
        .await;
    }

    /// nginx, as one process.
    async fn nginx(pki: &Pki, kind: Kind, settings: &str) -> Self {
        let mut peer = Self::new(pki, kind);
        let folder = peer.folder.path().display().to_string();
        let text = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;\n\
             fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n\
             server {{ listen 127.0.0.1:{} ssl; server_name notes.test; ssl_certificate {folder}/a.crt;\n\
             ssl_certificate_key {folder}/a.key;\n{settings}\nreturn 204; }} }}\n",
            peer.port
        );
        std::fs::write(peer.folder.path().join("nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "log", "-p", &folder, "-c", "nginx.conf"]);
        peer.run(&mut command).await;
        peer
    }

    async fn openssl(pki: &Pki, kind: Kind, args: &[&str]) -> Self {
        let mut peer = Self::new(pki, kind);
        let accept = format!("127.0.0.1:{}", peer.port);
        let mut command = Command::new("openssl");
        command
            .args([
                "s_server", "-accept", &accept, "-cert", "a.crt", "-key", "a.key", "-www",
            ])
            .args(args);
        peer.run(&mut command).await;
        peer
    }

    async fn graded(&self, name: &str, trusted: bool) -> (i32, Value) {
        let ca = self.folder.path().join("ca.crt");
        let at = format!("127.0.0.1:{}", self.port);
        graded(
            self.folder.path(),
            name,
            &at,
            trusted.then_some(ca.as_path()),
        )
        .await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

async fn doctor(folder: &std::path::Path, args: Vec<String>) -> Said {
    let folder = folder.to_path_buf();
    let running = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        crate::harness::command::run_in(&folder, &args)
    };
    tokio::task::spawn_blocking(running).await.unwrap()
}

async fn graded(
    folder: &std::path::Path,
    name: &str,
    at: &str,
    ca: Option<&std::path::Path>,
) -> (i32, Value) {
    let words = ["--format", "json", "doctor", "--tls", name, "--at", at];
    let mut args: Vec<String> = words.map(str::to_owned).to_vec();
    if let Some(ca) = ca {
        args.extend(["--ca".to_owned(), ca.display().to_string()]);
    }
    let said = doctor(folder, args).await;
    let report =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said.code, report)
}

fn scores(report: &Value) -> [u64; 4] {
    ["protocols", "key_exchange", "ciphers", "total"]
        .map(|name| report["scores"][name].as_u64().unwrap())
}

fn list<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    let list = report[name].as_array().unwrap().iter();
    list.map(|one| one.as_str().or_else(|| one["name"].as_str()).unwrap())
        .collect()
}

/// What is said to be wrong, in one text.
fn crosses(report: &Value) -> String {
    let found = report["found"].as_array().unwrap().iter();
    let bad = found.filter(|one| one["ok"] == false);
    bad.map(|one| format!("{} -> {}\n", one["text"], one["command"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_profiles_are_graded_a_plus_with_the_suites_and_groups_that_they_have() {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let thirteen = [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ];
    let all = ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1"];
    for (profile, kind, expected, suites, groups) in [
        ("intermediate", Kind::P256, [100, 100, 90, 96], 6, &all[..]),
        ("intermediate", Kind::Rsa2048, [100, 90, 90, 93], 6, &all),
        ("modern", Kind::P256, [100, 100, 90, 96], 3, &all),
        (
            "strict-256",
            Kind::P384,
            [100, 100, 100, 100],
            4,
            &["X25519MLKEM768", "secp384r1"],
        ),
    ] {
        let mut site = Site::plan()
            .route("notes", &upstream, "public = true")
            .prepare();
        let leaf = pki.leaf(kind, &["notes.test", "login.test"]);
        site.write(
            "a.crt",
            &(leaf.cert + std::str::from_utf8(pki.root()).unwrap()),
        );
        site.write("a.key", &leaf.key);
        site.write("ca.crt", std::str::from_utf8(pki.root()).unwrap());
        let files = "[{ cert = \"a.crt\", key = { file = \"a.key\" } }]";
        let tls = format!("profile = \"{profile}\"\nfiles = {files}");
        site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
        site.run().await;

        let name = format!("notes.test:{}", site.port);
        let (code, report) = graded(
            &site.path(""),
            &name,
            &site.address().to_string(),
            Some(&site.path("ca.crt")),
        )
        .await;
        assert_eq!(
            (code, &report["grade"]),
            (0, &Value::from("A+")),
            "{profile}: {report:#}"
        );
        assert_eq!(scores(&report), expected, "{profile} {kind:?}");
        assert_eq!(crosses(&report), "", "{profile}");
        let mut seen = list(&report, "groups");
        seen.sort_unstable();
        let mut expected = groups.to_vec();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{profile}");
        let accepted = list(&report, "suites");
        let newest = accepted
            .iter()
            .filter(|name| thirteen.contains(name))
            .count();
        assert_eq!(
            newest,
            if profile == "strict-256" { 2 } else { 3 },
            "{profile}"
        );
        assert_eq!(accepted.len(), suites, "{profile}: {accepted:?}");
        // The request for HSTS alone reached the app.
        let said = site.command(&[
            "doctor",
            "--tls",
            &name,
            "--at",
            &site.address().to_string(),
            "--ca",
            "ca.crt",
        ]);
        assert!(said.out.contains("A+,"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strong_nginx_is_graded_a_plus_and_loses_it_with_its_header() {
    let pki = Pki::new();
    let strong = "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384;";
    let header = "add_header Strict-Transport-Security max-age=63072000 always;";
    let peer = Peer::nginx(&pki, Kind::P256, &format!("{strong} {header}")).await;
    let (code, report) = peer.graded("notes.test", true).await;
    assert_eq!(
        (code, report["grade"].as_str()),
        (0, Some("A+")),
        "{report:#}"
    );
    assert_eq!(scores(&report), [100, 100, 90, 96]);
    let bare = Peer::nginx(&pki, Kind::P256, strong).await;
    let (code, report) = bare.graded("notes.test", true).await;
    assert_eq!(
        (code, report["grade"].as_str()),
        (1, Some("A-")),
        "{report:#}"
    );
    assert!(crosses(&report).contains("HSTS is not sent"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_or_of_an_unknown_authority_is_told() {
    let pki = Pki::new();
    let peer = Peer::nginx(&pki, Kind::P256, "").await;
    let (_, other) = peer.graded("wiki.test", true).await;
    assert_eq!(other["grade"], "M", "{other:#}");
    assert!(crosses(&other).contains("not for wiki.test"), "{other:#}");
    let (_, unknown) = peer.graded("notes.test", false).await;
    assert_eq!(unknown["grade"], "T", "{unknown:#}");
    assert!(
        crosses(&unknown).contains("cannot be verified"),
        "{unknown:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_and_suites_cost_what_the_guide_says() {
    let pki = Pki::new();
    let old = "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers AES128-SHA:AES256-SHA:@SECLEVEL=0;";
    let nginx = Peer::nginx(&pki, Kind::Rsa2048, old).await;
    let (code, report) = nginx.graded("notes.test", true).await;
    assert_eq!(
        (code, report["grade"].as_str()),
        (1, Some("B")),
        "{report:#}"
    );
    assert_eq!(scores(&report), [95, 90, 90, 91]);
    assert_eq!(list(&report, "versions"), ["TLS 1.0", "TLS 1.1", "TLS 1.2"]);
    let told = crosses(&report);
    for why in [
        "TLS 1.0 or 1.1",
        "AEAD",
        "TLS 1.3 is not offered",
        "key is stolen",
    ] {
        assert!(told.contains(why), "{why}: {told}");
    }

    let ancient = Peer::openssl(
        &pki,
        Kind::Rsa2048,
        &["-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"],
    )
    .await;
    let (_, report) = ancient.graded("notes.test", true).await;
    assert_eq!(report["grade"], "C", "{report:#}");
    assert_eq!(list(&report, "versions"), ["TLS 1.0"]);

    let nobody = Peer::openssl(
        &pki,
        Kind::Rsa2048,
        &["-tls1_2", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
    )
    .await;
    let (_, report) = nobody.graded("notes.test", true).await;
    assert_eq!(
        (report["grade"].as_str(), scores(&report)[3]),
        (Some("F"), 0),
        "{report:#}"
    );
    assert!(crosses(&report).contains("encrypts nothing"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_graded_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    std::fs::write(folder.path().join("ca.crt"), pki.root()).unwrap();
    let plain = Upstream::start("plain").await;
    let plain = plain.url().trim_start_matches("http://").to_owned();
    for (at, why) in [
        (format!("127.0.0.1:{}", free_port()), "cannot be reached"),
        (plain, "does not speak TLS"),
    ] {
        let words = [
            "doctor",
            "--tls",
            "notes.test",
            "--at",
            &at,
            "--ca",
            "ca.crt",
        ];
        let said = doctor(folder.path(), words.map(str::to_owned).to_vec()).await;
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
    let words = ["doctor", "--tls", "no host"].map(str::to_owned);
    assert_eq!(doctor(folder.path(), words.to_vec()).await.code, 2);
}
