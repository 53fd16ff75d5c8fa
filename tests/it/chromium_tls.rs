//! A browser as people have it agrees on the post-quantum group: read from the bytes that pass between the two.

use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Site, Upstream};

const X25519MLKEM768: u16 = 0x11EC;

/// Carries connections to `site` and keeps what the server says first on each.
async fn relay(site: &Site) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(Mutex::new(Vec::new()));
    let (heard, address) = (Arc::clone(&said), site.address());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(address).await.unwrap();
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let forth = tokio::io::copy(&mut from_client, &mut to_server);
                let back = async {
                    let mut first = vec![0; 16 * 1024];
                    let length = from_server.read(&mut first).await?;
                    first.truncate(length);
                    to_client.write_all(&first).await?;
                    heard.lock().push(first);
                    tokio::io::copy(&mut from_server, &mut to_client).await
                };
                // Whoever closes first is no failure.
                drop(tokio::join!(forth, back));
            });
        }
    });
    (port, said)
}

/// The group in the `key_share` of a ServerHello (RFC 8446 section 4.2.8).
fn group(flight: &[u8]) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes([*flight.get(at)?, *flight.get(at + 1)?]));
    // Record and message have nine bytes before the version; version, random and the session's length follow.
    assert_eq!((flight.first(), flight.get(5)), (Some(&22), Some(&2)));
    let session = usize::from(*flight.get(9 + 2 + 32)?);
    let mut at = 9 + 2 + 32 + 1 + session + 2 + 1;
    let end = at + 2 + usize::from(word(at)?);
    at += 2;
    while at < end {
        let (kind, length) = (word(at)?, usize::from(word(at + 2)?));
        if kind == 51 {
            return word(at + 4);
        }
        at += 4 + length;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_agrees_on_the_post_quantum_group() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    let (port, said) = relay(&site).await;
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = tokio::process::Command::new("/usr/bin/chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--ignore-certificate-errors", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!(
            "--host-resolver-rules=MAP notes.test:{} 127.0.0.1:{port}",
            site.port
        ))
        .arg(site.url("notes", "/"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = chromium
        .output()
        .await
        .expect("scripts/install-test-tools installs chromium");
    assert!(output.status.success(), "{output:?}");
    assert!(upstream.hits() > 0, "{output:?}");
    let groups: Vec<_> = said.lock().iter().map(|flight| group(flight)).collect();
    assert!(!groups.is_empty());
    assert!(
        groups.iter().all(|group| *group == Some(X25519MLKEM768)),
        "{groups:x?}"
    );
}
