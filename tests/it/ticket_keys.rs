//! Keys of session tickets rotate: a stolen key opens only what was sealed while it was in use.

use std::process::{Command, Stdio};

use crate::harness::{Site, Upstream, eventually};

/// One handshake of `openssl s_client` over TLS 1.2, whose ticket is part of it; tells whether it was a resumption.
async fn is_resumed(site: &Site, sessions: &[&str]) -> bool {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-tls1_2", "-servername", "notes.test"])
        .args(["-connect", &site.address().to_string()])
        .args(sessions)
        .current_dir(site.path(""))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .expect("openssl is not installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let (new, reused) = (
        said.contains("New, TLSv1.2"),
        said.contains("Reused, TLSv1.2"),
    );
    assert_ne!(new, reused, "{said}");
    reused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_ends_with_its_key_and_lives_while_keys_do_not_rotate() {
    let upstream = Upstream::start("notes").await;
    for (rotation, ends) in [("1s", true), ("6h", false)] {
        let mut site = Site::plan()
            .route("notes", &upstream, "public = true")
            .prepare();
        let tls = format!("certificates = \"internal\"\nticket_rotation = \"{rotation}\"");
        site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
        site.run().await;
        assert!(!is_resumed(&site, &["-sess_out", "ticket"]).await);
        // The same ticket again and again: a client is given newer ones, and does not take them.
        let again = async || is_resumed(&site, &["-sess_in", "ticket"]).await;
        if ends {
            eventually("the ticket's key to go", async || {
                (!again().await).then_some(())
            })
            .await;
            assert!(!is_resumed(&site, &["-sess_out", "newer"]).await);
            assert!(is_resumed(&site, &["-sess_in", "newer"]).await);
        } else {
            for _time in 0..3 {
                assert!(again().await);
            }
        }
    }
}
