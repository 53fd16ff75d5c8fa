//! A real OCSP responder: `openssl ocsp`, which ends with the test.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;
use super::pki::{Leaf, Pki};

pub(crate) struct Responder {
    _folder: TempDir,
    process: Child,
}

impl Responder {
    /// Answers on `port` about the certificates that `pki` issued, of which each of `known` is a letter (`V`alid or
    /// `R`evoked) and a serial number. `signer` signs, where the authority itself does not.
    pub(crate) async fn start(
        port: u16,
        pki: &Pki,
        known: &[(char, u64)],
        signer: Option<&Leaf>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let root = std::str::from_utf8(pki.root()).unwrap();
        write("ca.pem", root);
        write("signer.pem", signer.map_or(root, |leaf| &leaf.cert));
        write(
            "signer.key",
            &signer.map_or_else(|| pki.root_key(), |leaf| leaf.key.clone()),
        );
        let line = |(state, serial): &(char, u64)| {
            let revoked = if *state == 'R' { "260101000000Z" } else { "" };
            format!("{state}\t491231235959Z\t{revoked}\t{serial:02X}\tunknown\t/CN=Test leaf\n")
        };
        write("index.txt", &known.iter().map(line).collect::<String>());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("openssl")
            .args([
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "ca.pem",
                "-nmin",
                "60",
            ])
            .args(["-rsigner", "signer.pem", "-rkey", "signer.key"])
            .args(["-port", &port.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("openssl is not installed");
        eventually("the responder to listen", async || {
            // A connection to try it by would be taken for a request, for ever.
            let said = fs::read_to_string(folder.path().join("log")).ok()?;
            said.contains("waiting for OCSP client connections")
                .then_some(())
        })
        .await;
        Self {
            _folder: folder,
            process,
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
