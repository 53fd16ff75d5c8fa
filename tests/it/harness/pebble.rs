//! Pebble, the test authority for ACME, with its own name server; both end with the test.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::pki::{Kind, Pki};
use super::site::free_port;
use super::{Site, eventually};

/// How an authority is to behave.
#[derive(Default)]
pub(crate) struct Manner {
    /// Seconds that a certificate lives; Pebble's own default when zero.
    pub(crate) life: u64,
    /// Percent of good nonces that are refused.
    pub(crate) bad_nonces: u8,
    /// Only accounts with an external account are registered.
    pub(crate) external_accounts: bool,
}

/// The external account that Pebble knows.
pub(crate) const EXTERNAL_ID: &str = "kid-1";
pub(crate) const EXTERNAL_KEY: &str =
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

pub(crate) struct Pebble {
    folder: TempDir,
    port: u16,
    management: u16,
    names: u16,
    processes: Vec<Child>,
}

impl Pebble {
    /// Starts an authority that looks for TLS-ALPN-01 on `tls` and for HTTP-01 on `http`, of whatever name.
    pub(crate) async fn start(manner: Manner, tls: u16, http: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let leaf = pki.leaf(Kind::P256, &["localhost"]);
        let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", pki.root());
        write("cert.pem", leaf.cert.as_bytes());
        write("key.pem", leaf.key.as_bytes());
        let (port, management, names, dns) = (free_port(), free_port(), free_port(), free_port());
        let mut pebble = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "cert.pem", "privateKey": "key.pem",
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "",
            "externalAccountBindingRequired": manner.external_accounts,
            "externalAccountMACKeys": { EXTERNAL_ID: EXTERNAL_KEY },
        });
        if manner.life > 0 {
            pebble["certificateValidityPeriod"] = manner.life.into();
        }
        write(
            "config.json",
            serde_json::json!({ "pebble": pebble })
                .to_string()
                .as_bytes(),
        );
        let run = |command: &mut Command| {
            let log = format!("{}.log", command.get_program().to_str().unwrap());
            let log = fs::File::create(folder.path().join(log)).unwrap();
            command
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(Stdio::null())
                .spawn()
                .expect("scripts/install-test-tools installs pebble")
        };
        let server = run(Command::new("pebble-challtestsrv")
            .args([
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])
            .args(["-dns01", &format!("127.0.0.1:{dns}")])
            .args(["-management", &format!("127.0.0.1:{names}")]));
        let authority = run(Command::new("pebble")
            .args([
                "-config",
                "config.json",
                "-dnsserver",
                &format!("127.0.0.1:{dns}"),
            ])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", manner.bad_nonces.to_string()));
        let started = Self {
            folder,
            port,
            management,
            names,
            processes: vec![server, authority],
        };
        for port in [port, management, names] {
            eventually("pebble to listen", async || {
                tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .ok()
            })
            .await;
        }
        started
    }

    /// Lets a site obtain its certificates here; `more` holds further keys of `[tls.acme]`.
    pub(crate) fn serves(&self, site: &mut Site, more: &str) {
        self.serves_through(self.port, site, more);
    }

    /// The same through `port`, where somebody stands in front.
    pub(crate) fn serves_through(&self, port: u16, site: &mut Site, more: &str) {
        let tls = format!(
            "[tls]\ncertificates = \"acme\"\nrecheck = \"1s\"\n[tls.acme]\ndirectory = \"https://localhost:{}/dir\"\n\
             directory_ca = \"{}\"\nretry = \"1s\"\nretry_max = \"2s\"\n{more}\n",
            port,
            self.folder.path().join("ca.pem").display(),
        );
        site.edit_config(|text| text.replace("[tls]\ncertificates = \"internal\"\n", &tls));
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Where the name server is told what to answer.
    pub(crate) fn names(&self) -> String {
        format!("http://127.0.0.1:{}", self.names)
    }

    /// Lets the authority look for `host` at `address`.
    pub(crate) fn point(&self, host: &str, address: &str) {
        let body = serde_json::json!({ "host": format!("{host}."), "addresses": [address] });
        self.tell(
            "clear-a",
            &serde_json::json!({ "host": format!("{host}.") }).to_string(),
        );
        self.tell("add-a", &body.to_string());
    }

    fn tell(&self, what: &str, body: &str) {
        let told = Command::new("curl")
            .args(["-fsS", "-X", "POST", "-d", body])
            .arg(format!("{}/{what}", self.names()))
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
    }

    /// The root of the certificates that are issued, PEM.
    pub(crate) fn root(&self) -> Vec<u8> {
        let asked = Command::new("curl")
            .args(["-fsS", "--cacert"])
            .arg(self.folder.path().join("ca.pem"))
            .arg(format!("https://localhost:{}/roots/0", self.management))
            .output()
            .unwrap();
        assert!(asked.status.success(), "{asked:?}");
        asked.stdout
    }

    /// How many orders the authority has taken.
    pub(crate) fn orders(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join("pebble.log")).unwrap();
        log.lines()
            .filter(|line| line.contains("Added order"))
            .count()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("pebble.log")).unwrap_or_default();
            eprintln!("--- pebble ---\n{log}");
        }
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
